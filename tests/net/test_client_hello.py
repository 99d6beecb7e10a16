"""The ClientHello, read from bytes: OpenSSL's own, ones made by hand, and broken ones."""

from __future__ import annotations

import itertools
import ssl
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.hello import body, client_hello, extension, hello, hello_of_2, message, record, server_name, sized
from trilb.net.hello import Hello, NotTls, handshake, parse, version

OLD = ssl.TLSVersion.TLSv1_2
HELLOS = {
    "tls 1.3": client_hello(),
    "alpn": client_hello(alpn=("h2", "http/1.1")),
    "no name": client_hello(None),
    "tls 1.2": client_hello(newest=OLD),
    "no curves": client_hello(newest=OLD, ciphers="AES128-SHA256"),
    "no tickets": client_hello(tickets=False),
    "p-256": client_hello(curve="prime256v1"),
    "by hand": hello(server_name(b"a.example") + extension(35, b"ticket"), session=b"S" * 32),
}
every = st.sampled_from(sorted(HELLOS))


def read(data: bytes) -> Hello:
    """The hello, which is whole."""
    found = parse(data)
    assert found is not None
    return found


def test_what_openssl_offers() -> None:
    found = read(HELLOS["alpn"])
    assert (found.record_version, found.version) == (0x0301, 0x0303)
    assert (len(found.random), len(found.session_id), found.compressions) == (32, 32, b"\0")
    assert found.sni == b"www.example.com"
    assert (found.alpn, found.protocols) == (b"\x02h2\x08http/1.1", [b"h2", b"http/1.1"])
    assert b"\x13\x01" in found.ciphers
    assert found.groups is not None
    assert b"\x00\x1d" in found.groups
    assert found.point_formats is not None
    assert b"\0" in found.point_formats
    assert found.supported_versions is not None
    assert b"\x03\x04" in found.supported_versions
    assert found.signature_algorithms is not None
    assert b"\x08\x04" in found.signature_algorithms
    assert found.key_share_groups is not None
    assert found.key_share_groups[:2] in (b"\x00\x1d", b"\x11\xec")
    assert found.ticket == b""
    assert found.sound
    assert {0, 10, 11, 13, 16, 35, 43, 51} <= found.extensions.keys()


def test_what_is_not_offered() -> None:
    assert read(HELLOS["no name"]).sni is None
    assert read(HELLOS["no tickets"]).ticket is None
    found = read(HELLOS["no curves"])
    assert (found.groups, found.point_formats, found.supported_versions, found.key_share_groups) == (None,) * 4
    assert (found.alpn, found.protocols, len(found.session_id)) == (None, [], 0)
    assert read(HELLOS["p-256"]).groups == b"\x00\x17"
    assert read(HELLOS["p-256"]).key_share_groups == b"\x00\x17"


def test_what_was_made_by_hand() -> None:
    found = read(HELLOS["by hand"])
    assert found == Hello(
        0x0301,
        0x0303,
        b"R" * 32,
        b"S" * 32,
        b"\x13\x01\x13\x02",
        b"\0",
        {0: sized(b"\0" + sized(b"a.example")), 35: b"ticket"},
        True,
    )
    assert found.ticket == b"ticket"


def test_shares_of_several_groups() -> None:
    shares = b"\x1a\x1a" + sized(b"\0") + b"\x11\xec" + sized(b"K" * 1216) + b"\x00\x1d" + sized(b"k" * 32)
    assert read(hello(extension(51, sized(shares)))).key_share_groups == b"\x1a\x1a\x11\xec\x00\x1d"


@given(every, st.integers(0, 600))
def test_prefixes_want_more(name: str, cut: int) -> None:
    raw = HELLOS[name]
    assert (parse(raw[:cut]) is None) is (cut < len(raw))
    assert (version(raw[:cut]) is None) is (cut < len(raw))


@given(every, st.binary(max_size=40))
def test_what_follows_changes_nothing(name: str, rest: bytes) -> None:
    assert parse(HELLOS[name] + rest) == parse(HELLOS[name])


@given(every, st.lists(st.integers(1, 500), max_size=20))
def test_records_may_cut_anywhere(name: str, cuts: list[int]) -> None:
    raw = HELLOS[name][5:]
    edges = [0, *sorted({cut for cut in cuts if cut < len(raw)}), len(raw)]
    pieces = [raw[low:high] for low, high in itertools.pairwise(edges)]
    cut = b"".join(record(piece) for piece in pieces)
    assert parse(cut) == parse(HELLOS[name])
    for end in range(0, len(cut), 7):
        assert parse(cut[:end]) is None


