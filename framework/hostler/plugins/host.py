"""The plugins of one server: builds them, and calls their hooks in order."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from hostler.concurrency.event_loop import loop_time
from hostler.errors import EnvironmentSetupFailed, PluginError, ServerError
from hostler.model.launch import Launch
from hostler.model.spec import PluginSpec
from hostler.model.values import Advice, Endpoint, Exit, Report, StreamName
from hostler.plugins.hook_calls import SLOW_STEP, Caller, Outcome, TimedReports
from hostler.plugins.hook_stats import Failure, HookAccounting, HookStats
from hostler.plugins.messages import said
from hostler.plugins.options import build
from hostler.plugins.registration import Deprecation, Implementation, in_order
from hostler.plugins.templates import OptionTemplates
from hostler.plugins.validation import advice_fault, endpoint_fault, launch_fault

if TYPE_CHECKING:
    from hostler.hooks import ServerView

_HOOK_SECONDS = 5.0
# Short, since whoever stops a server waits for them before the first signal.
_SHUTDOWN_SECONDS, _SHUTDOWN_TOGETHER = 2.0, 3.0
_SLOW_LINE = 0.05


class PluginHost:
    """Builds the plugins of one server and calls them one by one, each under its own deadline and guard.

    `plugins` are the objects by name, in the order of the configuration. `on_failure` hears of every
    fault of a plugin. Used on the event loop's thread only. Raises PluginError when a plugin cannot be
    found, refuses its options, or has a malformed hook.
    """

    def __init__(self, specs: Sequence[PluginSpec], *, on_failure: Callable[[Failure], None]) -> None:
        self.plugins: Mapping[str, object] = MappingProxyType(_build_all(specs))
        self._implementations = in_order(self.plugins)
        self._templates = OptionTemplates(
            {spec.name: (self.plugins[spec.name], spec.options) for spec in specs if spec.instance is None}
        )
        self._on_failure = on_failure
        self.accounting = HookAccounting(on_failure)
        self._caller = Caller()

    @property
    def deprecations(self) -> tuple[Deprecation, ...]:
        """What these plugins use that a later version of the hook API drops."""
        return tuple(
            found for ones in self._implementations.values() for one in ones for found in one.deprecations
        )

    @property
    def stats(self) -> Mapping[tuple[str, str], HookStats]:
        """Calls, failures and time by plugin and hook; a snapshot."""
        return self.accounting.stats

    def has(self, hook: str) -> bool:
        """Whether any plugin implements this hook, be it disabled after failures."""
        return bool(self._implementations[hook])

    def expand(self, values: Callable[[str], str]) -> None:
        """Fill `${server.port}` and the like into every option that has a `$`, anew from the configuration.

        `values` fills one text. Where options of a plugin change by it, its `__post_init__` runs again.
        Raises PluginError where a plugin refuses a filled option.
        """
        self._templates.apply(values)

    async def pre_spawn(self, server: ServerView, launch: Launch, *, deadline: float) -> None:
        """Let every plugin edit the launch; `deadline` is in seconds, for all of them together.

        Raises the ServerError that a plugin raised, or EnvironmentSetupFailed, at the first failure.
        """
        ends = loop_time() + deadline
        offered = {"server": server, "launch": launch}
        self._confine(server, launch)

        for each in self._implementations["pre_spawn"]:
            with launch.edited_by(f"plugin {each.plugin}"):
                outcome = await self._call(each, offered, ends - loop_time())
                if fault := launch_fault(launch):
                    launch.discard_env()
                    self.accounting.note(each.plugin, each.hook, 0.0, fault)
            if _is_about_server(outcome):
                raise cast("ServerError", outcome.error).with_context(server=server.name)
            if outcome.reason or fault:
                raise _setup_failed(each, server.name, outcome, deadline, fault) from outcome.error

    def _confine(self, server: ServerView, launch: Launch) -> None:
        """Set the sandbox before any plugin edits the launch: a plugin that is one has a method `confine`."""
        for plugin in self.plugins.values():
            confine = getattr(plugin, "confine", None)
            if callable(confine):
                launch.confinement = confine(server, launch)

    def parse_port(self, server: ServerView, line: str, stream: StreamName) -> tuple[str, Endpoint] | None:
        """Ask the plugins in turn what a line announces: the first answer, with its plugin's name."""
        offered = {"server": server, "line": line, "stream": stream}
        for each in self._active("parse_port"):
            endpoint = self._ask(each, offered)
            if endpoint is not None:
                return each.plugin, endpoint
        return None

    def health_openers(
        self, server: ServerView, endpoint: Endpoint | None
    ) -> dict[str, Callable[[], AsyncGenerator[Report, None]]]:
        """For each health plugin, a function that opens a fresh stream of its reports.

        The engine opens one again where a stream has to be started anew; opening runs no code of the plugin.
        """
        offered = {"server": server, "endpoint": endpoint}
        return {
            each.plugin: partial(self._open, each, offered) for each in self._implementations["health_check"]
        }

    def health_failed(self, plugin: str, reason: str, seconds: float = 0.0) -> None:
        """Count a stream that raised or ended without a report as a failure of its plugin."""
        self.accounting.note(plugin, "health_check", seconds, reason)

    async def on_ready(self, server: ServerView, endpoint: Endpoint | None) -> None:
        """Call every plugin's `on_ready`; a failure is reported, the rest still run."""
        await self._call_each("on_ready", {"server": server, "endpoint": endpoint})

    async def on_crash(self, server: ServerView, exit: Exit) -> list[tuple[str, Advice]]:  # noqa: A002 - the hook's word
        """Call every plugin's `on_crash` and gather the advice, with the plugins' names."""
        answers = await self._call_each("on_crash", {"server": server, "exit": exit})
        return [(name, one) for name, one in answers if isinstance(one, Advice) and not advice_fault(one)]

    async def on_shutdown(self, server: ServerView, reason: str) -> None:
        """Call every plugin's `on_shutdown`: 2 s for each, 3 s for all."""
        ends = loop_time() + _SHUTDOWN_TOGETHER
        offered = {"server": server, "reason": reason}

        for each in self._active("on_shutdown"):
            left = ends - loop_time()
            if left > 0:
                await self._call(each, offered, min(_SHUTDOWN_SECONDS, left))
            else:  # not its own fault: reported, and not counted against it
                what = "not called: the plugins before it used up the time"
                self._on_failure(Failure(each.plugin, each.hook, what))

    # -- calling ------------------------------------------------------------------------------

    def _active(self, hook: str) -> Iterator[Implementation]:
        for each in self._implementations[hook]:
            if not self.accounting.is_disabled(each.plugin, hook):
                yield each

    async def _call_each(self, hook: str, offered: Mapping[str, object]) -> list[tuple[str, object]]:
        return [
            (each.plugin, (await self._call(each, offered, _HOOK_SECONDS)).value)
            for each in self._active(hook)
        ]

    async def _call(self, each: Implementation, offered: Mapping[str, object], limit: float) -> Outcome:
        outcome, cut_off = Outcome(), True
        try:
            await self._caller.run(each.function, each.pick(offered), limit, outcome)
            cut_off = False
        finally:
            # A call that our own cancellation cut off tells nothing of the plugin, unless it resisted.
            reason = None if cut_off and not outcome.swallowed else _fault(each.hook, outcome)
            self.accounting.note(each.plugin, each.hook, outcome.seconds, reason)
            if outcome.held > SLOW_STEP:
                self.accounting.note_slow(each.plugin, each.hook, "blocked the event loop", outcome.held)
        return outcome

    def _ask(self, each: Implementation, offered: Mapping[str, object]) -> Endpoint | None:
        started = time.monotonic()
        try:
            answer = each.function(**each.pick(offered))
            reason = endpoint_fault(answer)
        except BaseException as error:  # noqa: BLE001 - not even SystemExit of a plugin may end the host
            reason = f"raised {said(error)}"
        seconds = time.monotonic() - started

        self.accounting.note(each.plugin, each.hook, seconds, reason)
        if reason:
            return None
        if seconds > _SLOW_LINE:
            self.accounting.note_slow(each.plugin, each.hook, "held up a line of output", seconds)
        return cast("Endpoint | None", answer)

    def _open(self, each: Implementation, offered: Mapping[str, object]) -> AsyncGenerator[Report, None]:
        # Opening is a call that cannot fail yet: what its stream does wrong comes by `health_failed`.
        self.accounting.note(each.plugin, each.hook, 0.0, None)
        reports = cast("AsyncGenerator[Report, None]", each.function(**each.pick(offered)))
        on_held = partial(self.accounting.note_slow, each.plugin, each.hook, "blocked the event loop")
        return TimedReports(reports, on_held)


