"""simpervisor's public names. hostler is imported when it is asked for: a child has a second to start."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name not in {"KilledProcessError", "SupervisedProcess"}:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.process"), name)
