"""JSON and CBOR of single values, and formats that use them."""

from __future__ import annotations

import pytest

from trilb.base.diagnostic import Place, Refused
from trilb.config.expressions import Scope, parse_format
from trilb.config.terms import Encoding, Literal, Variable
from trilb.samples import encode
from trilb.vocabulary import language

VALUES: list[tuple[encode.Plain, bytes, str]] = [
    (None, b"null", "f6"),
    (True, b"true", "f5"),
    (False, b"false", "f4"),
    (0, b"0", "00"),
    (23, b"23", "17"),
    (24, b"24", "1818"),
    (100, b"100", "1864"),
    (1000, b"1000", "1903e8"),
    (1000000, b"1000000", "1a000f4240"),
    (1000000000000, b"1000000000000", "1b000000e8d4a51000"),
    (-1, b"-1", "20"),
    (-100, b"-100", "3863"),
    (b"", b'""', "60"),
    (b"IETF", b'"IETF"', "6449455446"),
    (b'"\\\n\x01', b'"\\"\\\\\\n\\u0001"', "64225c0a01"),
    ("ü".encode(), '"ü"'.encode(), "62c3bc"),
    (b"\xff", '"\ufffd"'.encode(), "41ff"),
]
"""Examples of RFC 8949, appendix A, among others."""


@pytest.mark.parametrize(("value", "json", "cbor"), VALUES)
def test_values(value: encode.Plain, json: bytes, cbor: str) -> None:
    """Each value in both encodings."""
    assert encode.json(value) == json
    assert encode.cbor(value).hex() == cbor


def test_map() -> None:
    """The head of a map."""
    assert encode.cbor_map(2).hex() == "a2"
    assert encode.cbor_map(30).hex() == "b81e"


def _scope() -> Scope:
    return Scope(language(), "fe", Place("t", 1), "log")


def test_names_and_types() -> None:
    """`%(name:type){flags}alias`."""
    flags = frozenset(("M", "Q"))
    assert parse_format("%(a:str){+Q}ST x %(:sint)f", _scope()) == (
        Variable("ST", flags, "a", "str"),
        Literal(" x "),
        Variable("f", frozenset("M"), "", "sint"),
    )
    assert parse_format("%{+cbor,+bin}o x %(n)ci", _scope()) == (
        Encoding("cbor", True),
        Variable("ci", frozenset(("M", "bin")), "n"),
    )


@pytest.mark.parametrize(
    "text", ["%(a:int)ci", "%{+Z}ci", "%{Qx}ci", "%", "%zz", "%(a)%", "%[src", "%{+Q ci", "%[req.hdr(a)]", "%[path]"]
)
def test_refused(text: str) -> None:
    """What is no format, and expressions over a request that is gone."""
    with pytest.raises(Refused):
        parse_format(text, _scope())
