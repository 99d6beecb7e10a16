"""Commands on TLS files side by side: what they answer, and what connections get of it."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path

import pytest

from tests.duel.conftest import DuelFactory
from tests.duel.test_tables import ask
from tests.support import pem
from tests.support.duel import Duel, Side

CONFIG = """
global
    stats socket {dir}/cli level admin
    stats socket {dir}/operator level operator
    crt-base {certs}
    ca-base {certs}
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
frontend plain
    bind 127.0.0.1:{port} ssl crt main.pem crt ec384.pem
    http-request return status 200 content-type text/plain string hello
frontend verified
    bind 127.0.0.1:{asking} ssl crt main.pem ca-file ca.pem crl-file crl.pem verify optional crt-ignore-err all ca-ignore-err all
    http-request return status 200 content-type text/plain lf-string "%[ssl_c_verify] %[ssl_c_sha1,hex]"
frontend listed
    bind 127.0.0.1:{listed} ssl strict-sni crt-list {certs}/names.list
    bind 127.0.0.1:{loose} ssl crt-list {certs}/loose.list
    bind 127.0.0.1:{directory} ssl crt {certs}/dir
    bind 127.0.0.1:{bundle} ssl crt pair.pem
    http-request return status 200 content-type text/plain string hello
frontend through
    bind 127.0.0.1:{through}
    default_backend back
backend back
    server s1 127.0.0.1:{asking} ssl verify required ca-file servers.pem crt client.pem verifyhost main.example
"""  # noqa: E501
RSA = pem.leaf("rsa.example", "rsa3072", ca="root", serial=0xFFEE)
RSA = pem.Pair(RSA.certificate, RSA.key, (pem.authority("root").certificate,))


def _files(root: Path) -> None:
    main = pem.leaf("main.example", ca="servers")
    client = pem.leaf("client.example", ca="clients", serial=77)
    for name, text in {
        "main.pem": main.pem,
        "rsa.pem": RSA.pem,
        "ec384.pem": pem.leaf("ec384.example", "ec384", others=("*.w.example",)).pem,
        "client.pem": client.pem,
        "servers.pem": pem.authority("servers").crt,
        "ca.pem": pem.authority("nobody").crt,
        "crl.pem": pem.revocations("nobody"),
        "pair.pem.rsa": pem.leaf("pair.example", "rsa").pem,
        "pair.pem.ecdsa": pem.leaf("pair.example", "ec").pem,
        "names.list": f"{root}/main.pem\n# a comment\n{root}/rsa.pem a.example b.example\n{root}/rsa.pem c.example\n",
        "loose.list": f"{root}/main.pem\n{root}/rsa.pem *.l.example !no.l.example\n",
        "dir/1.pem": pem.leaf("one.example").pem,
        "dir/2.pem": pem.leaf("two.example").pem,
    }.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("certs")
    _files(root)
    return root


@pytest.fixture(scope="module")
def asked(module_duel: DuelFactory, certs: Path) -> Duel:
    """For what changes nothing."""
    return module_duel(CONFIG, certs=str(certs))


@pytest.fixture
def changed(duel: DuelFactory, certs: Path) -> Duel:
    """For what does."""
    return duel(CONFIG, certs=str(certs))


def say(side: Side, text: str, payload: str = "") -> str:
    """A command's answer, without what the name of the configuration differs in."""
    # A payload ends with an empty line, so it must have none.
    answer = ask(side, f"{text} <<\n{payload.strip()}\n" if payload else text)
    return re.sub(r"\t- \S+/lb\.cfg:", "\t- lb.cfg:", answer).rstrip("\n")


