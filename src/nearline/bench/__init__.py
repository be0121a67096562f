"""Benchmarks of a real server process (`nearline bench`)."""
