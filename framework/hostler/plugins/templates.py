"""Options that hold `${server.port}` and the like: filled in anew before every spawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hostler.errors import PluginError
from hostler.model.interpolation import expand_all, strings
from hostler.plugins.messages import said
from hostler.plugins.options import convert, option_fields


class OptionTemplates:
    """Remembers which options are templates; `plugins` holds object and raw options by name."""

    def __init__(self, plugins: Mapping[str, tuple[object, Mapping[str, object]]]) -> None:
        self._templates = {
            name: (plugin, templates)
            for name, (plugin, options) in plugins.items()
            if (
                templates := {
                    key: one for key, one in options.items() if any("$" in text for text in strings(one))
                }
            )
        }

    def apply(self, values: Callable[[str], str]) -> None:
        """Set every such option on its plugin, and run `__post_init__` again where one of them changed.

        Raises what `values` raises, and PluginError where the plugin refuses a filled option.
        """
        for name, (plugin, templates) in self._templates.items():
            filled = {key: expand_all(value, values) for key, value in templates.items()}
            try:
                _refill(plugin, filled)
            except Exception as error:
                options = ", ".join(filled)
                raise PluginError(
                    f'plugin "{name}" refuses what was filled into {options}: {said(error)}'
                ) from error


def _refill(plugin: object, filled: Mapping[str, object]) -> None:
    fields = option_fields(type(plugin))
    new = {key: convert(type(plugin), fields[key], value) for key, value in filled.items()}
    old = {key: getattr(plugin, key) for key in filled}
    if new == old:
        return

    try:
        _set(plugin, new)
        getattr(plugin, "__post_init__", lambda: None)()
    except Exception:
        # Back to where it was, or the next start would find nothing changed and nothing to refuse.
        _set(plugin, old)
        raise


def _set(plugin: object, values: Mapping[str, object]) -> None:
    for key, value in values.items():
        setattr(plugin, key, value)
