"""Utilities for every layer: clocks, progress callbacks, memory, plots and ONNX inference."""
