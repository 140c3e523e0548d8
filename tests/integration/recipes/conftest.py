"""A user of its own for every recipe."""

from acceptance.conftest import world

__all__ = ["world"]
