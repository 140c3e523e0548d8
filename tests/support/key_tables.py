"""The tables of keys in docs/configuration.md: `python tests/support/key_tables.py` writes them anew."""

from __future__ import annotations

import re
from pathlib import Path

from hostler import ControlSpec, PluginSpec, RestartPolicy, ServerSpec
from hostler.config.dump import as_written
from hostler.config.provenance import as_toml
from hostler.model.schema.control_keys import CONTROL_KEYS
from hostler.model.schema.server_keys import RESTART_KEYS, SERVER_KEYS, Key
from hostler.plugins.describe import describe, needs_options
from hostler.plugins.options import plugin_class
from plugin_page import BUNDLED

_LONGEST = 60
PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
TRUE_HEAD = "| `plugin = true` | what it does | its defaults |\n|---|---|---|\n"
HEAD = "| key | type | default | meaning |\n|---|---|---|---|\n"


def tables() -> list[str]:
    """The tables, each with a row for each key."""
    sets = (
        (SERVER_KEYS, ServerSpec(name="any")),
        (RESTART_KEYS, RestartPolicy()),
        (CONTROL_KEYS, ControlSpec()),
    )
    return ["\n".join(_row(name, key, spec) for name, key in keys.items()) for keys, spec in sets]


def _row(name: str, key: Key, spec: ServerSpec | RestartPolicy | ControlSpec) -> str:
    return f"| `{name}` | {key.type} | {_default(name, key, spec)} | {key.meaning} |"


def _default(name: str, key: Key, spec: ServerSpec | RestartPolicy | ControlSpec) -> str:
    return key.default or f"`{as_toml(as_written(name, getattr(spec, name)))}`"


def true_row(name: str) -> str:
    """What `true` means for a plugin."""
    plugin = describe(PluginSpec(name))
    needed = [f"`{one.name}`" for one in plugin.options if not one.default]
    if not needed and needs_options(plugin_class(PluginSpec(name))):
        needed = ["options"]
    known = [one for one in plugin.options if one.default not in {"", "none"}]
    shown = ", ".join(
        f"`{one.name} = {one.default if len(one.default) < _LONGEST else '[...]'}`" for one in known
    )
    defaults = f"needs {' and '.join(needed)}: `true` only where that is inherited" if needed else shown
    return f"| [`{name}`](plugins.md#{name}) | {plugin.summary.rstrip('.')} | {defaults} |"


def page(text: str) -> str:
    """The page with its tables as they should be."""
    before, after = re.split(re.escape(TRUE_HEAD) + r"(?:\|.*\n)*", text)
    text = before + TRUE_HEAD + "".join(f"{true_row(name)}\n" for name in BUNDLED) + after
    parts = re.split(re.escape(HEAD) + r"(?:\|.*\n)*", text)
    assert len(parts) == len(tables()) + 1, "a table for each set of keys is expected"
    written = [f"{HEAD}{table}\n{part}" for table, part in zip(tables(), parts[1:], strict=True)]
    return parts[0] + "".join(written)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
