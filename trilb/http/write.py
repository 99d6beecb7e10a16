"""Heads to bytes, in HAProxy's form: lower-case names in their order, `name: value`. HOT."""

from __future__ import annotations

from trilb.http.head import Field, Head


def request(head: Head, extra: bytes = b"", case: dict[bytes, bytes] | None = None) -> bytes:
    """A request's head; `extra` is appended whole lines. `case` restores the case of some names."""
    lines = [b"%b: %b\r\n" % field for field in (head.fields if case is None else _adjust(head.fields, case))]
    return b"%b %b HTTP/1.%d\r\n%b%b\r\n" % (
        head.method,
        head.target,
        head.version - 10,
        b"".join(lines),
        extra,
    )


def response(head: Head, extra: bytes = b"", case: dict[bytes, bytes] | None = None) -> tuple[bytes, int]:
    """A response's head, and its size in HAProxy's accounting (the log's %B counts messages as it stores them)."""
    fields = head.fields
    block = b"".join([b"%b: %b\r\n" % field for field in fields])
    reason = head.reason
    counted = 32 + len(reason) + len(block) - 4 * len(fields)
    if case is not None:
        block = b"".join([b"%b: %b\r\n" % field for field in _adjust(fields, case)])
    return b"HTTP/1.%d %d %b\r\n%b%b\r\n" % (head.version - 10, head.status, reason, block, extra), counted


def _adjust(fields: list[Field], case: dict[bytes, bytes]) -> list[Field]:
    return [(case.get(name, name), value) for name, value in fields]
