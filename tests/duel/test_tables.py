"""Stick tables side by side: what is counted when, what fetches say of it, where clients stick."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Duel, Side, start_duel
from tests.support.origin import Origin, default_respond, reply
from tests.support.wire import Client

STORE = (
    "conn_cnt,conn_cur,conn_rate(60s),sess_cnt,sess_rate(60s),http_req_cnt,http_req_rate(60s),http_err_cnt,"
    "http_err_rate(60s),http_fail_cnt,http_fail_rate(60s),bytes_in_cnt,bytes_in_rate(60s),bytes_out_cnt,"
    "bytes_out_rate(60s),gpc0,gpc0_rate(60s),gpc1,gpt0"
)
TABLES = "".join(
    f"backend t_{name}\n    stick-table type string len 20 size 1k expire 10m store {STORE}\n"
    for name in ("conn", "sess", "cont", "http", "back")
)
CONFIG = (
    """
global
    stats socket {dir}/cli level admin
defaults
    mode http
    timeout connect 1s
    timeout client 2s
    timeout server 2s
    retries 0
frontend fe
    bind 127.0.0.1:{port}
    tcp-request connection track-sc0 str(all) table t_conn
    tcp-request session track-sc1 str(all) table t_sess
    tcp-request inspect-delay 100ms
    tcp-request content track-sc2 path table t_cont
    http-request deny if { path /deny }
    http-request auth if { path /auth }
    http-request tarpit deny_status 429 if { path /tarpit }
    http-request return status 403 if { path /return403 }
    http-request redirect location /x if { path /redirect }
    http-request sc-inc-gpc0(0) if { path /inc }
    http-request sc-inc-gpc1(2) if { path /inc }
    http-request sc-set-gpt0(2) int(77) if { path /inc }
    http-request sc-set-gpt0(0) 5 if { path /inc }
    use_backend dead if { path /dead }
    default_backend be
backend be
    timeout tarpit 10ms
    http-response deny if { path /x }
    http-response deny if { res.hdr(x-deny) -m found }
    server s1 127.0.0.1:{origin}
backend dead
    server s1 127.0.0.1:{dead}
frontend later
    bind 127.0.0.1:{later}
    http-request deny deny_status 400 if { path /early }
    http-request track-sc0 path table t_http
    http-request deny if { path /deny }
    default_backend tracking
backend tracking
    http-request track-sc1 hdr(host) table t_back
    http-request deny if { path /deny2 }
    server s1 127.0.0.1:{origin}
"""
    + TABLES
)


def respond(request: bytes, origin: Origin) -> bytes | None:
    """The path says what to answer."""
    match = re.match(rb"\w+ /(\d{3})", request)
    if match is not None:
        return reply(b"said so", status=f"{match[1].decode()} Told")
    if request.startswith(b"GET /junk"):
        return b"this is no http\r\n\r\n"
    if request.startswith(b"GET /short"):
        return b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nless"
    if request.startswith(b"GET /empty"):
        return b""
    if request.startswith(b"GET /xdeny"):
        return reply(b"no", headers=("x-deny: 1",))
    return default_respond(request, origin)


def ask(side: Side, command: str) -> str:
    """What the runtime socket answers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(side.program.dir / "cli"))
        sock.sendall(command.encode() + b"\n")
        said = b""
        while data := sock.recv(65536):
            said += data
    return said.decode("latin-1")


def bare(text: str) -> str:
    """Without addresses and remaining times, and without what 2.6 does not show; entries sorted."""
    text = re.sub(r"(?m)^0x[0-9a-f]+", "0x", re.sub(r"exp=[1-9]\d*", "exp=N", text)).replace(" shard=0", "")
    lines = text.splitlines()
    return "\n".join([line for line in lines if not line.startswith("0x")] + sorted(x for x in lines if x[:2] == "0x"))


def table(side: Side, name: str, *, use: int = 0) -> str:
    """A table's entries, once nobody uses them any more."""
    until = time.monotonic() + 3
    while True:
        text = bare(ask(side, f"show table {name}"))
        if (f"use={use + 1}" not in text and ("conn_cur=1" not in text or use)) or time.monotonic() > until:
            return text
        time.sleep(0.01)


