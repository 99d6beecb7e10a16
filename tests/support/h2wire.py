"""A small HTTP/2 client for tests: it sends whatever it is told to, and says exactly what came back."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

Fields = Sequence[tuple[bytes, bytes]]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes.fromhex("000000040000000000")


def get(path: bytes = b"/", *more: tuple[bytes, bytes], method: bytes = b"GET", host: bytes = b"a") -> Fields:
    """The fields of a plain request."""
    return [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", host), *more]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame, however wrong."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


@dataclass
class Got:
    """What came on a stream. `reset` is the code of RST_STREAM, `ended` that it came to its end."""

    status: int = 0
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    reset: int | None = None
    ended: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.ended or self.reset is not None

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field."""
        return next((value for key, value in self.fields if key == name), None)


class H2Client:
    """A connection. `goaways` are (last stream, code); `closed` that the server ended it."""

    def __init__(
        self,
        port: int,
        *,
        start: bool = True,
        auto: bool = True,
        strict: bool = True,
        window: int | None = None,
        timeout: float = 5.0,
    ) -> None:
        """Connect; with `start`, say hello.

        Without `auto` windows are not given back, without `strict` frames that the library does not expect are
        skipped; `window` is the initial one.
        """
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.timeout = timeout
        self.auto = auto
        self.strict = strict
        self.streams: dict[int, Got] = {}
        self.goaways: list[tuple[int, int]] = []
        self.windows: list[tuple[int, int]] = []
        self.closed = False
        self.pings = 0
        self._unread = b""
        self.h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        if start:
            if window is not None:
                self.h2.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = window
                self.h2.local_settings.acknowledge()
            self.h2.initiate_connection()
            self.flush()

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Close."""
        self.sock.close()

    def flush(self) -> None:
        """Send what the library wrote."""
        self.raw(self.h2.data_to_send())

    def raw(self, data: bytes) -> None:
        """Send bytes as they are; a server that has closed is no error here."""
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(data)

    def begin(self, fields: Fields, *, end: bool = True) -> int:
        """Send HEADERS on a new stream; its number."""
        number = self.h2.get_next_available_stream_id()
        self.streams[number] = Got()
        self.h2.send_headers(number, fields, end_stream=end)
        self.flush()
        return number

    def data(self, number: int, data: bytes, *, end: bool = False) -> None:
        """Send a body's bytes, as the windows allow."""
        while data or end:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if data and not room:
                self.pump(lambda: self.h2.local_flow_control_window(number) > 0 or self.streams[number].over)
                if self.streams[number].over:
                    return
                continue
            piece, data = data[:room], data[room:]
            self.h2.send_data(number, piece, end_stream=end and not data)
            self.flush()
            if end and not data:
                return

    def trailers(self, number: int, fields: Fields) -> None:
        """End a stream with fields."""
        self.h2.send_headers(number, fields, end_stream=True)
        self.flush()

    def reset(self, number: int, code: int = 8) -> None:
        """Give a stream up."""
        self.h2.reset_stream(number, code)
        self.flush()

    def pump(self, until: Callable[[], bool], timeout: float | None = None) -> bool:
        """Read until a condition holds, the server closed or the time is over; whether it holds."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while not until():
            left = deadline - time.monotonic()
            if left <= 0 or self.closed:
                return until()
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            if not data:
                self.closed = True
                continue
            self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        self._unread += data
        while len(self._unread) >= (size := 9 + int.from_bytes(self._unread[:3], "big")):
            one, self._unread = self._unread[:size], self._unread[size:]
            try:
                events = self.h2.receive_data(one)
            except ProtocolError as error:
                if not self.strict:
                    continue
                raise AssertionError(f"the server broke the protocol: {error!r} in {one[:200]!r}") from error
            for event in events:
                self._event(event)
        self.flush()

    def _event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append((event.last_stream_id or 0, int(event.error_code or 0)))
            # The library takes a GOAWAY for the end; streams that run go on.
            self.h2.state_machine.state = type(self.h2.state_machine.state).CLIENT_OPEN
            return
        if isinstance(event, h2.events.PingAckReceived):
            self.pings += 1
            return
        if isinstance(event, h2.events.WindowUpdated):
            self.windows.append((event.stream_id or 0, event.delta or 0))
            return
        got = self.streams.setdefault(getattr(event, "stream_id", 0) or 0, Got())
        if isinstance(event, h2.events.InformationalResponseReceived):
            got.interim.append(int(dict(_plain(event.headers))[b":status"]))
        elif isinstance(event, h2.events.ResponseReceived):
            fields = _plain(event.headers)
            got.status, got.fields = int(fields[0][1]), fields[1:]
        elif isinstance(event, h2.events.DataReceived):
            got.body += bytes(event.data or b"")
            if self.auto and event.stream_id:
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            got.trailers = _plain(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            got.ended = True
        elif isinstance(event, h2.events.StreamReset):
            got.reset = int(event.error_code or 0)

    def finish(self, number: int, timeout: float | None = None) -> Got:
        """Read until a stream is over; fails when that does not come."""
        got = self.streams[number]
        assert self.pump(lambda: got.over, timeout), f"stream {number} is not over: {got!r}"
        return got

    def ask(self, fields: Fields, body: bytes | None = None) -> Got:
        """One request and its answer."""
        number = self.begin(fields, end=body is None)
        if body is not None:
            self.data(number, body, end=True)
        return self.finish(number)

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Read until the server closes; whether it did."""
        self.pump(lambda: self.closed, timeout)
        return self.closed


def _plain(headers: object) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in headers or ()]  # type: ignore[attr-defined]
