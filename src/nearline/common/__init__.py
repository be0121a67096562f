"""Utilities for every layer: progress, memory, pictures, ONNX inference."""
