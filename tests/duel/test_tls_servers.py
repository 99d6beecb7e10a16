"""HTTPS servers, side by side: whom both believe, what a refusal costs, what rules learn, when sessions are resumed."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.certs import NOW, Authority, Issued, TlsOrigin, rsa_key, server_context
from tests.support.duel import Duel, Side
from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.syslog import mask
from tests.support.wire import Client

ROOT = Authority.new("Root")
MIDDLE = Authority.new("Middle", ROOT)
STRANGER = Authority.new("Stranger")
GOOD = MIDDLE.issue("good.example", "good.example", "*.wild.example", key=rsa_key())
OURS = ROOT.issue("trilb")
SERVERS: dict[str, Issued] = {
    "good": GOOD,
    "stranger": STRANGER.issue("good.example", "good.example"),
    "expired": ROOT.issue("good.example", "good.example", start=NOW - timedelta(days=9), end=NOW - timedelta(days=1)),
    "revoked": ROOT.issue("good.example", "good.example"),
    "nosan": ROOT.issue("good.example"),
    "alone": Issued(GOOD.certificate, GOOD.key),
}
LINES = {
    "none": "ssl verify none",
    "required": "ssl verify required ca-file {certs}/ca.pem",
    "host": "ssl verify required ca-file {certs}/ca.pem verifyhost good.example",
    "HOST": "ssl verify required ca-file {certs}/ca.pem verifyhost GOOD.example",
    "otherhost": "ssl verify required ca-file {certs}/ca.pem verifyhost other.example",
    "wild": "ssl verify required ca-file {certs}/ca.pem verifyhost a.wild.example",
    "deep": "ssl verify required ca-file {certs}/ca.pem verifyhost b.a.wild.example",
    "nonehost": "ssl verify none verifyhost other.example",
    "sni": "ssl verify required ca-file {certs}/ca.pem sni str(good.example)",
    "othersni": "ssl verify required ca-file {certs}/ca.pem sni str(other.example)",
    "snihost": "ssl verify required ca-file {certs}/ca.pem sni str(good.example) verifyhost other.example",
    "othersnihost": "ssl verify required ca-file {certs}/ca.pem sni str(other.example) verifyhost good.example",
    "header": "ssl verify none sni req.hdr(x-name)",
    "crl": "ssl verify required ca-file {certs}/ca.pem crl-file {certs}/crl.pem",
    "old": "ssl verify none ssl-max-ver TLSv1.2",
    "new": "ssl verify none ssl-min-ver TLSv1.3",
    "own": "ssl verify none crt {certs}/own.pem",
    "noreuse": "ssl verify none no-ssl-reuse",
    "alpn": "ssl verify none alpn http/1.0,http/1.1",
    "cipher": "ssl verify none ssl-max-ver TLSv1.2 ciphers ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256",
}
VALUES = """
ssl_bc ssl_bc_alg_keysize ssl_bc_use_keysize ssl_bc_alpn ssl_bc_cipher ssl_bc_protocol ssl_bc_is_resumed
ssl_bc_client_random,hex,length ssl_bc_server_random,hex,length ssl_bc_session_key,hex,length
ssl_bc_unique_id,hex,length
ssl_s_der,sha1,hex ssl_s_i_dn ssl_s_i_dn(CN) ssl_s_key_alg ssl_s_notafter ssl_s_notbefore ssl_s_s_dn ssl_s_s_dn(CN)
ssl_s_serial,hex ssl_s_sha1,hex ssl_s_sig_alg ssl_s_version ssl_s_chain_der,hex,length ssl_s_chain_der,sha1,hex
""".split()
HEAD = """
global
    nbthread 1
    log 127.0.0.1:{syslog} local0
    stats socket {dir}/cli level admin
defaults
    mode http
    log global
    option httplog
    retries 0
    timeout connect 2s
    timeout client 5s
    timeout server 2s
    http-reuse never
    option http-server-close
# What trilb and HAProxy 3.3 do by themselves: ask for the host of the request, and want a certificate for it.
.if version_atleast(2.7)
    default-server no-sni-auto
