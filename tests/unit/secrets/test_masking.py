"""Secrets: told by name, masked in text and in streams that come in any pieces."""

from __future__ import annotations

import html
import json
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from xml.sax.saxutils import quoteattr

import pytest
from hostler.secrets import word_search
from hostler.secrets.credentials import MASK, is_secret_name, masked_words
from hostler.secrets.masking import Masker
from hostler.secrets.word_search import WordSearch
from hypothesis import example, given
from hypothesis import strategies as st

SECRET = "sk-ant-0123456789"
BYTE_AUTOMATON = word_search.byte_automaton


def automaton(name: str) -> Callable[..., Any] | None:
    return pytest.importorskip(name).BytesAhoCorasick if name else None


@pytest.fixture(params=["", "ahocorasick_rs"], ids=["alone", "fast"], scope="module", autouse=True)
def _as_installed(request: pytest.FixtureRequest) -> Iterator[None]:
    found = automaton(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_search, "byte_automaton", lambda: found)
        yield


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
        "X-Api-Key",
        "Proxy-Authorization",
        "Cookie",
        "clientSecret",
        "NotebookApp.token",
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
        "POSTGRES_PASSWORD_FILE",
        "TERM",
    ],
)
def test_a_name_that_merely_looks_like_one_is_left_alone(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(("value", "masked"), [("a1b2c3d", False), ("a1b2c3d4", True), ("a1b2c3d4e", True)])
def test_a_value_of_eight_characters_is_masked_and_a_shorter_one_is_not(value: str, masked: bool) -> None:
    masker = Masker([value])
    stream = masker.stream()

    assert masker.text(f"is {value}.") == (f"is {MASK}." if masked else f"is {value}.")
    assert masker.data(value.encode()) == (MASK if masked else value).encode()
    assert stream.feed(value.encode()) + stream.flush() == (MASK if masked else value).encode()
    assert bool(masker.secrets) is masked


def test_eight_characters_of_a_longer_one_are_masked_at_an_end_and_seven_are_not() -> None:
    masker = Masker([SECRET])
    for length in (7, 8, 9):
        begun = SECRET[:length]
        stream = masker.stream()
        told = begun if length < 8 else MASK
        assert masker.text(f"is {begun}") == f"is {told}"
        assert stream.feed(begun.encode()) + stream.flush() == told.encode()


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


WRITTEN = "a&b<c>\"d'e/f g+h=i?j%ké#1"
SPELLED = {
    "Go's JSON": r"""a\u0026b\u003cc\u003e\"d'e/f g+h=i?j%ké#1""",
    "PHP's JSON": r"""a&b<c>\"d'e\/f g+h=i?j%k\u00e9#1""",
    "Flask's JSON": r"""a\u0026b\u003cc\u003e\"d\u0027e/f g+h=i?j%k\u00e9#1""",
    ".NET's JSON": json.dumps(WRITTEN).replace("\u00e9", "\u00e9"),
    "JSON in JSON": json.dumps(json.dumps(WRITTEN)),
    "Go's JSON in Go's JSON": json.dumps(
        r"""a\u0026b\u003cc\u003e\"d'e/f g+h=i?j%ké#1""", ensure_ascii=False
    ),
    "a repr in JSON": json.dumps(repr(WRITTEN), ensure_ascii=False),
    "quote": quote(WRITTEN),
    "urlencode": urlencode({"key": WRITTEN}),
    "encodeURIComponent": quote(WRITTEN, safe="!'()*~"),
    "small letters": quote(WRITTEN, safe="").lower(),
    "html.escape": html.escape(WRITTEN),
    "html.escape(quote=False)": html.escape(WRITTEN, quote=False),
    "XML": html.escape(WRITTEN).replace("&#x27;", "&apos;"),
    "XML attribute": quoteattr(WRITTEN),
    "Jinja": html.escape(WRITTEN).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    "PHP's HTML": html.escape(WRITTEN).replace("&#x27;", "&#039;"),
    "htmlentities": html.escape(WRITTEN).replace("&#x27;", "&#039;").replace("é", "&eacute;"),
    "ASCII XML": html.escape(WRITTEN, quote=False).encode("ascii", "xmlcharrefreplace").decode(),
    "shlex.quote": shlex.quote(WRITTEN),
    "bash": subprocess.run(
        ["bash", "-c", 'echo "${0@Q}"', WRITTEN],
        capture_output=True,
        check=True,
        text=True,
        env={"LC_ALL": "C.UTF-8"},
    ).stdout,
    "printf %q": r"""a\&b\<c\>\"d\'e/f\ g+h=i\?j%ké#1""",
    "SQL": WRITTEN.replace("'", "''"),
    "CSV": WRITTEN.replace('"', '""'),
    "references": re.sub(r"[^A-Za-z0-9 ]", lambda found: f"&#{ord(found[0])};", WRITTEN),
    "hexadecimal references": re.sub(r"[^A-Za-z0-9 ]", lambda found: f"&#x{ord(found[0]):X};", WRITTEN),
    "small hexadecimal references": re.sub(r"[^A-Za-z0-9 ]", lambda found: f"&#x{ord(found[0]):x};", WRITTEN),
    "$'...'": r"""$'a&b<c>"d\'e/f g+h=i?j%k\303\251#1'""",
    "the password of new URL()": "a&b%3Cc%3E%22d'e%2Ff%20g+h%3Di%3Fj%k%C3%A9%231",
    "quote of quote": quote(quote(WRITTEN, safe=""), safe=""),
    "html.escape of html.escape": html.escape(html.escape(WRITTEN)),
    "HTML of JSON": html.escape(json.dumps(WRITTEN)),
    "JSON of HTML": json.dumps(html.escape(WRITTEN)),
    "HTML of a repr": html.escape(repr(WRITTEN)),
    "JSON in a query": quote(json.dumps({"key": WRITTEN})),
    "Perl with Useqq": r"""a&b<c>\"d'e/f g+h=i?j%k\303\251#1""",
    "MySQL": r"""a&b<c>\"d\'e/f g+h=i?j%ké#1""",
    "properties": r"""a&b<c>"d'e/f g+h\=i?j%k\u00E9\#1""",
}


@pytest.mark.parametrize("text", SPELLED.values(), ids=list(SPELLED))
def test_a_secret_is_masked_as_common_programs_write_it(text: str) -> None:
    assert MASK in Masker([WRITTEN]).text(f"<{text}>")
    assert b"********" in Masker([WRITTEN]).data(f"<{text}>".encode())


@pytest.mark.parametrize("text", ["pa~ss%26w0rd", "pa%7Ess%26w0rd", "pa%7ess%26w0rd"])
def test_a_tilde_in_a_url_may_be_escaped_or_not(text: str) -> None:
    assert Masker(["pa~ss&w0rd"]).text(f"<{text}>") == f"<{MASK}>"


def test_a_line_of_a_secret_and_a_user_in_a_url_are_secrets_from_16_characters_on() -> None:
    masker = Masker(["first-line-of-16\nfifteen-letters"])
    assert masker.text("first-line-of-16, fifteen-letters") == f"{MASK}, fifteen-letters"
    for user, told in (("0123456789abcdef", MASK), ("0123456789abcde", "0123456789abcde")):
        url = f"https://{user}@sentry.example/1"
        assert Masker([url]).text(f"to {url}") == f"to https://{told}@sentry.example/1"


def test_a_secret_that_nobody_has_to_escape_has_one_spelling() -> None:
    assert len(Masker(["sk-ant-0123456789_ABCdef.~"]).secrets) == 1
    assert len(Masker(["q83vEjRWeJCrze8/AbCdEfGhIjKlMnOpQr=="]).secrets) < 30


def test_a_secret_with_a_backslash_is_masked_as_node_shows_it_between_backticks() -> None:
    assert Masker(['it\'s "C:\\secret"']).text('`it\'s "C:\\\\secret"`') == f"`{MASK}`"


@pytest.mark.parametrize(
    ("words", "masked"),
    [
        (["serve", "--token=abc", "x"], ["serve", "--token=********", "x"]),
        (["serve", "--api-key", "abc", "x"], ["serve", "--api-key", "********", "x"]),
        (["env", "API_KEY=abc", "x"], ["env", "API_KEY=********", "x"]),
        (["curl", "-H", "X-Api-Key: abc"], ["curl", "-H", "X-Api-Key: ********"]),
        (["x", "http://h/?a=1&token=abc&b=2"], ["x", "http://h/?a=1&token=********&b=2"]),
        (["x", "redis://u:abc@h:1"], ["x", "redis://u:********@h:1"]),
        (["sh", "-c", "KEY=abc x --token def"], ["sh", "-c", "KEY=******** x --token ********"]),
        (["sh", "-c", 'x --token "$TOKEN"'], ["sh", "-c", 'x --token "$TOKEN"']),
        (["x", "--token", "${TOKEN}"], ["x", "--token", "${TOKEN}"]),
        (["x", "--password-file", "/run/p"], ["x", "--password-file", "/run/p"]),
        (["x", "--token", "--verbose", "a"], ["x", "--token", "--verbose", "a"]),
        (["x", "--max-tokens=100", "--port=1"], ["x", "--max-tokens=100", "--port=1"]),
    ],
)
def test_what_follows_the_name_of_a_secret_on_a_command_line_is_masked(
    words: list[str], masked: list[str]
) -> None:
    assert masked_words(words) == masked


@pytest.mark.parametrize("text", ["p4ss/w0rd", "p4ss%2Fw0rd", "p4ss%2fw0rd"])
def test_the_password_of_a_url_is_the_secret_and_its_address_can_be_read(text: str) -> None:
    masker = Masker(["postgres://me:p4ss%2Fw0rd@db:5432/app"])
    assert masker.text(f"<{text}>") == "<********>"
    assert masker.text(f"postgres://me:{text}@db:5432/app") == "postgres://me:********@db:5432/app"


@pytest.mark.parametrize(
    ("value", "text", "masked"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("postgres://app@localhost/app", "app@localhost/app", "app@localhost/app"),
        ("postgres://u:postgres@h/postgres", "h/postgres", "h/postgres"),
        ("redis://:short@h", "to redis://:short@h", "to ********"),
        ("https://0123456789abcdef0123@o1.example/7", "key 0123456789abcdef0123", "key ********"),
        (
            "https://hooks.example/services/T0/B0/xyz",
            "POST https://hooks.example/services/T0/B0/xyz",
            "POST ********",
        ),
        ("http://h/?token=0123456789", "0123456789", "********"),
        ("Bearer 0123456789", "0123456789", "********"),
        ("Basic dXNlcjpodW50ZXIyLWh1bnRlcjI=", "hunter2-hunter2", "********"),
        ("Server=db;Password=hunter2-hunter2;", "hunter2-hunter2 in db", "******** in db"),
        ("postgres", "postgres started", "postgres started"),
    ],
)
def test_of_a_value_only_what_is_secret_in_it_is_masked(value: str, text: str, masked: str) -> None:
    assert Masker([value]).text(text) == masked


def test_a_secret_that_is_too_short_to_be_masked_is_known_all_the_same() -> None:
    masker = Masker(["hunter2", "1"])
    assert masker.text("AUTH hunter2") == "AUTH hunter2"
    assert masker.knows("AUTH hunter2")
    assert not masker.knows("hunter22 of 1")


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
    masker.register(SECRET)
    assert stream.feed(SECRET.encode()) + stream.flush() == MASK.encode()


def test_secrets_can_be_added_by_many_threads() -> None:
    masker = Masker()
    names = [f"secret-value-{number}" for number in range(200)]
    threads = [threading.Thread(target=masker.register, args=(name,)) for name in names]
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
@example(secrets=["abaaaaaa", "abaaaaaaa"], data="abaaaaaa", cuts=[])
def test_the_way_a_stream_is_cut_changes_nothing(secrets: list[str], data: str, cuts: list[int]) -> None:
    masker = Masker(secrets)
    stream = masker.stream()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]

    fed = b"".join(stream.feed(piece.encode()) for piece in pieces)
    rest = stream._held[stream._given :]
    told = fed + (b"" if stream._masked else masker.data(rest))  # what is held back may be a whole secret

    assert told == masker.data(data.encode())


