"""Fetches about a TLS handshake that only passes through (configuration.txt, section 7.3.5).

They are for `mode tcp`: what HTTP is read from is no TLS any more. While a hello is incomplete they are unknown.
"""

from __future__ import annotations

from collections.abc import Callable

from trilb.live.stream import Stream
from trilb.net import hello
from trilb.net.hello import GROUPS, Hello, NotTls
from trilb.samples.types import Fetch, Value, plain


def _client(stream: Stream) -> bytes | None:
    return stream.inspected if stream.request is None else None


def _server(stream: Stream) -> bytes | None:
    return stream.inspected_server if stream.response is None else None


Look = Callable[[bytes], list[Value] | None]
"""The values found in bytes, or None while more of them are needed. Raises NotTls."""


def _kind(data: bytes) -> list[Value] | None:
    found = hello.handshake(data)
    return None if found is None else [found[0]]


def _version(data: bytes) -> list[Value] | None:
    found = hello.version(data)
    # 0x0303 is 3.3, a number for each half.
    return None if found is None else [found >> 8 << 16 | found & 0xFF]


def _offered(pick: Callable[[Hello], Value | None]) -> Look:
    def look(data: bytes) -> list[Value] | None:
        found = hello.parse(data)
        if found is None:
            return None
        value = pick(found)
        return [] if value is None else [value]

    return look


def _protocols(data: bytes) -> list[Value] | None:
    found = hello.parse(data)
    return None if found is None else [*found.protocols]


def _values(data_of: Callable[[Stream], bytes | None], look: Look) -> Callable[[Stream], list[Value]]:
    def run(stream: Stream) -> list[Value]:
        data = data_of(stream)
        if data is None:
            return []
        try:
            found = look(data)
        except NotTls:
            return []
        if found is None:
            stream.may_change = True
            return []
        return found

    return run


def _first(every: Callable[[Stream], list[Value]]) -> Fetch:
    def run(stream: Stream) -> Value | None:
        found = every(stream)
        # What is empty counts as missing (observed).
        return found[0] if found and found[0] != b"" else None

    return run


def _enter(name: str, *aliases: str, gives: str, look: Look, doc: str, **facts: object) -> None:
    run = _first(_values(_client, look))
    plain(name, *aliases, gives=gives, at="request", source="7.3.5", doc=doc, **facts)(run)


def _ticket(found: Hello) -> int | None:
    if found.ticket is None:
        return 0 if found.sound else None
    return 2 if found.ticket else 1


_enter(
    "req.ssl_hello_type", "req_ssl_hello_type", gives="sint", look=_kind,
    doc="The number of the handshake message the client's bytes begin with, once it is whole: 1 for a ClientHello.",
)  # fmt: skip
_enter(
    "req.ssl_ver", "req_ssl_ver", gives="sint", look=_version,
    doc="The version of the client's hello, major * 65536 + minor; ACLs take 3.1 (TLS 1.0) to 3.3 (TLS 1.2 and 1.3).",
)  # fmt: skip
_enter(
    "req.ssl_sni", "req_ssl_sni", gives="str", look=_offered(lambda found: found.sni),
    doc="The server name in the client's hello.",
)  # fmt: skip
_enter(
    "req.ssl_alpn", gives="str", look=_protocols, every=lambda: _values(_client, _protocols),
    doc="The first protocol of the ALPN extension in the client's hello.",
)  # fmt: skip
_enter(
    "req.ssl_ec_ext", gives="bool", look=_offered(lambda found: GROUPS in found.extensions or None),
    doc="True when the client's hello says which elliptic curves it supports, else nothing.",
)  # fmt: skip
_enter(
    "req.ssl_st_ext", gives="sint", look=_offered(_ticket),
    doc="0 without a session ticket extension in the client's hello, 1 when it asks for a ticket, 2 when it has one.",
)  # fmt: skip
_enter(
    "req.ssl_cipherlist", gives="bin", look=_offered(lambda found: found.ciphers),
    doc="The ciphers in the client's hello, two bytes each.",
)  # fmt: skip
_enter(
    "req.ssl_sigalgs", gives="bin", look=_offered(lambda found: found.signature_algorithms),
    doc="The signature algorithms in the client's hello, two bytes each.",
)  # fmt: skip
_enter(
    "req.ssl_keyshare_groups", gives="bin", look=_offered(lambda found: found.key_share_groups),
    doc="The groups of the key shares in the client's hello, two bytes each.",
)  # fmt: skip
_enter(
    "req.ssl_supported_groups", gives="bin", look=_offered(lambda found: found.groups),
    doc="The groups (elliptic curves and others) the client's hello supports, two bytes each.",
)  # fmt: skip
plain(
    "res.ssl_hello_type", "rep_ssl_hello_type", gives="sint", at="response", source="7.3.5",
    doc="The number of the handshake message the server's bytes begin with, once it is whole: 2 for a ServerHello.",
)(_first(_values(_server, _kind)))  # fmt: skip
