"""Retries, redispatch, the queue and retry-on: which server, after what wait, what is answered and logged.

All rows of a table run at once, as most only wait; each has a backend of its own. A wait between two tries lasts
one WAIT (timeout connect); times are compared in whole WAITs. Addresses: `one` `two` `three` answer, `dead` refuses,
`hole` never answers a SYN.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.support.duel import Side
from tests.support.origin import Origin, default_respond, reply
from tests.support.syslog import mask
from tests.support.wire import Client, WireTimeout

if TYPE_CHECKING:
    from tests.duel.conftest import DuelFactory

T = TypeVar("T")

WAIT = 0.8
CONFIG = f"""
global
    log 127.0.0.1:{{syslog}} local0
defaults
    mode http
    log global
    option httplog
    retries 3
    timeout connect {WAIT * 1000:.0f}ms
    timeout client 5s
    timeout server {WAIT * 1000:.0f}ms
    balance roundrobin
"""
ADDRESSES = {
    "one": "127.0.0.1:{origin1}",
    "two": "127.0.0.1:{origin2}",
    "three": "127.0.0.1:{origin3}",
    "dead": "127.0.0.1:{dead}",
    "hole": "127.0.0.1:{dead_hole}",
}
COOKIE = "cookie SRV insert indirect"


@dataclass(frozen=True)
class Row:
    """One request to a backend of these lines and servers ("dead two=disabled" makes servers a and b)."""

    id: str
    lines: tuple[str, ...]
    servers: str
    cookie: str = ""
    script: str = "ok"
    body: bytes | None = None
    late: bytes = b""
    chunked: bool = False

    @property
    def backend(self) -> str:
        """Name of the backend."""
        return re.sub(r"[^\w.-]+", "_", self.id)

    @property
    def section(self) -> str:
        """The backend section."""
        text = f"backend {self.backend}\n" + "".join(f"    {line}\n" for line in self.lines)
        for letter, server in zip("abc", self.servers.split(), strict=False):
            address, _, options = server.partition("=")
            text += f"    server {letter} {ADDRESSES[address]} cookie {letter.upper()} {options.replace('+', ' ')}\n"
        return text

    @property
    def raw(self) -> bytes:
        """The request."""
        method = "GET" if self.body is None else "POST"
        lines = [f"{method} /{self.backend}/{self.script} HTTP/1.1", "Host: a"]
        lines += [f"Cookie: SRV={self.cookie}"] if self.cookie else []
        body = self.body or b""
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        elif self.body is not None:
            lines.append(f"Content-Length: {len(body) + len(self.late)}")
        return "\r\n".join((*lines, "", "")).encode() + body


def redispatch(n: int | None) -> tuple[str, ...]:
    """Lines of `option redispatch n`; None is without n."""
    return (f"option redispatch {'' if n is None else n}".strip(),)


INTERVALS = (None, 0, 1, 2, 3, -1, -2, -3)
ALGORITHMS = ("roundrobin", "static-rr", "leastconn", "first", "uri", "hdr(host)")
CONNECTS = [
    *(Row(f"retries {n}", (f"retries {n}",), "dead") for n in (0, 1, 2)),
    Row("default retries", (), "dead"),
    Row("two servers", ("retries 2",), "dead two"),
    *(Row(f"redispatch {n} to live", redispatch(n), "dead two") for n in INTERVALS),
    *(Row(f"redispatch {n} to third", redispatch(n), "dead dead three") for n in INTERVALS),
    *(Row(f"redispatch {n} to none", redispatch(n), "dead dead dead") for n in INTERVALS),
    *(Row(f"cookie redispatch {n} to live", (COOKIE, *redispatch(n)), "dead two", "A") for n in INTERVALS),
    *(Row(f"cookie redispatch {n} to third", (COOKIE, *redispatch(n)), "dead dead three", "A") for n in INTERVALS),
    *(Row(f"cookie redispatch {n} to none", (COOKIE, *redispatch(n)), "dead dead dead", "A") for n in INTERVALS),
    *(Row(f"cookie of second, redispatch {n}", (COOKIE, *redispatch(n)), "one dead three", "B") for n in INTERVALS),
    *(Row(f"source redispatch {n}", ("balance source", *redispatch(n)), "dead dead dead") for n in INTERVALS),
    *(
        Row(f"{name} redispatch {n}", (f"balance {name}", "retries 2", *redispatch(n)), "dead dead dead")
        for name in ALGORITHMS
        for n in (None, 1)
    ),
    *(
        Row(f"consistent redispatch {n}", ("balance uri", "hash-type consistent", *redispatch(n)), "dead dead dead")
        for n in (None, 1)
    ),
    Row("cookie without redispatch", (COOKIE, "retries 1"), "dead two", "A"),
    Row("cookie unknown", (COOKIE, "retries 1", *redispatch(None)), "dead two", "Z"),
    Row("prefix cookie", ("cookie SRV prefix", "retries 1", *redispatch(None)), "dead two", "A~x"),
    Row("rewrite cookie", ("cookie SRV rewrite", "retries 1", *redispatch(None)), "dead two", "A"),
    Row("passive cookie", ("cookie SRV", "retries 1", *redispatch(None)), "dead two", "A"),
    Row("retries 0 redispatch", ("retries 0", *redispatch(None)), "dead two"),
    Row("retries 0 redispatch 1", ("retries 0", *redispatch(1)), "dead two"),
    Row("retries 1 redispatch", ("retries 1", *redispatch(None)), "dead dead three"),
    Row("one server redispatch", ("retries 2", *redispatch(1)), "dead"),
    Row("one server cookie redispatch", (COOKIE, "retries 2", *redispatch(1)), "dead", "A"),
    Row("backup", ("retries 2", *redispatch(1)), "dead two=backup"),
    Row("weight 0", ("retries 2", *redispatch(1)), "dead two=weight+0"),
    Row("use-server", ("use-server a if TRUE", *redispatch(1)), "dead two"),
    *(Row(f"hole retries {n}", (f"retries {n}",), "hole") for n in (0, 1, 2)),
    Row("hole redispatch", ("retries 1", *redispatch(None)), "hole two"),
    Row("hole cookie", (COOKIE, "retries 1"), "hole two", "A"),
    Row("hole cookie redispatch", (COOKIE, "retries 1", *redispatch(None)), "hole two", "A"),
    Row("hole cookie redispatch to none", (COOKIE, "retries 3", *redispatch(None)), "hole hole hole", "A"),
    Row("no server", (), ""),
    Row("disabled", (), "one=disabled"),
    *(Row(f"disabled, cookie {c}", (COOKIE,), "one=disabled", c) for c in ("", "A", "Z")),
    Row("weight 0 only", (), "one=weight+0"),
    Row("weight 0 cookie", (COOKIE,), "one=weight+0", "A"),
    Row("backups only", (COOKIE,), "one=disabled two=backup three=backup", "A"),
    Row("backups, allbackups", ("option allbackups",), "one=disabled two=backup three=backup"),
]
ALL = "all-retryable-errors"
ON = ("none", "conn-failure", "empty-response", "junk-response", "response-timeout", "503", "500 503", "404", ALL)
ONCE = ("empty", "half", "junk", "503", "500", "404", "hang", "cut")
ANSWERED = [
    *(Row(f"{on}: dead", ("retries 2", f"retry-on {on}"), "dead") for on in ON),
    *(Row(f"{on}: dead, redispatch", ("retries 2", f"retry-on {on}", *redispatch(1)), "dead two") for on in ON),
    *(
        Row(f"{on}: {fault}{then}", ("retries 2", f"retry-on {on}"), "one", script=f"{fault}{then}")
        for on in ON
        for fault in ONCE
        for then in ("", ",ok")
    ),
    *(
        Row(
            f"{on}: {script} over two",
            ("retries 2", f"retry-on {on}", "balance first", *redispatch(1)),
            "one two",
            "",
            script,
        )
        for on in ("none", "503", ALL)
        for script in ("503", "503.ok", "empty.503,ok", "hang.junk", "junk.ok")
    ),
    *(
        Row(f"cookie {name}: {script}", (COOKIE, "retries 2", f"retry-on {ALL}", *lines), "one two", "A", script)
        for name, lines in {"without": (), "default": redispatch(None), "1": redispatch(1)}.items()
        for script in ("503", "503.ok", "503,ok", "empty", "empty.ok", "hang")
    ),
    Row("retries 0", ("retries 0", f"retry-on {ALL}"), "one", script="503,ok"),
    Row("not without retry-on", ("retries 2",), "one", script="empty,ok"),
    Row("other codes", (f"retry-on {ALL}",), "one", script="408"),
    Row("401", ("retry-on 401 425",), "one", script="401,ok"),
    *(Row(f"post: {s}", (f"retry-on {ALL}",), "one", script=s, body=b"abc") for s in ("503,ok", "empty,ok", "503")),
    Row("post not named", ("retry-on 503",), "one", script="empty,ok", body=b"abc"),
    Row("post chunked", (f"retry-on {ALL}",), "one", script="503,ok", body=b"abc", chunked=True),
    Row("post too big", (f"retry-on {ALL}",), "one", script="503,ok", body=b"x" * 40_000),
    Row("post late", (f"retry-on {ALL}",), "one", script="503,ok", body=b"abc", late=b"def"),
    Row(
        "post disabled",
        (f"retry-on {ALL}", "http-request disable-l7-retry if METH_POST"),
        "one",
        script="503,ok",
        body=b"a",
    ),
]


def respond(raw: bytes, origin: Origin) -> bytes | None:
    """Play the script in the path: per origin (`.`), its n-th answer (`,`), the last one for ever."""
    target = raw.split(b" ")[1]
    scripts = target.split(b"/")[2].decode().split(".")
    answers = scripts[min(int(origin.name[1:]), len(scripts)) - 1].split(",")
    asked = sum(request.split(b" ")[1] == target for request in list(origin.requests))
    answer = answers[min(asked, len(answers)) - 1]
    if answer == "ok":
        return default_respond(raw, origin)
    if answer == "hang":
        origin.stopping.wait(WAIT * 2)
        return None
    if answer.isdigit():
        return reply(b"no", status=f"{answer} By {origin.name}", headers=("x-a: b",))
    return {
        "empty": None,
        "half": b"HTTP/1.1 200 OK\r\nx-a: ",
        "junk": b"junk\r\n\r\n",
        "cut": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
    }[answer]


def config(rows: list[Row]) -> str:
    """Build the configuration of a table."""
    rules = "".join(f"    use_backend {row.backend} if {{ path_beg /{row.backend}/ }}\n" for row in rows)
    return f"{CONFIG}frontend fe\n    bind 127.0.0.1:{{port}}\n{rules}" + "".join(row.section for row in rows)


@dataclass
class Seen:
    """What one program did with a row; times in WAITs."""

    answer: bytes
    time: int
    requests: list[tuple[str, bytes]]
    line: str = ""


def waits(seconds: float) -> int:
    """Round to whole WAITs."""
    return round(seconds / WAIT)


def exchange(side: Side, row: Row) -> tuple[bytes, int, int]:
    """Return answer, time, source port."""
    start = time.monotonic()
    with Client(side.port, timeout=10.0) as client:
        client.send(row.raw)
        if row.late:
            side.origin.wait_bytes(row.raw[-len(row.body or b"") :])
            client.send(row.late)
        try:
            answer = client.read_response()
        except WireTimeout as error:
            answer = str(error).encode()
        return answer, waits(time.monotonic() - start), client.local_port


def timed(line: str) -> str:
    """Mask a log line, but keep its times in WAITs."""
    found = re.search(r"(?<= )(-?\d+/){4}\d+(?= (\d{3}|-1) )", line)
    times = "/".join(t if t == "-1" else str(waits(int(t) / 1000)) for t in found[0].split("/")) if found else "?"
    return f"[{times}] {mask(line, counts=True)}"


def gather(side: Side, jobs: list[Future[T]]) -> tuple[list[T], list[str]]:
    """Wait for the jobs; return their results and the log lines, one a job unless some are missing."""
    lines: list[str] = []
    while not all(job.done() for job in jobs):
        lines += side.syslog.pending()
        time.sleep(0.01)
    deadline = time.monotonic() + 1.0
    while len(lines) < len(jobs) and time.monotonic() < deadline:
        lines += side.syslog.pending()
        time.sleep(0.01)
    return [job.result() for job in jobs], lines


def run(side: Side, rows: list[Row]) -> dict[str, Seen]:
    """Run the rows, many at once."""
    with ThreadPoolExecutor(40) as pool:
        results, lines = gather(side, [pool.submit(exchange, side, row) for row in rows])
    seen = {}
    for row, (answer, spent, port) in zip(rows, results, strict=True):
        requests = [
            (origin.name, request)
            for origin in side.origins
            for request in origin.requests
            if request.split(b" ")[1].startswith(f"/{row.backend}/".encode())
        ]
        line = [timed(line) for line in lines if f" 127.0.0.1:{port} " in line]
        seen[row.id] = Seen(answer, spent, requests, "\n".join(line))
    return seen


@pytest.fixture(scope="module")
def hole() -> Iterator[int]:
    """A port whose backlog is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


