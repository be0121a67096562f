"""Clients of external services, and encoders from optional packages."""
