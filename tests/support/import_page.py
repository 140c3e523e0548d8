"""What `hostler import` writes, on the page coming-from.md: `python tests/support/import_page.py`."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hostler_process import HOSTLER

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"
# A block with a title, and what is reported after it. The title of a result is the command that writes it.
_BLOCK = re.compile(
    r'^```\w+ title="([^"]+)"\n(.*?)^```\n(?:\n```text\nnot carried.*?^```\n)?', re.MULTILINE | re.DOTALL
)
_COMMAND = "hostler import "


def blocks(text: str) -> Mapping[str, str]:
    """The text of each block by its title."""
    return {found[1]: found[2] for found in _BLOCK.finditer(text)}


def page(text: str) -> str:
    """The page with what import writes for the files that stand in it."""
    originals = blocks(text)

    def written(found: re.Match[str]) -> str:
        name = found[1].removeprefix(_COMMAND)
        return found[0] if name == found[1] else _imported(name, originals[name])

    return _BLOCK.sub(written, text)


def _imported(name: str, original: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_text(original)
        done = subprocess.run(
            [*HOSTLER, "import", name], cwd=folder, capture_output=True, text=True, timeout=60, check=True
        )
    servers = done.stdout.partition("\n\n")[2]  # the head is for a file
    left_out = f"\n```text\n{done.stderr}```\n" if done.stderr else ""
    return f'```toml title="{_COMMAND}{name}"\n{servers}```\n{left_out}'


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
