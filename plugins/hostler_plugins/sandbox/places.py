"""What a sandbox shows of the file system: which places may be written, which only read, which not seen."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from hostler import EnvironmentSetupFailed


class Access(Enum):
    """What may be done in a place."""

    HIDDEN = "hidden"
    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder or file with all that is below it. `source` is what is shown there, itself by default."""

    path: Path
    access: Access
    source: Path | None = None


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
    open_ = [one.path for one in places if one.access is Access.WRITE and one.source is None]
    roots = [Path(os.path.realpath(path)) for path in open_]
    found: dict[Path, Place] = {}

    for one in places:
        real = _real(one.path, roots)

        if one.source is not None or real.exists():
            found.pop(real, None)
            found[real] = Place(real, one.access, one.source)

    ordered = [found[path] for path in sorted(found, key=lambda path: len(path.parts))]
    return [one for one in ordered if _changes(one, ordered)]


def _real(path: Path, roots: Iterable[Path]) -> Path:
    """Follow the links on the way to a path, but none that lies where the server may write."""
    here = Path("/")

    for part in Path(os.path.abspath(path)).parts[1:]:  # noqa: PTH100 - links are followed one by one
        below = here / part

        if below.is_symlink() and any(here == root or root in here.parents for root in roots):
            raise EnvironmentSetupFailed(
                f"{below} is a link in a folder that the server may write to",
                hint="name the place that it leads to, or remove the link",
                permanent=True,
            )

        here = Path(os.path.realpath(below))

    return here


def _changes(place: Place, places: Iterable[Place]) -> bool:
    """Whether a place would be another without its word: by the innermost of those around it."""
    *_, around = (Place(Path("/"), Access.READ), *(one for one in places if one.path in place.path.parents))
    return bool(place.source or around.source) or around.access is not place.access


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
