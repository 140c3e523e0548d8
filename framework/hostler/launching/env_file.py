"""Files of variables, `NAME=value` line by line, as other tools write them (.env)."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from itertools import starmap
from typing import TYPE_CHECKING

from hostler.errors import EnvironmentSetupFailed
from hostler.files.private_file import PrivateText, Unreadable, read_private
from hostler.model.spec import EnvFile
from hostler.secrets.credentials import is_secret_name, passwords_in

if TYPE_CHECKING:
    from dotenv.parser import Binding

_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"
_LITERAL = r"[^=]*=[^\S\r\n]*['`]"
_TO_BACKTICK = r"\s*(?:export[^\S\r\n]+)?(?P<name>[^=#\s'`]+)[^\S\r\n]*=[^\S\r\n]*`"
_IN_BACKTICKS = _TO_BACKTICK + r"(?P<value>[^`]*)`[^\S\r\n]*(?:#[^\r\n]*)?(?:\r\n|\n|\r|\Z)"
_LINE_END = r"\r\n|\n|\r"
_VARIABLE = r"(?a)\$([A-Za-z_][A-Za-z0-9_]*)"
_LARGEST = 2**20
_MOST_LINES = 10_000


def read_env_file(file: EnvFile, *, warn: Callable[[str], object] = str) -> dict[str, str]:
    """The variables of a file, by name; none for an optional one that is missing.

    Nothing in it is expanded or run: `$X` stays as it is. `warn` is told when others can change it, or
    read what looks like a secret in it.
    Raises EnvironmentSetupFailed with every line that is not NAME=value, by number and never by what
    stands there, and for a file that is missing, larger than 1 MiB or 10,000 lines, or no text.
    """
    if file.optional and not file.path.exists():
        return {}

    try:
        read = _read(file)
    except Unreadable as error:
        raise EnvironmentSetupFailed(
            f"the env_file {file.path} cannot be read: {error}",
            hint=_hint(file),
            details={"path": str(file.path)},
        ) from None

    if read.changeable:
        warn(read.warning)

    variables = _variables(file, read.text)
    if read.exposed and not read.changeable and any(starmap(_is_secret, variables.items())):
        warn(read.warning)

    return variables


def _hint(file: EnvFile) -> str:
    if name := re.search(_VARIABLE, str(file.path)):
        return f"write ${{{name[1]}}} for a variable in env_file"
    if file.path.is_dir():
        return f"it is a folder: write the path of the file in it, such as {file.path / '.env'}"
    return "create it, or remove it from env_file; mark one that may be missing with optional = true"


def _read(file: EnvFile) -> PrivateText:
    read = read_private(file.path, largest=_LARGEST)
    if len(re.findall(_LINE_END, read.text)) > _MOST_LINES:  # each takes the parser a while
        raise Unreadable(f"it has more than {_MOST_LINES} lines")
    return read


def _is_secret(name: str, value: str) -> bool:
    return is_secret_name(name) or bool(passwords_in(value))


def references_in(file: EnvFile) -> list[str]:
    """The places of `${NAME}` in a file that can be read, where somebody may expect a value."""
    try:
        bindings = list(_bindings(_read(file).text))
    except Unreadable:
        return []

    return [
        f"{file.path}:{line}: ${{...}} stays as it is: nothing in an env_file is filled in; write it in env, "
        "or in single quotes where it is meant"
        for line, binding in bindings
        if "${" in (binding.value or "") and not re.match(_LITERAL, binding.original.string)
    ]


def _variables(file: EnvFile, text: str) -> dict[str, str]:
    bindings = list(_bindings(text))
    wrong = [f"{file.path}:{line}: {fault}" for line, binding in bindings if (fault := _fault(binding))]
    if wrong:
        raise EnvironmentSetupFailed(
            "\n".join(wrong), hint="write NAME=value, with quotes around a value of several lines"
        )

    return {
        binding.key: binding.value for _, binding in bindings if binding.key and binding.value is not None
    }


def _bindings(text: str) -> Iterator[tuple[int, Binding]]:
    """What stands in a text, with its lines."""
    # The parser alone: the rest of dotenv logs, expands, and sets. Backticks quote, as for Node and the
    # dotenv of npm; that of Python knows nothing of them.
    from dotenv.parser import Binding, Reader, parse_binding  # noqa: PLC0415 - only who has such a file needs it

    reader = Reader(io.StringIO(text))
    while reader.has_next():
        quoted = re.compile(_IN_BACKTICKS).match(reader.string, reader.position.chars)
        if quoted is None:
            binding = parse_binding(reader)
        else:
            reader.set_mark()
            reader.position.advance(quoted[0])
            value = quoted["value"].replace("\r\n", "\n")
            binding = Binding(quoted["name"], value, reader.get_marked(), error=False)
        written = binding.original.string
        before = written[: len(written) - len(written.lstrip())]
        yield binding.original.line + len(re.findall(_LINE_END, before)), binding


def _fault(binding: Binding) -> str:
    """What is wrong with it. Not even the name is told: it may be a part of a key in several lines."""
    if binding.error:
        return "not NAME=value"
    if binding.key is None:
        return ""
    if re.match(_TO_BACKTICK, binding.original.string) and not re.fullmatch(
        _IN_BACKTICKS, binding.original.string
    ):
        return "a value in backticks ends with the next backtick, and nothing may follow it but a comment"
    if not re.fullmatch(_NAME, binding.key):
        return "not a name for a variable: letters, digits, _, . and -, a letter or _ first"

    return "a name without a value; NAME= is an empty one" if binding.value is None else ""
