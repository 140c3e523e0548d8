"""The pages in docs/reference, made from the code: `python tests/support/reference_pages.py`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import click
import hostler
from hostler import errors, hooks
from hostler.cli.commands import group
from hostler.events import events
from hostler.events.events import Event
from hostler.plugins.signatures import FORMS
from notice_topics import OF_PLUGINS, OF_THE_CORE
from reference_api import api_page
from reference_client import client_page
from reference_library import library_page
from reference_text import (
    MADE,
    attributes,
    block,
    fields_table,
    first_sentence,
    members,
    section,
    signature,
    text_of,
)

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
T = TypeVar("T")


def own_classes(module: ModuleType, base: type[T]) -> Iterator[type[T]]:
    """The classes of a module in the order in which they stand there."""
    for value in vars(module).values():
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__:
            yield value


def hooks_page() -> str:
    lines = ["# Hooks", "", MADE, *text_of(hooks).splitlines(), "", "## The six", ""]

    for name in FORMS:
        function = getattr(hooks, name)
        lines += section(name, f"{FORMS[name]} {signature(function)}", text_of(function))

    lines += ["## What a plugin sees of its server", "", text_of(hooks.ServerView), ""]

    for name, code, text in members(hooks.ServerView):
        lines += section(f"server.{name}", code, text)

    lines += ["## The launch", "", text_of(hostler.Launch), "", *fields_table(hostler.Launch)]

    for name, code, text in members(hostler.Launch):
        lines += section(f"launch.{name}", code, text)

    return "\n".join(lines)


def commands_page() -> str:
    lines = ["# Commands", "", MADE]
    top = click.Context(group, info_name="hostler")
    for words, command in [("hostler", group), *commands(group, "hostler", top)]:
        usage = " ".join([words, *command.collect_usage_pieces(click.Context(command))])
        lines += [f"## {words}", "", "```text", usage, "```", "", inspect.cleandoc(command.help or ""), ""]
        rows = [option_row(one) for one in command.params if isinstance(one, click.Option) and not one.hidden]
        lines += ["| option | meaning |", "|---|---|", *rows, ""] if rows else []
    return "\n".join(lines)


def option_row(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.metavar or 'VALUE'}"
    return f"| `{', '.join(option.opts)}{value}` | {option.help or ''} |"


def commands(above: click.Group, words: str, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in above.list_commands(context):
        command = above.get_command(context, name)
        assert command is not None
        yield f"{words} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{words} {name}", context)


def errors_page() -> str:
    lines = ["# Errors", "", MADE, text_of(errors), "", *text_of(hostler.ServerError).splitlines(), ""]
    lines += ["| error | permanent | meaning |", "|---|---|---|"]
    for class_ in own_classes(errors, hostler.ServerError):
        permanent = "yes" if class_.permanent else ""
        lines.append(f"| `{class_.__name__}` | {permanent} | {first_sentence(class_)} |")
    lines += [""]
    for class_ in (hostler.ServerError, hostler.InvalidConfiguration):
        name = class_.__name__
        lines += [f"## {name}", "", *block([signature(class_, name), *attributes(class_)])]
        for member, code, text in members(class_):
            lines += section(f"{name}.{member}", code, text)
    lines += ["## ErrorContext", "", text_of(hostler.ErrorContext), ""]
    return "\n".join([*lines, *fields_table(hostler.ErrorContext)])


def events_page() -> str:
    lines = [
        "# Events",
        "",
        MADE,
        "`supervisor.events()` and `server.events()` yield these events. `hostler run --json` prints them,",
        "one JSON object on each line: `time` (UTC), `server`, `event`, `generation`, then the fields of",
        "the event.",
        "",
    ]

    for class_ in own_classes(events, Event):
        if class_ is not Event:
            lines += [f"## {class_.__name__}", "", f'`"event": "{class_.kind}"`', "", text_of(class_), ""]
            lines += fields_table(class_, frozenset({"server", "generation", "time"}))
            lines += topics_tables() if class_ is events.Notice else []

    return "\n".join(lines)


def topics_tables() -> list[str]:
    """What each topic of a notice means, those of hostler itself before those of the bundled plugins."""
    lines = []
    for head, meanings in (("topic", OF_THE_CORE), ("topic of a plugin", OF_PLUGINS)):
        lines += [f"| {head} | meaning |", "|---|---|"]
        lines += [f"| `{topic}` | {meaning} |" for topic, meaning in meanings.items()] + [""]
    return lines


PAGES: Mapping[str, Callable[[], str]] = {
    "hooks.md": hooks_page,
    "commands.md": commands_page,
    "errors.md": errors_page,
    "events.md": events_page,
    "library.md": library_page,
    "client.md": client_page,
    "api.md": api_page,
}


def page(name: str) -> str:
    """A page as it should be."""
    import_module("hostler.engine.server")
    return PAGES[name]().rstrip() + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)

    for name in PAGES:
        (FOLDER / name).write_text(page(name))