@given(
    every, st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 600)
)
def test_flipped_bytes(name: str, flips: list[tuple[int, int]], cut: int) -> None:
    raw = bytearray(HELLOS[name])
    for at, value in flips:
        raw[at % len(raw)] = value
    look_at_all(bytes(raw))
    look_at_all(bytes(raw[:cut]))


@given(st.binary(max_size=120))
@example(b"\0\0")
def test_any_bytes(raw: bytes) -> None:
    for data in (raw, record(raw), record(message(raw)), hello(raw), b"\x16\x03" + raw, hello_of_2()[:3] + raw):
        look_at_all(data)
    for number in (0, 10, 11, 13, 16, 35, 43, 51):
        look_at_all(hello(extension(number, raw)))


def look_at_all(data: bytes) -> None:
    """Nothing but NotTls is raised, neither at once nor later."""
    with suppress(NotTls):
        version(data)
    with suppress(NotTls):
        handshake(data)
    with suppress(NotTls):
        found = parse(data)
        if found is not None:
            for name, attribute in vars(Hello).items():
                if isinstance(attribute, property):
                    value = getattr(found, name)
                    assert value is None or isinstance(value, bytes | list)


@pytest.mark.parametrize(
    "raw",
    [
        b"G",
        b"\0",
        b"\x15\x03\x03\0\2\2\x28",
        b"\x16\x02",
        b"\x16\x03\x01\0\0",
        b"\x16\x03\x01\x40\x01",
        record(b"\1\2\0\0"),
        record(b"\1\0\0\x40\3\3") + b"\x17",
        b"".join(record(b"\1\0\1\0"[at : at + 1] or b"\3") for at in range(64)),
        record(message(b"", 0)),
        record(message(b"\3\3", 2)),
        record(message(b"")),
        record(message(b"\3\3" + b"R" * 31)),
        record(message(body(session=b"S" * 33))),
        record(message(body(ciphers=b""))),
        record(message(body(compressions=b""))),
        record(message(body()[:38])),
    ],
)
def test_not_tls(raw: bytes) -> None:
    with pytest.raises(NotTls):
        parse(raw)


def test_other_messages() -> None:
    assert handshake(record(message(b"", 0))) == (0, b"")
    assert handshake(record(message(b"abc", 2) + b"\x0b")) == (2, b"abc")


@pytest.mark.parametrize(
    ("extensions", "sni"),
    [
        (None, None),
        (b"", None),
        (extension(0), None),
        (server_name(), None),
        (server_name(b""), None),
        (server_name(b"one", b"two"), b"one"),
        (server_name(b"one", kind=1), None),
        (server_name(b"one") + server_name(b"two"), b"one"),
        (extension(0, b"\0\2\0\0\3one"), None),
        (extension(0, b"\0\7\0\0\3one"), None),
        (extension(0, b"\0\6\0\0\4one"), None),
        (extension(0, b"\0\6\0\0\2one"), b"on"),
        (server_name(b"one") + b"\0\x10\0\x20ab", b"one"),
        (server_name(b"one") + b"\0\x10", b"one"),
    ],
)
def test_names(extensions: bytes | None, sni: bytes | None) -> None:
    assert read(hello(extensions)).sni == sni


def test_extensions_that_cannot_be_read() -> None:
    assert read(hello(None)).sound is False
    assert read(hello()).sound is True
    assert read(hello(extension(35) + b"\0\x10\0\x20ab")).sound is False
    assert read(record(message(body(None) + b"\0\x08\0\0\0\0"))).extensions == {}
    assert read(hello(server_name(b"one"), version=0x0300)).extensions == {}


@pytest.mark.parametrize("number", [0x0002, 0x0300, 0x0301, 0x0303])
def test_version_of_an_old_hello(number: int) -> None:
    raw = hello_of_2(number)
    assert version(raw + b"x") == number
    assert {version(raw[:cut]) for cut in range(len(raw))} == {None}
    with pytest.raises(NotTls):
        parse(raw)


@pytest.mark.parametrize(
    "raw",
    [b"\x80\x20\2", hello_of_2(ciphers=b"four"), hello_of_2(challenge=b"C" * 8), b"\x80\xff" + hello_of_2()[2:]],
)
def test_broken_old_hellos(raw: bytes) -> None:
    with pytest.raises(NotTls):
        version(raw)
