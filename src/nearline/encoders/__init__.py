"""Encoders: text to sparse vectors, and what lies near a vector."""
