"""TlsConn against OpenSSL in memory: however bytes are cut and whatever the socket takes, data arrives whole.

The socket is one of ours, the waiting is done by the rules of net/poller.py: who got less than he asked for tries again
only after an edge, so a wake-up that is lost is a test that hangs, and says so.
"""

from __future__ import annotations

import ctypes
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from tests.support.certs import Authority, client_context, parse, server_context
from trilb.base.clock import Clock
from trilb.config.lines import Tls
from trilb.net.conn import Broken
from trilb.net.poller import Poller, Waiter, Watch
from trilb.net.timers import Wheel
from trilb.tls import context
from trilb.tls.conn import TlsConn

pytestmark = pytest.mark.pure
ROOT = Authority.new()
OWN = ROOT.issue("a.example", "a.example")
SERVER = context.server_side(Tls(), [parse("own.pem", OWN.pem)], [], [])
NO_TICKETS = context.server_side(Tls(tickets=False), [parse("own.pem", OWN.pem)], [], [])
CLIENT = context.client_side(Tls(verify="none"), None, [], [])


class Wire:
    """A socket in memory: `coming` can be read, `gone` was written, which stops at `room` bytes."""

    family = socket.AF_UNIX

    def __init__(self) -> None:
        self.coming = bytearray()
        self.gone = bytearray()
        self.room = 1 << 20
        self.full = False
        self.ended = False
        self.cut = False
        self.closed = False

    def fileno(self) -> int:
        return 99

    def recv(self, size: int) -> bytes:
        if not self.coming:
            if self.ended:
                return b""
            raise BlockingIOError
        data = bytes(self.coming[:size])
        del self.coming[:size]
        return data

    def recv_into(self, room: memoryview, size: int) -> int:
        data = self.recv(size)
        room[: len(data)] = data
        return len(data)

    def send(self, data: bytes | memoryview) -> int:
        free = self.room - len(self.gone)
        if free < len(data):
            self.full = True
        if free <= 0:
            raise BlockingIOError
        self.gone += data[:free]
        return min(free, len(data))

    def shutdown(self, how: int) -> None:
        self.cut = True

    def close(self) -> None:
        self.closed = True

    def setsockopt(self, *of: object) -> None: ...


class Nobody:
    """A poller of one watch."""

    def __init__(self) -> None:
        self.watch = Watch(99)

    def add(self, fd: int) -> Watch:
        return self.watch

    def remove(self, watch: Watch) -> None: ...


class Peer:
    """The other end: Python's ssl in memory."""

    def __init__(self, tls: ssl.SSLContext, *, server: bool = False) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = tls.wrap_bio(self.incoming, self.outgoing, server_side=server, server_hostname=None)
        self.done = False
        self.received = b""
        self.ended = False

    def turn(self) -> None:
        """Shake hands, read what is there."""
        try:
            if not self.done:
                self.tls.do_handshake()
                self.done = True
            while not self.ended:
                data = self.tls.read(65536)
                self.received += data
                self.ended = not data
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.ended = True


@dataclass
class Pair:
    """A TlsConn, its socket and its peer."""

    peer: Peer
    accepting: bool
    ours: SSL.Context
    wire: Wire = field(default_factory=Wire)
    waiting: bytearray = field(default_factory=bytearray)
    """What the peer said and the network has not delivered."""

    def __post_init__(self) -> None:
        self.poller = Nobody()
        self.watch = self.poller.watch
        self.conn = TlsConn(cast(socket.socket, self.wire), cast(Poller, self.poller))
        self.conn.begin(self.ours, accepting=self.accepting)

    def edge(self) -> None:
        """Something happened: what the poller does."""
        self.watch.ready = self.watch.edge = True

    def deliver(self, size: int) -> bool:
        """Let the network bring so many bytes each way; whether any moved."""
        moved = False
        taken = bytes(self.wire.gone[:size])
        del self.wire.gone[:size]
        if taken:
            moved = True
            self.peer.incoming.write(taken)
            if self.wire.full and len(self.wire.gone) < self.wire.room:
                self.wire.full = False
                self.edge()
        self.peer.turn()
        self.waiting += self.peer.outgoing.read()
        if self.waiting:
            moved = True
            self.wire.coming += self.waiting[:size]
            del self.waiting[:size]
            self.edge()
        return moved

    def shake(self, sizes: Callable[[], int] = lambda: 1 << 20) -> None:
        """Shake hands; waits for an edge whenever it is not done."""
        for _ in range(200_000):
            if self.conn.handshake():
                while not self.peer.done:
                    assert self.deliver(sizes()), "the peer's handshake hangs"
                return
            while not self.watch.edge:
                assert self.deliver(sizes()), "the handshake hangs"
            self.watch.edge = False
        raise AssertionError("the handshake does not end")


