"""HTTP/2, sans-IO: what requests become, what is refused and how, and that no bytes can do harm."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.h2wire import PREFACE, SETTINGS, frame
from trilb.http import write
from trilb.http.h2answer import Answer, Content, Fields
from trilb.http.h2events import Data, Event, Failed, Leaving, Opened, Rejected, Request, Reset, Trailers, Tuning
from trilb.http.h2head import Malformed, accept_of, origin_form, request_head, response_fields, trailer_fields
from trilb.http.h2server import ServerConnection
from trilb.http.head import Field, Head, Refusal
from trilb.http.policy import Limits

M, S, P, A = (b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/p?q=1"), (b":authority", b"Example.com")
PLAIN = [M, S, P, A]


def head(*fields: Field, ended: bool = True) -> Head:
    """The head of a request."""
    return request_head(list(fields), Limits(), ended=ended)


# -- requests ------------------------------------------------------------------------------------------------------


def test_request() -> None:
    """The URI is composed, the host comes first, cookies are one field at the end."""
    made = head(*PLAIN, (b"cookie", b"a=1"), (b"x", b" y "), (b"cookie", b"b=2"), (b"te", b"trailers"))
    assert (made.method, made.target, made.spoken) == (b"GET", b"http://Example.com/p?q=1", b"2.0")
    assert made.fields == [
        (b"host", b"Example.com"),
        (b"x", b"y"),
        (b"te", b"trailers"),
        (b"cookie", b"a=1; b=2"),
    ]
    assert (made.length, made.chunked) == (0, False)


@pytest.mark.parametrize(
    ("scheme", "authority", "host"),
    [
        (b"http", b"a:80", b"a"),
        (b"https", b"a:443", b"a"),
        (b"http", b"a:", b"a"),
        (b"http", b"a:443", b"a:443"),
        (b"https", b"a:80", b"a:80"),
        (b"http", b"[::1]:80", b"[::1]"),
        (b"ftp", b"a:80", b"a:80"),
    ],
)
def test_default_port(scheme: bytes, authority: bytes, host: bytes) -> None:
    """The port that the scheme has anyway is cut."""
    made = head(M, (b":scheme", scheme), P, (b":authority", authority))
    assert made.get(b"host") == host
    assert made.target == scheme + b"://" + host + b"/p?q=1"


def test_authority_wins() -> None:
    """What `host` says is ignored beside `:authority`, as often as it says it."""
    assert head(*PLAIN, (b"host", b"b"), (b"host", b"c")).all(b"host") == [b"Example.com"]
    assert head(M, S, P, (b"host", b"b"), (b"host", b"c")).all(b"host") == [b"b"]
    assert head(M, S, P, (b"host", b"b")).target == b"/p?q=1"


REFUSED = [
    # What stands in the request, and whether its stream is reset (0) or answered with a status.
    ("empty", [], 0),
    ("no method", [S, P, A], 0),
    ("no scheme", [M, P, A], 0),
    ("no path", [M, S, A], 0),
    ("empty method", [(b":method", b""), S, P, A], 0),
    ("empty path", [M, S, (b":path", b""), A], 0),
    ("path twice", [M, S, P, P, A], 0),
    ("method twice", [M, M, S, P, A], 0),
    ("authority twice", [M, S, P, A, A], 0),
    ("unknown pseudo-header", [*PLAIN, (b":foo", b"x")], 0),
    ("status in a request", [*PLAIN, (b":status", b"200")], 0),
    ("late pseudo-header", [M, S, P, (b"x", b"y"), A], 0),
    ("relative path", [M, S, (b":path", b"foo"), A], 0),
    ("absolute path", [M, S, (b":path", b"http://b/"), A], 0),
    ("blank in the path", [M, S, (b":path", b"/a b"), A], 0),
    ("request in the path", [M, S, (b":path", b"/ HTTP/1.1\r\nhost: b\r\n\r\nGET /admin"), A], 0),
    ("line feed in the path", [M, S, (b":path", b"/a\nb"), A], 0),
    ("NUL in the path", [M, S, (b":path", b"/a\0b"), A], 0),
    ("control in the path", [M, S, (b":path", b"/a\x01b"), A], 0),
    ("fragment", [M, S, (b":path", b"/a#b"), A], 0),
    ("asterisk", [M, S, (b":path", b"*"), A], 400),
    ("asterisk and more", [(b":method", b"OPTIONS"), S, (b":path", b"*/x"), A], 0),
    ("preface", [(b":method", b"PRI"), S, (b":path", b"*"), A], 400),
    ("method with a mark", [(b":method", b"GET?"), S, P, A], 400),
    ("request in the method", [(b":method", b"GET / HTTP/1.1\r\nx: y"), S, P, A], 0),
    ("blank in the method", [(b":method", b"GET /x"), S, P, A], 400),
    ("scheme with a path", [M, (b":scheme", b"http://b/?"), P, A], 400),
    ("empty scheme", [M, (b":scheme", b""), P, A], 400),
    ("blank in the authority", [M, S, P, (b":authority", b"a b")], 400),
    ("path in the authority", [M, S, P, (b":authority", b"a/b")], 400),
    ("query in the authority", [M, S, P, (b":authority", b"a?b")], 400),
    ("fragment in the authority", [M, S, P, (b":authority", b"a#b")], 400),
    ("line in the authority", [M, S, P, (b":authority", b"a\r\nx: y")], 0),
    ("upper case name", [*PLAIN, (b"Foo", b"x")], 0),
    ("empty name", [*PLAIN, (b"", b"x")], 0),
    ("blank in a name", [*PLAIN, (b"foo bar", b"x")], 0),
    ("colon in a name", [*PLAIN, (b"foo:", b"x")], 0),
    ("line in a name", [*PLAIN, (b"foo: x\r\nbar", b"x")], 0),
    ("NUL in a name", [*PLAIN, (b"fo\0o", b"x")], 0),
    ("byte above ASCII in a name", [*PLAIN, (b"fo\xe9", b"x")], 0),
    ("CR LF in a value", [*PLAIN, (b"foo", b"x\r\ntransfer-encoding: chunked")], 0),
    ("LF in a value", [*PLAIN, (b"foo", b"x\ny")], 0),
    ("CR in a value", [*PLAIN, (b"foo", b"x\ry")], 0),
    ("NUL in a value", [*PLAIN, (b"foo", b"x\0y")], 0),
    ("LF in a cookie", [*PLAIN, (b"cookie", b"a=1\nx: y")], 0),
    ("LF in a host that is ignored", [*PLAIN, (b"host", b"b\nx: y")], 0),
    ("transfer-encoding", [*PLAIN, (b"transfer-encoding", b"chunked")], 0),
    ("transfer-encoding in vain", [*PLAIN, (b"transfer-encoding", b"identity")], 0),
    ("connection", [*PLAIN, (b"connection", b"close")], 0),
    ("connection that names a field", [*PLAIN, (b"connection", b"x-forwarded-for")], 0),
    ("keep-alive", [*PLAIN, (b"keep-alive", b"5")], 0),
    ("proxy-connection", [*PLAIN, (b"proxy-connection", b"close")], 0),
    ("upgrade", [*PLAIN, (b"upgrade", b"websocket")], 0),
    ("te", [*PLAIN, (b"te", b"gzip, trailers")], 0),
    ("te and chunked", [*PLAIN, (b"te", b"chunked")], 0),
    ("empty length", [*PLAIN, (b"content-length", b"")], 0),
    ("length with a comma", [*PLAIN, (b"content-length", b"0,")], 0),
    ("length with a sign", [*PLAIN, (b"content-length", b"+0")], 0),
    ("length that is none", [*PLAIN, (b"content-length", b"0x0")], 0),
    ("huge length", [*PLAIN, (b"content-length", b"9" * 30)], 0),
    ("two lengths", [*PLAIN, (b"content-length", b"0"), (b"content-length", b"5")], 0),
    ("two lengths in one", [*PLAIN, (b"content-length", b"0, 5")], 0),
    ("length without content", [*PLAIN, (b"content-length", b"5")], 0),
    ("CONNECT with a path", [(b":method", b"CONNECT"), S, P, A], 0),
    ("CONNECT with nothing", [(b":method", b"CONNECT")], 0),
    ("CONNECT with an empty authority", [(b":method", b"CONNECT"), (b":authority", b"")], 0),
    ("CONNECT with a line", [(b":method", b"CONNECT"), (b":authority", b"a:1\r\nx: y")], 0),
    ("protocol without CONNECT", [*PLAIN, (b":protocol", b"websocket")], 0),
    ("protocol without authority", [(b":method", b"CONNECT"), S, P, (b":protocol", b"websocket")], 0),
    ("protocol h2c", [(b":method", b"CONNECT"), S, P, A, (b":protocol", b"h2c")], 0),
    ("protocol with a line", [(b":method", b"CONNECT"), S, P, A, (b":protocol", b"a\r\nx: y")], 0),
    ("protocol with a comma", [(b":method", b"CONNECT"), S, P, A, (b":protocol", b"a, b")], 0),
    ("many fields", [*PLAIN, *((b"x%d" % i, b"y") for i in range(250))], 0),
    ("large field", [*PLAIN, (b"x", b"y" * 20000)], 0),
]


@pytest.mark.parametrize(("name", "fields", "status"), REFUSED, ids=[name for name, _, _ in REFUSED])
def test_refused(name: str, fields: list[Field], status: int) -> None:
    """Each costs its stream, and none reaches a server."""
    with pytest.raises(Refusal if status else Malformed) as caught:
        request_head(fields, Limits(), ended=True)
    if status:
        assert isinstance(caught.value, Refusal)
        assert caught.value.status == status


_BYTES = st.binary(max_size=12) | st.sampled_from([b"a", b"/", b"GET", b"http", b"x", b"\r\n", b"5", b"chunked"])
_NAMES = st.sampled_from(
    [b":method", b":scheme", b":path", b":authority", b":protocol", b"host", b"cookie", b"content-length", b"te", b"x"]
)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(_NAMES | _BYTES, _BYTES), max_size=12), st.booleans(), st.booleans())
def test_nothing_is_smuggled(fields: list[Field], plain: bool, ended: bool) -> None:
    """Whatever is accepted is one well-formed head of HTTP/1 with one host and at most one length."""
    try:
        made = request_head([*PLAIN, *fields] if plain else fields, Limits(), ended=ended)
    except (Malformed, Refusal):
        return
    made.target = origin_form(made)
    raw = write.request(made)
    first, *lines = raw[:-4].split(b"\r\n")
    assert raw.endswith(b"\r\n\r\n")
    assert raw.count(b"\r\n\r\n") == 1
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert first.count(b" ") == 2
    names = [line.partition(b":")[0] for line in lines]
    assert len(lines) == len(made.fields)
    assert names.count(b"host") <= 1
    assert names.count(b"content-length") <= 1
    assert names.count(b"cookie") <= 1
    assert b"transfer-encoding" not in names


def test_body_framing() -> None:
    """A length is kept, without one the body is chunked, without a body there is none."""
    assert head(*PLAIN, (b"content-length", b"5"), ended=False).length == 5
    assert head(*PLAIN, (b"content-length", b"000, 00")).fields[-1] == (b"content-length", b"0")
    assert head(*PLAIN, ended=False).chunked
    made = head(*PLAIN)
    assert (made.length, made.chunked) == (0, False)


def test_connect() -> None:
    """CONNECT has its authority for a target, and no body of its own."""
    made = head((b":method", b"CONNECT"), (b":authority", b"a:99"), (b"content-length", b"4"), ended=False)
    assert (made.method, made.target, made.fields) == (b"CONNECT", b"a:99", [(b"host", b"a:99")])
    assert (made.length, made.chunked) == (0, False)


def test_extended_connect() -> None:
    """A websocket is asked for by GET and an upgrade; the client has no say in the key."""
    made = head(
        (b":method", b"CONNECT"),
        S,
        P,
        A,
        (b":protocol", b"websocket"),
        (b"sec-websocket-key", b"mine"),
        (b"origin", b"x"),
        ended=False,
    )
    assert (made.method, made.upgrade, made.length, made.chunked) == (b"GET", b"websocket", 0, False)
    assert made.fields == [
        (b"host", b"Example.com"),
        (b"origin", b"x"),
        (b"upgrade", b"websocket"),
        (b"connection", b"upgrade"),
    ]
    # The example of RFC 6455, 1.3.
    assert accept_of(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("fields", "target", "origin"),
    [
        (PLAIN, b"", b"/p?q=1"),
        (PLAIN, b"http://b/x", b"/x"),
        (PLAIN, b"/y", b"/y"),
        ([M, S, P], b"", b"/p?q=1"),
        ([M, S, (b":path", b"/http://a/x")], b"", b"/http://a/x"),
        ([M, S, P, (b":authority", b"")], b"", b"/p?q=1"),
        ([M, (b":scheme", b"ftp"), P, A], b"", b"ftp://Example.com/p?q=1"),
        ([(b":method", b"OPTIONS"), S, (b":path", b"*"), A], b"", b"*"),
        ([(b":method", b"OPTIONS"), S, (b":path", b"*")], b"", b"*"),
        ([(b":method", b"CONNECT"), (b":authority", b"a:99")], b"", b"a:99"),
    ],
)
def test_origin_form(fields: list[Field], target: bytes, origin: bytes) -> None:
    """A server is given the path, whatever rules made of the rest; schemes that are not the web's stay."""
    made = head(*fields)
    made.target = target or made.target
    assert origin_form(made) == origin


