"""`python -m hostler`: the same as `hostler`."""

from runpy import run_module

run_module("hostler.cli", run_name="__main__", alter_sys=True)
