"""What a folder holds that can be run: npm scripts, Python applications, OpenCode, other tools' files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from hostler.cli.scaffold.draft import Draft, Drafts
from hostler.cli.scaffold.other_tools import read_other
from hostler.errors import InvalidConfiguration

_LOCKS = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun", "bun.lockb": "bun"}
_APP = re.compile(
    r"^(?P<name>\w+)(?:\s*:[^=\n]+)?\s*=\s*(?:\w+\.)?(?P<kind>FastAPI|Starlette|Flask)\(", re.MULTILINE
)
_FACTORY = re.compile(
    r"^def (?P<name>(?:create|make)_app)\(.*?\b(?P<kind>FastAPI|Starlette|Flask)\(", re.MULTILINE | re.DOTALL
)
_BARE = re.compile(
    r"^async def (?P<name>\w+)\(\s*scope\b[^()]*\breceive\b[^()]*\bsend\b[^()]*\)", re.MULTILINE
)
_PLACES = (
    "main.py",
    "app.py",
    "wsgi.py",
    "asgi.py",
    "server.py",
    "*/main.py",
    "*/app.py",
    "*/__init__.py",
    "src/*/main.py",
    "src/*/app.py",
    "src/*/__init__.py",
)
_PORTS = {
    "vite": "--host ${server.host} --port ${server.port} --strictPort",
    "astro": "--host ${server.host} --port ${server.port}",
    "next": "-H ${server.host} -p ${server.port}",
    "nuxt": "--host ${server.host} --port ${server.port}",
}


def servers_in(folder: Path) -> Drafts:
    """The servers that can be recognised in a folder; a Procfile alone counts where there is one."""
    if (folder / "Procfile").is_file():
        return _from_file(folder / "Procfile")
    found = Drafts(servers=[*_script(folder), *_python(folder), *_opencode(folder)])
    names = (
        "compose.yaml",
        "compose.yml",
        "docker-compose.yml",
        "docker-compose.yaml",
        "process-compose.yaml",
    )
    files = [folder / name for name in names if (folder / name).is_file()]
    return _from_file(files[0]) if files and not found.servers else found


def _from_file(file: Path) -> Drafts:
    label = Path(file.name)
    try:
        return read_other(label if label.absolute() == file else file)
    except InvalidConfiguration as error:
        return Drafts(left_out=[str(problem) for problem in error.problems])


def _script(folder: Path) -> Iterator[Draft]:
    try:
        package = json.loads((folder / "package.json").read_text("utf-8"))
        scripts = package["scripts"]
        name, script = next((name, str(scripts[name])) for name in ("dev", "start") if name in scripts)
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return

    manager = _manager(folder, package)
    tool = next((word for word in _PORTS if re.search(rf"(^|[\s/]){word}(\s|$)", script)), None)
    if tool is None:
        table: dict[str, object] = {"command": f"{manager} run {name}"}
        comment = f"The script {name}, `{script}`, is expected to listen on the variable PORT."
    else:
        between = " -- " if manager == "npm" else " "
        table, comment = (
            {"command": f"{manager} run {name}{between}{_PORTS[tool]}"},
            f"The script {name}: {tool}.",
        )
    env = {"PORT": "${server.port}", "HOST": "${server.host}"} if tool is None else None
    yield Draft("frontend", table | ({"env": env} if env else {}), comment)


def _manager(folder: Path, package: Mapping[str, object]) -> str:
    """The package manager that package.json names ("pnpm@9.1.0"), else that of the lock file."""
    named = str(package.get("packageManager", "")).partition("@")[0]
    if named in {"npm", *_LOCKS.values()}:
        return named
    return next((word for lock, word in _LOCKS.items() if (folder / lock).exists()), "npm")


def _python(folder: Path) -> Iterator[Draft]:
    if (folder / "manage.py").is_file():
        line = f"{_program(folder, 'python3')} manage.py runserver ${{server.host}}:${{server.port}}"
        yield Draft(
            "web", {"command": line, "env": {"PYTHONUNBUFFERED": "1"}}, "Django's development server."
        )
        return

    for file in (path for place in _PLACES for path in sorted(folder.glob(place))):
        try:
            text = file.read_text("utf-8", errors="replace")
        except OSError:
            continue
        found = _APP.search(text) or _FACTORY.search(text) or _BARE.search(text)
        if found is not None:
            yield _application(folder, file.relative_to(folder), found)
            return


def _application(folder: Path, file: Path, found: re.Match[str]) -> Draft:
    name, kind = found["name"], found.groupdict().get("kind", "ASGI")
    is_in_src = file.parts[0] == "src"
    parts = (file.parent if file.stem == "__init__" else file.with_suffix("")).parts[1 if is_in_src else 0 :]
    target, address = f"{'.'.join(parts)}:{name}", "--host ${server.host} --port ${server.port}"
    if kind == "Flask":
        line = f"{_program(folder, 'flask')} --app {target} run {address}"
    else:
        where = (" --app-dir src" if is_in_src else "") + (" --factory" if found.re is _FACTORY else "")
        line = f"{_program(folder, 'uvicorn')} {target}{where} {address}"
    return Draft("web", {"command": line}, f"The {kind} application {name} of {file}.")


def _program(folder: Path, name: str) -> str:
    own = folder / ".venv" / "bin" / name
    return f"./.venv/bin/{name}" if own.exists() else name


def _opencode(folder: Path) -> Iterator[Draft]:
    if any((folder / name).exists() for name in ("opencode.json", "opencode.jsonc", ".opencode")):
        install = {"install": "if-missing"}
        plugins = {"opencode": install, "regex-port": True, "sse-health": True, "log-rotation": True}
        yield Draft("opencode", {"plugins": plugins}, "OpenCode; the first start installs it if need be.")
