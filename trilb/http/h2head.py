"""Message heads between HTTP/2 and HTTP/1 (RFC 9113, section 8), pure. HOT.

A request's fields become a Head as the rest of trilb knows it: the target is the URI as HAProxy composes it
(`scheme://authority/path`, or the path alone without an authority), `host` says what `:authority` said, cookies are
one field again. A response's HTTP/1 lines become fields, without those that only mean the connection.

Two refusals: Malformed costs the client its stream, without an answer; a Refusal is answered with its status.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha1

from trilb.http.head import UPGRADE, Field, Head, Refusal
from trilb.http.policy import Limits, content_length, first_length

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++\Z")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]++\Z")
_FORBIDDEN = re.compile(rb"[\0\r\n]")
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*+\Z")
_PATH = re.compile(rb"/[!\"$-~\x80-\xff]*+\Z")
_AUTHORITY = re.compile(rb"[!\"$-.0-;=@-\[\]-~]*+\Z")
"""Anything printable but what ends an authority, or is read as its end by somebody: `/ ? # \\ < >`."""
_PORT = re.compile(rb":([0-9]*+)\Z")
_PORTS = {b"http": b"80", b"https": b"443"}
_CONNECTION = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"upgrade", b"transfer-encoding"))
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority", b":protocol"))
_TRAILERS = frozenset((b"content-length", b"host", b"te", *_CONNECTION))
_HANDSHAKE = frozenset((b"sec-websocket-accept", b"sec-websocket-key"))
_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What a websocket server appends to the key before it hashes it (RFC 6455, 1.3)."""


class Malformed(Exception):
    """A message that RFC 9113 calls malformed: its stream is reset."""


def request_head(fields: list[Field], limits: Limits, *, ended: bool) -> Head:
    """A request's head from its fields as decoded; `ended` says that no body follows. Raises Malformed, Refusal."""
    if len(fields) > 2 * limits.fields:
        raise Malformed("too many fields")
    pseudo, at = _pseudo(fields)
    head = _line(pseudo)
    authority = pseudo.get(b":authority")
    plain: list[Field] = []
    cookies: list[bytes] = []
    length = -1
    host = authority
    for name, value in fields[at:]:
        if not _NAME.match(name):
            # An upper case letter, a colon: a pseudo-header out of its place is caught here as well.
            raise Malformed("invalid field name")
        if _FORBIDDEN.search(value):
            raise Malformed("forbidden character in a value")
        if name == b"cookie":
            cookies.append(value)
        elif name == b"host":
            if host is None:
                host = value
                plain.append((name, value))
        elif name == b"content-length":
            first = length < 0
            try:
                length = content_length(value, length, 400)
            except Refusal as refusal:
                raise Malformed(refusal.reason) from None
            if first:
                plain.append((name, first_length(value)))
        elif name == b"te":
            if value != b"trailers":
                raise Malformed("te asks for more than trailers")
            plain.append((name, value))
        elif name in _CONNECTION:
            raise Malformed("connection-specific field")
        else:
            plain.append((name, value.strip(b" \t")))
    if authority is not None:
        plain.insert(0, (b"host", _cut(authority, pseudo.get(b":scheme", b""))))
    if cookies:
        plain.append((b"cookie", b"; ".join(cookies)))
    if ended and length > 0:
        raise Malformed("a content-length without content")
    head.fields = plain
    _framing(head, pseudo.get(b":protocol"), length, ended=ended)
    _measure(head, limits)
    return head


def _pseudo(fields: list[Field]) -> tuple[dict[bytes, bytes], int]:
    """The pseudo-header fields, and how many there are. Raises Malformed."""
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        if name[:1] != b":":
            break
        if name not in _PSEUDO or name in found or _FORBIDDEN.search(value):
            raise Malformed("unknown, repeated or broken pseudo-header")
        found[name] = value
    if not found.get(b":method"):
        raise Malformed("no method")
    if found[b":method"] == b"CONNECT" and b":protocol" not in found:
        if b":scheme" in found or b":path" in found or not found.get(b":authority"):
            raise Malformed("CONNECT takes an authority and nothing else")
    elif b":scheme" not in found or not found.get(b":path"):
        raise Malformed("no scheme or no path")
    elif b":protocol" in found and (found[b":method"] != b"CONNECT" or b":authority" not in found):
        raise Malformed("a protocol without CONNECT")
    return found, len(found)


def _line(pseudo: dict[bytes, bytes]) -> Head:
    """Method and target. Raises Malformed where RFC 9113 leaves no choice, Refusal(400) as an HTTP/1 parser would."""
    method, authority = pseudo[b":method"], pseudo.get(b":authority")
    if authority is not None and not _AUTHORITY.match(authority):
        raise Refusal(400, "invalid authority")
    if not _TOKEN.match(method) or method == b"PRI":
        raise Refusal(400, "invalid method")
    if method == b"CONNECT" and b":protocol" not in pseudo:
        assert authority is not None
        return _head(method, authority)
    scheme, path = pseudo[b":scheme"], pseudo[b":path"]
    if not _SCHEME.match(scheme):
        raise Refusal(400, "invalid scheme")
    if path == b"*":
        if method != b"OPTIONS":
            raise Refusal(400, "asterisk target without OPTIONS")
    elif not _PATH.match(path):
        raise Malformed("invalid path")
    if authority is None:
        return _head(method, path)
    # An extended CONNECT is what HTTP/1 does with a GET and an upgrade.
    target = scheme + b"://" + _cut(authority, scheme) + (b"" if path == b"*" else path)
    head = _head(b"GET" if b":protocol" in pseudo else method, target)
    head.composed = scheme.lower() in _PORTS
    return head


