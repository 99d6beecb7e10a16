"""Heads as they come and as they should not: realistic ones, some of their bytes changed; and what was made of them.

The same number gives the same head, so a finding is told by its number. `request_verdicts` and `response_verdicts` are
the comparison: what the lane makes of some bytes and what h11 makes of them, with policy and the written form behind
each.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from trilb.http import lane, policy, record, write
from trilb.http.head import Head, Refusal

METHODS = [*b"GET POST PUT HEAD DELETE OPTIONS PATCH".split() * 4, *b"CONNECT PRI TRACE M-SEARCH get".split()]
PATHS = (
    b"/ /index.html /app/main.js?v=12 /a//b/../c /%7Euser?x=%00&y=a+b /p#part /search?q=[x]{y}|z /" + b"long/" * 60
).split()
_PLAIN = b"GET POST 0123456789 chunked close, host: te, length; a=b \"'/*?"
TARGETS = (
    b"* http://a/ http://A.b:80/x?y https://a:443 HTTP://a:81 ws://a a:443 a http:// //a/b x:y/ /\x80 / /"
).split()
HOSTS = b"a a.b:80 example.com localhost:8080 [::1]:80 A a:443 a:".split()
AGENTS = (
    b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    b"curl/7.88.1",
    b"x  y",
)
REQUEST_FIELDS: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (b"User-Agent", AGENTS),
    (b"Accept", (b"*/*", b"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")),
    (b"Accept-Encoding", (b"gzip, deflate, br",)),
    (b"Cookie", (b"a=1; b=2", b"SERVERID=s1; theme=dark", b'c="d;e"', b"SERVERID=", b"a=1;SERVERID=s2;b")),
    (b"X-Forwarded-For", (b"10.0.0.1", b"10.0.0.1, 10.0.0.2", b"")),
    (b"Referer", (b"http://example.com/", b"http://example.com/\x7f")),
    (b'sec-ch-ua"'[:-1], (b'"Chromium";v="130", "Not?A_Brand";v="99"',)),
    (b"Content-Length", (b"0", b"3", b"007", b"3, 3", b"3,4", b"+3", b"-1", b"9" * 19, b"9" * 20, b"", b"3 3", b"0x3")),
    (b"Transfer-Encoding", (b"chunked", b"Chunked", b"gzip, chunked", b"chunked, chunked", b"identity", b"x", b"")),
    (b"Connection", (b"close", b"keep-alive", b"Keep-Alive, Upgrade", b"upgrade", b"te, close", b"x-y,, close ,", b"")),
    (b"Upgrade", (b"websocket", b"h2c", b"WebSocket, x", b"TLS/1.0")),
    (b"HTTP2-Settings", (b"AAMAAABkAAQAAP__",)),
    (b"TE", (b"trailers", b"gzip, trailers", b"deflate;q=0.5", b"Trailers")),
    (b"Sec-WebSocket-Key", (b"dGhlIHNhbXBsZSBub25jZQ==",)),
    (b"Expect", (b"100-continue",)),
    (b"Keep-Alive", (b"timeout=5",)),
    (b"Host", (b"a", b"b", b"a.b:80")),
    (b"X-Empty", (b"",)),
    (b"X-\x60~!#$%&'*+.^_|", (b"odd name",)),
)
STATUSES = [*b"200 100 101 103 204 206 301 304 404 500 503 599".split() * 4, *b"600 099 20 2000".split()]
REASONS = [*(b"OK", b"Not Found", b"Fine by me", b"") * 4, b"two  blanks", b"\xe9t\xe9", b"OK "]
RESPONSE_FIELDS: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (b"Server", (b"nginx/1.22.1",)),
    (b"Date", (b"Sat, 21 Nov 2026 13:00:00 GMT",)),
    (b"Content-Type", (b"text/html; charset=utf-8",)),
    (b"Set-Cookie", (b"a=b; path=/", b"SERVERID=s1; path=/; HttpOnly")),
    (b"Cache-Control", (b"private", b"no-cache, max-age=0")),
    (b"ETag", (b'"x"',)),
    (b"Location", (b"http://a/b",)),
    *(field for field in REQUEST_FIELDS if field[0] in (b"Content-Length", b"Transfer-Encoding", b"Connection")),
    (b"Upgrade", (b"websocket",)),
    (b"Trailer", (b"x",)),
    (b"X-Empty", (b"",)),
)
ODD = (b"", b" ", b"\t", b"\r", b"\n", b"\0", b":", b",", b";", b"0", b"\x7f", b"\x80", b"\xff", b"\r\n", b"\r\n\r\n")


def _case(draw: Random, name: bytes) -> bytes:
    kind = draw.randrange(6)
    if kind == 0:
        return name.upper()
    return name.lower() if kind == 1 else bytes(draw.choice((c, c ^ 32)) if 65 <= c & 223 <= 90 else c for c in name)


def _fields(draw: Random, known: tuple[tuple[bytes, tuple[bytes, ...]], ...]) -> list[bytes]:
    lines = []
    for name, values in draw.sample(known, draw.randrange(min(9, len(known)))):
        spelled = name if draw.random() < 0.7 else _case(draw, name)
        # Mostly what is plain: heads of all that is odd would all be refused for the same reason.
        value = values[0] if draw.random() < 0.5 else draw.choice(values)
        lines.append(spelled + b": " + value if value or draw.random() < 0.1 else spelled + b":")
    return lines


def request(draw: Random) -> bytes:
    """A request's head, mostly a good one."""
    target = draw.choice(PATHS) if draw.random() < 0.9 else draw.choice(TARGETS)
    version = b"HTTP/1.1" if draw.random() < 0.95 else draw.choice((b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1"))
    lines = _fields(draw, REQUEST_FIELDS)
    if draw.random() < 0.9:
        lines.insert(draw.randrange(len(lines) + 1), b"Host: " + draw.choice(HOSTS))
    return b"\r\n".join([b" ".join((draw.choice(METHODS), target, version)), *lines, b"", b""])


def response(draw: Random) -> bytes:
    """A response's head, mostly a good one."""
    version = b"HTTP/1.1" if draw.random() < 0.95 else draw.choice((b"HTTP/1.0", b"HTTP/1.2", b"ICY"))
    first = b" ".join((version, draw.choice(STATUSES), draw.choice(REASONS)))
    return b"\r\n".join([first, *_fields(draw, RESPONSE_FIELDS), b"", b""])


def _flip(draw: Random, raw: bytes) -> bytes:
    at = draw.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << draw.randrange(8)]) + raw[at + 1 :]


