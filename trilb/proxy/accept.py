"""Accepting: one task a listening socket, errno policy, maxconn, and one task a session. HOT per connection."""

from __future__ import annotations

import _socket
import socket
import sys
import traceback
from contextlib import suppress

import trio

from trilb.base.ip import Packed
from trilb.config.model import Mode
from trilb.live.counters import Counters
from trilb.live.proxy import Frontend
from trilb.live.session import Session
from trilb.net.address import packed
from trilb.net.conn import Conn
from trilb.net.listen import ACCEPT_FULL, ACCEPT_GONE
from trilb.net.poller import Tasklet
from trilb.proxy.admit import admit
from trilb.proxy.http1 import Http1Session
from trilb.proxy.http2 import Http2Session
from trilb.proxy.plane import Plane
from trilb.proxy.tcp import TcpSession
from trilb.tls.conn import TlsConn
from trilb.tls.store import Binding

_BATCH = 16
"""Connections accepted in a row before others get a turn."""
_FULL_PAUSE = 0.1
"""Seconds to wait when the process is out of descriptors, as HAProxy does."""
_UNIX = b"\0\0\0\0"
_ANY = (bytes(4), bytes(16))
_TRANSPARENT = ((socket.SOL_IP, 19), (socket.IPPROTO_IPV6, 75))
"""IP_TRANSPARENT, IPV6_TRANSPARENT."""

AnySession = Http1Session | Http2Session | TcpSession