@pytest.fixture
def duel_factory() -> Iterator[DuelFactory]:
    """A pair for one test: tables begin empty, servers in their order."""
    with ExitStack() as stack:
        yield lambda text, *args, **kw: stack.enter_context(start_duel(text, *args, **kw))


@pytest.fixture(scope="module")
def duel(module_duel: DuelFactory) -> Duel:
    return module_duel(CONFIG, respond)


def get(port: int, *requests: bytes) -> bytes:
    """Send requests over one connection; the last says that it is the last."""
    with Client(port, timeout=5.0) as client:
        answer = b""
        for request in requests:
            client.send(request)
            with suppress(AssertionError):
                answer = client.read_response()
        return answer


def request(path: str, *headers: str, method: str = "GET", body: str = "") -> bytes:
    """A request that ends the connection."""
    lines = [f"{method} {path} HTTP/1.1", "host: a.example", *headers]
    if body:
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


CLOSE = "connection: close"
SEQUENCES = {
    "one": [[request("/", CLOSE)]],
    "two on one connection": [[request("/a"), request("/b", CLOSE)]],
    "deny": [[request("/deny", CLOSE)], [request("/deny2", CLOSE)], [request("/early", CLOSE)]],
    "auth": [[request("/auth", CLOSE)]],
    "tarpit": [[request("/tarpit", CLOSE)]],
    "return and redirect": [[request("/return403", CLOSE)], [request("/redirect", CLOSE)]],
    "statuses": [[request(f"/{n}", CLOSE)] for n in (200, 204, 301, 400, 404, 429, 499, 500, 501, 502, 503, 504, 505)],
    "post": [[request("/post", CLOSE, method="POST", body="x" * 100)]],
    "inc": [[request("/inc", CLOSE)], [request("/inc"), request("/inc", CLOSE)]],
    "dead server": [[request("/dead", CLOSE)]],
    "junk": [[request("/junk", CLOSE)]],
    "empty answer": [[request("/empty", CLOSE)]],
    "denied answer": [[request("/xdeny", CLOSE)]],
    "bad request": [[b"GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n"]],
    "nothing sent": [[b""]],
}


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("port", ["port", "later"])
def test_what_is_counted(duel: Duel, name: str, port: str) -> None:
    def act(side: Side) -> list[str]:
        for one in ("conn", "sess", "cont", "http", "back"):
            ask(side, f"clear table t_{one}")
        for requests in SEQUENCES[name]:
            if requests == [b""]:
                Client(side.ports[port]).close()
                time.sleep(0.15)
                continue
            get(side.ports[port], *requests)
        return [table(side, f"t_{one}") for one in ("conn", "sess", "cont", "http", "back")]

    duel.same(act)


def test_while_a_connection_is_there(duel: Duel) -> None:
    def act(side: Side) -> list[str]:
        for one in ("conn", "sess", "cont", "http", "back"):
            ask(side, f"clear table t_{one}")
        with Client(side.ports["port"]) as client:
            client.send(request("/kept"))
            client.read_response()
            return [table(side, f"t_{one}", use=1) for one in ("conn", "sess", "cont")]

    duel.same(act)


# -- what fetches and converters say ---------------------------------------------------------------------------------

