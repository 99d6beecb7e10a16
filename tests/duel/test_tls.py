"""TLS, side by side: which certificate a client gets, who is let in, what rules learn, what is logged and counted.

Both programs have the same certificates. What OpenSSL chooses (trilb has a newer one) is compared where a client leaves
no choice.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from tests.duel.conftest import DuelFactory
from tests.support.certs import (
    NOW,
    Authority,
    Issued,
    TlsClient,
    ask,
    client_context,
    outcome,
    rsa_key,
    subject,
)
from tests.support.duel import Duel, Side
from tests.support.hello import client_hello
from tests.support.syslog import mask
from tests.support.wire import Client, parse_response

ROOT = Authority.new("Root One")
MIDDLE = Authority.new("Middle", ROOT)
STRANGER = Authority.new("Stranger")
P384 = ec.generate_private_key(ec.SECP384R1())
CERTS = {
    "default.pem": ROOT.issue("default.example", "default.example", key=rsa_key()),
    "www.pem": MIDDLE.issue(
        subject("www.example.com", (NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "A/B, \"C\" & Söhne"),
                (NameOID.ORGANIZATIONAL_UNIT_NAME, "one"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "two")),
        "www.example.com", "api.example.com", key=P384, digest=hashes.SHA384(),
    ),
    "wild.pem": ROOT.issue("*.wild.example", "*.wild.example"),
    "exact.pem": ROOT.issue("exact.wild.example", "exact.wild.example"),
    "both.pem.rsa": ROOT.issue("both.example rsa", "both.example", key=rsa_key()),
    "both.pem.ecdsa": ROOT.issue("both.example ecdsa", "both.example"),
    "upper.pem": ROOT.issue("UPPER.example", "Upper.Example"),
    "nosan.pem": ROOT.issue("nosan.example"),
    "listed.pem": ROOT.issue("listed.example", "listed.example"),
    "tls12.pem": ROOT.issue("tls12.example", "tls12.example"),
}  # fmt: skip
CLIENTS = {
    "good": MIDDLE.issue(
        subject("Jane Doe", (NameOID.COUNTRY_NAME, "FR"), (NameOID.EMAIL_ADDRESS, "jane@example.com")), key=rsa_key(1)
    ),
    "ec": ROOT.issue("ec client"),
    "stranger": STRANGER.issue("Stranger's"),
    "expired": ROOT.issue("Expired", start=NOW - timedelta(days=9), end=NOW - timedelta(days=1)),
    "future": ROOT.issue("Future", start=NOW + timedelta(days=1)),
    "revoked": ROOT.issue("Revoked"),
    "alone": (lambda own: Issued(own.certificate, own.key))(MIDDLE.issue("No chain")),
}
LIST = """
# a comment
{certs}/listed.pem
{certs}/wild.pem *.wild.example !no.wild.example
{certs}/exact.pem [ssl-max-ver TLSv1.2] other.example *.star.example
{certs}/tls12.pem [ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.2]

{certs}/www.pem [verify required ca-file {certs}/ca.pem] locked.example
"""


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all of them."""
    folder = tmp_path_factory.mktemp("certs")
    for name, issued in {**CERTS, **{f"{name}.client": issued for name, issued in CLIENTS.items()}}.items():
        (folder / name).write_bytes(issued.pem)
    (folder / "ca.pem").write_bytes(ROOT.cert_pem)
    (folder / "cas.pem").write_bytes(ROOT.cert_pem + MIDDLE.cert_pem)
    (folder / "stranger.pem").write_bytes(STRANGER.cert_pem)
    (folder / "crl.pem").write_bytes(ROOT.crl(CLIENTS["revoked"]) + MIDDLE.crl())
    (folder / "list.txt").write_text(LIST.format(certs=folder))
    (folder / "dir").mkdir()
    for name in ("wild.pem", "exact.pem", "www.pem"):
        (folder / "dir" / name).write_bytes(CERTS[name].pem)
    return folder


