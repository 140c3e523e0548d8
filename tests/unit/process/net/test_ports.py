import errno
import os
import re
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hostler.errors import InvalidConfiguration, PortInUse
from hostler.process.net.ports import check_port_free, free_port, needs_only_time

linux = pytest.mark.skipif(sys.platform != "linux", reason="the rules of Linux")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users and make namespaces")


def leave_a_lingering_connection() -> int:
    """A port on which a server was a moment ago: its last connection is in TIME_WAIT."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = int(server.getsockname()[1])
        with closing(socket.create_connection(("127.0.0.1", port))) as client:
            accepted, _ = server.accept()
            accepted.close()
            assert client.recv(1) == b""
    return port


@pytest.mark.requirement("R15")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "", "*", "127.0.0.3"])
def test_a_server_can_listen_on_the_port_that_was_chosen(host: str) -> None:
    port = free_port(host)
    check_port_free(host, port)
    name = {"": "0.0.0.0", "*": "0.0.0.0"}.get(host, host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.create_server((name, port), family=family)):
        assert free_port(host, preferred=port) != port
        with pytest.raises(PortInUse):
            check_port_free(host, port)


def test_the_preferred_port_comes_again_while_it_is_free() -> None:
    port = free_port("127.0.0.1")
    assert free_port("127.0.0.1", preferred=port) == port
    assert free_port("127.0.0.1", preferred=port, avoid={port}) != port
    assert free_port("127.0.0.1", preferred=0) > 0


def test_a_lingering_connection_of_a_former_server_does_not_count() -> None:
    port = leave_a_lingering_connection()
    with closing(socket.socket()) as plain, pytest.raises(OSError, match="in use") as caught:
        plain.bind(("127.0.0.1", port))
    assert caught.value.errno == errno.EADDRINUSE
    assert free_port("127.0.0.1", preferred=port) == port
    check_port_free("127.0.0.1", port)


@linux
def test_a_port_gets_free_by_time_where_only_connections_are_left_and_nobody_listens() -> None:
    port = leave_a_lingering_connection()
    assert needs_only_time("127.0.0.1", port, reuse=False)
    assert not needs_only_time("127.0.0.1", port, reuse=True)
    with closing(socket.create_server(("127.0.0.1", port))):
        assert not needs_only_time("127.0.0.1", port, reuse=False)


@linux
def test_what_is_left_of_a_port_is_seen_without_netlink(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(port: int) -> None:
        raise PermissionError(errno.EPERM, f"no sandbox allows to ask for {port}")

    monkeypatch.setattr("hostler.process.net.ownership.ask_closing", forbidden)
    assert needs_only_time("127.0.0.1", leave_a_lingering_connection(), reuse=False)


def test_for_localhost_both_families_must_be_free() -> None:
    with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)) as server:
        port = server.getsockname()[1]
        assert free_port("127.0.0.1", preferred=port) == port
        assert free_port("localhost", preferred=port) != port
        with pytest.raises(PortInUse, match=f"port {port} on localhost is in use by .*pid {os.getpid()}"):
            check_port_free("localhost", port)


def test_the_process_in_the_way_is_named_wherever_it_is_bound() -> None:
    code = (
        "import socket, sys; s = socket.create_server((sys.argv[1], 0)); "
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    pairs = [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("127.0.0.2", "0.0.0.0")]
    for theirs, asked in pairs:
        with subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", code, theirs], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            port = int(child.stdout.readline())
            with pytest.raises(PortInUse) as caught:
                check_port_free(asked, port)
            child.kill()
        assert re.search(
            rf"port {port} on {asked} is in use by python\S* \(pid {child.pid}\)", str(caught.value)
        )
        assert caught.value.context.details["pid"] == child.pid
        assert "another port" in caught.value.context.hint


def test_a_port_that_is_bound_but_not_listened_on_is_in_use_by_nobody_we_can_name() -> None:
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(PortInUse, match="does not listen yet") as caught:
            check_port_free("127.0.0.1", bound.getsockname()[1])
        assert caught.value.context.details["pid"] is None


@linux
@as_root
def test_without_privileges_a_low_port_and_a_process_out_of_reach_are_reported_as_such() -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 80:
        pytest.skip("port 80 is for everybody here")

    code = (
        "import sys\n"
        "from hostler.process.net.ports import check_port_free\n"
        "for port in map(int, sys.argv[1:]):\n"
        "    try: check_port_free('127.0.0.1', port)\n"
        "    except Exception as error: print(repr(error))\n"
    )

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        argv = [
            "setpriv",
            "--bounding-set=-all",
            "--inh-caps=-all",
            sys.executable,
            "-c",
            code,
            "80",
            str(port),
        ]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)

    low, taken = done.stdout.splitlines()
    assert low == "EnvironmentSetupFailed('port 80 on 127.0.0.1 needs privileges that hostler does not have')"
    assert "PortInUse" in taken
    assert "by a process that cannot be inspected (user 0)" in taken


@pytest.mark.parametrize("host", ["192.0.2.77", "2001:db8::77"])
def test_an_address_of_another_machine_is_a_mistake_in_the_configuration(host: str) -> None:
    for attempt in (lambda: check_port_free(host, 8080), lambda: free_port(host)):
        with pytest.raises(InvalidConfiguration, match="not an address of this machine") as caught:
            attempt()
        assert caught.value.problems[0].key == "host"
        assert caught.value.permanent


@pytest.mark.parametrize("host", ["no-such-machine.invalid", "127.0.0.1:80", "a" * 70, "[::1]"])
def test_a_name_that_nobody_knows_is_a_mistake_in_the_configuration(host: str) -> None:
    with pytest.raises(InvalidConfiguration, match="nor a name that resolves"):
        check_port_free(host, 8080)


def test_a_port_that_does_not_exist_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(InvalidConfiguration, match="between 1 and 65535"):
        check_port_free("127.0.0.1", 70000)
    assert free_port("127.0.0.1", preferred=70000) < 65536


@linux
@as_root
def test_when_no_port_is_left_the_error_says_so() -> None:
    code = (
        "from pathlib import Path\n"
        "Path('/proc/sys/net/ipv4/ip_local_port_range').write_text('40000 40000')\n"
        "from hostler.process.net.ports import free_port\n"
        "print(free_port('0.0.0.0'))\n"
        "try: free_port('0.0.0.0', avoid=[40000])\n"
        "except Exception as error: print(repr(error))\n"
        "import socket\n"
        "taken = socket.create_server(('0.0.0.0', 40000))\n"
        "try: free_port('0.0.0.0')\n"
        "except Exception as error: print(repr(error))\n"
    )
    argv = ["unshare", "--net", sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    first, avoided, taken = done.stdout.splitlines()
    assert first == "40000"
    assert "EnvironmentSetupFailed('no free port was found on 0.0.0.0')" == avoided == taken


def test_too_many_open_files_are_reported_as_such() -> None:
    code = (
        "import resource\n"
        "from hostler.process.net.ports import free_port\n"
        "import encodings.idna\n"
        "before = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))\n"
        "try: free_port('127.0.0.1')\n"
        "except Exception as error: print(repr(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert "EnvironmentSetupFailed" in done.stdout
    assert "Too many open files" in done.stdout
