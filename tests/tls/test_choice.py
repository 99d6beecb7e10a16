"""Which certificate a client gets, what its options allow, and names."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from tests.support.certs import Authority, Key, client_context, parse, rsa_key
from trilb.base.diagnostic import Refused
from trilb.config.keywords.secure import read_option
from trilb.config.lines import Tls
from trilb.tls import context
from trilb.tls.certificates import Certificate
from trilb.tls.names import entry, matches, rfc2253, when, written
from trilb.tls.selector import Selector, Use

ROOT = Authority.new()
KEYS: dict[str, Key] = {"rsa": rsa_key(), "ecdsa": ec.generate_private_key(ec.SECP256R1())}


def made(cn: str, *names: str, kind: str = "ecdsa") -> Certificate:
    """A certificate."""
    return parse(f"{cn}.pem", ROOT.issue(cn, *names, key=KEYS[kind]).pem)


def selector(*uses: Certificate | tuple[Certificate, str], strict: bool = False, given: str = "") -> Selector:
    """A selector whose contexts are told apart by the names of their certificates."""
    ready = [
        Use(use, Tls(), (), given) if isinstance(use, Certificate) else Use(use[0], Tls(), tuple(use[1].split()))
        for use in uses
    ]

    def make(tls: Tls, group: list[Certificate]) -> SSL.Context:
        return "+".join(each.path.removesuffix(".pem") for each in group)  # type: ignore[return-value]

    return Selector(ready, strict, make)


def pick(found: Selector, name: bytes | None) -> str | None:
    """What a client gets."""
    return cast("str | None", found.choose(name))


A, B, WILD = made("a.example"), made("b.example", "b.example", "c.example"), made("wild", "*.wild.example")


@pytest.mark.parametrize(("name", "found"), [
    (None, "a.example"), (b"", "a.example"), (b"a.example", "a.example"), (b"b.example", "b.example"),
    (b"B.EXAMPLE", "b.example"), (b"c.example", "b.example"), (b"x.wild.example", "wild"), (b"X.Wild.Example", "wild"),
    (b"y.x.wild.example", None), (b"wild.example", None), (b".wild.example", None), (b"other", None),
    (b"*.wild.example", "wild"), (b"\xff\xfe", None), (b"wild", "wild"), (b"b.example.", None), (b".", None),
])  # fmt: skip
@pytest.mark.parametrize("strict", [False, True])
def test_names(name: bytes | None, found: str | None, strict: bool) -> None:
    """Exact before wildcard, one label for the star; the first certificate for the rest, or nothing."""
    chosen = pick(selector(A, B, WILD, strict=strict), name)
    unnamed = found is None or not name
    assert chosen == (None if strict and unnamed else "a.example" if unnamed else found)


def test_exact_goes_first() -> None:
    """However they are ordered."""
    exact = made("exact", "x.wild.example")
    for uses in ((A, WILD, exact), (A, exact, WILD)):
        assert pick(selector(*uses), b"x.wild.example") == "exact"
        assert pick(selector(*uses), b"z.wild.example") == "wild"


def test_the_first_of_a_name_has_it() -> None:
    """Of one kind of key."""
    again = made("again", "a.example")
    assert pick(selector(A, again), b"a.example") == "a.example"


def test_both_kinds_go_together() -> None:
    """RSA and ECDSA of one name in one context; as a default only as a bundle."""
    rsa = made("rsa", "both.example", kind="rsa")
    ecdsa = made("ecdsa", "both.example")
    assert pick(selector(A, rsa, ecdsa), b"both.example") == "rsa+ecdsa"
    assert pick(selector(rsa, ecdsa), None) == "rsa"
    assert pick(selector(rsa, ecdsa, given="both.pem"), None) == "rsa+ecdsa"
    assert pick(selector(rsa, ecdsa, A, given="both.pem"), b"unknown") == "rsa+ecdsa"


def test_filters() -> None:
    """Instead of the certificate's own names; negative ones except from a wildcard."""
    found = selector(A, (B, "x.example *.star.example !no.star.example"), (WILD, "!b.wild.example"))
    assert pick(found, b"b.example") == "a.example"
    assert pick(found, b"x.example") == "b.example"
    assert pick(found, b"y.star.example") == "b.example"
    assert pick(found, b"no.star.example") == "a.example"
    assert pick(found, b"NO.star.example") == "a.example"


@given(st.binary(max_size=300))
def test_any_name(name: bytes) -> None:
    """An answer for all of them."""
    assert pick(selector(A, WILD), name) in ("a.example", "wild")
    assert pick(selector(A, WILD, strict=True), name) in (None, "a.example", "wild")


# -- contexts --------------------------------------------------------------------------------------------------------


