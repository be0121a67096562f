"""Neighbourhood models of users and of items."""
