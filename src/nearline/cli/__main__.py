"""``python -m nearline.cli`` is the same as ``nearline``."""

from nearline.cli.app import main

main()
