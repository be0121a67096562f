"""Benchmarks of a server in a process of its own, run by ``nearline bench``."""
