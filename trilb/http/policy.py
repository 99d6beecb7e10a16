"""What a proxy must decide about a head that parsed: framing, connection, host, limits. HOT.

The lane and the record produce the same Head; this module gives it meaning, for both. Where h11 is laxer than a
proxy may be, or HAProxy stricter, it refuses; where the field is hop-by-hop, it takes it out. Rules: observed of
HAProxy, RFC 9112 sections 6.1, 6.3 and 9.3; a test per line.
"""

from __future__ import annotations

import re
from typing import Final

from trilb.http.head import CLOSE, KEEP_ALIVE, NO_LENGTH, UPGRADE, Field, Head, Refusal

_SPECIAL_REQUEST: Final = frozenset(
    (b"content-length", b"transfer-encoding", b"connection", b"host", b"te", b"upgrade", b"http2-settings")
)
_SPECIAL_RESPONSE: Final = frozenset((b"content-length", b"transfer-encoding", b"connection"))
_DIGITS: Final = re.compile(rb"[0-9]++\Z")
_TARGET: Final = re.compile(rb"[!\"$-~]++\Z")
_RELAXED_TARGET: Final = re.compile(rb"[!-~\x80-\xff]++\Z")
_ABSOLUTE: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*+)://([^/?#]*+)(.*+)\Z")
_AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.%]++\]|[^:@/?\[\]]++)(?::([0-9]*+))?\Z")
_LONGEST: Final = 2**63 - 1
"""Longer bodies are refused: past it nobody agrees on what a length means."""
_DEFAULT_PORTS: Final = {b"http": b"80", b"https": b"443", b"ws": b"80", b"wss": b"443"}

_BODILESS_10: Final = frozenset((b"GET", b"HEAD", b"DELETE"))


class Limits:
    """How large a head may be: bytes in HAProxy's accounting (buffer less reserve), and fields.

    `relaxed` forgives what `option accept-unsafe-violations-in-http-request` does.
    """

    __slots__ = ("bytes", "fields", "raw", "relaxed", "unmeasured")

    def __init__(
        self, bufsize: int = 16384, maxrewrite: int = 1024, max_headers: int = 101, *, relaxed: bool = False
    ) -> None:
        self.relaxed = relaxed
        self.raw = bufsize
        self.bytes = bufsize - maxrewrite - 48
        self.fields = max_headers - 1
        self.unmeasured = (self.bytes - 64) // 2
        """Bytes on the wire up to which a head cannot be too large: a field of four of them is kept in eight more."""


def _measure(head: Head, limits: Limits, status: int) -> None:
    """HAProxy keeps a head as blocks of 8 bytes plus their text; what does not fit the buffer is refused."""
    if len(head.fields) > limits.fields:
        raise Refusal(status, "too many header fields")
    size = 8 + 20 + len(head.method) + len(head.target) + 8 + 9
    for name, value in head.fields:
        size += 8 + len(name) + len(value)
    if size > limits.bytes:
        raise Refusal(status, "head too large")


def content_length(value: bytes, current: int, status: int) -> int:
    """One content-length value, which may be a list of equal numbers. Raises Refusal."""
    if current == -1 and len(value) < 19 and value.isdigit():
        return int(value)
    for part in value.split(b","):
        number = part.strip(b" \t")
        if not _DIGITS.match(number) or len(number.lstrip(b"0")) > 19 or int(number) > _LONGEST:
            raise Refusal(status, "invalid content-length")
        length = int(number)
        if current not in (-1, length):
            raise Refusal(status, "conflicting content-length")
        current = length
    return current


def coding_status(values: list[bytes]) -> int:
    """422 for known framing behind an unknown coding (`gzip, chunked`), 400 for anything else."""
    codings = [coding.strip().lower() for value in values for coding in value.split(b",")]
    return 422 if codings[-1] == b"chunked" and codings.count(b"chunked") == 1 and len(codings) > 1 else 400


def first_length(value: bytes) -> bytes:
    """A valid content-length as it is passed on: of a list of equal ones, the number."""
    return value.partition(b",")[0].strip(b" \t").lstrip(b"0") or b"0" if value.find(b",") >= 0 else value


def _connection(head: Head, value: bytes, rest: list[bytes]) -> None:
    """Read one connection header; the elements that stay go to `rest`."""
    for part in value.split(b","):
        element = part.strip(b" \t")
        word = element.lower()
        if word == b"close":
            head.connection |= CLOSE
        elif word == b"keep-alive":
            head.connection |= KEEP_ALIVE
        elif element:
            if word == b"upgrade":
                head.connection |= UPGRADE
            rest.append(element)