def _head(method: bytes, target: bytes) -> Head:
    head = Head(method, target, 11, [])
    head.spoken = b"2.0"
    return head


def _cut(authority: bytes, scheme: bytes) -> bytes:
    """An authority without the port that its scheme has anyway (RFC 3986, 6.2.3)."""
    match = _PORT.search(authority)
    if match is not None and match[1] in (b"", _PORTS.get(scheme.lower())):
        return authority[: match.start()]
    return authority


def _framing(head: Head, protocol: bytes | None, length: int, *, ended: bool) -> None:
    """Where the body ends, towards HTTP/1. Raises Malformed."""
    head.length = max(length, 0)
    if protocol is not None:
        if not _TOKEN.match(protocol) or protocol.lower() in (b"h2c", b"h2"):
            raise Malformed("no protocol to upgrade to")
        head.upgrade = protocol.lower()
        head.connection = UPGRADE
        head.fields = [field for field in head.fields if field[0] not in (b"content-length", b"sec-websocket-key")]
        head.fields += [(b"upgrade", protocol), (b"connection", b"upgrade")]
        head.length = 0
    elif head.method == b"CONNECT":
        head.fields = [field for field in head.fields if field[0] != b"content-length"]
        head.length = 0
    elif length < 0 and not ended:
        # The field that says so is written with the head: rules do not see it, as with HAProxy.
        head.chunked = True


def _measure(head: Head, limits: Limits) -> None:
    """Heads that would not fit HAProxy's buffer are refused."""
    size = 45 + len(head.method) + len(head.target)
    for name, value in head.fields:
        size += 8 + len(name) + len(value)
    if size > limits.bytes + 1024:
        raise Malformed("head too large")


def trailer_fields(fields: list[Field]) -> list[Field]:
    """What of a request's trailers may be passed on. Raises Malformed."""
    kept: list[Field] = []
    for name, value in fields:
        if not _NAME.match(name) or _FORBIDDEN.search(value) or name in _CONNECTION:
            raise Malformed("invalid trailer")
        if name not in _TRAILERS:
            kept.append((name, value.strip(b" \t")))
    return kept


def origin_form(head: Head) -> bytes:
    """The target for an HTTP/1 server: one that was composed from pseudo-headers becomes a path again."""
    target = head.target
    if not head.composed or target.startswith(b"/"):
        return target
    _, slash, path = target.partition(b"://")[2].partition(b"/")
    return slash + path if slash else b"*"


def response_fields(status: int, fields: list[Field], *, upgraded: bool) -> list[Field]:
    """A response's fields: `:status`, and all but what only means the connection.

    `upgraded` is the answer to an extended CONNECT, which knows no 101 and no handshake.
    """
    out: list[Field] = [(b":status", b"%d" % status)]
    for field in fields:
        name = field[0]
        if name in _CONNECTION or (upgraded and name in _HANDSHAKE):
            continue
        out.append(field)
    return out


def answer_fields(fields: list[Field], limits: Limits) -> tuple[int, list[Field]]:
    """A server's status and fields. Raises Malformed."""
    if not fields or fields[0][0] != b":status" or not re.match(rb"[1-9][0-9][0-9]\Z", fields[0][1]):
        raise Malformed("no status")
    status = int(fields[0][1])
    if len(fields) > 2 * limits.fields or status == 101:
        raise Malformed("too many fields, or a status that HTTP/2 does not have")
    size = 0
    for name, value in fields[1:]:
        if not _NAME.match(name) or _FORBIDDEN.search(value) or name in _CONNECTION:
            raise Malformed("invalid field")
        size += 8 + len(name) + len(value)
    if size > limits.bytes + 1024:
        raise Malformed("head too large")
    return status, [(name, value.strip(b" \t")) for name, value in fields[1:]]


def ask_fields(method: bytes, target: bytes, fields: list[Field], *, scheme: bytes, upgrade: bytes) -> list[Field]:
    """A request's fields towards a server, from what HTTP/1 writes.

    An origin-form target keeps its `host` field and an absolute one becomes an authority, as HAProxy does it; what
    asks for another protocol becomes an extended CONNECT (RFC 8441).
    """
    host = next((value for name, value in fields if name == b"host"), b"")
    authority = b""
    if b"://" in target and not target.startswith(b"/"):
        scheme, _, rest = target.partition(b"://")
        authority, slash, path = rest.partition(b"/")
        target = slash + path or (b"*" if method == b"OPTIONS" else b"/")
    if upgrade:
        method, authority = b"CONNECT", authority or host
    out: list[Field] = [(b":method", method)]
    if method == b"CONNECT" and not upgrade:
        out.append((b":authority", target))
    else:
        out.append((b":scheme", scheme))
        if authority:
            out.append((b":authority", authority))
        out.append((b":path", target))
    if upgrade:
        out.append((b":protocol", upgrade))
    named = authority or (method == b"CONNECT" and not upgrade)
    out += [field for field in fields if field[0] not in _CONNECTION and not (named and field[0] == b"host")]
    return out


def accept_of(key: bytes) -> bytes:
    """What a websocket server must answer to a key (RFC 6455, 4.2.2)."""
    return b64encode(sha1(key + _WEBSOCKET, usedforsecurity=False).digest())
