"""The PROXY header towards servers, byte for byte: who came, and what is told of his TLS. And what comes in broken."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.x509.oid import NameOID

from tests.duel.conftest import DuelFactory
from tests.support.certs import Authority, TlsClient, client_context, rsa_key, server_context, subject
from tests.support.duel import Duel, Side
from tests.support.ports import free_port
from tests.support.syslog import mask
from tests.support.wire import Client
from trilb.base.hashes import crc32c
from trilb.net.proxyline import SIGNATURE

ROOT = Authority.new()
OWN = {"rsa.pem": ROOT.issue("rsa.example", "rsa.example", key=rsa_key()), "ec.pem": ROOT.issue("ec.example")}
CLIENT = ROOT.issue(subject("Jane", (NameOID.ORGANIZATION_NAME, "O"), (NameOID.COMMON_NAME, "Other")))
STRANGER = Authority.new("Stranger").issue("Stranger")
OPTIONS = {
    "v1": "send-proxy",
    "v2": "send-proxy-v2",
    "ssl": "send-proxy-v2-ssl",
    "cn": "send-proxy-v2-ssl-cn",
    "crc": "send-proxy-v2 proxy-v2-options crc32c",
    "id": "send-proxy-v2 proxy-v2-options unique-id",
    "authority": "send-proxy-v2 proxy-v2-options authority",
    "cipher": "send-proxy-v2 proxy-v2-options ssl-cipher",
    "sig": "send-proxy-v2 proxy-v2-options cert-sig",
    "key": "send-proxy-v2 proxy-v2-options cert-key",
    "certcn": "send-proxy-v2 proxy-v2-options cert-cn",
    "onlyssl": "send-proxy-v2 proxy-v2-options ssl",
    "all": "send-proxy-v2-ssl-cn proxy-v2-options crc32c,unique-id,authority,ssl-cipher,cert-sig,cert-key",
    "both": "send-proxy send-proxy-v2",
    "reverse": "send-proxy-v2 send-proxy",
}
HEAD = """
defaults
    timeout connect 1s
    timeout client 3s
    timeout server 3s
    mode {mode}