def options(*words: str) -> Tls:
    """What a bind line says."""
    tls, i = Tls(), 0
    while i < len(words):
        taken = read_option(tls, "bind", words, i)
        assert taken, words[i]
        i += taken
    return tls


def agreed(ours: SSL.Context, theirs: ssl.SSLContext) -> tuple[str, str, str | None] | str:
    """Version, cipher and protocol that both come to; or why not."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = theirs.wrap_bio(incoming, outgoing, server_hostname=None)
    server = SSL.Connection(ours, None)
    server.set_accept_state()
    for _ in range(10):
        try:
            client.do_handshake()
            found = client.cipher()
            assert found is not None
            return str(client.version()), found[0], client.selected_alpn_protocol()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            return str(error.reason)
        server.bio_write(outgoing.read())
        try:
            server.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error:
            pass
        try:
            incoming.write(server.bio_read(65536))
        except SSL.Error:
            return "nothing said"
    return "no end"


def serving(*words: str, kind: str = "ecdsa") -> SSL.Context:
    """A listener with these options."""
    return context.server_side(options(*words), [made("own.example", kind=kind)], [], [])


NEW = {"oldest": "1.3"}
MIDDLE = {"oldest": "1.2", "newest": "1.2"}
OLD = {"oldest": "1.1", "newest": "1.1"}
ANY = {"oldest": "1.0"}


@pytest.mark.parametrize(("words", "client", "version"), [
    ("", ANY, "TLSv1.3"), ("", MIDDLE, "TLSv1.2"), ("", OLD, None),
    ("ssl-min-ver TLSv1.3", MIDDLE, None), ("ssl-min-ver TLSv1.3", ANY, "TLSv1.3"),
    ("ssl-max-ver TLSv1.2", ANY, "TLSv1.2"), ("ssl-max-ver TLSv1.2", NEW, None),
    ("no-tlsv13", ANY, "TLSv1.2"), ("no-tlsv13", NEW, None), ("no-tlsv12", MIDDLE, None), ("no-tlsv12", ANY, "TLSv1.3"),
    ("force-tlsv12", ANY, "TLSv1.2"), ("force-tlsv12", NEW, None), ("force-tlsv13", MIDDLE, None),
    ("force-tlsv13", ANY, "TLSv1.3"), ("no-sslv3 no-tlsv10 no-tlsv11", ANY, "TLSv1.3"),
    ("ssl-min-ver TLSv1.0", OLD, "TLSv1.1"), ("ssl-min-ver TLSv1.1", OLD, "TLSv1.1"),
])  # fmt: skip
def test_versions(words: str, client: dict[str, str], version: str | None) -> None:
    """What a line allows and no more; nothing below TLS 1.2 unless it is asked for."""
    found = agreed(serving(*words.split()), client_context(**client))  # type: ignore[arg-type]
    assert isinstance(found, str) if version is None else found[0] == version, found


@pytest.mark.parametrize(("words", "offered", "cipher"), [
    ("", "AES128-SHA", None), ("", "AES128-GCM-SHA256", "AES128-GCM-SHA256"), ("", "ECDHE-RSA-AES128-SHA", None),
    ("", "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    ("prefer-client-ciphers", "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"),
    ("ciphers ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
     "ECDHE-RSA-AES256-GCM-SHA384"),
    ("ciphers AES128-SHA256", "AES128-SHA256:ECDHE-RSA-AES128-GCM-SHA256", "AES128-SHA256"),
    ("ciphers ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256", None),
])  # fmt: skip
def test_ciphers(words: str, offered: str, cipher: str | None) -> None:
    """Those of the line, else with forward secrecy and authenticated encryption."""
    found = agreed(serving(*words.split(), kind="rsa"), client_context(newest="1.2", ciphers=offered))
    assert isinstance(found, str) if cipher is None else found[1] == cipher, found


def test_suites() -> None:
    """Of TLS 1.3."""
    found = agreed(serving("ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"), client_context(oldest="1.3"))
    assert found[1] == "TLS_CHACHA20_POLY1305_SHA256"


@pytest.mark.parametrize(("words", "wanted", "protocol"), [
    ("", ("http/1.1",), None), ("alpn h2,http/1.1", ("http/1.1", "h2"), "h2"), ("alpn http/1.1", ("h2",), None),
    ("alpn http/1.1", ("h2", "http/1.1"), "http/1.1"), ("alpn h2 no-alpn", ("h2",), None), ("alpn h2", (), None),
])  # fmt: skip
def test_protocols(words: str, wanted: tuple[str, ...], protocol: str | None) -> None:
    """In the order of the line; nothing in common is no error."""
    assert agreed(serving(*words.split()), client_context(alpn=wanted))[2] == protocol


def test_curves() -> None:
    """Only those of the line."""
    theirs = client_context(newest="1.2")
    theirs.set_ecdh_curve("secp384r1")
    assert isinstance(agreed(serving("curves", "P-256", kind="rsa"), theirs), str)
    assert not isinstance(agreed(serving("ecdhe", "P-384", kind="rsa"), theirs), str)


@pytest.mark.parametrize(("words", "word"), [
    ("ciphers nonsense", "nonsense"), ("ciphersuites nonsense", "nonsense"), ("curves nonsense", "nonsense"),
    ("sigalgs nonsense", "nonsense"),
])  # fmt: skip
def test_what_openssl_does_not_know(words: str, word: str) -> None:
    """The option and its value are named."""
    with pytest.raises(Refused) as caught:
        serving(*words.split())
    assert f"'{words.split()[0]}'" in caught.value.text
    assert word in caught.value.text


@pytest.mark.parametrize(("words", "word"), [
    ("ssl-min-ver TLSv1.4", "TLSv1.4"), ("ssl-min-ver", "argument"), ("verify maybe", "maybe"),
    ("crt-ignore-err 10,nonsense", "nonsense"), ("crt-ignore-err X509_V_ERR_NONSENSE", "NONSENSE"),
])  # fmt: skip
def test_bad_options(words: str, word: str) -> None:
    """The option and the value are named."""
    with pytest.raises(Refused) as caught:
        options(*words.split())
    assert word in caught.value.text
    assert words.split()[0] in caught.value.text


def test_defaults_are_seen_through_lines() -> None:
    """A line's own words win; one that names a lower bound is not bound by the default's upper one."""
    defaults = options("ssl-min-ver", "TLSv1.2", "ssl-max-ver", "TLSv1.2", "no-tlsv10", "ciphers", "x")
    found = context.over(options("ssl-min-ver", "TLSv1.3", "no-tlsv11"), defaults)
    assert (found.min_version, found.max_version, found.ciphers) == ("TLSv1.3", "", "x")
    assert found.refused == {"TLSv1.0", "TLSv1.1"}
    assert context.over(Tls(), defaults) == defaults


# -- names -----------------------------------------------------------------------------------------------------------


def dn(*pairs: tuple[ObjectIdentifier, str]) -> x509.Name:
    """A distinguished name."""
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


FULL = dn(
    (NameOID.COUNTRY_NAME, "FR"), (NameOID.ORGANIZATION_NAME, 'A, "B" <c>; d+e\\'),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "x"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, " y "), (NameOID.COMMON_NAME, "#é"), (NameOID.EMAIL_ADDRESS, "a@b"),
    (ObjectIdentifier("1.2.3.4.5"), "z"),
)  # fmt: skip


def test_distinguished_names() -> None:
    """On one line, as LDAP has them, and by entry."""
    assert written(FULL) == '/C=FR/O=A, "B" <c>; d+e\\/OU=x/OU= y /CN=#é/emailAddress=a@b/1.2.3.4.5=z'.encode()
    assert rfc2253(FULL) == (rb"1.2.3.4.5=z,emailAddress=a@b,CN=\#\C3\A9,OU=\ y\ ,OU=x,O=A\, \"B\" \<c\>\; d\+e\\,C=FR")
    found = {number: entry(FULL, "ou", number) for number in (-3, -2, -1, 0, 1, 2, 3)}
    assert found == {-3: None, -2: b"x", -1: b" y ", 0: None, 1: b"x", 2: b" y ", 3: None}
    assert entry(FULL, "CN", 1) == "#é".encode()
    assert entry(FULL, "nothing", 1) is None


def test_times() -> None:
    """ASN.1's two forms."""
    assert when(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == b"260102030405Z"
    assert when(datetime(2050, 1, 2, 3, 4, 5, tzinfo=UTC)) == b"500102030405Z"


@pytest.mark.parametrize(("names", "host", "good"), [
    ("a.example", "a.example", True), ("a.example", "A.Example", True), ("a.example", "b.a.example", False),
    ("a.example", "a.example.", True), ("*.example", "a.example", True), ("*.example", "b.a.example", False),
    ("*.example", "example", False), ("*.example", ".example", False), ("*", "example", False), ("*.", "a.", False),
    ("x *.a.example", "b.a.example", True), ("f*.example", "foo.example", False), ("", "", False),
    ("*.a.example", "a.example", False), ("a.*.example", "a.b.example", False),
])  # fmt: skip
def test_hosts(names: str, host: str, good: bool) -> None:
    """The star stands for one whole label, the first."""
    assert matches(names.lower().split(), host) is good
