"""TLS that passes through, side by side: what rules learn from the hellos, and where they send the connection.

Each listener waits for 5 seconds, longer than a client here: who waits for bytes that do not come gets a timeout.
`short` waits for a moment only.
"""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
import trustme

from tests.duel.conftest import DuelFactory
from tests.support.duel import Duel, Side
from tests.support.hello import (
    body,
    client_hello,
    extension,
    hello,
    hello_of_2,
    message,
    record,
    server_hello,
    server_name,
)
from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.syslog import Syslog, mask

FETCHES = """
req.ssl_hello_type req.ssl_ver req.ssl_sni req.ssl_alpn req.ssl_ec_ext req.ssl_st_ext req_ssl_hello_type req_ssl_sni
req_ssl_ver req.ssl_sni,length req.ssl_ver,hex req.ssl_alpn,upper
""".split()
TESTS = (
    "req.ssl_ver 3.3", "req.ssl_ver 3.0:3.2", "req.ssl_ver 3:3.1", "req_ssl_ver ge 3.1", "req.ssl_ver lt 3.1",
    "req.ssl_ver -m int 196611", "req_ssl_hello_type 1 2", "req.ssl_sni www.example.com", "req.ssl_sni -i one.example",
    "req.ssl_sni -m end .com .org", "req_ssl_sni -m dom example", "req.ssl_alpn h2", "req.ssl_alpn http/1.1",
    "req.ssl_alpn -m found", "req.ssl_ec_ext", "req.ssl_ec_ext 0", "req.ssl_st_ext 0", "req.ssl_st_ext ge 1",
    "req.ssl_st_ext 2",
)  # fmt: skip


def found(fetches: list[str]) -> str:
    """Every value into a variable, and all of them into the log."""
    values = " ".join(f"[%[var(txn.v{number})]]" for number in range(len(fetches)))
    rules = "".join(
        f"    tcp-request content set-var(txn.v{number}) {fetch} if {{ {fetch} -m found }}\n"
        for number, fetch in enumerate(fetches)
    )
    return f'    log-format "<{values}>"\n{rules}    tcp-request content reject\n    server s 127.0.0.1:{{dead}}\n'


HELD = "".join(
    f"    tcp-request content set-var(txn.t{number}) int(1) if {{ {test} }}\n" for number, test in enumerate(TESTS)
)
SHOWN = " ".join(f"%[var(txn.t{number})]" for number in range(len(TESTS)))
HEAD = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode tcp
    log global
    option tcplog
    timeout connect 1s
    timeout client 10s
    timeout server 10s
"""
CONFIG = f"""
{HEAD}
listen values
    bind 127.0.0.1:{{values}}
    tcp-request inspect-delay 5s
{found(FETCHES)}
listen short
    bind 127.0.0.1:{{short}}
    tcp-request inspect-delay 80ms
{found(FETCHES)}
listen tests
    bind 127.0.0.1:{{tests}}
    log-format "<{SHOWN}>"
    tcp-request inspect-delay 5s
{HELD}
    tcp-request content reject
    server s 127.0.0.1:{{dead}}
frontend captures
    bind 127.0.0.1:{{captures}}
    log-format "<%hr %[capture.req.hdr(0)]>"
    tcp-request inspect-delay 5s
    tcp-request content capture req.ssl_sni len 7 if {{ req.ssl_hello_type 1 }}
    tcp-request content capture req.ssl_ver len 20 if {{ req.ssl_hello_type 1 }}
    tcp-request content capture req.ssl_alpn len 20 if {{ req.ssl_hello_type 1 }}
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    default_backend third
frontend switch
    bind 127.0.0.1:{{switch}}
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend first if {{ req.ssl_sni -i one.example }}
    use_backend second if {{ req.ssl_sni -m end .two.example }}
    use_backend %[req.ssl_alpn] if {{ req.ssl_alpn -m found }}
    default_backend third
frontend only
    bind 127.0.0.1:{{only}}
    tcp-request inspect-delay 5s
    tcp-request content reject if !{{ req.ssl_hello_type 1 }}
    tcp-request content accept if {{ req.ssl_sni -m found }}
    default_backend third
frontend servers
    bind 127.0.0.1:{{servers}}
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    default_backend chosen
backend first
    server s 127.0.0.1:{{origin1}}
backend second
    server s 127.0.0.1:{{origin2}}
backend h2
    server s 127.0.0.1:{{origin2}}
