"""Nearest-neighbour models of users and of items."""