def test_trailers() -> None:
    """Trailers are judged like fields; those that mean the message are left out."""
    assert trailer_fields([(b"x", b" y "), (b"content-length", b"3"), (b"host", b"a")]) == [(b"x", b"y")]
    for bad in ((b"X", b"y"), (b":path", b"/"), (b"x", b"a\nb"), (b"connection", b"x"), (b"transfer-encoding", b"x")):
        with pytest.raises(Malformed):
            trailer_fields([bad])


def test_response_fields() -> None:
    """What only means the connection stays behind, and the handshake with it."""
    fields = [(b"connection", b"upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-accept", b"x"), (b"a", b"b")]
    assert response_fields(200, fields, upgraded=True) == [(b":status", b"200"), (b"a", b"b")]
    assert response_fields(200, fields[2:], upgraded=False) == [(b":status", b"200"), *fields[2:]]


# -- answers -------------------------------------------------------------------------------------------------------


def feed(answer: Answer, pieces: Sequence[bytes], room: int = 1 << 20) -> tuple[list[list[Field]], bytes, bool]:
    """Feed an answer; the heads that came of it, its body and whether it ended."""
    heads: list[list[Field]] = []
    body, ended = b"", False
    for data in pieces:
        rest = data
        while rest:
            used, part = answer.feed(rest, room)
            rest = rest[used:]
            if isinstance(part, Fields):
                assert not ended
                heads.append(part.fields)
            elif isinstance(part, Content):
                assert not ended
                body += part.data
            ended = ended or (part is not None and part.ended)
            if not used and part is None:
                break
    return heads, body, ended


