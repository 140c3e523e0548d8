"""`python -m hostler.cli`: the same as `hostler`."""

import os
import sys

from hostler.cli import main

if not sys.flags.safe_path and sys.path[0] == os.getcwd():  # noqa: PTH109 - as Python put it there
    del sys.path[0]  # what lies in the current folder, a server may have written

main()