HEAD = """
global
    log 127.0.0.1:{syslog} local0
    ssl-load-extra-files all
    tune.ssl.default-dh-param 2048
    stats socket {dir}/cli level admin
    tune.ssl.capture-buffer-size 1000
defaults
    mode http
    log global
    option httplog
    timeout connect 1s
    timeout client 3s
    timeout server 3s
    timeout http-request 3s
"""
FRONT = """
ssl_fc ssl_fc_alg_keysize ssl_fc_use_keysize ssl_fc_alpn ssl_fc_cipher ssl_fc_protocol ssl_fc_is_resumed ssl_fc_has_crt
ssl_fc_has_sni ssl_fc_sni ssl_fc_has_early ssl_fc_session_key,hex,length ssl_fc_client_random,hex,length
ssl_fc_server_random,hex,length ssl_fc_unique_id,hex,length ssl_fc_cipherlist_bin,hex ssl_fc_cipherlist_hex
ssl_fc_cipherlist_xxh ssl_fc_cipherlist_bin(1),hex ssl_fc_extlist_bin,hex ssl_fc_eclist_bin,hex
ssl_fc_ecformats_bin,hex ssl_fc_protocol_hello_id
""".split()
CERTIFICATE = """
_der,sha1,hex _i_dn _i_dn(CN) _i_dn(O) _i_dn(OU) _i_dn(,0,rfc2253) _key_alg _notafter _notbefore _s_dn _s_dn(CN)
_s_dn(C) _s_dn(OU) _s_dn(OU,1) _s_dn(OU,2) _s_dn(OU,-1) _s_dn(OU,3) _s_dn(OU,-3) _s_dn(emailAddress) _s_dn(X)
_s_dn(cn) _s_dn(,0,rfc2253) _s_dn(CN,0,rfc2253) _s_dn(CN,1,rfc2253) _s_dn(OU,0) _serial,hex _sha1,hex _sig_alg _version
""".split()
CLIENT = [*(f"ssl_c{each}" for each in CERTIFICATE), *"""
ssl_c_used ssl_c_verify ssl_c_err ssl_c_ca_err ssl_c_ca_err_depth ssl_c_chain_der,hex,length ssl_c_chain_der,sha1,hex
""".split()]  # fmt: skip
OWN = [f"ssl_f{each}" for each in CERTIFICATE]
VALUES = [*FRONT, *CLIENT, *OWN]


def shown(fetches: list[str]) -> str:
    """A rule that answers all values."""
    lines = "\\n".join(f"{each.replace(',', chr(92) + ',')} = [%[{each}]]" for each in fetches)
    return f'    http-request return status 200 content-type text/plain lf-string "{lines}"\n'


def listener(name: str, options: str, *lines: str) -> str:
    """A frontend that answers the values."""
    return (
        f"frontend {name}\n    bind 127.0.0.1:{{{name}}} ssl {options}\n"
        + "".join(f"    {line}\n" for line in lines)
        + shown(VALUES)
    )


CLIENT_CA = "ca-file {certs}/ca.pem"
CONFIG = HEAD + "".join((
    listener("names", "crt {certs}/default.pem crt {certs}/www.pem crt {certs}/wild.pem crt {certs}/exact.pem "
             "crt {certs}/both.pem crt {certs}/upper.pem crt {certs}/nosan.pem alpn http/1.1,http/1.0"),
    listener("strict", "crt {certs}/default.pem crt {certs}/www.pem crt {certs}/wild.pem strict-sni"),
    listener("listed", "crt {certs}/default.pem crt-list {certs}/list.txt"),
    listener("onlylist", "crt-list {certs}/list.txt"),
    listener("strictlist", "strict-sni crt-list {certs}/list.txt"),
    listener("folder", "crt {certs}/dir"),
    listener("bundle", "crt {certs}/both.pem"),
    listener("optional", "crt {certs}/www.pem verify optional " + CLIENT_CA),
    listener("required", "crt {certs}/www.pem verify required " + CLIENT_CA),
    listener("revoking", "crt {certs}/www.pem verify optional crl-file {certs}/crl.pem " + CLIENT_CA),
    listener("lenient", "crt {certs}/www.pem verify optional crt-ignore-err all ca-ignore-err all " + CLIENT_CA),
    listener("some", "crt {certs}/www.pem verify required crt-ignore-err 10,23 crl-file {certs}/crl.pem " + CLIENT_CA),
    listener("lenientca", "crt {certs}/www.pem verify required ca-ignore-err all " + CLIENT_CA),
    listener("tls12", "crt {certs}/www.pem ssl-max-ver TLSv1.2"),
    listener("tls13", "crt {certs}/www.pem ssl-min-ver TLSv1.3"),
    listener("notickets", "crt {certs}/default.pem no-tls-tickets"),
    listener("forced", "crt {certs}/default.pem force-tlsv12 ciphers ECDHE-RSA-AES256-GCM-SHA384"),
    listener("suites", "crt {certs}/default.pem ciphersuites TLS_CHACHA20_POLY1305_SHA256"),
    listener("proxied", "crt {certs}/default.pem accept-proxy"),
    listener("quiet", "crt {certs}/default.pem", "option dontlognull"),
    listener("short", "crt {certs}/default.pem", "timeout client 300ms", "timeout http-request 300ms"),
    listener("alpn", "crt {certs}/default.pem alpn nothing"),
    listener("open", "").replace(" ssl ", " "),
))  # fmt: skip


