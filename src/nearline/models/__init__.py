"""Algorithms: one file each, its configuration beside it, the same verbs."""
