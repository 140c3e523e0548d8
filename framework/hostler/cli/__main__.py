"""`python -m hostler.cli`: the same as `hostler`."""

from hostler.cli import main

main()
