"""HTTP/2 towards clients, sans-IO: the bytes of a connection become requests, answers become frames. HOT.

The `h2` library keeps the states, the windows and the header compression; what it would end a connection for although
one stream is to blame is taken from it (see `Engine`), and messages are judged by `h2head`. Frames are handed to it
one by one, so that what came before a broken one still counts, and so that each is accounted for.

A request that is one frame and has no body, as most are, goes past the library: of its stream there is a window to
keep, and how it ended (`_plain_request`). That is half of what HTTP/2 costs here (bench/README.md, race `h2`).

Rules of this module: any bytes give events, never an exception; a wrong request costs its stream, a wrong frame costs
the connection. What a client can make us keep is bounded: header blocks by `Limits`, bodies by the windows, frames
that ask for work and bring nothing by an allowance that comes back with time. The caller bounds `out` by not reading
while it is long.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

import h2.events
from h2.connection import _decode_headers
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from h2.stream import StreamClosedBy
from hyperframe.frame import GoAwayFrame

from trilb.http.h2engine import Engine
from trilb.http.h2events import Data, Event, Failed, Leaving, Opened, Rejected, Request, Reset, Trailers, Tuning
from trilb.http.h2head import Malformed, request_head, trailer_fields
from trilb.http.head import Field, Head, Refusal
from trilb.http.policy import Limits

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_DATA, _HEADERS, _PRIORITY, _RST, _SETTINGS, _PUSH, _PING, _GOAWAY, _WINDOW, _CONTINUATION = range(10)
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_WHOLE, _PRIORITIZED = _END_STREAM | _END_HEADERS, 0x20
_FRAME_HEAD = 9
_FRAME = struct.Struct(">HBBBI").pack
_WINDOW_MOST = (1 << 31) - 1
_ALLOWANCE = 1000.0
"""Frames that bring nothing (resets, pings, settings, empty data ...) a client may send in a row. Arbitrary: above
what a browser does when a page of images is left, and cheap enough for us."""
_ALLOWANCE_RATE = 50.0
"""How many of them come back each second. Arbitrary: more than any keep-alive ping needs."""
_ERROR_COST = 5.0
_SHARED_WINDOW = 131072
"""The most by which a stream's receive window grows above the initial one when it uploads."""


class _Open:
    """What is kept of a stream: the bytes its body may still have (-1: any), credit not given back, window lent.

    `plain`: the library knows nothing of it, `window` is how much may be sent on it.
    """

    __slots__ = ("credit", "ended", "left", "lent", "plain", "window")

    def __init__(self, left: int) -> None:
        self.left = left
        self.credit = 0
        self.lent = 0
        self.ended = False
        self.plain = False
        self.window = 0


