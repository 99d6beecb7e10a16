"""Would a shared cache keep this response? `nocache` protects only those that it would (observed of HAProxy). HOT."""

from __future__ import annotations

from typing import Final

from trilb.live.stream import Stream

_METHODS: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
_STATUSES: Final = frozenset((200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501))
_VALIDATORS: Final = frozenset((b"etag", b"last-modified", b"expires"))
_FORBIDDING: Final = frozenset((b"private", b"no-cache", b"no-store", b"max-age=0", b"s-maxage=0"))


def cacheable(stream: Stream) -> bool:
    """Cache-Control items are read in order and the last word wins, even over method and status.

    A validator or a lifetime is needed at all.
    """
    head = stream.response
    assert head is not None and stream.request is not None
    allowed = stream.request.method in _METHODS and head.status in _STATUSES
    validated = False
    for name, value in head.fields:
        if name in _VALIDATORS:
            validated = True
        elif name == b"pragma":
            if value.partition(b",")[0].strip().lower() == b"no-cache":
                allowed = False
        elif name == b"cache-control":
            for part in value.split(b","):
                item = part.strip().lower()
                if item in _FORBIDDING:
                    allowed = False
                elif item == b"public":
                    allowed = True
                if item.startswith((b"max-age", b"s-maxage")):
                    validated = True
    return allowed and validated
