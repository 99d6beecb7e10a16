"""HTTP/2 towards servers, sans-IO: what responses become, whose fault costs what, and that no bytes can do harm."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamReset
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.h2wire import PREFACE, SETTINGS, frame
from trilb.http.h2answer import Content, Fields
from trilb.http.h2ask import Ask
from trilb.http.h2client import ClientConnection
from trilb.http.h2events import Data, Event, Failed, Opened, Reset, Response, Trailers
from trilb.http.h2head import Malformed, answer_fields, ask_fields
from trilb.http.head import Field
from trilb.http.policy import Limits

DATA, HEADERS, RST, SET, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END, ACK, DONE = 1, 1, 4
CANCEL, REFUSED = 8, 7
ASK = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/")]
OK = (b":status", b"200")


def made(window: int = 65535, *, settled: bool = True, streams: int = 100) -> ClientConnection:
    """A connection, whose server has said hello."""
    conn = ClientConnection(Limits(), window, 4096, 16384, streams)
    if settled:
        conn.receive(SETTINGS)
    return conn


def block(*fields: Field) -> bytes:
    """A header block that changes no table."""
    encoder = Encoder()
    encoder.header_table_size = 0
    return encoder.encode(fields)[1:] if not fields else encoder.encode(fields)


def headers(stream: int, *fields: Field, end: bool = False) -> bytes:
    """A HEADERS frame."""
    return frame(HEADERS, DONE | end, stream, block(*fields))


def asked(conn: ClientConnection, count: int = 1, *, ended: bool = True) -> list[int]:
    """Requests, and nothing in the output."""
    numbers = [conn.open(ASK, ended=ended) for _ in range(count)]
    conn.out.clear()
    return numbers


def frames(out: bytes | bytearray) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each frame."""
    found, at = [], len(PREFACE) if out.startswith(PREFACE) else 0
    while at < len(out):
        size = int.from_bytes(out[at : at + 3], "big")
        stream = int.from_bytes(out[at + 5 : at + 9], "big")
        found.append((out[at + 3], out[at + 4], stream, bytes(out[at + 9 : at + 9 + size])))
        at += 9 + size
    return found


