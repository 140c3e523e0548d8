"""Provider keys of the shell that OpenCode is not given, because hostler passes on no secrets by itself."""

from __future__ import annotations

from hostler import Launch, ServerView

_OTHERS = frozenset(
    {"ANTHROPIC_AUTH_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "HF_TOKEN"}
)


def tell_withheld(server: ServerView, launch: Launch, told: frozenset[str]) -> frozenset[str]:
    """Say which keys were withheld, with the line to add, unless that was said; returns what was said."""
    names = frozenset(name for name in launch.host_env.keys() - launch.env.keys() if _is_key(name))
    if names and names != told:
        listed = sorted(names)
        lines = ", ".join(f'{name} = {{ secret = "env:{name}" }}' for name in listed)
        server.notice(
            "keys_withheld",
            f"set in this shell, but withheld from OpenCode: {', '.join(listed)}; "
            f"if it needs them, add to env of the server: {lines}",
            names=listed,
        )
    return names


def _is_key(name: str) -> bool:
    return name.endswith("_API_KEY") or name in _OTHERS
