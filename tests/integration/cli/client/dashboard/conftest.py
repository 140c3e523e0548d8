"""A browser for each test: no process may be left by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dashboard_page import browsing


@pytest.fixture
def browser() -> Iterator[Any]:
    """A browser, whose windows a test opens and closes."""
    with browsing() as found:
        yield found