backend third
    server s 127.0.0.1:{{origin3}}
backend chosen
    use-server s1 if {{ req.ssl_sni one.example }}
    use-server s2 if {{ req.ssl_sni -m sub two }}
    server s1 127.0.0.1:{{origin1}} weight 0
    server s2 127.0.0.1:{{origin2}} weight 0
    server s3 127.0.0.1:{{origin3}}
listen answers
    bind 127.0.0.1:{{answers}}
    tcp-response inspect-delay 400ms
    tcp-response content accept if {{ res.ssl_hello_type 2 }}
    tcp-response content reject
    server s 127.0.0.1:{{origin4}}
listen old-answers
    bind 127.0.0.1:{{old}}
    tcp-response inspect-delay 400ms
    tcp-response content reject if !{{ rep_ssl_hello_type 2 }}
    server s 127.0.0.1:{{origin4}}
"""


@dataclass(frozen=True)
class Row:
    """What a client does: pieces with a pause between them."""

    listener: str
    name: str
    pieces: tuple[bytes, ...]
    ends: bool = False

    @property
    def id(self) -> str:
        """Shown by pytest."""
        return f"{self.listener} {self.name}"


def cut(raw: bytes, *at: int) -> tuple[bytes, ...]:
    """The pieces between the cuts."""
    edges = (0, *at, len(raw))
    return tuple(raw[low:high] for low, high in itertools.pairwise(edges))


OLD = ssl.TLSVersion.TLSv1_2
PLAIN = client_hello()
HELLOS = {
    "1.3": PLAIN,
    "alpn": client_hello(alpn=("h2", "http/1.1")),
    "alpn http": client_hello("one.example", alpn=("http/1.1",)),
    "no name": client_hello(None),
    "1.2": client_hello("One.Example", newest=OLD),
    "no curves": client_hello(newest=OLD, ciphers="AES128-SHA256"),
    "no tickets": client_hello(tickets=False),
    "ticket": hello(server_name(b"a.two.example") + extension(35, b"ticket"), session=b"S" * 32),
    "tls 1.0": hello(server_name(b"one.example"), version=0x0301),
    "ssl 3": hello(server_name(b"one.example"), version=0x0300),
    "no extensions": hello(None),
    "long": hello(extension(21, bytes(12000)) + server_name(b"b.two.example")),
    "two names": hello(server_name(b"one.example", b"www.example.com")),
    "twice": hello(server_name(b"one.example") + server_name(b"www.example.com")),
    "other name": hello(server_name(b"one.example", kind=7)),
    "no protocol": hello(extension(16, b"\0\0") + extension(10, b"\0\2\0\x17")),
    "empty protocol": hello(extension(16, b"\0\4\0\2h2")),
    "broken extension": hello(server_name(b"one.example") + b"\0\x10\0\x20ab"),
    "broken session": record(message(body(server_name(b"one.example"), session=b"S" * 33))),
    "no ciphers": record(message(body(server_name(b"one.example"), ciphers=b""))),
    "more behind": PLAIN + b"more",
    "two": hello(server_name(b"one.example")) + hello(server_name(b"www.example.com")),
    "other record": record(message(body(server_name(b"one.example"))), version=0x0303),
    "sslv2": hello_of_2(),
    "sslv2 itself": hello_of_2(0x0002),
    "sslv2 broken": hello_of_2(challenge=b"C" * 8),
    "http": b"GET / HTTP/1.1\r\nHost: one.example\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "zeros": bytes(600),
    "old record": record(message(body(server_name(b"one.example"))), version=0x0200),
}
PIECES = {
    "byte by byte at first": cut(PLAIN, 1, 2, 3, 4, 5, 6, 9, 11, 43),
    "header alone": cut(PLAIN, 5),
    "inside the name": cut(HELLOS["ticket"], HELLOS["ticket"].index(b"two")),
    "last byte": cut(PLAIN, len(PLAIN) - 1),
    "long": cut(HELLOS["long"], 1400, 2800, 4200),
}
CUT_SHORT = {str(size): (PLAIN[:size],) for size in (1, 4, 5, 9, 43, 60, 130)}
ROUTES = ("1.3", "alpn", "1.2", "no name", "ticket", "tls 1.0", "no extensions", "http", "ssh", "alpn http")
ROWS = [
    *(Row("values", name, (raw,)) for name, raw in HELLOS.items()),
    *(Row("values", name, pieces) for name, pieces in PIECES.items()),
    *(Row("values", f"{name} and the end", pieces, ends=True) for name, pieces in CUT_SHORT.items()),
    Row("values", "nothing", (), ends=True),
    *(Row("short", name, pieces) for name, pieces in CUT_SHORT.items()),
    Row("short", "nothing", ()),
    *(Row("tests", name, (raw,)) for name, raw in HELLOS.items()),
    *(Row("captures", name, (HELLOS[name],)) for name in ROUTES),
    *(Row("switch", name, (HELLOS[name],)) for name in ROUTES),
    *(Row("switch", name, pieces) for name, pieces in PIECES.items()),
    *(Row("only", name, (HELLOS[name],)) for name in ROUTES),
    *(Row("only", name, pieces) for name, pieces in PIECES.items()),
    *(Row("servers", name, (HELLOS[name],)) for name in ROUTES),
    *(Row(name, "hello", (b"1",)) for name in ("answers", "old")),
    *(Row(name, "hello in pieces", (b"2",)) for name in ("answers", "old")),
    *(Row(name, "alert", (b"3",)) for name in ("answers", "old")),
    *(Row(name, "text", (b"4",)) for name in ("answers", "old")),
    *(Row(name, "another message", (b"5",)) for name in ("answers", "old")),
]  # fmt: skip
SERVER = server_hello(b"s" * 32)
ANSWERS = {
    b"1": SERVER + b"\n",
    b"2": SERVER[:20],
    b"3": b"\x15\x03\x03\0\2\2\x28\n",
    b"4": b"220 mail.example ESMTP\n",
    b"5": record(message(b"abc", 11)) + b"\n",
}


def respond(raw: bytes, origin: Origin) -> bytes:
    """Who was asked, and what for; the fourth origin answers what it is told to."""
    if origin.name != "s4":
        return b"%b got %d bytes\n" % (origin.name.encode(), len(raw))
    if raw == b"2":
        # The rest is the answer to the next bytes, which the client sends when these have come.
        return ANSWERS[b"2"]
    return ANSWERS.get(raw, SERVER[20:] + b"\n")


def run(side: Side, row: Row) -> tuple[bytes, str]:
    """What the client receives, and the log line."""
    before = len(side.origins[3].requests)
    with socket.create_connection(("127.0.0.1", side.ports[row.listener])) as client:
        client.settimeout(3)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        got = b""
        with suppress(ConnectionError):
            for number, piece in enumerate(row.pieces):
                if number:
                    time.sleep(0.02)
                client.sendall(piece)
            if row.pieces == (b"2",):
                side.origins[3].wait(before + 1)
                client.sendall(b"go on")
            if row.ends:
                client.shutdown(socket.SHUT_WR)
            try:
                while data := client.recv(4096):
                    got += data
                    if got.endswith(b"\n"):
                        client.shutdown(socket.SHUT_WR)
            except TimeoutError:
                got += b"<timeout>"
    return got, mask(side.syslog.take(1)[0], counts=True)


@pytest.fixture(scope="module")
def duel(module_duel: DuelFactory) -> Duel:
    """One pair of programs for all rows."""
    return module_duel(CONFIG, respond, raw=True)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
def test_hellos(duel: Duel, row: Row) -> None:
    """Same values, same server, same log line; nobody waits in vain."""
    expected, got = duel.both(lambda side: run(side, row))
    assert got == expected
    assert b"<timeout>" not in got[0]


STICKY = f"""
{HEAD}
    timeout queue 1s
