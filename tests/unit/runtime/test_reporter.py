"""Events are masked where they leave, whoever made them and whatever stands in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hostler import (
    CrashRecord,
    CrashRecorded,
    Event,
    Exit,
    ExitCause,
    Exited,
    HealthReported,
    Healthy,
    Notice,
    PluginFailed,
    PluginNote,
    Progress,
    ServerError,
    Spawned,
    State,
    StateChanged,
    Unhealthy,
)
from hostler.runtime.reporter import Reporter

SECRET = "sk-0123456789abcdef"
TOLD = f"it says {SECRET} twice: {SECRET}"


def crash() -> CrashRecord:
    return CrashRecord(
        server="web",
        generation=1,
        when=datetime.now(UTC),
        cause=ExitCause.EXITED,
        how=TOLD,
        reason=TOLD,
        decision=TOLD,
        hint=TOLD,
        stdout=TOLD,
        stderr=TOLD,
        plugins=(PluginNote("probe", "health_check", TOLD),),
    )


EVENTS = [
    StateChanged(
        server="web", generation=1, state=State.FAILED, previous=State.CRASHED, reason=TOLD, error=TOLD
    ),
    Spawned(
        server="web",
        generation=1,
        pid=1,
        argv=("serve", TOLD),
        cwd=TOLD,
        env={"A": TOLD},
        origins={"A": TOLD},
        removed={"B": TOLD},
    ),
    HealthReported(
        server="web",
        generation=1,
        plugin="probe",
        healthy=False,
        reason=TOLD,
        report=Unhealthy(TOLD, error=ServerError(TOLD, hint=TOLD), details={"a": [TOLD]}, hint=TOLD),
    ),
    HealthReported(
        server="web", generation=1, plugin="probe", healthy=True, report=Healthy(details={TOLD: TOLD})
    ),
    Exited(server="web", generation=1, exit=Exit(ExitCause.EXITED, 1, code=1, stdout=TOLD, stderr=TOLD)),
    CrashRecorded(server="web", generation=1, record=crash()),
    PluginFailed(server="web", generation=1, plugin="probe", hook="on_ready", reason=TOLD),
    Progress(server="web", generation=1, text=TOLD),
    Notice(server="web", generation=1, topic="said", text=TOLD, details={TOLD: TOLD, "b": {"c": (TOLD,)}}),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
async def test_no_text_of_an_event_tells_a_secret(event: Event) -> None:
    heard: list[Event] = []
    reporter = Reporter("web", heard.append)
    reporter.masker.register(SECRET)
    reporter.emit(event)

    (told,) = heard
    assert SECRET not in repr(told)
    assert SECRET not in json.dumps(told.as_dict())
    assert "********" in repr(told)


async def test_the_names_by_which_others_know_a_thing_stay_as_they_are() -> None:
    heard: list[Event] = []
    reporter = Reporter("web-server-1", heard.append)
    reporter.masker.register("web-server-1")
    reporter.masker.register("http-health")
    reporter.emit(
        PluginFailed(
            server="web-server-1", generation=1, plugin="http-health", hook="on_ready", reason="none"
        )
    )
    reporter.notice("web-server-1", "a topic", "warning")

    failed, notice = heard
    assert isinstance(failed, PluginFailed)
    assert isinstance(notice, Notice)
    assert (failed.server, failed.plugin, notice.topic) == ("web-server-1", "http-health", "web-server-1")
