"""HTTP/2 towards clients, sans-IO: the bytes of a connection become requests, answers become frames. HOT.

What is of clients only: what they may ask for and how often, and whose body gets how much of the window. A request that
is one frame and has no body, as most are, goes past the library: of its stream there is a window to keep, and how it
ended (`_plain_request`). That is half of what HTTP/2 costs here (bench/README.md, race `h2`).
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

from trilb.http.h2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEAD,
    GOAWAY,
    HEADERS,
    PING,
    PRIORITY,
    RST,
    SETTINGS,
    WINDOW,
    Broken,
    Connection,
    Open,
    plain_fields,
)
from trilb.http.h2decode import decode
from trilb.http.h2engine import Engine
from trilb.http.h2events import Event, Leaving, Opened, Rejected, Request, Reset, Tuning
from trilb.http.h2head import Malformed, request_head
from trilb.http.head import Field, Head, Refusal
from trilb.http.policy import Limits

_WHOLE, _PRIORITIZED = END_STREAM | END_HEADERS, 0x20
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


class ServerConnection(Connection):
    """The server's end of an HTTP/2 connection.

    `glitches` counts what was odd (`fc_glitches`), `accepted` requests; `draining` tells that the client was asked to
    go elsewhere.
    """

    def __init__(self, tuning: Tuning, limits: Limits) -> None:
        engine = Engine(limits, client_side=False)
        super().__init__(engine, limits, tuning.header_table, allowance=_ALLOWANCE, rate=_ALLOWANCE_RATE)
        self.glitches = 0
        self.draining = False
        self.accepted = 0
        self._tuning = tuning
        self._last_call = sys.maxsize
        self._warm = False
        """The library has seen a request, and with it that the connection is in use."""
        self._widened = False
        self._block = 0
        self._lendable = tuning.rxbuf * 7 // 8
        engine.update_settings(
            {
                SettingCodes.HEADER_TABLE_SIZE: tuning.header_table,
                SettingCodes.MAX_CONCURRENT_STREAMS: tuning.max_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: tuning.window,
                SettingCodes.MAX_FRAME_SIZE: tuning.frame_size,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.raw,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: int(tuning.websockets),
            }
        )
        self._take_out()

    # -- from the client ------------------------------------------------------------------------------------------

    def _account(self, kind: int, flags: int, length: int, number: int) -> None:
        odd = kind <= CONTINUATION and kind not in (SETTINGS, PING, PRIORITY, GOAWAY)
        cost = self._cost(kind, flags, length)
        if kind == DATA:
            # Data under way when a stream was reset are no fault.
            odd = number in self.streams
            cost = cost if odd else 1.0
        elif kind in (HEADERS, CONTINUATION):
            self._block = length if kind == HEADERS else self._block + length
            if self._block > self._limits.raw + self._tuning.frame_size:
                raise Broken(ErrorCodes.ENHANCE_YOUR_CALM, "header block too large")
        if cost:
            self._glitch(cost, counted=odd)

    def _glitch(self, cost: float, *, counted: bool = True) -> None:
        self.glitches += counted
        self._allowance -= cost
        most = self._tuning.glitches
        if most and self.glitches * 4 >= most * 3:
            self.drain()
        if self._allowance < 0 or (most and self.glitches >= most):
            raise Broken(ErrorCodes.ENHANCE_YOUR_CALM, "too many useless frames")

    def _goes(self, last: int, code: int, events: list[Event]) -> None:
        events.append(Leaving(code))

    def _aside(self, frame: bytes, kind: int, number: int, events: list[Event]) -> bool:
        state = self.streams.get(number)
        if state is None:
            whole = kind == HEADERS and frame[4] & ~_PRIORITIZED == _WHOLE
            return whole and self._warm and number & 1 == 1 and self._plain_request(frame, number, events)
        if state.plain and self._plain_frame(kind, frame, number, state, events):
            return True
        if kind == WINDOW and len(frame) == FRAME_HEAD + 4 and not int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF:
            # A stream error (RFC 9113, 6.9), which the library takes for one of the connection.
            self._wrong(number, events)
            return True
        return False

    def _head(self, event: h2.events.Event, events: list[Event]) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._warm = True
            self._request(event.stream_id or 0, plain_fields(event.headers), events, event.stream_ended is not None)

    def _settings(self, event: h2.events.RemoteSettingsChanged) -> None:
        super()._settings(event)
        window = event.changed_settings.get(SettingCodes.INITIAL_WINDOW_SIZE)
        if window is not None and window.new_value is not None:
            more = window.new_value - (window.original_value or 0)
            for state in self.streams.values():
                state.window += more
                if state.plain and state.window > _WINDOW_MOST:
                    raise Broken(ErrorCodes.FLOW_CONTROL_ERROR, "window too large")

    def _plain_request(self, frame: bytes, number: int, events: list[Event]) -> bool:
        """A request in one frame and without a body: the library need not hear of it. Raises Broken.

        Of a stream that is half closed from its beginning there is little to know: a window, and how it ended.
        """
        if number <= self._engine.highest_inbound_stream_id:
            return False
        at = FRAME_HEAD
        if frame[4] & _PRIORITIZED:
            if len(frame) < at + 5 or int.from_bytes(frame[at : at + 4], "big") & 0x7FFFFFFF == number:
                return False
            at += 5
        block = frame[at:]
        fields = decode(self._engine.decoder, block)
        if fields is None:
            fields = plain_fields(self._decode(block))
        self._engine.highest_inbound_stream_id = number
        if self._engine.streams:
            self._engine.forget_closed()
        self._request(number, fields, events, ended=True, plain=True)
        return True

    def _decode(self, block: bytes) -> Any:
        try:
            return _decode_headers(self._engine.decoder, block)
        except ProtocolError as error:
            # The library would have said so itself.
            raise Broken(error.error_code, str(error) or type(error).__name__) from None

    def _plain_frame(self, kind: int, frame: bytes, number: int, state: Open, events: list[Event]) -> bool:
        """A frame on a plain stream that is open; False where the library knows what to do about it. Raises Broken."""
        length = len(frame) - FRAME_HEAD
        if kind == WINDOW and length == 4:
            more = int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF
            if not more:
                return False
            state.window += more
            if state.window > _WINDOW_MOST:
                self._drop(number, ErrorCodes.FLOW_CONTROL_ERROR)
                events.append(Reset(number, int(ErrorCodes.FLOW_CONTROL_ERROR), by_peer=False))
            else:
                events.append(Opened(number))
            return True
        if kind == RST and length == 4:
            self._over(number, StreamClosedBy.RECV_RST_STREAM)
            events.append(Reset(number, int.from_bytes(frame[9:13], "big"), by_peer=True))
            return True
        if kind == DATA:
            # It ended: the library resets what it does not know, and gives the connection's window back.
            self._over(number, StreamClosedBy.SEND_RST_STREAM)
            events.append(Reset(number, int(ErrorCodes.STREAM_CLOSED), by_peer=False))
        elif kind == HEADERS and frame[4] & ~_PRIORITIZED | END_STREAM == _WHOLE:
            self._decode(frame[FRAME_HEAD + (5 if frame[4] & _PRIORITIZED else 0) :])
            self._drop(number, ErrorCodes.STREAM_CLOSED)
            events.append(Reset(number, int(ErrorCodes.STREAM_CLOSED), by_peer=False))
            return True
        return False

    def _over(self, number: int, how: StreamClosedBy) -> None:
        """A plain stream is over: what comes for it still is the library's to judge."""
        del self.streams[number]
        self._engine._closed_streams[number] = how

    def _request(
        self, number: int, fields: list[Field], events: list[Event], ended: bool, *, plain: bool = False
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
        state = self.streams[number] = Open(length, ended=ended)
        if plain:
            state.plain = True
            state.window = self._engine.remote_settings.initial_window_size
        if not ended and (length < 0 or length > self._tuning.window):
            self._lend(number, state)
        events.append(Request(number, head, refusal, size, ended))

    def _lend(self, number: int, state: Open) -> None:
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

    def _wrong(self, number: int, events: list[Event]) -> None:
        super()._wrong(number, events)
        self._glitch(_ERROR_COST)

    # -- to the client --------------------------------------------------------------------------------------------

    def send_head(self, number: int, fields: list[Field], *, ended: bool) -> None:
        """Send a response head, an interim one, or trailers."""
        state = self.streams[number]
        if state.plain:
            block = self._engine.encoder.encode(fields)
            most = self._engine.max_outbound_frame_size
            flags = END_STREAM if ended else 0
            if len(block) <= most:
                self._frame_out(HEADERS, flags | END_HEADERS, number, block)
            else:
                self._frame_out(HEADERS, flags, number, block[:most])
                for at in range(most, len(block), most):
                    last = at + most >= len(block)
                    self._frame_out(CONTINUATION, END_HEADERS if last else 0, number, block[at : at + most])
        else:
            self._engine.send_headers(number, fields, end_stream=ended)
        self._sent(number, state, ended)

    def _data(self, number: int, state: Open, data: bytes | memoryview, ended: bool) -> None:
        if state.plain:
            state.window -= len(data)
            self._engine.outbound_flow_control_window -= len(data)
            self._frame_out(DATA, END_STREAM if ended else 0, number, data)
        else:
            super()._data(number, state, data, ended)

    def _frame_out(self, kind: int, flags: int, number: int, payload: bytes | memoryview) -> None:
        out = self.out
        out += _FRAME(len(payload) >> 8, len(payload) & 255, kind, flags, number)
        out += payload

    def _sent(self, number: int, state: Open, ended: bool) -> None:
        if state.plain:
            if ended:
                self._over(number, StreamClosedBy.SEND_END_STREAM)
            return
        if ended:
            if not state.ended:
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

    def _drop(self, number: int, code: int) -> None:
        self._reset(number, code, plain=self.streams[number].plain)
        self._forget(number)

    def _reset(self, number: int, code: int, *, plain: bool) -> None:
        if plain:
            self._frame_out(RST, 0, number, int(code).to_bytes(4, "big"))
            self._engine._closed_streams[number] = StreamClosedBy.SEND_RST_STREAM
        else:
            self._engine.reset_stream(number, code)

    def _forget(self, number: int) -> bool:
        """The stream is over; what it held of the connection's window goes back."""
        state = self.streams.pop(number, None)
        if state is None:
            return False
        self._lendable += state.lent
        if state.credit > 0:
            self._engine.acknowledge_received_data(state.credit, number)
        return True

    def drain(self) -> None:
        """Ask the client to open no more streams; those under way when it hears of it are served still."""
        if not self.failed and not self.draining:
            self._take_out()
            self.draining = True
            self._last_call = self.accepted + self._tuning.max_streams
            self.out += GoAwayFrame(0, last_stream_id=0x7FFFFFFF).serialize()