def _any_byte(draw: Random, raw: bytes) -> bytes:
    at = draw.randrange(len(raw))
    return raw[:at] + bytes([draw.randrange(256)]) + raw[at + draw.randrange(2) :]


def _odd(draw: Random, raw: bytes) -> bytes:
    at = draw.randrange(len(raw))
    return raw[:at] + draw.choice(ODD) + raw[at + draw.randrange(3) :]


def _plain(draw: Random, raw: bytes) -> bytes:
    """Bytes that any head may have, put in or instead of others: most such heads stay the lane's."""
    at, start = draw.randrange(len(raw)), draw.randrange(len(_PLAIN))
    return raw[:at] + _PLAIN[start : start + draw.randrange(4)] + raw[at + draw.randrange(3) :]


def _control(draw: Random, raw: bytes) -> bytes:
    at = draw.randrange(len(raw))
    return raw[:at] + bytes([draw.randrange(32)]) + raw[at:]


def _lines(draw: Random, raw: bytes) -> bytes:
    """A line twice, elsewhere, gone, folded, without its CR, ended by CR alone."""
    lines = raw.split(b"\r\n")
    at = draw.randrange(len(lines))
    kind = draw.randrange(6)
    if kind == 0:
        lines.insert(draw.randrange(len(lines)), lines[at])
    elif kind == 1:
        lines.insert(draw.randrange(len(lines)), lines.pop(at))
    elif kind == 2:
        del lines[at]
    elif kind == 3:
        lines.insert(at, draw.choice((b" ", b"\t", b"  ")) + draw.choice((b"", b"folded", b"x: y")))
    else:
        ends = [b"\r\n"] * (len(lines) - 1)
        if ends:
            ends[draw.randrange(len(ends))] = b"\n" if kind == 4 else b"\r"
        return b"".join(line + end for line, end in zip(lines, [*ends, b""], strict=True))
    return b"\r\n".join(lines)


