"""Secrets: told by name, masked in text and in streams that come in any pieces."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from hostler.secrets import MASK, MINIMUM, Masker, is_secret_name
from hypothesis import given
from hypothesis import strategies as st

SECRET = "sk-ant-0123456789"


@pytest.mark.parametrize(
    "name",
    [
        "ANTHROPIC_API_KEY",
        "OPENAI_APIKEY",
        "GITHUB_TOKEN",
        "HF_TOKEN_READ",
        "CLIENT_SECRET",
        "DB_PASSWORD",
        "PGPASSWORD",
        "MYSQL_PWD",
        "ADMIN_PASS",
        "AWS_SESSION",
        "AWS_ACCESS_KEY_ID",
        "OPENCODE_AUTH_CONTENT",
        "NPM_CONFIG__AUTH",
        "AUTHORIZATION",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "SSH_PRIVATE_KEY",
        "STRIPE_KEY",
        "SENTRY_DSN",
        "DATABASE_URL",
        "MONGODB_URI",
        "AZURE_STORAGE_CONNECTION_STRING",
        "SLACK_WEBHOOK",
        "github_token",
        "GITHUB_PAT",
    ],
)
def test_a_name_that_usually_holds_a_secret_is_told(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "PWD",
        "OLDPWD",
        "SSH_AUTH_SOCK",
        "XAUTHORITY",
        "SSH_ASKPASS",
        "GIT_AUTHOR_NAME",
        "TOKENIZERS_PARALLELISM",
        "MAX_TOKENS",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
        "XDG_SESSION_ID",
        "DBUS_SESSION_BUS_ADDRESS",
        "KEYBOARD_LAYOUT",
        "HTTP_PROXY",
        "SERVER_URL",
        "TERM",
    ],
)
def test_a_name_that_merely_looks_like_one_is_left_alone(name: str) -> None:
    assert not is_secret_name(name)


def test_a_value_shorter_than_the_minimum_is_ignored() -> None:
    masker = Masker(["x" * (MINIMUM - 1)])

    assert masker.text("x" * 20) == "x" * 20
    assert masker.secrets == ()


def test_text_and_data_are_masked_wherever_the_secret_stands() -> None:
    masker = Masker([SECRET])

    assert masker.text(f"a {SECRET}{SECRET} b") == f"a {MASK}{MASK} b"
    assert masker.data(f"{SECRET}\n".encode()) == f"{MASK}\n".encode()
    assert masker.text("nothing here") == "nothing here"
    assert masker.found_in(f"--key={SECRET}")
    assert not masker.found_in(f"--key={SECRET[:-1]}")


def test_of_two_secrets_where_one_holds_the_other_nothing_is_left() -> None:
    masker = Masker(["password1", "password1-and-more"])

    assert masker.text("password1-and-more, password1!") == f"{MASK}, {MASK}!"


def test_overlapping_secrets_become_one_mask() -> None:
    masker = Masker(["abcdefgh", "efghijkl"])

    assert masker.text("<abcdefghijkl>") == f"<{MASK}>"


def test_a_secret_of_several_lines_is_masked_whole_and_line_by_line() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nshort\n-----END KEY-----\n"
    masker = Masker([key])

    assert masker.text(f"<{key}>") == f"<{MASK}>"
    assert masker.text(f"<{key.strip()}>") == f"<{MASK}>"
    assert masker.text("  MIIEvQIBADANBgkqhkiG9w0B\r\n") == f"  {MASK}\r\n"
    assert masker.text("short -----END KEY-----") == "short -----END KEY-----"


@pytest.mark.parametrize(
    "text",
    [
        "pass%swörd-1\n",
        r"pass%swörd-1\n",
        r"pass%sw\u00f6rd-1\n",
        r"pass%sw\xc3\xb6rd-1\n",
        "pass%25sw%C3%B6rd-1%0A",
    ],
    ids=["as it is", "repr", "JSON", "repr of bytes", "URL"],
)
def test_a_secret_is_masked_in_every_spelling(text: str) -> None:
    assert Masker(["pass%swörd-1\n"]).text(f"<{text}>") == "<********>"


@pytest.mark.parametrize("text", ["p4ss/w0rd", "p4ss%2Fw0rd", "postgres://me:p4ss%2Fw0rd@db:5432/app"])
def test_the_password_of_a_url_is_a_secret_by_itself(text: str) -> None:
    masker = Masker(["postgres://me:p4ss%2Fw0rd@db:5432/app"])
    assert masker.text(f"<{text}>") == "<********>"
    assert masker.text("postgres://me@db:5432/app") == "postgres://me@db:5432/app"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("it said sesame-ope", "it said ********"),
        ("it said sesame-ope...", "it said ********..."),
        ("it said sesame-", "it said sesame-"),
        ("it said sesame-ope now", "it said sesame-ope now"),
    ],
)
def test_a_secret_that_was_cut_off_at_the_end_of_a_text_is_masked(text: str, masked: str) -> None:
    assert Masker(["sesame-open-sesame"]).text(text) == masked


def test_a_secret_that_is_no_valid_text_is_masked_as_bytes() -> None:
    raw = b"\xff\xfe secret \xff"
    masker = Masker([raw.decode(errors="surrogateescape")])

    assert masker.data(b"<" + raw + b">") == f"<{MASK}>".encode()


@pytest.mark.parametrize("size", [1, 2, 5, 16, 17, 100])
def test_a_secret_that_comes_in_pieces_is_masked(size: int) -> None:
    stream = Masker([SECRET]).stream()
    data = f"before {SECRET} after {SECRET}".encode()

    out = b"".join(stream.feed(data[at : at + size]) for at in range(0, len(data), size)) + stream.flush()

    assert out == f"before {MASK} after {MASK}".encode()
    assert not stream.pending


def test_an_end_that_may_begin_a_secret_is_held_back_until_more_comes() -> None:
    stream = Masker([SECRET]).stream()

    assert stream.feed(b"key: sk-a") == b"key: "
    assert stream.pending
    assert stream.feed(b"bc") == b"sk-abc"
    assert not stream.pending


def test_an_end_that_cannot_begin_a_secret_goes_out_at_once() -> None:
    stream = Masker([SECRET]).stream()

    assert stream.feed(b"hello\n") == b"hello\n"
    assert not stream.pending
    assert stream.flush() == b""


def test_a_flushed_beginning_is_short_and_the_rest_of_the_secret_is_still_masked() -> None:
    stream = Masker([SECRET]).stream()
    secret = SECRET.encode()

    assert stream.feed(secret[:5]) == b""
    assert stream.flush() == secret[:5]
    assert not stream.pending
    assert stream.feed(secret[5:12]) == b""
    assert stream.flush() == MASK.encode()
    assert stream.feed(secret[12:14]) == b""
    assert stream.flush() == b""
    assert stream.feed(secret[14:] + b" end") == b" end"


def test_a_flushed_beginning_that_was_none_is_not_told_twice() -> None:
    stream = Masker([SECRET]).stream()

    assert stream.feed(b"x sk-") == b"x "
    assert stream.flush() == b"sk-"
    assert stream.feed(b"ip it\n") == b"ip it\n"


def test_the_longer_of_two_secrets_is_masked_when_its_end_comes_later() -> None:
    stream = Masker(["password1", "password1-and-more"]).stream()

    assert stream.feed(b"password1") == b""
    assert stream.feed(b"-and-more.") == MASK.encode() + b"."


def test_a_flood_of_overlapping_secrets_needs_no_more_memory_than_one() -> None:
    stream = Masker(["a" * 8]).stream()

    out = b"".join(stream.feed(b"a" * 1000) for _ in range(100)) + stream.feed(b".")

    assert out == MASK.encode() + b"."
    assert len(stream._held) < 8


def test_a_secret_that_is_added_masks_what_comes_later() -> None:
    masker = Masker()
    stream = masker.stream()

    assert stream.feed(SECRET.encode()) == SECRET.encode()
    masker.add(SECRET)
    assert stream.feed(SECRET.encode()) + stream.flush() == MASK.encode()


def test_secrets_can_be_added_by_many_threads() -> None:
    masker = Masker()
    names = [f"secret-value-{number}" for number in range(200)]
    threads = [threading.Thread(target=masker.add, args=(name,)) for name in names]

    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join()

    assert all(masker.text(f"<{name}>") == f"<{MASK}>" for name in names)


@given(
    secrets=st.lists(st.text("ab", min_size=8, max_size=12), min_size=1, max_size=3),
    data=st.text("abc", max_size=80),
    cuts=st.lists(st.integers(0, 80), max_size=10),
)
def test_the_way_a_stream_is_cut_changes_nothing(secrets: list[str], data: str, cuts: list[int]) -> None:
    masker = Masker(secrets)
    stream = masker.stream()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]

    fed = b"".join(stream.feed(piece.encode()) for piece in pieces)
    rest = stream._held[stream._given :]
    told = fed + (b"" if stream._masked else rest)

    assert told == masker.data(data.encode())
