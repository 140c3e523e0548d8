"""Who a child runs as and within which limits: the user, and the small tools put in front of the command."""

from __future__ import annotations

import grp
import os
import pwd
import re
import resource
import signal
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cache

from msgspec import Struct

from hostler.errors import EnvironmentSetupFailed
from hostler.model.launch import Launch
from hostler.process.tree.procfs import read

_TOOL_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"  # never the child's PATH: these run with our privileges
_MULTI_CALL = {"busybox", "toybox"}  # their tools of these names lack what is needed
_RESTORED_BY_PYTHON = {int(signal.SIGPIPE), int(signal.SIGXFSZ)}  # Popen resets these itself
_CAP_SETPCAP, _CAP_SYS_RESOURCE = 8, 24
_MASKS = re.compile(rb"^(SigIgn|SigBlk|CapEff):\s*(\w+)$", re.MULTILINE)


class Account(Struct, frozen=True):
    """The user, group and supplementary groups that a child runs with."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]


class Prefix(Struct, frozen=True):
    """What stands in front of the command, which tools are missing, and what Popen has to do instead."""

    argv: tuple[str, ...]
    missing: tuple[str, ...]
    account: Account | None


def find_account(
    user: str | None, group: str | None, groups: Collection[str] | None = None
) -> Account | None:
    """Look up who the child is to be, None for "as we are"; names or numbers.

    `groups` are the supplementary groups, None for those that the user is in. Raises
    EnvironmentSetupFailed (permanent) when there is no such user or group, or when we may not become it.
    """
    if user is None and group is None and groups is None:
        return None

    person = _person(user) if user is not None else None
    uid = os.geteuid() if user is None else person.pw_uid if person else int(user)
    gid = _gid(group) if group is not None else person.pw_gid if person else uid
    if os.geteuid() != 0:
        if (uid, gid) == (os.geteuid(), os.getegid()) and groups is None:
            return None
        raise _failed(
            f"only root can run a server as {user or group or 'a member of other groups'}",
            "run hostler as root, or remove user, group and groups",
        )

    if groups is not None:
        others = [_gid(name) for name in groups]
    else:
        others = os.getgrouplist(person.pw_name, gid) if person else [gid]
    return Account(user or str(uid), uid, gid, tuple(others))


def build_prefix(launch: Launch, account: Account | None) -> Prefix:
    """Choose the tools that this launch needs.

    Raises EnvironmentSetupFailed (permanent) when a limit is unknown or cannot be raised so far.
    """
    secure = ["--pdeathsig", "KILL", *(["--no-new-privs"] if launch.no_new_privileges else [])]
    secure += _keep(launch.capabilities)
    # prlimit before setpriv: the server's user may not raise limits.
    wanted = {"env": _reset_signals(), "prlimit": _limits(launch.limits), "setpriv": secure}
    argv: list[str] = []
    missing: list[str] = []

    for name, options in wanted.items():
        tool = _find_tool(name) if options else None
        if tool is not None and (name == "prlimit" or _works(tool, tuple(options))):
            argv += [tool, *options]
        elif options:
            missing.append(name)

    if "setpriv" in missing:
        return Prefix(tuple(argv), tuple(missing), account)
    if account is not None:
        groups = ",".join(str(group) for group in account.groups)
        argv += [f"--reuid={account.uid}", f"--regid={account.gid}"]
        argv.append(f"--groups={groups}" if groups else "--clear-groups")
    return Prefix((*argv, "--"), tuple(missing), None)


def limit_prefix(*options: str) -> list[str]:
    """What sets limits before the command can start anything; nothing where the tool is missing."""
    given = [option for option in options if option]
    tool = _find_tool("prlimit") if given else None
    return [] if tool is None else [tool, *given]


def _keep(capabilities: Collection[str] | None) -> list[str]:
    """Drop all capabilities but these."""
    if capabilities is None:
        return []
    if not _has_capability(_CAP_SETPCAP):
        if capabilities:
            raise _failed(
                f"only root can let a server keep {', '.join(sorted(capabilities))}",
                "run hostler as root, or keep no capabilities",
            )
        return ["--inh-caps=-all", "--ambient-caps=-all"]  # an ordinary user has no others to drop

    # The bounding set is what a program of root can ever have, the ambient one what others are started with.
    words = ",".join(["-all", *(f"+{name}" for name in sorted(capabilities))])
    return [f"--{kind}={words}" for kind in ("bounding-set", "inh-caps", "ambient-caps")]


def _reset_signals() -> list[str]:
    # Under nohup, for one, the child would inherit signals as ignored, and could not be asked to end.
    status = _own_status()
    ignored, blocked = (_bits(status.get(name, b"0"), first=1) for name in (b"SigIgn", b"SigBlk"))
    numbers = (ignored - _RESTORED_BY_PYTHON) | blocked
    return ["--default-signal=" + ",".join(str(number) for number in sorted(numbers))] if numbers else []


def _has_capability(number: int) -> bool:
    """Whether we have it now: root in a container often lacks some."""
    return number in _bits(_own_status().get(b"CapEff", b"0"))


def _own_status() -> dict[bytes, bytes]:
    """What the system shows of this thread: signals and capabilities are those of a thread."""
    with suppress(OSError):
        return dict(_MASKS.findall(read("/proc/thread-self/status")))
    return {}  # pragma: other-system


def _bits(mask: bytes, first: int = 0) -> set[int]:
    bits = int(mask, 16)
    return {number + first for number in range(bits.bit_length()) if bits >> number & 1}


def _limits(limits: Mapping[str, int]) -> list[str]:
    options = []
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if kind is None or value < 0:
            raise _failed(
                f"limit {name} = {value} is not known to this system", "see prlimit --help for the names"
            )
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY and value > hard and not _has_capability(_CAP_SYS_RESOURCE):
            raise _failed(
                f"limit {name} = {value} is above hostler's own ({hard})", "lower it, or raise hostler's own"
            )
        options.append(f"--{name.lower()}={value}")

    return options


def _find_tool(name: str) -> str | None:
    for folder in _TOOL_PATH.split(":"):
        tool = f"{folder}/{name}"
        if os.access(tool, os.X_OK):
            target = os.path.realpath(tool) if os.path.islink(tool) else tool  # noqa: PTH114
            return None if target.rpartition("/")[2] in _MULTI_CALL else tool
    return None


@cache
def _works(tool: str, options: tuple[str, ...]) -> bool:
    import subprocess  # noqa: PLC0415 - `hostler check` seldom needs it

    # Old versions and some sandboxes do not have every option; tried once, as each spawn asks.
    trial = [tool, *options, tool, "--version"]
    nothing = subprocess.DEVNULL
    return subprocess.call(trial, stdin=nothing, stdout=nothing, stderr=nothing) == 0


def _person(user: str) -> pwd.struct_passwd | None:
    """Find an account by name or number; a bare number needs none."""
    try:
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        if user.isdecimal():
            return None
        name, colon, group = user.partition(":")
        hint = (
            f'write user = "{name}" and group = "{group}"' if colon else "correct user, or create the account"
        )
        raise _failed(f"there is no user {user}", hint) from None


def _gid(group: str) -> int:
    try:
        return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise _failed(f"there is no group {group}", "correct group, or create it") from None


def _failed(message: str, hint: str) -> EnvironmentSetupFailed:
    return EnvironmentSetupFailed(message, hint=hint, permanent=True)
