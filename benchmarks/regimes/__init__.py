"""Accuracy in regimes of data other than ordered histories of distinct items."""
