"""An HTTP/2 server for tests, made with the library: a thread reads each connection, one more answers each request."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from tests.support.h2wire import frame
from tests.support.ports import free_port

Field = tuple[bytes, bytes]
Act = Callable[["Asked"], None]
_WAIT = 10.0


class Over(Exception):
    """The stream or the connection ended while something was to be sent."""


class Asked:
    """A request on a connection, and the way to answer it."""

    def __init__(self, peer: Peer, number: int, fields: list[Field]) -> None:
        """Begin with its head."""
        self.peer = peer
        self.number = number
        self.fields = fields
        self.body = b""
        self.trailers: list[Field] = []
        self.ended = False
        self.reset: int | None = None

    def get(self, name: bytes) -> bytes:
        """The first value of a field, b"" without."""
        return next((value for key, value in self.fields if key == name), b"")

    @property
    def path(self) -> bytes:
        """The path without its query."""
        return self.get(b":path").partition(b"?")[0]

    def wait(self, until: Callable[[], bool], timeout: float = _WAIT) -> bool:
        """Wait until a condition holds, or the connection is over; whether it holds."""
        changed = self.peer.changed
        with changed:
            changed.wait_for(lambda: until() or self.peer.closed, timeout)
            return until()

    def whole(self) -> bytes:
        """The body, once all of it is here."""
        self.wait(lambda: self.ended or self.reset is not None)
        return self.body

    def head(self, *fields: Field, status: int = 200, end: bool = False) -> None:
        """Send a head."""
        self._do(lambda h2: h2.send_headers(self.number, [(b":status", b"%d" % status), *fields], end_stream=end))

    def trail(self, *fields: Field) -> None:
        """Send trailers."""
        self._do(lambda h2: h2.send_headers(self.number, fields, end_stream=True))

    def data(self, data: bytes, *, end: bool = False) -> None:
        """Send a body's bytes, as the windows allow."""
        h2 = self.peer.h2
        while data or end:
            room = 1
            if data:
                self.wait(lambda: self.reset is not None or h2.local_flow_control_window(self.number) > 0)
                if self.reset is not None or self.peer.closed:
                    raise Over
                room = min(h2.local_flow_control_window(self.number), h2.max_outbound_frame_size)
            piece, data = data[:room], data[room:]
            last = end and not data
            self._do(partial(self._piece, piece, last))
            if last:
                return

    def _piece(self, piece: bytes, last: bool, h2: H2Connection) -> None:
        h2.send_data(self.number, piece, end_stream=last)

    def pad(self) -> None:
        """Send DATA of nothing but padding."""
        self._do(lambda h2: h2.send_data(self.number, b"", pad_length=255))

    def answer(self, body: bytes = b"ok", *fields: Field, status: int = 200) -> None:
        """Send a head with a length, and a body."""
        self.head((b"content-length", b"%d" % len(body)), *fields, status=status, end=not body)
        if body:
            self.data(body, end=True)

    def give_up(self, code: int) -> None:
        """Send RST_STREAM."""
        self._do(lambda h2: h2.reset_stream(self.number, code))

    def _do(self, act: Callable[[H2Connection], object]) -> None:
        with self.peer.changed:
            try:
                act(self.peer.h2)
            except ProtocolError:
                raise Over from None
            self.peer.flush()


class Peer:
    """A connection to the server."""

    def __init__(self, origin: H2Origin, sock: socket.socket) -> None:
        """Say hello."""
        self.origin = origin
        self.sock = sock
        self.streams: dict[int, Asked] = {}
        self.changed = threading.Condition(threading.RLock())
        self.closed = False
        self.goaways: list[int] = []
        self.pings = 0
        self.h2 = H2Connection(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        for code, value in origin.settings.items():
            self.h2.local_settings[code] = value
        if origin.settings:
            self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        """Send what the library wrote."""
        with self.changed:
            self.raw(self.h2.data_to_send())

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        with self.changed, contextlib.suppress(OSError):
            self.sock.sendall(data)

    def goaway(self, last: int, code: int = 0) -> None:
        """Say that nothing above `last` is served."""
        self.raw(frame(7, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big")))

    def close(self) -> None:
        """Close."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        """Read until the end."""
        while True:
            try:
                data = self.sock.recv(65536)
            except OSError:
                data = b""
            with self.changed:
                if not data:
                    self.closed = True
                    self.changed.notify_all()
                    return
                try:
                    events = self.h2.receive_data(data)
                except ProtocolError as error:
                    self.origin.errors.append(repr(error))
                    self.flush()
                    self.closed = True
                    self.changed.notify_all()
                    self.close()
                    return
                for event in events:
                    self._event(event)
                self.flush()
                self.changed.notify_all()

    def _event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            assert event.stream_id
            asked = Asked(self, event.stream_id, [(bytes(n), bytes(v)) for n, v in event.headers or ()])
            self.streams[event.stream_id] = asked
            self.origin.took(asked)
            return
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append(int(event.error_code or 0))
            return
        if isinstance(event, h2.events.PingReceived):
            self.pings += 1
            return
        found = self.streams.get(getattr(event, "stream_id", 0) or 0)
        if found is None:
            return
        if isinstance(event, h2.events.DataReceived):
            found.body += bytes(event.data or b"")
            if self.origin.auto:
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, found.number)
        elif isinstance(event, h2.events.TrailersReceived):
            found.trailers = [(bytes(n), bytes(v)) for n, v in event.headers or ()]
        elif isinstance(event, h2.events.StreamEnded):
            found.ended = True
        elif isinstance(event, h2.events.StreamReset):
            found.reset = int(event.error_code or 0)


def plain(asked: Asked) -> None:
    """Answer `ok` once the request is whole."""
    asked.whole()
    asked.answer(asked.peer.origin.name.encode())


class H2Origin:
    """A server on 127.0.0.1; `asked` are the requests of all connections, `errors` what clients did wrong."""

    def __init__(
        self,
        act: Act | None = None,
        *,
        name: str = "s1",
        port: int = 0,
        settings: dict[SettingCodes, int] | None = None,
        auto: bool = True,
        tls: ssl.SSLContext | None = None,
        receive_buffer: int = 0,
    ) -> None:
        """Listen at once; without `auto` windows are not given back."""
        self.act = act or plain
        self.name = name
        self.port = port or free_port()
        self.settings = settings or {}
        self.auto = auto
        self.tls = tls
        self.peers: list[Peer] = []
        self.asked: list[Asked] = []
        self.errors: list[str] = []
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Stop."""
        self.stop()
        assert not self.errors or kind is not None, self.errors

    def stop(self) -> None:
        """Close every socket; the port refuses afterwards."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for peer in list(self.peers):
            peer.close()

    def wait(self, count: int = 1, timeout: float = 5.0) -> list[Asked]:
        """The requests, as soon as there are at least `count`."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.asked) >= count, timeout):
                raise AssertionError(f"{self.name}: {len(self.asked)} of {count} requests")
            return list(self.asked)

    def took(self, asked: Asked) -> None:
        """A request began."""
        with self.changed:
            self.asked.append(asked)
            self.changed.notify_all()
        threading.Thread(target=self._answer, args=(asked,), daemon=True).start()

    def _answer(self, asked: Asked) -> None:
        with contextlib.suppress(Over):
            self.act(asked)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
            peer = Peer(self, sock)
            with self.changed:
                self.peers.append(peer)
                self.changed.notify_all()
            peer.run()
        sock.close()
