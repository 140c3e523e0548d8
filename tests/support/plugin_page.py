"""docs/plugins.md, made from the plugins themselves: `python tests/support/plugin_page.py` writes it anew."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

from hostler import ListenerSpec, PluginSpec
from hostler.plugins.describe import OptionDescription, describe
from hostler.plugins.discovery import find_class

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "plugins.md"
_ENTRY_POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
BUNDLED = tuple(_ENTRY_POINTS["hostler.plugins"])
LISTENERS: dict[str, str] = _ENTRY_POINTS["hostler.listeners"]

HEAD = """\
# The bundled plugins

```toml
[servers.web.plugins]
regex-port = true                                 # with its defaults
http-health = { path = "/", interval = "5s" }     # with options
log-rotation = false                              # off
```

This page is made from the plugins by `python tests/support/plugin_page.py`. `hostler plugins` prints it
too.
Durations and sizes are strings with a unit: `"500ms"`, `"10 MiB"`. If no default is shown, the meaning says
what happens without the option. [Listeners](#listeners) stand at the end.
"""

_WORDS = {
    "str": "string",
    "Path": "path",
    "Duration": "duration",
    "Secret": "secret",
    "Size": "size",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list[str]": "list of strings",
    "list[Path]": "list of paths",
    "list[int]": "list of integers",
    "dict[str, Any]": "table",
    "dict[str, int]": "table of integers",
    "dict[str, str]": "table of strings",
    "dict[str, str | Secret]": "table of strings and secrets",
}


def kind(type_: str) -> str:
    """The type as it is written in TOML: "string or list of strings"."""
    if type_ in _WORDS:
        return _WORDS[type_]
    literal = re.fullmatch(r"Literal\[(.*?)\](?: \| None)?", type_)
    if literal is not None:
        return " or ".join(f"`{word.strip()}`" for word in literal[1].replace("'", '"').split(","))
    return " or ".join(_WORDS[word] for word in type_.split(" | ") if word != "None")


def default(option: OptionDescription) -> str:
    if not option.default:
        return "required"
    return "" if option.default == "none" else f"`{option.default}`"


def row(option: OptionDescription) -> str:
    cells = (
        f"`{option.name}`",
        kind(option.type),
        default(option),
        option.meaning[:1].upper() + option.meaning[1:],
    )
    return "| " + " | ".join(cell.replace("|", "\\|").rstrip(".") for cell in cells) + " |"


LISTENERS_HEAD = """\
## Listeners

A listener belongs to the whole run, and stands in [a table of its own](configuration.md#listeners):

```toml
[listeners.webhook]
url = { secret = "env:WEBHOOK_URL" }
events = ["state", "crash"]
```
"""


def section(spec: PluginSpec, level: str = "##") -> str:
    plugin = describe(spec)
    hooks = ", ".join(f"`{hook}`" for hook in plugin.hooks)
    text = inspect.getdoc(find_class(spec)) or ""
    table = ["| option | type | default | meaning |", "|---|---|---|---|", *map(row, plugin.options)]
    called = [f"Hooks: {hooks}.", ""] if hooks else []
    return "\n".join([f"{level} {spec.name}", "", text, "", *called, *table, ""])


def page() -> str:
    plugins = [section(PluginSpec(name)) for name in BUNDLED]
    listeners = [section(ListenerSpec(name, use=use), "###") for name, use in LISTENERS.items()]
    return "\n".join([HEAD, *plugins, LISTENERS_HEAD, *listeners])


if __name__ == "__main__":
    PAGE.write_text(page())
