"""Plugins: found by name, built from their options, checked, and called so that one cannot spoil another."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostler.plugins.blame import Blame, Failure
    from hostler.plugins.descriptions import OptionDescription, PluginDescription, describe
    from hostler.plugins.forms import FORMS
    from hostler.plugins.loading import find_class, installed
    from hostler.plugins.options import build, option_problems
    from hostler.plugins.plugin_set import PluginSet

__all__ = [
    "FORMS",
    "Blame",
    "Failure",
    "OptionDescription",
    "PluginDescription",
    "PluginSet",
    "build",
    "describe",
    "find_class",
    "installed",
    "option_problems",
]

_WHERE = {
    "Blame": "hostler.plugins.blame",
    "FORMS": "hostler.plugins.forms",
    "Failure": "hostler.plugins.blame",
    "OptionDescription": "hostler.plugins.descriptions",
    "PluginDescription": "hostler.plugins.descriptions",
    "PluginSet": "hostler.plugins.plugin_set",
    "build": "hostler.plugins.options",
    "describe": "hostler.plugins.descriptions",
    "find_class": "hostler.plugins.loading",
    "installed": "hostler.plugins.loading",
    "option_problems": "hostler.plugins.options",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    return getattr(import_module(_WHERE[name]), name)
