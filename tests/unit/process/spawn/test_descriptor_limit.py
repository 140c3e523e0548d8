import resource
from collections.abc import Iterator

import pytest
from hostler.process.spawn.descriptor_limit import DescriptorLimit
from hostler.process.spawn.privileges import limit_prefix

pytestmark = pytest.mark.skipif(not limit_prefix("--nofile"), reason="there is no prlimit")


def soft() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@pytest.fixture(autouse=True)
def hard() -> Iterator[int]:
    own = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, own[1]))
    yield min(own[1], 2**19)
    resource.setrlimit(resource.RLIMIT_NOFILE, own)


def test_it_is_raised_once_half_of_it_is_used_and_only_where_that_is_allowed(hard: int) -> None:
    limit = DescriptorLimit()
    limit.note(1023)
    assert soft() == 1024
    limit.allow()
    limit.note(511)
    limit.note(None)
    assert (soft(), limit.prefix()) == (1024, [])
    limit.note(512)
    assert soft() == hard
    assert limit.prefix()[1:] == ["--nofile=1024:"]
    limit.note(hard - 1)
    assert limit.option == "--nofile=1024:"


def test_nothing_is_raised_where_children_could_not_be_given_what_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hostler.process.spawn.privileges._find_tool", lambda _: None)
    limit = DescriptorLimit()
    limit.allow()
    limit.note(1023)
    assert (soft(), limit.option) == (1024, "")
