"""Another version of hostler in an environment of its own: the wheel of a changed copy of this tree."""

from __future__ import annotations

import re
import shutil
import sysconfig
import venv
from pathlib import Path

from third_party_packages import build_into

VERSION = "0.0.9"
_ROOT = Path(__file__).parents[2]
_CHANGES = {
    "framework/hostler/version.py": (r'__version__ = "[^"]+"', f'__version__ = "{VERSION}"'),
    # It lacks a route, and its rows have a field that nobody else knows.
    "framework/hostler/control/configuration_reload.py": (r'"/v1/environment"', '"/v1/of-another-name"'),
    "framework/hostler/control/server_shapes.py": (
        r"(class ServerRow\(.*\n.*\n\n)",
        r"\1    novelty: str = 'unheard of'\n",
    ),
}


def install(folder: Path) -> list[str]:
    """Install it below a folder; how it is called."""
    tree = folder / "tree"
    for name in ("framework", "plugins", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_ROOT / name, tree / name, ignore=ignored)
    for path in _ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, tree)
    for name, (pattern, replacement) in _CHANGES.items():
        text, count = re.subn(pattern, replacement, (tree / name).read_text())
        assert count == 1, name
        (tree / name).write_text(text)

    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    build_into(site, tree)
    # What it needs is that of the tests, but for hostler itself.
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "hostler" not in path.name and path.suffix != ".pth" and not (site / path.name).exists():
            (site / path.name).symlink_to(path)
    return [str(python), "-m", "hostler.cli"]
