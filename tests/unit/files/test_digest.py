from __future__ import annotations

import hashlib
import runpy
import sys

import pytest
from hostler.files.digest import hex_digest


def test_the_digest_is_that_of_hashlib_also_where_python_has_none_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("_sha2", "_sha256"):
        monkeypatch.setitem(sys.modules, module, None)  # as on RHEL: the import fails
    without = runpy.run_path(sys.modules["hostler.files.digest"].__file__ or "")["hex_digest"]

    expected = hashlib.sha256(b"web").hexdigest()
    assert (hex_digest(b"web"), without(b"web")) == (expected, expected)