def pair(version: str = "1.3", *, accepting: bool = True, ours: SSL.Context | None = None) -> Pair:
    """A client of trilb's, or a server of its."""
    if accepting:
        return Pair(Peer(client_context(oldest=version, newest=version)), True, ours or SERVER)
    return Pair(Peer(server_context(OWN, newest=version), server=True), False, CLIENT)


def converse(made: Pair, ours: bytes, theirs: bytes, sizes: Callable[[], int], read: int, step: int) -> bytes:
    """Send `ours` as a session does, read what comes meanwhile; what was read when nothing moves any more."""
    conn, watch, peer = made.conn, made.watch, made.peer
    got = b""
    out: bytes | memoryview = ours
    blocked = False
    while True:
        if theirs and peer.done:
            peer.tls.write(theirs[:step])
            theirs = theirs[step:]
        progress = False
        if out and not blocked:
            sent = conn.send(out)
            progress = sent > 0
            out = memoryview(out)[sent:]
            # As http1 does: less than all means that the socket is full, and an edge will come.
            blocked = len(out) > 0
        if watch.ready:
            data = conn.receive(read)
            if data is not None:
                got += data
                progress = bool(data)
        if progress:
            continue
        # As http1 does before it waits for a request.
        conn.rest()
        while not watch.edge:
            if not made.deliver(sizes()) and not theirs:
                assert not out, f"{len(out)} bytes wait for an edge that does not come"
                return got
            if theirs:
                break
        if watch.edge:
            watch.edge = blocked = False


DATA = bytes(range(256)) * 1024
cuts = st.lists(st.sampled_from([1, 2, 3, 5, 17, 100, 1000, 4096, 16384, 16406, 70000]), min_size=1, max_size=12)


def cycle(sizes: list[int]) -> Callable[[], int]:
    """The sizes again and again; tiny ones give way once they have done their harm, so that tests end."""
    count = 0

    def following() -> int:
        nonlocal count
        count += 1
        return sizes[count % len(sizes)] if count < 400 else max(sizes[count % len(sizes)], 8192)

    return following


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    cuts,
    st.sampled_from(["1.2", "1.3"]),
    st.booleans(),
    st.sampled_from([0, 1, 100, 16384, 16385, 70000, 200_000]),
    st.sampled_from([0, 1, 100, 16384, 16385, 70000, 200_000]),
    st.sampled_from([1, 10, 1000, 16384, 65536]),
    st.sampled_from([1, 100, 20_000, 1 << 20]),
    st.sampled_from([7, 16384, 1 << 20]),
    st.sampled_from([100, 1400, 65536]),
)
@example([1 << 20], "1.3", True, 200_000, 0, 16384, 1 << 20, 1 << 20, 65536)
@example([1000], "1.2", True, 70000, 70000, 16384, 100, 16384, 1400)
def test_data_arrives_whole(
    sizes: list[int], version: str, accepting: bool, sent: int, back: int, read: int, room: int, step: int, record: int
) -> None:
    """Whatever is cut and however little fits."""
    if read < 1000 or step < 1000:
        sent, back = min(sent, 2000), min(back, 2000)
    made = pair(version, accepting=accepting)
    made.wire.room = room
    made.conn.record = record
    network = cycle(sizes)
    made.shake(network)
    got = converse(made, DATA[:sent], DATA[:back], network, read, step)
    assert got == DATA[:back]
    assert made.peer.received == DATA[:sent]


def test_all_that_fits_is_sent_at_once() -> None:
    """send tells less than all only when the socket is full: whoever gets less waits for an edge."""
    made = pair()
    made.shake()
    assert made.conn.send(DATA) == len(DATA)


def test_who_rests_keeps_no_room_for_a_long_transfer() -> None:
    """OpenSSL's memories never give back what they have grown to: they are made anew, and small ones are kept."""
    made = pair(ours=NO_TICKETS)
    made.shake()
    tls = made.conn.secured
    assert tls is not None

    def memories() -> tuple[object, object]:
        return vars(tls)["_into_ssl"], vars(tls)["_from_ssl"]

    assert converse(made, b"small", b"small", lambda: 1 << 20, 16384, 16384) == b"small"
    small = memories()
    made.conn.send(DATA)
    made.conn.rest()
    assert memories() != small
    assert converse(made, b"more", b"more", lambda: 1 << 20, 16384, 16384) == b"more"
    assert made.peer.received == b"small" + DATA + b"more"


