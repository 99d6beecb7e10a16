"""HTTP/2 towards servers, sans-IO: requests become frames, the bytes of a connection become responses. HOT.

What is of servers only. They are trusted more than strangers, but what they can make us keep is bounded all the same.
"""

from __future__ import annotations

from contextlib import suppress

import h2.events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from trilb.http.h2 import CONTINUATION, DATA, HEADERS, RST, WINDOW, Broken, Connection, Open, plain_fields
from trilb.http.h2engine import Engine
from trilb.http.h2events import Event, Reset, Response
from trilb.http.h2head import Malformed, answer_fields
from trilb.http.head import Field
from trilb.http.policy import Limits

_LAST_NUMBER = (1 << 31) - 3
_OF_STREAMS = frozenset((DATA, HEADERS, RST, WINDOW, CONTINUATION))
_ALLOWANCE = 2000.0
"""Frames that bring nothing (pings, settings, empty data, interim responses ...) a server may send in a row. Arbitrary:
twice what a client may; one frame that brings something makes up for one that does not."""
_ALLOWANCE_RATE = 100.0
"""How many of them come back each second. Arbitrary."""
_WINDOW_MOST = (1 << 31) - 1 - 65535


class ClientConnection(Connection):
    """The client's end of an HTTP/2 connection.

    `websockets` tells that the server knows extended CONNECT (RFC 8441).
    """

    def __init__(self, limits: Limits, window: int, header_table: int, frame_size: int, max_streams: int = 100) -> None:
        engine = Engine(limits, client_side=True)
        super().__init__(engine, limits, header_table, allowance=_ALLOWANCE, rate=_ALLOWANCE_RATE)
        # A server's first word is SETTINGS.
        self.prefaced = True
        self.websockets = False
        self.frames = 0
        """How many came."""
        self._most = max_streams
        engine.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.HEADER_TABLE_SIZE: header_table,
                SettingCodes.INITIAL_WINDOW_SIZE: window,
                SettingCodes.MAX_FRAME_SIZE: frame_size,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.raw,
            },
        )
        engine.initiate_connection()
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
        self.streams[number] = Open(done=ended)
        self._take_out()
        return number

    def send_trailers(self, number: int, fields: list[Field]) -> None:
        """Send trailers, the end of the request; nothing where our side has ended."""
        state = self.streams.get(number)
        if state is not None and not state.done and not self.failed:
            self._engine.send_headers(number, fields, end_stream=True)
            self._sent(number, state, True)

    def _sent(self, number: int, state: Open, ended: bool) -> None:
        if ended:
            state.done = True
            if state.ended:
                self._forget(number)
        self._take_out()

    def consumed(self, number: int, credit: int) -> None:
        """Bytes of a body were used: the server may send as many again."""
        if credit and not self.failed:
            with suppress(ProtocolError):  # the stream may be gone: then only the connection's window is given back
                self._engine.acknowledge_received_data(credit, number)
            self._take_out()

    def _drop(self, number: int, code: int) -> None:
        if self.streams[number].ended:
            # Only our side is left: nobody is to blame.
            code = ErrorCodes.NO_ERROR
        self._forget(number)
        with suppress(ProtocolError):  # it may have ended on both sides in the meantime
            self._engine.reset_stream(number, code)

    def ping(self) -> None:
        """Ask whether anybody is there."""
        if not self.failed:
            self._engine.ping(b"are you?")
            self._take_out()

    # -- from the server -----------------------------------------------------------------------------------------

    def _account(self, kind: int, flags: int, length: int, number: int) -> None:
        self.frames += 1
        self._pay(self._cost(kind, flags, length))

    def _pay(self, cost: float) -> None:
        self._allowance += -cost if cost else 1.0
        if self._allowance < 0:
            raise Broken(ErrorCodes.ENHANCE_YOUR_CALM, "too many useless frames")

    def _aside(self, frame: bytes, kind: int, number: int, events: list[Event]) -> bool:
        idle = not number & 1 or number > self._engine.highest_outbound_stream_id
        if number and idle and kind in _OF_STREAMS:
            raise Broken(ErrorCodes.PROTOCOL_ERROR, "a frame on an idle stream")
        return False

    def _settings(self, event: h2.events.RemoteSettingsChanged) -> None:
        super()._settings(event)
        connect = event.changed_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL)
        if connect is not None:
            # Once said it stays said (RFC 8441, section 3).
            self.websockets = self.websockets or bool(connect.new_value)

    def _head(self, event: h2.events.Event, events: list[Event]) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            ended = event.stream_ended is not None
        elif isinstance(event, h2.events.InformationalResponseReceived):
            ended = False
        else:
            return
        number = event.stream_id or 0
        state = self.streams.get(number)
        if state is None:
            return
        if isinstance(event, h2.events.InformationalResponseReceived):
            self._pay(2.0)
        try:
            status, fields = answer_fields(plain_fields(event.headers), self._limits)
        except Malformed:
            self._wrong(number, events)
            return
        if self._window:
            # Many bodies at once share the connection's window.
            self._engine.increment_flow_control_window(self._window)
            self._window = 0
        events.append(Response(number, status, fields, ended))
        if ended:
            self._ended(number, state)

    def _goes(self, last: int, code: int, events: list[Event]) -> None:
        """No new streams; those above the last one it names were not served, the others run on."""
        self.leaving = True
        for number in [number for number in self.streams if number > last]:
            self._forget(number)
            events.append(Reset(number, code, by_peer=True, unserved=True))
