import pytest
from hostler import StreamEvent, is_heartbeat
from hostler_plugins.sse_health.timing import HeartbeatMonitor, Refusals, Retries


def longest(_: float, upper: float) -> float:
    return upper


def shortest(lower: float, _: float) -> float:
    return lower


def test_a_server_that_only_just_starts_is_asked_again_quickly() -> None:
    retries = Retries(1.0, 30.0, shortest)

    assert [retries.failed(0.0) for _ in range(8)] == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
    assert retries.failures == 8


@pytest.mark.parametrize(("required", "delay"), [(0.0, 0.02), (10.0, 10.0), (3600.0, 30.0)])
def test_while_it_starts_too_the_server_is_left_alone_as_long_as_it_asks(
    required: float, delay: float
) -> None:
    assert Retries(1.0, 30.0).failed(0.0, required=required) == delay


def test_an_answer_that_is_meant_is_asked_for_a_few_times_within_the_patience() -> None:
    refusals = Refusals(5.0)
    now, waits = 100.0, []
    while (wait := refusals.refused(now)) is not None:
        waits.append(round(wait, 3))
        now += wait
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 1.9]
    refusals.end()
    assert refusals.refused(now) == 0.1


def test_a_connection_that_held_is_renewed_at_once_and_then_with_growing_waits() -> None:
    retries = Retries(1.0, 30.0, longest)
    retries.opened(100.0)

    assert [retries.failed(200.0) for _ in range(8)] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@pytest.mark.requirement("R25")
def test_connections_that_end_at_once_are_renewed_ever_more_slowly() -> None:
    retries = Retries(1.0, 30.0, longest)
    delays = []
    for now in range(100, 104):
        retries.opened(now)
        delays.append(retries.failed(now + 0.5))
    assert delays == [1.0, 2.0, 4.0, 8.0]
    assert retries.failures == 1


def test_a_first_event_resets_the_count_of_failures_and_a_held_connection_the_wait() -> None:
    retries = Retries(1.0, 30.0, longest)
    retries.opened(0.0)
    waits = [retries.failed(10.0), retries.failed(10.0), retries.failed(10.0)]
    retries.opened(20.0)

    assert waits == [0.0, 1.0, 2.0]
    assert retries.failures == 0
    assert retries.failed(21.0) == 0.0


def test_jitter_takes_away_up_to_half_of_the_wait() -> None:
    retries = Retries(1.0, 30.0, shortest)
    retries.opened(0.0)

    assert [retries.failed(0.0) for _ in range(3)] == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(("wanted", "delay"), [(0.0, 1.0), (5.0, 5.0), (86_400_000.0, 30.0)])
def test_what_the_server_wants_is_bounded_on_both_sides(wanted: float, delay: float) -> None:
    for asked in ({"wanted": wanted}, {"required": wanted}):
        retries = Retries(1.0, 30.0, longest)
        retries.opened(0.0)

        assert retries.failed(0.5, **asked) == delay


def test_a_thousand_failures_are_no_arithmetic_error() -> None:
    retries = Retries(1.0, 30.0, longest)
    retries.opened(0.0)

    assert [retries.failed(0.0) for _ in range(2000)][-1] == 30.0


def test_a_stream_without_heartbeats_may_be_silent_for_ever() -> None:
    heartbeats = HeartbeatMonitor()
    heartbeats.started(0.0)

    assert heartbeats.limit is None


def test_three_heartbeats_are_the_limit_once_one_was_seen() -> None:
    heartbeats = HeartbeatMonitor()
    heartbeats.started(100.0)
    heartbeats.beat(130.0)
    heartbeats.beat(150.0)

    assert heartbeats.limit == 90.0


def test_quick_heartbeats_do_not_make_the_limit_shorter_than_half_a_minute() -> None:
    heartbeats = HeartbeatMonitor()
    heartbeats.started(0.0)
    heartbeats.beat(0.0)
    heartbeats.beat(1.0)

    assert heartbeats.limit == 30.0


def test_the_time_without_a_connection_is_no_pause_between_heartbeats() -> None:
    heartbeats = HeartbeatMonitor()
    heartbeats.started(0.0)
    heartbeats.beat(20.0)
    heartbeats.started(500.0)
    heartbeats.beat(520.0)

    assert heartbeats.limit == 60.0


def test_a_fixed_limit_holds_from_the_start() -> None:
    heartbeats = HeartbeatMonitor(2.0)
    assert heartbeats.limit == 2.0
    heartbeats.beat(60.0)
    assert heartbeats.limit == 2.0


@pytest.mark.parametrize(
    "event",
    [
        StreamEvent("message", '{"type":"server.heartbeat","properties":{}}'),
        StreamEvent("message", '{ "id": "evt_1", "type" : "server.heartbeat", "properties": {} }'),
        StreamEvent("message", "heartbeat"),
        StreamEvent("message", "ping"),
        StreamEvent("ping", "{}"),
        StreamEvent("keep-alive", ""),
        StreamEvent("Keepalive", ""),
    ],
)
def test_heartbeats_are_known_by_their_type(event: StreamEvent) -> None:
    assert is_heartbeat(event)


@pytest.mark.parametrize(
    "event",
    [
        StreamEvent("message", '{"type":"server.connected","properties":{}}'),
        StreamEvent("message", '{"type":"message.updated","text":"my heartbeat"}'),
        StreamEvent("message", '{"type":"shopping"}'),
        StreamEvent("message", "a ping came"),
        StreamEvent("message", "{}"),
        StreamEvent("message", "\n" * 200 + "ping"),
        StreamEvent("shopping", ""),
    ],
)
def test_other_events_are_no_heartbeats(event: StreamEvent) -> None:
    assert not is_heartbeat(event)
