"""Every %variable with every combination of flags, in sessions that end differently; how formats treat blanks,
expressions and what is missing; captured cookies; what is an error for log-separate-errors and dontlog-normal.

What 2.6 does not know (json, cbor, profiles, steps) is in tests/logs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.duel import Duel, Side
from tests.support.origin import Origin, default_respond
from tests.support.syslog import mask
from tests.support.wire import exchange

if TYPE_CHECKING:
    from tests.duel.conftest import DuelFactory

HTTP_ONLY = "tr trg trl Ti TR Tq Tr Ta CC CS HM HP HPO HQ HU HV r tsc".split()
VARIABLES = [
    *"B H ID ST T Tc Td Th Tl Ts Tt Tu Tw U ac b bc bi bp bq ci cp f fc fi fp ft hr hrl hs hsl lc ms pid rc rt s sc "
    "si sp sq sslc sslv t ts".split(),
    *HTTP_ONLY,
]
FLAGS = ("", "+Q", "+X", "+E", "+M", "+Q,+X", "+Q,+E", "+X,+E", "+Q,+X,+E,+M")
DIFFERENT = {"cp", "fp", "bp", "sp", "pid", "ms", "Ts", "rt", "lc"}
"""Numbers that are not the same in two programs; their hexadecimal form is checked against the plain one."""


def table(names: list[str]) -> str:
    """All variables with all flags as one format."""
    items = [f"{name}=%{'{' + flags + '}' if flags else ''}{name}" for name in names for flags in FLAGS]
    return "'" + "~".join(items) + "'"


EVERY = table(VARIABLES)
EVERY_TCP = table([name for name in VARIABLES if name not in HTTP_ONLY])
TEXTS = {
    "blanks": "a  b   c",
    "an empty item between blanks": "a %HQ b",
    "captures that are not there": "a %hr b %hs c%hr d %hrl %hsl e",
    "a blank before and after an item": "a%HQ b %HQ%HQ c",
    "tabs stay": "a \t b\t\tc",
    "percent": "100%% %%r",
    "an expression": "%[src] %[fe_name] %[int(5)] %[always_true]",
    "quoted expressions": "%{+Q}[fe_name] %{+Q}[src] %{+Q}[int(5)] %{+Q}[always_true]",
    "hexadecimal does nothing to expressions": "%{+X}[src] %{+X}[int(50)]",
    "escaped expressions": r"%{+E}[str(a\"b]c)] %{+Q,+E}[str(a\"b]c)] %[str(a\"b]c)]",
    "an expression's blanks": "a %[str( x  y )] b",
    "missing expressions": "%[srv_name] %{+Q}[srv_name] %{+M}[srv_name] %{+Q,+M}[srv_name] %{-M}[srv_name]",
    "flags of all": "%{+Q}o %f %ci %{-Q}f %[fe_name] %{-Q}o %f",
    "flags add up": "%{+Q}o %{+X}o %ci %f %{-X}ci %{-X}o %{-Q}o %ci",
    "a flag of no sign": "%{Q,+E}f",
}
"""Formats in logs, in header values and in bodies: the same text, different rules."""
HTTP_TEXTS = [text.replace("srv_name", "req.hdr(nope)") for text in TEXTS.values()]

SCENES = """
global
    log 127.0.0.1:{syslog} len 65000 format raw local0
    tune.http.logurilen 80
defaults
    mode http
    log global
    timeout connect 1s
    timeout client 1s
    timeout server 1s
    retries 1
listen plain
    bind 127.0.0.1:{port_plain}
    log-format EVERY
    server s 127.0.0.1:{origin1}
listen captures
    bind 127.0.0.1:{port_captures}
    capture request header X-A len 9
    capture request header X-B len 9
    capture response header X-Server len 9
    capture cookie CK len 12
    unique-id-format %ci_x
    log-format EVERY
    server s 127.0.0.1:{origin1}
listen asap
    bind 127.0.0.1:{port_asap}
    option logasap
    log-format EVERY
    server s 127.0.0.1:{origin1}
listen deny
    bind 127.0.0.1:{port_deny}
    log-format EVERY
    http-request deny
listen refused
    bind 127.0.0.1:{port_refused}
    log-format EVERY
    server s 127.0.0.1:{dead}
listen tcp
    mode tcp
    bind 127.0.0.1:{port_tcp}
    log-format TCP_EVERY
    server s 127.0.0.1:{origin1}
listen tcp-asap
    mode tcp
    bind 127.0.0.1:{port_tcp_asap}
    option logasap
    log-format TCP_EVERY
    server s 127.0.0.1:{origin1}
