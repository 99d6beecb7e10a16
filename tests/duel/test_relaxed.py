"""Options about what a request may look like, side by side: unsafe violations, header names, pretended keep-alive.

A row of NEWER is where HAProxy 3.x, by its manual, does otherwise than 2.6; it is held against trilb alone.
"""

from __future__ import annotations

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Duel, Side
from tests.support.origin import Origin
from tests.support.syslog import mask
from tests.support.wire import Client

CONFIG = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    option httplog
    timeout connect 1s
    timeout client 1s
    timeout server 1s
    default_backend be
frontend relaxed
    bind 127.0.0.1:{port}
    option accept-invalid-http-request
frontend deleting
    bind 127.0.0.1:{port2}
    http-request set-header x-count %[req.hdr_cnt(x_a)]
    option http-restrict-req-hdr-names delete
frontend rejecting
    bind 127.0.0.1:{port3}
    option http-restrict-req-hdr-names reject
    http-request del-header x_removed
frontend pretending
    bind 127.0.0.1:{port4}
    default_backend pretend
listen both
    bind 127.0.0.1:{port5}
    option http-restrict-req-hdr-names preserve
    use_backend strict if { path /strict }
    server s 127.0.0.1:{origin1}
frontend closing
    bind 127.0.0.1:{port6}
    option httpclose
    default_backend pretend
backend be
    server s 127.0.0.1:{origin1}
backend strict
    option http-restrict-req-hdr-names reject
    server s 127.0.0.1:{origin1}
backend pretend
    option http-server-close
    option http-pretend-keepalive
    server s 127.0.0.1:{origin1}
"""
RELAXED = (
    b"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET http://h#f HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET http://h/a#f HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /\x80\xff\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\nZ: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n: a\r\nZ: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nno colon\r\nZ: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\nZ: 2\r\n\r\n",
    b"GET /\r\n",
    b"GET /\r\n\r\n",
    b"POST /\r\n\r\n",
    b"GET / http/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1x\r\nHost: h\r\n\r\n",
    b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
    b"GET http://a:80/ HTTP/1.1\r\nHost: b:80\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET admin HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET ?a HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GE(T / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST /#x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
)
NEWER = {
    # Impossible names are dropped, not passed on; websockets need no key.
    b"GET / HTTP/1.1\r\nHost: h\r\nX Y: 1\r\nZ: 2\r\n\r\n": b"GET / HTTP/1.1\r\nhost: h\r\nz: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n\x80X: 1\r\nZ: 2\r\n\r\n": b"GET / HTTP/1.1\r\nhost: h\r\nz: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX\0Y: 1\r\nZ: 2\r\n\r\n": b"GET / HTTP/1.1\r\nhost: h\r\nz: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n": (
        b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    ),
}
NAMES = (
    b"GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX_A: 1\r\nX-B: 2\r\nx.c: 3\r\nX_A: 4\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX_Removed: 1\r\n\r\n",
    b"GET /strict HTTP/1.1\r\nHost: h\r\nX_A: 1\r\n\r\n",
    b"GET /strict HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\n",
)
PRETENDED = (
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
)


def respond(raw: bytes, _origin: Origin) -> bytes:
    """Always the same."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def options(module_duel: DuelFactory) -> Duel:
    """Both programs with all listeners."""
    return module_duel(CONFIG, respond)


def observe(side: Side, port: str, raw: bytes) -> tuple[bytes, list[bytes], str]:
    """The answer, what the origin got, and the log line."""
    side.origin.clear()
    side.syslog.pending()
    with Client(side.ports[port], timeout=2.0) as client:
        client.send(raw)
        answer = client.read_response(raw.split(b" ")[0].decode("latin-1"))
    return answer, list(side.origin.requests), mask(side.syslog.take(1, 1.0)[0], counts=True)


@pytest.mark.parametrize("raw", RELAXED)
def test_relaxed(options: Duel, raw: bytes) -> None:
    """What is forgiven, and how it is passed on, is HAProxy's."""
    expected, found = options.both(lambda side: observe(side, "port", raw))
    assert found == expected


@pytest.mark.parametrize("raw", NEWER)
def test_relaxed_newer(options: Duel, raw: bytes) -> None:
    """What the manual of 3.x says beyond that."""
    _, requests, _ = observe(options.trilb, "port", raw)
    assert requests == [NEWER[raw]]


@pytest.mark.parametrize("raw", NAMES)
@pytest.mark.parametrize("port", ["port2", "port3", "port5"])
def test_names(options: Duel, port: str, raw: bytes) -> None:
    """Unusual names go as HAProxy lets them go."""
    expected, found = options.both(lambda side: observe(side, port, raw))
    assert found == expected


@pytest.mark.parametrize("raw", PRETENDED)
@pytest.mark.parametrize("port", ["port4", "port6"])
def test_pretended(options: Duel, port: str, raw: bytes) -> None:
    """A server is told what HAProxy tells it."""
    expected, found = options.both(lambda side: observe(side, port, raw))
    assert found == expected
