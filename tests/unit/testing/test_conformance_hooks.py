"""What the contract check finds by calling the hooks of a plugin."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest
from hostler import hooks, hookspec
from hostler.testing.conformance import check_contract, lifecycle_checks
from plugin_author import GOOD, Author, author, short_deadlines

__all__ = ["author", "short_deadlines"]


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
    monkeypatch.setattr(lifecycle_checks.Life, "lead", lambda self: 1 / 0)
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


@pytest.mark.parametrize(
    ("sink", "what"),
    [
        (
            "def write(self, data): pass\n    def close(self): pass",
            "a write that cannot be called: too many positional",
        ),
        ("def write(self, stream, data): pass", "which has no close"),
        (
            "def write(self, stream, data): pass\n    def close(self, now): pass",
            "a close that cannot be called: missing",
        ),
    ],
)
def test_a_sink_that_could_not_be_called_is_named_with_its_form(author: Author, sink: str, what: str) -> None:
    edit = "@hookimpl\nasync def pre_spawn(self, launch): launch.sinks.append(self.Lines())"
    (breach,) = author.check(f"class Lines:\n    {sink}\n{edit}").breaches
    assert what in breach.what
    assert breach.mend.startswith("write def write(self, stream, data) and def close(self)")


def test_a_check_that_is_a_coroutine_is_named_with_its_form(author: Author) -> None:
    (breach,) = author.check("async def check(self, spec, launch): return []").breaches
    assert breach.what == 'is "async def" and must be "def"'
    assert breach.mend.startswith("write def check(self, spec, launch)")


RUNS = """
runs: Any = field(init=False, default_factory=list)
@hookimpl
async def pre_spawn(self, launch):
    self.runs.append({kept})
    {edit}
"""
GROWING = {
    "launch.argv.append(str(len(self.runs)))": "word 1 of argv differently once it has lived through a",
    "launch.env['RUNS'] = ','.join(self.runs)": "the variable RUNS differently once it has lived through a",
    "launch.set_secret('TOKEN', 'tok' * len(self.runs))": "the secret TOKEN differently once it has lived",
}


@pytest.mark.parametrize("edit", GROWING)
def test_an_edit_that_grows_from_run_to_run_is_named(author: Author, edit: str) -> None:
    (breach,) = author.breaches(RUNS.format(kept="'x'", edit=edit))
    assert GROWING[edit] in breach
    assert "toktok" not in breach


@pytest.mark.parametrize(
    "value",
    [
        "str(launch.generation)",
        "os.urandom(8).hex()",
        "self.runs[0]",  # a password that is kept
        "tempfile.mkdtemp(dir=launch.data_dir)",
        "str(free_port('127.0.0.1'))",
        "str(time.time())",
    ],
)
def test_an_edit_that_differs_by_chance_or_by_the_launch_does_not_grow(author: Author, value: str) -> None:
    before = "import tempfile\nfrom hostler.process.net.ports import free_port"
    edit = f"launch.argv.append({value}); launch.env['X'] = {value}"
    assert author.breaches(RUNS.format(kept="os.urandom(4).hex()", edit=edit), before=before) == []


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
