"""What a check of a plugin finds: promises that it breaks, and what could not be looked at."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Breach:
    """One promise that a plugin breaks: where ("caddy.py:12 Caddy.on_ready"), what, and how to fix it."""

    where: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}\n  to mend: {self.mend}"


@dataclass(slots=True)
class Findings:
    """All breaches in the order of the checks, and notes on what was not checked, and why.

    `unbuilt` says why no object could be made, so that no hook was called. `deprecated` is what still works
    and will go.
    """

    breaches: list[Breach] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unbuilt: str = ""
    deprecated: list[str] = field(default_factory=list)

    def broken(self, where: str, what: str, mend: str) -> None:
        """Add a breach, once."""
        breach = Breach(where, what, mend)
        if breach not in self.breaches:
            self.breaches.append(breach)

    def note(self, what: str) -> None:
        """Note what was not checked, once."""
        if what not in self.notes:
            self.notes.append(what)

    def could_not_be_built(self, why: str) -> None:
        """Note why no object could be made."""
        self.unbuilt = why

    def text(self, name: str) -> str:
        """Everything, for people."""
        count = "1 promise" if len(self.breaches) == 1 else f"{len(self.breaches)} promises"
        parts = [f"{name} breaks {count} of a plugin:"] if self.breaches else []
        parts += [f"- {breach}" for breach in self.breaches]
        parts += [
            f"- not checked: {note}" for note in [*self.notes, *([self.unbuilt] if self.unbuilt else [])]
        ]
        parts += [f"- {deprecated}" for deprecated in self.deprecated]
        return "\n".join(parts)


def place_of(class_: type, name: str = "") -> str:
    """Where a class, or a method or option of it, stands: file, line and dotted name."""
    dotted = f"{class_.__name__}.{name}" if name else class_.__name__
    thing = getattr(class_, name, class_) if name else class_
    thing = thing if inspect.isfunction(thing) or inspect.isclass(thing) else class_
    return f"{_line_of(thing)} {dotted}".strip()


def _line_of(thing: type | Callable[..., object]) -> str:
    with suppress(OSError, TypeError):  # what was made at run time has no source
        file = Path(inspect.getsourcefile(thing) or "")
        number = inspect.getsourcelines(thing)[1]
        return f"{file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}:{number}"
    return ""
