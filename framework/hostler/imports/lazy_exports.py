"""The public names of a package, each imported when it is first used."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from warnings import warn


def lazy_exports(
    package: str, names: Mapping[str, str], renamed: Mapping[str, str] = MappingProxyType({})
) -> tuple[list[str], Callable[[str], object], Callable[[], list[str]]]:
    """Return `__all__`, `__getattr__` and `__dir__` of a package.

    `names` has for each module, named from the package on, the names that it gives, with spaces between.
    `renamed` has the present name for each former one, which gives a DeprecationWarning at its first use.
    """
    modules = {name: module for module, given in names.items() for name in given.split()}
    public = sorted([*modules, *renamed], key=lambda name: (not name.isupper(), not name[0].isupper(), name))

    def get(name: str) -> object:
        present = renamed.get(name, name)
        if present not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{modules[present]}"), present)
        if present != name:
            # An attribute is not asked for here again; `from ... import` would have the warning twice.
            setattr(sys.modules[package], name, value)
            warn(f"{package}.{name} is now {package}.{present}", DeprecationWarning, stacklevel=2)
        return value

    return public, get, lambda: public