@contextmanager
def secured(port: int, name: str, *, pair: Path | None = None) -> Iterator[ssl.SSLSocket]:
    """A TLS connection that asks for a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if pair is not None:
        context.load_cert_chain(pair)
    with (
        socket.create_connection(("127.0.0.1", port), 5) as raw,
        context.wrap_socket(raw, server_hostname=name) as conn,
    ):
        yield conn


def fingerprint(port: int, name: str) -> str:
    """What certificate is shown for a name, "" for none at all."""
    try:
        with secured(port, name) as conn:
            return sha1(conn.getpeercert(True) or b"").hexdigest().upper()
    except (ssl.SSLError, OSError):
        return ""


def get(conn: socket.socket) -> bytes:
    """The body of the answer to a request."""
    conn.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    said = b""
    while b"\r\n\r\n" not in said or len(said.partition(b"\r\n\r\n")[2]) < _length(said):
        data = conn.recv(65536)
        if not data:
            break
        said += data
    return said.partition(b"\r\n\r\n")[2]


def _length(said: bytes) -> int:
    match = re.search(rb"(?i)content-length: (\d+)", said)
    return int(match[1]) if match is not None else 0


# -- what is shown -------------------------------------------------------------------------------------------------

SHOWN = [
    "show ssl cert",
    "show ssl cert {}/main.pem",
    "show ssl cert {}/rsa.pem",
    "show ssl cert {}/ec384.pem",
    "show ssl cert {}/client.pem",
    "show ssl cert {}/pair.pem",
    "show ssl cert {}/pair.pem.rsa",
    "show ssl cert {}/pair.pem.ecdsa",
    "show ssl cert {}/dir/1.pem",
    "show ssl cert main.pem",
    "show ssl cert *{}/main.pem",
    "show ssl cert nix",
    "show ssl ca-file",
    "show ssl ca-file {}/ca.pem",
    "show ssl ca-file {}/ca.pem:1",
    "show ssl ca-file {}/ca.pem:2",
    "show ssl ca-file {}/ca.pem:x",
    "show ssl ca-file nix",
    "show ssl crl-file",
    "show ssl crl-file {}/crl.pem",
    "show ssl crl-file {}/crl.pem:1",
    "show ssl crl-file {}/crl.pem:9",
    "show ssl crl-file nix",
    "show ssl crt-list",
    "show ssl crt-list {}/names.list",
    "show ssl crt-list -n {}/names.list",
    "show ssl crt-list -n {}/names.list//",
    "show ssl crt-list {}/dir",
    "show ssl crt-list -n",
    "show ssl crt-list nix",
]


@pytest.mark.parametrize("text", SHOWN)
def test_what_is_shown(asked: Duel, certs: Path, text: str) -> None:
    asked.same(lambda side: say(side, text.format(certs)))


def test_who_may(asked: Duel) -> None:
    def act(side: Side) -> list[str]:
        said = []
        for text in ("show ssl cert", "new ssl cert x", "show ssl crt-list", "abort ssl ca-file", "del ssl crl-file x"):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(side.program.dir / "operator"))
                sock.sendall(f"{text}\n".encode())
                said.append(sock.recv(65536).decode())
        return said

    asked.same(act)


# -- what changes --------------------------------------------------------------------------------------------------

NEW = pem.leaf("new.example")
OTHER = pem.leaf("other.example", "rsa")
BROKEN = "-----BEGIN CERTIFICATE-----\nMIIBsjCCAVmgAwIBAgI\n-----END CERTIFICATE-----"
TALKS: dict[str, list[tuple[str, str]]] = {
    "words are missing": [
        (f"{verb} ssl {kind}", "")
        for verb in ("new", "set", "commit", "abort", "del")
        for kind in ("cert", "ca-file", "crl-file")
    ]
    + [("add ssl crt-list", ""), ("add ssl crt-list x", ""), ("del ssl crt-list", ""), ("del ssl crt-list x", "")],
    "a certificate": [
        ("set ssl cert {}/main.pem", NEW.pem),
        ("show ssl cert", ""),
        ("show ssl cert *{}/main.pem", ""),
        ("show ssl cert {}/main.pem", ""),
        ("set ssl cert {}/main.pem", OTHER.pem),
        ("show ssl cert *{}/main.pem", ""),
        ("commit ssl cert {}/rsa.pem", ""),
        ("abort ssl cert {}/rsa.pem", ""),
        ("del ssl cert {}/main.pem", ""),
        ("commit ssl cert {}/main.pem", ""),
        ("show ssl cert {}/main.pem", ""),
        ("show ssl cert", ""),
        ("commit ssl cert {}/main.pem", ""),
        ("abort ssl cert {}/main.pem", ""),
        ("set ssl cert {}/client.pem", OTHER.pem),
        ("abort ssl cert {}/client.pem", ""),
        ("show ssl cert {}/client.pem", ""),
    ],
    "a certificate and its key apart": [
        ("set ssl cert {}/main.pem", NEW.crt),
        ("commit ssl cert {}/main.pem", ""),
        ("set ssl cert {}/main.pem.key", OTHER.private),
        ("commit ssl cert {}/main.pem", ""),
        ("show ssl cert {}/main.pem", ""),
        ("set ssl cert {}/main.pem.key", NEW.private),
        ("set ssl cert {}/main.pem.issuer", pem.authority("servers").crt),
        ("commit ssl cert {}/main.pem", ""),
        ("show ssl cert {}/main.pem", ""),
    ],
    "what is broken or unknown": [
        ("set ssl cert {}/main.pem", "garbage"),
        ("set ssl cert {}/main.pem", BROKEN),
        ("set ssl cert {}/main.pem.key", "garbage"),
        ("set ssl cert {}/main.pem.key", NEW.crt),
        ("set ssl cert {}/main.pem.issuer", "garbage"),
        ("set ssl cert nix", NEW.pem),
        ("set ssl cert nix.key", NEW.private),
        ("set ssl cert {}/pair.pem", NEW.pem),
        ("show ssl cert", ""),
        ("del ssl cert nix", ""),
        ("del ssl cert {}/main.pem", ""),
        ("set ssl ca-file nix", NEW.crt),
        ("set ssl ca-file {}/ca.pem", "garbage"),
        ("set ssl crl-file nix", pem.revocations("nobody", 5)),
        ("set ssl crl-file {}/crl.pem", "garbage"),
        ("del ssl ca-file nix", ""),
        ("del ssl ca-file {}/ca.pem", ""),
        ("del ssl crl-file {}/crl.pem", ""),
    ],
    "a new certificate": [
        ("new ssl cert n.pem", ""),
        ("new ssl cert n.pem", ""),
        ("new ssl cert {}/main.pem", ""),
        ("show ssl cert", ""),
        ("show ssl cert n.pem", ""),
        ("add ssl crt-list {}/names.list {}/n.pem", ""),
        ("commit ssl cert n.pem", ""),
        ("set ssl cert n.pem", NEW.pem),
        ("commit ssl cert n.pem", ""),
        ("show ssl cert n.pem", ""),
        ("del ssl cert n.pem", ""),
        ("show ssl cert", ""),
    ],
    "a bundle": [
        ("set ssl cert {}/pair.pem.rsa", OTHER.pem),
        ("commit ssl cert {}/pair.pem.rsa", ""),
        ("show ssl cert {}/pair.pem.rsa", ""),
        ("set ssl cert {}/pair.pem.ecdsa", NEW.pem),
        ("commit ssl cert {}/pair.pem.ecdsa", ""),
    ],
    "authorities": [
        ("set ssl ca-file {}/ca.pem", pem.authority("clients").crt),
        ("show ssl ca-file", ""),
        ("show ssl ca-file *{}/ca.pem", ""),
        ("show ssl ca-file {}/ca.pem", ""),
        ("set ssl ca-file {}/servers.pem", pem.authority("clients").crt),
        ("commit ssl ca-file {}/servers.pem", ""),
        ("abort ssl ca-file {}/servers.pem", ""),
        ("del ssl ca-file {}/ca.pem", ""),
        ("commit ssl ca-file {}/ca.pem", ""),
        ("show ssl ca-file {}/ca.pem", ""),
        ("commit ssl ca-file {}/ca.pem", ""),
        ("set ssl ca-file {}/servers.pem", pem.authority("servers").crt * 2 + pem.authority("clients").crt),
        ("show ssl ca-file", ""),
        ("abort ssl ca-file {}/servers.pem", ""),
        ("abort ssl ca-file {}/servers.pem", ""),
        ("new ssl ca-file new.ca", ""),
        ("new ssl ca-file new.ca", ""),
        ("show ssl ca-file", ""),
        ("show ssl ca-file new.ca", ""),
        ("set ssl ca-file new.ca", pem.authority("clients").crt),
        ("commit ssl ca-file new.ca", ""),
        ("show ssl ca-file new.ca", ""),
        ("del ssl ca-file new.ca", ""),
    ],
    "revocations": [
        ("set ssl crl-file {}/crl.pem", pem.revocations("nobody", 5, 0xABCDEF)),
        ("show ssl crl-file", ""),
        ("show ssl crl-file *{}/crl.pem", ""),
        ("show ssl crl-file {}/crl.pem", ""),
        ("del ssl crl-file {}/crl.pem", ""),
        ("commit ssl crl-file {}/crl.pem", ""),
        ("show ssl crl-file {}/crl.pem", ""),
        ("abort ssl crl-file {}/crl.pem", ""),
        ("new ssl crl-file {}/ca.pem", ""),
        ("new ssl crl-file new.crl", ""),
        ("show ssl crl-file new.crl", ""),
        ("set ssl crl-file new.crl", pem.revocations("nobody", 5)),
        ("abort ssl crl-file new.crl", ""),
        ("set ssl crl-file new.crl", pem.revocations("nobody", 5)),
        ("commit ssl crl-file new.crl", ""),
        ("show ssl crl-file", ""),
        ("del ssl crl-file new.crl", ""),
    ],
    "lists": [
        ("add ssl crt-list nix {}/main.pem", ""),
        ("add ssl crt-list {}/names.list nix", ""),
        ("add ssl crt-list {}/names.list {}/ec384.pem", ""),
        ("add ssl crt-list {}/names.list/", "{}/ec384.pem [ca-file {}/nix] x.example"),
        ("add ssl crt-list {}/names.list/", "{}/ec384.pem [crl-file {}/nix] x.example"),
        ("add ssl crt-list {}/names.list/", "{}/ec384.pem [bogus on] x.example"),
        ("add ssl crt-list {}/names.list", "{}/ec384.pem one\n{}/ec384.pem two"),
        ("add ssl crt-list {}/names.list//", "{}/ec384.pem [verify none] x.example !y.example"),
        ("show ssl crt-list -n {}/names.list", ""),
        ("del ssl crt-list nix {}/main.pem", ""),
        ("del ssl crt-list {}/names.list nix", ""),
        ("del ssl crt-list {}/names.list {}/rsa.pem", ""),
        ("del ssl crt-list {}/names.list {}/rsa.pem:1", ""),
        ("del ssl crt-list {}/names.list {}/rsa.pem:x", ""),
        ("del ssl crt-list {}/names.list {}/rsa.pem:3", ""),
        ("del ssl crt-list {}/names.list {}/rsa.pem", ""),
        ("del ssl crt-list {}/names.list {}/main.pem:1", ""),
        ("del ssl crt-list {}/loose.list {}/main.pem", ""),
        ("show ssl crt-list -n {}/names.list", ""),
        ("del ssl cert {}/rsa.pem", ""),
        ("del ssl crt-list {}/loose.list {}/rsa.pem", ""),
        ("del ssl cert {}/rsa.pem", ""),
        ("show ssl cert", ""),
    ],
    "a directory": [
        ("add ssl crt-list {}/dir {}/main.pem", ""),
        ("add ssl crt-list {}/dir/ {}/dir/2.pem", ""),
        ("del ssl crt-list {}/dir {}/dir/1.pem", ""),
        ("del ssl crt-list {}/dir {}/dir/2.pem", ""),
        ("show ssl crt-list -n {}/dir", ""),
        ("add ssl crt-list {}/dir/ {}/dir/2.pem", ""),
        ("show ssl crt-list -n {}/dir/", ""),
    ],
}


@pytest.mark.parametrize("name", TALKS)
def test_a_talk(changed: Duel, certs: Path, name: str) -> None:
    def act(side: Side) -> list[tuple[str, str]]:
        root = str(certs)
        return [
            (text, say(side, text.replace("{}", root), payload.replace("{}", root))) for text, payload in TALKS[name]
        ]

    changed.same(act)


# -- what connections get ------------------------------------------------------------------------------------------


def test_a_connection_gets_the_new_certificate_after_commit(changed: Duel, certs: Path) -> None:
    def act(side: Side) -> list[object]:
        port = side.ports["port"]
        seen: list[object] = []
        with secured(port, "main.example") as kept:
            seen += [get(kept), fingerprint(port, "main.example"), fingerprint(port, "ec384.example")]
            say(side, f"set ssl cert {certs}/main.pem", NEW.pem)
            seen.append(fingerprint(port, "main.example"))
            say(side, f"commit ssl cert {certs}/main.pem")
            seen += [fingerprint(port, name) for name in ("main.example", "new.example", "ec384.example", "nix")]
            # Whoever was there stays.
            seen.append(get(kept))
        say(side, f"set ssl cert {certs}/main.pem", OTHER.pem)
        say(side, f"abort ssl cert {certs}/main.pem")
        seen.append(fingerprint(port, "new.example"))
        return seen

    seen = changed.same(act)
    main, ec384 = (
        pem.leaf("main.example", ca="servers").sha1,
        pem.leaf("ec384.example", "ec384", others=("*.w.example",)),
    )
    assert seen == [b"hello", main, ec384.sha1, main, *([NEW.sha1] * 2), ec384.sha1, NEW.sha1, b"hello", NEW.sha1]


def test_what_is_refused_changes_nothing(changed: Duel, certs: Path) -> None:
    def act(side: Side) -> list[str]:
        for payload in ("garbage", BROKEN, NEW.crt + OTHER.private, NEW.crt):
            say(side, f"set ssl cert {certs}/main.pem", payload)
            assert "Success" not in say(side, f"commit ssl cert {certs}/main.pem")
        return [fingerprint(side.ports["port"], name) for name in ("main.example", "new.example")]

    assert changed.same(act)[0] == pem.leaf("main.example", ca="servers").sha1


def test_authorities_and_revocations_are_in_force_after_commit(changed: Duel, certs: Path) -> None:
    def verdict(side: Side) -> bytes:
        with secured(side.ports["asking"], "main.example", pair=certs / "client.pem") as conn:
            return get(conn).split()[0]

    def act(side: Side) -> list[bytes]:
        seen = [verdict(side)]
        say(side, f"set ssl ca-file {certs}/ca.pem", pem.authority("clients").crt)
        say(side, f"set ssl crl-file {certs}/crl.pem", pem.revocations("clients"))
        seen.append(verdict(side))
        say(side, f"commit ssl ca-file {certs}/ca.pem")
        say(side, f"commit ssl crl-file {certs}/crl.pem")
        seen.append(verdict(side))
        say(side, f"set ssl crl-file {certs}/crl.pem", pem.revocations("clients", 77))
        seen.append(verdict(side))
        say(side, f"commit ssl crl-file {certs}/crl.pem")
        return [*seen, verdict(side)]

    assert changed.same(act)[2:] == [b"0", b"0", b"23"]


def test_what_is_shown_to_servers_and_believed_of_them(changed: Duel, certs: Path) -> None:
    def status(side: Side) -> list[bytes]:
        with socket.create_connection(("127.0.0.1", side.ports["through"]), 5) as conn:
            conn.sendall(b"GET / HTTP/1.1\r\nhost: main.example\r\nconnection: close\r\n\r\n")
            said = b""
            while data := conn.recv(65536):
                said += data
        # The number of the verdict depends on the version of OpenSSL.
        return [said[9:12], said.split()[-1] if said[9:12] == b"200" else b""]

    def act(side: Side) -> list[list[bytes]]:
        seen = [status(side)]
        say(side, f"set ssl cert {certs}/client.pem", OTHER.pem)
        seen.append(status(side))
        say(side, f"commit ssl cert {certs}/client.pem")
        seen.append(status(side))
        say(side, f"set ssl ca-file {certs}/servers.pem", pem.authority("nobody").crt)
        seen.append(status(side))
        say(side, f"commit ssl ca-file {certs}/servers.pem")
        time.sleep(0.05)
        return [*seen, status(side)]

    old = pem.leaf("client.example", ca="clients", serial=77).sha1.encode()
    new = OTHER.sha1.encode()
    assert changed.same(act) == [[b"200", old], [b"200", old], [b"200", new], [b"200", new], [b"503", b""]]


def test_lines_of_lists_are_in_force_at_once(changed: Duel, certs: Path) -> None:
    def act(side: Side) -> list[str]:
        port = side.ports["listed"]
        seen = [fingerprint(port, name) for name in ("a.example", "x.example")]
        say(side, f"add ssl crt-list {certs}/names.list", f"{certs}/ec384.pem *.x.example x.example !no.x.example")
        seen += [fingerprint(port, name) for name in ("x.example", "1.x.example", "no.x.example")]
        say(side, f"del ssl crt-list {certs}/names.list {certs}/rsa.pem:3")
        return [*seen, *(fingerprint(port, name) for name in ("a.example", "c.example"))]

    ec384 = pem.leaf("ec384.example", "ec384", others=("*.w.example",)).sha1
    assert changed.same(act) == [RSA.sha1, "", ec384, ec384, "", "", RSA.sha1]
