"""A browser for each module: to start one takes longer than most of what is shown in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dashboard_page import browsing


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser, whose windows each test opens and closes."""
    with browsing() as found:
        yield found
