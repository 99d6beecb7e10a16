"""A server while serving: its address, its weight, its state, who uses it. HOT."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from trilb.base.address import Family, is_service
from trilb.config.lines import ServerLine
from trilb.live.check import Check
from trilb.live.counters import Counters

if TYPE_CHECKING:
    from trilb.live.proxy import Backend
    from trilb.live.stream import Stream
    from trilb.tls.store import Outgoing


class Idle(Protocol):
    """What a pool keeps: anything that can be closed."""

    reused: bool

    def close(self) -> None: ...


class Multiplexed(Protocol):
    """A connection for many requests at once."""

    since: float

    def idle(self) -> bool: ...

    def close(self) -> None: ...

    def retire(self) -> None: ...


class Ramp(Protocol):
    """What lets a server that came back take on its share bit by bit (`slowstart`)."""

    def begin(self, now: float) -> None:
        """It came back."""

    def end(self) -> None:
        """It is removed."""


class Observer(Protocol):
    """Who watches traffic to tell from it how a server is (`observe`); `now` is the loop's seconds."""

    def connected(self) -> None:
        """A connection stands, whatever follows."""

    def refused(self, now: float) -> None:
        """A connection did not come about."""

    def answered(self, status: int, now: float) -> None:
        """A response came."""

    def failed(self, how: str, now: float) -> None:
        """No usable response came; `how` in HAProxy's words."""


class Waiting(Protocol):
    """Somebody in a queue."""

    def wake(self, reason: int = 0) -> None: ...


class Opening:
    """How connections to a server begin, where that is more than connecting: a PROXY header, TLS, a name for reuse.

    Each is a closure over the stream the connection is opened for, or None.
    """

    __slots__ = ("alias", "epoch", "follows", "header", "name", "tls", "tls_h1")

    def __init__(self) -> None:
        self.header: Callable[[Stream], bytes] | None = None
        self.tls: Outgoing | None = None
        self.tls_h1: Outgoing | None = None
        """For requests that are to be spoken in HTTP/1 (`ws h1`)."""
        self.follows = False
        """It goes to where the client connected to, in address or port."""
        self.name: Callable[[Stream], bytes | None] | None = None
        """The name to ask for (SNI)."""
        self.alias: Callable[[Stream], bytes | None] | None = None
        """`pool-conn-name`: what connections are told apart by instead."""
        self.epoch = 0
        """Counts the addresses the server has had: a connection to an old one is of no use."""

    def key(self, stream: Stream) -> object:
        """Connections with equal keys may stand for each other (configuration.txt, `http-reuse`)."""
        name = self.alias or self.name
        return (
            self.epoch,
            name(stream) if name is not None else None,
            self.header(stream) if self.header is not None else None,
            # One that was opened before its certificates were changed is of no use any more.
            self.tls.context if self.tls is not None else None,
            (stream.local, stream.local_port) if self.follows else None,
            # Where websockets go another way they do not meet the others.
            self.tls_h1 is not None and stream.request is not None and stream.request.upgrade == b"websocket",
        )


FMAINT, IMAINT, CMAINT, FDRAIN, IDRAIN, RMAINT, HMAINT = (1 << bit for bit in range(7))
"""Bits of Server.admin (management.txt, `srv_admin_state`): forced, inherited from a tracked server, configured;
drain forced and inherited; no address from the resolvers; waiting for the address of a new name."""
MAINT = FMAINT | IMAINT | RMAINT
"""CMAINT and HMAINT keep nobody away: they tell where FMAINT, or the name, came from, and stay."""
DRAIN = FDRAIN | IDRAIN
STOPPED, STARTING, RUNNING, STOPPING = range(4)
"""Values of Server.operation (management.txt, `srv_op_state`)."""

RAMP: Final = 16
"""Sixteenths in a whole."""


