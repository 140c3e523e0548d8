"""What a command beside the servers is told of them."""

from __future__ import annotations

import re
from collections.abc import Collection

from hostler.engine.server import Server


def addresses(servers: Collection[Server]) -> dict[str, str]:
    """What plugins publish, and HOSTLER_URL_NAME of each server; with one server alone HOSTLER_URL too."""
    env: dict[str, str] = {}

    for server in servers:
        env |= server.child_env({})
        if server.url is not None:
            name = re.sub(r"[^A-Z0-9]", "_", server.name.upper())
            env[f"HOSTLER_URL_{name}"] = server.url
            if len(servers) == 1:
                env["HOSTLER_URL"] = server.url

    return env
