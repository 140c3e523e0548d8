import os
import socket
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pytest
from hostler.model.values import Endpoint
from hostler.process.net import netlink, ownership
from hostler.process.net.addresses import is_loopback, is_wider
from hostler.process.net.listeners import process_name, read_listening
from hostler.process.net.netlink import ask_listening
from hostler.process.net.ownership import (
    Listener,
    ListenerKind,
    listening_sockets,
    who_holds,
    who_listens,
)
from msgspec.structs import replace

NOBODY = 65534
LISTENS = """
import socket, sys
host, port, protocol, share, only = sys.argv[1], *map(int, sys.argv[2:])
opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, protocol)
if only:
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
if share:
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
opened.bind((host, port))
sys.stdin.readline()
opened.listen()
print(opened.getsockname()[1], flush=True)
sys.stdin.read()
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users and make namespaces")


class Child:
    """A process that binds at once and listens when it is told to."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self._process = process

    def members(self) -> list[int]:
        return [self.pid]

    def listen(self) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def ended(self) -> bool:
        return self._process.returncode is not None


@contextmanager
def bound(
    host: str,
    port: int = 0,
    *,
    protocol: int = 0,
    share: bool = False,
    only_v6: bool = False,
    prefix: Sequence[str] = (),
) -> Iterator[Child]:
    switches = (host, port, protocol, int(share), int(only_v6))
    argv = [*prefix, sys.executable, "-I", "-S", "-c", LISTENS, *map(str, switches)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Child(process)
        finally:
            process.kill()


@contextmanager
def listening_socket(host: str, port: int = 0, *, share: bool = False) -> Iterator[socket.socket]:
    """A socket of this process, which is foreign to every tree in these tests."""
    with closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as opened:
        if share:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind((host, port))
        opened.listen()
        yield opened


@contextmanager
def listening(host: str, port: int = 0) -> Iterator[int]:
    """The port of such a socket."""
    with listening_socket(host, port) as opened:
        yield int(opened.getsockname()[1])


def kind(host: str, port: int, child: Child) -> ListenerKind:
    return who_listens(Endpoint(host, port), child.members).kind


def test_a_socket_of_the_tree_is_own_with_its_process_and_address() -> None:
    with bound("127.0.0.1") as child:
        port = child.listen()
        listener = who_listens(Endpoint("127.0.0.1", port), child.members)
        assert (listener.kind, listener.pid, listener.bound_host) == (
            ListenerKind.OWN,
            child.pid,
            "127.0.0.1",
        )
        assert listener.name.startswith("python")
        assert listener.uid in {os.getuid(), None}


def test_a_socket_is_found_with_any_member_of_the_tree() -> None:
    with bound("127.0.0.1") as child, bound("127.0.0.1") as other:
        port = child.listen()
        listener = who_listens(Endpoint("127.0.0.1", port), lambda: [other.pid, 2**22 + 1, child.pid])
        assert (listener.kind, listener.pid) == (ListenerKind.OWN, child.pid)


def test_nobody_listens_before_listen_is_called_and_after_the_end() -> None:
    with bound("127.0.0.1") as child:
        endpoint = listening_sockets(child.members())
        assert endpoint == []
        port = child.listen()
        assert kind("127.0.0.1", port, child) is ListenerKind.OWN
    assert kind("127.0.0.1", port, child) is ListenerKind.NOBODY


def test_a_foreign_listener_is_named_with_its_pid() -> None:
    with bound("127.0.0.1") as child, listening("127.0.0.1") as port:
        listener = who_listens(Endpoint("127.0.0.1", port), child.members)
        assert (listener.kind, listener.pid) == (ListenerKind.FOREIGN, os.getpid())
        assert listener.name


def test_a_connection_is_not_a_listener() -> None:
    with (
        bound("127.0.0.1") as child,
        listening("127.0.0.1") as port,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        assert kind("127.0.0.1", client.getsockname()[1], child) is ListenerKind.NOBODY


def test_a_listener_on_another_address_does_not_count() -> None:
    with bound("127.0.0.1") as child, listening("127.0.0.2") as port:
        assert kind("127.0.0.1", port, child) is ListenerKind.NOBODY
        assert kind("::1", port, child) is ListenerKind.NOBODY
        assert kind("127.0.0.2", port, child) is ListenerKind.FOREIGN


@pytest.mark.parametrize(
    ("bind", "hosts"),
    [
        ("0.0.0.0", ["127.0.0.1", "localhost", "0.0.0.0", "", "*", "127.8.8.8"]),
        ("::", ["127.0.0.1", "::1", "localhost", "LOCALHOST", "::", "0.0.0.0", "*"]),
        ("::1", ["::1", "localhost", "::"]),
        ("::ffff:127.0.0.1", ["127.0.0.1", "::ffff:127.0.0.1", "localhost"]),
    ],
)
def test_a_socket_is_found_under_every_host_that_leads_to_it(bind: str, hosts: list[str]) -> None:
    with bound(bind) as child:
        port = child.listen()
        assert {host: kind(host, port, child) for host in hosts} == dict.fromkeys(hosts, ListenerKind.OWN)


@linux
def test_a_socket_for_ipv6_alone_does_not_answer_ipv4() -> None:
    with bound("::", only_v6=True) as child:
        port = child.listen()
        assert kind("127.0.0.1", port, child) is ListenerKind.NOBODY
        assert kind("::1", port, child) is ListenerKind.OWN


@linux
@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("0.0.0.0", "127.0.0.1", ListenerKind.FOREIGN),
        ("127.0.0.1", "0.0.0.0", ListenerKind.OWN),
        ("::", "0.0.0.0", ListenerKind.FOREIGN),
        ("127.0.0.1", "127.0.0.1", ListenerKind.FOREIGN),
    ],
)
def test_of_two_sockets_on_one_port_the_one_that_answers_is_returned(
    ours: str, theirs: str, expected: ListenerKind
) -> None:
    with bound(ours, share=True) as child:
        port = child.listen()
        with listening_socket(theirs, port, share=True) as stranger:
            listener = who_listens(Endpoint("127.0.0.1", port), child.members)
            answered = connects_to(stranger, port)
        assert listener.kind is expected
        assert listener.bound_host == (theirs if expected is ListenerKind.FOREIGN else ours)
        assert ours == theirs or answered == (
            expected is ListenerKind.FOREIGN
        )  # one of two equals may answer