frontend fe
    bind 127.0.0.1:{{port}}
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    default_backend https
backend https
    balance roundrobin
    stick-table type binary len 32 size 30k expire 30m
    acl clienthello req.ssl_hello_type 1
    acl serverhello res.ssl_hello_type 2
    tcp-response inspect-delay 1s
    tcp-response content accept if serverhello
    stick on req.payload_lv(43,1) if clienthello
    stick store-response res.payload_lv(43,1) if serverhello
    server s1 127.0.0.1:{{origin1}}
    server s2 127.0.0.1:{{origin2}}
    server s3 127.0.0.1:{{origin3}}
"""


def test_session_ids_stick(module_duel: DuelFactory) -> None:
    """The manual's recipe, with a delay for the answer: the session a server named brings the client back to it."""

    def named(raw: bytes, origin: Origin) -> bytes:
        return server_hello(origin.name.encode() * 16)

    def ask(side: Side, raw: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", side.port), 3) as client:
            client.sendall(raw)
            got = client.recv(4096)
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
        side.syslog.take(1)
        return got[44:46]

    def visit(side: Side) -> list[bytes]:
        first = [ask(side, hello(session=b"")) for _ in range(3)]
        again = [ask(side, hello(session=name * 16)) for name in (b"s2", b"s2", b"s1", b"s3", b"s2")]
        return first + again

    expected, got = module_duel(STICKY, named, raw=True).both(visit)
    assert got == expected == [b"s1", b"s2", b"s3", b"s2", b"s2", b"s1", b"s3", b"s2"]


class TlsOrigin:
    """A TLS server that says its name to everyone; it has a certificate for that name."""

    def __init__(self, authority: trustme.CA, name: str) -> None:
        """Serve at once."""
        self.name = name
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(3)
            with sock, suppress(OSError), self._context.wrap_socket(sock, server_side=True) as secured:
                secured.sendall(self.name.encode() + b" heard " + secured.recv(4096))
                secured.unwrap()

    def stop(self) -> None:
        """Close and wait for the thread."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


PASSED = f"""
{HEAD}
frontend fe
    bind 127.0.0.1:{{port}}
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend two if {{ req.ssl_sni two.example }}
    default_backend one
backend one
    server s {{one}}
backend two
    server s {{two}}
"""
AUTHORITY = trustme.CA()


@pytest.fixture
def secured() -> Iterator[dict[str, str]]:
    """Two TLS servers."""
    origins = {"one": TlsOrigin(AUTHORITY, "one.example"), "two": TlsOrigin(AUTHORITY, "two.example")}
    yield {field: origin.address for field, origin in origins.items()}
    for origin in origins.values():
        origin.stop()


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_passes_through(secured: dict[str, str], module_duel: DuelFactory, newest: ssl.TLSVersion) -> None:
    """The client checks the certificate of the server its name leads to: nobody is in between."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(context)
    context.maximum_version = newest

    def visit(side: Side) -> list[bytes]:
        answers = []
        for name in ("one.example", "two.example"):
            with (
                socket.create_connection(("127.0.0.1", side.port), 3) as plain,
                context.wrap_socket(plain, server_hostname=name) as client,
            ):
                client.sendall(b"me")
                answers.append(client.recv(4096))
        return answers

    expected, got = module_duel(PASSED, **secured).both(visit)
    assert got == expected == [b"one.example heard me", b"two.example heard me"]


LISTS = ["req.ssl_cipherlist", "req.ssl_sigalgs", "req.ssl_keyshare_groups", "req.ssl_supported_groups"]
NEWER = f"{HEAD}listen values\n    bind 127.0.0.1:{{port}}\n    tcp-request inspect-delay 80ms\n" + found(
    [f"{fetch},be2hex(:,2),lower" for fetch in LISTS] + ["req.ssl_sni", "req.ssl_hello_type"]
)


def test_what_haproxy_learned_later() -> None:
    """The lists, and hellos cut into records, which 2.6 does not know: trilb alone."""
    shares = extension(51, b"\0\x0b\x11\xec\0\1K\0\x1d\0\2kk")
    lists = extension(13, b"\0\4\4\3\x08\5") + extension(10, b"\0\4\x11\xec\0\x1d") + shares
    whole = hello(lists + server_name(b"one.example"))
    both = "[1301:1302] [0403:0805] [11ec:001d] [11ec:001d] [one.example] [1]"
    name = whole.index(b"one.")
    rows = {
        whole: both,
        record(whole[5:name]) + record(whole[name:]): both,
        b"".join(record(whole[at : at + 5]) for at in range(5, len(whole), 5)): both,
        hello(): "[1301:1302] [-] [-] [-] [-] [1]",
        whole[:-1]: "[-] [-] [-] [-] [-] [-]",
        b"GET / HTTP/1.1\r\n\r\n": "[-] [-] [-] [-] [-] [-]",
    }
    with Syslog() as syslog:
        values = {"syslog": syslog.port, "dead": free_port(), "port": free_port()}
        with Program.trilb(NEWER, **values):
            for raw, expected in rows.items():
                with socket.create_connection(("127.0.0.1", values["port"]), 3) as client, suppress(ConnectionError):
                    client.sendall(raw)
                    assert client.recv(1) == b""
                assert syslog.take_match("<").partition(": <")[2].rstrip("\n\0").removesuffix(">") == expected
