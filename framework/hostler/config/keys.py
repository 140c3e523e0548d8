"""What each key of a configuration means and which values it takes: for editors and for the docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from hostler.model.choices import HealthRule, IdentityCheck, InputMode, Kind, OutputMode, RestartMode
from hostler.model.dependencies import Condition, OnRestart
from hostler.model.stop_order import StopMode, StopSignal
from hostler.plugins.json_schema import REFERENCE, SECRET, JsonSchema, duration_schema, one_of


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its type and default as the docs write them, its values as JSON Schema, its meaning."""

    type: str
    default: str
    schema: JsonSchema
    meaning: str


def _whole(lowest: int, highest: int | None = None) -> JsonSchema:
    number: JsonSchema = {"type": "integer", "minimum": lowest}
    number |= {} if highest is None else {"maximum": highest}
    return {"anyOf": [number, {"type": "string", "pattern": REFERENCE}]}


def _choice(options: type[Enum], default: Enum, meaning: str) -> Key:
    words = [option.value for option in options]
    return Key(", ".join(f'`"{word}"`' for word in words), f'`"{default.value}"`', one_of(words), meaning)


def _word(default: str, meaning: str) -> Key:
    return Key("string", default, {"type": "string", "minLength": 1}, meaning)


def _flag(default: str, meaning: str) -> Key:
    return Key("boolean", f"`{default}`", {"type": "boolean"}, meaning)


def _duration(default: str, meaning: str) -> Key:
    return Key("duration", f'`"{default}"`', duration_schema(), meaning)


def _count(lowest: int, default: int, meaning: str) -> Key:
    return Key("integer", f"`{default}`", _whole(lowest), meaning)


TEXTS: JsonSchema = {"type": "array", "items": {"type": "string"}}
VARIABLES: JsonSchema = {
    "type": "object",
    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_.-]*$"},
    "additionalProperties": {"anyOf": [{"type": "string"}, SECRET]},
}
_PATH: JsonSchema = {"type": "string", "minLength": 1}
_EXIT_CODES: JsonSchema = {
    "type": "array",
    "items": {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 255},
            {"type": "string", "pattern": rf"^SIG[A-Z0-9]+$|{REFERENCE}"},
        ]
    },
}
_ENV_FILE: JsonSchema = {
    "anyOf": [
        _PATH,
        {
            "type": "object",
            "properties": {"path": _PATH, "optional": {"type": "boolean"}},
            "required": ["path"],
            "additionalProperties": False,
        },
    ]
}
_ENV_FILES: JsonSchema = {"anyOf": [*_ENV_FILE["anyOf"], {"type": "array", "items": _ENV_FILE}]}
_CONDITION = one_of([condition.value for condition in Condition])
_NEEDS: JsonSchema = {
    "anyOf": [
        TEXTS,
        {
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    _CONDITION,
                    {
                        "type": "object",
                        "properties": {
                            "condition": _CONDITION,
                            "on_restart": one_of([choice.value for choice in OnRestart]),
                        },
                        "additionalProperties": False,
                    },
                ]
            },
        },
    ]
}
_PORT: JsonSchema = {"anyOf": [*_whole(0, 65535)["anyOf"], {"const": False}]}

