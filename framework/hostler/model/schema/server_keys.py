"""The keys of a server's table: the one place that declares them.

What reads a table, writes one back, makes the JSON Schema and the tables of docs/configuration.md takes
them from here; the defaults are those of ServerSpec and RestartPolicy.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import partial
from types import MappingProxyType

from msgspec import Struct

from hostler.model import choices
from hostler.model.schema import fields
from hostler.model.schema import json_forms as forms
from hostler.model.schema.command import command
from hostler.model.schema.external_values import env_files, path, variables
from hostler.model.schema.needs import needs
from hostler.model.schema.words import choice
from hostler.model.spec import RestartPolicy, replace_unchecked

LAYER = ("servers", "templates")
IN_PROFILE = (*LAYER, "defaults", "listeners", "control")
TOP = ("extends", *IN_PROFILE, "profiles")


class Key(Struct, frozen=True):
    """One key: what reads its value, what that may be in words and as JSON Schema, and what it means.

    `default` is how the docs put it, where the spec's own does not say it. `at_start` tells that the value
    may refer to what is known only at a start: the engine fills it in once more when it knows the port.
    """

    read: fields.Reader
    type: str
    schema: forms.JsonSchema
    meaning: str
    default: str = ""
    at_start: bool = False


def readers(keys: Mapping[str, Key]) -> dict[str, fields.Reader]:
    """What reads the value of each key."""
    return {name: key.read for name, key in keys.items()}


def _choice(options: type[Enum], meaning: str) -> Key:
    words = [option.value for option in options]
    return Key(choice(options), ", ".join(f'`"{word}"`' for word in words), forms.one_of(words), meaning)


def _word(meaning: str, default: str = "") -> Key:
    return Key(fields.word, "string", forms.WORD, meaning, default)


def _flag(meaning: str) -> Key:
    return Key(fields.flag, "boolean", forms.FLAG, meaning)


def _duration(meaning: str, default: str = "", *, zero: bool = False) -> Key:
    return Key(fields.duration(zero=zero), "duration", forms.duration_schema(), meaning, default)


def _count(lowest: int, meaning: str) -> Key:
    return Key(fields.integer(lowest), "integer", forms.whole(lowest), meaning)


RESTART_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "policy": _choice(
            choices.RestartMode,
            "When hostler restarts a server that exited unexpectedly. `always` also restarts a server "
            "without a port that exited with 0",
        ),
        "max_restarts": _count(
            0,
            "How many restarts are allowed before the server is *failed*. Running long enough resets the "
            "count",
        ),
        "initial_delay": _duration(
            'The first delay. It doubles each time, and is then shortened at random (jitter). `"0s"`: none',
            zero=True,
        ),
        "max_delay": _duration("The longest delay", zero=True),
        "stable_after": _duration(
            "How long the server has to run without interruption (at least twice the last delay) before the "
            "count of restarts is reset",
            zero=True,
        ),
        "start_retries": _count(
            0, "How often a first start that never became ready is retried, whatever the policy"
        ),
        "wait_idle": _duration(
            "How long a planned restart (a reload, changed files) waits until nothing runs on the server, as "
            'its plugins tell; after that there is none. `"0s"`: it does not wait',
            zero=True,
        ),
    }
)

# `env` and `env_file` are read again where the home folder is known (config/resolve/server_table), and
# `plugins` where their classes are (config/resolve/plugin_tables).
SERVER_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "command": Key(
            command,
            "string, or list of strings",
            forms.COMMAND,
            "The program and its arguments; a string is split into words as a shell does it, but no "
            "shell is involved. A launcher plugin such as `opencode` may supply or complete it",
            at_start=True,
        ),
        "cwd": Key(path, "path", forms.WORD, "The working folder of the server", "the folder of the file"),
        "kind": _choice(
            choices.Kind,
            "A `task` runs to completion: it has no port, and exit code 0 is success. See "
            "[tasks](#servers-that-need-others-and-tasks)",
        ),
        "title": _word(
            'What messages call the server, such as "OpenCode"', "the plugins' or the server's name"
        ),
        "host": _word("The address to listen on. An address that others can reach needs `expose = true`"),
        "port": Key(
            fields.port,
            "integer or `false`",
            forms.PORT,
            "`0`: a free port, chosen before each start and kept over restarts if possible. `false`: the "
            "server has no port, and is ready when it has been spawned or when its health plugins say so",
        ),
        "port_from_socket": _flag(
            "If the output has not announced the port after a third of `startup_timeout`, take the one port "
            "that the server's processes listen on (if there are two, neither is taken)",
        ),
        "scheme": Key(
            fields.scheme,
            "string",
            forms.SCHEME,
            "The scheme of the server's URL, if its output does not contain one",
        ),
        "expose": _flag("Allows a host that is not loopback, and a socket that is bound wider than `host`"),
        "env": Key(
            variables,
            "table of strings and secrets",
            forms.VARIABLES,
            "Variables of the server, in addition to a [short safe list](#what-a-server-inherits). They "
            "reach the server whatever their names. `{ secret = ... }`: see [secrets](#secrets)",
            at_start=True,
        ),
        "env_file": Key(
            env_files,
            "path, or list",
            forms.ENV_FILES,
            "Files with variables, read at each start; `env` takes precedence. See [env_file](#env_file)",
        ),
        "stdin": _choice(
            choices.InputMode,
            "The standard input of the server. `null`: `/dev/null`; `open`: a pipe that stays open and "
            "empty, for programs that exit at the end of their input; `inherit`: hostler's own standard "
            "input, for one server. See [stdin](#stdin)",
        ),
        "stdout": _choice(
            choices.OutputMode,
            "Where the output goes. Only captured output can be searched for the port, logged and shown in "
            "errors",
        ),
        "stderr": _choice(choices.OutputMode, "As `stdout`"),
        "prepare_timeout": _duration(
            "How long the plugins may take to prepare a start (for example, an installation)", '`"10m"`'
        ),
        "startup_timeout": _duration("How long the server may take from the spawn until it is ready"),
        "task_timeout": _duration('How long a task may take to complete; `"0s"`: no limit', zero=True),
        "force_kill_timeout": _duration(
            'The time from the first signal to SIGKILL; `"0s"`: SIGKILL at once', zero=True
        ),
        "stop": _choice(
            choices.StopMode,
            "Which processes are signalled first: the main process alone, and the rest of its tree later, or"
            " the whole tree at once. See [how a server is stopped](#how-a-server-is-stopped)",
        ),
        "stop_signal": _choice(
            choices.StopSignal,
            "The signal that asks the main process to stop; the other processes get SIGTERM",
        ),
        "success_exit_codes": Key(
            fields.exit_codes,
            "list of exit codes and names of signals",
            forms.EXIT_CODES,
            'If the server exits by itself with one of these, such as `[0]` or `[3, "SIGTERM"]`, this is no '
            "crash: it has done its work, and is *stopped*. Without this key no exit of a server with a port"
            " is a success, and a server without a port, or a task, succeeds with 0. `restart = { policy = "
            '"always" }` restarts it anyway',
        ),
        "max_connection_failures": _count(
            1, "How many failures in a row of one health plugin are a crash, after the server was ready"
        ),
        "health": _choice(
            choices.HealthRule,
            "Whether all health plugins have to report the server as healthy, or `any` one of them. `all`: "
            "the server crashes when one plugin fails too often. `any`: it crashes when no plugin reports it"
            " as healthy, and each that has reported has failed too often",
        ),
        "restart": Key(
            fields.restart(readers(RESTART_KEYS), partial(replace_unchecked, RestartPolicy())),
            "table",
            {"$ref": "#/definitions/restart"},
            "What happens after a crash",
            "see below",
        ),
        "needs": Key(
            needs,
            "list of names, or table",
            forms.NEEDS,
            "The servers that have to be ready before this one starts; they stop after it. The table form "
            'sets a condition for each: `"started"`, `"ready"` or `"completed"`. See '
            "[dependencies](#servers-that-need-others-and-tasks)",
        ),
        "autostart": _flag(
            "Whether the server starts with all others, or only on request or when another server needs it"
        ),
        "essential": _flag(
            "When this server ends for good, the whole run ends: all others are stopped in order, and "
            "`hostler run` exits with its exit code",
        ),
        "identity": _choice(
            choices.IdentityCheck,
            "Whether the process that listens at the announced address has to belong to the server. `check`:"
            " a foreign process is an error; if it cannot be identified, you get a warning, and it gets no "
            "secret. `require`: that is an error too. `off`: no check",
        ),
        "user": _word("Run as this user; needs root", "none"),
        "group": _word("Run as this group; needs root", "the user's"),
        "no_new_privileges": _flag("The server cannot gain privileges through setuid programs (Linux)"),
        "guard": _flag(
            "When hostler itself is killed, a small watchdog process (12 MB, one for all servers) at once "
            "ends everything that the server started. Without it, on Linux, the server itself dies with "
            "hostler, and its descendants at the next start",
        ),
        "memory_interval": _duration(
            'How often the memory of the process tree is reported; `"0s"`: never', zero=True
        ),
        "plugins": Key(
            fields.any_table,
            "table",
            {"$ref": "#/definitions/plugins"},
            "The plugins of the server; see below",
            "`{}`",
            at_start=True,
        ),
    }
)

FILLED_AT_START = frozenset(name for name, key in SERVER_KEYS.items() if key.at_start)

IN_SERVER = (*SERVER_KEYS, "template")
IN_TEMPLATE = (*SERVER_KEYS, "parameters")
# What one server runs, and whom it needs, is its own.
IN_DEFAULTS = tuple(key for key in SERVER_KEYS if key not in {"command", "kind", "title", "needs"})
