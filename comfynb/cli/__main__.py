"""``python -m comfynb.cli``: the same as the program ``comfynb``."""

from comfynb.cli import main

main()