"""
SIX = (
    Path("/proc/net/if_inet6").exists() and "00000000000000000000000000000001" in Path("/proc/net/if_inet6").read_text()
)


def frontend(name: str, options: str, server: str = "") -> str:
    """A way in of each kind, and a server with these options."""
    tls = "ssl crt {certs}/rsa.pem crt {certs}/ec.pem verify optional ca-file {certs}/ca.pem crt-ignore-err all"
    binds = [
        f"127.0.0.1:{{{name}_four}}",
        f"127.0.0.1:{{{name}_tls}} {tls}",
        f"unix@{{dir}}/{name}.sock",
        f"unix@{{dir}}/{name}.tls.sock {tls}",
        f"127.0.0.1:{{{name}_proxied}} accept-proxy",
        *([f"[::1]:{{{name}_six}}", f"[::1]:{{{name}_sixtls}} {tls}"] if SIX else []),
    ]
    return (
        f"listen {name}\n"
        + "".join(f"    bind {each}\n" for each in binds)
        + "    unique-id-format id-%[fe_name]\n    http-reuse never\n"
        + f"    server s 127.0.0.1:{{origin_raw}} {options} {server}\n"
    )  # fmt: skip


class Receiver:
    """A server that keeps the bytes in front of each request; after `secured` clients it speaks TLS behind them."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self.heads: list[bytes] = []
        self.context = context
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *of: object) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)

    def run(self) -> None:
        """One client after another."""
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with suppress(OSError), sock:
                sock.settimeout(3)
                self.serve(sock)

    def serve(self, sock: socket.socket) -> None:
        """Read the header, then the request."""
        head = b""
        while not (head.endswith(b"\n") if head[:1] == b"P" else len(head) >= 16):
            more = sock.recv(1)
            if not more:
                break
            head += more
        if head.startswith(SIGNATURE):
            want = int.from_bytes(head[14:16], "big")
            while want and (more := sock.recv(want)):
                head += more
                want -= len(more)
        if self.context is not None:
            sock = self.context.wrap_socket(sock, server_side=True)
        data = b""
        while b"\r\n\r\n" not in data and (more := sock.recv(4096)):
            data += more
        with self.changed:
            self.heads.append(head)
            self.changed.notify_all()
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        sock.close()

    def take(self) -> bytes:
        """The next header."""
        with self.changed:
            assert self.changed.wait_for(lambda: bool(self.heads), 3), "nobody came"
            return self.heads.pop(0)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our certificates and the authority of clients."""
    folder = tmp_path_factory.mktemp("certs")
    for name, issued in OWN.items():
        (folder / name).write_bytes(issued.pem)
    (folder / "ca.pem").write_bytes(ROOT.cert_pem)
    return folder


@dataclass
class Setting:
    """Both programs and the server behind them."""

    duel: Duel
    receiver: Receiver


def setting(module_duel: DuelFactory, certs: Path, mode: str, stack: ExitStack, server: str = "") -> Setting:
    """Start them."""
    receiver = stack.enter_context(Receiver(server_context(OWN["rsa.pem"]) if server else None))
    text = HEAD.replace("{mode}", mode) + "".join(frontend(name, options, server) for name, options in OPTIONS.items())
    return Setting(module_duel(text, certs=str(certs), origin_raw=str(receiver.port)), receiver)


@pytest.fixture(scope="module")
def http(module_duel: DuelFactory, certs: Path) -> Iterator[Setting]:
    """In mode http."""
    with ExitStack() as stack:
        yield setting(module_duel, certs, "http", stack)


@pytest.fixture(scope="module")
def tcp(module_duel: DuelFactory, certs: Path) -> Iterator[Setting]:
    """In mode tcp."""
    with ExitStack() as stack:
        yield setting(module_duel, certs, "tcp", stack)


@pytest.fixture(scope="module")
def secured(module_duel: DuelFactory, certs: Path) -> Iterator[Setting]:
    """In mode http, to a server that speaks TLS."""
    with ExitStack() as stack:
        yield setting(module_duel, certs, "http", stack, "ssl verify none")


GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def plain(port: int, before: bytes = b"") -> None:
    """One request."""
    with Client(port) as client:
        client.send(before + GET)
        client.read_all()


def tls(port: int, **more: object) -> None:
    """One request, secured."""
    name = more.pop("name", None)
    context = client_context(ciphers="ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256", **more)  # type: ignore[arg-type]
    with TlsClient(port, context, name=name) as client:  # type: ignore[arg-type]
        client.send(GET)
        client.read_all()


def resumed(port: int, version: str) -> None:
    """A second connection that takes up the session of the first, with a certificate."""
    context = client_context(newest=version, own=CLIENT, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
    session = None
    for turn in range(2):
        with TlsClient(port, context, name="ec.example", session=session) as client:
            client.send(GET)
            client.read_all()
            session = client.tls.session
            assert client.tls.session_reused is bool(turn)


def six(side: Side, name: str) -> None:
    """From ::1."""
    with socket.create_connection(("::1", side.ports[f"{name}_six"]), 3) as sock:
        sock.sendall(GET)
        while sock.recv(4096):
            pass


def unix(side: Side, name: str) -> None:
    """Over a unix socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(3)
        sock.connect(str(side.program.dir / f"{name}.sock"))
        sock.sendall(GET)
        while sock.recv(4096):
            pass