SERVER_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "command": Key(
            "list of strings",
            "`[]`",
            TEXTS,
            "The argv; never a shell line. A launcher plugin such as `opencode` may supply or complete it",
        ),
        "cwd": Key(
            "path", "the folder of the file", {"type": "string", "minLength": 1}, "Where the server works"
        ),
        "kind": _choice(
            Kind,
            Kind.SERVER,
            "A `task` runs to completion: it has no port, and exit code 0 is success. See "
            "[tasks](#servers-that-need-others-and-tasks)",
        ),
        "title": _word("the plugins' or the server's name", 'What messages call it: "OpenCode"'),
        "host": _word('`"127.0.0.1"`', "Where it listens. What others can reach needs `expose = true`"),
        "port": Key(
            "integer or `false`",
            "`0`",
            _PORT,
            "`0`: a free port, chosen before every start and kept over restarts where possible. `false`: "
            "the server has none, it is ready when it was spawned or when its health plugins say so",
        ),
        "port_from_socket": _flag(
            "false",
            "When the output has not told the port after a third of `startup_timeout`, the one port that "
            "the server's processes listen at is taken (two are none)",
        ),
        "scheme": Key(
            "string",
            '`"http"`',
            {"type": "string", "pattern": rf"^[a-z][a-z0-9+.-]*$|{REFERENCE}"},
            "The scheme of its URL where its output does not tell one",
        ),
        "expose": _flag(
            "false", "Allows a host that is not loopback, and a socket that is bound wider than `host`"
        ),
        "env": Key(
            "table of strings and secrets",
            "`{}`",
            VARIABLES,
            "Variables of the server, on top of a [short safe list](#what-a-server-inherits); they "
            "reach it whatever their names. "
            "`{ secret = ... }`: see [secrets](#secrets)",
        ),
        "env_file": Key(
            "path, or list",
            "`[]`",
            _ENV_FILES,
            "Files of variables, read at each start; `env` wins over them. See [env_file](#env_file)",
        ),
        "stdin": _choice(
            InputMode,
            InputMode.NULL,
            "What it reads from. `null`: nothing, `/dev/null`; `open`: a pipe that stays open and empty, for "
            "programs that end when their input does; `inherit`: what hostler itself reads, for one server. "
            "See [stdin](#stdin)",
        ),
        "stdout": _choice(
            OutputMode,
            OutputMode.CAPTURE,
            "What becomes of its output. Only what is captured can be read for the port, logged and shown "
            "in errors",
        ),
        "stderr": _choice(OutputMode, OutputMode.CAPTURE, "As `stdout`"),
        "prepare_timeout": _duration("10m", "How long the plugins may prepare a start (installations)"),
        "startup_timeout": _duration("30s", "How long it may take from the spawn until it is ready"),
        "task_timeout": _duration("0s", 'How long a task may take to complete; `"0s"`: as long as it wants'),
        "force_kill_timeout": _duration("5s", 'From the first signal to SIGKILL; `"0s"`: at once'),
        "stop": _choice(
            StopMode,
            StopMode.MAIN,
            "Who is asked to end first: the main process alone, and the rest of its tree later, or all at "
            "once. See [how a server is stopped](#how-a-server-is-stopped)",
        ),
        "stop_signal": _choice(
            StopSignal, StopSignal.TERM, "The signal that asks the main process to end; the rest gets SIGTERM"
        ),
        "success_exit_codes": Key(
            "list of exit codes and names of signals",
            "`[]`",
            _EXIT_CODES,
            'An end by itself with one of these, such as `[0]` or `[3, "SIGTERM"]`, is no crash: the server '
            "has done its work, and is stopped. Without it no end of a server with a port is a success; a "
            "server without one, and a task, succeed with 0 in any case. With "
            '`restart = { policy = "always" }` it is restarted all the same',
        ),
        "max_connection_failures": _count(
            1, 3, "How many failures in a row of one health plugin are a crash, once the server was ready"
        ),
        "health": _choice(
            HealthRule,
            HealthRule.ALL,
            "Whether all of its health plugins have to say that it works, or `any` of them is enough. `all`: "
            "one that fails too often is a crash; `any`: a crash is when none says that it works, and each "
            "that has reported failed too often",
        ),
        "restart": Key("table", "see below", {"$ref": "#/definitions/restart"}, "What follows a crash"),
        "needs": Key(
            "list of names, or table",
            "`[]`",
            _NEEDS,
            "Servers that have to be ready before this one starts; they stop after it. The table gives each "
            'its condition: `"started"`, `"ready"` or `"completed"`. See '
            "[what it means](#servers-that-need-others-and-tasks)",
        ),
        "autostart": _flag("true", "Whether it is started with all others, or only when asked for or needed"),
        "essential": _flag(
            "false",
            "When this server ends for good, the whole run ends: all others are stopped in order, and "
            "`hostler run` ends with its exit code",
        ),
        "identity": _choice(
            IdentityCheck,
            IdentityCheck.CHECK,
            "Whether the process that listens at the announced address has to be the server's own. `check`:"
            " a stranger is an error, doubt is a warning and hears no secret; `require`: doubt is an error"
            " too; `off`: nobody looks",
        ),
        "user": _word("none", "Run as this user; needs root"),
        "group": _word("the user's", "Run as this group; needs root"),
        "no_new_privileges": _flag("true", "The server cannot gain privileges by setuid programs (Linux)"),
        "guard": _flag(
            "false",
            "A small watchdog process (12 MB, one for all servers) ends everything that the server started,"
            " at once, when hostler itself is killed. Without it, the server itself dies with hostler "
            "(Linux), and its descendants at the next start",
        ),
        "memory_interval": _duration(
            "60s", 'How often the memory of its process tree is told; `"0s"`: never'
        ),
        "plugins": Key("table", "`{}`", {"$ref": "#/definitions/plugins"}, "Its plugins; see below"),
    }
)

RESTART_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "policy": _choice(
            RestartMode,
            RestartMode.ON_FAILURE,
            "When a server that ended unasked is started again. `always` also restarts a server without a "
            "port that ended with 0",
        ),
        "max_restarts": _count(0, 5, "How many restarts before it is failed; cleared by running long enough"),
        "initial_delay": _duration(
            "500ms", 'The first delay; it doubles each time and is then shortened at random. `"0s"`: none'
        ),
        "max_delay": _duration("30s", "The longest delay"),
        "stable_after": _duration(
            "10s",
            "How long it has to run without interruption (or twice the last delay) until the count of "
            "restarts is cleared",
        ),
        "start_retries": _count(
            0, 1, "How many more tries a first start has that never became ready, whatever the policy"
        ),
    }
)
