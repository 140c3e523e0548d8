"""`hostler init`: a hostler.toml for what is in the folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import click

from hostler.cli.arguments import DEFAULT_FILE
from hostler.cli.scaffold.draft import Draft, Drafts, as_file
from hostler.cli.scaffold.new_config import tell_left_out, write_new_config
from hostler.model.schema.diagnostics import likely

_EXAMPLE = Draft(
    "web",
    {"command": "python3 -u -m http.server ${server.port} --bind ${server.host}"},
    "Nothing was recognised in this folder: write your own command here. ${server.port} is a free port.\n"
    "More keys: cwd, env, env_file, needs, restart; plugins such as http-health and log-rotation.",
)
# What a recipe, which may be run from anywhere, says of places, and what that is beside its servers.
_PLACES: Mapping[str, str] = MappingProxyType(
    {
        "the folder where hostler is run": "the folder of this file",
        "the folder that you call hostler from": "the folder of this file",
        "hostler run configs/opencode.toml": "hostler run",
        '"${PWD:-.}"': '"."',
    }
)
_OF_THE_SHELL = re.compile(r'^cwd = "\$\{PWD:-\.\}"\n', re.MULTILINE)


@click.command("init")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """Write a hostler.toml for what is in this folder, or the recipe NAME (uvicorn, vite, redis, ...).

    It recognises a Procfile, a script dev or start of package.json (npm, pnpm, yarn, bun), Django, Flask
    and ASGI applications, an OpenCode project, and commands in a compose file. Where there is nothing of
    these, it writes an example. An existing hostler.toml is never overwritten (exit code 2).
    """
    from hostler.cli.scaffold.project import servers_in  # noqa: PLC0415 - only this command needs it

    drafts = servers_in(Path.cwd()) if name is None else Drafts()
    text = as_file(drafts.servers or [_EXAMPLE]) if name is None else _recipe(name)
    write_new_config(Path(DEFAULT_FILE), text)
    tell_left_out(drafts.left_out)


def _recipe(name: str) -> str:
    files = {path.stem: path for path in _recipes()}
    if name not in files:
        word = likely(name, files)
        rest = f'; did you mean "{word}"?' if word else f"; there are: {', '.join(files)}"
        raise click.UsageError(f'there is no recipe "{name}"{rest}')
    text = files[name].read_text("utf-8")
    text = _OF_THE_SHELL.sub("", text)
    for here, there in _PLACES.items():
        text = text.replace(here, there)
    return as_file(()) + "\n" + text


def _recipes() -> list[Path]:
    """The files of the recipes: in the installed package, else in the checkout."""
    installed, configs = Path(__file__).with_name("recipes"), Path(__file__).parents[3] / "configs"
    if installed.is_dir():
        return sorted(installed.glob("*.toml"))
    return [configs / "opencode.toml", *sorted((configs / "recipes").glob("*.toml"))]
