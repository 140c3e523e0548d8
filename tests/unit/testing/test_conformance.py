"""What the contract of a plugin finds: for each promise, a plugin that breaks it, and one that keeps it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from textwrap import indent

import pytest
from hostler import PluginSpec
from hostler.plugins.discovery import find_class
from hostler.testing import assert_plugin_contract
from hostler.testing.conformance import (
    Breach,
    Findings,
    check_contract,
    import_probe,
)
from plugin_author import GOOD, HEAD, ON_READY, Author, author, short_deadlines

__all__ = ["author", "short_deadlines"]


# What stands below it is run by the check alone, not where these tests import the plugin themselves.
ALONE = "if 'pytest' not in __import__('sys').modules:\n    "


def test_a_plugin_that_keeps_all_of_it_is_accepted(author: Author) -> None:
    assert author.check(GOOD) == Findings()
    assert_plugin_contract(author.write(GOOD))


async def test_it_can_be_asserted_in_a_test_that_has_a_loop(author: Author) -> None:
    await asyncio.sleep(0)
    assert_plugin_contract(author.write(GOOD))


def test_a_failure_says_where_and_what_and_how_to_mend_it(author: Author) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_plugin_contract(author.write('word: str = option(3, "a word")'))
    text = str(caught.value)
    assert text.startswith("Mine breaks 1 promise of a plugin:\n- ")
    assert " Mine.word: has the default 3, which would be refused in TOML" in text
    assert "mine.py:14 " in text
    assert "to mend: let the type and the default agree" in text


def test_several_breaches_are_told_together(author: Author) -> None:
    with pytest.raises(AssertionError, match="Mine breaks 2 promises of a plugin"):
        assert_plugin_contract(author.write("a: int = 1\nb: int = 1"))


# -- class, hooks, options ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decorator", "what"),
    [
        ("", "is no dataclass"),
        ("@dataclass", "compares by value"),
        ("@dataclass(eq=False, frozen=True)", "is frozen"),
    ],
)
def test_the_class_must_be_a_dataclass_of_the_right_kind(author: Author, decorator: str, what: str) -> None:
    (breach,) = author.breaches(decorator=decorator)
    assert breach.startswith(f"Mine: {what}")


def test_a_class_without_a_word_about_it_is_named(tmp_path: Path) -> None:
    file = tmp_path / "silent.py"
    file.write_text(f"{HEAD}@dataclass(eq=False)\nclass Silent:\n{indent(ON_READY, '    ')}")
    (breach,) = check_contract(find_class(PluginSpec("x", use=f"{file}:Silent"))).breaches
    assert breach.what == "has no docstring"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("@hookimpl\ndef on_ready(self): pass", 'hook "on_ready" is "def" and must be "async def"'),
        (
            "@hookimpl\nasync def on_raedy(self): pass",
            'there is no hook "on_raedy"; did you mean "on_ready"?',
        ),
        ("# hookimpl\nasync def on_ready(self): pass", '"on_ready" is not marked with @hookimpl'),
        ("# hookimpl\nword = 1", "it has no hook"),
        (f'{ON_READY}api = "99"', "it was written for version 99 of the hook API"),
    ],
)
def test_hooks_that_could_not_be_called_are_named(author: Author, body: str, what: str) -> None:
    (breach,) = author.breaches(body)
    assert what in breach


@pytest.mark.parametrize(
    ("option", "what"),
    [
        ("word: str = 'x'", "has no meaning"),
        ("word: str = option('x', ' ')", "has no meaning"),
        ("word: 'Nothing' = option('x', 'a word')", "the type Nothing cannot be evaluated"),
        ("word: Callable = option(None, 'a word')", "which TOML cannot give: Callable"),
        ("word: list[dict[str, object]] = option([], 'a word')", "which TOML cannot give: object"),
        ("word: int = option('5', 'a word')", "has the default '5', which would be refused in TOML"),
        ("word: Annotated[int, msgspec.Meta(ge=1)] = option(0, 'a word')", "has the default 0"),
        ("word: Literal['a'] = option('b', 'a word')", "has the default 'b'"),
        ("word: list[int] = option(['a'], 'a word')", "has the default ['a']"),
        ("word: str | Duration = option('x', 'a word')", "which TOML cannot give: Type unions"),
        ("use: str = option('x', 'a word')", "can never be set"),
        ("aWord: str = option('x', 'a word')", "is not named as TOML keys are"),
    ],
)
def test_an_option_that_cannot_be_what_it_says_is_named(author: Author, option: str, what: str) -> None:
    (breach,) = author.breaches(option)
    assert what in breach
    assert f"Mine.{option.partition(':')[0]}: " in breach


def test_run_state_that_is_an_option_by_mistake_is_named(author: Author) -> None:
    first, _ = author.breaches("_count: int = 0")
    assert first.startswith("Mine._count: is an option, since it is a field, and looks as if it were none")


@pytest.mark.parametrize(
    "option",
    [
        "kind: Kind = option(Kind.FIRST, 'a kind')",
        "tables: list[dict[str, str | int]] = option([], 'tables')",
        "wait: Duration | None = option(None, 'a time')",
        "both: str | list[str] = option('', 'both')",
        "anything: Any = option(None, 'anything')",
        "key: Secret | None = option(Secret('env:KEY'), 'a key')",
    ],
)
def test_whatever_toml_can_give_may_be_an_option(author: Author, option: str) -> None:
    assert author.breaches(option, before="class Kind(Enum):\n    FIRST = 'first'\n") == []


def test_an_option_that_is_required_must_be_given_to_the_check(author: Author) -> None:
    body = 'word: str = option(..., "a word")'
    findings = author.check(body)
    assert findings.breaches == []
    assert findings.unbuilt.endswith("since other options are needed: word: this option is required")
    assert author.check(body, {"word": "x"}) == Findings()
    with pytest.raises(AssertionError, match=r"word: this option is required; give what it needs: options="):
        assert_plugin_contract(author.write(body))


def test_a_secret_that_shows_is_named(author: Author) -> None:
    (breach,) = author.breaches(
        'password: str = option("", "the password")\nuser: str = option("", "a user")'
    )
    assert breach == "Mine.password: shows its value in repr(), and so in errors and logs"


# -- import ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("open('written', 'w').close()", "writes the file written (line "),
        ("Path('made').mkdir()", "makes a directory (line "),
        ("import subprocess; subprocess.run(['true'])", "starts a program (line "),
        ("import socket; socket.socket().close()", "opens a socket (line "),
        ("import threading; threading.Thread(target=int).start()", "starts a thread (line "),
        ("os.environ['MINE'] = 'x'", "changes the environment (line "),
        ("import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN)", "changes signal handlers"),
        ("import logging; logging.basicConfig()", "changes the handlers or the level of the root logger"),
        ("print('hello')", "prints when it is imported: 'hello'"),
        ("import aiohttp", "imports aiohttp as soon as it is imported itself, which is slow"),
    ],
)
def test_work_at_import_is_named(
    author: Author, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    breaches = author.breaches(before=ALONE + line)
    assert len(breaches) == 1
    assert what in breaches[0]
    assert "of mine.py)" in breaches[0] or "(line" not in what


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("os._exit(3)", "ends the program that imports it (exit code 3)"),
        ("raise SystemExit", "SystemExit"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("time.sleep(60)", "takes longer than 2 s to import"),
    ],
)
def test_a_module_that_imports_beside_its_tests_only_is_named(
    author: Author, monkeypatch: pytest.MonkeyPatch, line: str, what: str
) -> None:
    monkeypatch.setattr(import_probe, "_SECONDS", 2.0 if "sleep" in line else 60.0)
    (breach,) = author.breaches(before=ALONE + line)
    assert what in breach


def test_reading_a_file_at_import_is_no_work(author: Author, tmp_path: Path) -> None:
    assert author.breaches(before=f"{ALONE}open({str(tmp_path / 'mine.py')!r}).close()") == []


def test_a_class_inside_a_function_has_no_module_to_be_imported(author: Author) -> None:
    class_ = author.write()
    class_.__qualname__ = "test.<locals>.Mine"
    (note,) = check_contract(class_).notes
    assert "its import" in note


# -- the fake context ------------------------------------------------------------------------------------


def test_a_breach_reads_as_two_lines() -> None:
    assert (
        str(Breach("a.py:1 A", "is wrong", "make it right")) == "a.py:1 A: is wrong\n  to mend: make it right"
    )


def test_a_hook_of_the_wrong_form_is_told_with_the_right_one(author: Author) -> None:
    (breach,) = author.check(GOOD.replace("async def on_ready(self", "def on_ready(self")).breaches
    assert "async def on_ready(self, server, endpoint)" in breach.mend
