"""The environment of a child: a short safe base to start from, and a last look for secrets that leaked in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from hostler.credentials import is_secret_name, is_secret_value, secrets_in_words
from hostler.errors import EnvironmentSetupFailed
from hostler.launch import Launch
from hostler.model import Auth

MARKER = "HOSTLER_RUN_ID"

_WHO_SETS_THEM = (
    "a plugin or a needed server sets them; if the server is to have them, write them in its env, or allow "
    "them by name: env-sanitizer = { allow = [...] }"
)

_SAFE = {
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
}


# What the loader, the C library and shells take from the environment of whatever is started.
_STEERING = ("LD_", "DYLD_", "BASH_FUNC_", "MALLOC_", "GLIBC_")
_STEERS = {
    "BASH_ENV",
    "ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "GCONV_PATH",
    "GETCONF_DIR",
    "LOCPATH",
    "NLSPATH",
}


def steers_programs(name: str) -> bool:
    """Whether a variable can have any program that is started with it run or write something else."""
    return name in _STEERS or name.startswith(_STEERING)


def safe_base(host_env: Mapping[str, str]) -> dict[str, str]:
    """What every child gets of hostler's own environment: enough to run, nothing that is anybody's secret."""
    return {name: value for name, value in host_env.items() if name in _SAFE or name.startswith("LC_")}


def secret_values(*environments: Mapping[str, str]) -> Iterable[str]:
    """The values in these environments that are classed as secret by their names."""
    for environment in environments:
        for name, value in environment.items():
            if is_secret_name(name) and is_secret_value(value):
                yield value


def secrets_of(launch: Launch) -> Iterator[str]:
    """All secrets that the child knows: set on purpose, told by their names, its password, those in argv."""
    yield from launch.secrets.values()
    yield from secret_values(launch.env)
    words = launch.argv if isinstance(launch.argv, list) else ()  # a plugin may have left anything
    yield from (value for _, value in secrets_in_words(word for word in words if isinstance(word, str)))
    auth = launch.facts.get("auth")

    if isinstance(auth, Auth):
        yield auth.password
        yield auth.header.removeprefix("Basic ")


def refuse_leaks(launch: Launch) -> None:
    """Raise EnvironmentSetupFailed if a secret that nobody allowed stands in the child's env or argv.

    Only names are told, never values. A variable that is allowed may hold any secret, and a value that
    is allowed under one name is allowed everywhere in the environment, but in argv (where every local
    user can read it) no secret is. `launch.warn` is told of what merely looks like one there. What stands
    in the safe base as well (a password that is the user's name, say) cannot be told from it, and passes.
    """
    base = " ".join(safe_base(launch.host_env).values())
    given = {value for value in launch.secrets.values() if is_secret_value(value)}
    allowed = given | {launch.env[name] for name in launch.allowed if name in launch.env}
    secrets = {*secret_values(launch.host_env, launch.env), *given}
    secrets = {value for value in secrets if value not in base}
    leaks = _leaks(launch, secrets - allowed)

    if leaks:
        names = ", ".join(sorted(leaks))
        raise EnvironmentSetupFailed(
            f"the environment would hand secrets to the server that nobody allowed: {names}",
            server=launch.server,
            hint=_WHO_SETS_THEM,
            details={"names": sorted(leaks)},
            permanent=True,
        )

    words = [*launch.argv, *launch.wrapper]
    exposed = [number for number, word in enumerate(words) if any(secret in word for secret in secrets)]

    if exposed:
        raise EnvironmentSetupFailed(
            f"the command line would show a secret (word {exposed[0]} of argv); every local user can read it",
            server=launch.server,
            hint="hand it over in the environment (env-sanitizer allow) or in a file that only you can read",
            permanent=True,
        )

    for text in exposed_in(launch.argv):
        launch.warn(text)


def exposed_in(words: Iterable[str]) -> Iterator[str]:
    """A warning for each secret that stands on a command line."""
    for name, value in secrets_in_words(words):
        if is_secret_value(value):
            yield (
                f"the command line shows a secret (after {name}), and every local user can read it; hand it "
                "over in env, or in a file that only the server's user can read"
            )


def _leaks(launch: Launch, forbidden: set[str]) -> list[str]:
    """The variables that hold what they may not."""
    return [
        name
        for name, value in launch.env.items()
        if name not in launch.allowed and any(secret in value for secret in forbidden)
    ]
