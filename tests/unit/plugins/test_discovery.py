"""Where the class of a plugin comes from, and what is said when it does not come."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from hostler import PluginError, PluginSpec
from hostler.plugins.discovery import find_class, installed
from hostler.plugins.options import build, option_problems

CADDY = """
    from __future__ import annotations

    from dataclasses import dataclass

    from hostler import Launch, hookimpl


    @dataclass(eq=False)
    class Caddy:
        '''Starts Caddy.

        More about it.
        '''

        binary: str = "caddy"

        @hookimpl
        async def pre_spawn(self, launch: Launch) -> None:
            launch.argv[:0] = [self.binary]
"""


def write_module(path: Path, source: str = CADDY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(source))
    return path


def install(site: Path, package: str, entries: dict[str, str], version: str = "1.2.3") -> None:
    """Put a distribution with entry points where a directory of `sys.path` would have it."""
    info = site / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
    (info / "entry_points.txt").write_text(f"[hostler.plugins]\n{lines}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of packages, in front of all others for the length of one test."""
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(str(directory))
    return directory


@pytest.fixture(autouse=True)
def no_modules_stay_behind() -> object:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("acme", "hostler_plugin_")):
            del sys.modules[name]


def test_an_installed_package_offers_its_plugin_by_entry_point(site: Path) -> None:
    write_module(site / "acme_caddy.py")
    install(site, "acme-caddy", {"caddy": "acme_caddy:Caddy"})
    assert "caddy" in installed()
    assert find_class(PluginSpec("caddy")).__name__ == "Caddy"


def test_listing_the_installed_imports_none_of_them(site: Path) -> None:
    write_module(site / "acme_boom.py", "raise RuntimeError('imported')")
    install(site, "acme-boom", {"boom": "acme_boom:Boom"})
    assert "boom" in installed()
    assert "acme_boom" not in sys.modules


def test_a_broken_plugin_that_nobody_names_hurts_nobody(site: Path) -> None:
    write_module(site / "acme_boom.py", "import there_is_no_such_module")
    write_module(site / "acme_caddy.py")
    install(site, "acme", {"boom": "acme_boom:Boom", "caddy": "acme_caddy:Caddy"})
    assert find_class(PluginSpec("caddy")).__name__ == "Caddy"
    assert "acme_boom" not in sys.modules


def test_a_broken_plugin_is_named_with_its_place_and_cause(site: Path) -> None:
    write_module(site / "acme_boom.py", "import there_is_no_such_module")
    install(site, "acme-boom", {"boom": "acme_boom:Boom"})
    with pytest.raises(PluginError, match="there_is_no_such_module") as caught:
        find_class(PluginSpec("boom"))
    assert '"boom"' in str(caught.value)
    assert "acme-boom" in str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_plugin_module_that_exits_at_import_does_not_end_the_program(site: Path) -> None:
    write_module(site / "acme_exit.py", "import sys; sys.exit(3)")
    with pytest.raises(PluginError, match=r"SystemExit\(3\)"):
        find_class(PluginSpec("exit", use="acme_exit:Exit"))


def test_an_unknown_name_lists_what_is_installed_and_the_likely_word() -> None:
    with pytest.raises(PluginError) as caught:
        find_class(PluginSpec("env-sanitiser"))
    assert 'did you mean "env-sanitizer"?' in str(caught.value)
    assert "regex-port" in str(caught.value)
    assert option_problems(PluginSpec("env-sanitiser"))[0].proposal == "env-sanitizer"


def test_an_unknown_name_like_no_other_is_told_of_use() -> None:
    with pytest.raises(PluginError, match="or give use ="):
        find_class(PluginSpec("zzzz"))


def test_a_package_replaces_a_bundled_plugin_by_its_name(site: Path) -> None:
    write_module(site / "acme_caddy.py")
    install(site, "acme-caddy", {"env-sanitizer": "acme_caddy:Caddy"})
    assert find_class(PluginSpec("env-sanitizer")).__module__ == "acme_caddy"


def test_two_packages_that_offer_one_name_are_both_told(site: Path) -> None:
    install(site, "acme-one", {"caddy": "acme_one:Caddy"})
    install(site, "acme-two", {"caddy": "acme_two:Caddy"})
    with pytest.raises(PluginError, match=r"acme-one \(acme_one:Caddy\), acme-two \(acme_two:Caddy\)"):
        find_class(PluginSpec("caddy"))


def test_use_names_a_class_in_a_module(site: Path) -> None:
    write_module(site / "acme_caddy.py")
    assert find_class(PluginSpec("mine", use="acme_caddy:Caddy")).__name__ == "Caddy"


def test_use_names_a_class_inside_another() -> None:
    assert find_class(PluginSpec("mine", use="hostler.errors:Problem")).__qualname__ == "Problem"
    with pytest.raises(PluginError, match="is not a class"):
        find_class(PluginSpec("mine", use="hostler.errors:Problem.__str__"))


@pytest.mark.parametrize("use", ["acme_caddy", ":Caddy", "acme_caddy:"])
def test_use_without_module_or_class_is_refused(use: str) -> None:
    with pytest.raises(PluginError, match="names no class"):
        find_class(PluginSpec("mine", use=use))


