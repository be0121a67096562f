"""The command line: a thin door to the engine. `main` is what the console script runs."""

from nearline.cli.app import main

__all__ = ["main"]
