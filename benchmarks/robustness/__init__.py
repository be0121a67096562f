"""Behaviour of the server under faults; see `benchmarks.robustness.__main__`."""