def test_many_records_in_one_read() -> None:
    """A read for each record, none lost, though only one event came."""
    made = pair()
    made.shake()
    for number in range(300):
        made.peer.tls.write(b"%d;" % number)
    made.deliver(1 << 20)
    made.watch.edge = False
    got = b""
    while made.watch.ready:
        got += made.conn.receive() or b""
    assert got == b"".join(b"%d;" % number for number in range(300))


def test_one_record_needs_one_try() -> None:
    """After a small message there is nothing to try again."""
    made = pair(ours=NO_TICKETS)
    made.shake()
    while made.watch.ready:
        made.conn.receive()
    for _ in range(3):
        made.peer.tls.write(b"GET / HTTP/1.1\r\n\r\n")
        made.deliver(1 << 20)
        assert made.conn.receive() == b"GET / HTTP/1.1\r\n\r\n"
        assert not made.watch.ready


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_farewell_in_the_middle(version: str) -> None:
    """close_notify is an end; what came before it is delivered, what comes behind it is not."""
    made = pair(version)
    made.shake()
    made.peer.tls.write(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        made.peer.tls.unwrap()
    made.deliver(1 << 20)
    made.wire.coming += b"\x17\x03\x03\x00\x05hello"
    assert made.conn.receive() == b"last words"
    assert made.conn.receive() == b""
    assert made.conn.receive() == b""
    # Half open: we may still speak.
    assert made.conn.send(b"answer") == 6


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_an_end_without_farewell(version: str) -> None:
    """Also in the middle of a record."""
    for cut in (0, 1, 5, 20):
        made = pair(version)
        made.shake()
        made.peer.tls.write(b"whole")
        made.peer.tls.write(b"truncated")
        sealed = made.peer.outgoing.read()
        size = 5 + int.from_bytes(sealed[3:5], "big")
        made.wire.coming += sealed[: size + cut]
        made.wire.ended = True
        made.watch.hangup = True
        made.edge()
        assert made.conn.receive() == b"whole"
        assert made.conn.receive() == b""


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=1, max_size=600), st.booleans(), st.sampled_from(["1.2", "1.3"]))
@example(b"\x17\x03\x03\x00\x01\x00", True, "1.3")
@example(b"\x15\x03\x03\x00\x02\x02\x00", True, "1.2")
@example(b"\x16\x03\x03\xff\xff" + bytes(600), True, "1.2")
def test_garbage_after_the_handshake(raw: bytes, proper: bool, version: str) -> None:
    """Only Broken, or nothing yet; and it stays so."""
    made = pair(version)
    made.shake()
    if proper:
        raw = b"\x17\x03\x03" + len(raw).to_bytes(2, "big") + raw
    made.wire.coming += raw
    made.edge()
    with pytest.raises(Broken) if len(raw) > 20000 else _perhaps():
        for _ in range(5):
            assert made.conn.receive() is None
    made.conn.close()
    assert made.wire.closed


class _perhaps:
    """Broken, or not."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *of: object) -> bool:
        return kind is not None and issubclass(kind, Broken)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["", "hello"]), st.lists(st.integers(1, 90), min_size=1, max_size=5))
def test_garbage_instead_of_a_handshake(raw: bytes, first: str, sizes: list[int]) -> None:
    """Any bytes, in any pieces."""
    made = pair()
    if first:
        raw = b"\x16\x03\x01" + len(raw).to_bytes(2, "big") + raw
    with _perhaps():
        at = 0
        for size in sizes * 50:
            made.wire.coming += raw[at : at + size]
            at += size
            made.edge()
            assert not made.conn.handshake()
    made.conn.close()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200), st.integers(0, 255), st.sampled_from(["1.2", "1.3"]))
def test_a_changed_byte(at: int, value: int, version: str) -> None:
    """A record that was tampered with is never delivered."""
    made = pair(version)
    made.shake()
    made.peer.tls.write(b"x" * 150)
    sealed = bytearray(made.peer.outgoing.read())
    same = sealed[at % len(sealed)] == value
    sealed[at % len(sealed)] = value
    made.wire.coming += sealed
    made.edge()
    try:
        got = made.conn.receive()
    except Broken:
        assert not same
    else:
        # A changed length waits for more; so does nothing else.
        assert got == (b"x" * 150 if same else None)


def test_bytes_behind_the_handshake_are_not_lost() -> None:
    """A client that speaks at once: its request may come in the same read as the end of its handshake."""
    for version in ("1.2", "1.3"):
        made = pair(version)
        made.conn.handshake()
        for _ in range(10):
            made.deliver(1 << 20)
            if made.peer.done:
                break
            made.conn.handshake()
        made.peer.tls.write(b"at once")
        made.deliver(1 << 20)
        made.watch.edge = False
        while not made.conn.handshake():
            assert made.deliver(1 << 20)
        got = b""
        while made.watch.ready or made.deliver(1 << 20):
            got += made.conn.receive() or b""
        assert got == b"at once"


def client_of_openssl(newest: int) -> SSL.Connection:
    """A client that can do what Python's ssl cannot."""
    made = SSL.Context(SSL.TLS_CLIENT_METHOD)
    made.set_max_proto_version(newest)
    tls = SSL.Connection(made, None)
    tls.set_connect_state()
    return tls


