"""The pages that are made from the code are up to date, the programs in the docs run, and the site builds."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType
from typing import NamedTuple

import hostler
import pytest
import reference_library
import reference_pages

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


class Program(NamedTuple):
    """A Python block, and what its page shows before it: the last TOML with servers, files with a name."""

    place: str
    text: str
    configuration: str
    files: Mapping[str, str]


def programs() -> Iterator[Program]:
    for page in PAGES:
        text, configuration = page.read_text(), ""
        files: dict[str, str] = {}
        for found in re.finditer(r"^```(python|toml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            if found[1] == "toml":
                configuration = found[2] if "[servers." in found[2] else configuration
            else:
                line = text.count("\n", 0, found.start()) + 1
                yield Program(f"{page.name}:{line}", found[2], configuration, dict(files))
                named = re.match(r"# (\w+\.py)\n", found[2])
                files |= {named[1]: found[2]} if named else {}


@pytest.mark.requirement("R44")
@pytest.mark.parametrize("name", reference_pages.PAGES)
def test_a_page_of_the_reference_is_up_to_date(name: str) -> None:
    there = (reference_pages.FOLDER / name).read_text()
    assert there == reference_pages.page(name), "run python tests/support/reference_pages.py"


@pytest.mark.requirement("R44")
@pytest.mark.parametrize("name", sorted(reference_library.NAMES))
def test_all_that_a_public_name_has_is_in_the_reference(name: str) -> None:
    page, heading = reference_library.place_of(name)
    text = (reference_pages.FOLDER / page).read_text()
    if heading:
        (text,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    value = getattr(hostler, name)
    names = public_names(value) if inspect.isclass(value) else set()
    assert {one for one in names if not re.search(rf"\b{one}\b", text)} == set()


def public_names(class_: type) -> set[str]:
    """What objects of a class have for programs, without what a public class above it has."""
    found: set[str] = set()
    for one in class_.__mro__:
        if one.__module__.startswith("hostler"):
            has = {name for name, kind in inspect.get_annotations(one).items() if "ClassVar" not in str(kind)}
            for name, value in vars(one).items():
                has |= {name} if isinstance(value, property | classmethod | FunctionType) else set()
            above = one is not class_ and one.__name__ in reference_library.NAMES
            found = found - has if above else found | has
    return {name for name in found if not name.startswith("_")}


@pytest.mark.requirement("R44")
@pytest.mark.parametrize("program", list(programs()), ids=lambda program: program.place)
def test_every_python_block_runs(program: Program, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "hostler.toml").write_text(program.configuration)
    (tmp_path / "block.py").write_text(program.text)

    for name, text in program.files.items():
        (tmp_path / name).write_text(text)

    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "HOSTLER"))}
    done = subprocess.run(
        [sys.executable, "block.py"],
        cwd=tmp_path,
        env=kept | {"HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_page_is_in_the_site_s_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    named = set(re.findall(r"[\w/-]+\.md", text))
    assert named == {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    call = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    pictures = re.findall(r'src(?:set)?="(images/[^"]+)"', (site / "top.html").read_text())
    assert len(pictures) == 2  # in dark, and in light
    assert [one for one in pictures if not (site / one).is_file()] == []
    page = (site / "reference" / "hooks.html").read_text()
    assert "health_check" in page
    fetched = re.findall(r'(?:src|href)="(https?://[^"]+\.(?:js|css|woff2?))"', page)
    assert fetched == []
