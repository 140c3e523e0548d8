"""What the client commands print: the answer on stdout, all else on stderr."""

from __future__ import annotations

import json
import select
import sys
from collections.abc import Sequence

from hostler.cli.client.daemon import ClientError
from hostler.cli.safe_streams import write_line
from hostler.text.sanitize import harmless


class Output:
    """Prints for people, or with `as_json` one object for programs."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._as_json = as_json
        self._quiet = quiet

    def answer(self, value: object, text: str) -> None:
        """Print the answer: the value for programs, the text for people."""
        shown = json.dumps(value, separators=(",", ":")) if self._as_json else harmless(text)
        if shown:
            write_line(sys.stdout, shown)

    def lines(self, many: Sequence[tuple[object, str]]) -> None:
        """Print parts of a long answer, with the texts as they are; a value of None is for people alone."""
        if self._as_json:
            shown = [json.dumps(value, ensure_ascii=True) for value, _ in many if value is not None]
        else:
            shown = [text for _, text in many]
        if shown:
            write_line(sys.stdout, "\n".join(shown))

    def require_reader(self) -> None:
        """Raise BrokenPipeError where nobody reads the answer any more: in silence no write would tell."""
        if sys.stdout is None:
            return
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if any(found & (select.POLLERR | select.POLLHUP) for _, found in poll.poll(0)):
            raise BrokenPipeError

    def note(self, text: str) -> None:
        """Print what is no answer."""
        if not self._quiet and not self._as_json:
            write_line(sys.stderr, harmless(text))

    def failure(self, error: ClientError) -> None:
        """Print an error."""
        if self._as_json:
            self.answer({"problem": error.problem}, "")
        else:
            write_line(sys.stderr, harmless(str(error)))

    def refusal(self, error: ClientError, known: dict[str, object], text: str) -> None:
        """Print an error, and what is known nevertheless: the answer."""
        if not self._as_json:
            self.failure(error)
        self.answer({"problem": error.problem, **known}, text)