.endif
"""
SHOW = "".join(f"    http-response add-header x-{n} %[{value}]\n" for n, value in enumerate(VALUES))
CONFIG = (
    HEAD
    + "frontend fe\n    bind 127.0.0.1:{port}\n    use_backend %[path,field(2,/)]\n"
    + "".join(
        f"backend {line}-{server}\n{SHOW}    server s 127.0.0.1:{{origin_{server}}} {options}\n"
        for line, options in LINES.items()
        for server in (*SERVERS, "plain", "old", "picky", "dead", "silent")
    )
)


@dataclass
class Setting:
    """Both programs and the servers, which they share."""

    duel: Duel
    origins: dict[str, Origin] = field(default_factory=dict)


@pytest.fixture(scope="module")
def setting(module_duel: DuelFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """All of it."""
    certs = tmp_path_factory.mktemp("certs")
    (certs / "ca.pem").write_bytes(ROOT.cert_pem)
    (certs / "own.pem").write_bytes(OURS.pem)
    (certs / "crl.pem").write_bytes(ROOT.crl(SERVERS["revoked"]) + MIDDLE.crl())
    with ExitStack() as stack:
        origins: dict[str, Origin] = {
            name: stack.enter_context(TlsOrigin(server_context(issued))) for name, issued in SERVERS.items()
        }
        origins["old"] = stack.enter_context(TlsOrigin(server_context(GOOD, newest="1.2")))
        origins["picky"] = stack.enter_context(TlsOrigin(server_context(GOOD, trusted=ROOT)))
        # Whatever it is told: a hello may look like the beginning of anything.
        origins["plain"] = stack.enter_context(Origin(lambda raw, origin: b"HTTP/1.0 400 Bad\r\n\r\n", raw=True))
        origins["silent"] = stack.enter_context(Origin(lambda raw, origin: b"", raw=True))
        ports = {f"origin_{name}": str(origin.port) for name, origin in origins.items()}
        ports["origin_dead"] = str(free_port())
        yield Setting(module_duel(CONFIG, certs=str(certs), **ports), origins)


def ask(side: Side, path: str, *headers: str) -> tuple[bytes, str]:
    """The answer and the log line."""
    side.syslog.pending()
    extra = "".join(f"{each}\r\n" for each in headers)
    with Client(side.port, timeout=8) as client:
        client.send(f"GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{extra}\r\n".encode())
        answer = client.read_all()
    return answer, mask(side.syslog.take(1)[0], counts=True)


FREE = {VALUES.index(each) for each in ("ssl_bc_cipher", "ssl_bc_alg_keysize", "ssl_bc_use_keysize",
                                        "ssl_bc_session_key,hex,length", "ssl_bc_unique_id,hex,length")}  # fmt: skip


def seen(answer: bytes, *, all_of_it: bool) -> list[bytes]:
    """The answer's lines, without what OpenSSL may choose."""
    lines = answer.split(b"\r\n")
    if all_of_it:
        return lines
    skipped = tuple(b"x-%d:" % number for number in FREE)
    return [line for line in lines if not line.lower().startswith(skipped)]


ROWS = [
    *((line, server) for line in ("none", "required", "host", "sni", "crl", "cipher") for server in SERVERS),
    *((line, "good") for line in LINES),
    *((line, server) for line in ("none", "own", "old", "new") for server in ("plain", "old", "dead")),
    # With TLS 1.3 a client hears too late that its certificate is missing.
    ("old", "picky"),
    ("own", "picky"),
    ("required", "silent"),
]


@pytest.mark.parametrize(("line", "server"), dict.fromkeys(ROWS))
def test_servers(setting: Setting, line: str, server: str) -> None:
    """The same answer, the same values, the same log line."""

    def act(side: Side) -> tuple[list[bytes], str]:
        answer, logged = ask(side, f"{line}-{server}", "x-name: good.example")
        return seen(answer, all_of_it=line == "cipher"), re.sub(r" \d+ - - ", " N - - ", logged)

    setting.duel.same(act)


