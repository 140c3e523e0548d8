"""env-sanitizer: decides which variables of hostler's own environment the server gets, and what is kept back.

The child starts from a short safe list and from the server's own `env`; launchers add to it. This plugin
comes last and has the last word, except that the core refuses any secret that slipped through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hostler import Launch, ServerView, hookimpl, is_secret_name, option

_WORD = re.compile(r"(?:[A-Za-z0-9_.%()*?-]|\[!?[A-Za-z0-9_-]+\])+")
_WILDCARD = frozenset("*?[")

# What changes a program from outside: loaded or run before its own code, or a mark of who started it.
_HYGIENE = [
    "NODE_OPTIONS",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "BUN_OPTIONS",
    "BUN_INSPECT*",
    "LD_PRELOAD",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "DYLD_*",
    "GLIBC_TUNABLES",
    "PYTHONSTARTUP",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "BASH_ENV",
    "BASH_FUNC_*",
    "ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PROMPT_COMMAND",
    "PERL5OPT",
    "PERL5LIB",
    "RUBYOPT",
    "RUBYLIB",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_CONFIG*",
    "GIT_EXEC_PATH",
    "GIT_SSH*",
    "GIT_ASKPASS",
    "GIT_EXTERNAL_DIFF",
    "GIT_PROXY_COMMAND",
    "GIT_TEMPLATE_DIR",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "OPENCODE",
    "OPENCODE_PID",
    "AGENT",
]


@dataclass(eq=False)
class EnvSanitizer:
    """Keeps secrets and loader variables from the server, except those that you allow by name.

    Variables in the server's own `env` or `env_file` are allowed. A secret or a hygiene variable of
    hostler's own environment, or of a plugin, passes only if `allow` has its full name; a pattern passes
    only the others. Names and patterns are as in the shell (`*`, `?`, `[...]`) and case-sensitive. `deny`
    takes precedence over everything, also over what you set in `env`. The notice "env_withheld" lists the
    names (never values) of what was withheld.
    """

    allow: list[str] = option(
        [],
        "Names and patterns to copy from hostler's environment; a secret only by its full name",
        from_environ=True,
    )
    deny: list[str] = option([], "Names and patterns that the server never gets, whoever sets them")
    hygiene: list[str] = option(_HYGIENE, "Names and patterns to drop unless `allow` has the full name")
    mask: list[str] = option([], "Names and patterns of further secrets, beside those that look secret")

    def __post_init__(self) -> None:
        for name in ("allow", "deny", "hygiene", "mask"):
            _check(name, getattr(self, name))
        for word in self.allow:
            if word in self.deny or (_is_name(word) and _matches(word, self.deny)):
                raise ValueError(
                    f"allow: {word} is in deny too, which takes precedence; remove it from one of them"
                )

    @hookimpl(trylast=True)
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Copy what is allowed, mask what is secret, drop the rest, and say what was dropped."""
        for value in self._secret_values(launch):
            server.redact(value)

        overruled = {name for name in launch.allowed & launch.env.keys() if _matches(name, self.deny)}
        withheld = (self._copy(launch) | self._drop(launch)) - overruled
        if withheld:
            server.notice("env_withheld", _sentence(withheld), names=sorted(withheld))

        if overruled:
            text = f"deny withheld variables that were set on purpose: {', '.join(sorted(overruled))}"
            server.notice("env_withheld", text, level="warning", names=sorted(overruled))

    def _secret_values(self, launch: Launch) -> Iterator[str]:
        for name, value in (*launch.host_env.items(), *launch.env.items()):
            if self._is_secret(name):
                yield value
        yield from launch.secrets.values()

    def _copy(self, launch: Launch) -> set[str]:
        """Copy from hostler's environment, and return the names of secrets and the like that stay behind."""
        withheld = set()

        for name, value in launch.host_env.items():
            if name in launch.env:
                continue
            wanted = _matches(name, self.allow)
            if not self._may_pass(name, named=name in self.allow):
                withheld |= {name} if wanted or self._is_secret(name) else set()
            elif wanted:
                launch.env[name] = value

        return withheld

    def _drop(self, launch: Launch) -> set[str]:
        """Drop from the child's environment, and return the names; what may stay of secrets is declared."""
        withheld = set()

        for name, value in list(launch.env.items()):
            if not self._may_pass(name, named=name in self.allow or name in launch.allowed):
                del launch.env[name]
                launch.allowed.discard(name)
                launch.secrets.pop(name, None)
                withheld.add(name)
            elif self._is_secret(name):
                launch.set_secret(name, value)

        return withheld

    def _may_pass(self, name: str, *, named: bool) -> bool:
        if _matches(name, self.deny):
            return False
        return named or not (self._is_secret(name) or _matches(name, self.hygiene))

    def _is_secret(self, name: str) -> bool:
        return is_secret_name(name) or _matches(name, self.mask)


def _check(option_name: str, words: list[str]) -> None:
    for number, word in enumerate(words, 1):
        if not _WORD.fullmatch(word):
            raise ValueError(f"{option_name}: entry {number} is neither a variable's name nor a pattern")


def _matches(name: str, words: list[str]) -> bool:
    return any(fnmatchcase(name, word) for word in words)


def _is_name(word: str) -> bool:
    return not _WILDCARD & set(word)


def _sentence(names: set[str]) -> str:
    return (
        f"withheld from the server: {', '.join(sorted(names))}; to pass one, name it in env-sanitizer's allow"
    )
