"""The cookie directive: which server, what is forwarded, what is set, and the two cookie letters of the log.

Servers a (A1), b (A2) and c (no value) stand behind `balance first`, so only a cookie leads away from a.
In a row's cookie `<-50>` is the date of 50 seconds ago.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.duel import Duel, Side
from tests.support.origin import Origin
from tests.support.syslog import mask
from tests.support.wire import Client

if TYPE_CHECKING:
    from tests.duel.conftest import DuelFactory

A, B, C = "server a 127.0.0.1:{origin1}", "server b 127.0.0.1:{origin2}", "server c 127.0.0.1:{origin3}"
DEAD = "server b 127.0.0.1:{dead}"
ABC = (f"{A} cookie A1", f"{B} cookie A2", C)
WITHOUT = (A, f"{B} cookie A2")
X = "if { hdr(x) 1 }"
MODES = {
    "insert": "insert",
    "indirect": "insert indirect",
    "prefix": "prefix",
    "prefix-indirect": "prefix indirect",
    "rewrite": "rewrite",
    "passive": "",
    "passive-indirect": "indirect",
    "preserve": "insert preserve",
    "indirect-preserve": "insert indirect preserve",
    "passive-preserve": "indirect preserve",
    "postonly": "insert indirect postonly",
    "nocache": "insert nocache",
    "indirect-nocache": "insert indirect nocache",
    "rewrite-nocache": "rewrite nocache",
    "prefix-nocache": "prefix nocache",
    "postonly-nocache": "insert postonly nocache",
    "maxidle": "insert indirect maxidle 100",
    "maxlife": "insert indirect maxlife 200",
    "maxidle-maxlife": "insert indirect maxidle 100 maxlife 200s",
    "maxidle-postonly": "insert indirect postonly maxidle 100",
    "maxidle-nocache": "insert nocache maxidle 100",
    "attributes": "insert indirect httponly secure attr SameSite=None attr Max-Age=60",
    "disorder": "attr X=1 secure domain .a.com insert domain b.org httponly indirect",
    "own-path": "insert attr path=/app",
    "prefix-attributes": "prefix domain .x.com secure attr Y",
    "rewrite-attributes": "rewrite secure httponly",
}
BACKENDS: dict[str, tuple[str, ...]] = {
    **{name: (f"cookie SRV {options}", *ABC) for name, options in MODES.items()},
    "two-lines": ("cookie SRV insert indirect secure domain a.b attr Q=1", "cookie ZRV insert attr R=2", *ABC),
    "no-directive": ABC,
    "without": ("cookie SRV insert indirect", *WITHOUT),
    "without-prefix": ("cookie SRV prefix", *WITHOUT),
    "without-rewrite": ("cookie SRV rewrite", *WITHOUT),
    "without-maxidle": ("cookie SRV insert indirect maxidle 100", *WITHOUT),
    "without-all": ("cookie SRV insert nocache secure attr x=1 domain .d.e", *WITHOUT),
    "backup": ("cookie SRV insert indirect", f"{A} cookie A1", f"{B} cookie A2 backup", f"{C} backup"),
    "only-backup": ("cookie SRV insert indirect", f"{A} cookie A1 disabled", f"{B} cookie A2 backup", f"{C} backup"),
    "weight-0": ("cookie SRV insert indirect", f"{A} cookie A1", f"{B} cookie A2 weight 0"),
    "disabled": ("cookie SRV insert indirect", f"{A} cookie A1", f"{B} cookie A2 disabled"),
    "disabled-persist": ("cookie SRV insert indirect", "option persist", f"{A} cookie A1", f"{B} cookie A2 disabled"),
    "disabled-forced": (
        "cookie SRV insert indirect",
        f"force-persist {X}",
        f"{A} cookie A1",
        f"{B} cookie A2 disabled",
    ),
    "none-left": ("cookie SRV insert indirect", f"{A} cookie A1 disabled"),
    "twins": ("cookie SRV insert indirect", f"{A} cookie A1 disabled", f"{B} cookie A1", f"{C} cookie A1"),
    "ignored": ("cookie SRV insert indirect", f"ignore-persist {X}", *ABC),
    "ignored-insert": ("cookie SRV insert", f"ignore-persist {X}", *ABC),
    "ignored-prefix": ("cookie SRV prefix", f"ignore-persist {X}", *ABC),
    "ignored-rewrite": ("cookie SRV rewrite", f"ignore-persist {X}", *ABC),
    "use-server": ("cookie SRV insert indirect", f"use-server b {X}", *ABC),
    "refused": ("cookie SRV insert indirect", f"{DEAD} cookie A1"),
}
CONFIG = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    option httplog
    retries 0
    timeout connect 1s
    timeout client 3s
    timeout server 3s
    balance first
"""
DOWN = """
backend down
    cookie SRV insert indirect
    server a 127.0.0.1:{origin1} cookie A1
    server b 127.0.0.1:{dead} cookie A2 check inter 50ms fall 1
backend persist
    cookie SRV insert indirect
    option persist
    server a 127.0.0.1:{origin1} cookie A1
    server b 127.0.0.1:{dead} cookie A2 track down/b
backend persist-redispatch
    cookie SRV insert indirect
    option persist
    option redispatch
    retries 1
    server a 127.0.0.1:{origin1} cookie A1
    server b 127.0.0.1:{dead} cookie A2 track down/b
backend force-persist
    cookie SRV insert indirect
    force-persist if { hdr(x) 1 }
    server a 127.0.0.1:{origin1} cookie A1
    server b 127.0.0.1:{dead} cookie A2 track down/b
"""
DYNAMIC = """
backend dynamic
    cookie SRV insert dynamic
    dynamic-cookie-key k1
    server a 127.0.0.1:{origin_one}
    server b 127.0.0.1:{origin_two}
    server c 127.0.0.1:{origin_two} cookie FIXED
backend dynamic-other-key
    cookie SRV insert indirect dynamic httponly
    dynamic-cookie-key other
    server a 127.0.0.1:{origin_one}
backend dynamic-prefix
    cookie SRV prefix dynamic
    dynamic-cookie-key k1
    server a 127.0.0.1:{origin_one}
    server b 127.0.0.1:{origin_two}
"""


