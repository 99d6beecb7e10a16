"""One end of an HTTP/2 connection, sans-IO: frames become events, and what is sent becomes frames. HOT.

What `h2server` and `h2client` have in common. The `h2` library keeps the states, the windows and the header
compression; what it would end a connection for although one stream is to blame is taken from it (see `Engine`), and
messages are judged by `h2head`. Frames are handed to it one by one, so that what came before a broken one still counts,
and so that each is accounted for.

Rules: any bytes give events, never an exception; a wrong message costs its stream, a wrong frame the connection. What
the other end can make us keep is bounded: header blocks by `Limits`, bodies by the windows, frames that ask for work
and bring nothing by an allowance that comes back with time. The caller bounds `out` by not reading while it is long.
"""

from __future__ import annotations

import h2.events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from trilb.http.h2engine import Engine
from trilb.http.h2events import Data, Event, Failed, Opened, Reset, Trailers
from trilb.http.h2head import Malformed, trailer_fields
from trilb.http.head import Field
from trilb.http.policy import Limits

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
FRAME_HEAD = 9


class Broken(Exception):
    """The connection cannot go on: the code for GOAWAY, and why."""

    def __init__(self, code: int, reason: str, *, said: bool = False) -> None:
        super().__init__(reason)
        self.code = int(code)
        self.said = said
        """The library has written the GOAWAY."""
        self.reason = reason


class Open:
    """What is kept of a stream: `ended` when the other side has, `done` when ours has; what its body may still be.

    `left` are the bytes that may still come (-1: any), `credit` those not given back, `lent` what its window grew by.
    `plain`: the library knows nothing of it, `window` is how much may be sent on it.
    """

    __slots__ = ("credit", "done", "ended", "left", "lent", "plain", "window")

    def __init__(self, left: int = -1, *, ended: bool = False, done: bool = False) -> None:
        self.left = left
        self.credit = 0
        self.lent = 0
        self.ended = ended
        self.done = done
        self.plain = False
        self.window = 0


