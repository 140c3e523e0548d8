"""hostler supervises local servers: starts them, finds their port, restarts them, leaves nothing behind.

Names are imported when they are first used, so that a program pays only for what it uses.
"""

from typing import TYPE_CHECKING

from hostler.imports.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from hostler.config.dump import dump as dump
    from hostler.config.load import from_dict as from_dict, load as load
    from hostler.config.provenance import Origin as Origin
    from hostler.config.show import Shown as Shown, show as show
    from hostler.control.control import Control as Control
    from hostler.errors import (
        EnvironmentSetupFailed as EnvironmentSetupFailed,
        ErrorContext as ErrorContext,
        EventStreamConnectionFailed as EventStreamConnectionFailed,
        ForceKillTimeout as ForceKillTimeout,
        InvalidConfiguration as InvalidConfiguration,
        ListensTooWide as ListensTooWide,
        LogFileCreationFailed as LogFileCreationFailed,
        PluginError as PluginError,
        PortInUse as PortInUse,
        PortParsingFailed as PortParsingFailed,
        Problem as Problem,
        ProcessAlreadyRunning as ProcessAlreadyRunning,
        ProcessSpawnFailed as ProcessSpawnFailed,
        RestartNotIdle as RestartNotIdle,
        ServerCrashed as ServerCrashed,
        ServerError as ServerError,
        StartupTimeout as StartupTimeout,
    )
    from hostler.events.counts import HealthCounts as HealthCounts, ServerCounts as ServerCounts
    from hostler.events.crash import (
        CrashRecord as CrashRecord,
        MemoryPoint as MemoryPoint,
        PluginNote as PluginNote,
        PluginWord as PluginWord,
    )
    from hostler.events.events import (
        CrashRecorded as CrashRecorded,
        EndpointFound as EndpointFound,
        Event as Event,
        Exited as Exited,
        HealthReported as HealthReported,
        MemorySampled as MemorySampled,
        Notice as Notice,
        PluginFailed as PluginFailed,
        Progress as Progress,
        RestartScheduled as RestartScheduled,
        Spawned as Spawned,
        StateChanged as StateChanged,
        StreamReceived as StreamReceived,
    )
    from hostler.events.health import HealthReport as HealthReport
    from hostler.files.log_index import LogIndex as LogIndex
    from hostler.files.log_marks import LogMark as LogMark, LogMarks as LogMarks
    from hostler.files.namespace import namespace_key as namespace_key
    from hostler.files.namespace import namespace_of as namespace_of
    from hostler.hooks import ServerView as ServerView, hookimpl as hookimpl, hookspec as hookspec
    from hostler.launching.server_user import (
        is_ours as is_ours,
        read_head as read_head,
        read_input as read_input,
    )
    from hostler.launching.tempdir import private_folder as private_folder
    from hostler.model.choices import (
        HealthRule as HealthRule,
        IdentityCheck as IdentityCheck,
        InputMode as InputMode,
        Kind as Kind,
        OutputMode as OutputMode,
        RestartMode as RestartMode,
        StopMode as StopMode,
        StopSignal as StopSignal,
    )
    from hostler.model.dependencies import Condition as Condition, Need as Need, OnRestart as OnRestart
    from hostler.model.diff import Change as Change, Changes as Changes, ListenerChanges as ListenerChanges
    from hostler.model.heartbeat import is_heartbeat as is_heartbeat
    from hostler.model.launch import (
        Confinement as Confinement,
        Launch as Launch,
        LogFiles as LogFiles,
        Sink as Sink,
    )
    from hostler.model.spec import (
        Configuration as Configuration,
        ControlSpec as ControlSpec,
        EnvFile as EnvFile,
        ListenerSpec as ListenerSpec,
        PluginSpec as PluginSpec,
        RestartPolicy as RestartPolicy,
        ServerSpec as ServerSpec,
    )
    from hostler.model.states import MOVES as MOVES, State as State
    from hostler.model.units import Duration as Duration, Size as Size, option as option
    from hostler.model.values import (
        Action as Action,
        Advice as Advice,
        Auth as Auth,
        CommandResult as CommandResult,
        Endpoint as Endpoint,
        Exit as Exit,
        ExitCause as ExitCause,
        Healthy as Healthy,
        Line as Line,
        ProcessUsage as ProcessUsage,
        Report as Report,
        StreamEvent as StreamEvent,
        StreamGap as StreamGap,
        StreamName as StreamName,
        Unhealthy as Unhealthy,
    )
    from hostler.plugins.hook_stats import HookStats as HookStats
    from hostler.plugins.poll import PollOptions as PollOptions, poll as poll
    from hostler.process.disk.directories import (
        Directories as Directories,
        why_not_writable as why_not_writable,
    )
    from hostler.process.disk.trusted_folder import trusted_folder as trusted_folder
    from hostler.process.net.systemd_notify import (
        notify_systemd as notify_systemd,
        watchdog_seconds as watchdog_seconds,
    )
    from hostler.secrets.credentials import is_secret_name as is_secret_name
    from hostler.model.secret import Secret as Secret
    from hostler.supervisor.essential_servers import EssentialEnd as EssentialEnd
    from hostler.supervisor.handle import Server as Server, sample_memory as sample_memory
    from hostler.supervisor.listener import Listener as Listener, ListenerContext as ListenerContext
    from hostler.supervisor.supervisor import Supervisor as Supervisor
    from hostler.sync.serve import serve as serve
    from hostler.sync.servers import (
        BlockingServer as BlockingServer,
        BlockingSupervisor as BlockingSupervisor,
    )
    from hostler.version import __version__ as __version__