def frontend(names: list[str]) -> str:
    """Build the frontend: the first element of the path names the backend."""
    rules = "".join(f"    use_backend {name} if {{ path_beg /{name}/ }}\n" for name in names)
    return f"frontend fe\n    bind 127.0.0.1:{{port}}\n{rules}"


def config() -> str:
    """Build one configuration for all rows but those of servers that are down, or dynamic."""
    text = CONFIG + frontend(list(BACKENDS))
    for name, lines in BACKENDS.items():
        text += f"backend {name}\n" + "".join(f"    {line}\n" for line in lines)
    return text


ETAG, OWN = "ETag: x", "Set-Cookie: SRV=app; Path=/x"
# name -> status line and header lines of the origin's answer; the second element of a row's path
ANSWERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "plain": ("200 OK", ("X: 1", "Y: 2")),
    "etag": ("200 OK", (ETAG,)),
    "own": ("200 OK", ("X: 1", OWN, "Y: 2")),
    "own-etag": ("200 OK", (OWN, ETAG)),
    "own-known": ("200 OK", ("Set-Cookie: SRV=A2",)),
    "own-twice": ("200 OK", ("Set-Cookie: SRV=app", "X: 1", "Set-Cookie: SRV=app2; Secure")),
    "own-and-other": ("200 OK", (OWN, "Set-Cookie: o=1")),
    "other-and-own": ("200 OK", ("Set-Cookie: o=1", OWN)),
    "own-second": ("200 OK", ("Set-Cookie: o=1, SRV=app; Path=/, p=2",)),
    "own-attribute": ("200 OK", ("Set-Cookie: o=1; SRV=app",)),
    "own-empty": ("200 OK", ("Set-Cookie: SRV=; Path=/",)),
    "own-no-value": ("200 OK", ("Set-Cookie: SRV",)),
    "own-spaces": ("200 OK", ("Set-Cookie:  SRV = app ; Path=/x",)),
    "own-quoted": ("200 OK", ('Set-Cookie: SRV="app"; Path=/x',)),
    "own-case": ("200 OK", ("Set-Cookie: srv=app",)),
    "own-set-cookie2": ("200 OK", ("Set-Cookie2: SRV=app; Version=1",)),
}
OWNS = tuple(name for name in ANSWERS if name.startswith("own") or name == "other-and-own")


