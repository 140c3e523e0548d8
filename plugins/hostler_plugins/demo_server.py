"""Deprecated name of `python -m hostler.testing.demo_server`, for configurations that still use it."""

import runpy

if __name__ == "__main__":
    runpy.run_module("hostler.testing.demo_server", run_name="__main__", alter_sys=True)