def test_a_misspelt_class_is_told_with_the_likely_one(site: Path) -> None:
    write_module(site / "acme_caddy.py")
    with pytest.raises(PluginError, match='did you mean "Caddy"'):
        find_class(PluginSpec("mine", use="acme_caddy:Cady"))
    with pytest.raises(PluginError, match=r"there is no Zzzz in module acme_caddy$"):
        find_class(PluginSpec("mine", use="acme_caddy:Zzzz"))


def test_a_class_is_loaded_by_path_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    write_module(tmp_path / "plugins" / "caddy.py")
    path_before, files_before = list(sys.path), sorted(tmp_path.rglob("*"))
    plugin = build(
        PluginSpec("mine", {"binary": "/opt/caddy"}, use="./plugins/caddy.py:Caddy", base=tmp_path)
    )
    assert vars(plugin) == {"binary": "/opt/caddy"}
    assert sys.path == path_before
    assert "caddy" not in sys.modules
    assert sorted(tmp_path.rglob("*")) == files_before, "no bytecode is left beside the user's file"


def test_a_path_may_be_absolute_and_lack_its_suffix(tmp_path: Path) -> None:
    path = write_module(tmp_path / "caddy-plugin")
    assert find_class(PluginSpec("mine", use=f"{path}:Caddy")).__name__ == "Caddy"


def test_a_path_without_a_base_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_module(tmp_path / "caddy.py")
    monkeypatch.chdir(tmp_path)
    assert find_class(PluginSpec("mine", use="caddy.py:Caddy")).__name__ == "Caddy"


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    one, two = (
        find_class(
            PluginSpec("mine", use="./caddy.py:Caddy", base=write_module(tmp_path / name / "caddy.py").parent)
        )
        for name in ("one", "two")
    )
    assert one is not two


def test_an_unchanged_file_runs_once_and_an_edited_one_again(tmp_path: Path) -> None:
    path = write_module(tmp_path / "caddy.py")
    stamp = path.stat()
    spec = PluginSpec("mine", use="./caddy.py:Caddy", base=tmp_path)
    first = find_class(spec)
    assert find_class(spec) is first
    path.write_text(path.read_text().replace('"caddy"', '"CADDY"'))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert vars(find_class(spec)())["binary"] == "CADDY"


def test_a_file_that_is_not_there_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=str(tmp_path / "gone.py")):
        find_class(PluginSpec("mine", use="gone.py:Caddy", base=tmp_path))


def test_a_link_that_leads_to_itself_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "loop.py").symlink_to("loop.py")
    with pytest.raises(PluginError, match="loop.py.*Too many levels"):
        find_class(PluginSpec("mine", use="loop.py:Caddy", base=tmp_path))


def test_a_file_that_fails_leaves_no_half_made_module(tmp_path: Path) -> None:
    write_module(tmp_path / "broken.py", "this is no Python!")
    before = set(sys.modules)
    with pytest.raises(PluginError, match="SyntaxError"):
        find_class(PluginSpec("mine", use="broken.py:Caddy", base=tmp_path))
    assert not [name for name in set(sys.modules) - before if "broken" in name]


def test_importing_the_package_of_plugins_imports_no_plugin_and_no_msgspec() -> None:
    heavy = ("msgspec", "asyncio", "hostler_plugins")
    code = f"import sys, hostler.plugins; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\nclass Caddy\n    pass\n", "line 2: SyntaxError: expected ':'"),
        ("def f():\n    raise RuntimeError('no licence')\n\nf()\n", "line 2: RuntimeError('no licence')"),
        ("import hostler_no_such_module\n", "line 1: ModuleNotFoundError("),
        ("import json\njson.loads('{')\n", "line 2: JSONDecodeError("),
        (
            "import dataclasses\n@dataclasses.dataclass\nclass Caddy:\n    sites: dict = {}\n",
            "line 2: a dict can be the default of an option alone; write sites: ... = option(dict(), ",
        ),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_with_its_line(tmp_path: Path, source: str, said: str) -> None:
    path = write_module(tmp_path / "caddy.py", source)
    (problem,) = option_problems(PluginSpec("caddy", use=f"{path}:Caddy"))
    assert problem.message.startswith(f'plugin "caddy" ({path}) could not be imported: {said}')


def test_a_file_that_is_missing_is_told_in_words(tmp_path: Path) -> None:
    (problem,) = option_problems(PluginSpec("caddy", use="nowhere.py:Caddy", base=tmp_path))
    assert problem.message.endswith("could not be imported: it cannot be read: No such file or directory")


def test_a_fault_of_a_plugin_by_path_names_its_file_and_class(tmp_path: Path) -> None:
    path = write_module(tmp_path / "caddy.py", CADDY.replace("pre_spawn", "pre_swapn"))
    (problem,) = option_problems(PluginSpec("caddy", use=f"{path}:Caddy"))
    assert f'plugin "caddy" ({path}:Caddy): there is no hook "pre_swapn"' in problem.message