Results = tuple[dict[str, Seen], dict[str, Seen]]


@pytest.fixture(scope="module")
def connects(module_duel: DuelFactory, hole: int) -> Results:
    """What both programs did with the rows about connecting."""
    return module_duel(config(CONNECTS), respond, dead_hole=str(hole)).both(lambda side: run(side, CONNECTS))


@pytest.fixture(scope="module")
def answered(module_duel: DuelFactory) -> Results:
    """What both programs did with the rows about answers."""
    return module_duel(config(ANSWERED), respond).both(lambda side: run(side, ANSWERED))


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in CONNECTS])
def test_connect(connects: Results, row: Row) -> None:
    """Last server, waits, retries, flags and answer are HAProxy's."""
    expected, found = connects
    assert found[row.id] == expected[row.id]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ANSWERED])
def test_answer(answered: Results, row: Row) -> None:
    """Tries, answer, retries and flags are HAProxy's."""
    expected, found = answered
    assert found[row.id] == expected[row.id]


@dataclass(frozen=True)
class Queue:
    """A first request that keeps server a busy, then others, each at least WAIT / 8 after the one before it."""

    id: str
    first: str
    others: tuple[str, ...]
    lines: tuple[str, ...] = (f"timeout queue {WAIT * 1000:.0f}ms", "server a 127.0.0.1:{origin1} maxconn 1")

    @property
    def backend(self) -> str:
        """Name of the backend."""
        return self.id.replace(" ", "-")

    @property
    def cookies(self) -> tuple[str, ...]:
        """Cookie of each request."""
        return ("A" if COOKIE in self.lines else "", *self.others)