def connects_to(listener: socket.socket, port: int) -> bool:
    """Whether it is this listener that gets a connection to the port, by the kernel's own choice."""
    listener.setblocking(False)
    with socket.create_connection(("127.0.0.1", port)):
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return False
    return True


def test_localhost_is_foreign_where_a_foreign_process_has_the_other_family() -> None:
    with bound("127.0.0.1") as child:
        port = child.listen()
        with listening("::1", port):
            assert kind("localhost", port, child) is ListenerKind.FOREIGN
            assert kind("127.0.0.1", port, child) is ListenerKind.OWN


@pytest.mark.parametrize("host", ["some-machine.test", "192.0.2.1", "2001:db8::1"])
def test_a_host_that_is_not_known_to_be_here_is_judged_by_the_port_and_never_called_foreign(
    host: str,
) -> None:
    with bound("0.0.0.0") as child:
        port = child.listen()
        assert kind(host, port, child) is ListenerKind.OWN
    with listening("0.0.0.0") as port:
        assert kind(host, port, child) is ListenerKind.UNKNOWN
    assert kind(host, port, child) is ListenerKind.NOBODY


@linux
def test_an_address_of_an_interface_is_ours() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("no interface beside loopback")
        address = probe.getsockname()[0]

    with bound("0.0.0.0") as child, listening(address) as port:
        assert kind(address, port, child) is ListenerKind.FOREIGN
        assert kind(address, child.listen(), child) is ListenerKind.OWN


@linux
def test_a_multipath_listener_as_go_programs_open_it_is_found() -> None:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close()
    except OSError:
        pytest.skip("the kernel has no MPTCP")
    with bound("127.0.0.1", protocol=262) as child:
        assert kind("127.0.0.1", child.listen(), child) is ListenerKind.OWN


@linux
@as_root
def test_a_member_in_another_network_namespace_cannot_be_identified() -> None:
    with bound("0.0.0.0", 8123, prefix=["unshare", "--net"]) as child:
        assert kind("127.0.0.1", 8123, child) is ListenerKind.NOBODY
        assert child.listen() == 8123
        listener = who_listens(Endpoint("127.0.0.1", 8123), child.members)
        assert (listener.kind, listener.pid) == (ListenerKind.UNKNOWN, child.pid)
        assert kind("127.0.0.1", 8124, child) is ListenerKind.NOBODY
        assert listening_sockets([os.getpid(), child.pid]) == [Endpoint("0.0.0.0", 8123, "tcp")]
        with listening("127.0.0.1", 8123):  # as a program that forwards the port into the namespace
            assert kind("127.0.0.1", 8123, child) is ListenerKind.UNKNOWN


@linux
@as_root
def test_the_process_of_another_user_cannot_be_identified_but_its_user_can() -> None:
    with listening("127.0.0.1") as port:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # of a fork beside threads: the child needs none
            pid = os.fork()
        if pid == 0:
            os.closerange(3, writing)  # the socket is not to be its own
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writing, repr(who_listens(Endpoint("127.0.0.1", port), lambda: [1])).encode())
            os._exit(0)
        os.close(writing)
        os.waitpid(pid, 0)
        with os.fdopen(reading) as file:
            assert file.read() == repr(Listener(ListenerKind.UNKNOWN, None, "", "127.0.0.1", 0))


