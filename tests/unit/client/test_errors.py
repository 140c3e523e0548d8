"""Problems of the control API as errors again."""

from __future__ import annotations

import msgspec
import pytest
from hostler import InvalidConfiguration, Problem, ServerError, errors
from hostler.client import RequestRefused, Unreachable
from hostler.client.errors import error_of
from hostler.control.problems import KINDS, STATUSES, Refused, refused
from reference_pages import own_classes

CLASSES = list(own_classes(errors, ServerError))


def as_told(refusal: Refused) -> Exception:
    return error_of(refusal.problem.status, msgspec.json.encode(refusal.problem))


def test_every_error_has_its_kind_of_problem() -> None:
    assert list(KINDS) == CLASSES


@pytest.mark.parametrize("class_", [one for one in CLASSES if one is not InvalidConfiguration])
def test_an_error_comes_back_as_its_own_class(class_: type[ServerError]) -> None:
    error = class_(
        "it broke", server="web", hint="mend it", stdout="out", stderr="err", details={"pids": [7]}
    )
    found = as_told(refused(error))
    assert type(found) is class_
    assert str(found) == str(error)
    assert isinstance(found, ServerError)
    assert found.permanent == class_.permanent
    pids = [7] if class_ is errors.ForceKillTimeout else None
    assert found.context.details.get("pids") == pids


def test_an_invalid_configuration_comes_back_with_all_mistakes() -> None:
    problems = [Problem("servers.web.port", "expected a number"), Problem("servers.db", "unknown key")]
    found = as_told(refused(InvalidConfiguration(problems, hint="see hostler check")))
    assert isinstance(found, InvalidConfiguration)
    assert [str(one) for one in found.problems] == [str(one) for one in problems]
    assert found.context.hint == "see hostler check"


def test_an_error_of_a_plugin_comes_back_as_one_of_hostler() -> None:
    class QuotaExceeded(ServerError):
        pass

    found = as_told(refused(QuotaExceeded("no quota", server="web")))
    assert type(found) is ServerError
    assert str(found) == "web: no quota"


@pytest.mark.parametrize("kind", [kind for kind in STATUSES if kind != "timed_out"])
def test_a_refusal_names_its_kind_and_status(kind: str) -> None:
    found = as_told(Refused(kind, "not so", server="web", hint="do that", retry_after=3))
    assert isinstance(found, RequestRefused)
    assert (found.kind, found.status, found.retry_after) == (kind, STATUSES[kind][0], 3)
    assert str(found) == "web: not so\n  what to do: do that"


def test_a_failure_names_its_crash() -> None:
    found = as_told(Refused("failed", "it broke", error="ServerCrashed", crash=7))
    assert isinstance(found, errors.ServerCrashed)
    assert found.context.details == {"crash": 7}


def test_a_command_that_is_late_raises_a_timeout() -> None:
    assert isinstance(as_told(Refused("timed_out", "it is not done in time, and goes on")), TimeoutError)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"type": "/problems/failed"}', b"\xff"])
def test_an_answer_of_somebody_else_is_no_problem_of_hostler(body: bytes) -> None:
    found = error_of(502, body)
    assert isinstance(found, Unreachable)
    assert "it answered 502" in str(found)