def converse(sock: socket.socket) -> None:
    """One request, secured, over this connection."""
    context = client_context(newest="1.2", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256", own=CLIENT)
    with context.wrap_socket(sock, server_hostname="ec.example") as tls:
        tls.sendall(GET)
        while tls.recv(4096):
            pass


def six_tls(side: Side, name: str) -> None:
    """From ::1, secured."""
    converse(socket.create_connection(("::1", side.ports[f"{name}_sixtls"]), 3))


def unix_tls(side: Side, name: str) -> None:
    """Over a unix socket, secured."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(3)
    sock.connect(str(side.program.dir / f"{name}.tls.sock"))
    converse(sock)


def version2(body: bytes, family: int) -> bytes:
    """A header of version 2."""
    return SIGNATURE + bytes([0x21, family]) + len(body).to_bytes(2, "big") + body


TLVS = b"\x05\0\3abc" + b"\x02\0\6a.test" + b"\xe0\0\1x"
FOUR = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + b"\x04\x00\x01\xbb"
WAYS: dict[str, Callable[[Side, str], None]] = {
    "four": lambda side, name: plain(side.ports[f"{name}_four"]),
    "unix": unix,
    "tls 1.2": lambda side, name: tls(side.ports[f"{name}_tls"], newest="1.2"),
    "tls 1.2 ec": lambda side, name: tls(side.ports[f"{name}_tls"], newest="1.2", name="ec.example"),
    "tls 1.2 name": lambda side, name: tls(side.ports[f"{name}_tls"], newest="1.2", name="rsa.example"),
    "tls 1.2 other name": lambda side, name: tls(side.ports[f"{name}_tls"], newest="1.2", name="OTHER.example"),
    "tls 1.2 client": lambda side, name: tls(side.ports[f"{name}_tls"], newest="1.2", own=CLIENT),
    "tls 1.2 stranger": lambda side, name: tls(side.ports[f"{name}_tls"], newest="1.2", own=STRANGER),
    "tls 1.3 client": lambda side, name: tls(side.ports[f"{name}_tls"], oldest="1.3", own=CLIENT, name="rsa.example"),
    "tls 1.2 resumed": lambda side, name: resumed(side.ports[f"{name}_tls"], "1.2"),
    "tls 1.3 resumed": lambda side, name: resumed(side.ports[f"{name}_tls"], "1.3"),
    "proxied": lambda side, name: plain(
        side.ports[f"{name}_proxied"], b"PROXY TCP4 192.0.2.1 192.0.2.2 1024 443\r\n"
    ),
    "proxied six": lambda side, name: plain(
        side.ports[f"{name}_proxied"], b"PROXY TCP6 2001:db8::1 2001:db8::2 1024 443\r\n"
    ),
    "proxied mapped": lambda side, name: plain(
        side.ports[f"{name}_proxied"], b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1024 443\r\n"
    ),
    "proxied unknown": lambda side, name: plain(side.ports[f"{name}_proxied"], b"PROXY UNKNOWN\r\n"),
    "proxied tlvs": lambda side, name: plain(side.ports[f"{name}_proxied"], version2(FOUR + TLVS, 0x11)),
    "proxied local": lambda side, name: plain(side.ports[f"{name}_proxied"], SIGNATURE + b"\x20\0\0\0"),
}  # fmt: skip
WAYS["unix tls"] = unix_tls
if SIX:
    WAYS["six"] = six
    WAYS["six tls"] = six_tls


def masked(head: bytes, side: Side) -> object:
    """The header without ports and checksum, and whether the checksum is right."""
    if head[:1] == b"P":
        words = head.split(b" ")
        ports = (str(port).encode() for port in side.ports.values())
        return [word for word in words if word.strip() not in ports][: 5 if b"192.0.2.1" in head else 4], len(words)
    size = {0x11: 12, 0x21: 36}.get(head[13], 0)
    tlvs, found, good = head[16 + size :], [], None
    at = 0
    while at < len(tlvs):
        length = int.from_bytes(tlvs[at + 1 : at + 3], "big")
        kind, value = tlvs[at], tlvs[at + 3 : at + 3 + length]
        if kind == 3:
            start = 16 + size + at + 3
            good = crc32c(head[:start] + bytes(4) + head[start + 4 :]) == int.from_bytes(value, "big")
            value = b"crc"
        found.append((kind, value))
        at += 3 + length
    return head[:14], int.from_bytes(head[14:16], "big"), head[16 : 16 + size - 4] if size else b"", found, good


def check(setting: Setting, name: str, way: str) -> None:
    """Both send the same."""

    def act(side: Side) -> object:
        WAYS[way](side, name)
        first = setting.receiver.take()
        return masked(setting.receiver.take() if "resumed" in way else first, side)

    setting.duel.same(act)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", OPTIONS)
def test_http(http: Setting, name: str, way: str) -> None:
    """In mode http."""
    check(http, name, way)


@pytest.mark.parametrize("way", ["four", "unix", "tls 1.2", "tls 1.3 client", "proxied six"])
@pytest.mark.parametrize("name", ["v1", "v2", "all"])
def test_tcp(tcp: Setting, name: str, way: str) -> None:
    """In mode tcp."""
    check(tcp, name, way)


@pytest.mark.parametrize("way", ["four", "tls 1.2", "tls 1.3 client"])
@pytest.mark.parametrize("name", ["v1", "v2", "all"])
def test_secured(secured: Setting, name: str, way: str) -> None:
    """In front of TLS to the server."""
    check(secured, name, way)


# -- headers that come in --------------------------------------------------------------------------------------------


def summed(body: bytes, *, before: bytes = b"", family: int = 0x11, first: int = 0x21, good: bool = True) -> bytes:
    """A header with a CRC32c behind `before`."""
    body += before + b"\3\0\4"
    head = SIGNATURE + bytes([first, family]) + (len(body) + 4).to_bytes(2, "big") + body
    return head + (crc32c(head + bytes(4)) ^ (not good)).to_bytes(4, "big")


COMING = {
    "no sum": version2(FOUR, 0x11),
    "good sum": summed(FOUR),
    "wrong sum": summed(FOUR, good=False),
    "good sum behind": summed(FOUR, before=b"\5\0\1a\xe0\0\0"),
    "wrong sum behind": summed(FOUR, before=b"\5\0\1a\xe0\0\0", good=False),
    "sum of three bytes": version2(FOUR + b"\3\0\3abc", 0x11),
    "sum of five bytes": version2(FOUR + b"\3\0\5abcde", 0x11),
    "local": SIGNATURE + b"\x20\0\0\0",
    "local, wrong sum": summed(b"", family=0, first=0x20, good=False),
    "local, broken": SIGNATURE + b"\x20\0\0\4\5\0\5a",
    "half a tlv": version2(FOUR + b"\5\0", 0x11),
    "long tlv": version2(FOUR + b"\5\0\5a", 0x11),
    "another version": SIGNATURE + b"\x31\x11\0\x0c" + FOUR,
    "another command": SIGNATURE + b"\x22\x11\0\x0c" + FOUR,
    "short addresses": SIGNATURE + b"\x21\x11\0\x0b" + FOUR[:11],
    "six, short": SIGNATURE + b"\x21\x21\0\x0c" + FOUR,
}
INCOMING = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    option httplog
    timeout client 1s
    timeout connect 1s
    timeout server 1s
frontend fe
    bind 127.0.0.1:{port} accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[dst]"
"""


@pytest.fixture(scope="module")
def incoming(module_duel: DuelFactory) -> Duel:
    """Behind another proxy."""
    return module_duel(INCOMING)


@pytest.mark.parametrize("row", COMING)
def test_incoming(incoming: Duel, row: str) -> None:
    """Whose header is broken is refused; the log names the address that the header names or the proxy's own."""

    def act(side: Side) -> tuple[bytes, str]:
        side.syslog.pending()
        with Client(side.port) as client:
            client.send(COMING[row] + GET)
            body = client.read_all().rpartition(b"\r\n\r\n")[2]
            body = body.replace(b":%d " % client.local_port, b":PORT ")
        line = mask(side.syslog.take(1)[0], counts=True)
        return body, line.replace("192.0.2.1:1024 [DATE] fe/1: R", "127.0.0.1:PORT [DATE] fe/1: R")

    incoming.same(act)
