"""All plugins of one server, in order, and how their hooks are called."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from hostler.concurrency.event_loop import loop_time
from hostler.errors import EnvironmentSetupFailed, ServerError
from hostler.model.launch import Launch
from hostler.model.spec import PluginSpec
from hostler.model.values import Advice, Endpoint, Exit, Report, StreamName
from hostler.plugins.api_version import Deprecation
from hostler.plugins.calls import SLOW_STEP, Caller, Outcome, TimedReports
from hostler.plugins.hook_stats import Failure, HookAccounting, HookStats
from hostler.plugins.messages import said
from hostler.plugins.registration import Implementation, built, in_order
from hostler.plugins.templates import OptionTemplates
from hostler.plugins.validation import advice_fault, endpoint_fault, launch_fault

if TYPE_CHECKING:
    from hostler.hooks import ServerView

_HOOK_SECONDS = 5.0
_SHUTDOWN_SECONDS, _SHUTDOWN_TOGETHER = 2.0, 3.0
_SLOW_LINE = 0.05


class PluginHost:
    """The plugins of one server, called one after the other, each under its own deadline and guard.

    Made by `PluginHost.build`. Used on the event loop's thread only.
    """

    def __init__(self, specs: Sequence[PluginSpec], on_failure: Callable[[Failure], None]) -> None:
        plugins = built(specs)
        self._plugins: Mapping[str, object] = MappingProxyType(plugins)
        self._implementations = in_order(plugins)
        self._templates = OptionTemplates(
            {spec.name: (plugins[spec.name], spec.options) for spec in specs if spec.instance is None}
        )
        self._accounting = HookAccounting(on_failure)
        self._caller = Caller()

    @classmethod
    def build(cls, specs: Sequence[PluginSpec], *, on_failure: Callable[[Failure], None]) -> PluginHost:
        """Build and register the plugins of one server; `on_failure` hears of every fault from then on.

        Raises PluginError when one cannot be found, refuses its options, or has a malformed hook.
        """
        return cls(specs, on_failure)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all plugins in the order of the configuration."""
        return tuple(self._plugins)

    @property
    def deprecations(self) -> tuple[Deprecation, ...]:
        """What these plugins use that will go."""
        each = (one for ones in self._implementations.values() for one in ones)
        return tuple(found for one in each for found in one.deprecations)

    @property
    def stats(self) -> Mapping[tuple[str, str], HookStats]:
        """Calls, failures and time by plugin and hook; a snapshot."""
        return self._accounting.accounts

    def has(self, hook: str) -> bool:
        """Whether any plugin implements this hook, one that was taken out included."""
        return bool(self._implementations[hook])

    def plugin(self, name: str) -> object:
        """The plugin object of this name; raises KeyError."""
        return self._plugins[name]

    def expand(self, values: Callable[[str], str]) -> None:
        """Fill `${server.port}` and the like into every option that has a `$`, anew from the configuration.

        `values` gives the filled text for a text. A plugin whose options changed by it has its
        `__post_init__` run again. Raises PluginError where a filled option is refused.
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
            outcome = Outcome()
            with _noted(launch, f"plugin {each.plugin}"):
                await self._call(each, offered, ends - loop_time(), outcome)
                fault = self._edits_fault(each, launch)
            if outcome.overran is None and isinstance(outcome.error, ServerError):
                raise outcome.error.with_context(server=server.name)
            if outcome.reason or fault:
                raise _setup_failed(each, server.name, outcome, deadline, fault) from outcome.error

    def _confine(self, server: ServerView, launch: Launch) -> None:
        """Have the sandbox known before anybody acts: a plugin that is one has a method `confine`."""
        for plugin in self._plugins.values():
            confine = getattr(plugin, "confine", None)
            if callable(confine):
                launch.confinement = confine(server, launch)

    def parse_port(self, server: ServerView, line: str, stream: StreamName) -> tuple[str, Endpoint] | None:
        """Ask one plugin after the other what a line announces: the first answer, with its plugin's name."""
        offered = {"server": server, "line": line, "stream": stream}
        for each in self._active("parse_port"):
            endpoint = self._ask(each, offered)
            if endpoint is not None:
                return each.plugin, endpoint
        return None

    def health_checks(
        self, server: ServerView, endpoint: Endpoint | None
    ) -> list[tuple[str, AsyncGenerator[Report, None]]]:
        """Make a fresh stream of reports for each health plugin; none of their code has run yet."""
        return [(name, opened()) for name, opened in self.health_openers(server, endpoint).items()]

    def health_openers(
        self, server: ServerView, endpoint: Endpoint | None
    ) -> dict[str, Callable[[], AsyncGenerator[Report, None]]]:
        """For each health plugin, what makes a fresh stream of it, as often as it has to be started again."""
        offered = {"server": server, "endpoint": endpoint}
        return {
            each.plugin: partial(self._open, each, offered) for each in self._implementations["health_check"]
        }

    def health_failed(self, plugin: str, reason: str, seconds: float = 0.0) -> None:
        """Note that a stream of `health_checks` raised or ended without a report; told to `on_failure`."""
        self._accounting.failed(plugin, "health_check", reason, seconds)

    async def on_ready(self, server: ServerView, endpoint: Endpoint | None) -> None:
        """Tell every plugin that the server is running; failures are reported, the rest still run."""
        await self._tell("on_ready", {"server": server, "endpoint": endpoint})

    async def on_crash(self, server: ServerView, exit: Exit) -> list[tuple[str, Advice]]:  # noqa: A002 - the hook's word
        """Tell every plugin of a crash and gather their advice, with the names of the plugins."""
        answers = await self._tell("on_crash", {"server": server, "exit": exit})
        return [
            (plugin, answer)
            for plugin, answer in answers
            if isinstance(answer, Advice) and not advice_fault(answer)
        ]

    async def on_shutdown(self, server: ServerView, reason: str) -> None:
        """Tell every plugin that the server will be stopped: 2 s for each, 3 s for all."""
        ends = loop_time() + _SHUTDOWN_TOGETHER
        offered = {"server": server, "reason": reason}

        for each in self._active("on_shutdown"):
            left = ends - loop_time()
            if left > 0:
                await self._call(each, offered, min(_SHUTDOWN_SECONDS, left), Outcome())
            else:
                self._accounting.tell(
                    each.plugin, each.hook, "not called: the plugins before it used up the time"
                )

    # -- calling ------------------------------------------------------------------------------

    def _active(self, hook: str) -> Iterator[Implementation]:
        for each in self._implementations[hook]:
            if not self._accounting.account(each.plugin, hook).disabled:
                yield each

    async def _tell(self, hook: str, offered: Mapping[str, object]) -> list[tuple[str, object]]:
        answers = []
        for each in self._active(hook):
            outcome = Outcome()
            await self._call(each, offered, _HOOK_SECONDS, outcome)
            answers.append((each.plugin, outcome.value))
        return answers

    async def _call(
        self, each: Implementation, offered: Mapping[str, object], limit: float, outcome: Outcome
    ) -> None:
        cut_off = True
        try:
            await self._caller.run(each.function, each.pick(offered), limit, outcome)
            cut_off = False
        finally:
            self._note(each, outcome, cut_off=cut_off)

    def _note(self, each: Implementation, outcome: Outcome, *, cut_off: bool) -> None:
        reason = "" if cut_off and not outcome.swallowed else _fault(each.hook, outcome)
        if reason:
            self._accounting.failed(each.plugin, each.hook, reason, outcome.seconds)
        elif cut_off:
            self._accounting.called(each.plugin, each.hook, outcome.seconds)
        else:
            self._accounting.succeeded(each.plugin, each.hook, outcome.seconds)

        if outcome.held > SLOW_STEP:
            self._accounting.slow(each.plugin, each.hook, "blocked the event loop", outcome.held)

    def _edits_fault(self, each: Implementation, launch: Launch) -> str:
        """What is wrong with the edits of a plugin, which is told; nothing is started with them."""
        fault = launch_fault(launch)
        if fault:
            launch.env = {}
            self._accounting.failed(each.plugin, each.hook, fault, 0.0)
        return fault

    def _ask(self, each: Implementation, offered: Mapping[str, object]) -> Endpoint | None:
        started = time.monotonic()

        try:
            answer = each.function(**each.pick(offered))
            reason = endpoint_fault(answer)
        except BaseException as error:  # noqa: BLE001 - not even SystemExit of a plugin may end the host
            reason = f"raised {said(error)}"

        seconds = time.monotonic() - started

        if reason:
            self._accounting.failed(each.plugin, each.hook, reason, seconds)
            return None

        self._accounting.succeeded(each.plugin, each.hook, seconds)

        if seconds > _SLOW_LINE:
            self._accounting.slow(each.plugin, each.hook, "held up a line of output", seconds)

        return cast("Endpoint | None", answer)

    def _open(self, each: Implementation, offered: Mapping[str, object]) -> AsyncGenerator[Report, None]:
        def held(seconds: float) -> None:
            self._accounting.slow(each.plugin, each.hook, "blocked the event loop", seconds)

        self._accounting.called(each.plugin, each.hook, 0.0)
        return TimedReports(cast("AsyncGenerator[Report, None]", each.function(**each.pick(offered))), held)