@pytest.mark.parametrize(("line", "header"), [
    ("none", ""), ("sni", ""), ("othersni", ""), ("host", ""), ("header", "x-name: Some.Example"), ("header", ""),
    ("header", "x-name: 127.0.0.1"), ("header", "x-name: "), ("header", "x-name: " + "a" * 300),
])  # fmt: skip
def test_names_asked_for(setting: Setting, line: str, header: str) -> None:
    """What the server hears as the name."""
    origin = setting.origins["good"]
    assert isinstance(origin, TlsOrigin)

    def act(side: Side) -> list[str | None]:
        origin.names.clear()
        ask(side, f"{line}-good", *([header] if header else []))
        return list(dict.fromkeys(origin.names))

    setting.duel.same(act)


@pytest.mark.parametrize(("line", "server"), [("none", "good"), ("none", "old"), ("required", "good"), ("old", "good"),
                                              ("noreuse", "good"), ("noreuse", "old"), ("sni", "good")])  # fmt: skip
def test_sessions(setting: Setting, line: str, server: str) -> None:
    """The next connection takes the session of the one before up."""
    origin = setting.origins[server]
    assert isinstance(origin, TlsOrigin)

    def act(side: Side) -> tuple[list[bool], list[bytes]]:
        origin.resumed.clear()
        told = []
        for _ in range(3):
            answer, _ = ask(side, f"{line}-{server}")
            found = re.search(rb"x-%d: (\d)" % VALUES.index("ssl_bc_is_resumed"), answer)
            told.append(found[1] if found else b"?")
        return list(origin.resumed)[-2:], told[-2:]

    resumed, told = setting.duel.same(act)
    assert resumed == [line != "noreuse"] * 2
    assert told == [b"%d" % (line != "noreuse")] * 2


# -- servers that end too early --------------------------------------------------------------------------------------

ENDS = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode http
    log global
    option httplog
    retries 0
    timeout connect 1s
    timeout client 2s
    timeout server 700ms
    http-reuse never
listen fe
    bind 127.0.0.1:{port}
    server s 127.0.0.1:{origin_ends} ssl verify none
"""
LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n"
ANSWERS = {
    "whole": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "nothing": b"",
    "half-head": LENGTH[:25],
    "half-body": LENGTH + b"hello",
    "to-the-end": b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello",
    "half-chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwo",
}


class Ending(TlsOrigin):
    """Answers what the path says and ends as it says: with a farewell or without, by a reset, in garbage, or never."""

    def _converse(self, sock: socket.socket) -> None:
        wrapped = self.context.wrap_socket(sock, server_side=True)
        request = wrapped.recv(65536)
        _, answer, end, *_ = request.split(b" ")[1].decode().split("/")
        if ANSWERS[answer]:
            wrapped.sendall(ANSWERS[answer])
        time.sleep(0.05)
        plain = socket.socket(fileno=wrapped.detach()) if end != "farewell" else None
        if plain is None:
            with suppress(OSError, ValueError):
                wrapped.unwrap()
            wrapped.close()
            return
        with plain:
            if end == "reset":
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif end == "garbage":
                plain.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
                time.sleep(0.2)
            elif end == "never":
                time.sleep(1.2)


@pytest.fixture(scope="module")
def ending(module_duel: DuelFactory) -> Iterator[Duel]:
    """Both programs before such a server."""
    with Ending(server_context(GOOD)) as origin:
        yield module_duel(ENDS, origin_ends=str(origin.port))


@pytest.mark.parametrize(("answer", "end"), [
    (answer, end)
    for answer in ANSWERS
    for end in ("farewell", "no-farewell", "reset", "garbage", "never")
    # 2.6 waits for more in vain.
    if (answer, end) != ("half-head", "garbage")
])  # fmt: skip
def test_ends(ending: Duel, answer: str, end: str) -> None:
    """What the client receives, and whose fault the log says it was."""

    def act(side: Side) -> tuple[bytes, str]:
        got, line = ask(side, f"{answer}/{end}")
        return got, re.sub(r" \d+ - - ", " N - - ", line)

    ending.same(act)
