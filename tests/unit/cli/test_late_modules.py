"""A run without TLS has no OpenSSL in memory; one that needs it has all of it. So with other modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from child_environment import without_coverage
from cli_project import Project
from http_pages import self_signed

TLS = """
import sys, threading
from hostler.cli.late_modules import import_late, tls_in_annotations

import_late()
import asyncio
with tls_in_annotations():
    import anyio.streams.tls
assert "_ssl" not in sys.modules
import asyncio.sslproto, ssl

found, together = [], threading.Barrier(8)
def make():
    together.wait()
    context = ssl.create_default_context(cafile=sys.argv[1])
    found.append(isinstance(context, ssl.SSLContext) and not isinstance(1, ssl.SSLContext))
threads = [threading.Thread(target=make) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert found == [True] * 8, found

async def main():
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(*sys.argv[1:])
    def answer(reader, writer):
        writer.write(b"hello")
        writer.close()
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=ours)
    port = server.sockets[0].getsockname()[1]
    theirs = ssl.create_default_context(cafile=sys.argv[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=theirs)
    print(await reader.read())
    writer.close()
    stream = await anyio.connect_tcp("127.0.0.1", port, ssl_context=theirs, tls_standard_compatible=False)
    print(await stream.receive())
    server.close()

asyncio.run(main())
print(hasattr(ssl, "__path__"), hasattr(ssl, "no_such_name"), asyncio.sslproto.SSLProtocol.__name__)
"""

NO_OPENSSL = """
import sys
sys.modules["_ssl"] = None  # as in a Python that was built without it
from hostler.cli.late_modules import import_late, tls_in_annotations

import_late()
import asyncio
with tls_in_annotations():
    import anyio.streams.tls
    from anyio import connect_tcp
import aiohttp.web

async def main():
    def answer(reader, writer):
        writer.write(b"hello")
        writer.close()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with await connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1]) as stream:
        print(await stream.receive())
    server.close()

asyncio.run(main())
try:
    import ssl
except ImportError as error:
    print(error.name)
"""


def test_a_run_without_tls_reads_no_openssl(world: Project) -> None:
    file = world.home / "hostler.toml"
    log = 'plugins = { log-rotation = { path = "a.log" } }'
    file.write_text(f'[servers.a]\nkind = "task"\ncommand = ["true"]\n{log}\n')
    world.environ.pop("COVERAGE_PROCESS_CONFIG", None)  # it reads hashlib
    running = world.start([sys.executable, "-X", "importtime", "-m", "hostler.cli", "run", str(file)])
    assert running.end() == 0
    imported = {line.rpartition("|")[2].strip() for line in running.err}
    assert {"ssl", "anyio.streams.tls"} <= imported
    assert imported & {"_ssl", "_hashlib"} == set()


def test_who_uses_tls_has_all_of_it_on_whatever_thread_and_through_asyncio_and_anyio(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    self_signed(cert, key)
    argv = [sys.executable, "-W", "ignore", "-c", TLS, str(cert), str(key)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["b'hello'", "b'hello'", "False False SSLProtocol"]


def test_a_python_without_openssl_runs_and_says_so_to_who_imports_ssl() -> None:
    done = subprocess.run([sys.executable, "-c", NO_OPENSSL], capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (["b'hello'", "_ssl"], "")


UNREADABLE = """
import os, resource, sys
from hostler.cli.late_modules import import_late

import_late()
sys.dont_write_bytecode = True
import tokenize
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
try:
    tokenize.open
except Exception as error:
    print(type(error).__name__)
resource.setrlimit(resource.RLIMIT_NOFILE, limit)
print(tokenize.open.__name__)
"""


def test_what_could_not_be_read_is_read_when_it_is_asked_for_again() -> None:
    # Coverage has read the module by then.
    environ = without_coverage()
    argv = [sys.executable, "-c", UNREADABLE]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["OSError", "open"]


EXTENDED = """
from hostler.cli.late_modules import import_late, import_msgspec

import_late()
import_msgspec()
import msgspec, os, platform, sys
print("uname" in vars(platform), platform.system() == os.uname().sysname)
print(platform.machine() == os.uname().machine, platform.system() == os.uname().sysname)
assert "typing_extensions" not in sys.modules
from typing_extensions import Annotated, NotRequired, TypedDict

class Options(TypedDict):
    port: Annotated[int, msgspec.Meta(gt=0)]
    host: NotRequired[str]

print(msgspec.convert({"port": 1}, Options))
for options in ({"host": "a"}, {"port": 0}):
    try:
        msgspec.convert(options, Options)
    except msgspec.ValidationError as error:
        print(error)
"""


def test_what_msgspec_did_without_is_whole_for_others() -> None:
    argv = [sys.executable, "-c", EXTENDED]
    env = without_coverage()
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=env)
    assert done.stdout.splitlines() == [
        "False True",
        "True True",
        "{'port': 1}",
        "Object missing required field `port`",
        "Expected `int` >= 1 - at `$.port`",
    ]