class Server:
    """One server of a backend.

    `initial` is the configured weight, `weight` what it was set to, `effective` the one balancing uses: zero while
    draining. `running` tells whether a connection may be tried at all (up, not in maintenance): a draining server still
    runs.
    """

    __slots__ = (
        "address",
        "admin",
        "agent",
        "backend",
        "capacity",
        "check",
        "cookie",
        "counters",
        "down_seconds",
        "dynamic",
        "effective",
        "family",
        "followers",
        "fqdn",
        "health",
        "id",
        "idle",
        "initial",
        "last_change",
        "line",
        "maxconn",
        "muxes",
        "name",
        "observer",
        "opening",
        "operation",
        "pinned",
        "port",
        "port_offset",
        "queue",
        "queue_index",
        "ramp",
        "running",
        "share",
        "slowstart",
        "source",
        "srv_record",
        "track",
        "transparent",
        "used",
        "weight",
    )

    def __init__(self, line: ServerLine, backend: Backend) -> None:
        self.line = line
        self.backend = backend
        self.name = line.name
        self.id = line.id
        self.initial = self.weight = line.weight
        self.maxconn = line.maxconn
        self.family = 0
        self.address: tuple[str, int] | tuple[str, int, int, int] | str | None = None
        name = line.address.host if line.address.family is Family.NAME else ""
        self.fqdn = "" if is_service(line.address) else name
        """The name its address comes from; of a server that SRV records made, their target."""
        self.srv_record = name if is_service(line.address) else ""
        """The name of SRV records that give it name, port and weight."""
        self.port = 0 if is_service(line.address) or line.address.offset else line.address.port
        """The port of its address, also while it has none."""
        self.source: tuple[str, int] | None = None
        self.port_offset: int | None = None
        self.opening: Opening | None = None
        self.transparent = False
        """It stands for wherever the client connected to (address 0.0.0.0)."""
        self.cookie: bytes | None = line.cookie.encode("latin-1") if line.cookie is not None else None
        self.admin = FMAINT | CMAINT if line.disabled else 0
        self.operation = STOPPED if line.disabled or line.init_state in ("down", "fully-down") else RUNNING
        self.check: Check | None = None
        if line.check:
            self.check = Check(line.rise, line.fall, line.inter)
            self.check.fastinter, self.check.downinter = line.fastinter, line.downinter
            self.check.address, self.check.port = line.check_address, line.check_port
        self.agent: Check | None = None
        if line.agent_check:
            self.agent = Check(1, 1, line.agent_inter)
            self.agent.address, self.agent.port = line.agent_address, line.agent_port
            self.agent.send = line.agent_send.encode("latin-1")
        self.observer: Observer | None = None
        self.health = self.check or Check(line.rise, line.fall)
        """Its check; where none is configured, what counts its health all the same: commands change it."""
        self.health.health = 0 if line.disabled else self.first_health()
        self.health.paused = line.disabled
        self.used = 0
        self.queue: deque[Waiting] = deque()
        self.queue_index = 0
        self.idle: list[Idle] = []
        self.muxes: list[Multiplexed] = []
        """Connections that carry many requests at once."""
        self.counters = Counters()
        self.track: Server | None = None
        """The server whose state this one takes over; `followers` are those that take over its own."""
        self.followers: list[Server] = []
        self.dynamic = False
        """Added by the runtime socket."""
        self.pinned = False
        """Something in the configuration names it: it can neither go nor be renamed."""
        self.last_change = 0.0
        """When its state changed last (the loop's seconds); `down_seconds` is how long it was down before that."""
        self.down_seconds = 0.0
        self.running = False
        self.effective = 0
        self.share = 0
        """The effective weight in sixteenths, which balancing goes by: a ramp is finer than weights are."""
        self.slowstart: Ramp | None = None
        self.ramp = RAMP
        """How many sixteenths of its weight it has while it is STARTING; `capacity` is its percentage of maxconn."""
        self.capacity = 100
        self.refresh()

    def first_health(self) -> int:
        """Where its health begins, also after maintenance: one failure away from down unless `init-state` says more."""
        health = self.health
        return {"fully-up": health.top, "down": health.rise - 1, "fully-down": 0}.get(self.line.init_state, health.rise)

    def refresh(self) -> None:
        """Recompute what follows from weight, health and administration."""
        self.running = self.operation != STOPPED and not self.admin & MAINT
        usable = self.running and self.operation != STOPPING and not self.admin & DRAIN
        if self.operation != STARTING:
            self.ramp, self.capacity = RAMP, 100
        self.share = self.weight * self.ramp if usable else 0
        # Rounded up: one that has a share has a weight.
        self.effective = -(-self.share // RAMP)

    @property
    def full(self) -> bool:
        """At its maxconn."""
        return 0 < self.limit() <= self.used

    def available(self) -> bool:
        """Nobody waits for it and it has a free slot; asked only of servers with a maxconn."""
        return not self.queue and self.used < self.limit()

    def limit(self) -> int:
        """The current limit of connections, between minconn and maxconn by the backend's load; 0 is none."""
        low, high = self.line.minconn, self.maxconn
        if high and low and low < high:
            full = self.backend.fullconn
            load = self.backend.counters.scur
            if load < full:
                high = max(low, load * high // full)
        if self.capacity < 100 and high:
            return max(1, high * self.capacity // 100)
        return high

    @property
    def via(self) -> str:
        """Whom it tracks, as logs and statistics write it."""
        return f"{self.track.backend.name}/{self.track.name}" if self.track is not None else ""

    def status(self) -> str:
        """The words of the statistics (management.txt, section 9.1, `status`; observed)."""
        if self.admin & RMAINT:
            return "MAINT (resolution)"
        if self.admin & IMAINT:
            return f"MAINT (via {self.via})"
        if self.admin & MAINT:
            return "MAINT"
        seen = self
        while seen.track is not None:
            seen = seen.track
        checked = seen.check is not None and seen.check.enabled
        minded = seen.agent is not None and seen.agent.enabled
        health = seen.health
        counted = f" {health.health - health.rise + 1}/{health.fall}" if checked and health.health < health.top else ""
        if self.operation == STOPPED:
            if minded and seen.agent is not None and not seen.agent.health:
                return "DOWN (agent)"
            if not health.health if checked else not minded:
                return "DOWN"
            return f"DOWN {health.health}/{health.rise}"
        if self.operation == STOPPING:
            return "NOLB" + counted
        if self.admin & DRAIN:
            return "DRAIN (agent)" if minded else "DRAIN" + counted
        return "UP" + counted if checked else "no check"
