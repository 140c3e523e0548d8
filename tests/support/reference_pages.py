"""The pages in docs/reference, made from the code: `python tests/support/reference_pages.py`."""

from __future__ import annotations

import dataclasses
import inspect
import re
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

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
MADE = "This page is made from the code by `python tests/support/reference_pages.py`.\n"
_WIDTH = 100
T = TypeVar("T")


def text_of(thing: object) -> str:
    """The docstring, "" for what has none or one that Python wrote itself."""
    text = inspect.getdoc(thing) or ""
    return "" if inspect.isclass(thing) and text.startswith(f"{thing.__name__}(") else text


def first_sentence(thing: object) -> str:
    return text_of(thing).partition("\n")[0]


def signature(function: Callable[..., object]) -> str:
    """The call as it is written, without the modules of types."""
    found = inspect.signature(function)
    shown = f"{getattr(function, '__name__', '')}{found}".replace("'", "")
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", shown).replace("self, ", "").replace("(self)", "()")


def own_classes(module: ModuleType, base: type[T]) -> Iterator[type[T]]:
    """The classes of a module in the order in which they stand there."""
    for value in vars(module).values():
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__:
            yield value


def fields_table(class_: type, without: frozenset[str] = frozenset()) -> list[str]:
    rows = [
        f"| `{one.name}` | `{str(one.type).replace('|', chr(92) + '|')}` |"
        for one in dataclasses.fields(class_)
        if one.name not in without and not one.name.startswith("_")
    ]
    return ["| field | type |", "|---|---|", *rows, ""] if rows else []


def members(class_: type) -> Iterator[tuple[str, str, str]]:
    """Public properties and methods: name, how it is written, its contract."""
    for name, value in vars(class_).items():
        if name.startswith("_"):
            continue
        if isinstance(value, property) and value.fget is not None:
            kind = str(inspect.signature(value.fget).return_annotation).replace("'", "")
            yield name, f"{name}: {kind}", text_of(value.fget)
        elif inspect.isfunction(value):
            prefix = "async " if inspect.iscoroutinefunction(value) else ""
            yield name, prefix + signature(value), text_of(value)


def section(title: str, code: str, text: str) -> list[str]:
    return [f"### {title}", "", "```text", *wrapped(code), "```", "", text, ""]


def wrapped(code: str) -> list[str]:
    """A signature that is too long for one line, an argument a line."""
    if len(code) <= _WIDTH or "(" not in code:
        return [code]
    head, _, rest = code.partition("(")
    arguments, _, tail = rest.rpartition(")")
    return [f"{head}(", *(f"    {one}," for one in split_arguments(arguments)), f"){tail}"]


def split_arguments(text: str) -> list[str]:
    """Split at the commas that stand in no bracket."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


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
        rows = [option_row(one) for one in command.params if isinstance(one, click.Option)]
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
    lines += ["", "Each carries a context (`error.context`):", "", text_of(hostler.ErrorContext), ""]
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


def library_page() -> str:
    lines = ["# Library", "", MADE, "Everything that `from hostler import ...` gives.", ""]
    lines += ["| name | meaning |", "|---|---|"]

    for name in sorted(hostler.__all__, key=str.casefold):
        if name != "__version__":
            lines.append(f"| `{name}` | {meaning(name)} |")

    lines += [
        "",
        "`BlockingSupervisor` and `BlockingServer` have the same without async: see `hostler.serve`.",
    ]

    for name in ("Supervisor", "Server"):
        lines += ["", f"## {name}", "", text_of(getattr(hostler, name)), ""]
        for class_ in reversed(getattr(hostler, name).__mro__):
            if class_.__module__.startswith("hostler"):
                for member, code, text in members(class_):
                    if text and member not in _INNER:
                        lines += section(f"{name}.{member}", code, text)

    return "\n".join(lines).rstrip() + "\n"


# What a server has for the engine, and no program needs.
_INNER = frozenset(
    {
        "ask_again",
        "ask_down",
        "ask_restart",
        "ask_up",
        "changed",
        "deliver",
        "has_started",
        "is_settled",
        "is_revivable",
        "notice",
        "progress",
        "publish",
        "redact",
        "stop_condition",
        "run",
        "start_soon",
        "until",
        "wake",
    }
)


def meaning(name: str) -> str:
    value = getattr(hostler, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        return first_sentence(value)
    return _MEANINGS[name]


_MEANINGS: Mapping[str, str] = {
    "MOVES": "The legal moves from each state.",
    "Report": "`Healthy` or `Unhealthy`.",
    "StreamName": '`"stdout"` or `"stderr"`.',
    "hookimpl": "Marks a method as an implementation of a hook.",
    "hookspec": "Marks the specification of a hook.",
}

PAGES: Mapping[str, Callable[[], str]] = {
    "hooks.md": hooks_page,
    "commands.md": commands_page,
    "errors.md": errors_page,
    "events.md": events_page,
    "library.md": library_page,
}


def page(name: str) -> str:
    """A page as it should be."""
    import_module("hostler.engine.server")
    return PAGES[name]().rstrip() + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)

    for name in PAGES:
        (FOLDER / name).write_text(page(name))
