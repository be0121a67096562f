"""Adapters to external services and optional packages."""
