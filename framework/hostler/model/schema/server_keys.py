"""The keys of a configuration and what each of them may be."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hostler.model.choices import HealthRule, IdentityCheck, InputMode, Kind, OutputMode, RestartMode
from hostler.model.schema.external_values import env_files, variables
from hostler.model.schema.fields import (
    Reader,
    choice,
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
from hostler.model.stop_order import StopMode, StopSignal

LAYER = ("servers", "templates")
TOP = ("extends", *LAYER, "profiles")

RESTART: Mapping[str, Reader] = MappingProxyType(
    {
        "policy": choice(RestartMode),
        "max_restarts": integer(0),
        "initial_delay": duration(zero=True),
        "max_delay": duration(zero=True),
        "stable_after": duration(zero=True),
        "start_retries": integer(0),
    }
)

# The names are the fields of ServerSpec; `command`, `cwd` and `plugins` are read in servers.py, where `env`
# and `env_file` get to know the home folder.
SERVER: Mapping[str, Reader] = MappingProxyType(
    {
        "kind": choice(Kind),
        "title": word,
        "host": word,
        "port": port,
        "port_from_socket": flag,
        "scheme": scheme,
        "expose": flag,
        "env": variables({}),
        "env_file": env_files({}),
        "stdin": choice(InputMode),
        "stdout": choice(OutputMode),
        "stderr": choice(OutputMode),
        "prepare_timeout": duration(),
        "startup_timeout": duration(),
        "task_timeout": duration(zero=True),
        "force_kill_timeout": duration(zero=True),
        "stop": choice(StopMode),
        "stop_signal": choice(StopSignal),
        "success_exit_codes": exit_codes,
        "max_connection_failures": integer(1),
        "health": choice(HealthRule),
        "restart": table(RESTART, RestartPolicy),
        "needs": needs,
        "autostart": flag,
        "essential": flag,
        "identity": choice(IdentityCheck),
        "user": word,
        "group": word,
        "no_new_privileges": flag,
        "guard": flag,
        "memory_interval": duration(zero=True),
    }
)

# What the engine fills in once more when it knows the port.
TEMPLATES = frozenset({"command", "env", "plugins"})
