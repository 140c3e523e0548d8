"""`python -m hostler.cli`: the same as `hostler`."""

import os
import sys

from hostler.cli import main

if not sys.flags.safe_path and sys.path[0] == os.getcwd():  # noqa: PTH109 - as Python put it there
    # A server may have written what lies in the current folder.
    del sys.path[0]

main()
