"""A message that broke the protocol, as a proxy keeps the last one of each direction for `show errors`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trilb.live.proxy import Backend, Frontend
    from trilb.live.server import Server
    from trilb.live.session import Session


class Invalid:
    """What was received, no more than a buffer of it, from whom, and why it was refused."""

    __slots__ = ("at", "backend", "client", "client_port", "frontend", "number", "raw", "reason", "server", "wall")

    def __init__(self, session: Session, raw: bytes, at: int, reason: str) -> None:
        process = session.frontend.process
        self.number = process.invalid
        process.invalid += 1
        self.wall = process.clock.wall
        self.frontend: Frontend = session.frontend
        self.backend: Backend | None = None
        self.server: Server | None = None
        self.client = session.client
        self.client_port = session.client_port
        self.raw = raw
        self.at = at
        """The position of the first byte that is wrong."""
        self.reason = reason