MESSAGES = [
    (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello", b"hello", True),
    (b"GET", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", True),
    (b"GET", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde", True),
    (b"GET", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n", b"abc", True),
    (b"GET", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"", True),
    (b"GET", b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end", False),
    (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", b"", True),
    (b"GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", b"", True),
    (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    (b"CONNECT", b"HTTP/1.1 200 OK\r\n\r\nbytes", b"bytes", False),
    (b"GET", b"HTTP/1.1 103 Early\r\na: b\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi", True),
]


@pytest.mark.parametrize(("method", "raw", "body", "ended"), MESSAGES)
def test_answer(method: bytes, raw: bytes, body: bytes, ended: bool) -> None:
    """Whole, byte by byte, and with little room: the same parts."""
    whole = feed(Answer(method), [raw])
    assert whole[1:] == (body, ended)
    assert feed(Answer(method), [bytes([byte]) for byte in raw]) == whole
    assert feed(Answer(method), [raw], room=1) == whole
    last = Answer(method)
    feed(last, [raw])
    assert last.done is ended
    part = last.close()
    assert (part is not None) is not ended
    assert last.done


def test_answer_without_room() -> None:
    """Without room the body stays with the caller."""
    answer = Answer(b"GET")
    raw = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
    used, part = answer.feed(raw, 0)
    assert isinstance(part, Fields)
    assert answer.feed(raw[used:], 0) == (0, None)
    assert answer.feed(raw[used:], 3) == (3, Content(b"hel", ended=False))
    assert answer.feed(raw[used + 3 :], 3) == (2, Content(b"lo", ended=True))


def test_answer_to_an_upgrade() -> None:
    """101 is 200 for HTTP/2, and the tunnel begins."""
    raw = b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nbytes"
    heads, body, ended = feed(Answer(b"GET", upgrade=True), [raw])
    assert heads == [[(b":status", b"200")]]
    assert (body, ended) == (b"bytes", False)


# -- connections ---------------------------------------------------------------------------------------------------


def client() -> H2Connection:
    """A client that checks nothing of what it sends."""
    made = H2Connection(
        H2Configuration(header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False)
    )
    made.initiate_connection()
    return made


class Pair:
    """A client and our end, and the events there were."""

    def __init__(self, **tuning: int) -> None:
        self.client = client()
        self.server = ServerConnection(Tuning(**tuning), Limits())  # type: ignore[arg-type]
        self.events: list[Event] = []
        self.now = 0.0

    def turn(self) -> list[Event]:
        """Let both read what the other wrote; the new events of the server."""
        events = self.server.receive(self.client.data_to_send(), self.now)
        out = bytes(self.server.out)
        self.server.out.clear()
        self.client.receive_data(out)
        self.events += events
        return [event for event in events if not isinstance(event, Opened)]

    def raw(self, data: bytes) -> list[Event]:
        """Bytes as they are."""
        return [event for event in self.server.receive(data, self.now) if not isinstance(event, Opened)]


def test_conversation() -> None:
    """A request, its body, an answer."""
    pair = Pair()
    pair.client.send_headers(1, [*PLAIN, (b"content-length", b"5")])
    pair.client.send_data(1, b"hello", end_stream=True)
    first, second = pair.turn()
    assert isinstance(first, Request)
    assert first.head is not None
    assert first.head.length == 5
    assert second == Data(1, b"hello", 5, ended=True)
    pair.server.consumed(1, 5)
    pair.server.send_head(1, [(b":status", b"200")], ended=False)
    assert pair.server.room(1) == 65535
    pair.server.send_data(1, b"x" * 40000, ended=True)
    pair.turn()
    assert pair.server.streams == {}


@pytest.mark.parametrize(
    ("length", "data", "ended"), [(b"2", b"hello", True), (b"9", b"hello", True), (b"2", b"hello", False)]
)
def test_wrong_length(length: bytes, data: bytes, ended: bool) -> None:
    """DATA that contradict the content-length reset the stream, and the connection goes on."""
    pair = Pair()
    pair.client.send_headers(1, [*PLAIN, (b"content-length", length)])
    pair.client.send_data(1, data, end_stream=ended)
    assert pair.turn()[1:] == [Reset(1, 1, by_peer=False)]
    pair.client.send_headers(3, PLAIN, end_stream=True)
    assert isinstance(pair.turn()[0], Request)


def test_trailers_before_the_length_is_full() -> None:
    """Trailers end a body too."""
    pair = Pair()
    pair.client.send_headers(1, [*PLAIN, (b"content-length", b"5")])
    pair.client.send_data(1, b"hel")
    pair.client.send_headers(1, [(b"x", b"y")], end_stream=True)
    assert pair.turn()[-1] == Reset(1, 1, by_peer=False)


def test_bad_trailers() -> None:
    """A malformed trailer resets its stream."""
    pair = Pair()
    pair.client.send_headers(1, PLAIN)
    pair.client.send_headers(1, [(b"connection", b"y")], end_stream=True)
    assert pair.turn()[-1] == Reset(1, 1, by_peer=False)
    pair.client.send_headers(3, PLAIN)
    pair.client.send_headers(3, [(b"x", b"y")], end_stream=True)
    assert pair.turn()[-1] == Trailers(3, [(b"x", b"y")])


def test_malformed_request_costs_its_stream() -> None:
    """A malformed request is reset, the next one is served; glitches tell."""
    pair = Pair()
    pair.client.send_headers(1, [*PLAIN, (b"Bad", b"x")], end_stream=True)
    pair.client.send_headers(3, PLAIN, end_stream=True)
    first, second = pair.turn()
    assert first == Rejected(1)
    assert isinstance(second, Request)
    assert pair.server.glitches == 1


def test_refused_stream() -> None:
    """More streams at once than there may be are refused one by one."""
    pair = Pair(max_streams=2)
    pair.turn()
    pair.client.remote_settings[3] = 100
    pair.client.remote_settings.acknowledge()
    for number in (1, 3, 5):
        pair.client.send_headers(number, PLAIN)
    assert [event.stream for event in pair.turn() if isinstance(event, Request)] == [1, 3]
    assert not pair.server.failed


def test_windows_come_back_as_bodies_are_read() -> None:
    """What is not consumed is not given back; a stream that ends gives back what it held."""
    pair = Pair()
    pair.turn()
    pair.client.send_headers(1, PLAIN)
    pair.turn()
    pair.turn()
    most = pair.client.local_flow_control_window(1)
    while room := min(pair.client.local_flow_control_window(1), 16384):
        pair.client.send_data(1, b"x" * room)
        pair.turn()
    held = sum(event.credit for event in pair.events if isinstance(event, Data))
    assert held == most
    pair.server.consumed(1, held)
    pair.turn()
    assert pair.client.local_flow_control_window(1) == most
    whole = pair.client.outbound_flow_control_window
    pair.client.send_data(1, b"x" * 10000)
    pair.turn()
    pair.server.reset(1, 8)
    pair.turn()
    assert pair.client.outbound_flow_control_window >= whole - 10000


def test_initial_window_before_it_is_known() -> None:
    """A client that has not read our SETTINGS may use the window of RFC 9113."""
    pair = Pair(window=16384)
    pair.client.send_headers(1, [*PLAIN, (b"content-length", b"65535")])
    for _ in range(3):
        pair.client.send_data(1, b"x" * 16384)
    pair.client.send_data(1, b"x" * 16383, end_stream=True)
    pair.turn()
    assert not pair.server.failed
    assert sum(len(event.data) for event in pair.events if isinstance(event, Data)) == 65535


def test_goaway_of_the_client() -> None:
    """A client that leaves still gets its answers."""
    pair = Pair()
    pair.client.send_headers(1, PLAIN, end_stream=True)
    pair.turn()
    assert pair.raw(frame(7, 0, 0, bytes(8))) == [Leaving(0)]
    pair.server.send_head(1, [(b":status", b"200")], ended=True)
    pair.turn()
    assert pair.server.streams == {}


def test_drain() -> None:
    """A drained connection serves what is under way, then refuses."""
    pair = Pair(max_streams=3)
    pair.turn()
    pair.client.remote_settings[3] = 100
    pair.client.remote_settings.acknowledge()
    pair.server.drain()
    out = bytes(pair.server.out)
    assert out == frame(7, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0")
    for number in (1, 3, 5, 7, 9):
        pair.client.send_headers(number, PLAIN, end_stream=True)
        pair.server.receive(pair.client.data_to_send(), 0.0)
        pair.server.reset(number, 0)
    assert pair.server.accepted == 3
    assert frame(7, 0, 0, b"\0\0\0\x07\0\0\0\0") in bytes(pair.server.out)


FATAL = [
    ("preface", b"GET / HTTP/1.1\r\n", 1),
    ("almost the preface", PREFACE[:-1] + b"x", 1),
    ("no settings", PREFACE + frame(6, 0, 0, bytes(8)), 1),
    ("settings ack first", PREFACE + frame(4, 1, 0), 1),
    ("data on stream 0", PREFACE + SETTINGS + frame(0, 0, 0, b"x"), 1),
    ("data on an idle stream", PREFACE + SETTINGS + frame(0, 0, 1, b"x"), 1),
    ("headers on an even stream", PREFACE + SETTINGS + frame(1, 5, 2, b"\x82\x84\x86"), 1),
    ("frame too large", PREFACE + SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1", 6),
    ("ping too short", PREFACE + SETTINGS + frame(6, 0, 0, b"1"), None),
    ("broken compression", PREFACE + SETTINGS + frame(1, 5, 1, b"\xff\xff\xff\xff\xff"), None),
    ("continuation alone", PREFACE + SETTINGS + frame(9, 4, 1, b"x"), 1),
    ("other frame in a block", PREFACE + SETTINGS + frame(1, 0, 1, b"\x82") + frame(6, 0, 0, bytes(8)), 1),
    ("goaway in a block", PREFACE + SETTINGS + frame(1, 0, 1, b"\x82") + frame(7, 0, 0, bytes(8)), 1),
    ("push", PREFACE + SETTINGS + frame(5, 4, 1, b"\0\0\0\2\x82"), 1),
    ("window 0 on the connection", PREFACE + SETTINGS + frame(8, 0, 0, bytes(4)), None),
    ("window too large", PREFACE + SETTINGS + frame(8, 0, 0, b"\x7f\xff\xff\xff"), 3),
    ("settings with a bad window", PREFACE + frame(4, 0, 0, b"\0\4\xff\xff\xff\xff"), 3),
    ("settings of a bad size", PREFACE + frame(4, 0, 0, b"\0\4\xff"), None),
    ("padding longer than the frame", PREFACE + SETTINGS + frame(1, 13, 1, b"\xff\x82"), None),
    ("header bomb", PREFACE + SETTINGS + frame(1, 5, 1, b"\x40\1x\x7f\x81\x1e" + b"y" * 4000 + b"\xbe" * 9000), 11),
]


@pytest.mark.parametrize(("name", "data", "code"), FATAL, ids=[name for name, _, _ in FATAL])
def test_fatal(name: str, data: bytes, code: int | None) -> None:
    """Each ends the connection, with a GOAWAY once the client has spoken HTTP/2; fed whole or byte by byte."""
    for pieces in ([data], [bytes([byte]) for byte in data]):
        server = ServerConnection(Tuning(), Limits())
        events = [event for piece in pieces for event in server.receive(piece, 0.0)]
        assert isinstance(events[-1], Failed)
        assert server.failed
        if code is not None:
            assert events[-1].code == code
        assert bytes(server.out).count(b"\0\0\x08\x07\0\0\0\0\0") == server.prefaced
        assert server.receive(b"more", 0.0) == []
        server.reset(1, 0)
        server.consumed(1, 0)
        server.drain()


def test_window_0_on_a_stream() -> None:
    """An empty WINDOW_UPDATE on a stream costs that stream only."""
    pair = Pair()
    pair.client.send_headers(1, PLAIN)
    pair.turn()
    assert pair.raw(frame(8, 0, 1, bytes(4))) == [Reset(1, 1, by_peer=False)]


def test_window_too_large_on_a_stream() -> None:
    """So does one that is too large."""
    pair = Pair()
    pair.client.send_headers(1, PLAIN)
    pair.turn()
    assert pair.raw(frame(8, 0, 1, b"\x7f\xff\xff\xff")) == [Reset(1, 3, by_peer=False)]


def test_allowance_comes_back() -> None:
    """Frames that bring nothing are fine as long as they are few a second."""
    pair = Pair()
    pair.turn()
    for _ in range(3000):
        pair.now += 0.1
        assert pair.raw(frame(6, 0, 0, bytes(8))) == []
    assert not pair.server.failed


def test_late_frames_on_a_stream_that_was_reset() -> None:
    """What was under way when we reset a stream does no harm."""
    pair = Pair()
    pair.client.send_headers(1, PLAIN)
    pair.turn()
    pair.server.reset(1, 8)
    assert pair.raw(frame(0, 0, 1, b"x") + frame(8, 0, 1, b"\0\0\0\1") + frame(3, 0, 1, bytes(4))) == []
    assert pair.raw(frame(1, 5, 1, b"\x40\1x\1y")) == []
    assert not pair.server.failed


def test_memory_of_closed_streams_is_bounded() -> None:
    """Thousands of streams leave little behind."""
    pair = Pair()
    for number in range(1, 6001, 2):
        pair.client.send_headers(number, PLAIN, end_stream=True)
        pair.now += 1.0
        pair.turn()
        pair.server.send_head(number, [(b":status", b"200")], ended=True)
        pair.turn()
    assert len(pair.server._engine._closed_streams) <= 1024
    assert len(pair.server._engine.streams) <= 2


def _frames(draw: random.Random) -> bytes:
    """Frames that mean something more often than not."""
    out = b""
    for _ in range(draw.randrange(1, 12)):
        kind = draw.choice([0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 42])
        payload = draw.choice(
            [
                b"",
                b"\x82\x84\x86\x41\1a",
                b"\x82\x84\x86\x41\1a",
                b"\x40\1x\1y",
                bytes(4),
                bytes(5),
                bytes(6),
                bytes(8),
                b"\0\4\0\0\0\0",
                b"\0\0\0\1",
                b"\0\5hello",
                draw.randbytes(draw.randrange(20)),
            ]
        )
        out += frame(
            kind, draw.choice([0, 1, 4, 5, 5, 5, 8, 13, 32, 36, 37, 255]), draw.choice([0, 1, 1, 3, 5, 2]), payload
        )
    return out


@settings(max_examples=500, deadline=None)
@given(st.randoms(use_true_random=False), st.lists(st.integers(1, 40), max_size=20), st.booleans())
def test_any_frames(draw: random.Random, cuts: list[int], answered: bool) -> None:
    """Any frames, cut anywhere, are answered by events; what is sent back is well-formed."""
    data = PREFACE + SETTINGS + _frames(draw)
    server = ServerConnection(Tuning(), Limits())
    at = 0
    for cut in [*cuts, len(data)]:
        for event in server.receive(data[at : at + cut], 0.0):
            if isinstance(event, Data) and draw.random() < 0.5:
                server.consumed(event.stream, event.credit)
            if isinstance(event, Request) and answered and event.stream in server.streams and not server.failed:
                server.send_head(event.stream, [(b":status", b"200")], ended=draw.random() < 0.5)
                if event.stream in server.streams:
                    size = min(10, server.room(event.stream))
                    server.send_data(event.stream, b"x" * size, ended=draw.random() < 0.5)
        at += cut
    for number in list(server.streams):
        server.reset(number, 2)
    out = bytes(server.out)
    while out:
        size = int.from_bytes(out[:3], "big")
        assert len(out) >= 9 + size
        out = out[9 + size :]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_any_bytes(data: bytes, prefaced: bool, settled: bool) -> None:
    """Any bytes at all: events, never an exception."""
    server = ServerConnection(Tuning(), Limits())
    server.receive((PREFACE if prefaced else b"") + (SETTINGS if settled else b"") + data, 0.0)
