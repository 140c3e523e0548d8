"""Who set each variable of a child, as far as it can be told by looking before and after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hostler.model.launch import Launch


@contextmanager
def noted(launch: Launch, who: str) -> Iterator[None]:
    """Note which variables are set, changed or taken away meanwhile, and that it was `who`."""
    before, launch.editor = dict(launch.env), who

    try:
        yield
    finally:
        launch.editor = ""

        for name in before.keys() - launch.env.keys():
            launch.origins.pop(name, None)
            launch.removed[name] = who

        for name, value in launch.env.items():
            if before.get(name) != value:
                launch.origins[name] = who
                launch.removed.pop(name, None)
