"""privileges: what a server may do: as which user, with which capabilities, within which limits."""

from __future__ import annotations

import grp
import os
import pwd
import re
import resource
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from hostler import EnvironmentSetupFailed, Launch, ServerSpec, ServerView, hookimpl, option

_UMASK = re.compile(r"0?[0-7]{3}")

# linux/capability.h, in its order
_CAPABILITIES = re.findall(
    r"\w+",
    """chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable
    net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot
    sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease
    audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read
    perfmon bpf checkpoint_restore""",
)
_OF_HOSTLERS_USER = (
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
)


@dataclass(eq=False)
class Privileges:
    """Takes away what a server does not need: by default all capabilities, and the way to get them back.

    With `user`, HOME, USER and LOGNAME become that user's, and folders of hostler's own user (TMPDIR,
    XDG_*) are not passed on, unless `env` sets them. Only root can give a server another user or other
    groups. If the system has no setpriv (macOS), capabilities and no_new_privileges do not change; a notice
    says so.
    """

    user: str | None = option(None, "Name or number of the user to run as; default: hostler's own")
    group: str | None = option(None, "Name or number of the group; default: the user's")
    groups: list[str] | None = option(None, "Supplementary groups, none with []; default: those of the user")
    umask: str | None = option(
        None, 'Permissions that new files do not get, such as "077"; default: unchanged'
    )
    no_new_privileges: bool = option(True, "Whether setuid programs give it no privileges")
    capabilities: list[str] = option([], "Capabilities to keep, such as net_bind_service (root only)")
    rlimits: dict[str, int] = option(
        {}, "Limits of each process, by their names in prlimit: nofile, nproc ..."
    )

    def __post_init__(self) -> None:
        if self.umask is not None and not _UMASK.fullmatch(self.umask):
            raise ValueError(f'umask: expected three octal digits such as "077", found {self.umask!r}')

        for name in self._kept.difference(_CAPABILITIES):
            raise ValueError(f"capabilities: there is no capability {name}; they are in capabilities(7)")

        for name, value in self.rlimits.items():
            if not hasattr(resource, f"RLIMIT_{name.upper()}"):
                raise ValueError(f"rlimits: there is no limit {name}; there are: {', '.join(_limit_names())}")
            if value < 0:
                raise ValueError(f"rlimits: {name} must be 0 or more")

    def check(self, spec: ServerSpec, launch: Launch) -> Iterator[str]:
        """What could not be had on this machine, for `hostler check`; the others look as its user then."""
        problems = list(self._problems())
        yield from problems
        if not problems:
            self._take(spec, launch)

    @hookimpl(tryfirst=True)
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Say before everything else who the server will be: others hand files over to that user."""
        for problem in self._problems():
            raise EnvironmentSetupFailed(
                problem, hint="correct the options of the plugin privileges", permanent=True
            )
        self._take(server.spec, launch)

    def _take(self, spec: ServerSpec, launch: Launch) -> None:
        if self.user is not None:
            launch.user = self.user
            _live_as(self.user, launch.env, spec.env)

        if self.group is not None:
            launch.group = self.group

        if self.groups is not None:
            launch.groups = tuple(self.groups)

        launch.umask = launch.umask if self.umask is None else int(self.umask, 8)
        launch.no_new_privileges = self.no_new_privileges
        launch.capabilities = frozenset(self._kept)
        launch.limits |= self.rlimits

    @property
    def _kept(self) -> set[str]:
        return {name.lower().removeprefix("cap_") for name in self.capabilities}

    def _problems(self) -> Iterator[str]:
        """What is asked for and cannot be had, in words."""
        asked = self.user is not None or self.group is not None or self.groups is not None
        if asked and os.geteuid() != 0 and not self._is_ourselves():
            who = f"run a server as {self.user or self.group}" if self.user or self.group else "set groups"
            yield f"only root can {who}: run hostler as root, or remove user, group and groups"

        if self.user is not None and not self.user.isdecimal() and _account(self.user) is None:
            yield f"there is no user {self.user}: correct user, or create the account"

        for name in (*([] if self.group is None else [self.group]), *(self.groups or [])):
            if not name.isdecimal() and not _is_group(name):
                yield f"there is no group {name}: correct it, or create the group"

        if self._kept and os.geteuid() != 0:
            yield f"only root can let a server keep {', '.join(sorted(self._kept))}: keep no capabilities"

    def _is_ourselves(self) -> bool:
        account = None if self.user is None else _account(self.user)
        uid = self.user if account is None else str(account.pw_uid)  # without account: in containers
        return self.group is None and self.groups is None and uid == str(os.geteuid())


def _live_as(user: str, env: dict[str, str], configured: Mapping[str, object]) -> None:
    """Give it the home of its user, and nothing of ours."""
    account = _account(user)
    own = (
        {}
        if account is None
        else {"HOME": account.pw_dir, "USER": account.pw_name, "LOGNAME": account.pw_name}
    )

    for name in _OF_HOSTLERS_USER:
        if name not in configured:
            env.pop(name, None)
            env |= {name: own[name]} if name in own else {}


def _account(user: str) -> pwd.struct_passwd | None:
    with suppress(KeyError):
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    return None


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _limit_names() -> list[str]:
    return sorted(name[7:].lower() for name in dir(resource) if name.startswith("RLIMIT_"))
