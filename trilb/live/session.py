"""A client's connection: who, where, since when. HOT."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from trilb.base.ip import Packed

if TYPE_CHECKING:
    from trilb.live.counters import Counters
    from trilb.live.proxy import Frontend
    from trilb.live.server import Idle, Server
    from trilb.live.stream import Stream
    from trilb.tables.tracking import Tracked, Trackers


class Side(Protocol):
    """A connection as rules may look at it."""

    inbox: bytes
    reused: bool
    error: int

    def tcp_info(self) -> bytes | None:
        """The kernel's `struct tcp_info`, None when there is none."""

    def addresses(self) -> tuple[Packed, int, Packed, int] | None:
        """Our address and port, then the peer's; None for a unix socket or one that is closed."""

    def set_option(self, name: str, value: int) -> None:
        """Set `mark`, `tos` or `ttl`; what the system does not allow is left."""


class Secured(Side, Protocol):
    """A connection with TLS, as rules may look at it."""

    sni: bytes | None
    tls_error: int
    hello: Any
    """The client's first message (net.hello.Hello), None when we connected."""

    @property
    def secured(self) -> Any:
        """OpenSSL's connection."""

    @property
    def verdict(self) -> Any:
        """What checking the peer's certificate gave (tls.context.Verdict)."""

    @property
    def verified(self) -> int:
        """The last error of checking the peer's certificate, 0 when all is well."""

    @property
    def resumed(self) -> bool:
        """Was an earlier session taken up again?"""

    @property
    def alpn(self) -> bytes:
        """The protocol agreed on."""


class Session:
    """One client connection. Addresses are packed; a unix socket's client is 0.0.0.0 with port 0, as in HAProxy."""

    __slots__ = (
        "accepted",
        "accepted_wall",
        "arrived",
        "carried",
        "client",
        "client_port",
        "frontend",
        "glitches",
        "listener",
        "listener_id",
        "listener_name",
        "local",
        "local_port",
        "major",
        "private",
        "proxied",
        "proxy_tlvs",
        "requests",
        "secured",
        "side",
        "switched",
        "tls",
        "tracked",
        "vars",
    )

    def __init__(self, frontend: Frontend, client: Packed, client_port: int) -> None:
        self.frontend = frontend
        self.client = client
        self.client_port = client_port
        self.local: Packed = b"\0\0\0\0"
        self.local_port = 0
        self.arrived: tuple[Packed, int, Packed, int] | None = None
        """Client and our own side of the connection itself, where a session rule has changed them for the session."""
        self.listener: Counters | None = None
        """What is counted for its listening socket alone (`option socket-stats`)."""
        self.listener_name = ""
        self.listener_id = 1
        self.accepted = 0.0
        self.accepted_wall = 0.0
        self.requests = 0
        self.major = 1
        """The version of HTTP its client speaks."""
        self.glitches = 0
        """Odd things an HTTP/2 client did (`fc_glitches`)."""
        self.side: Side | None = None
        self.tls: Secured | None = None
        self.secured = 0.0
        """When the handshake was over; 0.0 without TLS."""
        self.proxied = False
        self.proxy_tlvs: tuple[tuple[int, bytes], ...] = ()
        self.vars: dict[str, bool | int | bytes] | None = None
        self.tracked: Trackers | None = None
        self.switched: Stream | None = None
        """The TCP stream that goes on as HTTP, until the first request takes over what its rules did."""
        self.carried: Trackers | None = None
        """What a stream tracked that goes on as HTTP."""
        self.private: tuple[Server, Idle] | None = None

    def tallies(self) -> Iterator[Counters]:
        """What counts this client: its frontend, and its listening socket where that is counted for itself."""
        yield self.frontend.counters
        if self.listener is not None:
            yield self.listener

    def ends(self) -> tuple[Packed, int, Packed, int]:
        """Client and our own side of the connection itself, with their ports."""
        return self.arrived or (self.client, self.client_port, self.local, self.local_port)

    def keep_private(self, server: Server, conn: Idle) -> None:
        """Keep a server connection for this session alone (`http-reuse never`)."""
        self.close_private()
        self.private = (server, conn)

    def tracks(self, tracker: Trackers | None) -> Iterator[Tracked]:
        """What this session tracks, and `tracker`, a stream of it."""
        for trackers in (tracker, self.tracked):
            for each in trackers or ():
                if each is not None:
                    yield each

    def close_private(self) -> None:
        """Close the connection kept for this session, if any."""
        if self.private is not None:
            self.private[1].close()
            self.private = None
