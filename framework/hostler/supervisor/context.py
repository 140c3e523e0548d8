"""What all servers of one supervisor share: its namespace, folders, environment and processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING
from uuid import uuid4

from hostler.process.context import SupervisorContext
from hostler.process.disk.directories import Directories
from hostler.process.disk.namespace import resolve_namespace
from hostler.process.disk.run_record import RunStore
from hostler.process.output.capture import OutputReader
from hostler.process.spawn.descriptor_limit import DescriptorLimit
from hostler.supervisor.registry import ServerRegistry

if TYPE_CHECKING:
    from hostler.supervisor.supervisor import Supervisor


def make_context(
    namespace: str | None,
    directories: Directories | None,
    environ: Mapping[str, str] | None,
    registry: Callable[[], ServerRegistry],
) -> SupervisorContext:
    """The context of one supervisor. Its registry needs that context, and is asked for later."""
    directories = directories or Directories.default()
    namespace = resolve_namespace(directories, namespace) if namespace else None
    own = MappingProxyType(dict(os.environ if environ is None else environ))
    place = namespace or f"{os.getcwd()}/{os.path.basename(sys.argv[0]) or 'python'}"  # noqa: PTH109, PTH119

    return SupervisorContext(
        namespace=namespace or uuid4().hex,
        directories=directories,
        data_dir=directories.data_for(place),
        output=OutputReader(),
        store=RunStore(directories),
        host_env=own,
        live_env=os.environ if environ is None else own,
        inputs=lambda: tuple(registry().inputs()),
        inputs_of_starts=lambda: registry().inputs_of_starts(),
    )


def descriptors_of(supervisor: Supervisor) -> DescriptorLimit:
    """What the servers of a supervisor are started with, for hostler's own programs."""
    return supervisor._context.processes.descriptors  # noqa: SLF001 - as `engine_of`
