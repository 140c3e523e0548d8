"""Whoever is attacked here is a user of the test's own, as in the acceptance tests."""

from acceptance.conftest import world

__all__ = ["world"]
