"""A client's connection: who, where, since when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trilb.base.ip import Packed

if TYPE_CHECKING:
    from trilb.live.proxy import Frontend


class Session:
    """One client connection. Addresses are packed; a unix socket's client is 0.0.0.0 with port 0, as in HAProxy."""

    __slots__ = (
        "accepted",
        "accepted_wall",
        "client",
        "client_port",
        "frontend",
        "listener_id",
        "listener_name",
        "local",
        "local_port",
        "requests",
    )

    def __init__(self, frontend: Frontend, client: Packed, client_port: int) -> None:
        self.frontend = frontend
        self.client = client
        self.client_port = client_port
        self.local: Packed = b"\0\0\0\0"
        self.local_port = 0
        self.listener_name = ""
        self.listener_id = 1
        self.accepted = 0.0
        self.accepted_wall = 0.0
        self.requests = 0
