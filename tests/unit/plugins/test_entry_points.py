"""What is offered in a group of entry points: the same as the standard library finds, without its import."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from hostler.plugins.entry_points import EntryPoint, read_entry_points


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages, in front of all others for the length of one test."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def described(folder: Path, *, about: str, entries: str, file: str = "METADATA") -> None:
    folder.mkdir(parents=True)
    (folder / file).write_text(about)
    (folder / "entry_points.txt").write_text(entries)


@pytest.mark.parametrize("group", ["hostler.plugins", "console_scripts", "pytest11", "there.is.none"])
def test_the_same_is_found_as_the_standard_library_finds(group: str) -> None:
    library = {(one.name, one.value, one.dist.name) for one in entry_points(group=group) if one.dist}
    assert {(one.name, one.value, one.package) for one in read_entry_points(group)} == library


def test_names_values_extras_and_comments_are_read_as_they_are_written(site: Path) -> None:
    described(
        site / "acme_one-1.0.dist-info",
        about="Metadata-Version: 2.1\nName: acme.one\nVersion: 1.0\n\nName: in the text\n",
        entries="[other]\na = b:C\n\n[acme.test]\n# a = b\n  one=acme.one : A.B [extra]\ntwo = acme\nwrong\n",
    )
    one, two = sorted(read_entry_points("acme.test"))
    assert (one.name, *one.target) == ("one", "acme.one", "A.B")
    assert (two.name, *two.target) == ("two", "acme", "")
    assert (one.package, one.version) == ("acme.one", "1.0")


def test_an_egg_folder_of_an_editable_install_counts(site: Path) -> None:
    described(
        site / "acme.egg-info",
        about="Name: acme\nVersion: 2\n",
        entries="[acme.test]\na = b:C\n",
        file="PKG-INFO",
    )
    assert read_entry_points("acme.test") == [EntryPoint("a", "b:C", "acme", "2")]


def test_of_two_packages_of_one_name_the_first_on_the_path_counts(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described(site / "Acme_One-1.dist-info", about="Name: Acme.One\n", entries="[acme.test]\na = old:C\n")
    front = tmp_path / "front"
    described(front / "acme_one-2.dist-info", about="Name: acme-one\n", entries="[acme.test]\na = new:C\n")
    monkeypatch.syspath_prepend(str(front))
    assert [offer.value for offer in read_entry_points("acme.test")] == ["new:C"]


def test_packages_without_files_and_folders_that_are_gone_are_passed_over(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "bare-1.dist-info").mkdir()
    (site / "nameless-1.dist-info").mkdir()
    (site / "nameless-1.dist-info" / "entry_points.txt").write_text("[acme.test]\na = b:C\n")
    monkeypatch.syspath_prepend(str(site / "gone"))
    assert read_entry_points("acme.test") == [EntryPoint("a", "b:C", "", "")]


def test_they_are_read_again_only_when_a_folder_has_changed(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(site)])
    package = site / "acme-1.dist-info"
    described(package, about="Name: acme\n", entries="[acme.test]\na = old:C\n")

    def found(module: str, changed: float) -> list[str]:
        (package / "entry_points.txt").write_text(f"[acme.test]\na = {module}:C\n")
        os.utime(site, (changed, changed))
        return [one.value for one in read_entry_points("acme.test")]

    now = time.time()
    assert found("first", now - 60) == ["first:C"]
    assert found("unseen", now - 60) == ["first:C"]
    assert found("later", now - 50) == ["later:C"]
    # In the middle of an installation nothing is kept: the folder does not change any more when it ends.
    assert found("half", now + 3600) == ["half:C"]
    assert found("whole", now + 3600) == ["whole:C"]


def test_what_stands_in_an_archive_is_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "acme.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("acme-3.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 3\n")
        file.writestr("acme-3.dist-info/entry_points.txt", "[acme.test]\na = b:C\n")
    monkeypatch.syspath_prepend(str(archive))
    assert read_entry_points("acme.test") == [EntryPoint("a", "b:C", "acme", "3")]


def test_an_importer_that_knows_packages_of_its_own_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import Distribution

    folder = tmp_path / "acme-4.dist-info"
    described(folder, about="Name: acme\nVersion: 4\n", entries="[acme.test]\na = b:C\n")

    class Elsewhere:
        """A finder as https://docs.python.org/3/library/importlib.metadata.html wants it."""

        @staticmethod
        def find_spec(*_: object) -> None:
            return None

        @staticmethod
        def find_distributions(*_: object) -> list[Distribution]:
            return [Distribution.at(folder)]

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Elsewhere])
    assert read_entry_points("acme.test") == [EntryPoint("a", "b:C", "acme", "4")]


def test_a_configuration_with_plugins_is_checked_without_the_librarys_reader(tmp_path: Path) -> None:
    file = tmp_path / "servers.toml"
    file.write_text('[servers.web]\ncommand = ["sleep", "1"]\n[servers.web.plugins]\nregex-port = true\n')
    code = "import sys, hostler; hostler.load(sys.argv[1]); print('importlib.metadata' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code, str(file)], check=True, capture_output=True, text=True)
    assert out.stdout == "False\n"
