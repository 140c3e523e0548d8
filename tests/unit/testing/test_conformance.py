"""What the contract of a plugin finds: for each promise, a plugin that breaks it, and one that keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent, indent

import pytest
from hostler import PluginSpec, ServerView, hooks, hookspec
from hostler.plugins.discovery import find_class
from hostler.testing import FakeServerContext, assert_plugin_contract
from hostler.testing.conformance import (
    Breach,
    Findings,
    check_contract,
)
from hostler.testing.conformance import (
    hook_calls as calling,
)
from hostler.testing.conformance import (
    import_probe as importing,
)
from hostler.testing.conformance import (
    lifecycle_checks as living,
)
from hostler.testing.conformance import (
    report_streams as streams,
)

HEAD = """
import asyncio, os, time
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Callable, ClassVar, Literal

import anyio
import msgspec
from hostler import Action, Advice, Duration, Endpoint, Healthy, ProcessSpawnFailed, Size, Unhealthy
from hostler import Secret, hookimpl, option

"""

ON_READY = "@hookimpl\nasync def on_ready(self): pass\n"

# What stands below it is run by the check alone, not where these tests import the plugin themselves.
ALONE = "if 'pytest' not in __import__('sys').modules:\n    "


@pytest.fixture(autouse=True)
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is awaited here comes at once or never."""
    monkeypatch.setattr(calling, "DEADLINES", dict.fromkeys(calling.DEADLINES, 0.3))
    monkeypatch.setattr(streams, "_FIRST", 0.3)
    monkeypatch.setattr(streams, "_CLOSE", 0.3)
    monkeypatch.setattr(living, "_LINGER", 0.2)


class Author:
    """Writes plugins into a file of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, body: str = "", *, before: str = "", decorator: str = "@dataclass(eq=False)") -> type:
        """A class with this body; with a hook, unless the body has something to say about hooks."""
        body = dedent(body) if "hookimpl" in body else f"{dedent(body)}\n{ON_READY}"
        text = f'{HEAD}{before}\n{decorator}\nclass Mine:\n    """Does something."""\n{indent(body, "    ")}'
        file = self._folder / "mine.py"
        file.write_text(text)
        return find_class(PluginSpec("mine", use=f"{file}:Mine"))

    def check(self, body: str = "", options: Mapping[str, object] | None = None) -> Findings:
        return check_contract(self.write(body), options)

    def breaches(self, body: str = "", **more: str) -> list[str]:
        found = check_contract(self.write(body, **more)).breaches
        return [f"{breach.where.partition(' ')[2]}: {breach.what}" for breach in found]


@pytest.fixture
def author(tmp_path: Path) -> Author:
    return Author(tmp_path)


GOOD = """
api: ClassVar[str] = "1"
path: Path = option(Path("x"), "a path")
size: Size = option(Size(1024), "a size")
wait: Duration = option(Duration(0.001), "a time")
words: list[str] = option([], "words")
table: dict[str, int] = option({}, "a table")
kind: Literal["a", "b"] = option("a", "a kind")
count: Annotated[int, msgspec.Meta(ge=1)] = option(1, "how many")
maybe: str | None = option(None, "may be left out")
token: str = option("", "a secret", secret=True)
seen: int = field(init=False, default=0)

@hookimpl
async def pre_spawn(self, server, launch):
    launch.argv.append("--quiet")
    launch.set_secret("PASSWORD", os.urandom(8).hex())
    launch.defer(lambda: None)
    server.notice("good", "is good")

@hookimpl
def parse_port(self, line):
    return Endpoint("127.0.0.1", 4096) if "4096" in line else None

@hookimpl
async def health_check(self, server, endpoint):
    while True:
        self.seen += 1
        yield Unhealthy("nobody listens")
        await asyncio.sleep(10)

@hookimpl
async def on_ready(self, server, endpoint): server.publish("GOOD", server.url)

@hookimpl
async def on_crash(self, exit): return Advice(Action.BACK_OFF) if exit.code else None