def shaken(newest: int) -> tuple[Pair, SSL.Connection]:
    """A connection to such a client."""
    tls = client_of_openssl(newest)
    made = pair()
    done = ours = False
    for _ in range(20):
        if not done:
            try:
                tls.do_handshake()
                done = True
            except SSL.WantReadError:
                pass
        try:
            made.wire.coming += tls.bio_read(65536)
            made.edge()
        except SSL.WantReadError:
            pass
        ours = ours or made.conn.handshake()
        if made.wire.gone:
            tls.bio_write(bytes(made.wire.gone))
            made.wire.gone.clear()
        if done and ours:
            return made, tls
    raise AssertionError("no handshake")


def test_renegotiation_is_refused() -> None:
    """With TLS 1.2: the client is told so, and its connection lives on or not as it likes."""
    made, tls = shaken(SSL.TLS1_2_VERSION)
    tls.renegotiate()
    with pytest.raises(SSL.WantReadError):
        tls.do_handshake()
    made.wire.coming += tls.bio_read(65536)
    made.edge()
    with _perhaps():
        while made.watch.ready:
            assert made.conn.receive() is None
    assert made.wire.gone, "the client waits for an answer"
    tls.bio_write(bytes(made.wire.gone))
    with pytest.raises(SSL.Error, match="no renegotiation"):
        tls.do_handshake()


class Updater:
    """A client of TLS 1.3 that asks for new keys, by way of the system's OpenSSL: no binding has that."""

    def __init__(self) -> None:
        lib = self.lib = ctypes.CDLL("libssl.so.3")
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new", "BIO_new", "BIO_s_mem"):
            getattr(lib, name).restype = ctypes.c_void_p
        pointer = ctypes.c_void_p
        self.context = pointer(lib.SSL_CTX_new(pointer(lib.TLS_client_method())))
        self.tls = pointer(lib.SSL_new(self.context))
        self.incoming, self.outgoing = (pointer(lib.BIO_new(pointer(lib.BIO_s_mem()))) for _ in range(2))
        lib.SSL_set_bio(self.tls, self.incoming, self.outgoing)
        lib.SSL_set_connect_state(self.tls)

    def shake(self) -> bool:
        """Go on with the handshake, or say that there are new keys."""
        return bool(self.lib.SSL_do_handshake(self.tls) == 1)

    def update(self) -> None:
        """Ask for new keys."""
        assert self.lib.SSL_key_update(self.tls, 1) == 1
        assert self.shake()

    def write(self, data: bytes) -> None:
        """Seal."""
        assert self.lib.SSL_write(self.tls, data, len(data)) == len(data)

    def read(self) -> bytes:
        """Open."""
        room = ctypes.create_string_buffer(65536)
        size = self.lib.SSL_read(self.tls, room, 65536)
        return room.raw[: max(size, 0)]

    def said(self) -> bytes:
        """What goes to the other side."""
        found = b""
        room = ctypes.create_string_buffer(65536)
        while (size := self.lib.BIO_read(self.outgoing, room, 65536)) > 0:
            found += room.raw[:size]
        return found

    def hear(self, data: bytes) -> None:
        """What came from it."""
        self.lib.BIO_write(self.incoming, data, len(data))

    def close(self) -> None:
        """Free it."""
        self.lib.SSL_free(self.tls)
        self.lib.SSL_CTX_free(self.context)


@pytest.fixture
def updating() -> Iterator[tuple[Pair, Updater]]:
    """A connection with such a client."""
    try:
        client = Updater()
    except OSError:
        pytest.skip("no libssl.so.3")
    made = pair()
    done = ours = False
    for _ in range(10):
        done = client.shake() or done
        made.wire.coming += client.said()
        made.edge()
        ours = ours or made.conn.handshake()
        client.hear(bytes(made.wire.gone))
        made.wire.gone.clear()
    assert done and ours
    yield made, client
    client.close()


