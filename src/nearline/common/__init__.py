"""What every layer may use: progress, memory, pictures, ONNX inference."""