PAIR = ("server a 127.0.0.1:{origin1} maxconn 1 cookie A", "server b 127.0.0.1:{origin2} maxconn 1 cookie B")
STICKY = (f"timeout queue {WAIT * 1000:.0f}ms", COOKIE, *PAIR)
REFUSING = (f"timeout queue {WAIT * 1000:.0f}ms", COOKIE, f"{PAIR[0]} maxqueue 1", PAIR[1])
QUEUES = [
    Queue("one times out", "long", ("",)),
    Queue("two time out", "long", ("", "")),
    Queue("one is served", "short", ("",)),
    Queue("three are served in order", "short", ("", "", "")),
    Queue("connect timeout counts", "long", ("",), (f"timeout connect {WAIT * 1000:.0f}ms", PAIR[0])),
    Queue("cookie times out", "long", ("A",), STICKY),
    Queue("cookies are served", "short", ("A", "A"), STICKY),
    Queue("others pass", "long", ("", "A", "B"), STICKY),
    Queue("no redispatch from the queue", "long", ("A", ""), (*STICKY, "option redispatch")),
    Queue("maxqueue refuses", "short", ("A", "A"), REFUSING),
    Queue("maxqueue redispatches", "short", ("A", "A"), (*REFUSING, "option redispatch")),
    Queue("maxqueue lets others pass", "short", ("A", "", "B"), REFUSING),
]


