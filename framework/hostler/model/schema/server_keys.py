"""The keys of a server's table: the one place that declares them.

What reads a table, writes one back, makes the JSON Schema and the tables of docs/configuration.md takes
them from here; the defaults are those of ServerSpec and RestartPolicy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from hostler.model.choices import (
    HealthRule,
    IdentityCheck,
    InputMode,
    Kind,
    OutputMode,
    RestartMode,
    StopMode,
    StopSignal,
)
from hostler.model.schema import json_forms as forms
from hostler.model.schema.external_values import env_files, path, variables
from hostler.model.schema.fields import (
    Reader,
    any_table,
    choice,
    command,
    duration,
    exit_codes,
    flag,
    integer,
    needs,
    port,
    scheme,
    table,
    word,
)
from hostler.model.spec import RestartPolicy

LAYER = ("servers", "templates")
TOP = ("extends", *LAYER, "profiles")


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what reads its value, what that may be in words and as JSON Schema, and what it means.

    `default` is how the docs put it, where the spec's own does not say it. `at_start` tells that the value
    may refer to what is known only at a start: the engine fills it in once more when it knows the port.
    """

    read: Reader
    type: str
    schema: forms.JsonSchema
    meaning: str
    default: str = ""
    at_start: bool = False


def readers(keys: Mapping[str, Key]) -> dict[str, Reader]:
    """What reads the value of each key."""
    return {name: key.read for name, key in keys.items()}


def _choice(options: type[Enum], meaning: str) -> Key:
    words = [option.value for option in options]
    return Key(choice(options), ", ".join(f'`"{word}"`' for word in words), forms.one_of(words), meaning)


def _word(meaning: str, default: str = "") -> Key:
    return Key(word, "string", forms.WORD, meaning, default)


def _flag(meaning: str) -> Key:
    return Key(flag, "boolean", forms.FLAG, meaning)


def _duration(meaning: str, default: str = "", *, zero: bool = False) -> Key:
    return Key(duration(zero=zero), "duration", forms.duration_schema(), meaning, default)


def _count(lowest: int, meaning: str) -> Key:
    return Key(integer(lowest), "integer", forms.whole(lowest), meaning)


RESTART_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "policy": _choice(
            RestartMode,
            "When a server that exited unexpectedly is started again. `always` also restarts a server "
            "without a port that ended with 0",
        ),
        "max_restarts": _count(0, "How many restarts before it is failed; cleared by running long enough"),
        "initial_delay": _duration(
            'The first delay; it doubles each time and is then shortened at random. `"0s"`: none', zero=True
        ),
        "max_delay": _duration("The longest delay", zero=True),
        "stable_after": _duration(
            "How long it has to run without interruption (or twice the last delay) until the count of "
            "restarts is cleared",
            zero=True,
        ),
        "start_retries": _count(
            0, "How many more tries a first start has that never became ready, whatever the policy"
        ),
    }
)

