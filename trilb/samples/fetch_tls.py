"""Fetches about TLS connections and their certificates (configuration.txt, section 7.3.4).

`ssl_fc_` is the client's connection, `ssl_bc_` the server's; `ssl_c_` the client's certificate, `ssl_f_` ours towards
the client, `ssl_s_` the server's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import xxhash
from cryptography import x509

from trilb.base.diagnostic import Refused
from trilb.base.registry import Kind, optional
from trilb.live.session import Secured
from trilb.live.stream import Stream
from trilb.net.hello import Hello
from trilb.samples.types import Fetch, Value, fetch, plain
from trilb.tls import facts

_SOURCE = "7.3.4"
End = Callable[[Stream], Secured | None]


def _front(stream: Stream) -> Secured | None:
    tls = stream.session.tls
    return tls if tls is not None and tls.secured is not None else None


def _back(stream: Stream) -> Secured | None:
    side = stream.server_side
    return cast(Secured, side) if side is not None and getattr(side, "secured", None) is not None else None


def _of(end: End, read: Callable[[Secured], Value | None]) -> Fetch:
    def run(stream: Stream) -> Value | None:
        conn = end(stream)
        return read(conn) if conn is not None else None

    return run


def _alternatives(stream: Stream) -> bytes | None:
    conn = _front(stream)
    certificate = facts.peer(conn) if conn is not None else None
    return facts.alternatives(certificate) if certificate is not None else None


def _connections(prefix: str, end: End, whose: str) -> None:
    """Register what is told of both connections alike."""
    accepting = prefix == "ssl_fc"
    plain(prefix, gives="bool", source=_SOURCE, doc=f"Whether the {whose} connection is secured by TLS.")(
        lambda stream: end(stream) is not None
    )
    rows: tuple[tuple[str, str, Callable[[Secured], Value | None], str], ...] = (
        ("alg_keysize", "sint", facts.bits, "Bits of the cipher's algorithm on the {} connection."),
        ("use_keysize", "sint", facts.bits, "Secret bits in use on the {} connection."),
        ("alpn", "str", lambda c: c.alpn or None, "The protocol agreed on for the {} connection."),
        ("cipher", "str", facts.cipher, "The cipher of the {} connection."),
        ("curve", "str", facts.group, "The curve or group of the key exchange on the {} connection."),
        ("protocol", "str", facts.version, "The TLS version of the {} connection."),
        ("client_random", "bin", facts.client_random, "The client's random on the {} connection."),
        ("server_random", "bin", facts.server_random, "The server's random on the {} connection."),
        ("session_key", "bin", facts.session_key, "The master secret of the {} connection."),
        ("unique_id", "bin", lambda c: facts.unique(c, accepting=accepting), "The channel id of the {} connection."),
        ("sni", "str", lambda c: c.sni, "The server name asked for on the {} connection."),
    )
    plain(
        f"{prefix}_is_resumed",
        gives="bool",
        source=_SOURCE,
        doc=f"Whether the {whose} connection took up an earlier session.",
    )(lambda stream: (conn := end(stream)) is not None and conn.resumed)
    for name, gives, read, doc in rows:
        plain(f"{prefix}_{name}", gives=gives, source=_SOURCE, doc=doc.format(whose))(_of(end, read))


def _tried_front(stream: Stream) -> Secured | None:
    return stream.session.tls


def _errors(prefix: str, end: End, whose: str) -> None:
    """Register what is told of a handshake that failed, perhaps before it began."""
    plain(f"{prefix}_err", gives="sint", source=_SOURCE, doc=f"OpenSSL's number of the {whose} connection's error.")(
        _of(end, lambda conn: conn.tls_error)
    )
    plain(f"{prefix}_err_str", gives="str", source=_SOURCE, doc=f"OpenSSL's words for the {whose} connection's error.")(
        _of(end, lambda conn: facts.error_text(conn.tls_error).encode() if conn.tls_error else None)
    )


_errors("ssl_fc", _tried_front, "client's")
_errors("ssl_bc", _back, "server's")
_connections("ssl_fc", _front, "client's")
_connections("ssl_bc", _back, "server's")


plain("ssl_fc_has_sni", gives="bool", source=_SOURCE, doc="Whether the client asked for a server name.")(
    lambda stream: stream.session.tls is not None and stream.session.tls.sni is not None
)
plain("ssl_fc_has_crt", gives="bool", source=_SOURCE, doc="Whether the client showed a certificate just now.")(
    _of(_front, lambda conn: facts.peer(conn) is not None and not conn.resumed)
)
plain("ssl_c_used", gives="bool", source=_SOURCE, doc="Whether the client has a certificate.")(
    _of(_front, lambda conn: facts.peer(conn) is not None)
)
plain("ssl_c_san", gives="str", source=_SOURCE, doc="The names the client's certificate is for, with commas.")(
    lambda stream: _alternatives(stream)
)
plain("ssl_fc_has_early", gives="bool", source=_SOURCE, doc="Whether early data is not safe yet: it is not accepted.")(
    _of(_front, lambda conn: False)
)
plain("ssl_fc_early_rcvd", gives="bool", source=_SOURCE, doc="Whether early data came: never, it is not accepted.")(
    _of(_front, lambda conn: False)
)
plain("ssl_c_verify", gives="sint", source=_SOURCE, doc="What verifying the client gave, 0 when all is well.")(
    _of(_front, lambda conn: conn.verified)
)
plain("ssl_c_err", gives="sint", source=_SOURCE, doc="The error at depth 0 of the client's certificate.")(
    _of(_front, lambda conn: conn.verdict.error)
)
plain("ssl_c_ca_err", gives="sint", source=_SOURCE, doc="The first error above depth 0.")(
    _of(_front, lambda conn: conn.verdict.ca_error)
)
plain("ssl_c_ca_err_depth", gives="sint", source=_SOURCE, doc="The depth of that error.")(
    _of(_front, lambda conn: conn.verdict.ca_depth)
)
plain("ssl_c_chain_der", gives="bin", source=_SOURCE, doc="The certificates the client showed above its own.")(
    _of(_front, facts.chain)
)
plain("ssl_s_chain_der", gives="bin", at="response", source=_SOURCE, doc="All certificates the server showed.")(
    _of(_back, facts.chain)
)


# -- certificates ----------------------------------------------------------------------------------------------------

Find = Callable[[Secured], x509.Certificate | None]


def _certificate(end: End, find: Find, read: Callable[[x509.Certificate], Value | None]) -> Fetch:
    def run(stream: Stream) -> Value | None:
        conn = end(stream)
        if conn is None:
            return None
        certificate = find(conn)
        return read(certificate) if certificate is not None else None

    return run


def _name(
    end: End, find: Find, of: Callable[[x509.Certificate], x509.Name], entry: str, number: int, form: str
) -> Fetch:
    if form not in ("", "rfc2253"):
        raise Refused(f"the format of a distinguished name is rfc2253 or left out, not '{form}'")
    if entry:
        return _certificate(end, find, lambda each: facts.entry(of(each), entry, number))
    if form:
        return _certificate(end, find, lambda each: facts.rfc2253(of(each)))
    return _certificate(end, find, lambda each: facts.written(of(each)))


def _certificates(prefix: str, end: End, find: Find, whose: str) -> None:
    """Register what is told of a certificate."""
    rows: tuple[tuple[str, str, Callable[[x509.Certificate], Value | None], str], ...] = (
        ("der", "bin", facts.der, "The {} certificate in DER."),
        ("key_alg", "str", facts.key_algorithm, "The kind of key of the {} certificate."),
        ("notafter", "str", lambda c: facts.when(c.not_valid_after_utc), "When the {} certificate ends."),
        ("notbefore", "str", lambda c: facts.when(c.not_valid_before_utc), "When the {} certificate begins."),
        ("serial", "bin", facts.serial, "The serial number of the {} certificate."),
        ("sha1", "bin", facts.sha1, "The SHA-1 fingerprint of the {} certificate."),
        ("sig_alg", "str", facts.signature_algorithm, "How the {} certificate is signed."),
        ("version", "sint", lambda c: c.version.value + 1, "The version of the {} certificate."),
    )
    for name, gives, read, doc in rows:
        plain(f"{prefix}_{name}", gives=gives, source=_SOURCE, doc=doc.format(whose))(_certificate(end, find, read))
    arguments = (optional("entry", default=""), optional("occurrence", Kind.INT, 1), optional("format", default=""))
    for name, of, what in (("i_dn", _issuer, "issuer"), ("s_dn", _subject, "subject")):

        def factory(entry: str, number: int, form: str, of: Callable[[x509.Certificate], x509.Name] = of) -> Fetch:
            return _name(end, find, of, entry, number, form)

        factory.__doc__ = f"The {what} of the {whose} certificate, or one entry of it such as CN."
        fetch(f"{prefix}_{name}", args=arguments, gives="str", source=_SOURCE)(factory)


def _issuer(certificate: x509.Certificate) -> x509.Name:
    return certificate.issuer


def _subject(certificate: x509.Certificate) -> x509.Name:
    return certificate.subject


_certificates("ssl_c", _front, facts.peer, "client's")
_certificates("ssl_f", _front, facts.own, "frontend's")
_certificates("ssl_s", _back, facts.peer, "server's")


@fetch(
    "ssl_c_r_dn",
    args=(optional("entry", default=""), optional("occurrence", Kind.INT, 1), optional("format", default="")),
    gives="str",
    source=_SOURCE,
)
def ssl_c_r_dn(entry: str, number: int, form: str) -> Fetch:
    """The subject of the authority that the client's certificate was traced to."""
    return _name(_front, facts.root, _subject, entry, number, form)


