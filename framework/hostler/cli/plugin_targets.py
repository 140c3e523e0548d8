"""What `hostler plugins check` is to look at: from a word to the plugins that it names."""

from __future__ import annotations

import ast
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path

import click

from hostler.files.bounded_read import read_plain
from hostler.model.spec import PluginSpec
from hostler.plugins.discovery import GROUP, installed
from hostler.plugins.messages import did_you_mean

_LARGEST = 16 * 2**20


def targets(what: str) -> list[PluginSpec]:
    """The plugins that a word names. click.UsageError, with what was probably meant, where there are none."""
    if ":" in what:
        return [PluginSpec(what.rpartition(":")[2] or what, use=what)]
    if what in installed():
        return [PluginSpec(what)]

    path = Path(what).expanduser()
    if path.suffix == ".py":
        raise click.UsageError(_without_class(path, what))

    is_folder = bool(what) and path.is_dir()
    names = _of_distribution(what)
    if names is None and is_folder:
        names = _of_distribution(_project_name(path))

    if names:
        return [PluginSpec(name) for name in names]
    if names is not None:
        raise click.UsageError(
            f'{what} is installed, and offers no plugin (no entry point in the group "{GROUP}")'
        )

    raise click.UsageError(_unknown(what, is_folder=is_folder))


def _of_distribution(name: str) -> list[str] | None:
    """The plugins that an installed package offers; None when it is not installed."""
    try:
        points = distribution(name).entry_points if name else None
    except (PackageNotFoundError, ValueError):
        return None
    return None if points is None else sorted({point.name for point in points.select(group=GROUP)})


def _project_name(folder: Path) -> str:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        return ""
    return str(project.get("name", "")) if isinstance(project, dict) else ""


def _without_class(path: Path, what: str) -> str:
    try:
        tree = ast.parse(read_plain(path, _LARGEST)[0])
    except (OSError, SyntaxError, ValueError) as error:
        return f"{what} cannot be read: {error}"
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    choices = " or ".join(f"{what}:{name}" for name in classes)
    return f"name the class too: {choices}" if classes else f"there is no class in {what}"


def _unknown(what: str, *, is_folder: bool) -> str:
    if is_folder:
        return f"the package in {what} is not installed: pip install -e {what}"
    packages = {
        str(one.name) for one in distributions() if any(point.group == GROUP for point in one.entry_points)
    }
    choices = [*installed(), *sorted(packages)]
    question = did_you_mean(what, choices) or f"; there are: {', '.join(choices)}"
    return f"there is no plugin and no installed package {what}{question} (for a file, write FILE.py:Class)"