NUMBERS = (
    "bytes_in_rate bytes_out_rate conn_cnt conn_cur conn_rate http_err_cnt http_err_rate http_fail_cnt http_fail_rate"
    " http_req_cnt http_req_rate kbytes_in kbytes_out sess_cnt sess_rate get_gpc0 get_gpc1 get_gpt0 gpc0_rate gpc1_rate"
    " inc_gpc0 inc_gpc1 clr_gpc0 clr_gpc1"
).split()
ARRAYS = "get_gpc gpc_rate get_gpt inc_gpc clr_gpc".split()
EXPRESSIONS = [
    *(f"sc_{name}(0)" for name in (*NUMBERS, "tracked", "trackers")),
    *(f"sc1_{name}" for name in (*NUMBERS, "tracked", "trackers")),
    *(f"sc_{name}(0,other)" for name in (*NUMBERS, "tracked", "trackers")),
    *(f"sc2_{name}" for name in ("http_req_cnt", "tracked", "trackers")),
    *(f"src_{name}(addresses)" for name in NUMBERS),
    *(f"src_{name}(arrays)" for name in NUMBERS),
    *(f"sc_{name}({n},1,arrays)" for name in ARRAYS for n in (0, 1, 2, 5)),
    *(f"src_{name}({n},arrays)" for name in ARRAYS for n in (0, 1, 5)),
    "src_updt_conn_cnt(addresses)",
    "table_cnt(addresses)",
    "table_avl(addresses)",
    *(
        f"{key},table_{name}({table})"
        for key in ("path", "str(/nowhere)")
        for table in ("paths", "other")
        for name in (
            "bytes_in_rate bytes_out_rate conn_cnt conn_cur conn_rate http_err_cnt http_err_rate http_req_cnt"
            " http_req_rate kbytes_in kbytes_out sess_cnt sess_rate gpc0 gpc1 gpc0_rate gpc1_rate gpt0 server_id"
        ).split()
    ),
    *(f"src,table_{name}({n},arrays)" for name in ("gpc", "gpc_rate", "gpt") for n in (0, 1, 7)),
    # Not table_trackers of an entry that is tracked: 2.6 counts the converter's own look at it.
    "str(/nowhere),table_trackers(paths)",
    "path,in_table(paths)",
    "str(/no),in_table(paths)",
    "src,in_table(addresses)",
    "req.hdr(x-forwarded-for),in_table(addresses)",
    "int(5),in_table(numbers)",
    "str(5),in_table(numbers)",
    "path,table_conn_cnt(numbers)",
]
FETCHES = (
    """
global
    stats socket {dir}/cli level admin
defaults
    mode http
    timeout connect 1s
    timeout client 2s
    timeout server 2s
frontend fe
    bind 127.0.0.1:{port}
    http-request track-sc0 path table paths
    http-request track-sc1 src table arrays
RULES
backend paths
    stick-table type string len 100 size 1k expire 10m store STORE
backend other
    stick-table type string size 1k expire 10m store gpc0
backend addresses
    stick-table type ip size 1k expire 10m store STORE
backend arrays
    stick-table type ip size 1k expire 10m store gpt(3),gpc(3),gpc_rate(2,60s)
backend numbers
    stick-table type integer size 1k store conn_cnt
""".replace("STORE", STORE)
).replace(
    "RULES",
    "\n".join(
        f'    http-request return status 200 content-type text/plain lf-string "<%[{text}]>" if {{ path /{number} }}'
        for number, text in enumerate(EXPRESSIONS)
    ),
)


@pytest.fixture(scope="module")
def fetching(module_duel: DuelFactory) -> Duel:
    return module_duel(FETCHES)


@pytest.mark.parametrize("number", range(len(EXPRESSIONS)), ids=EXPRESSIONS)
def test_what_fetches_say(fetching: Duel, number: int) -> None:
    def act(side: Side) -> list[bytes]:
        bodies = []
        for _ in range(3):
            answer = get(side.ports["port"], request(f"/{number}", "x-forwarded-for: 127.0.0.1", CLOSE))
            bodies.append(answer.rpartition(b"\r\n\r\n")[2])
        return bodies

    expected, got = fetching.both(act)
    if "bytes" in EXPRESSIONS[number]:
        # Bytes of an answer are counted when it ends: a moment before the next request, or after it.
        settled = [max(bodies, key=lambda body: int(body.strip(b"<>") or 0)) for bodies in (expected, got)]
        assert bool(settled[1].strip(b"<>0")) == bool(settled[0].strip(b"<>0"))
    elif "conn_cur" in EXPRESSIONS[number] or "trackers" in EXPRESSIONS[number]:
        # The connection before may be there for a moment longer.
        assert min(got) == min(expected)
    else:
        assert got == expected


# -- where clients stick ----------------------------------------------------------------------------------------------