@pytest.fixture(scope="module")
def tls(module_duel: DuelFactory, certs: Path) -> Iterator[Duel]:
    """Both programs with every listener; at the end none of trilb's sessions has failed by a fault of its own."""
    made = module_duel(CONFIG, certs=str(certs))
    yield made
    assert "Traceback" not in made.trilb.program.output


GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
SUITE = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256"


def logged(line: str) -> str:
    """A log line, without OpenSSL's reason, which 2.6 does not tell (3.x does)."""
    return re.sub(r"(SSL handshake failure) \(.*\)$", r"\1", mask(line, counts=True))


def values(raw: bytes) -> dict[str, str]:
    """The values in an answer."""
    assert raw.startswith(b"HTTP/1.1 200"), raw
    found = re.findall(r"^(.+?) = \[(.*)\]$", parse_response(raw)[2].decode(), re.MULTILINE)
    return dict(found)


# -- names -----------------------------------------------------------------------------------------------------------

NAMES = (
    None, "www.example.com", "WWW.Example.Com", "api.example.com", "a.wild.example", "b.a.wild.example", "wild.example",
    "no.wild.example", "exact.wild.example", "upper.example", "nosan.example", "unknown.example", "default.example",
    "listed.example", "other.example", "x.star.example", "tls12.example", "locked.example", "www.example.com.",
)  # fmt: skip


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", ["names", "strict", "listed", "onlylist", "strictlist", "folder"])
def test_names(tls: Duel, where: str, name: str | None, version: str) -> None:
    """A client gets the same certificate, or the same alert."""
    context = client_context(newest=version, oldest=version)
    tls.same(lambda side: outcome(side.ports[where], context, name=name))


