"""`hostler plugins check`: what it looks at, what it says, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostler_process import Run

GOOD = '''
from dataclasses import dataclass
from hostler import hookimpl, option

@dataclass(eq=False)
class Good:
    """Does nothing, and does it well."""

    word: str = option("x", "a word")

    @hookimpl
    async def on_ready(self): pass

@dataclass(eq=False)
class Bad:
    """Does it badly."""

    @hookimpl
    async def on_ready(self): raise OSError("\\x1b[31mno")

@dataclass(eq=False)
class Needy:
    """Needs to be told."""

    word: str = option(..., "a word")

    @hookimpl
    async def on_crash(self): self.word.upper()
'''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(GOOD)
    return file


@pytest.fixture
def site(tmp_path: Path, mine: Path, environ: dict[str, str]) -> dict[str, str]:
    """An environment in which a package with three plugins is installed."""
    info = tmp_path / "site" / "hostler_mine-1.0.dist-info"
    info.mkdir(parents=True)
    mine.rename(tmp_path / "site" / "mine.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostler-mine\nVersion: 1.0\n")
    entries = "[hostler.plugins]\ngood = mine:Good\nNEEDY = mine:Needy\nbad = mine:Bad\ngone = mine:Gone\n"
    (info / "entry_points.txt").write_text(entries)
    return environ | {"PYTHONPATH": str(tmp_path / "site")}


@pytest.mark.parametrize(
    ("body", "what", "mend"),
    [
        (
            "    @hookimpl\n    async def pre_spawn(self, launch):\n        launch.args.append('x')\n",
            "P.pre_spawn: raises AttributeError(\"'Launch' object has no attribute 'args'\")",
            "to mend: correct line 8",
        ),
        (
            "    @hookimpl\n    async def on_ready(self):\n        raise SystemExit(3)\n",
            "P.on_ready: raises SystemExit(3) with plain values",
            "to mend: correct line 8",
        ),
        (
            (
                "    def __post_init__(self):\n        raise KeyError('x')\n"
                "    @hookimpl\n    async def on_ready(self): ...\n"
            ),
            "P: no object can be made: line 7: KeyError('x')",
            "to mend: correct that line; what is wrong with an option is a ValueError",
        ),
    ],
)
def test_a_slip_of_the_program_is_told_with_its_line(
    run: Run, tmp_path: Path, body: str, what: str, mend: str
) -> None:
    head = "from dataclasses import dataclass\nfrom hostler import hookimpl\n@dataclass(eq=False)\nclass P:\n"
    (tmp_path / "p.py").write_text(head + '    """Doc."""\n' + body)
    done = run("plugins", "check", "p.py:P")
    assert done.returncode == 1
    assert what in done.stderr
    assert mend in done.stderr


def test_a_class_in_a_file_is_checked(run: Run, mine: Path) -> None:
    done = run("plugins", "check", "mine.py:Good")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Good: conforms to the hook contract\n", "")


def test_a_listener_in_a_file_is_checked(run: Run, tmp_path: Path) -> None:
    text = "    async def listen(self, events, context):\n        async for event in events: pass\n"
    (tmp_path / "my.py").write_text(
        f"from dataclasses import dataclass\n@dataclass\nclass Mine:\n    'Does nothing.'\n{text}"
    )
    done = run("plugins", "check", "my.py:Mine")
    assert (done.stdout, done.returncode) == ("Mine: conforms to the contract of listeners\n", 0)


def test_listeners_are_shown_after_the_plugins(run: Run) -> None:
    shown = run("plugins").stdout
    assert (
        shown.index("\nsystemd ") < shown.index("\nwebhook ") < shown.index("  a listener, for [listeners]")
    )
    assert "hooks" not in run("plugins", "webhook").stdout


def test_a_broken_promise_is_told_on_stderr_and_ends_with_1(run: Run, mine: Path) -> None:
    done = run("plugins", "check", f"{mine}:Bad")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Bad breaks 1 promise of a plugin:\n- mine.py:")
    assert "Bad.on_ready: raises OSError('\\x1b[31mno') with plain values" in done.stderr
    assert "to mend: " in done.stderr


@pytest.mark.parametrize("words", [(), ("--set", "word=x"), ("--set", 'word = "x"')])
def test_a_plugin_that_must_be_told_something_can_be(run: Run, mine: Path, words: tuple[str, ...]) -> None:
    done = run("plugins", "check", f"{mine}:Needy", *words)
    assert done.returncode == 0
    assert ("give it what it needs: --set OPTION=VALUE" in done.stdout) == (not words)
    assert ("conforms to the hook contract" in done.stdout) == bool(words)


def test_what_is_told_wrongly_is_a_failure(run: Run, mine: Path) -> None:
    done = run("plugins", "check", f"{mine}:Needy", "--set", "wrod=x")
    assert done.returncode == 1
    assert "did you mean" in done.stderr


def test_an_installed_plugin_is_checked_by_its_name(run: Run, site: dict[str, str]) -> None:
    assert run("plugins", "check", "good", env=site).stdout == "good: conforms to the hook contract\n"
    assert run("plugins", "check", "mine:Good", env=site).returncode == 0


@pytest.mark.parametrize("name", ["hostler-mine", "hostler_mine"])
def test_all_plugins_of_an_installed_package_are_checked(run: Run, site: dict[str, str], name: str) -> None:
    done = run("plugins", "check", name, env=site)
    assert done.returncode == 1
    assert "good: conforms to the hook contract" in done.stdout
    assert "bad breaks 1 promise of a plugin:" in done.stderr
    assert "NEEDY: is not in kebab-case" in done.stderr
    assert 'plugin "gone": there is no Gone' in done.stderr
    assert "Traceback" not in done.stderr


def test_options_are_for_one_plugin(run: Run, site: dict[str, str]) -> None:
    done = run("plugins", "check", "hostler-mine", "--set", "word=x", env=site)
    assert done.returncode == 2
    assert "--set is for one plugin, and here are several: NEEDY, bad, gone, good" in done.stderr


def test_a_folder_of_a_project_stands_for_its_package(run: Run, site: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    done = run("plugins", "check", "code", env=site)
    assert done.returncode == 2
    assert "the package in code is not installed: pip install -e code" in done.stderr
    (tmp_path / "code" / "pyproject.toml").write_text('[project]\nname = "hostler-mine"\n')
    assert "good: conforms to the hook contract" in run("plugins", "check", "code", env=site).stdout


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("tpc-health", 'there is no plugin and no installed package tpc-health; did you mean "tcp-health"?'),
        ("completely-else", "completely-else; there are: "),
        ("mine.py", "name the class too: mine.py:Good or mine.py:Bad or mine.py:Needy"),
        ("none.py", "none.py cannot be read: "),
        ("empty.py", "there is no class in empty.py"),
        (
            "click",
            'click is installed, and provides no plugin (no entry point in the group "hostler.plugins"',
        ),
        ("", "there is no plugin and no installed package"),
    ],
)
def test_what_names_nothing_is_a_mistake_in_the_call(run: Run, mine: Path, what: str, said: str) -> None:
    mine.with_name("empty.py").touch()
    done = run("plugins", "check", what)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("setting", ["word", "=x"])
def test_a_setting_without_a_name_or_value_is_a_mistake_in_the_call(
    run: Run, mine: Path, setting: str
) -> None:
    done = run("plugins", "check", f"{mine}:Good", "--set", setting)
    assert done.returncode == 2
    assert "expected OPTION=VALUE" in done.stderr


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("mine.py:Goood", 'did you mean "Good"?'),
        ("none.py:Good", "could not be imported"),
        ("no_such_module:Good", "could not be imported"),
        ("broken.py:Good", "SyntaxError"),
        ("mine.py:", "names no class"),
    ],
)
def test_what_cannot_be_imported_is_a_failure(run: Run, mine: Path, what: str, said: str) -> None:
    mine.with_name("broken.py").write_text("class Good(:")
    done = run("plugins", "check", what)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plugin_that_fails_wherever_it_is_touched_is_a_failure_without_a_traceback(
    run: Run, mine: Path
) -> None:
    body = 'word: list[str] = field(default_factory=lambda: 1 / 0, metadata={"meaning": "a word"})'
    mine.write_text(
        GOOD.replace('word: str = option("x", "a word")', body).replace(
            "import dataclass", "import dataclass, field"
        )
    )
    done = run("plugins", "check", "mine.py:Good")
    assert done.returncode == 1
    assert "Good: cannot be checked, since it raises ZeroDivisionError('division by zero')" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_word_that_is_no_command_is_the_name_of_a_plugin(run: Run) -> None:
    assert run("plugins", "show", "tcp-health").stdout == run("plugins", "tcp-health").stdout
    done = run("plugins", "chek")
    assert done.returncode == 2
    assert 'no plugin "chek" is installed; did you mean "check"?' in done.stderr


def test_an_option_without_a_default_is_shown_as_required(run: Run, site: dict[str, str]) -> None:
    assert "\n  word (str, required)\n      a word\n" in run("plugins", "show", "NEEDY", env=site).stdout
    assert '\n  word = "x"  (str)\n      a word\n' in run("plugins", "show", "good", env=site).stdout
