"""The programs of a supervisord.conf."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from hostler.cli.scaffold import supervision
from hostler.cli.scaffold.draft import Drafts, command_of, refers_to_port, variables
from hostler.model.interpolation import escape

_OF_A_PROGRAM = frozenset(
    ["command", "directory", "environment", "user", "autostart", "autorestart", "stopsignal", "stopwaitsecs"]
)
_OF_SUPERVISORD = re.compile(r"%(?:(?P<percent>%)|\((?P<name>\w+)\)s)")
_ROW = re.compile(r"\[(?P<section>[^\]]+)\]|(?P<key>[^\s=:#;\[][^=:]*?)\s*[=:]")
_VARIABLE = re.compile(r"""([A-Za-z_]\w*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^,"']*))""")


def read_supervisord(_: Path, drafts: Drafts) -> None:
    """Add a server for each program."""
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",), strict=False)
    parser.read_string(drafts.text)
    section = ""
    for number, row in enumerate(drafts.text.splitlines(), 1):
        if found := _ROW.match(row):
            section = found["section"] or section
            place = (section,) if found["section"] else (section, found["key"].lower())
            drafts.lines.setdefault(place, number)
    for section in parser.sections():
        if section.startswith("program:"):
            _program(section, dict(parser[section]), drafts)
        elif section.partition(":")[0] in {"group", "eventlistener", "fcgi-program", "include"}:
            drafts.leave_out([section])


def _program(section: str, given: dict[str, str], drafts: Drafts) -> None:
    program = section.removeprefix("program:")
    here = str(Path(drafts.label).parent.absolute())
    given = {key: _filled_in(value, program, here) for key, value in given.items()}
    env = {name: "".join(values) for name, *values in _VARIABLE.findall(given.get("environment", ""))}
    wait = given.get("stopwaitsecs")
    table = {
        "command": command_of(given["command"], str),
        "cwd": given.get("directory"),
        "env": variables(env, str),
        "user": given.get("user"),
        "port": None if refers_to_port(given["command"]) else False,
        "autostart": False if _flag(given.get("autostart", "")) == "false" else None,
        "restart": supervision.restart(
            _flag(given.get("autorestart", "")), start_retries=given.get("startretries")
        ),
        "stop_signal": supervision.signal_name(given.get("stopsignal")),
        "force_kill_timeout": f"{wait}s" if wait else None,
    }
    drafts.add(program, table)
    is_one = given.get("numprocs") == "1"
    drafts.leave_out_rest(
        [section], given, _OF_A_PROGRAM | {"startretries", *(["numprocs"] if is_one else [])}
    )


def _filled_in(text: str, program: str, here: str) -> str:
    """A value with hostler's references in the place of those of supervisord."""

    def replacement(found: re.Match[str]) -> str:
        if found["percent"]:
            return "%"
        known = {"here": escape(here), "program_name": program, "process_num": "0", "group_name": program}
        name = found["name"]
        return f"${{{name[4:]}}}" if name.startswith("ENV_") else known.get(name, found[0])

    return _OF_SUPERVISORD.sub(replacement, escape(text))


def _flag(word: str) -> str:
    """A truth value of supervisord as "true" or "false"; another word as it is."""
    word = word.strip().lower()
    words = {"1": "true", "yes": "true", "on": "true", "0": "false", "no": "false", "off": "false"}
    return words.get(word, word)