@contextmanager
def _noted(launch: Launch, who: str) -> Iterator[None]:
    """Note which variables are set, changed or taken away meanwhile, and that it was `who`."""
    before, launch.editor = dict(launch.env), who

    try:
        yield
    finally:
        launch.editor = ""
        for name in before.keys() - launch.env.keys():
            launch.origins.pop(name, None)
            launch.removed[name] = who
        for name, value in launch.env.items():
            if before.get(name) != value:
                launch.origins[name] = who
                launch.removed.pop(name, None)


def _setup_failed(
    each: Implementation, server: str, outcome: Outcome, deadline: float, fault: str
) -> EnvironmentSetupFailed:
    hint = (
        f"all plugins together have prepare_timeout ({deadline:g} s)" if outcome.overran is not None else ""
    )
    return EnvironmentSetupFailed(
        f'plugin "{each.plugin}" failed in pre_spawn: it {outcome.reason or fault}',
        server=server,
        hint=hint,
        details={"plugin": each.plugin, "hook": each.hook, "seconds": round(outcome.seconds, 3)},
        permanent=False,
    )


def _fault(hook: str, outcome: Outcome) -> str:
    if hook == "pre_spawn" and outcome.overran is None and isinstance(outcome.error, ServerError):
        # It did its work: this is what is wrong with the server, not with the plugin.
        return ""
    if hook == "on_crash" and (fault := advice_fault(outcome.value)):
        return fault
    return outcome.reason
