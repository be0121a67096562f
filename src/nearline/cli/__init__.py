"""The command-line interface; `main` is the entry point of the console script."""

from nearline.cli.app import main

__all__ = ["main"]
