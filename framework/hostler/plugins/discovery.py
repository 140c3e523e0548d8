"""Finds the class of a plugin: by file, by module, or by its name among the installed entry points."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from functools import partial, reduce
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from hostler.errors import PluginError
from hostler.files.bounded_read import read_plain
from hostler.model.schema.diagnostics import likely
from hostler.model.spec import ListenerSpec, PluginSpec
from hostler.plugins.entry_points import EntryPoint, read_entry_points
from hostler.plugins.messages import BY_PATH, fault_in

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

_LARGEST = 16 * 2**20


def find_class(spec: PluginSpec) -> type:
    """Import the class that a plugin's spec names; PluginError names the plugin, the place and the cause."""
    load, class_name, place = _source_of(spec)
    try:
        module = load()
    # A module that calls sys.exit() when it is imported must not end the host.
    except (Exception, SystemExit) as error:
        raise PluginError(
            f'{spec.noun} "{spec.name}" ({place}) could not be imported: {fault_in(error, place)}',
            details={"place": place},
        ) from error
    return _class_in(spec, module, class_name, place)


def _source_of(spec: PluginSpec) -> tuple[Callable[[], ModuleType], str, str]:
    """What loads the module of a plugin, the name of its class, and the place for messages."""
    if spec.use is None:
        entry = entry_point(spec)
        module, class_name = entry.target
        return partial(import_module, module), class_name, f"entry point {entry.name} of {entry.owner}"

    module, _, class_name = spec.use.rpartition(":")
    if not module or not class_name:
        raise PluginError(
            f'{spec.noun} "{spec.name}": use = "{spec.use}" names no class',
            hint='write use = "package.module:Class" or use = "./file.py:Class"',
        )
    if module.endswith(".py") or "/" in module:
        path = Path(os.path.realpath((spec.base or Path.cwd()) / Path(module).expanduser()))
        return partial(_load_file, path), class_name, str(path)
    return partial(import_module, module), class_name, f"module {module}"


def installed(kind: type[PluginSpec] = PluginSpec) -> list[str]:
    """The names of all plugins (or listeners) that installed packages offer, sorted; none is imported."""
    return sorted({one.name for one in read_entry_points(kind.group)})


def entry_point(spec: PluginSpec) -> EntryPoint:
    """The entry point of a spec's name; a foreign package's goes before hostler's own, which it replaces.

    Raises PluginError where there is none (with what there is) or where two packages offer the name.
    """
    found = [one for one in read_entry_points(spec.group) if one.name == spec.name]
    if not found:
        raise _unknown(spec)

    # Who installs a package with the name of a bundled plugin wants to replace that.
    chosen = [one for one in found if one.package != "hostler"] or found
    if len({one.value for one in chosen}) > 1:
        packages = ", ".join(sorted(f"{one.owner} ({one.value})" for one in chosen))
        raise PluginError(
            f'{spec.noun} "{spec.name}" is provided by several packages: {packages}',
            hint='choose one with use = "module:Class"',
        )

    return chosen[0]


def _unknown(spec: PluginSpec) -> PluginError:
    there = installed(type(spec))
    for other, place in ((PluginSpec, "[servers.NAME.plugins]"), (ListenerSpec, "[listeners]")):
        if spec.name not in there and spec.name in installed(other):
            return PluginError(f'"{spec.name}" is a {other.noun}: write it in {place}')
    proposal = likely(spec.name, there)
    return PluginError(
        f'there is no {spec.noun} "{spec.name}" among the installed: {", ".join(there)}',
        hint=f'did you mean "{proposal}"?' if proposal else 'or give use = "module:Class"',
        details={"proposal": proposal},
    )


def _load_file(path: Path) -> ModuleType:
    from hashlib import sha256  # noqa: PLC0415 - only for plugins by path
    from importlib.machinery import SourceFileLoader  # noqa: PLC0415
    from importlib.util import module_from_spec, spec_from_file_location  # noqa: PLC0415

    content, _ = read_plain(path, _LARGEST + 1)
    if len(content) > _LARGEST:
        raise OSError(f"it is larger than {_LARGEST // 2**20} MiB")

    # One name for one content: an edited file is a new module, an unchanged one is not run twice.
    name = f"{BY_PATH}{path.stem}_{sha256(bytes(path) + content).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]

    loader = SourceFileLoader(name, str(path))
    found = spec_from_file_location(name, path, loader=loader, submodule_search_locations=None)
    module = sys.modules[name] = module_from_spec(cast("ModuleSpec", found))  # given a loader there is one
    try:
        # The loader itself would leave bytecode beside the user's file, and trust it where it is stale.
        exec(loader.source_to_code(content, str(path)), vars(module))  # noqa: S102 - importing is this
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _class_in(spec: PluginSpec, module: ModuleType, class_name: str, place: str) -> type:
    try:
        found = reduce(getattr, class_name.split("."), module)
    except AttributeError:
        classes = [name for name, value in vars(module).items() if inspect.isclass(value)]
        proposal = likely(class_name, classes)
        raise PluginError(
            f'{spec.noun} "{spec.name}": there is no {class_name} in {place}',
            hint=f'did you mean "{proposal}"?' if proposal else "",
        ) from None

    if not inspect.isclass(found):
        raise PluginError(f'{spec.noun} "{spec.name}": {class_name} in {place} is not a class')

    return found
