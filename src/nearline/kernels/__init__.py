"""Numba kernels: arrays in, arrays out; nothing about users, files or time."""
