"""HTTP/2 towards servers with a running trilb: bodies, sharing, resets, tunnels, the ends of connections."""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trustme
from h2.settings import SettingCodes
from hpack import Encoder

from tests.support.h2origin import Act, Asked, H2Origin, plain
from tests.support.h2wire import SETTINGS, H2Client, frame, get
from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import Program, listening
from tests.support.syslog import Syslog
from tests.support.wire import Client, WireTimeout, exchange, parse_response

CONFIG = """
global
    stats socket {dir}/cli level admin
    log 127.0.0.1:{syslog} local0
{global}
defaults
    mode http
    log global
    option httplog
    retries 0
    timeout connect 2s
    timeout client 5s
    timeout server {server}
    timeout tunnel 5s
frontend fe
    bind 127.0.0.1:{port}
    default_backend be
backend be
{backend}
    server s1 127.0.0.1:{origin1} {options}
"""
BIG = bytes(range(256)) * 20480
"""Five megabytes."""
GET = b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n"


@dataclass
class Running:
    """A trilb and what is around it."""

    program: Program
    origin: H2Origin
    syslog: Syslog
    port: int

    def get(self, path: bytes = b"/", *lines: bytes, method: bytes = b"GET") -> tuple[int, dict[str, str], bytes]:
        """A request over HTTP/1."""
        raw = b"%b %b HTTP/1.1\r\nhost: a\r\n%b\r\n" % (method, path, b"".join(line + b"\r\n" for line in lines))
        status, fields, body = parse_response(exchange(self.port, raw), method.decode())
        return status, dict(fields), body

    def log(self) -> str:
        """The next line: server, status and what ended it."""
        line = self.syslog.take_match(r" be/")
        found = re.search(r" be/(\S+) [-\d/+]+ (\S+) \S+ \S+ \S+ (\S{4}) ", line)
        assert found is not None, line
        return f"{found[1]} {found[2]} {found[3]}"

    def command(self, text: str) -> str:
        """A command of the runtime socket."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.program.dir / "cli"))
            sock.sendall(text.encode() + b"\n")
            out = b""
            while data := sock.recv(65536):
                out += data
        return out.decode()


@contextmanager
def running(
    act: Act | None = None,
    *,
    backend: str = "",
    options: str = "proto h2",
    server: str = "5s",
    origin: H2Origin | None = None,
    settings: str = "",
) -> Iterator[Running]:
    """Start trilb with a server."""
    port = free_port()
    text = CONFIG.replace("{backend}", backend).replace("{options}", options).replace("{server}", server)
    with Syslog() as syslog, origin or H2Origin(act) as made:
        text = text.replace("{global}", settings)
        with Program.trilb(text, port=port, origin1=made.port, syslog=syslog.port) as program:
            yield Running(program, made, syslog, port)
            assert program.process.poll() is None or program.process.returncode == 0, program.output
            assert "Traceback" not in program.output, program.output


def answers(asked: Asked) -> None:
    """What the tests' server says, by path."""
    path = asked.path
    if path == b"/sum":
        asked.whole()
        asked.head((b"x-trailers", b"%d" % len(asked.trailers)))
        asked.data(hashlib.sha256(asked.body).hexdigest().encode(), end=True)
    elif path == b"/big":
        asked.answer(BIG)
    elif path == b"/stream":
        asked.head()
        asked.data(BIG, end=True)
    elif path == b"/trailers":
        asked.head()
        asked.data(b"abc")
        asked.trail((b"x-sum", b"42"), (b"x-more", b"1"))
    elif path == b"/onlytrailers":
        asked.head()
        asked.trail((b"x-sum", b"42"))
    elif path == b"/hints":
        asked.head((b"link", b"x"), status=103)
        asked.head((b"link", b"y"), status=103)
        asked.answer(b"hinted")
    elif path in (b"/204", b"/304"):
        asked.head((b"etag", b"x"), status=int(path[1:]), end=True)
    elif path == b"/empty":
        asked.head(end=True)
    elif path == b"/short":
        asked.head((b"content-length", b"10"))
        asked.data(b"abc", end=True)
    elif path == b"/long":
        asked.head((b"content-length", b"3"))
        asked.data(b"abcdefghij", end=True)
    elif path == b"/head":
        asked.head((b"content-length", b"10"), end=True)
    elif path == b"/pieces":
        asked.head()
        for _ in range(300):
            asked.data(b"x")
        asked.data(b"", end=True)
    elif path == b"/padded":
        asked.head()
        for _ in range(600):
            asked.pad()
            asked.wait(lambda: asked.peer.h2.local_flow_control_window(asked.number) > 1000, 2.0)
        asked.data(b"padded", end=True)
    elif path == b"/reset":
        asked.give_up(int(asked.get(b":path").partition(b"?")[2]))
    elif path == b"/cut":
        asked.head((b"content-length", b"10"))
        asked.data(b"abc")
        asked.give_up(2)
    elif path == b"/early":
        asked.answer(b"too large", status=413)
        asked.give_up(0)
    elif path == b"/never":
        asked.wait(lambda: asked.reset is not None)
    elif path == b"/slow":
        time.sleep(0.3)
        asked.answer(b"slow")
    else:
        plain(asked)


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """One trilb for what leaves no traces."""
    with running(answers) as made:
        yield made


# -- messages ----------------------------------------------------------------------------------------------------------