# For the running program what the lines above are for type checkers.
__all__, __getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "config.dump": "dump",
        "config.load": "from_dict load",
        "config.provenance": "Origin",
        "config.show": "Shown show",
        "control.control": "Control",
        "errors": """
            EnvironmentSetupFailed ErrorContext EventStreamConnectionFailed ForceKillTimeout
            InvalidConfiguration ListensTooWide LogFileCreationFailed PluginError PortInUse
            PortParsingFailed Problem ProcessAlreadyRunning ProcessSpawnFailed RestartNotIdle
            ServerCrashed ServerError StartupTimeout
        """,
        "events.counts": "HealthCounts ServerCounts",
        "events.crash": "CrashRecord MemoryPoint PluginNote PluginWord",
        "events.events": """
            CrashRecorded EndpointFound Event Exited HealthReported MemorySampled Notice PluginFailed
            Progress RestartScheduled Spawned StateChanged StreamReceived
        """,
        "events.health": "HealthReport",
        "files.log_index": "LogIndex",
        "files.log_marks": "LogMark LogMarks",
        "files.namespace": "namespace_key namespace_of",
        "hooks": "ServerView hookimpl hookspec",
        "launching.server_user": "is_ours read_head read_input",
        "launching.tempdir": "private_folder",
        "model.choices": """
            HealthRule IdentityCheck InputMode Kind OutputMode RestartMode StopMode StopSignal
        """,
        "model.dependencies": "Condition Need OnRestart",
        "model.diff": "Change Changes ListenerChanges",
        "model.heartbeat": "is_heartbeat",
        "model.launch": "Confinement Launch LogFiles Sink",
        "model.secret": "Secret",
        "model.spec": "Configuration ControlSpec EnvFile ListenerSpec PluginSpec RestartPolicy ServerSpec",
        "model.states": "MOVES State",
        "model.units": "Duration Size option",
        "model.values": """
            Action Advice Auth CommandResult Endpoint Exit ExitCause Healthy Line ProcessUsage Report
            StreamEvent StreamGap StreamName Unhealthy
        """,
        "plugins.hook_stats": "HookStats",
        "plugins.poll": "PollOptions poll",
        "process.disk.directories": "Directories why_not_writable",
        "process.disk.trusted_folder": "trusted_folder",
        "process.net.systemd_notify": "notify_systemd watchdog_seconds",
        "secrets.credentials": "is_secret_name",
        "supervisor.essential_servers": "EssentialEnd",
        "supervisor.handle": "Server sample_memory",
        "supervisor.listener": "Listener ListenerContext",
        "supervisor.supervisor": "Supervisor",
        "sync.serve": "serve",
        "sync.servers": "BlockingServer BlockingSupervisor",
        "version": "__version__",
    },
)