STICK = """
global
    stats socket {dir}/cli level admin
defaults
    mode http
    timeout connect 500ms
    timeout client 2s
    timeout server 2s
    retries 1
    option redispatch
frontend fe
    bind 127.0.0.1:{port}
    use_backend %[path,field(2,/)]
backend on
    stick-table type string len 8 size 1k expire 10m
    stick on url_param(k)
    server s1 127.0.0.1:{origin1}
    server s2 127.0.0.1:{origin2}
    server s3 127.0.0.1:{origin3}
backend several
    stick-table type string size 1k expire 10m
    stick on url_param(k) if { url_param(k) -m found }
    stick on req.hdr(x-k) table other
    stick store-request url_param(s) unless { url_param(s) -m str no }
    server s1 127.0.0.1:{origin1}
    server s2 127.0.0.1:{origin2}
    server s3 127.0.0.1:{origin3}
backend other
    stick-table type string size 1k expire 10m
    server x1 127.0.0.1:{origin1}
backend matching
    stick match url_param(k) table on
    server s3 127.0.0.1:{origin3}
    server s1 127.0.0.1:{origin1}
    server s2 127.0.0.1:{origin2}
backend app
    stick-table type string len 40 size 1k expire 10m
    stick store-response res.cook(JSESSIONID)
    stick match req.cook(JSESSIONID)
    server s1 127.0.0.1:{origin1}
    server s2 127.0.0.1:{origin2}
    server s3 127.0.0.1:{origin3}
backend cookie
    cookie SRV insert indirect
    stick-table type string size 1k expire 10m
    stick on url_param(k)
    server s1 127.0.0.1:{origin1} cookie s1
    server s2 127.0.0.1:{origin2} cookie s2
    server s3 127.0.0.1:{origin3} cookie s3
backend dead
    stick-table type string size 1k expire 10m
    stick on url_param(k)
    server s1 127.0.0.1:{dead}
    server s2 127.0.0.1:{origin2}
backend backup
    stick-table type string size 1k expire 10m
    stick on url_param(k)
    server s1 127.0.0.1:{origin1}
    server s2 127.0.0.1:{origin2} backup non-stick
backend failing
    stick-table type string size 1k expire 10m
    stick on url_param(k)
    server s1 127.0.0.1:{origin1}
    server s2 127.0.0.1:{origin2}
"""


def answers(request: bytes, origin: Origin) -> bytes | None:
    """A session cookie for who asks for one, nothing for who asks for that."""
    if b"/session" in request:
        return reply(b"ok", headers=(f"x-server: {origin.name}", f"set-cookie: JSESSIONID=id-{origin.name}; path=/"))
    if b"/silent" in request:
        return b""
    return default_respond(request, origin)


WALKS: dict[str, list[str]] = {
    "on": ["/on?k=a", "/on?k=b", "/on?k=a", "/on?k=c", "/on?k=b", "/on", "/on?k=a", "/on?k=", "/on?k=longer than 8"],
    "truncated": ["/on?k=12345678x", "/on?k=12345678y", "/on?k=1234567"],
    "several": [
        "/several?k=a",
        "/several?k=b x-k=h",
        "/several?k=zz x-k=h",
        "/several x-k=h",
        "/several?s=q",
        "/several?k=q",
        "/several?s=no",
        "/several?k=no",
        "/several?k=m&s=n",
        "/several?k=n",
    ],
    "other backend's table": ["/on?k=m1", "/on?k=m2", "/matching?k=m1", "/matching?k=m2", "/matching?k=m3", "/on?k=m3"],
    "application cookie": [
        "/app/session",
        "/app cookie=JSESSIONID=id-s1",
        "/app cookie=JSESSIONID=id-s1",
        "/app/session",
        "/app cookie=JSESSIONID=id-s2",
        "/app cookie=JSESSIONID=id-s1",
        "/app cookie=JSESSIONID=nobody",
    ],
    "cookie and table": [
        "/cookie?k=a",
        "/cookie?k=a",
        "/cookie?k=a cookie=SRV=s3",
        "/cookie?k=a",
        "/cookie?k=b cookie=SRV=s2",
        "/cookie?k=b",
    ],
    "server is gone": [
        "/on?k=g1",
        "/on?k=g2",
        "!disable server on/s1",
        "!disable server on/s2",
        "/on?k=g1",
        "/on?k=g2",
        "!enable server on/s1",
        "!enable server on/s2",
        "/on?k=g1",
        "/on?k=g2",
    ],
    "refused connections": ["/dead?k=a", "/dead?k=b", "/dead?k=a", "/dead?k=b"],
    "non-stick backup": [
        "/backup?k=a",
        "!disable server backup/s1",
        "/backup?k=a",
        "/backup?k=b",
        "!enable server backup/s1",
        "/backup?k=a",
        "/backup?k=b",
    ],
    "no answer teaches nothing": ["/failing/silent?k=a", "/failing?k=a", "/failing?k=a"],
}