class ServerConnection:
    """The server's end of an HTTP/2 connection.

    `out` is what to send; `glitches` counts what was odd (`fc_glitches`); `failed` that nothing more is read,
    `draining` that the client was asked to go elsewhere, `prefaced` that it did say it speaks HTTP/2.
    """

    def __init__(self, tuning: Tuning, limits: Limits) -> None:
        self.out = bytearray()
        self.glitches = 0
        self.failed = False
        self.draining = False
        self.leaving = False
        """No stream is accepted any more."""
        self.streams: dict[int, _Open] = {}
        self.accepted = 0
        self.highest = 0
        self._tuning = tuning
        self._limits = limits
        self._engine = Engine(tuning, limits)
        self._engine.update_settings(
            {
                SettingCodes.HEADER_TABLE_SIZE: tuning.header_table,
                SettingCodes.MAX_CONCURRENT_STREAMS: tuning.max_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: tuning.window,
                SettingCodes.MAX_FRAME_SIZE: tuning.frame_size,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.raw,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: int(tuning.websockets),
            }
        )
        self._buffer = b""
        self.prefaced = False
        self._last_call = sys.maxsize
        self._settled = False
        self._warm = False
        """The library has seen a request, and with it that the connection is in use."""
        self._widened = False
        self._block = 0
        self._in_block = False
        self._allowance = _ALLOWANCE
        self._refilled = 0.0
        self._updates = 64
        """WINDOW_UPDATEs that are free of charge: some for each frame of data we sent."""
        self._lendable = tuning.rxbuf * 7 // 8
        self._take_out()

    # -- from the client ------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take bytes that came at `now` (seconds of any clock); what they mean."""
        events: list[Event] = []
        if self.failed:
            return events
        self._allowance = min(_ALLOWANCE, self._allowance + (now - self._refilled) * _ALLOWANCE_RATE)
        self._refilled = now
        buffer = self._buffer + data if self._buffer else data
        at = 0
        try:
            if not self.prefaced:
                if not PREFACE.startswith(buffer[: len(PREFACE)]):
                    raise _Broken(ErrorCodes.PROTOCOL_ERROR, "not the HTTP/2 preface")
                if len(buffer) < len(PREFACE):
                    self._buffer = buffer
                    return events
                self.prefaced = True
                self._engine.receive_data(PREFACE)
                at = len(PREFACE)
            while len(buffer) - at >= _FRAME_HEAD:
                length = int.from_bytes(buffer[at : at + 3], "big")
                if length > self._engine.max_inbound_frame_size:
                    raise _Broken(ErrorCodes.FRAME_SIZE_ERROR, "frame too large")
                end = at + _FRAME_HEAD + length
                if end > len(buffer):
                    break
                self._frame(buffer[at:end], length, events)
                at = end
            self._buffer = buffer[at:]
        except _Broken as broken:
            self._fail(broken, events)
        self._take_out()
        return events

    def _frame(self, frame: bytes, length: int, events: list[Event]) -> None:
        kind, flags = frame[3], frame[4]
        stream = int.from_bytes(frame[5:9], "big") & 0x7FFFFFFF
        if not self._settled:
            if kind != _SETTINGS or flags & _ACK:
                raise _Broken(ErrorCodes.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._settled = True
        begun = self._in_block
        self._account(kind, flags, length, stream)
        if not begun:
            state = self.streams.get(stream)
            if state is not None:
                if state.plain and self._plain_frame(kind, frame, length, state, events):
                    return
            elif kind == _HEADERS and flags & ~_PRIORITIZED == _WHOLE:
                if self._warm and stream & 1 and self._plain_request(frame, stream, events):
                    return
            elif kind == _PING and length == 8 and not stream:
                if not flags & _ACK:
                    self._take_out()
                    self.out += b"\0\0\x08\x06\1\0\0\0\0" + frame[_FRAME_HEAD:]
                return
        if kind == _GOAWAY:
            # The library would send nothing more; but streams that run are to be answered.
            if stream or length < 8 or self._in_block:
                raise _Broken(ErrorCodes.PROTOCOL_ERROR, "malformed GOAWAY")
            events.append(Leaving(int.from_bytes(frame[13:17], "big")))
            return
        empty = kind == _WINDOW and length == 4 and not int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF
        if empty and stream in self.streams and not self._in_block:
            # A stream error (RFC 9113, 6.9), which the library takes for one of the connection.
            self._glitch(_ERROR_COST)
            self._drop(stream, ErrorCodes.PROTOCOL_ERROR)
            events.append(Reset(stream, ErrorCodes.PROTOCOL_ERROR, by_client=False))
            return
        try:
            found = self._engine.receive_data(frame)
        except ProtocolError as error:
            raise _Broken(error.error_code, str(error) or type(error).__name__, said=True) from None
        for event in found:
            self._event(event, length, events)

    def _account(self, kind: int, flags: int, length: int, stream: int) -> None:
        """Frames that bring something are free, others are paid for from the allowance. Raises _Broken."""
        cost = 0.0
        odd = kind <= _CONTINUATION and kind not in (_SETTINGS, _PING, _PRIORITY, _GOAWAY)
        if kind == _DATA:
            # Data under way when a stream was reset are no fault.
            odd = stream in self.streams
            cost = 0.0 if odd and (length or flags & _END_STREAM) else 1.0
        elif kind in (_HEADERS, _CONTINUATION):
            self._block = length if kind == _HEADERS else self._block + length
            self._in_block = not flags & _END_HEADERS
            if self._block > self._limits.raw + self._tuning.frame_size:
                raise _Broken(ErrorCodes.ENHANCE_YOUR_CALM, "header block too large")
            # Many small continuations are a flood, a long head in large ones is not.
            cost = 20.0 if kind == _CONTINUATION and length < 1024 and self._in_block else 0.0
        elif kind == _WINDOW:
            self._updates -= 1
            cost = 1.0 if self._updates < 0 else 0.0
        elif kind != _SETTINGS or not flags & _ACK:
            cost = 1.0
        if cost:
            self._glitch(cost, counted=odd)

    def _glitch(self, cost: float, *, counted: bool = True) -> None:
        self.glitches += counted
        self._allowance -= cost
        most = self._tuning.glitches
        if most and self.glitches * 4 >= most * 3:
            self.drain()
        if self._allowance < 0 or (most and self.glitches >= most):
            raise _Broken(ErrorCodes.ENHANCE_YOUR_CALM, "too many useless frames")

    def _event(self, event: h2.events.Event, size: int, events: list[Event]) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._warm = True
            number = event.stream_id
            assert number is not None
            fields = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
            self._request(number, fields, events, ended=event.stream_ended is not None)
        elif isinstance(event, h2.events.DataReceived):
            self._body(event, events)
        elif isinstance(event, h2.events.TrailersReceived):
            self._trailers(event, events)
        elif isinstance(event, h2.events.StreamReset):
            self._forget(event.stream_id)
            events.append(Reset(event.stream_id, int(event.error_code or 0), by_client=bool(event.remote_reset)))
        elif isinstance(event, h2.events.WindowUpdated):
            events.append(Opened(event.stream_id or 0))
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self._settings(event)
            events.append(Opened(0))

    def _settings(self, event: h2.events.RemoteSettingsChanged) -> None:
        wanted = event.changed_settings.get(SettingCodes.HEADER_TABLE_SIZE)
        if wanted is not None and wanted.new_value is not None:
            # What a client allows us to remember need not be used up.
            self._engine.encoder.header_table_size = min(wanted.new_value, self._tuning.header_table)
        window = event.changed_settings.get(SettingCodes.INITIAL_WINDOW_SIZE)
        if window is not None and window.new_value is not None:
            more = window.new_value - (window.original_value or 0)
            for state in self.streams.values():
                state.window += more
                if state.plain and state.window > _WINDOW_MOST:
                    raise _Broken(ErrorCodes.FLOW_CONTROL_ERROR, "window too large")

    def _plain_request(self, frame: bytes, number: int, events: list[Event]) -> bool:
        """A request in one frame and without a body: the library need not hear of it. Raises _Broken.

        Of a stream that is half closed from its beginning there is little to know: a window, and how it ended.
        """
        if number <= self._engine.highest_inbound_stream_id:
            return False
        at = _FRAME_HEAD
        if frame[4] & _PRIORITIZED:
            if len(frame) < at + 5 or int.from_bytes(frame[at : at + 4], "big") & 0x7FFFFFFF == number:
                return False
            at += 5
        found = self._decode(frame[at:])
        self._engine.highest_inbound_stream_id = number
        if self._engine.streams:
            self._engine.forget_closed()
        self._request(number, [(bytes(name), bytes(value)) for name, value in found], events, ended=True, plain=True)
        return True

    def _decode(self, block: bytes) -> Any:
        try:
            return _decode_headers(self._engine.decoder, block)
        except ProtocolError as error:
            # The library would have said so itself.
            raise _Broken(error.error_code, str(error) or type(error).__name__) from None

    def _plain_frame(self, kind: int, frame: bytes, length: int, state: _Open, events: list[Event]) -> bool:
        """A frame on a plain stream that is open; False where the library knows what to do about it. Raises _Broken."""
        number = int.from_bytes(frame[5:9], "big") & 0x7FFFFFFF
        if kind == _WINDOW and length == 4:
            more = int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF
            if not more:
                return False
            state.window += more
            if state.window > _WINDOW_MOST:
                self._drop(number, ErrorCodes.FLOW_CONTROL_ERROR)
                events.append(Reset(number, int(ErrorCodes.FLOW_CONTROL_ERROR), by_client=False))
            else:
                events.append(Opened(number))
            return True
        if kind == _RST and length == 4:
            self._over(number, StreamClosedBy.RECV_RST_STREAM)
            events.append(Reset(number, int.from_bytes(frame[9:13], "big"), by_client=True))
            return True
        if kind == _DATA:
            # It ended: the library resets what it does not know, and gives the connection's window back.
            self._over(number, StreamClosedBy.SEND_RST_STREAM)
            events.append(Reset(number, int(ErrorCodes.STREAM_CLOSED), by_client=False))
        elif kind == _HEADERS and frame[4] & ~_PRIORITIZED | _END_STREAM == _WHOLE:
            self._decode(frame[_FRAME_HEAD + (5 if frame[4] & _PRIORITIZED else 0) :])
            self._drop(number, ErrorCodes.STREAM_CLOSED)
            events.append(Reset(number, int(ErrorCodes.STREAM_CLOSED), by_client=False))
            return True
        return False

    def _over(self, number: int, how: StreamClosedBy) -> None:
        """A plain stream is over: what comes for it still is the library's to judge."""
        del self.streams[number]
        self._engine._closed_streams[number] = how

    def _request(
        self, number: int, fields: list[Field], events: list[Event], *, ended: bool, plain: bool = False
    ) -> None:
        self.highest = number
        if self.accepted >= self._last_call and not self.leaving:
            self.goaway()
        if len(self.streams) >= self._tuning.max_streams or self.leaving:
            self._glitch(1.0)
            self._reset(number, ErrorCodes.REFUSED_STREAM, plain=plain)
            return
        head: Head | None = None
        refusal: Refusal | None = None
        size = sum([len(name) + len(value) for name, value in fields])
        try:
            head = request_head(fields, self._limits, ended=ended)
        except Malformed:
            self._reset(number, ErrorCodes.PROTOCOL_ERROR, plain=plain)
            events.append(Rejected(number))
            self._glitch(_ERROR_COST)
            return
        except Refusal as caught:
            refusal = caught
            self._glitch(_ERROR_COST, counted=False)
        self.accepted += 1
        if self.accepted == self._tuning.total_streams:
            self.drain()
        length = -1 if head is None or head.chunked or head.upgrade or head.method == b"CONNECT" else head.length
        state = self.streams[number] = _Open(length)
        state.ended = ended
        if plain:
            state.plain = True
            state.window = self._engine.remote_settings.initial_window_size
        if not ended and (length < 0 or length > self._tuning.window):
            self._lend(number, state)
        events.append(Request(number, head, refusal, size, ended))

    def _lend(self, number: int, state: _Open) -> None:
        """A body comes: let its stream have more of the window, as long as others can have it too."""
        if not self._widened:
            self._widened = True
            spare = self._tuning.rxbuf + self._tuning.max_streams * self._tuning.window - 65535
            if spare > 0:
                self._engine.increment_flow_control_window(spare)
        state.lent = min(_SHARED_WINDOW, self._lendable // 2)
        if state.lent > 0:
            self._lendable -= state.lent
            self._engine.increment_flow_control_window(state.lent, number)

    def _body(self, event: h2.events.DataReceived, events: list[Event]) -> None:
        number, credit, ended = event.stream_id, event.flow_controlled_length or 0, event.stream_ended is not None
        assert number is not None
        state = self.streams.get(number)
        data = bytes(event.data or b"")
        if state is None:
            self._engine.acknowledge_received_data(credit, number)
            return
        state.credit += credit
        state.ended = ended
        if state.left >= 0:
            state.left -= len(data)
            if state.left < 0 or (ended and state.left):
                self._wrong_length(number, events)
                return
        events.append(Data(number, data, credit, ended))

    def _trailers(self, event: h2.events.TrailersReceived, events: list[Event]) -> None:
        number = event.stream_id
        assert number is not None
        state = self.streams.get(number)
        if state is None:
            return
        state.ended = True
        if state.left > 0:
            self._wrong_length(number, events)
            return
        try:
            fields = trailer_fields([(bytes(name), bytes(value)) for name, value in event.headers or ()])
        except Malformed:
            self._drop(number, ErrorCodes.PROTOCOL_ERROR)
            events.append(Reset(number, ErrorCodes.PROTOCOL_ERROR, by_client=False))
            self._glitch(_ERROR_COST)
            return
        events.append(Trailers(number, fields))

    def _wrong_length(self, number: int, events: list[Event]) -> None:
        self._drop(number, ErrorCodes.PROTOCOL_ERROR)
        events.append(Reset(number, ErrorCodes.PROTOCOL_ERROR, by_client=False))
        self._glitch(_ERROR_COST)

    # -- to the client --------------------------------------------------------------------------------------------

    def room(self, number: int) -> int:
        """How many bytes of a body the windows allow on a stream."""
        state = self.streams.get(number)
        if state is None:
            return 0
        if state.plain:
            return max(0, min(state.window, self._engine.outbound_flow_control_window))
        return max(0, self._engine.local_flow_control_window(number))

    def send_head(self, number: int, fields: list[Field], *, ended: bool) -> None:
        """Send a response head, an interim one, or trailers."""
        state = self.streams.get(number)
        if state is None or not state.plain:
            self._engine.send_headers(number, fields, end_stream=ended)
            self._sent(number, ended)
            return
        block = self._engine.encoder.encode(fields)
        most = self._engine.max_outbound_frame_size
        flags = _END_STREAM if ended else 0
        if len(block) <= most:
            self._frame_out(_HEADERS, flags | _END_HEADERS, number, block)
        else:
            self._frame_out(_HEADERS, flags, number, block[:most])
            for at in range(most, len(block), most):
                last = at + most >= len(block)
                self._frame_out(_CONTINUATION, _END_HEADERS if last else 0, number, block[at : at + most])
        if ended:
            self._over(number, StreamClosedBy.SEND_END_STREAM)

    def send_data(self, number: int, data: bytes | memoryview, *, ended: bool) -> None:
        """Send a piece of a body that fits into `room`."""
        most = self._engine.max_outbound_frame_size
        size = len(data)
        state = self.streams.get(number)
        self._updates = min(1024, self._updates + 4)
        if state is not None and state.plain:
            state.window -= size
            self._engine.outbound_flow_control_window -= size
            if size <= most:
                self._frame_out(_DATA, _END_STREAM if ended else 0, number, data)
            else:
                view = memoryview(data)
                for at in range(0, size, most):
                    last = ended and at + most >= size
                    self._frame_out(_DATA, _END_STREAM if last else 0, number, view[at : at + most])
            if ended:
                self._over(number, StreamClosedBy.SEND_END_STREAM)
            return
        if size <= most:
            self._engine.send_data(number, bytes(data), end_stream=ended)
        else:
            view = memoryview(data)
            for at in range(0, size, most):
                piece = bytes(view[at : at + most])
                self._engine.send_data(number, piece, end_stream=ended and at + most >= size)
        self._sent(number, ended)

    def _frame_out(self, kind: int, flags: int, number: int, payload: bytes | memoryview) -> None:
        out = self.out
        out += _FRAME(len(payload) >> 8, len(payload) & 255, kind, flags, number)
        out += payload

    def _sent(self, number: int, ended: bool) -> None:
        if ended:
            state = self.streams.get(number)
            if state is not None and not state.ended:
                # The answer is complete, what is left of the request is of no use (RFC 9113, 8.1).
                self._engine.reset_stream(number, ErrorCodes.NO_ERROR)
            self._forget(number)
        self._take_out()

    def consumed(self, number: int, credit: int) -> None:
        """Bytes of a body were used: the client may send as many again."""
        state = self.streams.get(number)
        if state is None or self.failed:
            return
        state.credit -= credit
        self._engine.acknowledge_received_data(credit, number)
        self._take_out()

    def reset(self, number: int, code: int) -> None:
        """Give a stream up, if it is open still."""
        if number in self.streams and not self.failed:
            self._drop(number, code)
            self._take_out()

    def _drop(self, number: int, code: int) -> None:
        self._reset(number, code, plain=self.streams[number].plain)
        self._forget(number)

    def _reset(self, number: int, code: int, *, plain: bool) -> None:
        if plain:
            self._frame_out(_RST, 0, number, int(code).to_bytes(4, "big"))
            self._engine._closed_streams[number] = StreamClosedBy.SEND_RST_STREAM
        else:
            self._engine.reset_stream(number, code)

    def _forget(self, number: int) -> None:
        """The stream is over; what it held of the connection's window goes back."""
        state = self.streams.pop(number, None)
        if state is None:
            return
        if state.plain:
            return
        self._lendable += state.lent
        if state.credit > 0:
            self._engine.acknowledge_received_data(state.credit, number)

    def drain(self) -> None:
        """Ask the client to open no more streams; those under way when it hears of it are served still."""
        if not self.failed and not self.draining:
            self._take_out()
            self.draining = True
            self._last_call = self.accepted + self._tuning.max_streams
            self.out += GoAwayFrame(0, last_stream_id=0x7FFFFFFF).serialize()

    def goaway(self, code: int = 0) -> None:
        """Say that no stream above the last one is served."""
        # Written by hand: the library sends nothing after a GOAWAY, but streams that run are to be answered.
        self._take_out()
        self.out += GoAwayFrame(0, last_stream_id=self.highest, error_code=code).serialize()
        self.draining = self.leaving = True

    def _fail(self, broken: _Broken, events: list[Event]) -> None:
        self._take_out()
        if self.prefaced and not broken.said:
            self.goaway(broken.code)
        self.failed = True
        self._buffer = b""
        events.append(Failed(broken.code, broken.reason, self.prefaced))

    def _take_out(self) -> None:
        if not self.failed:
            self.out += self._engine.data_to_send()


class _Broken(Exception):
    """The connection cannot go on: the code for GOAWAY, and why."""

    def __init__(self, code: int, reason: str, *, said: bool = False) -> None:
        super().__init__(reason)
        self.code = int(code)
        self.said = said
        """The library has written the GOAWAY."""
        self.reason = reason