def _build_all(specs: Sequence[PluginSpec]) -> dict[str, object]:
    """Build every plugin, by name in the order of the configuration; PluginError for one that comes twice."""
    plugins: dict[str, object] = {}
    for spec in specs:
        if spec.name in plugins:
            raise PluginError(f'plugin "{spec.name}" is named twice')
        plugin = build(spec)
        twin = next((name for name, other in plugins.items() if other is plugin), None)
        if twin is not None:
            raise PluginError(f'plugins "{twin}" and "{spec.name}" are the same object')
        plugins[spec.name] = plugin
    return plugins


def _setup_failed(
    each: Implementation, server: str, outcome: Outcome, deadline: float, fault: str
) -> EnvironmentSetupFailed:
    overran = outcome.overran is not None
    hint = f"all plugins together have prepare_timeout ({deadline:g} s)" if overran else ""
    return EnvironmentSetupFailed(
        f'plugin "{each.plugin}" failed in pre_spawn: it {outcome.reason or fault}',
        server=server,
        hint=hint,
        details={"plugin": each.plugin, "hook": each.hook, "seconds": round(outcome.seconds, 3)},
        permanent=False,
    )


def _is_about_server(outcome: Outcome) -> bool:
    """Whether `pre_spawn` did its work and found the server at fault, not the plugin."""
    return outcome.overran is None and isinstance(outcome.error, ServerError)


def _fault(hook: str, outcome: Outcome) -> str:
    if hook == "pre_spawn" and _is_about_server(outcome):
        return ""
    if hook == "on_crash" and (fault := advice_fault(outcome.value)):
        return fault
    return outcome.reason