def _blanks(draw: Random, raw: bytes) -> bytes:
    """Blanks where a colon, a comma, a blank or a line's end is: before, behind, or instead."""
    places = [at for at, byte in enumerate(raw) if byte in b":, \r"]
    if not places:
        return raw
    at = draw.choice(places)
    blanks = draw.choice((b" ", b"\t", b"  ", b" \t ", b""))
    return raw[: at + draw.randrange(2)] + blanks + raw[at + draw.randrange(2) :]


def _huge(draw: Random, raw: bytes) -> bytes:
    """A value, a name or a number of fields around the limits."""
    line = raw.find(b"\r\n") + 2
    if line < 2:
        return raw
    kind = draw.randrange(4)
    if kind == 0:
        grown = b"X-Huge: " + b"v" * draw.choice((1000, 7900, 8000, 14000, 15300, 15360, 16300, 17000)) + b"\r\n"
    elif kind == 1:
        grown = b"x" * draw.choice((60, 64, 65, 300, 8000)) + b": v\r\n"
    elif kind == 2:
        grown = b"".join(b"x-%d: v\r\n" % n for n in range(draw.choice((60, 95, 98, 99, 100, 101, 102, 200))))
    else:
        slash = raw.find(b"/")
        return raw[:slash] + b"/" + b"p" * draw.choice((7000, 8000, 15000, 17000)) + raw[max(slash, 0) :]
    return raw[:line] + grown + raw[line:]


def _truncated(draw: Random, raw: bytes) -> bytes:
    return raw[: draw.randrange(len(raw))]


def _more(draw: Random, raw: bytes) -> bytes:
    """Bytes behind the head, or before it."""
    return raw + draw.choice((b"abc", b"\r\n", b"\0", raw)) if draw.random() < 0.8 else b"\r\n" + raw


_CHANGES: tuple[Callable[[Random, bytes], bytes], ...] = (
    _plain, _plain, _plain, _plain, _plain, _plain, _flip, _flip, _any_byte, _odd, _odd, _control, _lines, _lines,
    _lines, _blanks, _blanks, _huge, _truncated, _more, _more,
)  # fmt: skip


