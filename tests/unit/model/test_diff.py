"""What differs between two configurations of a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hostler import (
    EnvFile,
    PluginSpec,
    Secret,
    ServerSpec,
)
from hostler.model.diff import differences


def test_the_keys_that_differ_are_told_with_their_values() -> None:
    old = ServerSpec(name="a", command=("x",), cwd=Path("/a"), port=0, env={"A": "1"}, startup_timeout=30.0)
    new = ServerSpec(
        name="a",
        command=("x", "y"),
        cwd=Path("/a"),
        port=None,
        env={"A": "2", "B": "3"},
        env_file=(EnvFile(Path("/a/x.env")), EnvFile(Path("/a/y.env"), optional=True)),
        startup_timeout=2.5,
        guard=True,
        restart=replace(old.restart, max_restarts=9),
        plugins=(PluginSpec("p", {"words": ["a"], "n": 1}),),
    )
    assert [str(change) for change in differences(old, new)] == [
        "command: [x] -> [x, y]",
        "port: 0 -> false",
        "env.A: 1 -> 2",
        "env_file: [] -> [/a/x.env, /a/y.env (optional)]",
        "startup_timeout: 30 s -> 2.5 s",
        "restart.max_restarts: 5 -> 9",
        "guard: false -> true",
        "plugins: [] -> [p]",
        "env.B: (none) -> 3",
        "plugins.p.words: (none) -> [a]",
        "plugins.p.n: (none) -> 1",
    ]


def test_secrets_are_masked_in_what_has_changed() -> None:
    def spec(secret: str) -> ServerSpec:
        return ServerSpec(
            name="a",
            command=("x", "--token", secret, f"--api-key={secret}", f"http://me:{secret}@db/"),
            cwd=Path(f"/{secret}"),
            secrets=frozenset([secret]),
            env={"API_KEY": secret, "AT": f"postgres://me:{secret}@db/x", "S": Secret(f"env:{secret[:3]}")},
            plugins=(PluginSpec("p", {"password": secret, "headers": {"Authorization": secret}}),),
        )

    changes = differences(spec("hunter2-one"), spec("zebra-two"))
    text = repr(changes) + "".join(map(str, changes))
    assert "hunter2" not in text
    assert "zebra" not in text
    assert [change.key for change in changes] == [
        "command",
        "cwd",
        "env.API_KEY",
        "env.AT",
        "env.S",
        "plugins.p.password",
        "plugins.p.headers",
    ]
    assert changes[0].before == "[x, --token, ********, --api-key=********, http://me:********@db/]"
    assert str(changes[4]) == "env.S: the secret env:hun -> the secret env:zeb"
