"""Numerical functions on arrays, compiled by Numba, without access to files, clocks or the log."""
