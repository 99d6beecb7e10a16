"""h11 as the parser of record: one `h11.Connection` per message, asked only for the head.

h11 never writes here and never decides a connection's life. What it leaves to a proxy is checked before it (line
ends, which it is lax about) and after it (policy). A head that is not complete yet answers None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import h11

from trilb.http.head import Head, Refusal

_HOST = re.compile(rb"\r\nhost:", re.IGNORECASE)
_STRAY = re.compile(rb"\r(?!\n|\Z)|(?<!\r)\n|\0")
_FRAMING = re.compile(rb"\r\n(?:content-length|transfer-encoding):", re.IGNORECASE)
_OTHER = b"\r\nframing:"
"""What h11 is shown instead of a framing field: it would judge what it means, before policy can."""
_NO_LIMIT = 1 << 30
_BLANKS = re.compile(rb"[ \t]+")


def skip_empty_lines(data: bytes) -> int:
    """How many bytes of empty lines stand in front of a message; they are ignored (RFC 9112, 2.2)."""
    at = 0
    while data.startswith(b"\r\n", at):
        at += 2
    return at


_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_BARE_CR = re.compile(rb"\r(?!\n)|\0")
_PROTOCOL = b"HTTP/"


def _split(data: bytes, limit: int, stray_bytes: re.Pattern[bytes] = _STRAY) -> int:
    """The length of the request head at the beginning of `data`, 0 while it is incomplete. Raises Refusal."""
    end = data.find(b"\r\n\r\n")
    stray = stray_bytes.search(data, 0, end if end >= 0 else len(data))
    if stray is not None:
        raise Refusal(400, "bare CR, bare LF or NUL in the head")
    if end < 0:
        if len(data) >= limit:
            raise Refusal(400, "head too large")
        return 0
    return end + 4


_STRAY_RELAXED = re.compile(rb"\r(?!\n|\Z)|(?<!\r)\n")
_RELAXED_LINE = re.compile(rb"([^ \t]+)[ \t]+([!-~\x80-\xff]+)([ \t]+HTTP/[0-9.]+)\Z")
_SHORT_LINE = re.compile(rb"GET[ \t]+([!-~\x80-\xff]+)\Z")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")


def relaxed_request(data: bytes, limit: int) -> tuple[Head, int] | None:
    """The same under `option accept-unsafe-violations-in-http-request`.

    A request line without a version is HTTP/1.0 without fields; fields with impossible names are left out, NUL stays
    in values, and a target may hold any byte above 127. h11 is shown what it can take and judges the rest.
    """
    first, ended, _ = data.partition(b"\r\n")
    short = _SHORT_LINE.match(first)
    if ended and short is not None:
        return Head(b"GET", short[1], 10, []), len(first) + 2
    size = _split(data, limit, _STRAY_RELAXED)
    if not size:
        return None
    lines = data[len(first) + 2 : size - 4].split(b"\r\n") if size > len(first) + 4 else []
    kept = []
    for line in lines:
        name, colon, _ = line.partition(b":")
        if not colon or not name or _NAME.match(name):
            kept.append(line)
        elif line[:1] in b" \t":
            raise Refusal(400, "folded line")
    match = _RELAXED_LINE.match(first)
    shown = match[1] + b" /" + match[3] if match is not None else first
    text = b"\r\n".join([shown, *(line.replace(b"\0", b"?") for line in kept), b"", b""])
    found = request(text, max(limit, len(text) + 1))
    if found is None:
        return None
    head = found[0]
    if match is not None:
        head.target = match[2]
    plain = [line.partition(b":") for line in kept]
    head.fields = [(name.lower(), value.strip(b" \t")) for name, _, value in plain]
    return head, size


def request(data: bytes, limit: int) -> tuple[Head, int] | None:
    """A request's head and its length, or None while incomplete. Raises Refusal."""
    line = data.find(b"\r\n")
    if line >= 0 and data[:line].count(b" ") == 1 and not data[:line].startswith((b" ", b"\t")):
        # HTTP/0.9 style: there will be no head to wait for.
        raise Refusal(400, "request line without a version")
    size = _split(data, limit)
    if not size:
        return None
    raw = data[:size]
    if b"\r\n " in raw or b"\r\n\t" in raw:
        raise Refusal(400, "folded line")
    first = data[:line]
    if b"  " in first or b"\t" in first:
        # The words of a request line may stand further apart (RFC 9112, section 3); h11 wants one blank.
        raw = _BLANKS.sub(b" ", first) + data[line:size]
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_NO_LIMIT)
    no_host = _HOST.search(raw) is None
    if no_host:
        # h11 demands a Host in HTTP/1.1, HAProxy does not.
        raw = raw[:-2] + b"host: none\r\n\r\n"
    try:
        connection.receive_data(_FRAMING.sub(_OTHER, raw))
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise Refusal(400, str(error)) from None
    if not isinstance(event, h11.Request):
        raise Refusal(400, "not a request")
    version = 10 if event.http_version in (b"1.0", b"0.9") else 11
    if event.http_version == b"0.9":
        raise Refusal(400, "HTTP/0.9")
    head = Head(event.method, event.target, version, _fields(raw, event.headers))
    if no_host:
        head.fields.pop()
    if event.http_version not in (b"1.0", b"1.1"):
        head.spoken = bytes(event.http_version)
    return head, size


def _fields(raw: bytes, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """h11's fields; as they were sent where it was shown others."""
    if _FRAMING.search(raw) is None:
        return [(bytes(name), bytes(value)) for name, value in headers]
    lines = raw[raw.index(b"\r\n") + 2 : -4].split(b"\r\n")
    plain = []
    for line in lines:
        name, _, value = line.partition(b":")
        plain.append((name.lower(), value.strip(b" \t")))
    return plain


def response(data: bytes, limit: int) -> tuple[Head, int] | None:
    """A response's head and its length, or None while incomplete. Raises Refusal."""
    if not data.startswith(_PROTOCOL[: len(data)]):
        raise Refusal(502, "not HTTP/1")
    end = _HEAD_END.search(data)
    if end is None:
        if len(data) >= limit:
            raise Refusal(502, "head too large")
        return None
    size = end.end()
    raw = data[:size]
    if _BARE_CR.search(raw):
        raise Refusal(502, "bare CR or NUL in the head")
    if raw[raw.index(b"\n") + 1 : raw.index(b"\n") + 2] in (b" ", b"\t"):
        raise Refusal(502, "first header line is folded")
    # Servers are forgiven what clients are not: bare line feeds and folded lines, as HAProxy forgives them.
    raw = _FOLD.sub(b"  ", _BARE_LF.sub(b"\r\n", raw))
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_NO_LIMIT)
    # h11 wants to have sent something before it reads an answer; a GET gives no answer a special framing.
    # The upgrade lets it accept a 101; whether one was asked for is policy's question.
    ask = [("host", "x"), ("connection", "upgrade"), ("upgrade", "x")]
    connection.send(h11.Request(method="GET", target="/", headers=ask))
    connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(_FRAMING.sub(_OTHER, raw))
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise Refusal(502, str(error)) from None
    if not isinstance(event, (h11.Response, h11.InformationalResponse)):
        raise Refusal(502, "not a response")
    head = Head(b"", b"", 10 if event.http_version == b"1.0" else 11, _fields(raw, event.headers))
    head.status = event.status_code
    head.reason = bytes(event.reason)
    return head, size
