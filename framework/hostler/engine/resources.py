"""What one server's life holds on to from start to rest: its plugins, its lock, its port."""

from __future__ import annotations

from dataclasses import dataclass, field

from hostler.engine.server import Server
from hostler.errors import ServerError
from hostler.events.crash import PluginWord
from hostler.events.events import PluginFailed
from hostler.model.states import State
from hostler.plugins.accounting import Failure
from hostler.plugins.host import PluginHost
from hostler.process.disk.lock import NameLock

_PLUGIN_FAILURES = 50


@dataclass(slots=True)
class ServerResources:
    """Kept over the restarts of one start, and let go at rest. Only the port is remembered longer.

    `port_refused` tells that the server itself could not bind it, for connections that are not over yet;
    `untrusted` are the certificates of which it was told that the server cannot read them.
    """

    server: Server
    plugins: PluginHost | None = None
    lock: NameLock | None = None
    last_port: int | None = None
    port_refused: bool = False
    untrusted: set[str] = field(default_factory=set)

    def rest(self, state: State, *, reason: str = "", error: ServerError | None = None) -> None:
        """Enter a state of rest, then let go of what nobody wants any more."""
        ends = state is State.FAILED or not self.server.desired.is_up

        if state is State.STOPPED:
            self.server.desired.rested()

        self.server.promised_port = None
        self.server.run = None

        try:
            self.server.enter(state, reason=reason, error=error)
        finally:
            if ends:
                self.let_go()  # not before: whoever hears of the state may still write it down

        if self.server.may_come_back:
            text = f"it waits: {self.server.lasting.hope}"
            self.server.reporter.notice("waits_while_failed", text, "warning")

    def let_go(self) -> None:
        """Release the lock, and drop the plugins with what they still run, unless one may bring it back."""
        lock, self.lock = self.lock, None

        if not self.server.may_come_back:
            self.drop_plugins()

        if lock is not None:
            lock.release()

    def drop_plugins(self) -> None:
        """Have the next start build new ones."""
        self.plugins = None
        self.server.lasting.end()

    def build_plugins(self) -> PluginHost:
        """The plugins, built at the first call of a start. Raises PluginError."""
        if self.plugins is None:
            self.plugins = PluginHost.build(self.server.spec.plugins, on_failure=self._tell_failure)

            for one in self.plugins.deprecations:
                details = {"plugin": one.plugin, "hook": one.hook, "argument": one.argument}
                self.server.reporter.notice("deprecated", str(one), "warning", details)

        return self.plugins

    def _tell_failure(self, failure: Failure) -> None:
        run = self.server.run

        if run is not None:
            what = failure.reason if failure.slow else f"failed: {failure.reason}"
            word = PluginWord(failure.plugin, failure.hook, what)
            run.failures = (*run.failures, word)[-_PLUGIN_FAILURES:]

        if failure.slow:  # a busy machine does that to any plugin
            self._tell_slow(failure)
            return

        self.server.reporter.say(
            PluginFailed(
                server=self.server.name,
                generation=self.server.generation,
                plugin=failure.plugin,
                hook=failure.hook,
                reason=failure.reason,
                seconds=failure.seconds,
                disabled=failure.disabled,
            )
        )

    def _tell_slow(self, failure: Failure) -> None:
        text = f"plugin {failure.plugin} {failure.reason} in {failure.hook}"
        details = {"plugin": failure.plugin, "hook": failure.hook, "seconds": failure.seconds}
        self.server.reporter.notice("plugin_slow", text, details=details)