class Connection:
    """What both ends of a connection are.

    `out` is what to send; `prefaced` tells that the other end did say it speaks HTTP/2, `settled` that its first
    SETTINGS came; `leaving` that no new stream may begin, `failed` that nothing goes any more.
    """

    def __init__(self, engine: Engine, limits: Limits, header_table: int, *, allowance: float, rate: float) -> None:
        self.out = bytearray()
        self.prefaced = self.settled = self.leaving = self.failed = False
        self.streams: dict[int, Open] = {}
        self.highest = 0
        """The last stream that the other end began."""
        self._engine = engine
        self._limits = limits
        self._header_table = header_table
        self._buffer = b""
        self._in_block = False
        self._allowance = self._most_allowed = allowance
        self._rate = rate
        self._refilled = 0.0
        self._updates = 64
        """WINDOW_UPDATEs that are free of charge: some for each frame of data we sent."""

    # -- what comes ------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float = 0.0) -> list[Event]:
        """Take bytes that came at `now` (seconds of any clock); what they mean."""
        events: list[Event] = []
        if self.failed:
            return events
        self._allowance = min(self._most_allowed, self._allowance + (now - self._refilled) * self._rate)
        self._refilled = now
        buffer = self._buffer + data if self._buffer else data
        at = 0
        try:
            if not self.prefaced:
                if not PREFACE.startswith(buffer[: len(PREFACE)]):
                    raise Broken(ErrorCodes.PROTOCOL_ERROR, "not the HTTP/2 preface")
                if len(buffer) < len(PREFACE):
                    self._buffer = buffer
                    return events
                self.prefaced = True
                self._engine.receive_data(PREFACE)
                at = len(PREFACE)
            while len(buffer) - at >= FRAME_HEAD:
                length = int.from_bytes(buffer[at : at + 3], "big")
                if length > self._engine.max_inbound_frame_size:
                    raise Broken(ErrorCodes.FRAME_SIZE_ERROR, "frame too large")
                end = at + FRAME_HEAD + length
                if end > len(buffer):
                    break
                self._frame(buffer[at:end], length, events)
                at = end
            self._buffer = buffer[at:]
        except Broken as broken:
            self._fail(broken, events)
        self._take_out()
        return events

    def _frame(self, frame: bytes, length: int, events: list[Event]) -> None:
        kind, flags = frame[3], frame[4]
        number = int.from_bytes(frame[5:9], "big") & 0x7FFFFFFF
        if not self.settled:
            if kind != SETTINGS or flags & ACK:
                raise Broken(ErrorCodes.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self.settled = True
        begun = self._in_block
        if kind in (HEADERS, CONTINUATION):
            self._in_block = not flags & END_HEADERS
        self._account(kind, flags, length, number)
        if kind == GOAWAY:
            # The library would neither send nor take anything more; but streams that run are to be served.
            if number or length < 8 or begun:
                raise Broken(ErrorCodes.PROTOCOL_ERROR, "malformed GOAWAY")
            last = int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF
            self._goes(last, int.from_bytes(frame[13:17], "big"), events)
            return
        if not begun:
            if kind == PING and length == 8 and not number:
                # The library takes ten times as long to say so.
                if not flags & ACK:
                    self._take_out()
                    self.out += b"\0\0\x08\x06\1\0\0\0\0" + frame[FRAME_HEAD:]
                return
            if self._aside(frame, kind, number, events):
                return
        try:
            found = self._engine.receive_data(frame)
        except ProtocolError as error:
            raise Broken(error.error_code, str(error) or type(error).__name__, said=True) from None
        for event in found:
            self._event(event, events)

    def _account(self, kind: int, flags: int, length: int, number: int) -> None:
        """Frames that bring something are free, others are paid for from the allowance. Raises Broken."""
        raise NotImplementedError

    def _goes(self, last: int, code: int, events: list[Event]) -> None:
        """The other end sent GOAWAY: it serves no stream above the last one that it names."""
        raise NotImplementedError

    def _aside(self, frame: bytes, kind: int, number: int, events: list[Event]) -> bool:
        """Deal with a frame that is not for the library; False when it is. Raises Broken."""
        raise NotImplementedError

    def _head(self, event: h2.events.Event, events: list[Event]) -> None:
        """The head of a message came."""
        raise NotImplementedError

    def _cost(self, kind: int, flags: int, length: int) -> float:
        """What a frame costs that brings nothing, 0 for others."""
        if kind == DATA:
            return 0.0 if length or flags & END_STREAM else 1.0
        if kind == HEADERS:
            return 0.0
        if kind == CONTINUATION:
            # Many small continuations are a flood, a long head in large ones is not.
            return 20.0 if length < 1024 and not flags & END_HEADERS else 0.0
        if kind == WINDOW:
            self._updates -= 1
            return 1.0 if self._updates < 0 else 0.0
        return 0.0 if kind == SETTINGS and flags & ACK else 1.0

    def _event(self, event: h2.events.Event, events: list[Event]) -> None:
        if isinstance(event, h2.events.DataReceived):
            self._body(event, events)
        elif isinstance(event, h2.events.WindowUpdated):
            events.append(Opened(event.stream_id or 0))
        elif isinstance(event, h2.events.TrailersReceived):
            self._trailers(event, events)
        elif isinstance(event, h2.events.StreamReset):
            if self._forget(event.stream_id):
                code, by_peer = int(event.error_code or 0), bool(event.remote_reset)
                unserved = by_peer and code == ErrorCodes.REFUSED_STREAM
                events.append(Reset(event.stream_id, code, by_peer, unserved))
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self._settings(event)
            events.append(Opened(0))
        else:
            self._head(event, events)

    def _settings(self, event: h2.events.RemoteSettingsChanged) -> None:
        table = event.changed_settings.get(SettingCodes.HEADER_TABLE_SIZE)
        if table is not None and table.new_value is not None:
            # What the other end allows us to remember need not be used up.
            self._engine.encoder.header_table_size = min(table.new_value, self._header_table)

    def _body(self, event: h2.events.DataReceived, events: list[Event]) -> None:
        number, credit, ended = event.stream_id or 0, event.flow_controlled_length or 0, event.stream_ended is not None
        state = self.streams.get(number)
        data = bytes(event.data or b"")
        if state is None:
            self._engine.acknowledge_received_data(credit, number)
            return
        state.credit += credit
        if state.left >= 0:
            state.left -= len(data)
            if state.left < 0 or (ended and state.left):
                self._wrong(number, events)
                return
        events.append(Data(number, data, credit, ended))
        if ended:
            self._ended(number, state)

    def _trailers(self, event: h2.events.TrailersReceived, events: list[Event]) -> None:
        number = event.stream_id or 0
        state = self.streams.get(number)
        if state is None:
            return
        try:
            fields = trailer_fields(plain_fields(event.headers))
        except Malformed:
            self._wrong(number, events)
            return
        if state.left > 0:
            self._wrong(number, events)
            return
        events.append(Trailers(number, fields))
        self._ended(number, state)

    def _ended(self, number: int, state: Open) -> None:
        """The other side has ended. Ours goes on until the caller has had enough: a tunnel has two directions."""
        state.ended = True
        if state.done:
            self._forget(number)

    def _wrong(self, number: int, events: list[Event]) -> None:
        """A message was wrong: give its stream up."""
        self._drop(number, ErrorCodes.PROTOCOL_ERROR)
        events.append(Reset(number, int(ErrorCodes.PROTOCOL_ERROR), by_peer=False))

    # -- what goes ---------------------------------------------------------------------------------------------------

    def room(self, number: int) -> int:
        """How many bytes of a body the windows allow on a stream."""
        state = self.streams.get(number)
        if state is None:
            return 0
        if state.plain:
            return max(0, min(state.window, self._engine.outbound_flow_control_window))
        return max(0, self._engine.local_flow_control_window(number))

    def send_data(self, number: int, data: bytes | memoryview, *, ended: bool) -> None:
        """Send a piece of a body that fits into `room`; nothing where our side has ended."""
        state = self.streams.get(number)
        if state is None or state.done or self.failed:
            return
        self._updates = min(1024, self._updates + 4)
        most = self._engine.max_outbound_frame_size
        size = len(data)
        if size <= most:
            self._data(number, state, data, ended)
        else:
            view = memoryview(data)
            for at in range(0, size, most):
                self._data(number, state, view[at : at + most], ended and at + most >= size)
        self._sent(number, state, ended)

    def _data(self, number: int, state: Open, data: bytes | memoryview, ended: bool) -> None:
        """Send a frame of a body."""
        self._engine.send_data(number, bytes(data), end_stream=ended)

    def _sent(self, number: int, state: Open, ended: bool) -> None:
        """Something was sent; our side may have ended with it."""
        raise NotImplementedError

    def consumed(self, number: int, credit: int) -> None:
        """Bytes of a body were used: the other end may send as many again."""
        raise NotImplementedError

    def reset(self, number: int, code: int = ErrorCodes.CANCEL) -> None:
        """Give a stream up, if it is open still."""
        if number in self.streams and not self.failed:
            self._drop(number, code)
            self._take_out()

    def _drop(self, number: int, code: int) -> None:
        raise NotImplementedError

    def _forget(self, number: int) -> bool:
        """A stream is over; was it open?"""
        return self.streams.pop(number, None) is not None

    def goaway(self, code: int = 0) -> None:
        """Say that no stream above the last one is served."""
        # Written by hand: the library sends nothing after a GOAWAY, but streams that run are to be answered.
        if not self.failed:
            self._take_out()
            self.out += GoAwayFrame(0, last_stream_id=self.highest, error_code=code).serialize()
            self.leaving = True

    def _fail(self, broken: Broken, events: list[Event]) -> None:
        self._take_out()
        if self.prefaced and not broken.said:
            self.goaway(broken.code)
        self.failed = True
        self._buffer = b""
        events.append(Failed(broken.code, broken.reason))

    def _take_out(self) -> None:
        if not self.failed:
            self.out += self._engine.data_to_send()


def plain_fields(found: object) -> list[Field]:
    """Fields as the library gives them, as ours: pairs of bytes."""
    return [(bytes(name), bytes(value)) for name, value in found or ()]  # type: ignore[attr-defined]
