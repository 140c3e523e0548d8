"""What would fail or surprise of the plugins of a server, and of the port that they look for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass

from hostler.config.preflight.observation import Observation, Severity, sentence
from hostler.errors import ServerError
from hostler.model.choices import OutputMode
from hostler.model.launch import Launch
from hostler.model.spec import ServerSpec
from hostler.plugins.options import option_fields
from hostler.plugins.signatures import marked_hooks
from hostler.text.port_arguments import named_ports

_WARNING = "warning: "


def other_port_warnings(spec: ServerSpec, plugins: Iterable[object], key: str) -> Iterator[Observation]:
    """Warn of a port in the command of a server that is looked for at a free one."""
    given = (*spec.command, *map(str, spec.env.values()))
    is_told = any("${server.port}" in text or "${server.url}" in text for text in given)
    if spec.port != 0 or spec.port_from_socket or is_told or any(_finds_port(one) for one in plugins):
        return

    for port, written in list(named_ports(spec.command))[:1]:
        message = (
            f'"{written}": it is looked for at a free port; write port = {port}, or ${{server.port}} here'
        )
        yield Observation(key, message, "warning")


def _finds_port(plugin: object) -> bool:
    """Whether it may find the port in the output, or make the command."""
    hooks = {marked.hook for marked in marked_hooks(type(plugin))}
    return "parse_port" in hooks or bool(getattr(plugin, "supplies_command", False))


def comes_first(plugin: object) -> bool:
    """Whether a start asks this plugin before the others, who find the launch as it leaves it."""
    return any(
        marked.hook == "pre_spawn" and marked.options.get("tryfirst") for marked in marked_hooks(type(plugin))
    )


def uncalled_hook_warnings(spec: ServerSpec, plugin: object, key: str) -> Iterator[Observation]:
    """Warn of a hook that would never be called."""
    reason = ""
    if spec.port is None:
        reason = "the server has no port (port = false)"
    elif OutputMode.CAPTURE not in {spec.stdout, spec.stderr}:
        reason = 'neither stdout nor stderr is captured ("capture")'

    if reason and any(marked.hook == "parse_port" for marked in marked_hooks(type(plugin))):
        yield Observation(key, f"its hook parse_port is never called: {reason}", "warning")


def own_check_problems(plugin: object, spec: ServerSpec, launch: Launch, key: str) -> Iterator[Observation]:
    """What the plugin itself says, where it has a method `check`."""
    check = getattr(plugin, "check", None)
    if not callable(check):
        return

    try:
        for message in check(spec, launch):
            text = str(message).removeprefix(_WARNING)
            severity: Severity = "mistake" if text == str(message) else "warning"
            name, _, rest = text.partition(": ")
            named = rest and is_dataclass(plugin) and name in option_fields(type(plugin))
            place, what = (f"{key}.{name}", rest) if named else (key, text)
            yield Observation(place, what, severity)
    except ServerError as error:
        yield Observation(key, sentence(error))
    except Exception as error:  # noqa: BLE001 - a plugin's fault is reported, the rest is checked
        yield Observation(key, f"its check failed: {type(error).__name__}: {error}", "warning")
