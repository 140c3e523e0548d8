"""The values that flow through hostler, all frozen."""

from __future__ import annotations

from hostler.model.choices import HealthRule, IdentityCheck, InputMode, Kind, OutputMode, RestartMode
from hostler.model.runs import (
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
from hostler.model.spec import Configuration, EnvFile, PluginSpec, RestartPolicy, ServerSpec

__all__ = [
    "Action",
    "Advice",
    "Auth",
    "Configuration",
    "Endpoint",
    "EnvFile",
    "Exit",
    "ExitCause",
    "HealthRule",
    "Healthy",
    "IdentityCheck",
    "InputMode",
    "Kind",
    "Line",
    "OutputMode",
    "PluginSpec",
    "Report",
    "RestartMode",
    "RestartPolicy",
    "ServerSpec",
    "StreamEvent",
    "StreamGap",
    "StreamName",
    "Unhealthy",
]