@linux
def test_a_port_that_changes_hands_while_we_look_is_looked_at_again() -> None:
    with bound("127.0.0.1", share=True) as old:
        port = old.listen()
        with bound("127.0.0.1", port, share=True) as new:

            class Restarting(list[int]):
                """Read between the look at the sockets and that at the processes."""

                def __iter__(self) -> Iterator[int]:
                    if old.ended():
                        return super().__iter__()
                    old.end()
                    new.listen()
                    return super().__iter__()

            members = Restarting([old.pid, new.pid])
            listener = who_listens(Endpoint("127.0.0.1", port), lambda: members)
            assert (listener.kind, listener.pid) == (ListenerKind.OWN, new.pid)


def test_all_sockets_of_the_tree_are_listed_once() -> None:
    with bound("127.0.0.1") as first, bound("::1") as second, listening("127.0.0.1"):
        ports = first.listen(), second.listen()
        assert listening_sockets([first.pid, second.pid, first.pid]) == [
            Endpoint("127.0.0.1", ports[0], "tcp"),
            Endpoint("::1", ports[1], "tcp"),
        ]
        assert listening_sockets([2**22 + 1]) == []
        assert listening_sockets([]) == []


@linux
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"])
def test_netlink_and_proc_agree(host: str) -> None:
    with listening(host) as port, listening("127.0.0.1"):
        by_netlink = [replace(found, only_v6=False) for found in ask_listening(port)]
        assert by_netlink == read_listening("self", port)
        assert len(by_netlink) == 1
        assert set(ask_listening(port)) < set(ask_listening())


@linux
def test_hundreds_of_sockets_are_all_found() -> None:
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(400)]
    ports = {one.getsockname()[1] for one in opened}
    assert ports <= {found.port for found in ask_listening()}
    assert ports <= {found.port for found in read_listening("self")}
    for one in opened:
        one.close()


@linux
def test_what_the_kernel_refuses_over_netlink_is_an_error() -> None:
    with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 4)) as kernel:
        kernel.settimeout(5)
        with pytest.raises(OSError, match=r"\w"):
            list(netlink._ask(kernel, 200, netlink._LISTEN, None))


def test_a_kernel_that_does_not_report_v6only_is_taken_to_have_both_families_on_a_wildcard() -> None:
    assert not netlink._is_only_v6(b"")


def test_a_process_that_is_gone_has_no_name() -> None:
    assert process_name(2**22 + 1) == ""


@linux
def test_without_netlink_proc_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(port: int | None = None) -> list[object]:
        raise PermissionError

    # A kernel without the diagnostics, or a sandbox without netlink, cannot be had here.
    monkeypatch.setattr(ownership, "ask_listening", refuse)

    with bound("127.0.0.1") as child, listening("127.0.0.1") as foreign:
        own = child.listen()
        assert kind("127.0.0.1", own, child) is ListenerKind.OWN
        assert kind("127.0.0.1", foreign, child) is ListenerKind.FOREIGN
        assert listening_sockets([child.pid]) == [Endpoint("127.0.0.1", own, "tcp")]


@linux
def test_who_holds_an_address_is_also_who_sits_inside_it_or_around_it() -> None:
    with listening("127.0.0.2") as port:
        assert who_holds("127.0.0.1", port).kind is ListenerKind.NOBODY
        assert who_holds("0.0.0.0", port).pid == os.getpid()
        assert who_holds("127.0.0.2", port).pid == os.getpid()
        assert who_holds("::", port).pid == os.getpid()
        assert who_holds("::1", port).kind is ListenerKind.NOBODY
    with listening("0.0.0.0") as port:
        assert who_holds("127.0.0.1", port).pid == os.getpid()


@linux
def test_looking_costs_little_beside_many_sockets() -> None:
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(50)]
    times = []

    with bound("127.0.0.1") as child:
        port = child.listen()
        for _ in range(50):
            begun = time.perf_counter()
            who_listens(Endpoint("127.0.0.1", port), child.members)
            times.append(time.perf_counter() - begun)

    for one in opened:
        one.close()

    assert statistics.median(times) < 0.003  # 0.1 ms on a machine that has nothing else to do


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", "LocalHost"]
)
def test_loopback_is_known_in_all_its_forms(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "*", "192.168.1.5", "localhost.example.com", "127.0.0.1.example"]
)
def test_what_others_can_reach_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("bound_host", "asked"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "localhost"),
        ("::", "192.168.1.5"),
        ("192.168.1.5", "127.0.0.1"),
        ("192.168.1.5", "192.168.2.5"),
        ("*", "::1"),
        ("0.0.0.0", "machine.test"),
    ],
)
def test_wider_than_asked(bound_host: str, asked: str) -> None:
    assert is_wider(bound_host, asked)


@pytest.mark.parametrize(
    ("bound_host", "asked"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "localhost"),
        ("127.0.0.2", "127.0.0.1"),
        ("127.0.0.1", "192.168.1.5"),
        ("::", "0.0.0.0"),
        ("192.168.1.5", ""),
        ("::ffff:192.168.1.5", "192.168.1.5"),
        ("192.168.1.5", "machine.test"),
    ],
)
def test_not_wider_than_asked(bound_host: str, asked: str) -> None:
    assert not is_wider(bound_host, asked)
