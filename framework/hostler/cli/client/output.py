"""What the client commands print: the answer on stdout, all else on stderr."""

from __future__ import annotations

import json
import sys

from hostler.cli.client.daemon import ClientError
from hostler.text.sanitize import harmless


class Output:
    """Prints for people, or with `as_json` one object for programs."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._as_json = as_json
        self._quiet = quiet

    def answer(self, value: object, text: str) -> None:
        """Print the answer: the value for programs, the text for people."""
        shown = json.dumps(value, ensure_ascii=True) if self._as_json else harmless(text)
        if shown:
            sys.stdout.write(shown + "\n")
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """Print what is no answer."""
        if not self._quiet and not self._as_json:
            sys.stderr.write(harmless(text) + "\n")

    def failure(self, error: ClientError) -> None:
        """Print an error."""
        if self._as_json:
            self.answer({"problem": error.problem}, "")
        else:
            sys.stderr.write(harmless(str(error)) + "\n")