@pytest.mark.parametrize("walk", WALKS)
def test_where_clients_stick(duel_factory: DuelFactory, walk: str) -> None:
    def act(side: Side) -> list[str]:
        seen = []
        for step in WALKS[walk]:
            if step[0] == "!":
                ask(side, step[1:])
                continue
            path, _, rest = step.partition(" ")
            headers = []
            for word in rest.split():
                name, _, value = word.partition("=")
                headers.append(f"{name}: {value}")
            answer = get(side.ports["port"], request(path, *headers, CLOSE))
            found = re.search(rb"x-server: (\S+)", answer)
            seen.append(found[1].decode() if found else answer[:20].decode("latin-1"))
        for name in ("on", "several", "other", "app", "cookie", "dead", "backup", "failing"):
            seen.append(bare(ask(side, f"show table {name}")))
        return seen

    fresh = duel_factory(STICK, answers)
    fresh.same(act)


# -- TCP --------------------------------------------------------------------------------------------------------------

TCP = """
global
    stats socket {dir}/cli level admin
defaults
    mode tcp
    timeout connect 500ms
    timeout client 2s
    timeout server 2s
frontend fe
    bind 127.0.0.1:{port}
    tcp-request connection track-sc0 src table counts
    tcp-request connection reject if { sc0_conn_cnt gt 6 }
    default_backend be
frontend payload
    bind 127.0.0.1:{payload}
    tcp-request inspect-delay 500ms
    tcp-request content track-sc1 req.payload(0,3) table words
    tcp-request content reject if { sc1_conn_cnt gt 2 }
    tcp-request content accept if { req.len ge 3 }
    default_backend learned
backend be
    stick-table type ip size 1k expire 10m
    stick on src
    server s1 127.0.0.1:{origin1}
    server s2 127.0.0.1:{origin2}
    server s3 127.0.0.1:{origin3}
backend learned
    stick-table type binary len 3 size 1k expire 10m
    stick match req.payload(0,3)
    stick store-request req.payload(0,3)
    server s1 127.0.0.1:{origin1}
    server s2 127.0.0.1:{origin2}
    server s3 127.0.0.1:{origin3}
backend counts
    stick-table type ip size 1k expire 10m store conn_cnt,conn_cur,sess_cnt,bytes_in_cnt,bytes_out_cnt
backend words
    stick-table type string len 8 size 1k expire 10m store conn_cnt,sess_cnt,bytes_in_cnt,bytes_out_cnt,http_req_cnt
"""


def say_name(data: bytes, origin: Origin) -> bytes:
    """Who this is."""
    return origin.name.encode()


def tcp(port: int, source: str, data: bytes) -> str:
    """Say something from an address, and what comes back."""
    with socket.socket() as sock:
        sock.settimeout(3)
        sock.bind((source, 0))
        try:
            sock.connect(("127.0.0.1", port))
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return sock.recv(100).decode()
        except OSError as error:
            return type(error).__name__


def test_tcp_connections_stick_and_are_counted(duel_factory: DuelFactory) -> None:
    fresh = duel_factory(TCP, say_name, raw=True)

    def act(side: Side) -> list[str]:
        seen = []
        for last in (1, 2, 3, 1, 2, 3, 4, 1, 1, 4, 1, 1, 1, 2):
            seen.append(tcp(side.ports["port"], f"127.0.0.{last}", b"hello"))
        for word in (b"abc", b"def", b"abc", b"ghi", b"def", b"abc", b"ghij"):
            seen.append(tcp(side.ports["payload"], "127.0.0.9", word + b"!"))
        time.sleep(0.05)
        return [*seen, *(table(side, name) for name in ("be", "learned", "counts", "words"))]

    expected, got = fresh.both(act)
    # A refused connection ends by a reset or by its end, as the moment has it.
    ends = ("", "ConnectionResetError", "BrokenPipeError")
    assert ["-" if x in ends else x for x in got] == ["-" if x in ends else x for x in expected]