@pytest.mark.parametrize("ciphers", ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", SUITE])
@pytest.mark.parametrize("where", ["names", "bundle"])
def test_kinds(tls: Duel, where: str, ciphers: str) -> None:
    """A certificate for who knows RSA only, another for who knows ECDSA only."""
    context = client_context(newest="1.2", ciphers=ciphers)
    tls.same(lambda side: outcome(side.ports[where], context, name="both.example"))


# -- clients' certificates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("who", ["none", *CLIENTS])
@pytest.mark.parametrize("where", ["optional", "required", "revoking", "lenient", "some", "lenientca"])
def test_clients(tls: Duel, where: str, who: str, version: str) -> None:
    """Who is let in, what rules learn of him, what the log says."""

    def act(side: Side) -> tuple[str, dict[str, str], str]:
        context = client_context(newest=version, oldest=version, ciphers=SUITE, own=CLIENTS.get(who))
        side.syslog.pending()
        try:
            raw = ask(side.ports[where], GET, context, name="www.example.com")
            why = ""
        except ssl.SSLError as error:
            raw, why = b"", str(error.reason)
        except ConnectionError as error:
            raw, why = b"", type(error).__name__
        found = values(raw) if raw else {}
        for each in ("ssl_fc_cipher", "ssl_fc_alg_keysize", "ssl_fc_use_keysize", "ssl_fc_session_key,hex,length"):
            found.pop(each, None)
        return why, found, logged(side.syslog.take(1)[0])

    tls.same(act)


# -- values ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """A client."""

    version: str = "1.2"
    ciphers: str = "ECDHE-ECDSA-AES128-GCM-SHA256"
    alpn: tuple[str, ...] = ()
    where: str = "names"
    name: str | None = "www.example.com"


HELLOS = {
    "1.2": Hello(),
    "1.2 strong": Hello(ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"),
    "1.2 chacha": Hello(ciphers="ECDHE-ECDSA-CHACHA20-POLY1305"),
    "1.2 rsa": Hello(ciphers="ECDHE-RSA-AES128-GCM-SHA256", name="default.example"),
    "alpn": Hello(alpn=("http/1.1",)),
    "alpn older": Hello(alpn=("http/1.0", "http/1.1")),
    "alpn other": Hello(alpn=("spdy",)),
    "alpn nothing": Hello(alpn=("http/1.1",), where="alpn", ciphers=SUITE),
    "no name": Hello(name=None, ciphers="ECDHE-RSA-AES128-GCM-SHA256"),
    "upper name": Hello(name="WWW.EXAMPLE.COM"),
    "1.3": Hello(version="1.3", where="tls13"),
    "1.3 suite": Hello(version="1.3", where="suites"),
    "forced": Hello(where="forced", ciphers="ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"),
}


@pytest.mark.parametrize("row", HELLOS)
def test_values(tls: Duel, row: str) -> None:
    """Rules learn the same of a connection, and the log line is the same."""
    hello = HELLOS[row]

    def act(side: Side) -> tuple[dict[str, str], str]:
        context = client_context(newest=hello.version, oldest=hello.version, ciphers=hello.ciphers, alpn=hello.alpn)
        side.syslog.pending()
        found = values(ask(side.ports[hello.where], GET, context, name=hello.name))
        return found, logged(side.syslog.take(1)[0])

    found, line = tls.same(act)
    assert found["ssl_fc"] == "1"
    assert "~ " in line


def test_values_without_tls(tls: Duel) -> None:
    """Rules learn nothing of TLS where there is none."""
    found = tls.same(lambda side: values(ask_plain(side.ports["open"])))
    assert found["ssl_fc"] == "0"


def ask_plain(port: int) -> bytes:
    """The same question in clear."""
    with Client(port) as client:
        client.send(GET)
        return client.read_response()


# -- handshakes that fail --------------------------------------------------------------------------------------------


def plaintext(side: Side, where: str) -> object:
    """HTTP on a port for TLS."""
    with Client(side.ports[where]) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return client.read_all()


def garbage(side: Side, where: str) -> object:
    """Nothing that anybody knows."""
    with Client(side.ports[where]) as client:
        client.send(b"\x80\x01\x02" * 100)
        return client.read_all()


def nothing(side: Side, where: str) -> object:
    """A connection, and its end."""
    with Client(side.ports[where]) as client:
        client.send(b"", half_close=True)
        return client.read_all()


def abort(side: Side, where: str) -> object:
    """A connection, and a reset."""
    client = Client(side.ports[where])
    time.sleep(0.05)
    client.reset()
    return None


def middle(side: Side, where: str) -> object:
    """The end in the middle of a hello."""
    with Client(side.ports[where]) as client:
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", half_close=True)
        return client.read_all()


def after_hello(side: Side, where: str) -> object:
    """The end after the hello."""
    with Client(side.ports[where]) as client:
        client.send(client_hello("default.example"))
        client.read_until(b"\x16\x03\x03")
        client.reset()
        return None


def silent(side: Side, where: str) -> object:
    """Not a byte until the other side has had enough."""
    with Client(side.ports[where]) as client:
        return client.read_all()


def stuck(side: Side, where: str) -> object:
    """A part of a hello and no more."""
    with Client(side.ports[where]) as client:
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        return client.read_all()


def old(side: Side, where: str) -> object:
    """TLS 1.1."""
    return outcome(side.ports[where], client_context(oldest="1.1", newest="1.1"))


def wrong_version(side: Side, where: str) -> object:
    """TLS 1.2 where 1.3 is wanted."""
    return outcome(side.ports[where], client_context(newest="1.2"))


def no_cipher(side: Side, where: str) -> object:
    """No cipher in common."""
    return outcome(side.ports[where], client_context(newest="1.2", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))


def unknown_ca(side: Side, where: str) -> object:
    """A client that does not believe us."""
    return outcome(side.ports[where], client_context(trusted=STRANGER, newest="1.2"))


def unknown_ca13(side: Side, where: str) -> object:
    """The same with TLS 1.3."""
    return outcome(side.ports[where], client_context(trusted=STRANGER, oldest="1.3"))


def no_request(side: Side, where: str) -> object:
    """A handshake, and the end."""
    with TlsClient(side.ports[where]) as client, suppress(ssl.SSLError):
        client.tls.unwrap().close()
    return None


def no_request_timeout(side: Side, where: str) -> object:
    """A handshake, and nothing more."""
    with TlsClient(side.ports[where]) as client:
        return client.read_all()


def http_inside_broken(side: Side, where: str) -> object:
    """A handshake, then bytes that are not sealed."""
    with TlsClient(side.ports[where], client_context(newest="1.2")) as client:
        raw = socket.socket(fileno=client.tls.detach())
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n" * 3)
        raw.settimeout(3)
        try:
            while raw.recv(100):
                pass
        except ConnectionError:
            pass
        raw.close()
    return None


FAILURES = {
    "plaintext": (plaintext, "names"),
    "plaintext quiet": (plaintext, "quiet"),
    "garbage": (garbage, "names"),
    "nothing": (nothing, "names"),
    "nothing quiet": (nothing, "quiet"),
    "abort": (abort, "names"),
    "abort quiet": (abort, "quiet"),
    "middle": (middle, "names"),
    "middle quiet": (middle, "quiet"),
    "after hello": (after_hello, "names"),
    "silent": (silent, "short"),
    "stuck": (stuck, "short"),
    "old": (old, "names"),
    "wrong version": (wrong_version, "tls13"),
    "no cipher": (no_cipher, "quiet"),
    "unknown ca": (unknown_ca, "names"),
    "unknown ca 1.3": (unknown_ca13, "names"),
    "strict": (lambda side, where: outcome(side.ports[where], name="nobody.example"), "strict"),
    "no request": (no_request, "names"),
    "no request quiet": (no_request, "quiet"),
    "no request timeout": (no_request_timeout, "short"),
    "broken record": (http_inside_broken, "names"),
}


def counters(side: Side, where: str) -> dict[str, int]:
    """What a frontend and the process count."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(side.program.dir / "cli"))
        sock.sendall(b"show stat\n")
        text = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
    names, *rows = [line.split(",") for line in text.splitlines() if line.strip()]
    row = next(dict(zip(names, row, strict=False)) for row in rows if row[:2] == [where, "FRONTEND"])
    return {key: int(row[key] or 0) for key in ("scur", "stot", "dreq", "dcon", "dses", "conn_tot", "hrsp_2xx")}


@pytest.mark.parametrize("row", FAILURES)
def test_failures(tls: Duel, row: str) -> None:
    """A handshake that comes to nothing: what the client sees, what is logged, what is counted."""
    act, where = FAILURES[row]

    def run(side: Side) -> tuple[object, list[str], dict[str, int]]:
        side.syslog.pending()
        before = counters(side, where)
        seen = act(side, where)
        time.sleep(0.15)
        after = counters(side, where)
        lines = [logged(line) for line in side.syslog.pending()]
        return seen, lines, {key: after[key] - before[key] for key in after}

    expected, got = tls.both(run)
    assert got == expected


# -- the PROXY header in front of TLS --------------------------------------------------------------------------------


def test_accept_proxy(tls: Duel) -> None:
    """Addresses from the header, then TLS."""

    def act(side: Side) -> tuple[bool, str]:
        side.syslog.pending()
        raw = ask(side.ports["proxied"], GET, before=b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 443\r\n")
        return raw.startswith(b"HTTP/1.1 200"), mask(side.syslog.take(1)[0], counts=True)

    good, line = tls.same(act)
    assert good
    assert "192.0.2.7:1234" in line


# -- resumption ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("where", ["names", "notickets", "optional"])
def test_resumption(tls: Duel, where: str, version: str) -> None:
    """A session is taken up again, and rules know it."""

    def act(side: Side) -> list[tuple[bool, str, str, str, str]]:
        context = client_context(newest=version, oldest=version, own=CLIENTS["good"])
        session = None
        found = []
        for _ in range(3):
            with TlsClient(side.ports[where], context, name="default.example", session=session) as client:
                client.send(GET)
                told = values(client.read_response())
                session = client.tls.session
                found.append((
                    bool(client.tls.session_reused),
                    told["ssl_fc_is_resumed"],
                    told["ssl_fc_has_crt"],
                    told["ssl_c_used"],
                    told["ssl_c_s_dn(CN)"],
                ))  # fmt: skip
        return found

    found = tls.same(act)
    assert [row[0] for row in found] == [False, True, True]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("who", ["good", "stranger", "expired", "revoked"])
def test_what_is_known_of_a_resumed_client(tls: Duel, who: str, version: str) -> None:
    """Who was not believed is not believed the second time either."""

    def act(side: Side) -> list[dict[str, str]]:
        context = client_context(newest=version, oldest=version, own=CLIENTS[who])
        session = None
        found = []
        for _ in range(2):
            with TlsClient(side.ports["lenient"], context, name="www.example.com", session=session) as client:
                client.send(GET)
                told = values(client.read_response())
                session = client.tls.session
                found.append({key: value for key, value in told.items() if key.startswith("ssl_c_")})
                found[-1]["resumed"] = told["ssl_fc_is_resumed"]
        return found

    assert tls.same(act)[1]["resumed"] == "1"


# -- mode tcp --------------------------------------------------------------------------------------------------------

TCP = """
global
    log 127.0.0.1:{syslog} local0
defaults
    mode tcp
    log global
    option tcplog
    timeout connect 1s
    timeout client 2s
    timeout server 2s
frontend fe
    bind 127.0.0.1:{port} ssl crt {certs}/default.pem crt {certs}/www.pem
    bind 127.0.0.1:{port2}
    tcp-request content reject if { ssl_fc_sni nobody.example }
    default_backend be
frontend formatted
    bind 127.0.0.1:{port3} ssl crt {certs}/default.pem
    log-format "%ci %ft %b/%s %ST %ts [%sslv] [%sslc] [%[ssl_fc_sni]] [%[ssl_fc_is_resumed]] %B %U"
    default_backend be
frontend https
    mode http
    option httpslog
    bind 127.0.0.1:{port5} ssl crt {certs}/default.pem verify optional ca-file {certs}/ca.pem crt-ignore-err all
    http-request return status 200
frontend both
    mode http
    option httplog
    bind 127.0.0.1:{port6} name clear
    bind 127.0.0.1:{port7} name tls ssl crt {certs}/default.pem
    http-request redirect scheme https code 301 if !{ ssl_fc }
    tcp-request session reject if { ssl_fc_sni rejected.example }
    http-request return status 200 content-type text/plain lf-string "%[so_name] %[ssl_fc] %ft"
frontend silent
    bind 127.0.0.1:{port4} ssl crt {certs}/default.pem
    timeout client 300ms
    default_backend be
backend be
    server s 127.0.0.1:{origin1}
"""


@pytest.fixture(scope="module")
def tcp(module_duel: DuelFactory, certs: Path) -> Duel:
    """In mode tcp, with a server that answers each message."""
    return module_duel(TCP, lambda raw, origin: b"got " + raw, raw=True, certs=str(certs))


@pytest.mark.parametrize("way", ["farewell", "no farewell", "reset", "half", "rejected", "plain", "timeout", "nothing"])
def test_tcp(tcp: Duel, way: str) -> None:
    """What a client receives and what is logged, whoever ends it."""

    def act(side: Side) -> tuple[bytes, str]:
        side.syslog.pending()
        got, before = b"", side.origin.connections
        if way == "plain":
            with Client(side.ports["port2"]) as client:
                client.send(b"hello", half_close=True)
                return client.read_all(), logged(side.syslog.take(1)[0])
        port = "port4" if way == "timeout" else "port"
        name = "nobody.example" if way == "rejected" else "www.example.com"
        with TlsClient(side.ports[port], client_context(newest="1.2"), name=name) as tls_client:
            if way not in ("rejected", "nothing"):
                tls_client.tls.sendall(b"hello")
                got = tls_client.tls.recv(100)
            if way == "nothing":
                # What is logged depends on whether the server was reached by then.
                side.origin.wait_connections(before + 1)
            if way == "reset":
                time.sleep(0.05)
                tls_client.reset()
            elif way in ("farewell", "nothing"):
                with suppress(OSError):
                    tls_client.tls.unwrap()
            elif way == "half":
                socket.socket(fileno=tls_client.tls.detach()).shutdown(socket.SHUT_WR)
            elif way in ("timeout", "rejected"):
                with suppress(ssl.SSLError):
                    got += tls_client.read_all()
            else:
                tls_client.close()
        return got, re.sub(r" (\d+) (--|CD|SD|cD) ", r" N \2 ", logged(side.syslog.take(1)[0]))

    tcp.same(act)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_log_variables(tcp: Duel, version: str) -> None:
    """%sslv and %sslc, and counts of bytes."""

    def act(side: Side) -> tuple[bytes, str]:
        side.syslog.pending()
        context = client_context(oldest=version, newest=version, ciphers="ECDHE-RSA-AES256-GCM-SHA384")
        with TlsClient(side.ports["port3"], context, name="a.example") as client:
            client.tls.sendall(b"hello")
            got = client.tls.recv(100)
            with suppress(OSError):
                client.tls.unwrap()
        return got, mask(side.syslog.take(1)[0])

    tcp.same(act)


@pytest.mark.parametrize("who", ["none", "good", "stranger"])
def test_httpslog(tcp: Duel, who: str) -> None:
    """The format with TLS."""

    def act(side: Side) -> str:
        side.syslog.pending()
        context = client_context(newest="1.2", ciphers="ECDHE-RSA-AES256-GCM-SHA384", own=CLIENTS.get(who))
        ask(side.ports["port5"], GET, context, name=None if who == "none" else "a.example")
        return mask(side.syslog.take(1)[0])

    tcp.same(act)


@pytest.mark.parametrize("way", ["clear", "tls", "rejected"])
def test_both(tcp: Duel, way: str) -> None:
    """One frontend in clear and secured, as people have it."""

    def act(side: Side) -> tuple[bytes, list[str]]:
        side.syslog.pending()
        if way == "clear":
            answer = ask_plain(side.ports["port6"])
        else:
            context = client_context(newest="1.2")
            with TlsClient(side.ports["port7"], context, name=f"{way}.example") as client:
                client.send(GET)
                answer = client.read_all()
        time.sleep(0.1)
        # 2.6 logs those whom a session rule rejects behind a handshake, as `Success`.
        return answer, [logged(line) for line in side.syslog.pending() if not line.endswith("Success\n")]

    tcp.same(act)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("fin", [False, True])
def test_a_farewell_before_the_answer(tcp: Duel, version: str, fin: bool) -> None:
    """Who says that he has nothing more to say still gets his answer."""

    def act(side: Side) -> tuple[bytes, str]:
        side.syslog.pending()
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if version == "1.2":
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
        with socket.create_connection(("127.0.0.1", side.port), 3) as sock:
            sock.setblocking(True)
            tls = SSL.Connection(context, sock)
            tls.set_connect_state()
            tls.do_handshake()
            tls.sendall(b"hello")
            tls.shutdown()
            if fin:
                sock.shutdown(socket.SHUT_WR)
            got = b""
            with suppress(SSL.Error):
                while data := tls.recv(100):
                    got += data
        return got, re.sub(r" (\d+) (--|CD|SD|cD) ", r" N \2 ", logged(side.syslog.take(1)[0]))

    tcp.same(act)
