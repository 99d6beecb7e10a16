"""Checks that speak one protocol: what is sent, and how what comes back is judged (observed on HAProxy 2.6).

Sources: configuration.txt, `option ssl-hello-chk`, `smtpchk`, `pgsql-check`, `redis-check`, `mysql-check`,
`ldap-check`, `spop-check`, and what those protocols' documents say of the messages.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from trilb.health.script import Connect, Expect, Judge, Machine, Script, Send, Step, Text
from trilb.live.stream import CheckStream

_CODE = re.compile(rb"\d{3}")


def script(kind: str, words: tuple[str, ...], most: int) -> Script:
    """The script of `option KIND WORDS`."""
    return Script(_KINDS[kind](words), most=most)


def _expect(number: int, judge: Judge, *, error: str = "L7RSP", min_recv: int = -1) -> Expect:
    made = Expect(number, judge)
    made.error_status, made.min_recv = error, min_recv
    return made


def _regex(text: bytes) -> Judge:
    search = re.compile(text).search
    return lambda machine: search(machine.data) is not None


def _text(text: bytes) -> Text:
    return lambda stream: text


def _line(begin: int) -> Text:
    """What was received, from `begin` on, up to the end of its line, without leading blanks."""

    def write(stream: CheckStream) -> bytes:
        data = stream.inspected_server or b""
        return re.split(rb"[\r\n]", data[begin:], maxsplit=1)[0].lstrip(b" " if begin else b"")

    return write


def _number(stream: CheckStream) -> int:
    found = _CODE.match(stream.inspected_server or b"")
    return int(found[0]) if found is not None else 0


def _constant(data: bytes) -> Text:
    return lambda stream: data


# -- SMTP ----------------------------------------------------------------------------------------------------------


def _smtp(words: tuple[str, ...]) -> tuple[Step, ...]:
    greeting = _expect(2, _regex(rb"\A[0-9]{3}[ \r]"), min_recv=4)
    greeting.on_error = _line(0)
    ready = _smtp_reply(3, rb"\A2[0-9]{2}[ \r]", 4)
    known = _smtp_reply(5, rb"\A(?:2[0-9]{2}-[^\r]*\r\n)*2[0-9]{2}[ \r]", -1)
    gone = _smtp_reply(7, rb"\A2[0-9]{2}[- \r]", 4)
    gone.on_success = _line(4)
    hello = f"{' '.join(words)}\r\n".encode("latin-1")
    return (
        Connect(1),
        greeting,
        ready,
        Send(4, "", _constant(hello)),
        known,
        Send(6, "", _constant(b"QUIT\r\n")),
        gone,
    )


def _smtp_reply(number: int, pattern: bytes, min_recv: int) -> Expect:
    made = _expect(number, _regex(pattern), error="L7STS", min_recv=min_recv)
    made.on_error, made.code = _line(4), _number
    return made


# -- small ones ----------------------------------------------------------------------------------------------------


def _redis(words: tuple[str, ...]) -> tuple[Step, ...]:
    pong = _expect(2, lambda machine: b"+PONG\r\n" in machine.data, error="L7STS")
    pong.length = len(b"+PONG\r\n")
    pong.on_error, pong.on_success = _line(0), _text(b"Redis server is ok")
    return Connect(), Send(1, "", _constant(b"*1\r\n$4\r\nPING\r\n")), pong


def _pgsql(words: tuple[str, ...]) -> tuple[Step, ...]:
    said = b"\0\3\0\0user\0" + words[0].encode("latin-1") + b"\0\0"
    refused = _expect(3, _regex(rb"\AE"), min_recv=5)
    refused.negated = True
    refused.on_error = lambda stream: (stream.inspected_server or b"")[6:].partition(b"\0")[0]
    known = _expect(4, _regex(rb"(?s)\AR\0\0\0.\0\0\0[\0\2-\7\x09\x0a]"), error="L7STS", min_recv=9)
    known.on_error, known.on_success = _text(b"PostgreSQL unknown error"), _text(b"PostgreSQL server is ok")
    return Connect(1), Send(2, "", _constant((len(said) + 4).to_bytes(4, "big") + said)), refused, known


_SUITES = bytes.fromhex(
    "000100020003000400050006000700080009000a000b000c000d000e000f001000110012001300140015001600170018001900"
    "1a001b002f0030003100320033003400350036003700380039003a"
)


def _ssl_hello(words: tuple[str, ...]) -> tuple[Step, ...]:
    """SSLv3's hello: a record of a handshake, the time and 28 bytes that are not random, the suites of those days."""
    session = b"HAPROXYSSLCHK\nHAPROXYSSLCHK\n"

    def hello(stream: CheckStream) -> bytes:
        now = int(time.time()).to_bytes(4, "big")
        suites = len(_SUITES).to_bytes(2, "big") + _SUITES
        body = b"\3\0" + now + session + b"\0" + suites + b"\1\0"
        return b"\x16\3\0" + (len(body) + 4).to_bytes(2, "big") + b"\1" + len(body).to_bytes(3, "big") + body

    answer = _expect(2, _regex(rb"\A[\x15\x16]"), error="L6RSP", min_recv=5)
    answer.ok_status, answer.timeout_status = "L6OK", "L6TOUT"
    return Connect(), Send(1, "", hello), answer