def slug(text: str) -> str:
    """Make a path element of it."""
    return re.sub(r"[^\w=-]+", "_", text)


CONTROLS = (
    "public", "max-age=60", "s-maxage=60", "max-age=0", "max-age=60, no-store", "max-age=60, public, private",
    'max-age="60"', "max-age=x", "max-age", "must-revalidate, max-age=60", "public, max-age=60", "private",
)  # fmt: skip
ETAG_CONTROLS = (
    "private", "PRIVATE", "no-cache", "no-store", "max-age=0", "s-maxage=0", "max-age=60", "public",
    'no-cache="set-cookie"', 'no-cache="x"', 'private="x"', "public, no-cache", "no-cache, public", "privatee",
    "must-revalidate", "no-transform", "s-maxage=60, max-age=0", "max-age=00",
)  # fmt: skip
CACHEABLE = {
    **{slug(f"control-{value}"): (f"Cache-Control: {value}",) for value in CONTROLS},
    **{slug(f"etag-control-{value}"): (ETAG, f"Cache-Control: {value}") for value in ETAG_CONTROLS},
    "last-modified": ("Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT",),
    "expires": ("Expires: Thu, 01 Jan 2099 00:00:00 GMT",),
    "expires-0": ("Expires: 0",),
    "vary": (ETAG, "Vary: *"),
    "age": (ETAG, "Age: 10"),
    "pragma": (ETAG, "Pragma: no-cache"),
    "pragma-second": (ETAG, "Pragma: x, no-cache"),
    "two-controls": (ETAG, "Cache-Control: no-cache", "Cache-Control: public"),
    "two-controls-back": (ETAG, "Cache-Control: public", "Cache-Control: private"),
    "other-cookie": (ETAG, "Set-Cookie: a=1"),
}
ANSWERS |= {name: ("200 OK", lines) for name, lines in CACHEABLE.items()}
STATUSES = (
    201, 202, 203, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 410, 414, 500, 501, 503,
)  # fmt: skip
ANSWERS |= {f"status-{s}": (f"{s} S", (ETAG,)) for s in STATUSES}
ANSWERS |= {f"public-{s}": (f"{s} S", (ETAG, "Cache-Control: public")) for s in (302, 500)}


@dataclass(frozen=True)
class Row:
    """One request: the backend, its Cookie headers, the origin's answer, further headers."""

    backend: str
    cookies: tuple[str, ...] = ()
    answer: str = "plain"
    headers: tuple[str, ...] = ()
    method: str = "GET"

    @property
    def id(self) -> str:
        """Name of the row."""
        parts = (self.backend, *map(repr, self.cookies), self.answer, *self.headers, self.method)
        return " ".join(p for p in parts if p not in ("plain", "GET"))


