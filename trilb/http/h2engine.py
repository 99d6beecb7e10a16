"""The `h2` library as it is kept: with less temper. Wrong lengths and too many streams are left to us.

Apart from `h2`, for what derives from interpreted classes is not compiled.
"""

from __future__ import annotations

from typing import Any

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, H2Connection
from h2.stream import H2Stream
from h2.utilities import SizeLimitDict
from hpack import Encoder

from trilb.http.h2encode import encode
from trilb.http.policy import Limits

_CLOSED_REMEMBERED = 1024
"""Closed streams of a client of which the library remembers how they ended. Arbitrary; its own number costs
megabytes."""


def unchecked(*_: object) -> None:
    """In place of the library's content-length check, whose failure ends the connection; ours ends the stream."""


class PlainEncoder(Encoder):
    """The library's encoder, but for how fields are encoded; it still says when the table's size changed."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:
        if self.header_table.resized:
            self.header_table.resized = False
            return self._encode_table_size_change() + encode(headers)
        return encode(headers)


class Engine(H2Connection):
    """The library, with less temper: wrong lengths and too many streams are left to us."""

    def __init__(self, limits: Limits, *, client_side: bool) -> None:
        super().__init__(
            H2Configuration(
                client_side=client_side,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.encoder = PlainEncoder()
        if not client_side:
            self._closed_streams = SizeLimitDict(size_limit=_CLOSED_REMEMBERED)
        # hpack counts 32 bytes a field on top; whether the head is acceptable is the policy's question.
        self.decoder.max_header_list_size = 2 * limits.raw + 32 * 2 * limits.fields

    @property
    def open_inbound_streams(self) -> int:
        """Never so many that the library would end the connection: a stream too many is refused by itself."""
        return min(super().open_inbound_streams, 1)

    def forget_closed(self) -> None:
        """Let go of streams that are over, as the library does whenever one begins."""
        self._open_streams(1)

    def _begin_new_stream(self, stream_id: int, allowed_ids: AllowedStreamIDs) -> H2Stream:
        stream = super()._begin_new_stream(stream_id, allowed_ids)
        stream._initialize_content_length = unchecked  # type: ignore[method-assign, assignment]
        stream._track_content_length = unchecked  # type: ignore[method-assign, assignment]
        return stream