def test_get(shared: Running) -> None:
    """A plain request, and what the server sees of it."""
    status, _, body = shared.get(b"/x?y", b"x-a: 1", b"connection: x-b", b"cookie: a=1; b=2")
    assert (status, body) == (200, b"s1")
    asked = shared.origin.asked[-1]
    assert asked.fields[:3] == [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/x?y")]
    assert asked.get(b"host") == b"a"
    assert not asked.get(b"connection")


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        (b"/204", 204, b""),
        (b"/304", 304, b""),
        (b"/empty", 200, b""),
        (b"/trailers", 200, b"abc"),
        (b"/onlytrailers", 200, b""),
        (b"/hints", 200, b"hinted"),
        (b"/pieces", 200, b"x" * 300),
        (b"/padded", 200, b"padded"),
    ],
)
def test_responses(shared: Running, path: bytes, status: int, body: bytes) -> None:
    """Responses of all kinds, to both kinds of clients; the connection goes on."""
    with Client(shared.port) as client:
        for _ in range(2):
            client.send(GET % path)
            raw = client.read_response()
            assert parse_response(raw)[::2] == (status, body)
            if b"trailers" in path:
                assert raw.endswith(b"0\r\nx-sum: 42\r\n" + (b"x-more: 1\r\n\r\n" if body else b"\r\n"))
            if path == b"/hints":
                assert raw.count(b"103") == 2
    with H2Client(shared.port) as two:
        got = two.ask(get(path))
        assert (got.status, got.body, got.reset) == (status, body, None)
        if b"trailers" in path:
            assert got.trailers[0] == (b"x-sum", b"42")
        assert got.interim == ([103, 103] if path == b"/hints" else [])


def test_head(shared: Running) -> None:
    """The length of a response without a body."""
    status, fields, _ = shared.get(b"/head", method=b"HEAD")
    assert (status, fields["content-length"]) == (200, "10")
    with H2Client(shared.port) as client:
        got = client.ask(get(b"/head", method=b"HEAD"))
        assert (got.status, got.get(b"content-length"), got.body) == (200, b"10", b"")


def test_wrong_lengths(shared: Running) -> None:
    """A response shorter than it said is cut; of a longer one nothing more is passed on."""
    shared.syslog.pending()
    raw = exchange(shared.port, GET % b"/short", until=b"never")
    assert raw.endswith(b"\r\n\r\nabc")
    assert shared.log() == "s1 200 SD--"
    with H2Client(shared.port) as client:
        assert client.ask(get(b"/short")).reset is not None
        assert client.ask(get(b"/long")).body in (b"abc", b"")
    assert shared.get()[0] == 200


@pytest.mark.parametrize("size", [0, 1, 1000, 70000, len(BIG)])
@pytest.mark.parametrize("chunked", [False, True])
def test_upload(shared: Running, size: int, chunked: bool) -> None:
    """Bodies with a length and in chunks, from both kinds of clients."""
    body, wanted = BIG[:size], hashlib.sha256(BIG[:size]).hexdigest().encode()
    if chunked:
        pieces = [body[i : i + 10000] for i in range(0, size, 10000)]
        head = b"transfer-encoding: chunked"
        sent = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\nx-t: 1\r\n\r\n"
    else:
        head, sent = b"content-length: %d" % size, body
    raw = exchange(shared.port, b"POST /sum HTTP/1.1\r\nhost: a\r\n%b\r\n\r\n%b" % (head, sent))
    assert parse_response(raw)[2] == wanted
    assert shared.origin.asked[-1].trailers == ([(b"x-t", b"1")] if chunked else [])
    with H2Client(shared.port) as client:
        more = [] if chunked else [(b"content-length", b"%d" % size)]
        number = client.begin(get(b"/sum", *more, method=b"POST"), end=False)
        client.data(number, body, end=not chunked)
        if chunked:
            client.trailers(number, [(b"x-t", b"1")])
        assert client.finish(number).body == wanted


@pytest.mark.parametrize("path", [b"/big", b"/stream"])
def test_download(shared: Running, path: bytes) -> None:
    """Five megabytes."""
    assert parse_response(exchange(shared.port, GET % path))[2] == BIG
    with H2Client(shared.port) as client:
        numbers = [client.begin(get(path)) for _ in range(3)]
        assert [client.finish(number).body == BIG for number in numbers] == [True] * 3


def _memory(program: Program) -> int:
    """Resident bytes of the program and its children."""
    total = 0
    todo = [program.process.pid]
    while todo:
        pid = todo.pop()
        with suppress(OSError):
            todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            total += int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) * 1024
    return total


def test_slow_client() -> None:
    """The server is held back by a client that does not read; another stream of the connection goes on."""
    sent = []

    def act(asked: Asked) -> None:
        if asked.path != b"/endless":
            plain(asked)
            return
        asked.head()
        for _ in range(2000):
            asked.data(b"x" * 32768)
            sent.append(32768)

    with running(act, backend="    http-reuse always") as lb:
        before = _memory(lb.program)
        with Client(lb.port) as client:
            client.send(GET % b"/endless")
            time.sleep(1.0)
            stuck = sum(sent)
            time.sleep(0.3)
            assert sum(sent) - stuck <= 65536
            assert stuck < 12_000_000
            assert lb.get()[2] == b"s1"
            assert len(lb.origin.peers) == 1
            assert _memory(lb.program) - before < 16_000_000
        assert lb.origin.asked[0].wait(lambda: lb.origin.asked[0].reset is not None)
        assert lb.origin.asked[0].reset == 8
        assert lb.get()[2] == b"s1"


