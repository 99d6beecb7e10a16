"""The request of an HTTP check: its head, what it tells of the server's state, its body. HOT."""

from __future__ import annotations

import re
from collections.abc import Callable

from trilb.health.answer import Exchange, Multiplexed
from trilb.health.script import Text
from trilb.http.head import Field
from trilb.http.policy import Limits
from trilb.live.server import STOPPED, STOPPING
from trilb.live.stream import CheckStream

_ABSOLUTE = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*://)[^/?]*")


def maker(
    limits: Limits,
    method: bytes,
    target: Text,
    version: bytes,
    headers: tuple[tuple[bytes, Text], ...],
    body: Text | None,
    *,
    fixed: bool = False,
) -> Callable[[CheckStream, bool], Exchange]:
    """What makes the request, for HTTP/1 or (True) HTTP/2; one that is `fixed` is the same each time."""
    newer = version >= b"HTTP/1.1"
    known: list[bytes] = []

    def make(stream: CheckStream, multiplexed: bool) -> Exchange:
        if known and not multiplexed:
            return Exchange(limits, method, known[0])
        uri = target(stream)
        # A text made of samples may hold what would be another line.
        uri = re.split(rb"[\r\n\0 ]", uri, maxsplit=1)[0] or b"/"
        fields: list[Field] = [(name, _one_line(value(stream))) for name, value in headers]
        host = next((value for name, value in fields if name == b"host"), None)
        if host is not None:
            # Where both are there, the field is right (configuration.txt, `http-check send`).
            uri = _ABSOLUTE.sub(rb"\g<1>" + host.replace(b"\\", b""), uri, count=1)
        content = body(stream) if body is not None else b""
        connection = next((value for name, value in fields if name == b"connection"), None)
        if connection is not None and connection.lower() == b"keep-alive":
            fields = [field for field in fields if field[0] != b"connection"]
        if content:
            fields.append((b"content-length", b"%d" % len(content)))
        if multiplexed:
            return Multiplexed(limits, b"http", method, uri, fields, content)
        if newer and connection is None:
            fields.append((b"connection", b"close"))
        lines = b"".join([b"%b: %b\r\n" % field for field in fields])
        request = b"%b %b %b\r\n%b\r\n%b" % (method, uri, version, lines, content)
        if fixed:
            known.append(request)
        return Exchange(limits, method, request)

    return make


def _one_line(value: bytes) -> bytes:
    return re.sub(rb"[\r\n\0]", b" ", value)


def state(stream: CheckStream) -> bytes:
    """X-Haproxy-Server-State: how the server is seen (configuration.txt, `http-check send-state`)."""
    server, backend = stream.server, stream.backend
    assert server is not None and backend is not None and server.check is not None
    check = server.check
    if server.operation == STOPPED:
        word = f"DOWN {check.health}/{check.rise}" if check.health else "DOWN"
    else:
        word = "NOLB" if server.operation == STOPPING else "UP"
        if check.health < check.top:
            word += f" {check.health - check.rise + 1}/{check.fall}"
    if isinstance(server.address, tuple):
        where = f"address={server.address[0]}; port={server.address[1]}"
    else:
        where = "address=unix; port=unix"
    total = sum(each.effective for each in backend.usable())
    text = (
        f"{word}; {where}; name={backend.name}/{server.name}; node={stream.frontend.process.node}; "
        f"weight={server.effective}/{total}; scur={server.used}/{backend.counters.scur}; qcur={len(server.queue)}"
    )
    return text.encode("latin-1", "replace")
