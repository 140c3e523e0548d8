"""The secrets that stand in a server's configuration: under names of secrets, in URLs, on command lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hostler.model.spec import ServerSpec
from hostler.process.spawn.environment import exposed_in
from hostler.secrets.credentials import is_secret_name, is_secret_value, passwords_in, secrets_in_words


def secrets_of_spec(spec: ServerSpec) -> Iterator[str]:
    """All values of a spec that are to be masked, as far as they are known before a start."""
    yield from spec.secrets
    yield from _in("command", spec.command)
    yield from _in("env", spec.env)
    for plugin in spec.plugins:
        yield from _in(plugin.name, plugin.options)


def _in(name: str, value: object) -> Iterator[str]:
    """The secrets in what stands under a name."""
    match value:
        case str() if "${" not in value and is_secret_name(name):
            yield from _credentials(name, value.replace("$$", "$"))
        case str():
            yield from passwords_in(value.replace("$$", "$"))
        case Mapping() if set(value) != {"secret"}:  # which says where a secret is
            for key, item in value.items():
                yield from _in(str(key), item)
        case list() | tuple():
            for item in value:
                yield from _in(name, item)
            words = [item.replace("$$", "$") for item in value if isinstance(item, str)]
            yield from (secret for _, secret in secrets_in_words(words))


def _credentials(name: str, value: str) -> Iterator[str]:
    yield value
    if "cookie" in name.lower():
        yield from (one.partition("=")[2].strip() for one in value.partition("\n")[0].split(";"))


# -- what stands there in clear --------------------------------------------------------------------

_ELSEWHERE = '{ secret = "env:NAME" } or { secret = "file:PATH" }'


def credentials_in_clear(
    spec: ServerSpec, table: Mapping[str, object] | None = None
) -> Iterator[tuple[str, str]]:
    """The credentials that are written into a configuration: the key of each, and what to do.

    `table` is what was written before `${NAME}` was filled in; without it all of the spec was.
    """
    options = {plugin.name: plugin.options for plugin in spec.plugins}
    table = {"command": spec.command, "env": spec.env, "plugins": options} if table is None else table
    words = table.get("command")
    if isinstance(words, list | tuple):
        yield from (("command", text) for text in exposed_in(map(str, words)))

    for key in _literals("env", table.get("env")):
        yield key, f"this is a credential in plain text; store it elsewhere: {_ELSEWHERE}"

    for key in _literals("plugins", table.get("plugins")):
        yield key, f'this is a credential in plain text; store it elsewhere: "${{NAME}}", or {_ELSEWHERE}'


def _literals(key: str, value: object) -> Iterator[str]:
    """The keys at and below `key` whose value is a credential that is written there itself."""
    match value:
        case Mapping():
            for name, item in value.items():
                yield from _literals(f"{key}.{name}", item) if set(value) != {"secret"} else ()
        case list() | tuple() if any(exposed_in(item for item in value if isinstance(item, str))):
            yield key
        case str() if "${" not in value and any(map(is_secret_value, _in(key.rpartition(".")[2], value))):
            yield key