def test_slow_server() -> None:
    """A client is held back by a server that gives no window back; another stream goes on."""
    with running(origin=H2Origin(auto=False), backend="    http-reuse always") as lb, Client(lb.port) as client:
        before = _memory(lb.program)
        client.send(b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 60000000\r\n\r\n")
        client._sock.settimeout(0.5)
        total = 0
        with suppress(TimeoutError):
            while total < 20_000_000:
                total += client._sock.send(b"x" * 65536)
        assert total < 15_000_000
        assert _memory(lb.program) - before < 16_000_000
        assert len(lb.origin.asked[0].body) == 65535
        assert lb.get()[2] == b"s1"
        assert len(lb.origin.peers) == 1


def test_output_that_drains() -> None:
    """Many uploads at once into a large window and a small socket: those that waited for the output go on."""
    settings = {SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1}
    origin = H2Origin(answers, settings=settings, receive_buffer=4096)
    with running(origin=origin, backend="    http-reuse always") as lb:
        assert lb.get()[2] == b"s1"
        peer = origin.peers[0]
        with peer.changed:
            peer.h2.increment_flow_control_window(2**31 - 1 - 65535)
            peer.flush()
        wanted = hashlib.sha256(BIG).hexdigest().encode()
        with H2Client(lb.port, timeout=20) as client:
            numbers = [client.begin(get(b"/sum", method=b"POST"), end=False) for _ in range(4)]
            for number in numbers:
                client.data(number, BIG, end=True)
            assert [client.finish(number).body for number in numbers] == [wanted] * 4


# -- sharing -----------------------------------------------------------------------------------------------------------


def _burst(lb: Running, count: int, path: bytes = b"/slow") -> list[bytes]:
    """Requests at once, each of a client of its own."""
    out: list[bytes] = [b""] * count

    def one(at: int) -> None:
        out[at] = lb.get(path)[2]

    threads = [threading.Thread(target=one, args=(at,)) for at in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return out


@pytest.mark.parametrize(("reuse", "connections"), [("always", 1), ("aggressive", 11), ("safe", 11), ("never", 11)])
def test_reuse(reuse: str, connections: int) -> None:
    """First requests of clients share as `http-reuse` allows, later ones too but for `never`."""
    with running(answers, backend=f"    http-reuse {reuse}") as lb:
        assert lb.get()[2] == b"s1"
        assert _burst(lb, 10) == [b"slow"] * 10
        assert len(lb.origin.peers) == connections
        with Client(lb.port) as client:
            for _ in range(3):
                client.send(GET % b"/")
                assert client.read_response().endswith(b"s1")
        assert len(lb.origin.peers) == connections + (reuse != "always")


def test_never_reused() -> None:
    """With `http-reuse never` a connection ends with its client."""
    with running(answers, backend="    http-reuse never") as lb:
        with Client(lb.port) as client:
            for _ in range(3):
                client.send(GET % b"/")
                client.read_response()
            peer = lb.origin.peers[0]
            assert not lb.origin.asked[0].wait(lambda: peer.closed, 0.2)
        assert lb.origin.asked[0].wait(lambda: peer.closed, 1.0)
        assert len(lb.origin.peers) == 1
        with H2Client(lb.port) as two:
            numbers = [two.begin(get(b"/slow")) for _ in range(5)]
            assert [two.finish(number).body for number in numbers] == [b"slow"] * 5


def test_reuse_aggressive() -> None:
    """A connection that proved itself takes first requests."""
    with running(answers, backend="    http-reuse aggressive") as lb:
        with Client(lb.port) as client:
            for _ in range(2):
                client.send(GET % b"/")
                client.read_response()
        assert _burst(lb, 5) == [b"slow"] * 5
        assert len(lb.origin.peers) == 1


def test_many_streams() -> None:
    """Fifty requests of one client at once over one connection."""
    with running(answers, backend="    http-reuse always") as lb, H2Client(lb.port) as client:
        client.ask(get(b"/"))
        numbers = [client.begin(get(b"/slow")) for _ in range(50)]
        assert [client.finish(number).body for number in numbers] == [b"slow"] * 50
        assert len(lb.origin.peers) == 1


@pytest.mark.parametrize("most", [1, 3])
def test_concurrency(most: int) -> None:
    """What the server allows at once, and another connection for the rest."""
    origin = H2Origin(answers, settings={SettingCodes.MAX_CONCURRENT_STREAMS: most})
    with running(origin=origin, backend="    http-reuse always") as lb:
        assert lb.get()[2] == b"s1"
        with H2Client(lb.port) as client:
            numbers = [client.begin(get(b"/slow")) for _ in range(most * 3)]
            assert [client.finish(number).body for number in numbers] == [b"slow"] * len(numbers)
        assert len(origin.peers) >= 3


def test_own_concurrency() -> None:
    """`tune.h2.be.max-concurrent-streams`, and the window said to servers."""
    settings = "    tune.h2.be.max-concurrent-streams 2\n    tune.h2.be.initial-window-size 70000"
    with running(answers, backend="    http-reuse always", settings=settings) as lb, H2Client(lb.port) as client:
        client.ask(get(b"/"))
        numbers = [client.begin(get(b"/slow")) for _ in range(4)]
        assert [client.finish(number).body for number in numbers] == [b"slow"] * 4
        assert len(lb.origin.peers) >= 2
        assert lb.origin.peers[0].h2.remote_settings.initial_window_size == 70000


def test_purge() -> None:
    """An idle connection is closed after `pool-purge-delay`, with a GOAWAY; with `pool-max-conn 0` at once."""
    with running(answers, options="proto h2 pool-purge-delay 200ms", backend="    http-reuse always") as lb:
        lb.get()
        peer = lb.origin.peers[0]
        assert lb.origin.asked[0].wait(lambda: peer.closed, 4.0)
        assert peer.goaways == [0]
        assert lb.get()[2] == b"s1"
    with running(answers, options="proto h2 pool-max-conn 0", backend="    http-reuse always") as lb:
        lb.get()
        peer = lb.origin.peers[0]
        assert lb.origin.asked[0].wait(lambda: peer.closed, 0.5)


def test_server_closes_idle() -> None:
    """The next request finds a new connection."""
    with running(answers, backend="    http-reuse always") as lb:
        for count in range(1, 4):
            assert lb.get()[2] == b"s1"
            assert len(lb.origin.peers) == count
            lb.origin.peers[-1].close()
            time.sleep(0.1)


def test_cookie_persistence() -> None:
    """Cookies and stick tables choose among servers as ever."""
    extra = (
        "    cookie SRV insert indirect nocache\n    stick-table type string len 20 size 1k expire 1m\n"
        "    stick on req.hdr(x-key)\n    http-reuse always\n"
    )
    with H2Origin(answers, name="s2") as other:
        extra += f"    server s2 127.0.0.1:{other.port} proto h2 cookie two\n"
        with running(answers, backend=extra, options="proto h2 cookie one") as lb:
            names = {lb.get(b"/", b"cookie: x=1; SRV=two; y=2")[2] for _ in range(6)}
            assert names == {b"s2"}
            assert b"SRV" not in other.asked[-1].get(b"cookie")
            assert {lb.get(b"/", b"cookie: SRV=one")[2] for _ in range(6)} == {b"s1"}
            assert len({lb.get(b"/", b"x-key: k")[2] for _ in range(6)}) == 1
            _, fields, body = lb.get()
            assert fields["set-cookie"].startswith("SRV=" + {b"s1": "one", b"s2": "two"}[body])
            assert len(lb.origin.peers) == len(other.peers) == 1


# -- ends --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 2, 7, 8, 11, 13])
def test_reset_before_the_answer(shared: Running, code: int) -> None:
    """Whatever the code: a 502 for the client, whose connection goes on."""
    shared.syslog.pending()
    with Client(shared.port) as client:
        client.send(GET % (b"/reset?%d" % code))
        assert client.read_response().startswith(b"HTTP/1.1 502")
        assert shared.log() == "s1 502 SH--"
        client.send(GET % b"/")
        assert client.read_response().endswith(b"s1")
    with H2Client(shared.port) as two:
        assert two.ask(get(b"/reset?%d" % code)).status == 502
        assert two.ask(get(b"/")).status == 200


def test_reset_in_the_body(shared: Running) -> None:
    """The answer is cut."""
    shared.syslog.pending()
    raw = exchange(shared.port, GET % b"/cut", until=b"never")
    assert raw.endswith(b"abc")
    assert shared.log() == "s1 200 SD--"
    with H2Client(shared.port) as client:
        got = client.ask(get(b"/cut"))
        assert (got.status, got.reset is not None) == (200, True)
        assert client.ask(get(b"/")).status == 200


def test_early_answer(shared: Running) -> None:
    """A server that answers before it has read the request, and gives the stream up."""
    raw = exchange(
        shared.port, b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n" + b"x" * 300000, until=1
    )
    assert parse_response(raw)[::2] == (413, b"too large")
    with H2Client(shared.port) as client:
        number = client.begin(get(b"/early", method=b"POST"), end=False)
        got = client.finish(number)
        assert (got.status, got.body) == (413, b"too large")


def test_refused_goes_elsewhere() -> None:
    """REFUSED_STREAM on a shared connection: the request goes over a new one, whatever its method."""
    seen: list[Asked] = []

    def act(asked: Asked) -> None:
        if asked.peer is asked.peer.origin.peers[0] and seen:
            asked.whole()
            asked.give_up(7)
            return
        seen.append(asked)
        plain(asked)

    with running(act, backend="    http-reuse always") as lb:
        assert [lb.get()[2] for _ in range(2)] == [b"s1", b"s1"]
        raw = exchange(lb.port, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
        assert parse_response(raw)[::2] == (200, b"s1")
        assert lb.origin.asked[-1].body == b"abc"


def test_refused_for_good() -> None:
    """A server that refuses everything: 502, after no more than two attempts."""
    with running(lambda asked: asked.give_up(7), backend="    http-reuse always") as lb:
        assert lb.get()[0] == 502
        assert lb.get()[0] == 502
        assert lb.get()[0] == 502
        assert len(lb.origin.asked) <= 6


@pytest.mark.parametrize("event", ["empty-response", "response-timeout", "503"])
def test_retry_on(event: str) -> None:
    """`retry-on` works as with HTTP/1."""

    def act(asked: Asked) -> None:
        if len(asked.peer.origin.asked) > 1:
            plain(asked)
        elif event == "empty-response":
            asked.give_up(2)
        elif event == "503":
            asked.answer(b"no", status=503)

    with running(act, backend=f"    retries 2\n    retry-on {event}", server="400ms") as lb:
        assert lb.get()[2] == b"s1"
        assert lb.log().startswith("s1 200 --")


def test_goaway() -> None:
    """Gracefully: what runs is finished, what comes goes over a new connection."""

    def act(asked: Asked) -> None:
        if asked.path == b"/leave":
            asked.peer.goaway(asked.number)
            time.sleep(0.3)
        plain(asked)

    with running(act, backend="    http-reuse always") as lb, Client(lb.port) as client:
        lb.get()
        client.send(GET % b"/leave")
        lb.origin.wait(2)
        time.sleep(0.1)
        assert lb.get()[2] == b"s1"
        assert client.read_response().endswith(b"s1")
        assert len(lb.origin.peers) == 2
        assert lb.origin.asked[0].wait(lambda: lb.origin.peers[0].closed, 2.0)
        assert lb.get()[2] == b"s1"
        assert len(lb.origin.peers) == 2


def test_goaway_over_unserved() -> None:
    """Requests above the last stream were not served: they go elsewhere, a POST as well."""

    def act(asked: Asked) -> None:
        if asked.peer is asked.peer.origin.peers[0] and asked.number > 1:
            asked.whole()
            asked.peer.goaway(1)
            return
        plain(asked)

    with running(act, backend="    http-reuse always") as lb:
        lb.get()
        raw = exchange(lb.port, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
        assert parse_response(raw)[::2] == (200, b"s1")
        assert [each.body for each in lb.origin.asked[1:]] == [b"abc", b"abc"]


def test_server_dies() -> None:
    """A connection that breaks ends its streams: 502 before the answer, a cut one in it."""

    def act(asked: Asked) -> None:
        if asked.path == b"/x":
            asked.head()

    with running(act, backend="    http-reuse always") as lb:
        with H2Client(lb.port) as client:
            numbers = [client.begin(get(path)) for path in (b"/x", b"/y")]
            lb.origin.wait(2)
            assert client.pump(lambda: client.streams[numbers[0]].status == 200)
            for peer in lb.origin.peers:
                peer.close()
            assert client.finish(numbers[0]).reset is not None
            assert client.finish(numbers[1]).status == 502
        assert sorted((lb.log(), lb.log())) == ["s1 200 SD--", "s1 502 SH--"]


def test_garbage() -> None:
    """A server that speaks something else."""
    with Syslog() as syslog, Origin(lambda request, origin: b"HTTP/1.1 400 Bad\r\n\r\n", raw=True) as origin:
        port = free_port()
        text = CONFIG.replace("{backend}", "").replace("{options}", "proto h2").replace("{server}", "2s")
        text = text.replace("{global}", "")
        with Program.trilb(text, port=port, origin1=origin.port, syslog=syslog.port) as program:
            assert exchange(port, GET % b"/").startswith(b"HTTP/1.1 502")
            assert program.process.poll() is None
            assert "Traceback" not in program.output


def test_timeouts() -> None:
    """`timeout server` before and in the answer, `timeout connect` of a dead port."""

    def act(asked: Asked) -> None:
        if asked.path == b"/part":
            asked.head((b"content-length", b"10"))
            asked.data(b"abc")

    with running(act, server="300ms", backend="    http-reuse always") as lb:
        assert lb.get()[0] == 504
        assert lb.log() == "s1 504 sH--"
        first = lb.origin.asked[0]
        assert first.wait(lambda: first.reset is not None)
        assert first.reset == 8
        assert exchange(lb.port, GET % b"/part", until=b"never").endswith(b"abc")
        assert lb.log() == "s1 200 sD--"
        assert len(lb.origin.peers) == 1
        lb.origin.stop()
        time.sleep(0.2)
        assert lb.get()[0] == 503
        assert lb.log() == "s1 503 SC--"


def test_silent_connection() -> None:
    """After a timeout on a connection from which nothing comes any more, requests go over another one."""
    with running(answers, server="300ms", backend="    http-reuse always") as lb:
        assert lb.get()[0] == 200
        peer = lb.origin.peers[0]
        with peer.changed:
            # Nobody reads: the thread waits for the lock with its next bytes.
            assert lb.get()[0] == 504
            assert lb.get()[2] == b"s1"
            assert len(lb.origin.peers) == 2
        assert lb.origin.asked[0].wait(lambda: peer.pings == 1, 2.0)


def test_client_leaves(shared: Running) -> None:
    """A client that goes takes its request with it: RST_STREAM with CANCEL, and nothing else ends."""
    with H2Client(shared.port) as client:
        number = client.begin(get(b"/never"))
        count = len(shared.origin.asked)
        client.pump(lambda: len(shared.origin.asked) > count, 0.3)
        asked = shared.origin.asked[-1]
        assert asked.path == b"/never"
        client.reset(number)
        assert asked.wait(lambda: asked.reset is not None, 2.0)
        assert asked.reset == 8
        assert not asked.peer.closed
        number = client.begin(get(b"/never", method=b"POST"), end=False)
        client.data(number, b"abc")
        client.pump(lambda: shared.origin.asked[-1].body == b"abc", 1.0)
        asked = shared.origin.asked[-1]
        client.sock.close()
        assert asked.wait(lambda: asked.reset is not None, 2.0)
        assert asked.reset == 8


def test_maintenance() -> None:
    """What runs is finished; nothing new comes."""
    with running(answers, backend="    http-reuse always") as lb, Client(lb.port) as client:
        client.send(GET % b"/slow")
        lb.origin.wait(1)
        lb.command("disable server be/s1")
        assert lb.get()[0] == 503
        assert client.read_response().endswith(b"slow")
        assert lb.origin.asked[0].wait(lambda: lb.origin.peers[0].closed, 2.0)
        lb.command("enable server be/s1")
        assert lb.get()[2] == b"s1"


def test_soft_stop() -> None:
    """Streams are finished, then the process ends."""
    with running(answers, backend="    http-reuse always") as lb, H2Client(lb.port) as client:
        client.ask(get(b"/"))
        number = client.begin(get(b"/slow"))
        lb.origin.wait(2)
        lb.program.process.send_signal(signal.SIGUSR1)
        assert client.finish(number).body == b"slow"
        assert lb.program.process.wait(5) == 0


def test_request_too_wild(shared: Running) -> None:
    """Requests that HTTP/2 has no words for do not end the connection."""
    assert shared.get(b"/", b"upgrade: foo")[0] == 200
    assert shared.get(b"/", b"connection: upgrade", b"upgrade: foo")[0] == 502
    assert shared.get(b"/", b"te: gzip, trailers", b"keep-alive: 5", b"proxy-connection: x")[0] == 200
    assert shared.origin.asked[-1].get(b"te") == b"trailers"
    assert not shared.origin.asked[-1].get(b"keep-alive")
    raw = exchange(shared.port, b"GET / HTTP/1.0\r\n\r\n", until=b"never")
    assert raw.endswith(b"s1")
    raw = exchange(shared.port, b"GET /stream HTTP/1.0\r\n\r\n", until=b"never")
    assert len(raw) >= len(BIG)


# -- tunnels -----------------------------------------------------------------------------------------------------------


def _more(asked: Asked, at: int) -> bool:
    return len(asked.body) > at or asked.ended or asked.reset is not None


def echo(asked: Asked) -> None:
    """A websocket's server, or any other."""
    if not asked.get(b":protocol"):
        answers(asked)
        return
    if asked.path == b"/no":
        asked.answer(b"not here", status=404)
        return
    asked.head((b"sec-websocket-protocol", b"x"))
    at = 0
    while True:
        asked.wait(partial(_more, asked, at))
        data, at = asked.body[at:], len(asked.body)
        if data:
            asked.data(data)
        elif asked.ended:
            asked.data(b"bye", end=True)
            return
        else:
            return


WS = b"GET %b HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
KEY = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
CONNECT = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}


def test_websocket() -> None:
    """A client of HTTP/1, one of HTTP/2, and a server of HTTP/2; half-closed ends arrive."""
    with running(origin=H2Origin(echo, settings=CONNECT)) as lb:
        with Client(lb.port) as client:
            client.send(WS % b"/chat" + KEY)
            head = client.read_until(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101")
            assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
            client.send(b"hello" * 50000)
            assert len(client.read_until(b"hello" * 50000)) == 250000
            client.send(b"", half_close=True)
            assert client.read_all() == b"bye"
        asked = lb.origin.asked[0]
        assert asked.get(b":protocol") == b"websocket"
        assert asked.get(b":authority") == b"a"
        assert lb.log() == "s1 101 ----"
        with H2Client(lb.port) as two:
            fields = [*get(b"/chat", method=b"CONNECT"), (b":protocol", b"websocket")]
            number = two.begin(fields, end=False)
            got = two.streams[number]
            assert two.pump(lambda: got.status == 200)
            two.data(number, b"hello")
            assert two.pump(lambda: got.body == b"hello")
            two.data(number, b"", end=True)
            assert two.finish(number).body == b"hellobye"
            assert two.ask([*get(b"/no", method=b"CONNECT"), (b":protocol", b"websocket")]).status == 404
        assert exchange(lb.port, WS % b"/no" + KEY, until=1).startswith(b"HTTP/1.1 404")


def test_tunnel_timeout() -> None:
    """`timeout tunnel` ends it on both sides."""
    with running(origin=H2Origin(echo, settings=CONNECT), backend="    timeout tunnel 300ms") as lb:
        with Client(lb.port) as client:
            client.send(WS % b"/chat" + KEY)
            client.read_until(b"\r\n\r\n")
            client.send(b"hello")
            assert client.read_all() == b"hello"
        assert re.match(r"s1 101 [cs]D--", lb.log())
        asked = lb.origin.asked[0]
        assert asked.wait(lambda: asked.reset is not None or asked.ended)


def test_tunnel_from_the_server() -> None:
    """A server that ends its side first still hears the rest."""

    def act(asked: Asked) -> None:
        asked.head()
        asked.data(b"bye", end=True)
        asked.wait(lambda: asked.ended)

    with running(origin=H2Origin(act, settings=CONNECT)) as lb, Client(lb.port) as client:
        client.send(WS % b"/chat" + KEY)
        assert client.read_until(b"bye").endswith(b"bye")
        client.send(b"late", half_close=True)
        asked = lb.origin.asked[0]
        assert asked.wait(lambda: asked.ended, 2.0)
        assert asked.body == b"late"
        assert asked.reset is None


def test_connect() -> None:
    """CONNECT is a tunnel."""

    def act(asked: Asked) -> None:
        asked.head()
        asked.wait(lambda: asked.ended)
        asked.data(asked.body, end=True)

    with running(act) as lb, Client(lb.port) as client:
        client.send(b"CONNECT a:99 HTTP/1.1\r\nhost: a:99\r\n\r\n")
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        client.send(b"hello", half_close=True)
        assert client.read_all() == b"hello"
        assert lb.origin.asked[0].fields[:2] == [(b":method", b"CONNECT"), (b":authority", b"a:99")]


def test_websocket_refused() -> None:
    """A server that does not know RFC 8441 is not asked."""
    with running(answers) as lb:
        assert exchange(lb.port, WS % b"/chat" + KEY, until=1).startswith(b"HTTP/1.1 502")
        assert not lb.origin.asked
        assert lb.get()[2] == b"s1"


@pytest.mark.parametrize(("ws", "first"), [("h1", b"GET /chat"), ("auto", b"PRI"), ("h2", b"PRI")])
def test_ws(ws: str, first: bytes) -> None:
    """What a websocket's request is sent in."""
    with Syslog() as syslog, Origin(lambda request, origin: None, raw=True) as origin:
        port = free_port()
        text = CONFIG.replace("{backend}", "").replace("{options}", f"proto h2 ws {ws}").replace("{server}", "1s")
        text = text.replace("{global}", "")
        with Program.trilb(text, port=port, origin1=origin.port, syslog=syslog.port):
            exchange(port, WS % b"/chat" + KEY, until=1)
            assert origin.wait(1)[0].startswith(first)


# -- TLS ---------------------------------------------------------------------------------------------------------------


def _context(*alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


TLS = "ssl verify none alpn h2,http/1.1"


def test_tls() -> None:
    """ALPN h2; SETTINGS that come with the handshake are heard, so that a websocket need not wait."""
    origin = H2Origin(echo, settings=CONNECT, tls=_context("h2", "http/1.1"))
    with running(origin=origin, options=TLS + " ws h2", backend="    http-reuse always") as lb:
        with Client(lb.port) as client:
            client.send(WS % b"/chat" + KEY)
            assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101")
            client.send(b"hello")
            assert client.read_until(b"hello") == b"hello"
            assert lb.get(b"/big")[2] == BIG
            assert len(origin.peers) == 1
        with H2Client(lb.port) as two:
            numbers = [two.begin(get(b"/big")) for _ in range(4)]
            assert [two.finish(number).body == BIG for number in numbers] == [True] * 4


class _Plain(Origin):
    """A server of HTTP/1 over TLS."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError):
            super()._serve(self._context.wrap_socket(sock, server_side=True))


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)])
def test_tls_fallback(alpn: tuple[str, ...]) -> None:
    """A server that does not choose h2 is spoken to in HTTP/1."""
    with Syslog() as syslog, _Plain(_context(*alpn)) as origin:
        port = free_port()
        text = CONFIG.replace("{backend}", "").replace("{options}", TLS).replace("{server}", "2s")
        text = text.replace("{global}", "")
        with Program.trilb(text, port=port, origin1=origin.port, syslog=syslog.port):
            with Client(port) as client:
                for _ in range(3):
                    client.send(GET % b"/x")
                    assert client.read_response().endswith(b"s1")
            assert origin.requests[0].startswith(b"GET /x HTTP/1.1\r\n")
            assert origin.connections == 1


def test_nginx(tmp_path: Path) -> None:
    """nginx with HTTP/2 over TLS."""
    nginx = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if nginx is None:
        pytest.skip("nginx is not installed")
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "all.pem")
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "big").write_bytes(BIG)
    (tmp_path / "www" / "small").write_bytes(b"small")
    port = free_port()
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; error_log {tmp_path}/error.log; pid {tmp_path}/pid; worker_processes 1; user root;\n"
        "events {}\n"
        f"http {{ access_log {tmp_path}/access.log; client_body_temp_path {tmp_path}; proxy_temp_path {tmp_path};\n"
        f"fastcgi_temp_path {tmp_path}; uwsgi_temp_path {tmp_path}; scgi_temp_path {tmp_path};\n"
        f"server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {tmp_path}/all.pem;\n"
        f"ssl_certificate_key {tmp_path}/all.pem; root {tmp_path}/www; client_max_body_size 100m; }} }}\n"
    )
    server = subprocess.Popen([nginx, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)])
    try:
        deadline = time.monotonic() + 5
        while not listening(port) and time.monotonic() < deadline:
            time.sleep(0.02)
        front = free_port()
        with Syslog() as syslog:
            text = CONFIG.replace("{backend}", "    http-reuse always").replace("{options}", TLS)
            text = text.replace("{server}", "5s").replace("{global}", "")
            with Program.trilb(text, port=front, origin1=port, syslog=syslog.port) as program:
                for _ in range(3):
                    assert parse_response(exchange(front, GET % b"/big"))[2] == BIG
                with H2Client(front) as client:
                    numbers = [client.begin(get(b"/big" if i % 5 == 0 else b"/small")) for i in range(40)]
                    for i, number in enumerate(numbers):
                        assert client.finish(number).body == (BIG if i % 5 == 0 else b"small")
                    assert client.ask(get(b"/none")).status == 404
                    assert client.ask(get(b"/small", method=b"POST"), b"x" * 300000).status == 405
                assert "Traceback" not in program.output
        assert (tmp_path / "access.log").read_text().count("HTTP/2.0") == 45
    finally:
        server.terminate()
        server.wait(5)


# -- gRPC --------------------------------------------------------------------------------------------------------------


def test_grpc() -> None:
    """All four kinds of calls, with a status in the trailers."""
    grpc = pytest.importorskip("grpc")
    futures = pytest.importorskip("concurrent.futures")

    def unary(request: bytes, context: object) -> bytes:
        if request == b"fail":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")  # type: ignore[attr-defined]
        return request[::-1]

    def down(request: bytes, context: object) -> Iterator[bytes]:
        for i in range(100):
            yield request * 1000 + b"%d" % i

    def up(requests: Iterator[bytes], context: object) -> bytes:
        return b"%d" % sum(len(each) for each in requests)

    def both(requests: Iterator[bytes], context: object) -> Iterator[bytes]:
        for each in requests:
            yield each[::-1]

    handlers: dict[str, Callable[..., object]] = {
        "unary": grpc.unary_unary_rpc_method_handler(unary),
        "down": grpc.unary_stream_rpc_method_handler(down),
        "up": grpc.stream_unary_rpc_method_handler(up),
        "both": grpc.stream_stream_rpc_method_handler(both),
    }
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
    back, front = server.add_insecure_port("127.0.0.1:0"), free_port()
    server.start()
    try:
        with Syslog() as syslog:
            text = CONFIG.replace("{backend}", "").replace("{options}", "proto h2").replace("{server}", "5s")
            text = text.replace("{global}", "").replace("bind 127.0.0.1:{port}", "bind 127.0.0.1:{port} proto h2")
            with Program.trilb(text, port=front, origin1=back, syslog=syslog.port) as program:
                with grpc.insecure_channel(f"127.0.0.1:{front}") as channel:
                    call = channel.unary_unary("/t.T/unary")
                    assert call(b"hello", timeout=5) == b"olleh"
                    assert [call(b"x" * 100000, timeout=5) for _ in range(5)] == [b"x" * 100000] * 5
                    with pytest.raises(grpc.RpcError) as caught:
                        call(b"fail", timeout=5)
                    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
                    assert caught.value.details() == "no such thing"
                    got = list(channel.unary_stream("/t.T/down")(b"abc", timeout=5))
                    assert got == [b"abc" * 1000 + b"%d" % i for i in range(100)]
                    pieces = iter([b"x" * 50000] * 40)
                    assert channel.stream_unary("/t.T/up")(pieces, timeout=5) == b"2000000"
                    talk = channel.stream_stream("/t.T/both")
                    assert list(talk(iter([b"ab", b"cd", b"ef"]), timeout=5)) == [b"ba", b"dc", b"fe"]
                assert "Traceback" not in program.output
    finally:
        server.stop(0)


# -- servers that attack -----------------------------------------------------------------------------------------------


@contextmanager
def hostile(behave: Callable[[socket.socket], None], options: str = "proto h2") -> Iterator[tuple[int, Program]]:
    """A trilb in front of a server that does what it likes with each connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(sock: socket.socket) -> None:
        with suppress(OSError), sock:
            behave(sock)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port = free_port()
    text = CONFIG.replace("{backend}", "    http-reuse always").replace("{options}", options)
    text = text.replace("{server}", "500ms").replace("{global}", "")
    try:
        with Program.trilb(text, port=port, origin1=listener.getsockname()[1], syslog=free_port()) as program:
            yield port, program
            assert program.process.poll() is None, program.output
            assert "Traceback" not in program.output, program.output
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _fields(*pairs: tuple[bytes, bytes]) -> bytes:
    return Encoder().encode(pairs)


def _over(client: H2Client, numbers: list[int]) -> bool:
    return all(client.streams[number].over for number in numbers)


def test_random_frames() -> None:
    """Frames of all kinds, right and wrong: every request is answered or cut, and the process goes on."""
    random = Random(7)
    blocks = (
        _fields((b":status", b"200")),
        _fields((b":status", b"200"), (b"content-length", b"3")),
        _fields((b":status", b"100")),
        _fields((b":status", b"101")),
        _fields((b"x-t", b"1")),
    )

    def behave(sock: socket.socket) -> None:
        sock.sendall(SETTINGS)
        sock.recv(65536)
        for _ in range(random.randrange(1, 12)):
            kind = random.choice((0, 0, 1, 1, 1, 3, 4, 6, 7, 8, 9, 2, 5, 77))
            payload = random.choice((*blocks, b"", b"abc", bytes(8), b"\0\0\0\1", b"\0\0\0\7", random.randbytes(20)))
            payload = random.choice(blocks) if kind == 1 else payload
            stream = random.choice((1, 1, 1, 0, 3, 2)) if kind not in (4, 6, 7) else 0
            sock.sendall(frame(kind, random.choice((0, 4, 5, 4, 5, 1, 8)), stream, payload))
            if random.random() < 0.3:
                time.sleep(0.002)

    with hostile(behave) as (port, _):
        for _ in range(150):
            with H2Client(port) as client:
                numbers = [client.begin(get(b"/"), end=random.random() < 0.8) for _ in range(3)]
                client.pump(partial(_over, client, numbers), 0.05)
            with suppress(WireTimeout):
                exchange(port, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc", timeout=0.03)


@pytest.mark.parametrize(
    "flood",
    [
        frame(6, 0, 0, bytes(8)) * 5000,
        SETTINGS * 5000,
        frame(2, 0, 1, b"\0\0\0\0\1") * 5000,
        frame(1, 4, 1, _fields((b":status", b"103"), (b"link", b"x" * 200))) * 300,
        frame(99, 0, 0, b"x" * 100) * 1000,
    ],
    ids=["ping", "settings", "priority", "interim", "unknown"],
)
def test_floods(flood: bytes) -> None:
    """A server that floods and does not read costs neither memory nor other requests."""

    def behave(sock: socket.socket) -> None:
        sock.sendall(SETTINGS)
        sock.settimeout(1.0)
        sent = 0
        while sent < 60_000_000:
            sock.sendall(flood)
            sent += len(flood)

    with hostile(behave) as (port, program), Client(port) as client:
        before = _memory(program)
        # The client does not read either.
        client.send(GET % b"/")
        for _ in range(10):
            time.sleep(0.1)
            assert _memory(program) - before < 24_000_000
            assert exchange(port, b"BAD\r\n\r\n", until=1, timeout=2).startswith(b"HTTP/1.1 400")