# -- MySQL ---------------------------------------------------------------------------------------------------------

_CLIENT = {
    # Capabilities, the most bytes of a packet, a character set and what follows (MySQL's HandshakeResponse).
    "pre-41": lambda user: b"\x00\x80\x00\x00\x01" + user + b"\0\0",
    "post-41": lambda user: b"\x00\x82\x00\x00\x00\x80\x00\x01\x21" + bytes(23) + user + b"\0\0",
    "post-80": lambda user: (
        b"\x00\x82\x08\x00\x00\x80\x00\x01\x21" + bytes(23) + user + b"\0\0" + b"mysql_native_password\0"
    ),
}


def _mysql(words: tuple[str, ...]) -> tuple[Step, ...]:
    if not words:
        return Connect(1), _expect(2, _mysql_greeting)
    said = _CLIENT[words[1] if len(words) > 1 else "post-41"](words[0].encode("latin-1"))
    packets = len(said).to_bytes(3, "little") + b"\1" + said + b"\1\0\0\0\1"
    # Who the client is, is said at once: the server's own greeting needs no answer of ours.
    return Connect(1), Send(2, "", _constant(packets)), _expect(3, _mysql_greeting), _expect(4, _mysql_answer)


def _mysql_packet(machine: Machine, data: bytes) -> bytes | None:
    """The payload of the first packet, None while it is not whole. An error packet ends the check."""
    size = int.from_bytes(data[:3], "little")
    if len(data) < 4 + size or size < 1:
        return None
    payload = data[4 : 4 + size]
    if payload[:1] == b"\xff":
        machine.finish("L7STS", payload[3:].decode("latin-1"), int.from_bytes(payload[1:3], "little"))
        return None
    return payload


def _mysql_greeting(machine: Machine) -> bool | None:
    payload = _mysql_packet(machine, machine.data)
    if payload is None:
        return None
    machine.greeting = payload[1:].partition(b"\0")[0].decode("latin-1")
    return True


def _mysql_answer(machine: Machine) -> bool | None:
    data = machine.data
    second = data[4 + int.from_bytes(data[:3], "little") :]
    return None if _mysql_packet(machine, second) is None else True


# -- LDAP ----------------------------------------------------------------------------------------------------------

_BIND = bytes.fromhex("300c020101600702010304008000")
_NOT_LDAP = "Not LDAPv3 protocol"
_RFC = "See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9"


def _ldap(words: tuple[str, ...]) -> tuple[Step, ...]:
    return Connect(), Send(1, "", _constant(_BIND)), _expect(2, _ldap_answer, min_recv=14)


def _length(data: bytes, at: int) -> int | None:
    """Where what follows a BER length begins, None for one that is too long."""
    if not data[at] & 0x80:
        return at + 1
    return None if data[at] & 0x7F > 4 else at + 1 + (data[at] & 0x7F)


def _ldap_answer(machine: Machine) -> bool | None:
    """LDAPMessage (a sequence): messageID 1, BindResponse [APPLICATION 1], resultCode (RFC 4511)."""
    data = machine.data
    if len(data) < 14:
        return None
    at = _length(data, 1) if data[0] == 0x30 else None
    if at is None or data[at : at + 4] != b"\2\1\1\x61":
        machine.finish("L7RSP", _NOT_LDAP)
        return False
    at += 4
    inner = _length(data, at) if at < len(data) else at
    if inner is None:
        machine.finish("L7RSP", _NOT_LDAP)
        return False
    if len(data) < inner + 3:
        return None
    if data[inner : inner + 2] != b"\x0a\1":
        machine.finish("L7RSP", _NOT_LDAP)
    elif data[inner + 2]:
        machine.finish("L7STS", _RFC, data[inner + 2])
    else:
        machine.greeting = "Success"
        return True
    return False


