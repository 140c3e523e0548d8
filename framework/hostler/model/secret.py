"""A secret that is known by where it is: read at each start, and kept by nobody."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from hostler.errors import EnvironmentSetupFailed
from hostler.files.private_file import Unreadable, read_private
from hostler.model.dataclass import dataclass

FORM = '"env:NAME" or "file:PATH"'  # for messages

_SOURCE = r"env:[^=\0]+|file:[^\0]+"
_LARGEST = 64 * 2**10


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is: `Secret("env:NAME")`, `Secret("file:PATH")`; in TOML `{ secret = "env:NAME" }`.

    The value is read when it is needed and never stored here: repr, comparison and pickle know the
    source alone. A relative PATH is seen from the current folder; in TOML, from the file in which it
    stands. ValueError for any other form.
    """

    secret: str

    def __post_init__(self) -> None:
        if re.fullmatch(_SOURCE, self.secret) is None:
            raise ValueError(f"expected {FORM}")

    @property
    def path(self) -> Path | None:
        """The file that it is read from; None for a variable."""
        scheme, _, place = self.secret.partition(":")
        home = os.path.expanduser(place)  # noqa: PTH111 - Path.expanduser raises RuntimeError
        return Path(home) if scheme == "file" else None

    def read(self, environ: Mapping[str, str] | None = None, *, warn: Callable[[str], object] = str) -> str:
        """Read it anew; a newline at the end of a file is no part of it.

        `environ` is where a variable is looked up, os.environ by default. `warn` is told when others
        can get at the file. Raises EnvironmentSetupFailed, which tells the source and never what
        stands there, for a variable that is missing, a file that cannot be read, is larger than
        64 KiB, holds NUL or is no UTF-8, and for nothing at all; permanent where it cannot come.
        """
        environ = os.environ if environ is None else environ
        try:
            value = self._of_variable(environ) if self.path is None else _of_file(self.path, warn)
        except Unreadable as error:
            raise EnvironmentSetupFailed(
                f"cannot read secret {self.secret}: {error}",
                details={"source": self.secret},
                permanent=self.path is None and environ is not os.environ,
            ) from None

        return value

    def _of_variable(self, environ: Mapping[str, str]) -> str:
        value = environ.get(self.secret.removeprefix("env:"))
        if not value:
            raise Unreadable("there is no such environment variable" if value is None else "it is empty")
        return value


def _of_file(path: Path, warn: Callable[[str], object]) -> str:
    read = read_private(path, largest=_LARGEST)
    if read.exposed:
        warn(read.warning)
    value = read.text.removesuffix("\n").removesuffix("\r")
    if not value:
        raise Unreadable("it is empty")
    return value
