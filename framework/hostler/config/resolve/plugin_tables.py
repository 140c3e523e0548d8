"""From a server's table of plugins to their specs, each checked by the plugin's own class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from hostler.config.resolve.plugin_secrets import with_secrets
from hostler.errors import Problem
from hostler.model.schema.diagnostics import Diagnostics, shown
from hostler.model.schema.fields import word
from hostler.model.schema.paths import absolute
from hostler.model.schema.tree import Node, plain, unfilled
from hostler.model.spec import PluginSpec


def read_plugins(node: Node, environ: Mapping[str, str], found: Diagnostics) -> tuple[PluginSpec, ...] | None:
    """The plugins that are switched on, in order; mistakes go to the findings."""
    if not isinstance(node.value, dict):
        found.expected(node, "a table of plugins")
        return None

    return tuple(
        _read(name, child, environ, found) for name, child in node.value.items() if not _is_off(child, found)
    )


def _is_off(node: Node, found: Diagnostics) -> bool:
    if not node.off and not isinstance(node.value, dict):
        found.expected(node, "true, false or a table of options")
        return True

    return node.off


def _read(name: str, node: Node, environ: Mapping[str, str], found: Diagnostics) -> PluginSpec:
    use = _use(node.value["use"], environ, found) if "use" in node.value else None
    spec = PluginSpec(name, {}, use)
    node = with_secrets(node, spec, environ, found)
    spec = replace(spec, options=_options(node, plain))

    if not found.has_noted(node):
        found.problems.extend(_problems(node, spec))

    return spec


def _options(node: Node, values: Callable[[Node], object]) -> dict[str, object]:
    return {key: values(child) for key, child in node.value.items() if key != "use"}


def _use(node: Node, environ: Mapping[str, str], found: Diagnostics) -> str | None:
    """The class that a plugin is made of; a file is made absolute, seen from the file that names it."""
    use = word(node, found)

    if use is None or not is_file(use):
        return use

    try:
        return str(absolute(use, node.place.base, environ))
    except ValueError as error:
        found.expected(node, str(error))
        return None


def is_file(use: str) -> bool:
    """Whether `use` names a file and not a module."""
    place = use.rpartition(":")[0]
    return place.endswith(".py") or "/" in place


def _problems(node: Node, spec: PluginSpec) -> list[Problem]:
    """What the plugin says of its options, with the place of each."""
    from hostler.plugins.options import option_problems  # noqa: PLC0415 - imports what only servers with plugins need

    said = option_problems(spec)

    if said and any(child.raw is not None for child in node.walk()):
        said = _without_values(said, option_problems(_unfilled(node, spec)), node)

    return [_placed(problem, node) for problem in said]


def _unfilled(node: Node, spec: PluginSpec) -> PluginSpec:
    use = node.value.get("use")
    return replace(spec, options=_options(node, unfilled), use=None if use is None else unfilled(use))


def _without_values(said: list[Problem], of_raw: list[Problem], node: Node) -> list[Problem]:
    """Tell what is said of the raw text too, in its words, which cannot show what a variable holds."""
    raw = {(one.key, one.message.partition(", found ")[0]): one for one in of_raw}
    return [
        raw.get((problem.key, problem.message.partition(", found ")[0]))
        or Problem(problem.key, f"not accepted by the plugin; it was read from {_sources(problem, node)}")
        for problem in said
    ]


def _sources(problem: Problem, node: Node) -> str:
    key = f"{node.key}.{problem.key}"
    filled = [child for child in node.walk() if child.raw is not None]
    culprits = [child for child in filled if child.key == key] or filled
    return ", ".join(shown(child) for child in culprits)


def _placed(problem: Problem, node: Node) -> Problem:
    key = f"{node.key}.{problem.key}" if problem.key else node.key
    within = [child for child in node.walk() if f"{key}.".startswith((f"{child.key}.", f"{child.key}["))]
    place = max(within, key=lambda child: len(child.key)).place
    return replace(problem, key=key, file=place.file, line=place.line)