def settings_frame(*pairs: tuple[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SET, 0, 0, b"".join(struct.pack(">HL", *pair) for pair in pairs))


# -- what goes out ---------------------------------------------------------------------------------------------------


def test_hello() -> None:
    """Preface, then SETTINGS without push."""
    conn = made(70000, settled=False)
    assert conn.out.startswith(PREFACE)
    (hello,) = frames(conn.out)
    assert hello[:3] == (SET, 0, 0)
    said = dict(struct.iter_unpack(">HL", hello[3]))
    assert (said[2], said[4], said[5]) == (0, 70000, 16384)


def test_request() -> None:
    """A head, a body within the windows, trailers."""
    conn = made()
    conn.out.clear()
    number = conn.open(ASK, ended=False)
    assert (number, conn.room(number)) == (1, 65535)
    conn.send_data(number, b"x" * 40000, ended=False)
    assert conn.room(number) == 25535
    conn.send_trailers(number, [(b"x-t", b"1")])
    got = frames(conn.out)
    assert [each[0] for each in got] == [HEADERS, DATA, DATA, DATA, HEADERS]
    assert Decoder().decode(got[0][3], raw=True) == ASK
    assert got[-1][1] & END
    conn.send_data(number, b"more", ended=True)
    conn.send_trailers(number, [])
    assert len(frames(conn.out)) == 5


def test_window_that_shrinks() -> None:
    """The window may become negative; then nothing may be sent until it is positive again."""
    conn = made()
    (number,) = asked(conn, ended=False)
    conn.send_data(number, b"x" * 1000, ended=False)
    assert Opened(0) in conn.receive(settings_frame((4, 10)))
    assert conn.room(number) == 0
    conn.receive(frame(WINDOW, 0, number, struct.pack(">L", 2000)))
    assert conn.room(number) == 1010
    conn.send_data(number, b"x" * 1010, ended=True)
    assert conn.room(number) == 0


def test_frame_size() -> None:
    """The server may take larger frames."""
    conn = made()
    conn.receive(settings_frame((5, 32768)))
    (number,) = asked(conn, ended=False)
    conn.send_data(number, b"x" * 40000, ended=True)
    assert [len(each[3]) for each in frames(conn.out)] == [32768, 7232]


def test_concurrency() -> None:
    """As many requests as the server allows, and as we want."""
    conn = made(streams=3)
    asked(conn, 2)
    assert conn.room_for_one()
    asked(conn, 1)
    assert not conn.room_for_one()
    conn.receive(headers(1, OK, end=True))
    assert conn.room_for_one()
    conn.receive(settings_frame((3, 1)))
    assert not conn.room_for_one()
    conn.receive(headers(3, OK, end=True))
    assert not conn.room_for_one()
    conn.receive(headers(5, OK, end=True))
    assert conn.room_for_one()
    conn.receive(settings_frame((3, 0)))
    assert not conn.room_for_one()


def test_numbers_run_out() -> None:
    """No stream is opened above 2^31 - 1."""
    conn = made()
    conn._engine.highest_outbound_stream_id = (1 << 31) - 5
    assert conn.room_for_one()
    asked(conn)
    assert not conn.room_for_one()


def test_reset() -> None:
    """CANCEL where the response is missing, NO_ERROR where only our side is left; once."""
    conn = made()
    one, two, three = asked(conn, 3, ended=False)
    conn.reset(one)
    conn.reset(one)
    conn.receive(headers(two, OK, end=True))
    assert two in conn.streams
    conn.reset(two)
    conn.receive(headers(three, OK, end=True))
    conn.send_data(three, b"", ended=True)
    conn.reset(three)
    got = [each for each in frames(conn.out) if each[0] != WINDOW]
    assert [(each[0], each[2], each[3]) for each in got] == [
        (RST, one, struct.pack(">L", CANCEL)),
        (RST, two, struct.pack(">L", 0)),
        (DATA, three, b""),
    ]
    assert not conn.streams


def test_half_closed() -> None:
    """A server that has ended its side still hears us, as a tunnel wants it."""
    conn = made()
    (number,) = asked(conn, ended=False)
    conn.receive(headers(number, OK) + frame(DATA, END, number, b"bye"))
    assert conn.room(number)
    conn.send_data(number, b"still here", ended=False)
    conn.send_data(number, b"", ended=True)
    assert [each[3] for each in frames(conn.out) if each[0] == DATA] == [b"still here", b""]
    assert not conn.streams


# -- responses -------------------------------------------------------------------------------------------------------


def test_response() -> None:
    """Interim responses, a head, a body, trailers."""
    conn = made()
    (number,) = asked(conn)
    got = conn.receive(
        headers(number, (b":status", b"103"), (b"link", b"x"))
        + headers(number, OK, (b"a", b" b "))
        + frame(DATA, 8, number, b"\x03abc\0\0\0")
        + headers(number, (b"x-t", b"1"), end=True)
    )
    assert got == [
        Response(number, 103, [(b"link", b"x")], ended=False),
        Response(number, 200, [(b"a", b"b")], ended=False),
        Data(number, b"abc", 7, ended=False),
        Trailers(number, [(b"x-t", b"1")]),
    ]
    assert not conn.streams


def test_windows_are_given_back() -> None:
    """As the body is used, on the stream and on the connection."""
    conn = made()
    (number,) = asked(conn)
    conn.receive(headers(number, OK))
    conn.out.clear()
    for _ in range(4):
        for event in conn.receive(frame(DATA, 0, number, b"x" * 16000)):
            assert isinstance(event, Data)
    assert not conn.out
    conn.consumed(number, 64000)
    assert (WINDOW, number) in [(each[0], each[2]) for each in frames(conn.out)]
    conn.consumed(99, 1)
    conn.consumed(number, 0)


def test_data_after_reset() -> None:
    """What was under way for a stream that was given up still goes back to the connection's window."""
    conn = made()
    (number,) = asked(conn)
    conn.receive(headers(number, OK))
    conn.reset(number)
    conn.out.clear()
    for _ in range(200):
        assert conn.receive(frame(DATA, 0, number, b"x" * 16384)) == []
    assert not conn.failed
    assert [each[2] for each in frames(conn.out) if each[0] == WINDOW]


def test_data_after_the_end() -> None:
    """It is not handed on."""
    conn = made()
    asked(conn)
    assert [type(each) for each in conn.receive(headers(1, OK, end=True) + frame(DATA, 0, 1, b"x"))] == [Response]


def test_largest_window() -> None:
    """Windows end at 2^31 - 1, however large streams' are."""
    conn = made((1 << 31) - 1)
    (number,) = asked(conn)
    assert conn.receive(headers(number, OK, end=True)) == [Response(number, 200, [], ended=True)]
    assert not conn.failed


WRONG: list[Sequence[Field]] = [
    [],
    [(b"a", b"b")],
    [(b":status", b"")],
    [(b":status", b"20")],
    [(b":status", b"2000")],
    [(b":status", b"099")],
    [(b":status", b"200\n")],
    [(b":status", b"abc")],
    [(b":status", b"101")],
    [OK, OK],
    [(b"a", b"b"), OK],
    [OK, (b":path", b"/")],
    [OK, (b"Upper", b"x")],
    [OK, (b"", b"x")],
    [OK, (b"a b", b"x")],
    [OK, (b"a:", b"x")],
    [OK, (b"a\r\nb", b"x")],
    [OK, (b"a", b"x\r\ny: z")],
    [OK, (b"a", b"x\ny")],
    [OK, (b"a", b"x\0y")],
    [OK, (b"connection", b"close")],
    [OK, (b"transfer-encoding", b"chunked")],
    [OK, (b"keep-alive", b"5")],
    [OK, (b"upgrade", b"x")],
    [OK, (b"proxy-connection", b"x")],
    [OK, (b"a", b"x" * 17000)],
    [OK, *((b"a%d" % i, b"") for i in range(201))],
]


@pytest.mark.parametrize("fields", WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_wrong_response(fields: Sequence[Field]) -> None:
    """It costs its stream; another one goes on."""
    conn = made()
    one, two = asked(conn, 2)
    raw = block(*fields)
    got = conn.receive(b"".join(_split(one, raw)))
    assert got == [Reset(one, 1, by_peer=False)]
    assert [(each[0], each[2]) for each in frames(conn.out)] == [(RST, one)]
    assert conn.receive(headers(two, OK, end=True)) == [Response(two, 200, [], ended=True)]


def _split(stream: int, raw: bytes, flags: int = 0) -> list[bytes]:
    pieces = [raw[i : i + 16384] for i in range(0, len(raw), 16384)] or [b""]
    kinds = [HEADERS] + [CONTINUATION] * (len(pieces) - 1)
    last = len(pieces) - 1
    return [
        frame(kind, (DONE if i == last else 0) | (flags if not i else 0), stream, piece)
        for i, (kind, piece) in enumerate(zip(kinds, pieces, strict=True))
    ]


@pytest.mark.parametrize(
    "field", [(b":status", b"200"), (b"Upper", b"x"), (b"a", b"x\ny"), (b"connection", b"close"), (b":x", b"1")]
)
def test_wrong_trailers(field: Field) -> None:
    """They cost their stream."""
    conn = made()
    one, two = asked(conn, 2)
    got = conn.receive(headers(one, OK) + headers(one, field, end=True))
    assert got[-1] == Reset(one, 1, by_peer=False)
    assert not conn.failed
    assert list(conn.streams) == [two]


def test_lengths_are_not_ours() -> None:
    """A wrong content-length is found by who reads the body."""
    conn = made()
    one, two = asked(conn, 2)
    got = conn.receive(headers(one, OK, (b"content-length", b"5")) + frame(DATA, END, one, b"abc"))
    assert [type(each) for each in got] == [Response, Data]
    got = conn.receive(headers(two, OK, (b"content-length", b"x")) + frame(DATA, END, two, b"abc"))
    assert [type(each) for each in got] == [Response, Data]


# -- the end of streams and connections --------------------------------------------------------------------------------


def test_reset_by_the_server() -> None:
    """REFUSED_STREAM says that nothing was done; once."""
    conn = made()
    one, two = asked(conn, 2)
    refuse = frame(RST, 0, one, struct.pack(">L", REFUSED))
    assert conn.receive(refuse) == [Reset(one, REFUSED, by_peer=True, unserved=True)]
    assert conn.receive(refuse) == []
    assert conn.receive(frame(RST, 0, two, struct.pack(">L", 2))) == [Reset(two, 2, by_peer=True)]


def test_goaway() -> None:
    """Streams above the last one were not served, the others go on; no new ones."""
    conn = made()
    one, two, three = asked(conn, 3, ended=False)
    assert conn.receive(frame(GOAWAY, 0, 0, struct.pack(">LL", 0x7FFFFFFF, 0))) == []
    assert conn.leaving
    assert not conn.room_for_one()
    got = conn.receive(frame(GOAWAY, 0, 0, struct.pack(">LL", one, 0) + b"bye"))
    assert got == [Reset(two, 0, True, unserved=True), Reset(three, 0, True, unserved=True)]
    assert list(conn.streams) == [one]
    conn.send_data(one, b"abc", ended=True)
    assert [each[0] for each in frames(conn.out)] == [DATA]
    got = conn.receive(headers(one, OK) + frame(DATA, END, one, b"x"))
    assert [type(each) for each in got] == [Response, Data]
    assert not conn.streams
    conn.goaway()
    conn.ping()


BROKEN = {
    "too large": frame(DATA, 0, 1, b"x" * 16385),
    "even stream": headers(2, OK),
    "idle stream": headers(9, OK),
    "data on an idle stream": frame(DATA, 0, 9, b"x"),
    "rst on an idle stream": frame(RST, 0, 9, b"\0\0\0\1"),
    "stream 0": headers(0, OK),
    "data on stream 0": frame(DATA, 0, 0, b"x"),
    "settings on a stream": frame(SET, 0, 1),
    "settings of a wrong size": frame(SET, 0, 0, b"x"),
    "window too large": settings_frame((4, 1 << 31)),
    "frame size too small": settings_frame((5, 1)),
    "push": frame(PUSH, DONE, 1, b"\0\0\0\2" + block(*ASK)),
    "short goaway": frame(GOAWAY, 0, 0, b"x"),
    "goaway on a stream": frame(GOAWAY, 0, 1, bytes(8)),
    "goaway in a block": frame(HEADERS, 0, 1, block(OK)) + frame(GOAWAY, 0, 0, bytes(8)),
    "ping in a block": frame(HEADERS, 0, 1, block(OK)) + frame(PING, 0, 0, bytes(8)),
    "continuation alone": frame(CONTINUATION, DONE, 1, block(OK)),
    "short ping": frame(PING, 0, 0, b"x"),
    "short rst": frame(RST, 0, 1, b"x"),
    "no window": frame(WINDOW, 0, 0, bytes(4)),
    "too much window": frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"),
    "padding": frame(DATA, 8, 1, b"\x09abc"),
    "compression": frame(HEADERS, DONE, 1, b"\xff\xff\xff\xff\xff\xff"),
    "continuations": frame(HEADERS, 0, 1, block(OK)) + frame(CONTINUATION, 0, 1) * 1000,
    "huge head": b"".join(_split(1, block(OK, *((b"a%d" % i, b"x" * 1000) for i in range(100))))),
    "too much data": headers(1, OK) + frame(DATA, 0, 1, b"x" * 16384) * 4,
    "window of an idle stream": frame(WINDOW, 0, 9, b"\0\0\0\1"),
    "head after the end": headers(1, OK, end=True) + headers(1, OK),
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
def test_broken(raw: bytes) -> None:
    """It costs the connection, with a GOAWAY; nothing is sent or taken after that."""
    conn = made()
    asked(conn, 2)
    got = conn.receive(raw)
    assert isinstance(got[-1], Failed)
    assert conn.failed
    assert not conn.room_for_one()
    assert conn.receive(headers(3, OK)) == []
    before = bytes(conn.out)
    conn.reset(3)
    conn.consumed(1, 5)
    conn.goaway()
    conn.ping()
    assert conn.out == before


@pytest.mark.parametrize("raw", [b"HTTP/1.1 400 Bad Request\r\n\r\n", frame(PING, 0, 0, bytes(8)), frame(SET, ACK, 0)])
def test_no_hello(raw: bytes) -> None:
    """A server that does not begin with SETTINGS does not speak HTTP/2."""
    conn = made(settled=False)
    asked(conn)
    assert isinstance(conn.receive(raw)[-1], Failed)


def test_extended_connect() -> None:
    """Once said it stays said."""
    conn = made(settled=False)
    assert not conn.settled
    conn.receive(SETTINGS)
    assert (conn.settled, conn.websockets) == (True, False)
    conn.receive(settings_frame((8, 1)))
    assert conn.websockets
    conn.receive(settings_frame((1, 1 << 31)))
    assert conn._engine.encoder.header_table_size == 4096


def test_pings_are_answered() -> None:
    """With what they carry."""
    conn = made()
    conn.out.clear()
    conn.receive(frame(PING, 0, 0, b"12345678"))
    assert frames(conn.out) == [(PING, ACK, 0, b"12345678")]


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_bytes(data: st.DataObject) -> None:
    """Whatever comes gives events, never an exception; so do calls behind it."""
    conn = made(settled=data.draw(st.booleans()))
    numbers = asked(conn, 3, ended=False)
    payload = st.one_of(
        st.binary(max_size=60),
        st.sampled_from([block(OK), block(OK, (b"content-length", b"3")), block((b":status", b"100")), bytes(8)]),
        st.sampled_from([b"\0\0\0\1", struct.pack(">LL", 3, 0), struct.pack(">HL", 4, 0), struct.pack(">HL", 3, 0)]),
    )
    one = st.builds(
        frame,
        st.integers(0, 12),
        st.sampled_from([0, 1, 4, 5, 8, 9, 12, 13, 32, 36, 255]),
        st.sampled_from([0, 1, 1, 3, 3, 5, 7, 2, 0x80000001]),
        payload,
    )
    whole = data.draw(st.lists(st.one_of(one, one, one, st.binary(max_size=20)), max_size=12).map(b"".join))
    at = 0
    while at < len(whole):
        size = data.draw(st.integers(1, 200))
        for event in conn.receive(whole[at : at + size]):
            _use(conn, event)
        at += size
        for number in numbers:
            room = conn.room(number)
            conn.send_data(number, b"x" * min(room, 100), ended=False)
        act = data.draw(st.integers(0, 12))
        if act < 3:
            conn.reset(numbers[act])
        elif act < 6:
            conn.send_trailers(numbers[act - 3], [(b"a", b"b")])
        elif act == 6 and conn.room_for_one():
            numbers.append(conn.open(ASK, ended=True))


def _use(conn: ClientConnection, event: Event) -> None:
    if isinstance(event, Data):
        conn.consumed(event.stream, event.credit)


# -- heads and bodies --------------------------------------------------------------------------------------------------


def test_answer_fields() -> None:
    """Status and fields, without blanks around values."""
    assert answer_fields([OK, (b"a", b"\tb ")], Limits()) == (200, [(b"a", b"b")])
    with pytest.raises(Malformed):
        answer_fields([], Limits())


@pytest.mark.parametrize(
    ("method", "target", "fields", "upgrade", "expected"),
    [
        (b"GET", b"/x", [(b"host", b"h")], b"", [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/x"),
                                                 (b"host", b"h")]),
        (b"GET", b"http://a/x", [(b"host", b"h")], b"", [(b":method", b"GET"), (b":scheme", b"http"),
                                                         (b":authority", b"a"), (b":path", b"/x")]),
        (b"OPTIONS", b"http://a", [], b"", [(b":method", b"OPTIONS"), (b":scheme", b"http"), (b":authority", b"a"),
                                            (b":path", b"*")]),
        (b"GET", b"http://a", [], b"", [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"),
                                        (b":path", b"/")]),
        (b"OPTIONS", b"*", [(b"host", b"h")], b"", [(b":method", b"OPTIONS"), (b":scheme", b"https"), (b":path", b"*"),
                                                    (b"host", b"h")]),
        (b"CONNECT", b"a:1", [(b"host", b"a:1")], b"", [(b":method", b"CONNECT"), (b":authority", b"a:1")]),
        (b"GET", b"/x", [(b"host", b"h"), (b"connection", b"upgrade"), (b"upgrade", b"websocket")], b"websocket",
         [(b":method", b"CONNECT"), (b":scheme", b"https"), (b":authority", b"h"), (b":path", b"/x"),
          (b":protocol", b"websocket")]),
        (b"GET", b"/?u=http://b", [(b"te", b"trailers"), (b"keep-alive", b"1")], b"",
         [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/?u=http://b"), (b"te", b"trailers")]),
    ],
)  # fmt: skip
def test_ask_fields(method: bytes, target: bytes, fields: list[Field], upgrade: bytes, expected: list[Field]) -> None:
    """Origin form keeps `host`, an absolute target becomes an authority."""
    assert ask_fields(method, target, fields, scheme=b"https", upgrade=upgrade) == expected


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 50), st.booleans())
def test_ask(sizes: list[int], room: int, trailers: bool) -> None:
    """A request in pieces of any size is the same request."""
    end = b"0\r\nx-t: 1\r\n\r\n" if trailers else b"0\r\n\r\n"
    raw = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nabc\r\n" + end
    ask, at, parts, turn = Ask(), 0, [], 0
    while at < len(raw):
        took, part = ask.feed(raw[at : at + sizes[turn % len(sizes)]], room)
        at, turn = at + took, turn + 1
        if part is not None:
            parts.append(part)
    assert ask.done
    assert b"".join(part.data for part in parts if isinstance(part, Content)) == b"helloabc"
    last = parts[-1]
    assert last.ended
    assert isinstance(last, Fields) == trailers
    first = parts[0]
    assert isinstance(first, Fields)
    assert (b"transfer-encoding", b"chunked") not in first.fields


# -- with the library as a server -----------------------------------------------------------------------------------


def test_against_the_library() -> None:
    """A server made of the library understands everything, in both directions."""
    conn = made(settled=False)
    server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
    server.initiate_connection()
    body = bytes(range(256)) * 1000
    sent = 0
    number = conn.open([*ASK, (b":authority", b"a")], ended=False)
    got = b""
    for _ in range(200):
        conn.receive(server.data_to_send())
        room = min(conn.room(number), len(body) - sent)
        if room:
            conn.send_data(number, body[sent : sent + room], ended=sent + room == len(body))
            sent += room
        out, conn.out = bytes(conn.out), bytearray()
        for event in server.receive_data(out):
            assert not isinstance(event, StreamReset)
            if isinstance(event, DataReceived):
                got += bytes(event.data or b"")
                server.acknowledge_received_data(event.flow_controlled_length or 0, number)
            elif isinstance(event, RequestReceived):
                server.send_headers(number, [OK])
        if len(got) == len(body):
            break
    assert got == body
    assert server.streams[number].state_machine.state.name == "HALF_CLOSED_REMOTE"