class Acceptor:
    """A listening socket at work for a frontend."""

    def __init__(
        self, plane: Plane, frontend: Frontend, sock: socket.socket, name: str, number: int, sessions: set[AnySession]
    ) -> None:
        self.plane = plane
        self.frontend = frontend
        self.sock = sock
        self.name = name
        self.number = number
        self.sessions = sessions
        self.unix = sock.family == socket.AF_UNIX
        self._family, self._type = int(sock.family), int(sock.type)
        self._local: tuple[Packed, int] | None = None
        """The address every connection here has on our side, where there is only one."""
        self.stopped = False
        self.most = 0
        self.accept_proxy = False
        self.binding: Binding | None = None
        self.proto = ""
        self.backlog = 1024
        self.counters: Counters | None = None
        self.current = 0
        self._reopened: trio.Event | None = None

    async def run(self, nursery: trio.Nursery) -> None:
        """Accept until cancelled or stopped; sessions run in `nursery`."""
        sock, plane = self.sock, self.plane
        self._prepare()
        while self._running():
            if self._reopened is not None:
                await self._reopened.wait()
                continue
            if self._saturated():
                await trio.sleep(0.01)
                continue
            try:
                await trio.lowlevel.wait_readable(sock)
            except (OSError, trio.ClosedResourceError):
                return
            plane.clock.refresh()
            for _ in range(_BATCH):
                if self._saturated():
                    break
                try:
                    # The same as sock.accept() without Python's class around it, which costs as much as the call.
                    number, peer = sock._accept()  # type: ignore[attr-defined]
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in ACCEPT_GONE:
                        continue
                    if self.paused:
                        break
                    if error.errno in ACCEPT_FULL:
                        await trio.sleep(_FULL_PAUSE)
                        break
                    if not self._running():
                        return
                    raise
                accepted = _socket.socket(self._family, self._type, 0, number)
                self._count()
                tasklet = Tasklet(plane.poller, nursery)
                tasklet.begin(self._session(accepted, peer, tasklet))

    def _prepare(self) -> None:
        """Let connections inherit what they are to be from their listening socket, and learn what they have alike."""
        sock = self.sock
        if self.unix:
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(self.frontend.plan.keepalive))
        for level, option in _TRANSPARENT:
            with suppress(OSError):
                if sock.getsockopt(level, option):
                    return
        name = sock.getsockname()
        address = packed(name[0])
        if address not in _ANY:
            self._local = address, name[1]

    async def _http(self, session: Session, conn: Conn, proto: str) -> Http1Session | Http2Session:
        """Who serves a client in mode http: told by the configuration, by what TLS agreed on, else by its preface."""
        if proto == "h2" or conn.alpn == b"h2":
            # It has a nursery, which belongs to a task.
            if conn.tasklet is not None:
                await conn.tasklet.home()
                conn.tasklet = None
            return Http2Session(self.plane, session, conn)
        upgrades = "h1" not in (proto, self.proto) and "disable-h2-upgrade" not in self.frontend.config.options
        return Http1Session(self.plane, session, conn, may_upgrade=upgrades)

    def _count(self) -> None:
        """Count a connection at once: its task may begin later than the next look at what may still come."""
        process, counters, now = self.plane.process, self.frontend.counters, self.plane.clock.now
        self.current += 1
        process.actconn += 1
        process.cum_conn += 1
        process.conn_rate.add(now)
        counters.arrive()
        counters.conn_tot += 1
        counters.conn_rate.add(now)

    def _uncount(self) -> None:
        self.current -= 1
        self.plane.process.actconn -= 1
        self.frontend.counters.scur -= 1

    def _running(self) -> bool:
        return not self.stopped

    def _saturated(self) -> bool:
        """Whether no more may come."""
        frontend, process = self.frontend, self.plane.process
        if self.most and self.current >= self.most:
            return True
        if process.limited and self._too_fast():
            return True
        full = frontend.maxconn and frontend.counters.scur >= frontend.maxconn
        return bool(full or (process.maxconn and process.actconn >= process.maxconn))

    def _too_fast(self) -> bool:
        """Whether one more connection this second would be above what the process may accept."""
        process = self.plane.process
        now = process.clock.refresh()
        most = min(limit for limit in (process.conn_limit, process.sess_limit, 1 << 31) if limit)
        if process.conn_rate.read(now) >= most:
            return True
        return bool(self.binding is not None and process.tls_limit and process.tls_rate.read(now) >= process.tls_limit)

    @property
    def paused(self) -> bool:
        """Whether it refuses connections for now."""
        return self._reopened is not None

    def pause(self) -> None:
        """Refuse connections until `resume`; who is connected stays. Raises OSError where the system cannot do it."""
        if self._reopened is None:
            if not self.unix:
                # A listening TCP socket that is shut down refuses, keeps its address and may listen again.
                self.sock.shutdown(socket.SHUT_RD)
            self._reopened = trio.Event()

    def resume(self) -> None:
        """Accept again. Raises OSError when another process has taken the address."""
        if self._reopened is not None:
            if not self.unix:
                self.sock.listen(self.backlog)
            self._reopened.set()
            self._reopened = None

    def stop(self) -> None:
        """Take no more connections."""
        self.stopped = True
        if self._reopened is not None:
            self._reopened.set()
        if self.sock.fileno() >= 0:
            # The next process may hold the same socket: closing alone would not end the wait for it.
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()

    async def _session(self, sock: _socket.socket, peer: object, tasklet: Tasklet) -> None:
        plane, frontend = self.plane, self.frontend
        clock, process = plane.clock, plane.process
        now = clock.now
        sock.setblocking(False)
        address, port = _UNIX, 0
        if isinstance(peer, tuple) and len(peer) >= 2 and not self.unix:
            address, port = packed(peer[0]), peer[1]
        session = Session(frontend, address, port)
        if self._local is not None:
            session.local, session.local_port = self._local
        elif not self.unix:
            try:
                local = sock.getsockname()
            except OSError:
                sock.close()
                self._uncount()
                return
            session.local, session.local_port = packed(local[0]), local[1]
        session.accepted = now
        session.accepted_wall = clock.wall
        session.listener_name, session.listener_id = self.name, self.number
        if self.counters is not None:
            session.listener = self.counters
            self.counters.enter(now)
        binding = self.binding
        conn = Conn(sock, plane.poller) if binding is None else TlsConn(sock, plane.poller)
        conn.tasklet = tasklet
        session.side = conn
        plan = frontend.plan
        guarded = binding is not None or self.accept_proxy or plan.on_connect is not None or plan.on_session is not None
        process.tls_now += binding is not None
        try:
            if not guarded or await admit(plane, session, conn, binding, accept_proxy=self.accept_proxy):
                frontend.counters.begin(clock.now)
                await self._serve(session, conn)
        except Exception:  # noqa: BLE001
            # A fault of ours in one session must not end the others: tell the operator, count it, close this one.
            process.faults += 1
            traceback.print_exc(file=sys.stderr)
        finally:
            if session.tracked is not None or session.carried is not None:
                for each in session.tracks(session.carried):
                    each.end(clock.now)
            conn.close()
            self._uncount()
            process.tls_now -= binding is not None
            if self.counters is not None:
                self.counters.scur -= 1

    async def _serve(self, session: Session, conn: Conn) -> None:
        served: AnySession
        if self.frontend.config.mode is not Mode.HTTP:
            served = TcpSession(self.plane, session, conn)
        else:
            served = await self._http(session, conn, self.proto)
        self.sessions.add(served)
        try:
            while await served.serve():
                # It turned out to speak HTTP, or HTTP/2: the bytes seen so far are in the connection's inbox.
                self.sessions.discard(served)
                if self.proto == "none":
                    # The socket carries bytes and nothing else.
                    return
                served = await self._http(session, conn, served.proto if isinstance(served, TcpSession) else "h2")
                self.sessions.add(served)
        finally:
            self.sessions.discard(served)
