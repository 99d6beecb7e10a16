"""The PROXY protocol's two header forms."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilb.net.proxyline import SIGNATURE, Malformed, Proxied, parse


def version2(body: bytes, *, command: int = 1, family: int = 0x11) -> bytes:
    return SIGNATURE + bytes([0x20 | command, family]) + len(body).to_bytes(2, "big") + body


def four(client: str, local: str, client_port: int, local_port: int) -> bytes:
    ports = client_port.to_bytes(2, "big") + local_port.to_bytes(2, "big")
    return socket.inet_aton(client) + socket.inet_aton(local) + ports


V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1025 443\r\n"
EXPECTED = Proxied(socket.inet_aton("192.0.2.1"), 1025, socket.inet_aton("192.0.2.2"), 443)


def test_version_1() -> None:
    assert parse(V1 + b"GET") == (EXPECTED, len(V1))


def test_version_1_six() -> None:
    found = parse(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n")
    assert found is not None
    assert found[0].client == socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    assert (found[0].client_port, found[0].local_port) == (1, 2)


@pytest.mark.parametrize("line", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 ::1 1 2\r\n"])
def test_version_1_unknown(line: bytes) -> None:
    assert parse(line) == (Proxied(), len(line))


def test_version_2_with_tlvs() -> None:
    raw = version2(four("192.0.2.1", "192.0.2.2", 1025, 443) + b"\x05\0\3abc\xe1\0\0")
    assert parse(raw + b"x") == (
        Proxied(EXPECTED.client, 1025, EXPECTED.local, 443, ((5, b"abc"), (0xE1, b""))),
        len(raw),
    )


def test_version_2_local_keeps_the_connection() -> None:
    raw = version2(four("192.0.2.1", "192.0.2.2", 1, 2), command=0)
    assert parse(raw) == (Proxied(), len(raw))


@given(st.integers(0, 60))
def test_prefixes_want_more(cut: int) -> None:
    for raw in (V1, version2(four("192.0.2.1", "192.0.2.2", 1, 2) + b"\x05\0\3abc")):
        assert parse(raw[:cut]) is None if cut < len(raw) else parse(raw) is not None


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        b"PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 70000\r\n",
        b"PROXY TCP4 999.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXX",
        b"PROXY " + b"x" * 110,
        SIGNATURE + b"\x31\x11\0\0",
        SIGNATURE + b"\x22\x11\0\0",
        version2(b"\0" * 11),
        version2(b"\0" * 12 + b"\x05\0"),
        version2(b"\0" * 12 + b"\x05\0\7abc"),
        version2(b"\0" * 20, family=0x31),
    ],
)
def test_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse(raw)


@given(st.binary(max_size=80))
def test_any_bytes(raw: bytes) -> None:
    for data in (raw, SIGNATURE + raw, b"PROXY TCP4 " + raw):
        try:
            found = parse(data)
        except Malformed:
            continue
        assert found is None or 0 < found[1] <= len(data)
