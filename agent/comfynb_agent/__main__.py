"""``python -m comfynb_agent``: the same as the command ``comfynb-agent``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
