"""Makes ``python -m nearline.cli`` equivalent to ``nearline``."""

from nearline.cli.app import main

main()
