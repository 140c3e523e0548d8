"""What a sandbox shows of the file system: which places may be written, which only read, which not seen."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from hostler import EnvironmentSetupFailed

_MOST_LINKS = 40


class Access(Enum):
    """What may be done in a place."""

    HIDDEN = "hidden"
    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder or file with all that is below it. `source` is what is shown there, itself by default.

    A `fixed` one cannot be moved away in the sandbox, and nothing else put in its place.
    """

    path: Path
    access: Access
    source: Path | None = None
    fixed: bool = False


def expanded(texts: Iterable[str], *homes: str) -> list[Path]:
    """Paths with "~" for each of these homes."""
    found = []
    for text in texts:
        if text == "~" or text.startswith("~/"):
            found += [Path(home) / text[2:] for home in dict.fromkeys(homes) if home.startswith("/")]
        else:
            found.append(Path(text))
    return found


def missing(paths: Iterable[Path]) -> list[str]:
    """Those that nothing is at, not even a link."""
    return [str(path) for path in paths if not os.path.lexists(path)]


def arrange(places: Iterable[Place]) -> list[Place]:
    """The places that change something, outermost first: the innermost counts, and of equal ones the last.

    Paths are made real, as links lead elsewhere in a sandbox. Raises EnvironmentSetupFailed (permanent)
    for a link that the server itself could have made, to have elsewhere shown or made writable.
    """
    places = list(places)
    roots = roots_of(places)
    found: dict[Path, Place] = {}

    for one in places:
        real = real_path(one.path, roots)
        if one.source is not None or real.exists():
            before = found.pop(real, None)
            inside = any(root in real.parents for root in roots)
            fixed = (one.fixed and inside) or (before is not None and before.fixed)
            found[real] = Place(real, one.access, one.source, fixed)

    found |= {path: place for path, place in _around_fixed(found, roots).items() if path not in found}
    ordered = [found[path] for path in sorted(found, key=lambda path: len(path.parts))]
    return [one for one in ordered if one.fixed or _changes(one, ordered)]


def roots_of(places: Iterable[Place]) -> list[Path]:
    """Where the server may write, made real."""
    return [
        Path(os.path.realpath(one.path))
        for one in places
        if one.access is Access.WRITE and one.source is None
    ]


def _around_fixed(found: Mapping[Path, Place], roots: Iterable[Path]) -> dict[Path, Place]:
    """The folders between what is fixed and where the server may write: a folder that is mounted by itself
    cannot be renamed, with all that is in it."""
    folders = {
        folder: Place(folder, Access.WRITE, fixed=True)
        for one in found.values()
        if one.fixed
        for root in roots
        if root in one.path.parents
        for folder in one.path.parents
        if root in folder.parents
    }
    return {path: place for path, place in folders.items() if _access(path, found) is Access.WRITE}


def _access(path: Path, found: Mapping[Path, Place]) -> Access:
    """What may be done at a path, by the innermost place around it."""
    context = next((found[one] for one in (path, *path.parents) if one in found), None)
    return Access.READ if context is None else context.access


def may_write(path: Path, places: Iterable[Place]) -> bool:
    """Whether a server with these places could change what a path leads to."""
    places = list(places)
    try:
        real = real_path(path, roots_of(places))
    except EnvironmentSetupFailed:
        return True
    return _access(real, {Path(os.path.realpath(one.path)): one for one in places}) is Access.WRITE


def real_path(path: Path, roots: Iterable[Path]) -> Path:
    """Follow the links on the way to a path, but none that lies where the server may write."""
    here, links = Path("/"), 0
    parts = [*Path(os.path.abspath(path)).parts[:0:-1]]  # noqa: PTH100 - links are followed one by one
    while parts:
        below = here / parts.pop()
        if below.name == "..":
            here = here.parent
        elif not below.is_symlink():
            here = below
        elif any(here == root or root in here.parents for root in roots):
            raise EnvironmentSetupFailed(
                f"{below} is a link in a folder that the server may write to",
                hint="name the place that it leads to, or remove the link",
                permanent=True,
            )
        elif (links := links + 1) > _MOST_LINKS:
            return below
        else:
            target = below.readlink()
            here = Path("/") if target.is_absolute() else here
            parts += [part for part in target.parts if part != "/"][::-1]

    return here


def _changes(place: Place, places: Iterable[Place]) -> bool:
    """Whether a place would be another without its word: by the innermost of those around it."""
    *_, context = (Place(Path("/"), Access.READ), *(one for one in places if one.path in place.path.parents))
    return bool(place.source or context.source) or context.access is not place.access


def mounts(places: Iterable[Place]) -> Iterator[str]:
    """The arguments of bwrap that show these places so."""
    hidden = []

    for place in places:
        path, source = str(place.path), str(place.source or place.path)
        match place.access:
            case Access.WRITE:
                yield from ("--bind", source, path)
            case Access.READ:
                yield from ("--ro-bind", source, path)
            case Access.HIDDEN if place.path.is_dir():
                yield from ("--tmpfs", path)
                hidden.append(path)
            case Access.HIDDEN:
                yield from ("--ro-bind", "/dev/null", path)

    for path in hidden:  # now that there are the places for what is shown below them
        yield from ("--remount-ro", path)


def home_of(env: Mapping[str, str]) -> str:
    """The home folder in an environment; "" where there is none."""
    return env.get("HOME", "")
