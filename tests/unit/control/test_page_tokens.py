"""The tokens of the dashboard's pages, and the file that outlives a kill."""

from __future__ import annotations

import json
from hashlib import sha256
from hmac import digest
from pathlib import Path

import pytest
from hostler.control.page_tokens import PageTokens

DIGEST = "ab" * 32


def test_the_next_hostler_knows_the_tokens_and_can_show_so(tmp_path: Path) -> None:
    path = tmp_path / "key.dashboard"
    token = PageTokens(str(path), 4711).new()
    assert token not in path.read_text()
    after = PageTokens.read(str(path))
    assert after is not None
    assert after.port == 4711
    assert after.scopes_of(token) == {"read", "operate"}
    assert after.scopes_of(token[:-1]) == frozenset()
    assert after.proofs("nonce") == [digest(sha256(token.encode()).digest(), b"nonce", "sha256").hex()]
    after.forget()
    assert not path.exists()


def test_with_too_many_pages_the_token_of_the_oldest_ends(tmp_path: Path) -> None:
    tokens = PageTokens(str(tmp_path / "none" / "key.dashboard"), 4711)  # cannot be written: it works on
    given = [tokens.new() for _ in range(65)]
    assert [bool(tokens.scopes_of(one)) for one in given] == [False, *[True] * 64]


@pytest.mark.parametrize(
    "written",
    [
        "",
        "[]",
        "[" * 20_000,
        "\xff",
        json.dumps({"port": 4711}),
        json.dumps({"port": 4711, "digests": []}),
        json.dumps({"port": 70_000, "digests": [DIGEST]}),
        json.dumps({"port": "x", "digests": [DIGEST]}),
        json.dumps({"port": 4711, "digests": ["no hex"]}),
        json.dumps({"port": 4711, "digests": [4]}),
    ],
)
def test_a_broken_file_is_none(tmp_path: Path, written: str) -> None:
    path = tmp_path / "key.dashboard"
    path.write_text(written, encoding="latin-1")
    assert PageTokens.read(str(path)) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(json.dumps({"port": 4711, "digests": [DIGEST]}))
    (tmp_path / "key.dashboard").symlink_to(tmp_path / "elsewhere")
    assert PageTokens.read(str(tmp_path / "key.dashboard")) is None
