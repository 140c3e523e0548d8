"""From the table `[control]` to its spec."""

from __future__ import annotations

from collections.abc import Mapping

from hostler.config.resolve.interpolation import Names, fill
from hostler.errors import InvalidConfiguration
from hostler.model.dataclass import dataclass
from hostler.model.schema.diagnostics import Diagnostics
from hostler.model.schema.tree import Node
from hostler.model.spec import ControlSpec


@dataclass(frozen=True, slots=True)
class ResolvedControl:
    """What stands in `[control]`: its tree with `${...}` filled in, and its spec."""

    node: Node
    spec: ControlSpec


def read_control(tree: Node, environ: Mapping[str, str], found: Diagnostics) -> ResolvedControl | None:
    """The table where there is one; mistakes go to the findings."""
    table = tree.value.get("control")
    if table is None:
        return None

    from hostler.model.schema.control_keys import CONTROL_KEYS  # noqa: PLC0415 - few have the table
    from hostler.model.schema.fields import entries  # noqa: PLC0415
    from hostler.model.schema.server_keys import readers  # noqa: PLC0415

    node = fill(table, Names(environ), found)
    values = entries(node, readers(CONTROL_KEYS), found)
    if values is None or found.has_problem(node):
        return None
    try:
        return ResolvedControl(node, ControlSpec(**values))
    except InvalidConfiguration as error:
        for problem in error.problems:
            found.add(node.at(problem.key.rpartition(".")[2]), problem.message, key=problem.key)
    return None
