"""The same traffic through both programs: every column of `show stat` says the same, but for times and rates.

Each situation has a frontend and a backend of its own, so that a number that differs names the situation.
"""

from __future__ import annotations

import csv
import io
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.duel.test_tables import ask
from tests.support.certs import Authority
from tests.support.duel import Side, start_duel
from tests.support.origin import Held, Origin, reply
from tests.support.wire import Client, request_methods

TIMES = frozenset(
    "lastchg downtime check_duration agent_duration lastsess qtime ctime rtime ttime qtime_max ctime_max rtime_max "
    "ttime_max rate rate_max req_rate req_rate_max conn_rate conn_rate_max addr".split()
)


def get(path: str = "/", *lines: str, method: str = "GET", version: str = "1.1", body: bytes = b"") -> bytes:
    """A request."""
    head = [f"{method} {path} HTTP/{version}", "host: h", *lines]
    if body:
        head.append(f"content-length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


CLOSE = "connection: close"
BIG = b"x" * 300_000


def respond(request: bytes, origin: Origin) -> bytes | None:
    """What the origin answers is told by the path."""
    path = request.split(b" ")[1].decode()
    status = {"/404": "404 Not Found", "/302": "302 Found", "/500": "500 Oops", "/204": "204 No Content"}.get(path)
    if status == "204 No Content":
        return b"HTTP/1.1 204 No Content\r\n\r\n"
    if status is not None:
        return reply(b"no", status=status)
    if path == "/empty":
        return None
    if path == "/garbage":
        return b"this is no http\r\n\r\n"
    if path == "/cut":
        return b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\nabc"
    if path == "/badchunk":
        return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc"
    if path == "/chunked":
        return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    if path == "/nolength":
        return b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc"
    if path == "/never":
        return Held(b"")
    if path == "/hold":
        return Held(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")
    if path == "/slow":
        time.sleep(0.3)
    if path == "/100":
        return b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + reply(b"ok")
    if path == "/101":
        return b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"
    if path == "/big":
        return reply(BIG)
    answer = reply(b"ok")
    return answer[: answer.find(b"\r\n\r\n") + 4] if request.startswith(b"HEAD ") else answer


Act = Callable[[int], None]


def asks(raw: bytes) -> Act:
    """Send, and read as many answers as there are requests."""

    def act(port: int) -> None:
        with Client(port) as client:
            client.send(raw)
            for method in request_methods(raw):
                client.read_response(method)

    return act


def one_by_one(*raws: bytes) -> Act:
    """Requests on one connection, each when the one before is answered."""

    def act(port: int) -> None:
        with Client(port) as client:
            for raw in raws:
                client.send(raw)
                client.read_response(raw.split(b" ")[0].decode())

    return act


def until_closed(raw: bytes, *, half: bool = False) -> Act:
    """Send, and read until the other side closes."""

    def act(port: int) -> None:
        with Client(port) as client:
            client.send(raw, half_close=half)
            client.read_all()

    return act


def turned_away(raw: bytes) -> Act:
    """Send, and leave; a reset may come before we know that we are connected."""

    def act(port: int) -> None:
        with suppress(ConnectionResetError), Client(port) as client:
            client.send(raw)
            time.sleep(0.1)

    return act


def leaves(raw: bytes, mark: bytes = b"", *, reset: bool = False, after: float = 0.1) -> Act:
    """Send, read up to a mark, and leave."""

    def act(port: int) -> None:
        with Client(port) as client:
            client.send(raw)
            if mark:
                client.read_until(mark)
            time.sleep(after)
            if reset:
                client.reset()

    return act


def echoes(raw: bytes, then: bytes, *, half: bool = True) -> Act:
    """Switch protocols, say something, hear it again."""

    def act(port: int) -> None:
        with Client(port) as client:
            client.send(raw)
            client.read_until(b"\r\n\r\n")
            client.send(then)
            client.read_until(then)
            client.send(b"", half_close=half)
            client.read_all()

    return act


def at_once(*acts: Act) -> Act:
    """All at the same time, one started after the other."""

    def act(port: int) -> None:
        with ThreadPoolExecutor(len(acts)) as pool:
            done = []
            for each in acts:
                done.append(pool.submit(each, port))
                time.sleep(0.05)
            for future in done:
                future.result()

    return act


def handshake(*raws: bytes, again: bool = False) -> Act:
    """A TLS client that sends requests; twice with the same session when `again`."""

    def act(port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        session = None
        for _ in range(2 if again else 1):
            with (
                socket.create_connection(("127.0.0.1", port), 5) as plain,
                context.wrap_socket(plain, session=session) as sock,
            ):
                for raw in raws:
                    sock.sendall(raw)
                    sock.recv(65536)
                session = sock.session

    return act


def distrusts(port: int) -> None:
    """A TLS client that does not know the certificate's authority."""
    context = ssl.create_default_context()
    with suppress(ssl.SSLError, OSError), socket.create_connection(("127.0.0.1", port), 5) as plain:
        context.wrap_socket(plain, server_hostname="localhost")


@dataclass(frozen=True)
class Case:
    """A situation: lines of the frontend and of the backend, and what clients do, one after the other."""

    id: str
    acts: tuple[Act, ...]
    front: str = ""
    back: str = ""
    server: str = "server s1 127.0.0.1:{origin}"
    bind: str = ""
    mode: str = "http"


def case(id: str, *acts: Act, **rest: str) -> Case:
    return Case(id, acts, **rest)


TWO = "server s1 127.0.0.1:{dead}\n    server s2 127.0.0.1:{origin}"
DEAD = "server s1 127.0.0.1:{dead}"
KEEP = get()
CASES = [
    # what goes well
    case("one", asks(get("/", CLOSE))),
    case("keepalive", one_by_one(KEEP, KEEP, get("/404"), get("/302"), get("/500"), get("/204"))),
    case("pipelined", asks(KEEP + KEEP + get("/404"))),
    case("http10", asks(get("/", version="1.0"))),
    case("http10keep", one_by_one(*[get("/", "connection: keep-alive", version="1.0")] * 2)),
    case("head", one_by_one(get(method="HEAD"), get(method="HEAD"))),
    case("post", one_by_one(get(method="POST", body=b"x" * 50), get(method="PUT", body=b"y" * 70_000))),
    case("chunks", one_by_one(get("/chunked"), get("/nolength"))),
    case("upload", asks(get("/", "transfer-encoding: chunked", method="POST") + b"5\r\nhello\r\n0\r\n\r\n")),
    case("big", one_by_one(get("/big"), get("/big"))),
    case("hints", asks(get("/100"))),
    case("switch", echoes(get("/101", "connection: upgrade", "upgrade: echo"), b"hello")),
    case("closing", one_by_one(KEEP), front="option httpclose"),
    case("serverclose", one_by_one(KEEP, KEEP), back="option http-server-close"),
    case("reusealways", one_by_one(KEEP, KEEP), one_by_one(KEEP), back="http-reuse always"),
    case("reusenever", one_by_one(KEEP, KEEP), one_by_one(KEEP), back="http-reuse never"),
    case("reusesafe", one_by_one(KEEP, KEEP), one_by_one(KEEP, KEEP)),
    # clients that go wrong
    case("nothing", leaves(b""), until_closed(b"", half=True), leaves(b"", reset=True)),
    case("half", leaves(b"GET / HT"), until_closed(b"GET / HTTP/1.1\r\n", half=True)),
    case("bad", until_closed(b"GET / HTTP/1.1\r\nbad header\r\n\r\n"), until_closed(b"\0\0\0\0\r\n\r\n")),
    case("badlater", one_by_one(KEEP, b"GET / HTTP/1.1\r\nbad header\r\n\r\n")),
    case("idle", until_closed(b""), until_closed(b"GET /"), front="timeout http-request 200ms"),
    case("keptidle", until_closed(KEEP), front="timeout http-keep-alive 200ms"),
    case("dontlognull", leaves(b""), front="option dontlognull"),
    case("probes", leaves(b""), until_closed(b"GET / H", half=True), front="option http-ignore-probes"),
    case("toolong", until_closed(get("/" + "x" * 40_000))),
    case("badchunk", until_closed(get("/", "transfer-encoding: chunked", method="POST") + b"zz\r\n")),
    case(
        "badchunklater",
        leaves(get("/", "transfer-encoding: chunked", method="POST") + b"5\r\nhello\r\n", after=0.2),
    ),
    case("cutupload", leaves(get("/", "content-length: 100", method="POST") + b"abc", after=0.2)),
    case(
        "slowupload",
        until_closed(get("/", "content-length: 100", method="POST") + b"abc"),
        front="timeout client 300ms",
    ),
    case("leaves", leaves(get("/hold"), b"abc"), leaves(get("/hold"), b"abc", reset=True)),
    case("leavesbefore", leaves(get("/never"), after=0.2), back="timeout server 500ms"),
    case("unread", leaves(get("/big"), b"x", after=0.3), front="timeout client 200ms"),
    # rules
    case("deny", asks(get("/deny")), one_by_one(get("/deny"), get("/ok")), front="http-request deny if { path /deny }"),
    case("deny429", asks(get("/deny")), front="http-request deny deny_status 429"),
    case("backdeny", asks(get("/deny")), back="http-request deny if { path /deny }"),
    case("resdeny", one_by_one(get("/deny"), get("/deny")), front="http-response deny if TRUE"),
    case("backresdeny", one_by_one(get("/deny"), get("/deny")), back="http-response deny"),
    case("tarpit", until_closed(get()), front="timeout tarpit 200ms\n    http-request tarpit"),
    case("return", one_by_one(get(), get()), front="http-request return status 200 content-type a/b string hi"),
    case("backreturn", one_by_one(get(), get()), back="http-request return status 201"),
    case("resreturn", one_by_one(get(), get()), back="http-response return status 201"),
    case("redirect", one_by_one(get(), get()), front="http-request redirect location /x"),
    case("oldredirect", one_by_one(get(), get()), front="redirect location /x"),
    case("backredirect", one_by_one(get(), get()), back="redirect location /x"),
    case("resredirect", one_by_one(get(), get()), back="http-response redirect location /x"),
    case("auth", one_by_one(get(), get()), front="http-request auth"),
    case("backauth", one_by_one(get(), get()), back="http-request auth"),
    case("reject", until_closed(get()), front="http-request reject"),
    case("silent", leaves(get(), after=0.2), front="http-request silent-drop"),
    case("monitor", one_by_one(get("/up"), get("/")), front="monitor-uri /up"),
    case("statspage", one_by_one(get("/st"), get("/st;csv")), front="stats enable\n    stats uri /st"),
    case("backstats", one_by_one(get("/st"), get("/st;csv")), back="stats enable\n    stats uri /st"),
    case("statsauth", one_by_one(get("/st")), front="stats enable\n    stats uri /st\n    stats auth a:b"),
    case("conreject", turned_away(get()), front="tcp-request connection reject"),
    case("sesreject", turned_away(get()), front="tcp-request session reject"),
    case("contreject", until_closed(get()), front="tcp-request content reject"),
    case("backcontreject", until_closed(get()), back="tcp-request content reject"),
    case("rescontreject", until_closed(get()), back="tcp-response content reject"),
    case("wait", asks(get(method="POST", body=b"abc")), front="http-request wait-for-body time 1s"),
    case(
        "buffer",
        until_closed(get("/", "content-length: 9", method="POST")),
        front="option http-buffer-request\n    timeout http-request 200ms",
    ),
    case("noservers", asks(get()), server=""),
    case("switching", one_by_one(get(), get("/x")), front="use_backend b_one if { path /x }"),
    case("rewrite", one_by_one(get()), front="http-request set-header x %[str(" + "y" * 1500 + ")]"),
    case(
        "norewrite",
        one_by_one(get()),
        front="http-request strict-mode off\n    http-request set-header x %[str(" + "y" * 1500 + ")]",
    ),
    case("resrewrite", one_by_one(get()), back="http-response set-header x %[str(" + "y" * 1500 + ")]"),
    # servers that go wrong
    case("refused", asks(get()), server=DEAD, back="retries 0"),
    case("retried", asks(get()), server=DEAD, back="retries 2\n    timeout connect 100ms"),
    case("redispatched", one_by_one(get(), get(), get()), server=TWO, back="retries 2\n    option redispatch 1"),
    case("noserver", asks(get()), server="server s1 127.0.0.1:{dead} disabled"),
    case(
        "backup",
        one_by_one(get(), get()),
        server="server s1 127.0.0.1:{dead} disabled\n    server s2 127.0.0.1:{origin} backup",
    ),
    case("empty", until_closed(get("/empty")), back="retries 1"),
    case("emptyretry", until_closed(get("/empty")), back="retries 2\n    retry-on empty-response"),
    case("retry404", one_by_one(get("/404")), back="retries 2\n    retry-on 404"),
    case("garbage", until_closed(get("/garbage"))),
    case("cut", until_closed(get("/cut"))),
    case("badresponse", until_closed(get("/badchunk"))),
    case("timeout", until_closed(get("/never")), back="timeout server 200ms"),
    case("holds", until_closed(get("/hold")), back="timeout server 200ms"),
    case("queued", at_once(*[asks(get("/slow"))] * 3), server="server s1 127.0.0.1:{origin} maxconn 1"),
    case(
        "queuetimeout",
        at_once(*[until_closed(get("/slow"))] * 2),
        server="server s1 127.0.0.1:{origin} maxconn 1",
        back="timeout queue 100ms",
    ),
    case(
        "maxqueue",
        at_once(*[asks(get("/slow", "cookie: S=a"))] * 3),
        server="server s1 127.0.0.1:{origin} maxconn 1 maxqueue 1 cookie a\n    server s2 127.0.0.1:{origin} cookie b",
        back="cookie S insert\n    option redispatch",
    ),
    case(
        "cookies",
        one_by_one(get("/", "cookie: S=b"), get("/", "cookie: S=zz")),
        server="server s1 127.0.0.1:{origin} cookie a\n    server s2 127.0.0.1:{origin} cookie b",
        back="cookie S insert",
    ),
    case(
        "useserver",
        one_by_one(get()),
        server="server s1 127.0.0.1:{origin}\n    server s2 127.0.0.1:{origin}",
        back="use-server s2 if TRUE",
    ),
    case(
        "weights",
        one_by_one(*[get()] * 6),
        server="server s1 127.0.0.1:{origin} weight 2\n    server s2 127.0.0.1:{origin}\n"
        "    server s3 127.0.0.1:{origin} weight 0",
    ),
    case(
        "hash",
        one_by_one(*[get()] * 3),
        server="server s1 127.0.0.1:{origin}\n    server s2 127.0.0.1:{origin}",
        back="balance source",
    ),
    case(
        "leastconn",
        one_by_one(*[get()] * 3),
        server="server s1 127.0.0.1:{origin}\n    server s2 127.0.0.1:{origin}",
        back="balance leastconn",
    ),
    # tcp
    case("tcp", asks(get("/", CLOSE)), until_closed(get("/nolength")), mode="tcp"),
    case("tcprefused", until_closed(b"x"), mode="tcp", server=DEAD, back="retries 1\n    timeout connect 100ms"),
    case("tcpnone", until_closed(b"x"), mode="tcp", server=""),
    case("tcpleaves", leaves(get("/hold"), b"abc"), leaves(get("/hold"), b"abc", reset=True), mode="tcp"),
    case("tcpsilent", leaves(b""), mode="tcp"),
    case("tcptimeout", until_closed(get("/hold")), mode="tcp", back="timeout server 200ms"),
    case("tcpclienttimeout", until_closed(b""), mode="tcp", front="timeout client 200ms"),
    case("tcpreject", until_closed(b"x"), mode="tcp", front="tcp-request content reject"),
    case("tcpbackreject", until_closed(b"x"), mode="tcp", back="tcp-request content reject"),
    case("tcpresreject", until_closed(get()), mode="tcp", back="tcp-response content reject"),
    case(
        "tcpqueued",
        at_once(*[asks(get("/slow", CLOSE))] * 3),
        mode="tcp",
        server="server s1 127.0.0.1:{origin} maxconn 1",
    ),
    # tls
    case("tls", handshake(get(), get()), bind="ssl crt {pem}"),
    case("tlsagain", handshake(get(), again=True), bind="ssl crt {pem}"),
    case("tlsbad", until_closed(b"GET / HTTP/1.0\r\n\r\n"), distrusts, leaves(b""), bind="ssl crt {pem}"),
    case("tlsserver", one_by_one(get(), get()), server="server s1 127.0.0.1:{f_tls} ssl verify none"),
    case(
        "proxied",
        asks(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + get()),
        until_closed(b"nonsense\r\n"),
        bind="accept-proxy",
    ),
]
# The last ones have `option abortonclose` from a defaults section: 2.6 looks at the frontend's as well.
ABORTING = [
    case("abortonclose", leaves(get("/never"), after=0.2)),
    case(
        "queueleft",
        at_once(asks(get("/slow")), leaves(get("/slow"))),
        server="server s1 127.0.0.1:{origin} maxconn 1",
    ),
]
CASES += ABORTING
HEAD = """
global
    stats socket {dir}/cli level admin
    maxconn 1000
    nbthread 1
"""
DEFAULTS = """
defaults
    option socket-stats
    timeout connect 1s
    timeout client 2s
    timeout server 2s
    timeout queue 2s
"""


def config() -> str:
    parts = [HEAD, DEFAULTS]
    for each in CASES:
        where = f"_{each.id}"
        if each is ABORTING[0]:
            parts.append(DEFAULTS + "    option abortonclose\n")
        parts.append(
            f"frontend f{where}\n    mode {each.mode}\n    bind 127.0.0.1:{{f{where}}} {each.bind}\n"
            f"    {each.front}\n    default_backend b{where}\n"
            f"backend b{where}\n    mode {each.mode}\n    {each.back}\n    {each.server}\n"
        )
    return "".join(parts)


Rows = dict[tuple[str, str], dict[str, str]]


# Frames and raw bytes are not counted: trilb's fields are empty.
MUXES = ("h1_", "h2_")
MODULES = r"\.(h1|h2|ssl)_"
# HAProxy keeps fewer idle connections than it could, by a guess at how many will be needed.
IDLE = frozenset("srv_icur idle_conn_cur safe_conn_cur h1_open_connections".split())
UNLIKE = {
    # The pages are not the same.
    "statspage": {"bout"},
    "backstats": {"bout"},
    # 2.6 makes two answers out of a first request without credentials.
    "statsauth": {"bout"},
    # 2.6 counts a retry for what was answered twice.
    "emptyretry": {"wretr"},
    "retry404": {"wretr"},
    # Whether the byte was taken before the connection was refused is a race.
    **{key: {"bin"} for key in ("tcpnone", "tcprefused", "tcpreject", "tcpbackreject", "tcpresreject")},
    # The second connection may come while the first one ends.
    "tlsagain": {"smax"},
    "tls": {"smax"},
}


def rows_of(side: Side, which: str = "") -> Rows:
    text = ask(side, f"show stat {which}").lstrip("\n# ")
    return {(row["pxname"], row["svname"]): row for row in csv.DictReader(io.StringIO(text))}


def until_idle(side: Side, which: str = "") -> Rows:
    """The rows once nobody is being served."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        rows = rows_of(side, which)
        if all(row["scur"] == "0" for row in rows.values()):
            return rows
        time.sleep(0.02)
    return rows


def drive(side: Side) -> Rows:
    def run(each: Case) -> None:
        for number, act in enumerate(each.acts):
            if number:
                until_idle(side, f"f_{each.id} 1 -1")
            act(side.ports[f"f_{each.id}"])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(run, [each for each in CASES if each.id not in ("tlsserver",)]))
    for each in CASES:
        if each.id in ("tlsserver",):
            run(each)
    return until_idle(side)


def cleared(side: Side, command: str) -> Rows:
    assert ask(side, command) == "\n"
    return rows_of(side)


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[Rows, Rows]]]:
    """What both say after all of it, after `clear counters`, and after `clear counters all`."""
    pem = tmp_path_factory.mktemp("pem") / "a.pem"
    pem.write_bytes(Authority.new().issue("localhost").pem)
    with start_duel(config(), respond, pem=str(pem)) as duel, ThreadPoolExecutor(2) as pool:
        haproxy, trilb = pool.map(drive, (duel.haproxy, duel.trilb))
        told = [(haproxy, trilb)]
        for command in ("clear counters", "clear counters all"):
            told.append(duel.both(lambda side, command=command: cleared(side, command)))  # type: ignore[misc]
        yield told


@pytest.fixture(scope="module")
def seen(phases: list[tuple[Rows, Rows]]) -> tuple[Rows, Rows]:
    return phases[0]


def differences(seen: tuple[Rows, Rows], which: str) -> dict[str, str]:
    """Columns that differ, as `row.column` with both values."""
    expected, found = seen
    names = [key for key in expected if key[0] in (f"f_{which}", f"b_{which}")]
    assert names == [key for key in found if key[0] in (f"f_{which}", f"b_{which}")]
    differ = {}
    for key in names:
        for column, value in expected[key].items():
            left_out = column in TIMES or column in IDLE or column in UNLIKE.get(which, ())
            uncounted = column.startswith(MUXES) and not found[key][column]
            if column and not left_out and not uncounted and found[key][column] != value:
                differ[f"{key[0][0]}/{key[1]}.{column}"] = f"{value} {found[key][column]}"
    return differ


@pytest.mark.parametrize("each", CASES, ids=[each.id for each in CASES])
def test_every_column(seen: tuple[Rows, Rows], each: Case) -> None:
    assert differences(seen, each.id) == {}


def test_nothing_that_happens_is_a_rate_of_zero(seen: tuple[Rows, Rows]) -> None:
    for expected, found in zip(*(rows.values() for rows in seen), strict=True):
        for column in ("rate_max", "req_rate_max", "conn_rate_max"):
            assert bool(int(expected[column] or 0)) == bool(int(found[column] or 0)), (expected["pxname"], column)


@pytest.mark.parametrize("phase", [1, 2], ids=["clear counters", "clear counters all"])
def test_what_is_cleared(phases: list[tuple[Rows, Rows]], phase: int) -> None:
    found = {f"{each.id}: {name}": pair for each in CASES for name, pair in differences(phases[phase], each.id).items()}
    # 2.6 clears what modules count together with the highest values.
    assert {name: pair for name, pair in found.items() if phase == 2 or not re.search(MODULES, name)} == {}