def test_new_keys(updating: tuple[Pair, Updater]) -> None:
    """Between any two messages; the answers go out though we have nothing to say."""
    made, client = updating
    for number in range(300):
        client.update()
        client.write(b"%d;" % number)
    made.wire.coming += client.said()
    made.edge()
    got = b""
    while made.watch.ready:
        got += made.conn.receive() or b""
    assert got == b"".join(b"%d;" % number for number in range(300))
    assert len(made.wire.gone) > 300 * 20, "new keys were not answered"
    assert made.conn.send(b"answer") == 6
    client.hear(bytes(made.wire.gone))
    assert client.read() == b"answer"


def test_an_answer_behind_new_keys(updating: tuple[Pair, Updater]) -> None:
    """What is sent is sent whole, however much OpenSSL says besides."""
    made, client = updating
    for _ in range(3000):
        client.update()
    client.write(b"question")
    made.wire.coming += client.said()
    made.watch.ready = True
    assert made.conn.receive() == b"question"
    assert made.conn.send(DATA[:1000]) == 1000
    client.hear(bytes(made.wire.gone))
    assert client.read() == DATA[:1000]


def test_a_client_that_asks_for_new_keys_and_does_not_read(updating: tuple[Pair, Updater]) -> None:
    """Memory is bounded."""
    made, client = updating
    made.wire.room = 1000

    def insist() -> None:
        for _ in range(40):
            for _ in range(1000):
                client.update()
            made.wire.coming += client.said()
            made.watch.ready = True
            while made.watch.ready:
                assert made.conn.receive() is None

    with pytest.raises(Broken, match="does not read"):
        insist()
    assert len(made.conn._out) < 1 << 20


def test_a_long_chain() -> None:
    """Certificates of more than 64 KiB: all of it is sent."""
    long = Authority.new()
    issued = long.issue("long.example", *(f"{number:04}.{'x' * 60}.{'y' * 60}.example" for number in range(700)))
    made = Pair(Peer(client_context()), True, context.server_side(Tls(), [parse("l.pem", issued.pem)], [], []))
    assert len(issued.cert_pem) > 90_000
    made.shake()


@pytest.mark.parametrize("name", [b"a\0b", b"x" * 256, b"\xff", b"a b\n"])
def test_impossible_names(name: bytes) -> None:
    """What a rule computes may be no name at all: the handshake goes on without it, or with it as it is."""
    made = pair(accepting=False)
    made.conn = TlsConn(cast(socket.socket, made.wire), cast(Poller, made.poller))
    made.conn.begin(CLIENT, server_name=name)
    made.shake()
    assert made.conn.sni == name


def test_a_peer_that_went_away() -> None:
    """The reason is OpenSSL's even when the alert cannot be sent."""
    made = pair()
    made.wire.coming += b"GET / HTTP/1.1\r\n\r\n"
    made.edge()

    def gone(data: object) -> int:
        raise OSError(32, "Broken pipe")

    made.conn._send = gone  # type: ignore[assignment]
    with pytest.raises(Broken, match="http request"):
        made.conn.handshake()


async def test_over_real_sockets() -> None:
    """With the real poller and tiny buffers, both ways at once, many times."""
    clock = Clock(trio.current_time)
    poller, wheel = Poller(clock), Wheel(clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poller.run)
        nursery.start_soon(wheel.run)
        for size in (1, 20_000, 300_000):
            left, right = socket.socketpair()
            for sock in (left, right):
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            results: list[bytes] = []
            data = DATA[:size] * 3
            with trio.fail_after(20):
                async with trio.open_nursery() as both:
                    for sock, accepting in ((left, True), (right, False)):
                        both.start_soon(talk, TlsConn(sock, poller), accepting, wheel, data, results)
            assert results == [data] * 2
        nursery.cancel_scope.cancel()


async def talk(conn: TlsConn, accepting: bool, wheel: Wheel, data: bytes, results: list[bytes]) -> None:
    """Send all of it and read as much."""
    waiter = Waiter(wheel)
    conn.begin(SERVER if accepting else CLIENT, accepting=accepting)
    while not conn.handshake():
        await waiter.park(conn.watch)
    out, got = memoryview(data), b""
    while out or len(got) < len(data):
        sent = conn.send(out) if out else 0
        whole = sent == len(out)
        out = out[sent:]
        more = conn.receive(5000) if conn.watch.ready else None
        if more is not None:
            got += more
        elif (out and not whole and not sent) or (not out and len(got) < len(data)) or out:
            await waiter.park(conn.watch)
    results.append(got)
    waiter.finish()