# `env` and `env_file` are read again where the home folder is known (config/resolve/server_table), and
# `plugins` where their classes are (config/resolve/plugin_tables).
SERVER_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "command": Key(
            command,
            "list of strings",
            forms.TEXTS,
            "The argv; never a shell line. A launcher plugin such as `opencode` may supply or complete it",
            at_start=True,
        ),
        "cwd": Key(path({}), "path", forms.WORD, "Where the server works", "the folder of the file"),
        "kind": _choice(
            Kind,
            "A `task` runs to completion: it has no port, and exit code 0 is success. See "
            "[tasks](#servers-that-need-others-and-tasks)",
        ),
        "title": _word('What messages call it: "OpenCode"', "the plugins' or the server's name"),
        "host": _word("Where it listens. What others can reach needs `expose = true`"),
        "port": Key(
            port,
            "integer or `false`",
            forms.PORT,
            "`0`: a free port, chosen before every start and kept over restarts where possible. `false`: "
            "the server has none, it is ready when it was spawned or when its health plugins say so",
        ),
        "port_from_socket": _flag(
            "When the output has not told the port after a third of `startup_timeout`, the one port that "
            "the server's processes listen at is taken (two are none)",
        ),
        "scheme": Key(
            scheme, "string", forms.SCHEME, "The scheme of its URL where its output does not tell one"
        ),
        "expose": _flag("Allows a host that is not loopback, and a socket that is bound wider than `host`"),
        "env": Key(
            variables({}),
            "table of strings and secrets",
            forms.VARIABLES,
            "Variables of the server, on top of a [short safe list](#what-a-server-inherits); they "
            "reach it whatever their names. "
            "`{ secret = ... }`: see [secrets](#secrets)",
            at_start=True,
        ),
        "env_file": Key(
            env_files({}),
            "path, or list",
            forms.ENV_FILES,
            "Files of variables, read at each start; `env` wins over them. See [env_file](#env_file)",
        ),
        "stdin": _choice(
            InputMode,
            "What it reads from. `null`: nothing, `/dev/null`; `open`: a pipe that stays open and empty, for "
            "programs that end when their input does; `inherit`: what hostler itself reads, for one server. "
            "See [stdin](#stdin)",
        ),
        "stdout": _choice(
            OutputMode,
            "What becomes of its output. Only what is captured can be read for the port, logged and shown "
            "in errors",
        ),
        "stderr": _choice(OutputMode, "As `stdout`"),
        "prepare_timeout": _duration("How long the plugins may prepare a start (installations)", '`"10m"`'),
        "startup_timeout": _duration("How long it may take from the spawn until it is ready"),
        "task_timeout": _duration(
            'How long a task may take to complete; `"0s"`: as long as it wants', zero=True
        ),
        "force_kill_timeout": _duration('From the first signal to SIGKILL; `"0s"`: at once', zero=True),
        "stop": _choice(
            StopMode,
            "Who is asked to end first: the main process alone, and the rest of its tree later, or all at "
            "once. See [how a server is stopped](#how-a-server-is-stopped)",
        ),
        "stop_signal": _choice(
            StopSignal, "The signal that asks the main process to end; the rest gets SIGTERM"
        ),
        "success_exit_codes": Key(
            exit_codes,
            "list of exit codes and names of signals",
            forms.EXIT_CODES,
            'An end by itself with one of these, such as `[0]` or `[3, "SIGTERM"]`, is no crash: the server '
            "has done its work, and is stopped. Without it no end of a server with a port is a success; a "
            "server without one, and a task, succeed with 0 in any case. With "
            '`restart = { policy = "always" }` it is restarted all the same',
        ),
        "max_connection_failures": _count(
            1, "How many failures in a row of one health plugin are a crash, once the server was ready"
        ),
        "health": _choice(
            HealthRule,
            "Whether all of its health plugins have to say that it works, or `any` of them is enough. `all`: "
            "one that fails too often is a crash; `any`: a crash is when none says that it works, and each "
            "that has reported failed too often",
        ),
        "restart": Key(
            table(readers(RESTART_KEYS), RestartPolicy),
            "table",
            {"$ref": "#/definitions/restart"},
            "What follows a crash",
            "see below",
        ),
        "needs": Key(
            needs,
            "list of names, or table",
            forms.NEEDS,
            "Servers that have to be ready before this one starts; they stop after it. The table gives each "
            'its condition: `"started"`, `"ready"` or `"completed"`. See '
            "[what it means](#servers-that-need-others-and-tasks)",
        ),
        "autostart": _flag("Whether it is started with all others, or only when asked for or needed"),
        "essential": _flag(
            "When this server ends for good, the whole run ends: all others are stopped in order, and "
            "`hostler run` ends with its exit code",
        ),
        "identity": _choice(
            IdentityCheck,
            "Whether the process that listens at the announced address has to be the server's own. `check`:"
            " a stranger is an error, doubt is a warning and hears no secret; `require`: doubt is an error"
            " too; `off`: nobody looks",
        ),
        "user": _word("Run as this user; needs root", "none"),
        "group": _word("Run as this group; needs root", "the user's"),
        "no_new_privileges": _flag("The server cannot gain privileges by setuid programs (Linux)"),
        "guard": _flag(
            "A small watchdog process (12 MB, one for all servers) ends everything that the server started,"
            " at once, when hostler itself is killed. Without it, the server itself dies with hostler "
            "(Linux), and its descendants at the next start",
        ),
        "memory_interval": _duration(
            'How often the memory of its process tree is told; `"0s"`: never', zero=True
        ),
        "plugins": Key(
            any_table,
            "table",
            {"$ref": "#/definitions/plugins"},
            "Its plugins; see below",
            "`{}`",
            at_start=True,
        ),
    }
)

TEMPLATES = frozenset(name for name, key in SERVER_KEYS.items() if key.at_start)
