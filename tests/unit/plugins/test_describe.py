"""What `hostler plugins` knows of a plugin."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from hostler import PluginSpec
from hostler.plugins.describe import describe

TYPED = """
    from dataclasses import dataclass, field
    from pathlib import Path
    from typing import Literal

    from hostler import Duration, Size, hookimpl, option


    @dataclass(eq=False)
    class Undocumented:
        url: str
        every: Duration = option(Duration(90), "how often")
        brief: Duration = Duration(0.25)
        never: Duration = Duration(0)
        most: Size = Size(10 * 2**20)
        odd: Size | None = None
        kind: Literal["a", "b"] = "a"
        words: tuple[str, ...] = ("x",)
        names: list[str] = field(default_factory=lambda: ["n"])
        table: dict[str, int] = field(default_factory=lambda: {"a": 1})
        empty: dict[str, int] = field(default_factory=dict)
        on: bool = True
        file: Path = Path("a/b")
        state: int = field(init=False, default=0)

        @hookimpl
        async def on_ready(self) -> None: ...

        @hookimpl(specname="pre_spawn")
        async def prepare(self) -> None: ...
"""


@pytest.mark.parametrize("header", ["", "from __future__ import annotations\n"])
def test_options_are_told_as_they_would_be_written_in_toml(
    header: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "acme_annotated" if header else "acme_evaluated"
    (tmp_path / f"{module}.py").write_text(header + dedent(TYPED))
    info = tmp_path / "acme-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"[hostler.plugins]\nacme = {module}:Undocumented\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = describe(PluginSpec("acme"))
    assert (found.version, found.summary, found.hooks) == ("2.0", "", ("pre_spawn", "on_ready"))
    assert {entry.name: (entry.type, entry.default) for entry in found.options} == {
        "url": ("str", ""),
        "every": ("Duration", '"90s"'),
        "brief": ("Duration", '"250ms"'),
        "never": ("Duration", '"0s"'),
        "most": ("Size", '"10 MiB"'),
        "odd": ("Size | None", "none"),
        "kind": ("Literal['a', 'b']", '"a"'),
        "words": ("tuple[str, ...]", '["x"]'),
        "names": ("list[str]", '["n"]'),
        "table": ("dict[str, int]", "{ a = 1 }"),
        "empty": ("dict[str, int]", "{}"),
        "on": ("bool", "true"),
        "file": ("Path", '"a/b"'),
    }
    assert found.options[1].meaning == "how often"
