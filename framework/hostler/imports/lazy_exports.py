"""The public names of a package, each imported when it is first used."""

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_exports(
    package: str, names: Mapping[str, str]
) -> tuple[list[str], Callable[[str], object], Callable[[], list[str]]]:
    """Return `__all__`, `__getattr__` and `__dir__` of a package.

    `names` has for each module, named from the package on, the names that it gives, with spaces between.
    """
    modules = {name: module for module, given in names.items() for name in given.split()}
    public = sorted(modules, key=lambda name: (not name.isupper(), not name[0].isupper(), name))

    def get(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return public, get, lambda: public