# -- what the client offered -----------------------------------------------------------------------------------------


def _offer(read: Callable[[Hello], bytes | None]) -> Callable[[str], Fetch]:
    def factory(option: str) -> Fetch:
        if option not in ("", "0", "1", "2", "3"):
            raise Refused(f"the filter is 0, 1, 2 or 3, not '{option}'")
        clean = option in ("1", "3")

        def run(conn: Secured) -> bytes | None:
            found = read(conn.hello) if conn.hello is not None else None
            return _without_grease(found) if clean and found is not None else found

        return _of(_front, run)

    return factory


def _without_grease(pairs: bytes) -> bytes:
    """The list without the values that clients send to keep servers tolerant (RFC 8701)."""
    both = (pairs[at : at + 2] for at in range(0, len(pairs), 2))
    return b"".join(pair for pair in both if not (pair[0] == pair[1] and pair[0] & 15 == 10))


_FILTER = (optional("filter", default=""),)
for _fetch, _read, _doc in (
    ("cipherlist_bin", lambda hello: hello.ciphers, "The ciphers the client offered, two bytes each."),
    ("eclist_bin", lambda hello: hello.groups, "The curves and groups the client offered, two bytes each."),
    ("sigalgs_bin", lambda hello: hello.signature_algorithms, "The signature algorithms the client offered."),
    ("supported_versions_bin", lambda hello: hello.supported_versions, "The versions the client offered."),
    (
        "extlist_bin",
        lambda hello: b"".join(number.to_bytes(2, "big") for number in hello.extensions),
        "The numbers of the extensions the client sent.",
    ),
):
    _factory = _offer(_read)
    _factory.__doc__ = _doc
    fetch(f"ssl_fc_{_fetch}", args=_FILTER, gives="bin", source=_SOURCE)(_factory)