@given(
    st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=60, unique=True),
    st.text("ab", max_size=40),
)
def test_words_that_overlap_are_all_found(words: list[str], text: str) -> None:
    known = tuple(word.encode() for word in words)
    assert {*WordSearch(known).found_in(text.encode())} == {word for word in known if word in text.encode()}


@given(st.lists(st.text("ab\\é", min_size=8, max_size=12), max_size=3), st.text("abc\\é%5CA9"))
@example(secrets=["!?!?!?!?", "?!?!?!?!?!"], text="<!?!?!?!?!>")
def test_bytes_are_masked_like_text(secrets: list[str], text: str) -> None:
    masker = Masker(secrets)
    whole = f"{text}."  # so that it ends with no beginning of a secret
    assert masker.data(whole.encode()) == masker.text(whole).encode()


def test_without_ahocorasick_rs_secrets_are_found_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ahocorasick_rs", None)
    assert BYTE_AUTOMATON.__wrapped__() is None


@pytest.mark.parametrize("word", ["x" * 1_000_000, "a://" * 250_000, "-x " * 300_000, '"' * 1_000_000])
def test_a_long_word_is_looked_through_once_and_not_from_each_of_its_letters(word: str) -> None:
    assert masked_words([word, f"{word}http://me:my-password@here"])[0] == word


class Point(NamedTuple):
    name: str
    tags: tuple[str, ...]


def test_a_named_tuple_in_details_stays_one() -> None:
    masker = Masker([SECRET])
    assert masker.nested({"at": Point(SECRET, ("a", SECRET))}) == {"at": Point(MASK, ("a", MASK))}
    assert isinstance(masker.nested(Point("x", ())), Point)


def test_what_is_known_is_masked_also_when_no_file_can_be_opened_and_what_is_not_is_no_secret_then() -> None:
    program = """
import os, resource
from hostler.secrets.masking import Masker

def short(do):
    _, most = before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, most))
    try:
        return do()
    except OSError:
        return "refused"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

masker, secret = Masker(), "my<secret>&more"
print(short(lambda: masker.found_in(secret)))
print(short(lambda: masker.register(secret)), masker.text(secret))
masker.register(secret)
print(short(lambda: masker.text("my&lt;secret&gt;&amp;more")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout.splitlines()) == ("", ["False", "refused my<secret>&more", MASK])