SENT: dict[str, list[threading.Event]] = {}
"""Of each backend: the first request has reached its server, the second was sent ..."""


def respond_late(raw: bytes, origin: Origin) -> bytes:
    """Answer `long` after two queue timeouts, `short` soon after the last of the others was sent."""
    _, backend, word = raw.split(b" ")[1].decode().split("/")
    sent = SENT[backend]
    if word in ("long", "short"):
        sent[0].set()
        pause = WAIT * 2
        if word == "short":
            sent[-1].wait(10)
            pause = WAIT / 4
        origin.stopping.wait(pause)
    return default_respond(raw, origin)


def queue_line(line: str) -> str:
    """Mask a log line; the counts of a backend are kept if the request ended in the queue."""
    counts = re.search(r"- - [sS]Q\S+ \d+/\d+(/\d+/\d+)", line)
    return mask(line, counts=True) + (counts[1] if counts else "")


QueueSeen = tuple[list[tuple[bytes, int]], list[str]]


@pytest.fixture(scope="module")
def queued(module_duel: DuelFactory) -> tuple[dict[str, QueueSeen], dict[str, QueueSeen]]:
    """What both programs did with all queues at once."""
    text = CONFIG.replace(f"connect {WAIT * 1000:.0f}ms", "connect 5s").replace(
        f"server {WAIT * 1000:.0f}ms", "server 5s"
    )
    text += "frontend fe\n    bind 127.0.0.1:{port}\n"
    text += "".join(f"    use_backend {row.backend} if {{ path_beg /{row.backend}/ }}\n" for row in QUEUES)
    text += "".join(f"backend {row.backend}\n" + "".join(f"    {line}\n" for line in row.lines) for row in QUEUES)

    def one(side: Side, row: Queue, index: int) -> tuple[bytes, int]:
        sent = SENT[row.backend]
        if index:
            assert sent[index - 1].wait(10)
            # The one before is in the queue by then.
            time.sleep(WAIT / 8)
        header = f"Cookie: SRV={row.cookies[index]}\r\n" if row.cookies[index] else ""
        start = time.monotonic()
        with Client(side.port) as client:
            target = f"/{row.backend}/{index or row.first}"
            client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n{header}\r\n".encode())
            if index:
                sent[index].set()
            return client.read_response(), waits(time.monotonic() - start)

    def every(side: Side) -> dict[str, QueueSeen]:
        SENT.update((row.backend, [threading.Event() for _ in row.cookies]) for row in QUEUES)
        jobs = [(row, index) for row in QUEUES for index in range(len(row.cookies))]
        with ThreadPoolExecutor(len(jobs)) as pool:
            results, lines = gather(side, [pool.submit(one, side, *job) for job in jobs])
        answers = dict(zip(jobs, results, strict=True))
        return {
            row.id: (
                [answer for job, answer in answers.items() if job[0] is row],
                sorted(queue_line(line) for line in lines if f" /{row.backend}/" in line),
            )
            for row in QUEUES
        }

    return module_duel(text, respond_late).both(every)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in QUEUES])
def test_queue(queued: tuple[dict[str, QueueSeen], dict[str, QueueSeen]], row: Queue) -> None:
    """Waiting, its end and the counts of the queue are HAProxy's."""
    expected, found = queued
    (wanted, wanted_lines), (answers, lines) = expected[row.id], found[row.id]
    assert [answer for answer, _ in answers] == [answer for answer, _ in wanted]
    assert lines == wanted_lines
    # A client that was late itself waits for less.
    assert all(abs(waited - other) <= 1 for (_, waited), (_, other) in zip(answers, wanted, strict=True))