def request(head: Head, size: int, limits: Limits, clean: bool = False) -> None:
    """Give a request its framing and connection bits, and take out what must not travel. Raises Refusal.

    Afterwards `length` is never NO_LENGTH: a request without framing has no body. `clean` says that the target is a
    path without a bad character (the lane takes no other).
    """
    fields = head.fields
    if size > limits.unmeasured or len(fields) > limits.fields:
        _measure(head, limits, 400)
    hosts, host = 0, b""
    length, at, plain = 0, -1, head.version == 11
    for index in range(len(fields)):
        name, value = fields[index]
        if name not in _SPECIAL_REQUEST:
            continue
        if name == b"host":
            hosts += 1
            host = value
        elif name == b"connection" and at < 0:
            at = index
        elif name == b"content-length" and not length and len(value) < 19 and value.isdigit():
            length = int(value)
            # A CONNECT has no body, whatever it says.
            plain = plain and length > 0 and head.method != b"CONNECT"
        else:
            plain = False
    if hosts > 1:
        raise Refusal(400, "more than one host")
    if not clean:
        target = head.target
        if not target.startswith(b"/") or head.method == b"CONNECT":
            _target(head, host, hosts, limits.relaxed)
        elif not _TARGET.match(target) and not (limits.relaxed and _RELAXED_TARGET.match(target)):
            raise Refusal(400, "invalid character in the target")
    if head.method == b"PRI":
        raise Refusal(405, "HTTP/2 preface on an HTTP/1 connection")
    if plain and (at < 0 or _usual(head, at)):
        head.length = length
        return
    _request_framing(head, [field for field in head.fields if field[0] in _SPECIAL_REQUEST], limits.relaxed)


def _usual(head: Head, at: int) -> bool:
    """Is the connection header, the only one, one of the two words that nearly all are? Then it is taken out."""
    value = head.fields[at][1].lower()
    if value == b"keep-alive":
        head.connection |= KEEP_ALIVE
    elif value == b"close":
        head.connection |= CLOSE
    else:
        return False
    del head.fields[at]
    return True


def _request_framing(head: Head, special: list[Field], relaxed: bool) -> None:
    length, chunked, codings = -1, False, 0
    rest: list[bytes] = []
    te = b""
    drop: set[bytes] = {b"connection", b"te"}
    for name, value in special:
        if name == b"content-length":
            length = content_length(value, length, 400)
        elif name == b"transfer-encoding":
            codings += 1
            if value.lower() != b"chunked" or codings > 1:
                raise Refusal(coding_status(head.all(name)), "unsupported transfer-encoding")
            chunked = True
        elif name == b"connection":
            _connection(head, value, rest)
        elif name == b"te":
            if any(part.strip(b" \t") == b"trailers" for part in value.split(b",")):
                te = b"trailers"
        elif name == b"upgrade":
            head.upgrade = _protocol(head.upgrade, value.lower())
    if head.version == 10:
        if chunked:
            # RFC 9112, 6.1: such framing is not to be trusted; HAProxy passes it on and reuses neither connection.
            head.connection |= CLOSE
        if head.method in _BODILESS_10 and (chunked or length > 0):
            raise Refusal(413, "body on a bodiless HTTP/1.0 request")
    if chunked and length >= 0:
        # RFC 9112, 6.3: transfer-encoding wins, and the connection is not to be trusted afterwards.
        drop.add(b"content-length")
        head.connection |= CLOSE
    head.chunked = chunked
    head.length = 0 if chunked or length < 0 else length
    if head.method == b"CONNECT":
        drop |= {b"content-length", b"transfer-encoding"}
        head.chunked, head.length = False, 0
    if not head.connection & UPGRADE:
        head.upgrade = b""
    elif head.upgrade == b"h2c":
        drop |= {b"upgrade", b"http2-settings"}
        rest = [e for e in rest if e.lower() not in (b"upgrade", b"http2-settings")]
        head.upgrade = b""
    if head.upgrade == b"websocket" and not relaxed and not head.get(b"sec-websocket-key"):
        raise Refusal(400, "websocket upgrade without a key")
    _rebuild(head, drop, length if length >= 0 else None, rest)
    if te:
        head.fields.append((b"te", te))


def _protocol(before: bytes, value: bytes) -> bytes:
    """The protocol to upgrade to; websocket counts wherever it stands, for its handshake has rules."""
    websocket = before == b"websocket" or b"websocket" in [part.strip(b" \t") for part in value.split(b",")]
    return b"websocket" if websocket else value


def _rebuild(head: Head, drop: set[bytes], length: int | None, rest: list[bytes]) -> None:
    """The fields without those in `drop`, with one content-length, and what is left of connection in its place."""
    out: list[Field] = []
    seen_length = seen_connection = False
    for field in head.fields:
        name = field[0]
        if name == b"connection":
            if rest and not seen_connection:
                out.append((name, b", ".join(rest)))
                seen_connection = True
            continue
        if name in drop:
            continue
        if name == b"content-length":
            if seen_length:
                continue
            seen_length = True
            out.append((name, first_length(field[1])))
            continue
        out.append(field)
    head.fields = out


def _authority(text: bytes) -> tuple[bytes, bytes | None]:
    match = _AUTHORITY.match(text)
    if match is None:
        raise Refusal(400, "invalid authority")
    return match[1].lower(), match[2]


