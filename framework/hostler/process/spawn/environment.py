"""The environment of a child: a short safe base to start from, and a last look for secrets that leaked in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from hostler.errors import EnvironmentSetupFailed
from hostler.model.launch import Launch
from hostler.model.values import Auth
from hostler.secrets.credentials import is_secret_name, is_secret_value, secrets_in_words

MARKER = "HOSTLER_RUN_ID"

_WHO_SETS_THEM = (
    "a plugin or a needed server sets them; if the server should get them, write them in its env, or allow "
    "them by name: env-sanitizer = { allow = [...] }"
)

_XDG = ("CONFIG_HOME", "DATA_HOME", "STATE_HOME", "CACHE_HOME", "RUNTIME_DIR")
_SAFE = {
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR"),
    *(f"XDG_{name}" for name in _XDG),
}
# Behind a proxy or an inspecting firewall nothing is reached without these.
_PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "WS_PROXY", "WSS_PROXY", "ALL_PROXY", "NO_PROXY")
_PROXIES = {*_PROXY, *(name.lower() for name in _PROXY)}
# The files and folders of certificates among them.
CERTIFICATES = frozenset(
    {"SSL_CERT_FILE", "SSL_CERT_DIR", "NIX_SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
    | {"AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "DENO_CERT", "PIP_CERT", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"}
    | {"CARGO_HTTP_CAINFO", "NPM_CONFIG_CAFILE", "npm_config_cafile", "HTTPLIB2_CA_CERTS"}
    | {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"}
)
_TRUST = {"NODE_USE_SYSTEM_CA", "NODE_USE_ENV_PROXY", "DENO_TLS_CA_STORE", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS"}
_INHERITED = frozenset(_SAFE | _PROXIES | CERTIFICATES | _TRUST)

# What the loader, the C library and shells take from the environment of whatever is started.
_STEERING_PREFIXES = ("LD_", "DYLD_", "BASH_FUNC_", "MALLOC_", "GLIBC_")
_STEERING = frozenset(
    {"BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "PS4"} | {"GCONV_PATH", "GETCONF_DIR", "LOCPATH", "NLSPATH"}
)


def steers_programs(name: str) -> bool:
    """Whether a variable can have any program that is started with it run or write something else."""
    return name in _STEERING or name.startswith(_STEERING_PREFIXES)


def safe_base(host_env: Mapping[str, str]) -> dict[str, str]:
    """What every child gets of hostler's own environment: enough to run, nothing that is anybody's secret."""
    return {name: value for name, value in host_env.items() if name in _INHERITED or name.startswith("LC_")}


def secret_values(*environments: Mapping[str, str]) -> Iterable[str]:
    """The values in these environments that are classed as secret by their names."""
    for environment in environments:
        for name, value in environment.items():
            if is_secret_name(name) and is_secret_value(value):
                yield value


def _of_proxies(environment: Mapping[str, str]) -> Iterator[str]:
    """The addresses of proxies that hold credentials, with or without a scheme."""
    for value in (environment[name] for name in _PROXIES & environment.keys()):
        if "@" in value:
            yield value if "://" in value else f"http://{value}"


def secrets_of(launch: Launch) -> Iterator[str]:
    """All secrets that the child knows: set on purpose, named like one, its password, those in argv."""
    yield from launch.secrets.values()
    yield from secret_values(launch.env)
    yield from _of_proxies(launch.env)
    # A plugin may have left anything in its place.
    words = launch.argv if isinstance(launch.argv, list) else ()
    yield from (value for _, value in secrets_in_words(word for word in words if isinstance(word, str)))
    auth = launch.facts.get("auth")
    if isinstance(auth, Auth):
        yield auth.password
        yield auth.header.removeprefix("Basic ")


def refuse_leaks(launch: Launch) -> None:
    """Raise EnvironmentSetupFailed if a secret that nobody allowed stands in the child's env or argv.

    Only names are shown, never values. A variable that is allowed may hold any secret, and a value that
    is allowed under one name is allowed everywhere in the environment, but in argv (where every local
    user can read it) no secret is. `launch.warn` gets what merely looks like one there. What stands in the
    safe base as well (a password that is the user's name, say) passes; that of a proxy passes in the
    variables of proxies alone.
    """
    given = {value for value in launch.secrets.values() if is_secret_value(value)}
    if secrets := {*secret_values(launch.host_env, launch.env), *given}:
        _refuse_secrets(launch, secrets, given)

    for text in exposed_in(launch.argv):
        launch.warn(text)


def _refuse_secrets(launch: Launch, secrets: set[str], given: set[str]) -> None:
    """Raise EnvironmentSetupFailed where one of these stands in env without permission, or in argv."""
    inherited = safe_base(launch.host_env)
    allowed = given | {launch.env[name] for name in launch.allowed if name in launch.env}
    base = [value for name, value in inherited.items() if name not in _PROXIES]
    secrets = {value for value in secrets if not any(value in one for one in base)}
    forbidden = secrets - allowed
    leaks = _leaks(launch, forbidden, inherited) if forbidden else []
    if leaks:
        names = ", ".join(sorted(leaks))
        raise EnvironmentSetupFailed(
            f"the environment would pass secrets to the server that are not allowed: {names}",
            server=launch.server,
            hint=_WHO_SETS_THEM,
            details={"names": sorted(leaks)},
            permanent=True,
        )

    if secrets:
        _refuse_exposed(launch, secrets)


def _refuse_exposed(launch: Launch, secrets: set[str]) -> None:
    """Raise EnvironmentSetupFailed if one of these secrets stands in argv."""
    named = {**launch.host_env, **launch.env}
    for number, word in enumerate([*launch.argv, *launch.wrapper]):
        shown = [secret for secret in secrets if secret in word]
        if shown:
            names = "".join(f"{name}, " for name in sorted(named) if named[name] in shown)
            raise EnvironmentSetupFailed(
                f"the command line would show a secret ({names}word {number} of argv); every local user can "
                "read it",
                server=launch.server,
                hint="pass it in env, or in a file that only you can read",
                permanent=True,
            )


def exposed_in(words: Iterable[str]) -> Iterator[str]:
    """A warning for each secret that stands on a command line."""
    for name, value in secrets_in_words(words):
        if is_secret_value(value):
            yield (
                f"the command line shows a secret (after {name}), and every local user can read it; hand it "
                "over in env, or in a file that only the server's user can read"
            )


def _leaks(launch: Launch, forbidden: set[str], inherited: Mapping[str, str]) -> list[str]:
    """The variables that hold what they may not; those of proxies may, as they were handed on."""
    return [
        name
        for name, value in launch.env.items()
        if name not in launch.allowed
        and not (name in _PROXIES and inherited.get(name) == value)
        and any(secret in value for secret in forbidden)
    ]