def mutant(number: int, make: Callable[[Random], bytes]) -> bytes:
    """The head of this number, with up to four changes; some have none."""
    draw = Random(number)
    raw = make(draw)
    for _ in range(draw.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        if raw:
            raw = draw.choice(_CHANGES)(draw, raw)
    return raw


LIMITS = policy.Limits()
RELAXED = policy.Limits(relaxed=True)
_WORDS = (
    "method", "target", "version", "status", "reason", "spoken", "length", "chunked", "connection", "upgrade",
    "composed",
)  # fmt: skip

Found = tuple[Head, int]
Verdict = object
"""All that a head says and what is written of it, its refusal's status, or None while it is not complete."""


def said(head: Head, size: int, raw: bytes) -> Verdict:
    """All that a head says; what is written to a server or client; the same once more after rules have edited it."""
    words = [tuple(getattr(head, word) for word in _WORDS), list(head.fields), size, raw[size:]]
    asked = bool(head.method)
    words += [head.get(b"host"), head.get(b"cookie"), head.all(b"set-cookie"), head.all(b"x-forwarded-for")]
    words.append(write.request(head, b"x: y\r\n") if asked else write.response(head, b"x: y\r\n"))
    names = sorted({name for name, _ in head.fields})
    if names:
        head.remove(names[size % len(names)])
        head.set(names[(size // 2) % len(names)], b"set")
    head.add(b"cookie", b"added")
    words += [list(head.fields), write.request(head) if asked else write.response(head)]
    return words


def _judged(parse: Callable[[bytes], Found | None], meaning: Callable[[Head, int], None], raw: bytes) -> Verdict:
    try:
        found = parse(raw)
        if found is None:
            return None
        before = list(found[0].fields)
        meaning(*found)
    except Refusal as refusal:
        return refusal.status
    return before, said(*found, raw)


def request_verdicts(raw: bytes, limits: policy.Limits = LIMITS) -> tuple[Verdict, ...] | None:
    """What h11 and the lane make of a request; None when the lane does not take it.

    The lane is asked twice, as it remembers, and once more as the lane of a session whose last request was the same but
    for its first line, if that one takes it; that twice, too.
    """
    if lane.request(raw) is None:
        return None
    slow = record.relaxed_request if limits.relaxed else record.request

    def meaning(head: Head, size: int) -> None:
        policy.request(head, size, limits)

    def plain(head: Head, size: int) -> None:
        policy.request(head, size, limits, True)

    found = [_judged(lambda data: slow(data, limits.raw), meaning, raw)]
    found += [_judged(lane.request, plain, raw) for _ in range(2)]
    previous = _previous(raw, limits)
    if previous is not None and previous.request(raw, limits.unmeasured) is not None:
        again = [_judged(lambda data: previous.request(data, limits.unmeasured), _nothing, raw) for _ in range(2)]
        # Policy is done with it: there is nothing before it to compare.
        first = found[0]
        found += [
            one if not isinstance(first, tuple) or not isinstance(one, tuple) else (first[0], one[1]) for one in again
        ]
    return tuple(found)


def _nothing(head: Head, size: int) -> None:
    """What is left to do for a head that policy has seen."""


def _previous(raw: bytes, limits: policy.Limits) -> lane.Previous | None:
    """A session's memory after a request that differs in its first line only."""
    before = b"GET /before HTTP/1.1" + raw[raw.find(b"\r\n") :]
    found = lane.request(before)
    if found is None:
        return None
    try:
        policy.request(*found, limits, True)
    except Refusal:
        return None
    previous = lane.Previous()
    previous.keep(before, *found)
    return previous


def response_verdicts(raw: bytes, method: bytes = b"GET") -> tuple[Verdict, ...] | None:
    """What h11 and the lane, asked twice, make of an answer to that method; None when the lane does not take it."""
    if lane.response(raw) is None:
        return None

    def meaning(head: Head, size: int) -> None:
        policy.response(head, size, LIMITS, method)

    slow = _judged(lambda data: record.response(data, LIMITS.raw), meaning, raw)
    return slow, _judged(lane.response, meaning, raw), _judged(lane.response, meaning, raw)


def difference(number: int) -> bytes | None:
    """The head of this number if they disagree about it; every fourth is a response."""
    raw = mutant(number, response if number % 4 == 0 else request)
    return raw if differs(raw, number) else None


def verdicts(raw: bytes, number: int) -> tuple[Verdict, ...] | None:
    """What all say, h11 first; the number chooses the kind of head, the method asked for, and the limits."""
    if number % 4 == 0:
        return response_verdicts(raw, (b"GET", b"HEAD", b"CONNECT")[number // 4 % 3])
    return request_verdicts(raw, RELAXED if number % 4 == 1 and number % 3 == 0 else LIMITS)


def differs(raw: bytes, number: int) -> bool:
    """Does somebody disagree with h11 about these bytes?"""
    found = verdicts(raw, number)
    return found is not None and any(one != found[0] for one in found[1:])


def taken(number: int) -> bool:
    """Does the lane take the head of this number?"""
    if number % 4 == 0:
        return lane.response(mutant(number, response)) is not None
    return lane.request(mutant(number, request)) is not None


def smallest(raw: bytes, number: int) -> bytes:
    """A disagreement with every part taken out that it does not need."""
    size = max(1, len(raw) // 2)
    while size:
        at = 0
        while at < len(raw):
            less = raw[:at] + raw[at + size :]
            if less and differs(less, number):
                raw = less
            else:
                at += size
        size //= 2
    return raw