listen tcp-refused
    mode tcp
    bind 127.0.0.1:{port_tcp_refused}
    log-format TCP_EVERY
    server s 127.0.0.1:{dead}
listen texts
    bind 127.0.0.1:{port_texts}
    log-format 'TEXTS'
    http-request deny
listen ends
    bind 127.0.0.1:{port_ends}
    log-format '   begin %HQ end   '
    http-request deny
listen bodies
    bind 127.0.0.1:{port_bodies}
    no log
BODIES
listen headers
    bind 127.0.0.1:{port_headers}
    no log
HEADERS
listen cookie
    bind 127.0.0.1:{port_cookie}
    capture cookie CK len 12
    log-format '%CC|%CS|%{+Q}CC'
    server s 127.0.0.1:{origin1}
listen cookie-exact
    bind 127.0.0.1:{port_cookie_exact}
    capture cookie CK= len 12
    log-format '%CC|%CS'
    server s 127.0.0.1:{origin1}
listen uri
    bind 127.0.0.1:{port_uri}
    log-format '%r|%HU|%HP|%HQ|%HPO|%HM|%HV'
    http-request deny
listen httplog
    bind 127.0.0.1:{port_httplog}
    option httplog
    http-request deny
listen https
    bind 127.0.0.1:{port_https}
    option httpslog
    capture request header X-A len 9
    http-request deny
listen structured
    bind 127.0.0.1:{port_structured}
    log 127.0.0.1:{syslog} format rfc5424 local0
    log-format '%ST'
    log-format-sd '%{+Q,+E}o [ex@1 hu=%HU  f=%[fe_name] none=%[srv_name] st=%ST hr=%hr]'
    http-request deny
""" + "".join(
    f"""listen errors-{name}
    bind 127.0.0.1:{{port_errors_{name}}}
    option log-separate-errors
    {option}
    no log
    log 127.0.0.1:{{syslog}} format short local0
    log-format 'line %ST %ts %rc %HU'
    error-log-format 'failed %ST %ts %rc %HU'
    http-request deny if {{ path /deny }}
    http-request return status 500 if {{ path /return500 }}
    http-request redirect location / if {{ path /redirect }}
    http-request set-log-level notice if {{ path /level }}
    stats uri /stats
    use_backend dead if {{ path /dead }}
    use_backend redispatch if {{ path /redispatch }}
    server s 127.0.0.1:{{origin1}}
"""
    for name, option in (("all", ""), ("some", "option dontlog-normal"))
) + """
backend dead
    server s 127.0.0.1:{dead}
backend redispatch
    option redispatch
    balance source
    server s 127.0.0.1:{dead} weight 256
    server t 127.0.0.1:{origin1} weight 1
