"""Networks trained with PyTorch and handed over as ONNX graphs: nothing here serves.

Models import this room inside `fit` alone, so that a fitted one needs none of its packages.
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
