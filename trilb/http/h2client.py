"""HTTP/2 towards servers, sans-IO: requests become frames, the bytes of a connection become responses. HOT.

The other half of `h2`, and of the same mind: any bytes give events, never an exception; a wrong response costs its
stream, a wrong frame the connection. Servers are trusted more than strangers, but what they can make us keep is
bounded all the same: header blocks by `Limits`, bodies by the windows.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import h2.events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from trilb.http.h2engine import PlainEncoder, unchecked
from trilb.http.h2head import Malformed, answer_fields, trailer_fields
from trilb.http.head import Field
from trilb.http.policy import Limits

_LAST_NUMBER = (1 << 31) - 3
_FRAME_HEAD = 9
_DATA, _HEADERS, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 4, 6, 7, 8, 9
_OF_STREAMS = frozenset((0, _HEADERS, 3, 8, _CONTINUATION))
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_ALLOWANCE = 2000.0
"""Frames that bring nothing (pings, settings, empty data, interim responses ...) a server may send in a row. Arbitrary:
twice what a client may; one frame that brings something makes up for one that does not."""
_ALLOWANCE_RATE = 100.0
"""How many of them come back each second. Arbitrary."""
_WINDOW_MOST = (1 << 31) - 1 - 65535


@dataclass(slots=True)
class Response:
    """A response head; an interim one when `status` is below 200."""

    stream: int
    status: int
    fields: list[Field]
    ended: bool


@dataclass(slots=True)
class Content:
    """Bytes of a body; `credit` is what to give back with `consumed` once they are used."""

    stream: int
    data: bytes
    credit: int
    ended: bool


@dataclass(slots=True)
class Trailers:
    """The end of a body, with fields behind it."""

    stream: int
    fields: list[Field]


@dataclass(slots=True)
class Gone:
    """The stream is over before its time.

    `unserved` says that the server did nothing of what was asked, `malformed` that its response was wrong.
    """

    stream: int
    code: int
    unserved: bool = False
    malformed: bool = False


@dataclass(slots=True)
class Opened:
    """More may be sent: on a stream, or (0) on all."""

    stream: int


@dataclass(slots=True)
class Failed:
    """The connection is beyond repair."""

    reason: str


Event = Response | Content | Trailers | Gone | Opened | Failed


class ClientConnection:
    """The client's end of an HTTP/2 connection.

    `out` is what to send; `settled` tells that the server's first SETTINGS came, `websockets` that it knows extended
    CONNECT (RFC 8441); `failed` that nothing goes any more, `leaving` that no new stream may be opened.
    """

    def __init__(self, limits: Limits, window: int, header_table: int, frame_size: int, max_streams: int = 100) -> None:
        self.out = bytearray()
        self.failed = self.leaving = self.settled = self.websockets = False
        self.streams: dict[int, bool] = {}
        """Open streams, with whether our side has ended."""
        self._half: set[int] = set()
        """Those of which the server's side has ended, and ours has not."""
        self._limits = limits
        self._most = max_streams
        self._header_table = header_table
        self._in_block = False
        self._buffer = b""
        self.frames = 0
        """How many came."""
        self._allowance = _ALLOWANCE
        self._refilled = 0.0
        self._updates = 64
        """WINDOW_UPDATEs that are free of charge: some for each frame of data we sent."""
        self._engine = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._engine.encoder = PlainEncoder()
        self._engine.decoder.max_header_list_size = 2 * limits.raw + 32 * 2 * limits.fields
        self._engine.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.HEADER_TABLE_SIZE: header_table,
                SettingCodes.INITIAL_WINDOW_SIZE: window,
                SettingCodes.MAX_FRAME_SIZE: frame_size,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.raw,
            },
        )
        self._engine.initiate_connection()
        self._window = min(max(window, 65535) * 16, _WINDOW_MOST)
        self._take_out()

    # -- requests ----------------------------------------------------------------------------------------------

    def room_for_one(self) -> bool:
        """May another stream be opened?"""
        if self.failed or self.leaving or self._engine.highest_outbound_stream_id >= _LAST_NUMBER:
            return False
        allowed = self._engine.remote_settings.max_concurrent_streams
        return len(self.streams) < min(allowed if allowed is not None else self._most, self._most)

    def open(self, fields: list[Field], *, ended: bool) -> int:
        """Send a request head; the number of its stream."""
        number = self._engine.get_next_available_stream_id()
        self._engine.send_headers(number, fields, end_stream=ended)
        # Lengths are compared by who reads the body; the library would end the connection.
        stream = self._engine.streams[number]
        stream._initialize_content_length = unchecked  # type: ignore[method-assign, assignment]
        stream._track_content_length = unchecked  # type: ignore[method-assign, assignment]
        self.streams[number] = ended
        self._take_out()
        return number

    def room(self, number: int) -> int:
        """How many bytes of a body the windows allow on a stream."""
        return max(0, self._engine.local_flow_control_window(number)) if number in self.streams else 0

    def send_data(self, number: int, data: bytes, *, ended: bool) -> None:
        """Send a piece of a body that fits into `room`."""
        if self.failed or self.streams.get(number, True):
            return  # nobody wants it any more
        most = self._engine.max_outbound_frame_size
        self._updates = min(1024, self._updates + 4)
        for at in range(0, len(data), most) if data else (0,):
            self._engine.send_data(number, data[at : at + most], end_stream=ended and at + most >= len(data))
        self._end(number, ended)

    def send_trailers(self, number: int, fields: list[Field]) -> None:
        """Send trailers, the end of the request."""
        if self.failed or self.streams.get(number, True):
            return
        self._engine.send_headers(number, fields, end_stream=True)
        self._end(number, True)

    def _end(self, number: int, ended: bool) -> None:
        if ended and number in self.streams:
            if number in self._half:
                self._forget(number)
            else:
                self.streams[number] = True
        self._take_out()

    def consumed(self, number: int, credit: int) -> None:
        """Bytes of a body were used: the server may send as many again."""
        if credit and not self.failed:
            with suppress(ProtocolError):  # the stream may be gone: then only the connection's window is given back
                self._engine.acknowledge_received_data(credit, number)
            self._take_out()

    def reset(self, number: int, code: int = ErrorCodes.CANCEL) -> None:
        """Give a stream up, if it is open still; where only our side is left, nobody is to blame."""
        if number in self._half:
            code = ErrorCodes.NO_ERROR
        if self._forget(number) and not self.failed:
            with suppress(ProtocolError):  # it may have ended on both sides in the meantime
                self._engine.reset_stream(number, code)
            self._take_out()

    def _forget(self, number: int) -> bool:
        self._half.discard(number)
        return self.streams.pop(number, None) is not None

    def ping(self) -> None:
        """Ask whether anybody is there."""
        if not self.failed:
            self._engine.ping(b"are you?")
            self._take_out()

    def goaway(self) -> None:
        """Say farewell: nothing goes any more."""
        if not self.failed:
            self._engine.close_connection()
            self._take_out()
            self.failed = True

    # -- from the server -----------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float = 0.0) -> list[Event]:
        """Take bytes that came at `now` (seconds of any clock); what they mean."""
        events: list[Event] = []
        if self.failed:
            return events
        self._allowance = min(_ALLOWANCE, self._allowance + (now - self._refilled) * _ALLOWANCE_RATE)
        self._refilled = now
        buffer = self._buffer + data if self._buffer else data
        at = 0
        try:
            while len(buffer) - at >= _FRAME_HEAD:
                end = at + _FRAME_HEAD + int.from_bytes(buffer[at : at + 3], "big")
                if end - at - _FRAME_HEAD > self._engine.max_inbound_frame_size:
                    raise ProtocolError("frame too large")
                if end > len(buffer):
                    break
                kind, flags = buffer[at + 3], buffer[at + 4]
                if not self.settled and (kind != _SETTINGS or flags & _ACK):
                    raise ProtocolError("the first frame is not SETTINGS")
                number = int.from_bytes(buffer[at + 5 : at + 9], "big") & 0x7FFFFFFF
                self.frames += 1
                self._account(kind, flags, end - at - _FRAME_HEAD)
                if kind == _PING and end - at == _FRAME_HEAD + 8 and not number and not self._in_block:
                    # The library takes ten times as long to say so.
                    if not flags & _ACK:
                        self._take_out()
                        self.out += b"\0\0\x08\x06\1\0\0\0\0" + buffer[at + _FRAME_HEAD : end]
                    at = end
                    continue
                if kind in (_HEADERS, _CONTINUATION):
                    self._in_block = not flags & _END_HEADERS
                if number and kind in _OF_STREAMS and self._idle(number):
                    raise ProtocolError("a frame on an idle stream")
                if kind == _GOAWAY:
                    if self._in_block or number:
                        raise ProtocolError("misplaced GOAWAY")
                    self._leave(buffer[at + _FRAME_HEAD : end], events)
                else:
                    for event in self._engine.receive_data(buffer[at:end]):
                        self._event(event, events)
                at = end
            self._buffer = buffer[at:]
        except ProtocolError as error:
            self._take_out()
            self.failed = True
            events.append(Failed(str(error) or type(error).__name__))
            return events
        self._take_out()
        return events

    def _account(self, kind: int, flags: int, length: int) -> None:
        """Frames that bring nothing are paid for from the allowance. Raises ProtocolError."""
        cost = 1.0
        if kind == _DATA:
            cost = 0.0 if length or flags & _END_STREAM else 1.0
        elif kind == _HEADERS:
            cost = 0.0
        elif kind == _CONTINUATION:
            # Many small continuations are a flood, a long head in large ones is not.
            cost = 20.0 if length < 1024 and not flags & _END_HEADERS else 0.0
        elif kind == _WINDOW:
            self._updates -= 1
            cost = 1.0 if self._updates < 0 else 0.0
        elif kind == _SETTINGS and flags & _ACK:
            cost = 0.0
        self._pay(cost)

    def _pay(self, cost: float) -> None:
        self._allowance += -cost if cost else 1.0
        if self._allowance < 0:
            raise ProtocolError("too many useless frames")

    def _idle(self, number: int) -> bool:
        return not number & 1 or number > self._engine.highest_outbound_stream_id

    def _event(self, event: h2.events.Event, events: list[Event]) -> None:
        if isinstance(event, (h2.events.ResponseReceived, h2.events.InformationalResponseReceived)):
            self._response(event, events)
        elif isinstance(event, h2.events.DataReceived):
            number, credit = event.stream_id or 0, event.flow_controlled_length or 0
            ended = event.stream_ended is not None
            if number not in self.streams:
                self.consumed(number, credit)
                return
            events.append(Content(number, bytes(event.data or b""), credit, ended))
            self._over(number, ended)
        elif isinstance(event, h2.events.TrailersReceived):
            number = event.stream_id or 0
            if number in self.streams:
                try:
                    events.append(Trailers(number, trailer_fields(_fields(event.headers))))
                except Malformed:
                    self._wrong(number, events)
                    return
                self._over(number, True)
        elif isinstance(event, h2.events.StreamReset):
            number = event.stream_id or 0
            if self._forget(number):
                code = int(event.error_code or 0)
                events.append(Gone(number, code, unserved=code == ErrorCodes.REFUSED_STREAM))
        elif isinstance(event, h2.events.WindowUpdated):
            events.append(Opened(event.stream_id or 0))
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.settled = True
            table = event.changed_settings.get(SettingCodes.HEADER_TABLE_SIZE)
            if table is not None and table.new_value is not None:
                # What a server allows us to remember need not be used up.
                self._engine.encoder.header_table_size = min(table.new_value, self._header_table)
            connect = event.changed_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL)
            if connect is not None:
                # Once said it stays said (RFC 8441, section 3).
                self.websockets = self.websockets or bool(connect.new_value)
            events.append(Opened(0))

    def _response(
        self, event: h2.events.ResponseReceived | h2.events.InformationalResponseReceived, events: list[Event]
    ) -> None:
        number = event.stream_id or 0
        if number not in self.streams:
            return
        ended = getattr(event, "stream_ended", None) is not None
        if isinstance(event, h2.events.InformationalResponseReceived):
            self._pay(2.0)
        try:
            status, fields = answer_fields(_fields(event.headers), self._limits)
        except Malformed:
            self._wrong(number, events)
            return
        if self._window:
            # Many bodies at once share the connection's window.
            self._engine.increment_flow_control_window(self._window)
            self._window = 0
        events.append(Response(number, status, fields, ended))
        self._over(number, ended)

    def _over(self, number: int, ended: bool) -> None:
        """The server's side has ended. Ours goes on until the caller has had enough: a tunnel has two directions."""
        if ended:
            if self.streams[number]:
                self._forget(number)
            else:
                self._half.add(number)

    def _wrong(self, number: int, events: list[Event]) -> None:
        self.reset(number, ErrorCodes.PROTOCOL_ERROR)
        events.append(Gone(number, int(ErrorCodes.PROTOCOL_ERROR), malformed=True))

    def _leave(self, payload: bytes, events: list[Event]) -> None:
        """GOAWAY: no new streams; those above the last one it names were not served, the others run on.

        The library is not told: it would neither send nor take anything more.
        """
        if len(payload) < 8:
            raise ProtocolError("malformed GOAWAY")
        self.leaving = True
        last, code = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF, int.from_bytes(payload[4:8], "big")
        for number in [number for number in self.streams if number > last]:
            self._forget(number)
            events.append(Gone(number, code, unserved=True))

    def _take_out(self) -> None:
        self.out += self._engine.data_to_send()


def _fields(found: object) -> list[Field]:
    return [(bytes(name), bytes(value)) for name, value in found or ()]  # type: ignore[attr-defined]
