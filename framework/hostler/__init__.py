"""hostler keeps local servers up: starts them, finds their port, restarts them, leaves nothing behind.

Names are imported when they are first used, so that a program pays only for what it uses.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostler.errors import (
        EnvironmentSetupFailed,
        ErrorContext,
        EventStreamConnectionFailed,
        ForceKillTimeout,
        InvalidConfiguration,
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
    from hostler.events import (
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
    from hostler.model import (
        Action,
        Advice,
        Auth,
        Configuration,
        Endpoint,
        Exit,
        ExitCause,
        Healthy,
        IdentityCheck,
        Launch,
        Line,
        OutputMode,
        PluginSpec,
        Report,
        RestartMode,
        RestartPolicy,
        ServerSpec,
        Sink,
        StreamEvent,
        StreamGap,
        StreamName,
        Unhealthy,
    )
    from hostler.states import MOVES, State
    from hostler.version import __version__

__all__ = [
    "MOVES",
    "Action",
    "Advice",
    "Auth",
    "Configuration",
    "Endpoint",
    "EndpointFound",
    "EnvironmentSetupFailed",
    "ErrorContext",
    "Event",
    "EventStreamConnectionFailed",
    "Exit",
    "ExitCause",
    "Exited",
    "ForceKillTimeout",
    "HealthReported",
    "Healthy",
    "IdentityCheck",
    "InvalidConfiguration",
    "Launch",
    "Line",
    "LogFileCreationFailed",
    "MemorySampled",
    "Notice",
    "OutputMode",
    "PluginError",
    "PluginFailed",
    "PluginSpec",
    "PortInUse",
    "PortParsingFailed",
    "Problem",
    "ProcessAlreadyRunning",
    "ProcessSpawnFailed",
    "Progress",
    "Report",
    "RestartMode",
    "RestartPolicy",
    "RestartScheduled",
    "ServerCrashed",
    "ServerError",
    "ServerSpec",
    "ServerView",
    "Sink",
    "Spawned",
    "StartupTimeout",
    "State",
    "StateChanged",
    "StreamEvent",
    "StreamGap",
    "StreamName",
    "StreamReceived",
    "Unhealthy",
    "__version__",
    "hookimpl",
    "hookspec",
]

_WHERE = {
    "hostler.errors": "EnvironmentSetupFailed ErrorContext EventStreamConnectionFailed ForceKillTimeout InvalidConfiguration LogFileCreationFailed PluginError PortInUse PortParsingFailed Problem ProcessAlreadyRunning ProcessSpawnFailed ServerCrashed ServerError StartupTimeout",
    "hostler.events": "EndpointFound Event Exited HealthReported MemorySampled Notice PluginFailed Progress RestartScheduled Spawned StateChanged StreamReceived",
    "hostler.hooks": "ServerView hookimpl hookspec",
    "hostler.model": "Action Advice Auth Configuration Endpoint Exit ExitCause Healthy IdentityCheck Launch Line OutputMode PluginSpec Report RestartMode RestartPolicy ServerSpec Sink StreamEvent StreamGap StreamName Unhealthy",
    "hostler.states": "MOVES State",
    "hostler.version": "__version__",
}


def __getattr__(name: str) -> object:
    for module, names in _WHERE.items():
        if name in names.split():
            return getattr(import_module(module), name)

    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
