"""Run the command line: `python -m lenet5lib`."""

import sys

from lenet5lib.cli import main

if __name__ == "__main__":
    sys.exit(main())