COOKIES = [
    (value,)
    for value in (
        "SRV=A2", "SRV=A2; b=2", "a=1; SRV=A2", "a=1; SRV=A2; b=2", "a=1;SRV=A2;b=2", "a=1 ; SRV = A2 ; b=2",
        "a=1;  SRV=A2;  b=2", "SRV=A2;", "SRV=A2; ", "a=1; SRV=A2;", "a = 1; b = 2", "; SRV=A2", " SRV=A2 ", "SRV=\tA2",
        'SRV="A2"; b=2', 'a="x;SRV=A1"; SRV=A2', "SRV=; b=2", "a=1; SRV=", "SRV", "SRV; b=2", "a; SRV=A2", "=x; SRV=A2",
        "SRV=A1; SRV=A2", "SRV=A2; a=1; SRV=A1; b=2", "SRV=ZZ; SRV=A2", "SRV=ZZ; a=1", "srv=A2", "XSRV=A1; SRVX=A2",
        "SRV=A2=3; b=2", "SRV=A2 x; b=2", "a=1;;SRV=A2;;b=2", "a=1, SRV=A2, b=2",
        "$Version=1; SRV=A2; $Path=/; b=2", "$Version=1; a=1; $Path=/; SRV=A2; $Path=/", '$Version="1", SRV=A2',
        "a=1; SRV=A2~x; b=2", "SRV=A2~; b=2", "SRV=~x", "SRV=A2~x; SRV=A1~y", 'SRV="A2~x"; b=1', "SRV=A2|abc; b=2", "",
    )
]  # fmt: skip
HEADERS = [
    ("SRV=A2", "b=2"),
    ("a=1", "SRV=A2"),
    ("a=1", "SRV=A2", "c=3"),
    ("SRV=A2", "SRV=A1"),
    ("SRV=ZZ", "SRV=A2"),
    ("a=1; SRV=ZZ", "SRV=A2; c=3"),
    ("SRV=A2; SRV=A1", "SRV=A1; SRV=A2"),
    ("SRV=A2~x", "SRV=A1~y"),
    ("SRV=ZZ~x; q=1", "r=2; SRV=A1~y"),
    ("", "SRV=A2"),
]
REQUESTS = [
    Row(backend, cookies)
    for backend in ("insert", "indirect", "prefix", "prefix-indirect", "rewrite", "passive", "passive-indirect")
    for cookies in COOKIES + HEADERS
]
A1, A2, ZZ = ("SRV=A1",), ("SRV=A2",), ("SRV=ZZ",)
OWNING = (
    "insert", "indirect", "preserve", "indirect-preserve", "passive", "passive-indirect", "passive-preserve",
    "rewrite", "prefix", "prefix-indirect", "postonly", "without", "without-prefix", "without-rewrite", "no-directive",
    "prefix-attributes", "rewrite-attributes",
)  # fmt: skip
RESPONSES = [
    Row(backend, cookies, answer)
    for backend in OWNING
    for cookies, answers in (((), OWNS), (A2, OWNS), (ZZ, ("own", "own-known", "own-twice")))
    for answer in ("plain", *answers)
]
NOCACHE = [
    *(Row("nocache", answer=answer) for answer in ANSWERS if answer not in OWNS),
    *(Row("nocache", answer="etag", method=m) for m in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH")),
    *(Row("nocache", answer=a, method="POST") for a in ("control-public", "control-max-age=60", "etag-control-public")),
    *(
        Row("nocache", answer="etag", headers=(header,))
        for header in ("Authorization: Basic eA==", "Pragma: no-cache", "Cache-Control: no-store", "Range: bytes=0-1")
    ),
    *(
        Row(backend, cookies, answer)
        for backend in ("indirect", *(name for name in MODES if name.endswith("nocache")))
        for cookies in ((), A2)
        for answer in ("etag", "own-etag")
    ),
    *(Row("postonly-nocache", answer=a, method="POST") for a in ("plain", "etag", "etag-control-public")),
    *(Row("postonly", cookies, answer, (), "POST") for cookies in ((), A2, ZZ) for answer in ("plain", "own")),
]
DATES = [
    Row(backend, (cookie,))
    for backend in ("indirect", "maxidle", "maxlife", "maxidle-maxlife", "maxidle-postonly", "without-maxidle")
    for cookie in (
        "a=1", "SRV=A2", "SRV=ZZ", "SRV=A2|<8>", "SRV=A2|<-50>", "SRV=A2|<-90>", "SRV=A2|<-110>", "SRV=A2|<3600>",
        "SRV=A2|<86300>", "SRV=A2|<86500>", "SRV=A2|<8>|<-150>", "SRV=A2|<8>|<-220>", "SRV=A2|<8>|<90000>",
        "SRV=A2|<-50>|<-150>", "SRV=A2||<-20>", "SRV=A2||<-300>", "SRV=A2|", "SRV=A2||", "SRV=A2|!!!!!", "SRV=A2|abc",
        "SRV=A2|<8>xx", "SRV=A2|<8>|", "SRV=A2|<8>|bad", "SRV=A2|<8>|<8>|x", "SRV=ZZ|<8>", "SRV=|<8>",
        "SRV=ZZ; SRV=A2|<-50>",
    )
]  # fmt: skip
OTHERS = (
    "attributes", "disorder", "own-path", "prefix-attributes", "rewrite-attributes", "two-lines", "no-directive",
    "without", "without-all", "backup", "only-backup", "weight-0", "disabled", "disabled-persist", "disabled-forced",
    "none-left", "twins", "refused", "ignored", "ignored-insert", "ignored-prefix", "ignored-rewrite", "use-server",
)  # fmt: skip
SWITCHED = ("disabled-forced", "ignored", "ignored-insert", "ignored-prefix", "ignored-rewrite", "use-server")
OPTIONS = [
    Row(backend, cookies, answer, headers)
    for backend in OTHERS
    for cookies in ((), A1, A2, ZZ, ("SRV=A2~x",))
    for headers in (((), ("X: 1",)) if backend in SWITCHED else ((),))
    for answer in (("plain", "own") if backend.startswith("ignored") else ("plain",))
]
TABLES = {
    "request": REQUESTS, "response": RESPONSES, "nocache": NOCACHE, "date": DATES, "option": OPTIONS,
}  # fmt: skip
DOWNS = [
    Row(backend, cookies, "plain", headers)
    for backend in ("down", "persist", "persist-redispatch", "force-persist")
    for cookies in ((), A1, A2)
    for headers in ((), ("X: 1",))
    if backend == "force-persist" or not headers
]

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def stamp(when: float) -> str:
    """Encode a date as a cookie carries it: five digits to base 64, in units of 4 seconds."""
    units = (int(when) + 3) >> 2
    return "".join(ALPHABET[units >> shift & 63] for shift in (24, 18, 12, 6, 0))


def seconds(date: str) -> int:
    """Decode such a date."""
    units = 0
    for char in date:
        units = units << 6 | ALPHABET.index(char)
    return units << 2


def dated(raw: bytes, now: float) -> bytes:
    """Write NOW for each date of about now."""
    return re.sub(
        rb"\|([\w+/]{5})(?=[|;])",
        lambda m: b"|NOW" if abs(seconds(m[1].decode()) - now) < 7 else m[0],
        raw,
    )


def respond(raw: bytes, origin: Origin) -> bytes:
    """Answer as the second element of the path says."""
    status, lines = ANSWERS[raw.split(b"/", 3)[2].split(b" ")[0].decode()]
    length = () if status[:3] in ("204", "304") else ("content-length: 0",)
    return "\r\n".join((f"HTTP/1.1 {status}", *length, f"x-server: {origin.name}", *lines, "", "")).encode()


def encode(row: Row, now: float) -> bytes:
    """Build the request of a row."""
    cookies = (re.sub(r"<(-?\d+)>", lambda m: stamp(now + int(m[1])), c) for c in row.cookies)
    length = ("Content-Length: 0",) if row.method in ("POST", "PUT", "PATCH") else ()
    lines = (
        f"{row.method} /{row.backend}/{row.answer} HTTP/1.1",
        "Host: a",
        "A: 1",
        *(f"Cookie: {c}" for c in cookies),
    )
    return "\r\n".join((*lines, *row.headers, *length, "Z: 1", "", "")).encode()


def observe(side: Side, raw: bytes, method: str, now: float) -> tuple[bytes, list[bytes], str]:
    """Send one request; return response, what the origins got, log line."""
    for origin in side.origins:
        origin.clear()
    with Client(side.port, timeout=3.0) as client:
        client.send(raw)
        answer = client.read_response(method)
    line = mask(side.syslog.take(1, 1.0)[0], counts=True)
    return dated(answer, now), [request for origin in side.origins for request in origin.requests], line


def check(duel: Duel, row: Row) -> None:
    """Assert that both programs treat the row alike."""
    now = time.time()
    raw = encode(row, now)
    expected, found = duel.both(lambda side: observe(side, raw, row.method, now))
    assert found == expected


@pytest.fixture(scope="module")
def sides(module_duel: DuelFactory) -> Duel:
    """Both programs, started once."""
    return module_duel(config(), respond)


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{t}: {row.id}") for t, rows in TABLES.items() for row in rows])
def test_cookie(sides: Duel, row: Row) -> None:
    """Server, forwarded bytes, response bytes and log line are HAProxy's."""
    check(sides, row)


@pytest.fixture(scope="module")
def down(module_duel: DuelFactory) -> Duel:
    """Both programs after server b has been found down."""
    names = re.findall(r"^backend (\S+)", DOWN, re.MULTILINE)
    duel = module_duel(CONFIG + frontend(names) + DOWN, respond)
    for side in (duel.haproxy, duel.trilb):
        waiting = set(names)
        while waiting:
            found = re.search(r"Server (\S+)/b is DOWN", side.syslog.take_match(r"/b is DOWN"))
            waiting.discard(found[1] if found else "")
    return duel


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in DOWNS])
def test_down(down: Duel, row: Row) -> None:
    """A cookie leads to a server that is down only if persistence is asked for."""
    check(down, row)


