"""Whether who is connected to is the server itself: looked up before, and again before anything is said."""

from __future__ import annotations

from typing import Protocol

from hostler import Endpoint, PortInUse, ServerView


class Connected(Protocol):
    """A transport, or a stream of one."""

    def get_extra_info(self, name: str) -> object:
        """What is known of it: "peername", "sockname"."""
        ...


def verify_place(server: ServerView, place: Endpoint, *, secret: bool) -> None:
    """`server.verify_listener`; where nothing secret is said, a view that tells of strangers is enough."""
    if secret or hasattr(server, "verify_listener"):
        server.verify_listener(secret=secret, at=place)
    elif stranger := server.stranger():
        raise PortInUse(f"another process listens there in its place: {stranger}")


def verify_connection(server: ServerView, connected: Connected | None, *, secret: bool) -> None:
    """The same for the other end of a connection: a name may have led elsewhere than was looked at."""
    far, near = (
        None if connected is None else connected.get_extra_info(f"{end}name") for end in ("peer", "sock")
    )
    if not isinstance(far, tuple) or not isinstance(near, tuple):
        raise ConnectionResetError("the connection is gone")
    verify_place(server, Endpoint(far[0], far[1], near=(near[0], near[1])), secret=secret)


def holds_secret(server: ServerView, text: str) -> bool:
    """Whether a text holds a secret that the server knows; a view that cannot tell knows none."""
    return hasattr(server, "is_secret") and server.is_secret(text)