def _target(head: Head, host: bytes, hosts: int, relaxed: bool) -> None:
    """Targets that are no path: absolute-form, authority-form, asterisk (RFC 9112, 3.2).

    A relaxed frontend takes anything printable, and does not compare it to the host.
    """
    target, method = head.target, head.method
    if not (_RELAXED_TARGET if relaxed else _TARGET).match(target):
        raise Refusal(400, "invalid character in the target")
    if method == b"PRI":
        raise Refusal(405, "HTTP/2 preface on an HTTP/1 connection")
    if method == b"CONNECT":
        if relaxed:
            return
        name, port = _authority(target)
        if not port:
            raise Refusal(400, "CONNECT without a port")
        if hosts:
            wanted, wanted_port = _authority(host)
            if wanted != name or (wanted_port or b"") not in ((port,) if wanted_port else (b"",)):
                raise Refusal(400, "host differs from the target")
            if not wanted_port and port not in (b"80", b"443"):
                raise Refusal(400, "host differs from the target")
            if port in (b"80", b"443") and wanted_port:
                _set_host(head, host.rpartition(b":")[0])
        return
    if target == b"*":
        if method != b"OPTIONS" and not relaxed:
            raise Refusal(400, "asterisk target without OPTIONS")
        return
    match = _ABSOLUTE.match(target)
    if match is None:
        if relaxed:
            return
        raise Refusal(400, "invalid target")
    scheme, authority, path = match[1], match[2], match[3]
    userinfo, at, place = authority.rpartition(b"@")
    default = _DEFAULT_PORTS.get(scheme.lower())
    name, colon, port = place.rpartition(b":") if re.search(rb":[0-9]*\Z", place) else (place, b"", b"")
    cut = name if colon and port in (b"", default) else place
    changed = cut != place
    if hosts:
        host_name, host_colon, host_port = host.rpartition(b":") if re.search(rb":[0-9]*\Z", host) else (host, b"", b"")
        host_cut = host_name if host_colon and host_port in (b"", default) else host
        if host_cut.lower() != cut.lower() and not relaxed:
            raise Refusal(400, "host differs from the target")
        if changed and host_cut != host:
            _set_host(head, cut if relaxed else host_cut)
    if not path:
        path = b"/"
    head.target = scheme + b"://" + userinfo + at + cut + path


def _set_host(head: Head, value: bytes) -> None:
    head.fields = [(name, value if name == b"host" else old) for name, old in head.fields]


NO_BODY: Final = frozenset((204, 304))


def reply(head: Head) -> bool:
    """Take what only means the connection out of an answer of our own; must it end with this answer?

    It must when a field says so, and when the body says no length (`errorfile`).
    """
    sized, fields = head.status in NO_BODY, head.fields
    for field in list(fields):
        if field[0] == b"content-length":
            sized = True
            if head.status == 204:
                fields.remove(field)
        elif field[0] == b"connection":
            rest: list[bytes] = []
            _connection(head, field[1], rest)
            at = fields.index(field)
            fields[at : at + 1] = [(b"connection", b", ".join(rest))] if rest else []
    return bool(head.connection & CLOSE) or not sized


def response(head: Head, size: int, limits: Limits, method: bytes) -> None:
    """Give a response its framing; `length` stays NO_LENGTH when the body runs to the end. Raises Refusal (502)."""
    if size > limits.unmeasured or len(head.fields) > limits.fields:
        _measure(head, limits, 502)
    status = head.status
    if not 100 <= status <= 999:
        raise Refusal(502, "invalid status")
    fields = head.fields
    length, at, chunked, plain = -1, -1, False, True
    for index in range(len(fields)):
        name, value = fields[index]
        if name not in _SPECIAL_RESPONSE:
            continue
        if name == b"connection" and at < 0:
            at = index
        elif name == b"content-length" and length < 0 and not chunked and len(value) < 19 and value.isdigit():
            length = int(value)
        elif name == b"transfer-encoding" and length < 0 and not chunked and value.lower() == b"chunked":
            chunked = True
        else:
            plain = False
    if not plain or (at >= 0 and not _usual(head, at)):
        length, chunked = _response_framing(head)
    if chunked and head.version == 10:
        head.connection |= CLOSE
    head.chunked = chunked
    head.length = length
    if (
        (status < 200 and status != 101)
        or method == b"HEAD"
        or status in NO_BODY
        or (method == b"CONNECT" and 200 <= status < 300)
    ):
        head.chunked, head.length = False, 0
    elif chunked:
        head.length = -1


def _response_framing(head: Head) -> tuple[int, bool]:
    """The length (NO_LENGTH without) and whether it is chunked, of a response that says more than most do."""
    length, chunked, codings = NO_LENGTH, False, 0
    rest: list[bytes] = []
    for name, value in head.fields:
        if name == b"content-length":
            length = content_length(value, length, 502)
        elif name == b"connection":
            _connection(head, value, rest)
        elif name == b"transfer-encoding":
            codings += 1
            if value.lower() != b"chunked" or codings > 1:
                raise Refusal(502, "unsupported transfer-encoding")
            chunked = True
    drop = {b"connection"}
    if chunked and length >= 0:
        head.connection |= CLOSE
        drop.add(b"content-length")
    _rebuild(head, drop, None, rest)
    return length, chunked
