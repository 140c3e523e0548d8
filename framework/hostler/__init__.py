"""hostler keeps local servers up: starts them, finds their port, restarts them, leaves nothing behind.

Names are imported when they are first used, so that a program pays only for what it uses.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostler.config.dump import dump
    from hostler.config.load import from_dict, load
    from hostler.engine.server import Server
    from hostler.errors import (
        EnvironmentSetupFailed,
        ErrorContext,
        EventStreamConnectionFailed,
        ForceKillTimeout,
        InvalidConfiguration,
        ListensTooWide,
        LogFileCreationFailed,
        PluginError,
        PortInUse,
        PortParsingFailed,
        Problem,
        ProcessAlreadyRunning,
        ProcessSpawnFailed,
        ServerCrashed,
        ServerError,
        StartupTimeout,
    )
    from hostler.events.crash import CrashRecord, MemoryPoint, PluginWord
    from hostler.events.events import (
        CrashRecorded,
        EndpointFound,
        Event,
        Exited,
        HealthReported,
        MemorySampled,
        Notice,
        PluginFailed,
        Progress,
        RestartScheduled,
        Spawned,
        StateChanged,
        StreamReceived,
    )
    from hostler.hooks import ServerView, hookimpl, hookspec
    from hostler.launching.server_user import is_ours, read_head, read_input
    from hostler.launching.tempdir import private_folder
    from hostler.model.choices import HealthRule, IdentityCheck, InputMode, Kind, OutputMode, RestartMode
    from hostler.model.command_result import CommandResult
    from hostler.model.dependencies import Condition, Need, OnRestart
    from hostler.model.diff import Change, Changes
    from hostler.model.heartbeat import is_heartbeat
    from hostler.model.launch import Confinement, Launch, Sink
    from hostler.model.spec import Configuration, EnvFile, PluginSpec, RestartPolicy, ServerSpec
    from hostler.model.states import MOVES, State
    from hostler.model.stop_order import StopMode, StopSignal
    from hostler.model.units import Duration, Size, option
    from hostler.model.usage import ProcessUsage
    from hostler.model.values import (
        Action,
        Advice,
        Auth,
        Endpoint,
        Exit,
        ExitCause,
        Healthy,
        Line,
        Report,
        StreamEvent,
        StreamGap,
        StreamName,
        Unhealthy,
    )
    from hostler.plugins.poll import poll
    from hostler.process.disk.directories import Directories, why_not_writable
    from hostler.process.disk.trusted_folder import trusted_folder
    from hostler.secrets.credentials import is_secret_name
    from hostler.secrets.reference import Secret
    from hostler.supervisor.essential import EssentialEnd
    from hostler.supervisor.supervisor import Supervisor
    from hostler.sync.serve import serve
    from hostler.sync.servers import BlockingServer, BlockingSupervisor
    from hostler.version import __version__

__all__ = [
    "MOVES",
    "Action",
    "Advice",
    "Auth",
    "BlockingServer",
    "BlockingSupervisor",
    "Change",
    "Changes",
    "CommandResult",
    "Condition",
    "Configuration",
    "Confinement",
    "CrashRecord",
    "CrashRecorded",
    "Directories",
    "Duration",
    "Endpoint",
    "EndpointFound",
    "EnvFile",
    "EnvironmentSetupFailed",
    "ErrorContext",
    "EssentialEnd",
    "Event",
    "EventStreamConnectionFailed",
    "Exit",
    "ExitCause",
    "Exited",
    "ForceKillTimeout",
    "HealthReported",
    "HealthRule",
    "Healthy",
    "IdentityCheck",
    "InputMode",
    "InvalidConfiguration",
    "Kind",
    "Launch",
    "Line",
    "ListensTooWide",
    "LogFileCreationFailed",
    "MemoryPoint",
    "MemorySampled",
    "Need",
    "Notice",
    "OnRestart",
    "OutputMode",
    "PluginError",
    "PluginFailed",
    "PluginSpec",
    "PluginWord",
    "PortInUse",
    "PortParsingFailed",
    "Problem",
    "ProcessAlreadyRunning",
    "ProcessSpawnFailed",
    "ProcessUsage",
    "Progress",
    "Report",
    "RestartMode",
    "RestartPolicy",
    "RestartScheduled",
    "Secret",
    "Server",
    "ServerCrashed",
    "ServerError",
    "ServerSpec",
    "ServerView",
    "Sink",
    "Size",
    "Spawned",
    "StartupTimeout",
    "State",
    "StateChanged",
    "StopMode",
    "StopSignal",
    "StreamEvent",
    "StreamGap",
    "StreamName",
    "StreamReceived",
    "Supervisor",
    "Unhealthy",
    "__version__",
    "dump",
    "from_dict",
    "hookimpl",
    "hookspec",
    "is_heartbeat",
    "is_ours",
    "is_secret_name",
    "load",
    "option",
    "poll",
    "private_folder",
    "read_head",
    "read_input",
    "serve",
    "trusted_folder",
    "why_not_writable",
]

_NAMES = {
    "hostler.config.dump": ("dump",),
    "hostler.config.load": (
        "from_dict",
        "load",
    ),
    "hostler.engine.server": ("Server",),
    "hostler.errors": (
        "EnvironmentSetupFailed",
        "ErrorContext",
        "EventStreamConnectionFailed",
        "ForceKillTimeout",
        "InvalidConfiguration",
        "ListensTooWide",
        "LogFileCreationFailed",
        "PluginError",
        "PortInUse",
        "PortParsingFailed",
        "Problem",
        "ProcessAlreadyRunning",
        "ProcessSpawnFailed",
        "ServerCrashed",
        "ServerError",
        "StartupTimeout",
    ),
    "hostler.events.crash": (
        "CrashRecord",
        "MemoryPoint",
        "PluginWord",
    ),
    "hostler.events.events": (
        "CrashRecorded",
        "EndpointFound",
        "Event",
        "Exited",
        "HealthReported",
        "MemorySampled",
        "Notice",
        "PluginFailed",
        "Progress",
        "RestartScheduled",
        "Spawned",
        "StateChanged",
        "StreamReceived",
    ),
    "hostler.hooks": (
        "ServerView",
        "hookimpl",
        "hookspec",
    ),
    "hostler.launching.server_user": (
        "is_ours",
        "read_head",
        "read_input",
    ),
    "hostler.launching.tempdir": ("private_folder",),
    "hostler.model.choices": (
        "HealthRule",
        "IdentityCheck",
        "InputMode",
        "Kind",
        "OutputMode",
        "RestartMode",
    ),
    "hostler.model.command_result": ("CommandResult",),
    "hostler.model.dependencies": (
        "Condition",
        "Need",
        "OnRestart",
    ),
    "hostler.model.diff": (
        "Change",
        "Changes",
    ),
    "hostler.model.heartbeat": ("is_heartbeat",),
    "hostler.model.launch": (
        "Confinement",
        "Launch",
        "Sink",
    ),
    "hostler.model.spec": (
        "Configuration",
        "EnvFile",
        "PluginSpec",
        "RestartPolicy",
        "ServerSpec",
    ),
    "hostler.model.states": (
        "MOVES",
        "State",
    ),
    "hostler.model.stop_order": (
        "StopMode",
        "StopSignal",
    ),
    "hostler.model.units": (
        "Duration",
        "Size",
        "option",
    ),
    "hostler.model.usage": ("ProcessUsage",),
    "hostler.model.values": (
        "Action",
        "Advice",
        "Auth",
        "Endpoint",
        "Exit",
        "ExitCause",
        "Healthy",
        "Line",
        "Report",
        "StreamEvent",
        "StreamGap",
        "StreamName",
        "Unhealthy",
    ),
    "hostler.plugins.poll": ("poll",),
    "hostler.process.disk.directories": (
        "Directories",
        "why_not_writable",
    ),
    "hostler.process.disk.trusted_folder": ("trusted_folder",),
    "hostler.secrets.credentials": ("is_secret_name",),
    "hostler.secrets.reference": ("Secret",),
    "hostler.supervisor.essential": ("EssentialEnd",),
    "hostler.supervisor.supervisor": ("Supervisor",),
    "hostler.sync.serve": ("serve",),
    "hostler.sync.servers": (
        "BlockingServer",
        "BlockingSupervisor",
    ),
    "hostler.version": ("__version__",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    return getattr(import_module(_MODULES[name]), name)
