"""Where a configuration comes from: what it is called, and what relative paths in it start from."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hostler.files.bounded_read import is_handed_over
from hostler.model.schema.paths import tidy


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was named, or what was handed over open: "-" (standard input), `<(command)` of a shell."""

    named: Path

    @property
    def file(self) -> Path | None:
        """The file, absolute; None for what can be read once alone."""
        return None if is_handed_over(self.named) else self.named.absolute()

    @property
    def label(self) -> Path | str:
        """How it is called in messages."""
        return self.named if self.file else str(self.named)

    @property
    def folder(self) -> Path:
        """Where relative paths start: the folder of the file, be it that of a link; else the current one."""
        return Path.cwd() if self.file is None else self.file.parent

    @property
    def namespace(self) -> str:
        """What is the same for one configuration, whatever its links lead to: its path as it was named."""
        if self.file is None:
            return str(Path.cwd() / "-")

        path = tidy(_current_folder() / self.named)
        return str(path) if ".." not in path.parts else str(Path(os.path.realpath(path.parent), path.name))


def _current_folder() -> Path:
    """The current folder as the shell calls it, with the links that it was entered by."""
    named = os.environ.get("PWD", "")

    with suppress(OSError):
        if named.startswith("/") and Path(named).samefile("."):
            return Path(named)

    return Path.cwd()
