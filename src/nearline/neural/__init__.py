"""Training of neural networks with PyTorch, and their export as ONNX graphs.

Models import this package only inside `fit`: serving a fitted model needs no PyTorch.
"""

from importlib import import_module

from nearline.errors import MissingExtra

for package in ("torch", "onnx", "onnxscript"):
    try:
        import_module(package)
    except ImportError:
        raise MissingExtra(
            f"fitting a neural model needs {package}, which is not installed: "
            "pip install nearline[neural]"
        ) from None