# -- SPOP ----------------------------------------------------------------------------------------------------------

_HELLO = (
    b"\x01\x00\x00\x00\x01\x00\x00"
    b"\x12supported-versions\x08\x032.0\x0emax-frame-size\x03\xfc\xf0\x06\x0ccapabilities\x08\x00\x0bhealthcheck\x11"
)
_AGENT_HELLO, _AGENT_DISCONNECT = 0x65, 0x66
_ERRORS = (
    *("normal", "I/O error", "a timeout occurred", "frame is too big", "invalid frame received"),
    *("version value not found", "max-frame-size value not found", "capabilities value not found"),
    *("unsupported version", "max-frame-size too big or too small", "fragmentation not supported"),
    *("invalid interlaced frames", "frame-id not found", "resource allocation error"),
)


def _spop(words: tuple[str, ...]) -> tuple[Step, ...]:
    return Connect(), Send(1, "", _constant(len(_HELLO).to_bytes(4, "big") + _HELLO)), _expect(2, _spop_answer)


def _spop_answer(machine: Machine) -> bool | None:
    """An AGENT-HELLO frame: type, flags, two identifiers of 0, then keys and values (SPOE.txt, section 3.2.5)."""
    data = machine.data
    size = int.from_bytes(data[:4], "big")
    if len(data) < 4 or (len(data) < 4 + size and not machine.ended and size <= machine.script.most):
        return None
    wrong = _spop_wrong(data[4 : 4 + size]) if len(data) >= 4 + size else 4
    if wrong is not None:
        machine.finish("L7RSP", _ERRORS[wrong] if wrong < len(_ERRORS) else "unknown error")
        return False
    machine.greeting = "SPOA server is ok"
    return True


def _spop_wrong(frame: bytes) -> int | None:
    """The number of what is wrong with a frame, None when it is a good hello."""
    if len(frame) < 7 or frame[0] not in (_AGENT_HELLO, _AGENT_DISCONNECT) or not frame[4] & 1 or frame[5:7] != b"\0\0":
        return 4
    found = _pairs(frame[7:])
    if found is None:
        return 4
    if frame[0] == _AGENT_DISCONNECT:
        code = found.get(b"status-code", 0)
        return code if isinstance(code, int) else 4
    version, most = found.get(b"version"), found.get(b"max-frame-size")
    if not isinstance(version, bytes):
        return 5
    if not re.match(rb" *2\.\d", version):
        return 8
    if not isinstance(most, int):
        return 6
    if b"capabilities" not in found:
        return 7
    return None if 256 <= most <= 16380 else 9


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of variable length and where it ends (SPOE.txt, section 3.1). Raises IndexError."""
    value = data[at]
    at += 1
    if value < 240:
        return value, at
    shift = 4
    while True:
        more = data[at]
        at += 1
        value += more << shift
        shift += 7
        if more < 128:
            return value, at


def _pairs(data: bytes) -> dict[bytes, int | bytes | None] | None:
    """Keys and values, None when they are malformed."""
    found: dict[bytes, int | bytes | None] = {}
    at = 0
    try:
        while at < len(data):
            size, at = _varint(data, at)
            key, at = data[at : at + size], at + size
            kind = data[at] & 15
            flags, at = data[at], at + 1
            value: int | bytes | None = None
            if kind == 1:
                value = flags >> 4 & 1
            elif 2 <= kind <= 5:
                value, at = _varint(data, at)
            elif kind in (6, 7):
                at += 4 if kind == 6 else 16
            elif kind in (8, 9):
                size, at = _varint(data, at)
                value, at = data[at : at + size], at + size
            elif kind:
                return None
            if at > len(data):
                return None
            found[key] = value
    except IndexError:
        return None
    return found


_KINDS: dict[str, Callable[[tuple[str, ...]], tuple[Step, ...]]] = {
    "smtpchk": _smtp,
    "redis-check": _redis,
    "pgsql-check": _pgsql,
    "ssl-hello-chk": _ssl_hello,
    "mysql-check": _mysql,
    "ldap-check": _ldap,
    "spop-check": _spop,
}