"""  # fmt: skip
for word, text in (
    ("TCP_EVERY", EVERY_TCP),
    ("EVERY", EVERY),
    ("'TEXTS'", "'" + "~%{-Q,-X,-E}o|".join(TEXTS.values()) + "'"),
    (
        "BODIES\n",
        "".join(
            f"    http-request return status 200 content-type text/plain lf-string '{text}' if {{ path /{number} }}\n"
            for number, text in enumerate(HTTP_TEXTS)
        ),
    ),
    (
        "HEADERS\n",
        "".join(
            f"    http-request return status 200 hdr x-a '{text}' if {{ path /{number} }}\n"
            for number, text in enumerate(HTTP_TEXTS)
        ),
    ),
):
    SCENES = SCENES.replace(word, text)

OK = b"HTTP/1.1 200 OK\r\n"


def respond(raw: bytes, origin: Origin) -> bytes | None:
    """Answer as the path says."""
    path = raw.split(b" ")[1].decode("latin-1")
    if path == "/500":
        return b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"
    if path.startswith("/set/"):
        fields = b"".join(b"set-cookie: %b\r\n" % line for line in SET[int(path[5:])])
        return OK + fields + b"content-length: 0\r\n\r\n"
    return default_respond(raw, origin)


@pytest.fixture(scope="module")
def scenes(module_duel: DuelFactory) -> Duel:
    """Both programs."""
    return module_duel(SCENES, respond)


def get(target: bytes, *headers: bytes) -> bytes:
    """Build a request that closes."""
    return b"\r\n".join((b"GET %b HTTP/1.1" % target, b"Host: a", *headers, b"Connection: close", b"", b""))


@dataclass(frozen=True)
class Scene:
    """A session on a listener."""

    id: str
    port: str
    raw: bytes
    half_close: bool = False


FULL = get(b'/p"ath?q=\\]1|{}', b'X-A: {"|}]\\ \xe9', b"Cookie: z=1; CK=abcdefghijklmnopq; y=2")
SCENE_ROWS = [
    *(Scene(port, port, FULL) for port in ("plain", "captures", "asap", "deny", "refused")),
    *(Scene(f"{port} bad", port, b"X\r\n\r\n") for port in ("plain", "captures", "asap")),
    *(
        Scene(f"{port} {what}", port, raw)
        for port in ("plain", "captures")
        for what, raw in {
            "absolute": b"GET http://h:1/p?x=1 HTTP/1.0\r\n\r\n",
            "star": b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "chunks": b"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-A:   pad  \r\n"
            b"Connection: close\r\n\r\n5\r\nabcde\r\n0\r\nx-t: y\r\n\r\n",
            "upload": b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\nConnection: close\r\n\r\n"
            + b"u" * 300_000,
            "body": b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        }.items()
    ),
    *(Scene(port, port, FULL, True) for port in ("tcp", "tcp_asap", "tcp_refused")),
]


def fields(line: str) -> dict[str, list[str]]:
    """The values of each variable, by flags; what must differ is masked."""
    found: dict[str, list[str]] = {}
    for item in re.split(r"~(?=\w+=)", line.rstrip("\n")):
        name, _, value = item.partition("=")
        found.setdefault(name, []).append(value)
    for name, values in found.items():
        if name == "ms":
            assert all(re.fullmatch(r"\d{3}", v) for f, v in zip(FLAGS, values, strict=True) if "X" not in f)
            values = [value.lstrip("0") or "0" for value in values]
        if name in DIFFERENT and values[0].strip('"') not in ("", "-"):
            plain = int(values[0])
            form = "%X" if name == "ms" else "%04X"
            found[name] = [
                ("HEX" if "X" in flags else "N") if value == (form % plain if "X" in flags else str(plain)) else value
                for flags, value in zip(FLAGS, values, strict=True)
            ]
        elif name in ("ac", "fc"):
            # The connection before may not be gone yet; test_logs compares counts.
            found[name] = ["N" if re.fullmatch(r"[1-9]", value) else value for value in values]
        elif re.fullmatch(r"T[^sl]|T", name):
            found[name] = [re.sub(r"\d+", "N", value) if value != "-1" else value for value in values]
        elif name in ("t", "tr", "Tl", "trg", "trl"):
            found[name] = [re.sub(r"\d+", "N", value) for value in values]
    return found


Fields = dict[str, dict[str, list[str]]]


@pytest.fixture(scope="module")
def values(scenes: Duel) -> tuple[Fields, Fields]:
    """What both programs logged in each scene."""

    def run(side: Side) -> Fields:
        seen = {}
        for scene in SCENE_ROWS:
            exchange(side.ports[f"port_{scene.port}"], scene.raw, half_close=scene.half_close)
            seen[scene.id] = fields(side.syslog.take(1)[0])
        return seen

    return scenes.both(run)


# How much of a refused connection's bytes had arrived is chance.
VALUES = [
    pytest.param(scene, name, id=f"{scene.id}-{name}")
    for scene in SCENE_ROWS
    for name in VARIABLES
    if (scene.id, name) != ("tcp_refused", "U")
]


@pytest.mark.parametrize(("scene", "name"), VALUES)
def test_variable(values: tuple[Fields, Fields], scene: Scene, name: str) -> None:
    """A variable with each combination of flags is written as HAProxy writes it."""
    if scene.port.startswith("tcp") and name in HTTP_ONLY:
        assert name not in values[0][scene.id]
        return
    expected, found = values
    assert dict(zip(FLAGS, found[scene.id][name], strict=True)) == dict(
        zip(FLAGS, expected[scene.id][name], strict=True)
    )


@pytest.fixture(scope="module")
def texts(scenes: Duel) -> tuple[list[str], list[str]]:
    """The formats of TEXTS in one log line."""

    def run(side: Side) -> list[str]:
        exchange(side.ports["port_texts"], get(b"/"))
        return side.syslog.take(1)[0].rstrip("\n").split("~")

    return scenes.both(run)


@pytest.mark.parametrize("name", TEXTS)
def test_text_in_log(texts: tuple[list[str], list[str]], name: str) -> None:
    """A format in a log line."""
    expected, found = texts
    assert len(expected) == len(TEXTS)
    index = list(TEXTS).index(name)
    assert found[index] == expected[index]


def test_ends(scenes: Duel) -> None:
    """Blanks at both ends of a line."""

    def run(side: Side) -> str:
        exchange(side.ports["port_ends"], get(b"/"))
        return side.syslog.take(1)[0]

    assert scenes.same(run) == "begin  end \n"


@pytest.mark.parametrize("where", ["bodies", "headers"])
@pytest.mark.parametrize("name", TEXTS)
def test_text_in_http(scenes: Duel, where: str, name: str) -> None:
    """A format in the body of an answer, and in a header."""
    raw = get(b"/%d" % list(TEXTS).index(name))
    assert scenes.same(lambda side: exchange(side.ports[f"port_{where}"], raw)).startswith(OK)


COOKIES = (
    b"CKA=1; CK=2", b"z=1; CK=2; CKA=1", b"CK=1\r\nCookie: CK=2", b"ck=1", b' ;CK="a b"; x', b"a=CK=1", b"CK = 5",
    b"CK=abcdefghijklmnop;CK=2", b"x; CK; y", b'CK=a{"|}\xe9#', b"CK=", b"a,CK=1",
)  # fmt: skip
SET = (
    (b"CKX=one; path=/", b"CK=two"), (b"a=1; CK=2",), (b"CK",), (b"CK=;",), (b"z=1", b"CK=abcdefghijklmnop; secure"),
    (b"ck=1",), (b'CK="a b"',),
)  # fmt: skip


@pytest.mark.parametrize("port", ["cookie", "cookie_exact"])
@pytest.mark.parametrize("cookie", COOKIES)
def test_captured_cookie(scenes: Duel, port: str, cookie: bytes) -> None:
    """The first request cookie whose name begins as asked."""

    def run(side: Side) -> str:
        exchange(side.ports[f"port_{port}"], get(b"/", b"Cookie: " + cookie))
        return side.syslog.take(1)[0]

    scenes.same(run)


@pytest.mark.parametrize("port", ["cookie", "cookie_exact"])
@pytest.mark.parametrize("number", range(len(SET)))
def test_captured_set_cookie(scenes: Duel, port: str, number: int) -> None:
    """The first Set-Cookie whose name begins as asked."""

    def run(side: Side) -> str:
        exchange(side.ports[f"port_{port}"], get(b"/set/%d" % number))
        return side.syslog.take(1)[0]

    scenes.same(run)


@pytest.mark.parametrize(
    "raw",
    [
        get(b"/" + b"u" * 100 + b"?x=1"),
        get(b"/a?" + b"q" * 100),
        get(b"http://a:80/" + b"p" * 80),
        get(b'/"' + b'"' * 70),
        get(b"/a#b"),
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n",
        b"LONGMETHODNAME /" + b"u" * 70 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
@pytest.mark.parametrize("port", ["uri", "httplog"])
def test_uri_length(scenes: Duel, raw: bytes, port: str) -> None:
    """`tune.http.logurilen` cuts the request line, and what is told of its parts."""

    def run(side: Side) -> str:
        exchange(side.ports[f"port_{port}"], raw)
        line = side.syslog.take(1)[0]
        return line if port == "uri" else line[line.index('"') :]

    scenes.same(run)


@pytest.mark.parametrize("raw", [FULL, b"X\r\n\r\n"], ids=["good", "bad"])
def test_httpslog(scenes: Duel, raw: bytes) -> None:
    """`option httpslog` on a connection without TLS."""

    def run(side: Side) -> str:
        exchange(side.ports["port_https"], raw)
        line = mask(side.syslog.take(1)[0], counts=True)
        return re.sub(r"^\S+ \[\S+\] |(?<= https/<NOSRV> ).*?(?= \d{3} )", "", line)

    scenes.same(run)


def test_structured(scenes: Duel) -> None:
    """`log-format-sd` fills the structured data of RFC 5424, of that format only."""

    def run(side: Side) -> list[str]:
        exchange(side.ports["port_structured"], get(b'/"]\\'))
        return [re.sub(r"^.*? - \w+ \d+ - ", "", line) for line in side.syslog.take(2)]

    assert any("[ex@1 " in line for line in scenes.same(run))


@pytest.mark.parametrize("name", ["all", "some"])
def test_errors(scenes: Duel, name: str) -> None:
    """Which lines are raised to err, which ones dontlog-normal keeps, and which ones error-log-format writes."""

    def run(side: Side) -> list[str]:
        port = side.ports[f"port_errors_{name}"]
        for path in (
            b"/",
            b"/500",
            b"/deny",
            b"/return500",
            b"/redirect",
            b"/stats",
            b"/dead",
            b"/redispatch",
            b"/level",
        ):
            exchange(port, get(path))
        exchange(port, b"X\r\n\r\n")
        # The line of another listener tells when all have come.
        exchange(side.ports["port_uri"], get(b"/marker"))
        lines: list[str] = []
        while not lines or "/marker" not in lines[-1]:
            lines += side.syslog.take(1)
        # A line is written a moment after its answer: the next connection's may be first.
        return sorted(lines[:-1])

    assert scenes.same(run)