@fetch("ssl_fc_cipherlist_str", args=_FILTER, gives="str", source=_SOURCE)
def cipher_list(option: str) -> Fetch:
    """The ciphers the client offered, by their names."""
    read = _offer(lambda hello: hello.ciphers)(option)

    def run(stream: Stream) -> bytes | None:
        pairs, conn = read(stream), _front(stream)
        return facts.cipher_names(conn, pairs) if conn is not None and isinstance(pairs, bytes) else None

    return run


_HEX = _offer(lambda hello: hello.ciphers.hex().upper().encode())
_HEX.__doc__ = "The ciphers the client offered, in hexadecimal."
fetch("ssl_fc_cipherlist_hex", args=_FILTER, gives="str", source=_SOURCE)(_HEX)
plain("ssl_fc_ecformats_bin", gives="bin", source=_SOURCE, doc="The point formats the client offered.")(
    _of(_front, lambda conn: conn.hello.point_formats if conn.hello is not None else None)
)
plain("ssl_fc_protocol_hello_id", gives="sint", source=_SOURCE, doc="The version in the client's hello.")(
    _of(_front, lambda conn: conn.hello.version if conn.hello is not None else None)
)
plain("ssl_fc_cipherlist_xxh", gives="sint", source=_SOURCE, doc="A hash (xxh64) of the ciphers the client offered.")(
    _of(
        _front,
        lambda conn: (
            xxhash.xxh64_intdigest(conn.hello.ciphers) - (1 << 64)
            if conn.hello is not None and xxhash.xxh64_intdigest(conn.hello.ciphers) >> 63
            else xxhash.xxh64_intdigest(conn.hello.ciphers)
            if conn.hello is not None
            else None
        ),
    )
)