@hookimpl
async def on_shutdown(self, server, reason): await asyncio.sleep(0)
"""


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
    monkeypatch.setattr(importing, "_SECONDS", 2.0 if "sleep" in line else 60.0)
    (breach,) = author.breaches(before=ALONE + line)
    assert what in breach


def test_reading_a_file_at_import_is_no_work(author: Author, tmp_path: Path) -> None:
    assert author.breaches(before=f"{ALONE}open({str(tmp_path / 'mine.py')!r}).close()") == []


def test_a_class_inside_a_function_has_no_module_to_be_imported(author: Author) -> None:
    class_ = author.write()
    class_.__qualname__ = "test.<locals>.Mine"
    (note,) = check_contract(class_).notes
    assert "its import" in note


# -- behaviour ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "body", "what"),
    [
        ("on_ready(self)", "raise KeyError('x')", "raises KeyError('x') with plain values"),
        ("on_ready(self)", "await asyncio.sleep(60)", "takes longer than its deadline of 0.3 s"),
        ("on_ready(self)", "time.sleep(1.1)", "keeps the event loop to itself for 1.1 s"),
        ("on_crash(self)", "return 3", "returns int"),
        ("on_crash(self)", "return Advice('x')", "returns Advice with 'x', not one of Action."),
        ("pre_spawn(self, launch)", "launch.env['A'] = 3", "leaves int as launch.env['A'], not a string"),
        ("on_crash(self, exit)", "exit.nothing", "has no attribute 'nothing'"),
        ("on_shutdown(self)", "1 / 0", "raises ZeroDivisionError('division by zero') with plain values"),
        ("pre_spawn(self)", "1 / 0", "raises ZeroDivisionError('division by zero')"),
        ("pre_spawn(self, launch)", "launch.warm_up(lambda: 1 / 0)", "asks for a warm-up that raises Zero"),
        ("pre_spawn(self, launch)", "launch.defer(lambda: 1 / 0)", "raises ZeroDivisionError('division by"),
        ("pre_spawn(self, launch)", "os.environ['MINE'] = str(launch.generation)", "changes os.environ of"),
        ("pre_spawn(self)", "self.task = asyncio.create_task(asyncio.sleep(60))", "leaves a task of sleep"),
    ],
)
def test_a_hook_that_breaks_a_promise_is_named(
    author: Author, monkeypatch: pytest.MonkeyPatch, hook: str, body: str, what: str
) -> None:
    monkeypatch.setenv("MINE", "0")
    (breach,) = author.breaches(f"@hookimpl\nasync def {hook}:\n    {body}\n")
    assert what in breach


SWALLOWING = """
@hookimpl
async def {hook}(self):
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(1.5)
"""


@pytest.mark.parametrize("hook", ["pre_spawn", "on_ready", "on_crash", "on_shutdown"])
def test_a_hook_that_swallows_its_cancellation_is_named(author: Author, hook: str) -> None:
    expected = f"Mine.{hook}: swallows its cancellation and goes on"
    assert expected in author.breaches(SWALLOWING.format(hook=hook))


def test_a_start_that_takes_long_is_no_fault_but_noted(author: Author) -> None:
    findings = author.check("@hookimpl\nasync def pre_spawn(self): await asyncio.sleep(60)")
    assert findings.breaches == []
    (note,) = findings.notes
    assert "it was at work for 0.3 s, and was cancelled then" in note


def test_a_refusal_to_start_is_no_fault_but_noted(author: Author) -> None:
    findings = author.check(
        "@hookimpl\nasync def pre_spawn(self): raise ProcessSpawnFailed('there is no caddy')"
    )
    assert findings.breaches == []
    (note,) = findings.notes
    assert "it refused to start anything here (there is no caddy)" in note


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("return int(line)", "raises ValueError"),
        ("return 4096 if '4096' in line else None", "returns 4096"),
        ("return Endpoint('127.0.0.1', 99999) if '99999' in line else None", "returns Endpoint("),
        ("time.sleep(0.6)", "takes 0.6 s"),
    ],
)
def test_a_parse_port_that_breaks_a_promise_is_named_with_one_line(
    author: Author, body: str, what: str
) -> None:
    (breach,) = author.breaches(f"@hookimpl\ndef parse_port(self, line):\n    {body}\n")
    assert what in breach
    assert "for the line" in breach


def stream(body: str) -> str:
    return f"@hookimpl\nasync def health_check(self):\n{indent(body, '    ')}\n"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("return\nyield", "ends without any report"),
        ("raise OSError('refused')\nyield", "raises OSError('refused') where nobody listens"),
        ("yield True", "yields bool, not Healthy or Unhealthy"),
        ("yield Unhealthy(OSError('x'))", "yields Unhealthy with OSError for a reason, not a string"),
        ("while True: yield Healthy()", "yields 50 reports without waiting"),
        (
            "try:\n    while True: yield Healthy()\nfinally: await asyncio.sleep(60)",
            "takes longer than 0.3 s to close",
        ),
        (
            "yield Healthy()\ntime.sleep(1.1)\nawait asyncio.sleep(60)",
            "keeps the event loop to itself for 1.1 s",
        ),
        (
            "try: await asyncio.sleep(60)\nexcept asyncio.CancelledError: yield Healthy()",
            "answers its cancellation with Healthy(",
        ),
        ("yield Healthy()\nraise OSError('later')", "raises OSError('later')"),
        (
            "try:\n    yield Healthy()\n    await asyncio.sleep(60)\nfinally: await asyncio.sleep(60)",
            "swallows its cancellation and goes on",
        ),
        ("try:\n    await asyncio.sleep(60)\nfinally: yield Healthy()", "answers its cancellation"),
        ("with anyio.move_on_after(60): yield Healthy()", "raises RuntimeError('Attempted to exit"),
    ],
)
def test_a_stream_of_reports_that_breaks_a_promise_is_named(author: Author, body: str, what: str) -> None:
    breaches = author.breaches(stream(body))
    assert any(what in breach for breach in breaches), breaches


@pytest.mark.parametrize(
    "body",
    [
        "yield Healthy()",
        "await asyncio.sleep(60)\nyield Healthy()",
        "try:\n    yield Healthy()\n    await asyncio.sleep(60)\nfinally: await asyncio.sleep(0)",
    ],
)
def test_streams_that_end_or_wait_or_fail_later_or_clean_up_are_right(author: Author, body: str) -> None:
    assert author.breaches(stream(body)) == []


@pytest.mark.parametrize(
    ("body", "what"),
    [("yield 1 / 0", "raises ZeroDivisionError"), ("return ['']", "tells an empty sentence")],
)
def test_a_check_that_does_not_work_is_named(author: Author, body: str, what: str) -> None:
    (breach,) = author.breaches(f"def check(self, spec, launch):\n    {body}\n")
    assert breach.startswith(f"Mine.check: {what}")


@pytest.mark.parametrize(
    "body", ["return []", "yield 'x'", "raise ProcessSpawnFailed('no')", "return spec.needs"]
)
def test_a_check_may_find_something_or_nothing(author: Author, body: str) -> None:
    assert author.breaches(f"def check(self, spec, launch):\n    {body}\n") == []


def test_what_a_run_leaves_is_released_as_after_any_run(author: Author, tmp_path: Path) -> None:
    body = (
        "@hookimpl\nasync def pre_spawn(self, launch):\n"
        f"    folder = Path({str(tmp_path)!r}) / f'run{{launch.generation}}'\n"
        "    folder.mkdir()\n"
        "    launch.remove_at_end(folder)\n"
        "    (folder / 'file').touch()\n"
        "    async def end(): (folder / 'file').rename(folder.parent / f'ended{launch.generation}')\n"
        "    launch.defer(end)\n"
    )
    assert author.breaches(body) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ended1", "ended2", "mine.py"]


def test_what_the_check_itself_fails_with_is_raised(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    class_ = author.write()
    monkeypatch.setattr(living.Life, "lead", lambda self: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        check_contract(class_)


# -- isolation and repetition ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "body", "what"),
    [
        (
            "",
            "self.words.append('x'); launch.argv += self.words",
            "edits the number of words in argv differently",
        ),
        ("", "launch.env[f'RUN_{launch.generation}'] = 'x'", "edits the names in env differently"),
        ("SEEN = []", "SEEN.append(launch.generation)", ".SEEN as it lives, which all servers share"),
        (
            "",
            "type(self).count = launch.generation",
            "changes Mine.count as it lives, which all servers share",
        ),
    ],
)
def test_what_is_kept_for_the_next_run_or_for_others_is_named(
    author: Author, before: str, body: str, what: str
) -> None:
    head = 'words: list[str] = option([], "words")\ncount: ClassVar[int] = 0\n'
    hook = f"@hookimpl\nasync def pre_spawn(self, launch):\n    {body}\n"
    breaches = author.breaches(head + hook, before=before)
    assert any(what in breach for breach in breaches), breaches


def test_a_container_that_two_plugins_share_is_named(author: Author) -> None:
    breaches = author.breaches(
        "seen: Any = field(init=False, default_factory=lambda: SHARED)\n"
        "@hookimpl\nasync def on_ready(self): self.seen.append(1)\n",
        before="SHARED = []",
    )
    assert "Mine.seen: is one and the same container in two plugins" in breaches
    assert "Mine.seen: is changed by the life of another server" in breaches


def test_a_plugin_with_slots_is_looked_at_as_any_other(author: Author) -> None:
    body = GOOD.replace("launch.argv.append", "self.words.append('x'); launch.argv.append")
    assert author.breaches(GOOD, decorator="@dataclass(eq=False, slots=True)") == []
    assert author.breaches(body, decorator="@dataclass(eq=False, slots=True)") == []


@pytest.mark.filterwarnings("ignore:use server.state")
def test_what_is_deprecated_is_told_and_no_breach(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    @hookspec(warn_on_impl_args={"reason": DeprecationWarning("use server.state")})
    async def on_shutdown(server: object, reason: str) -> None: ...

    monkeypatch.setattr(hooks, "on_shutdown", on_shutdown)
    findings = author.check(GOOD)
    assert findings.breaches == []
    assert findings.deprecated == [
        'plugin "mine" uses the argument "reason" of on_shutdown, which is deprecated: use server.state'
    ]
    assert findings.deprecated[0] in findings.text("Mine")


# -- the fake context ------------------------------------------------------------------------------------


def test_a_fake_context_has_all_that_a_plugin_may_use() -> None:
    wanted = {name for name in vars(ServerView) if not name.startswith("_")}
    assert {name for name in wanted if not hasattr(FakeServerContext(), name)} == set()


async def test_a_fake_context_records_what_it_is_told(tmp_path: Path) -> None:
    server = FakeServerContext(name="web", data_dir=tmp_path)
    server.publish("TOKEN", "hush", secret=True)
    server.redact("hidden")
    server.progress("working", 0.5)
    server.notice("topic", "text", level="warning", number=3)
    assert (await server.run_command(["true"], timeout=1)).code == 0
    assert server.command_env() == {"TOKEN": "hush"}
    assert server.redacted == ["hush", "hidden"]
    assert server.progressed == ["working"]
    assert server.notices == [("topic", "text", "warning", {"number": 3})]
    assert server.commands == [("true",)]
    assert [line async for line in server.lines()] == []
    assert (server.url, server.auth, server.members()) == (None, None, [])


def test_a_breach_reads_as_two_lines() -> None:
    assert (
        str(Breach("a.py:1 A", "is wrong", "make it right")) == "a.py:1 A: is wrong\n  to mend: make it right"
    )