@pytest.fixture(scope="module")
def dynamic(module_duel: DuelFactory) -> Iterator[Duel]:
    """Both programs before the same two origins, as dynamic values depend on the address."""
    with Origin(respond, name="one") as one, Origin(respond, name="two") as two:
        names = re.findall(r"^backend (\S+)", DYNAMIC, re.MULTILINE)
        text = CONFIG + frontend(names) + DYNAMIC
        yield module_duel(text, origin_one=str(one.port), origin_two=str(two.port))


@pytest.mark.parametrize("backend", re.findall(r"^backend (\S+)", DYNAMIC, re.MULTILINE))
def test_dynamic(dynamic: Duel, backend: str) -> None:
    """Dynamic values are HAProxy's and lead back to their server."""
    check(dynamic, Row(backend))
    check(dynamic, Row(backend, answer="own"))
    first = observe(dynamic.haproxy, encode(Row(backend, answer="own"), 0), "GET", 0)
    value = re.findall(rb"(?m)^set-cookie: SRV=([0-9a-f]{16})", first[0])[0].decode()
    for cookie in (value, value.upper(), f"{value}~x", "FIXED", "0" * 16):
        check(dynamic, Row(backend, (f"SRV={cookie}",)))


@pytest.mark.parametrize("backend", ["insert", "indirect", "prefix", "rewrite"])
def test_connection(sides: Duel, backend: str) -> None:
    """Each request of a connection is led by its own cookie."""
    rows = [Row(backend, cookies) for cookies in (A1, A2, (), ZZ, A2, (), A1)]

    def run(side: Side) -> tuple[list[bytes], list[list[bytes]], list[str]]:
        for origin in side.origins:
            origin.clear()
        with Client(side.port, timeout=3.0) as client:
            answers = []
            for row in rows:
                client.send(encode(row, 0))
                answers.append(client.read_response())
        lines = [mask(line, counts=True) for line in side.syslog.take(len(rows), 1.0)]
        return answers, [origin.requests.copy() for origin in side.origins], lines

    expected, found = sides.both(run)
    assert found == expected
