"""Converters: properties that hold for any input, and what needs a stream of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilb.base.diagnostic import NOWHERE
from trilb.config.model import Mode, Proxy, Side
from trilb.live.proxy import Frontend
from trilb.live.session import Session
from trilb.live.stream import Stream
from trilb.samples import casts
from trilb.samples.types import Addr, Bin, Value, converters
from trilb.samples.variables import Variable
from trilb.vocabulary import language

language()
INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)


def _stream() -> Stream:
    frontend = Frontend(Proxy("fe", "frontend", NOWHERE, Side.FRONTEND, mode=Mode.HTTP), 10)
    return Stream(Session(frontend, b"\x7f\0\0\1", 4711), frontend)


def convert(name: str, value: Value, *args: Any, stream: Stream | None = None) -> Any:
    """One converter applied to a value of the type it takes; arguments left out have their defaults."""
    entry = converters.entries[name]
    run: Any = entry.factory(*args, *(arg.default for arg in entry.args[len(args) :]))
    return run(value, stream or _stream()) if entry.facts.get("stream") else run(value)


@given(st.binary())
def test_base64_comes_back(data: bytes) -> None:
    assert convert("b64dec", convert("base64", data)) == data
    assert convert("ub64dec", convert("ub64enc", data)) == data


@given(st.binary())
def test_url_coding_comes_back(data: bytes) -> None:
    for in_form in (0, 1):
        assert convert("url_dec", convert("url_enc", data), in_form) == data


@given(INTEGERS)
def test_hexadecimal_comes_back(number: int) -> None:
    assert convert("hex2i", convert("hex", casts.int_binary(number))) == number


@given(INTEGERS, INTEGERS)
def test_arithmetic_stays_in_64_bits(one: int, two: int) -> None:
    assert convert("add", one, two) == casts.clamped(one + two)
    assert convert("mul", one, two) == casts.clamped(one * two)
    for name in ("add", "sub", "mul", "div", "mod", "and", "or", "xor"):
        assert -(1 << 63) <= convert(name, one, two) < 1 << 63
    if two and (one, two) != (-(1 << 63), -1):
        assert convert("div", one, two) * two + convert("mod", one, two) == one


@given(st.text("ab/", max_size=12), st.integers(-5, 5).filter(bool), st.integers(0, 4))
def test_fields_and_words_are_those_of_split(text: str, index: int, count: int) -> None:
    fields = text.split("/")
    at = index - 1 if index > 0 else len(fields) + index
    expected = None
    if 0 <= at < len(fields):
        if index > 0:
            expected = "/".join(fields[at : at + count] if count else fields[at:]).encode()
        else:
            expected = "/".join(fields[max(at + 1 - count, 0) : at + 1] if count else fields[: at + 1]).encode()
    assert convert("field", text.encode(), index, "/", count) == expected
    words = [word for word in fields if word]
    at = index - 1 if index > 0 else len(words) + index
    assert convert("word", text.encode(), index, "/") == (words[at].encode() if 0 <= at < len(words) else None)


@given(st.text())
def test_json_escapes_what_json_reads(text: str) -> None:
    raw = text.encode()
    kept = "".join(c for c in text if ord(c) < 0xFFFE)
    assert json.loads(f'"{convert("json", raw, "utf8s").decode("ascii")}"') == kept
    assert json.loads(f'"{convert("json", raw).decode("ascii")}"') == raw.decode("latin-1")


LEAVES = st.booleans() | st.integers(-(1 << 52), 1 << 52) | st.text('abc \\"/\n', max_size=6)
NAMES = st.text("abcd", min_size=1, max_size=3)
DOCUMENTS = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))


def _places(document: object, path: str) -> list[tuple[str, object]]:
    found = [(path, document)]
    if isinstance(document, dict):
        for name, value in document.items():
            found += _places(value, f"{path}.{name}")
    if isinstance(document, list):
        for index, value in enumerate(document):
            found += _places(value, f"{path}[{index}]")
    return found


@given(DOCUMENTS, st.sampled_from([None, 2]))
def test_json_query_finds_every_place(document: object, indent: int | None) -> None:
    text = json.dumps(document, indent=indent).encode()
    for path, value in _places(document, "$"):
        found = convert("json_query", text, path, "int")
        if isinstance(value, dict):
            assert found is None
        elif isinstance(value, list):
            assert json.loads(found) == value
        else:
            assert found == (value.encode() if isinstance(value, str) else value)
            assert isinstance(found, bool) is isinstance(value, bool)


@given(st.binary() | st.text('{}[]:,"\\atrue1-. ').map(str.encode), st.sampled_from(["$", "$.a", "$[0]", "$.a[1].b"]))
def test_json_query_survives_anything(text: bytes, path: str) -> None:
    assert not isinstance(convert("json_query", text, path), float)


EASY = sorted(
    name
    for name, entry in converters.entries.items()
    if not any(arg.required for arg in entry.args) and not entry.facts.get("finds") and name != "debug"
)
RESULTS = {"str": bytes, "bin": bytes, "addr": bytes, "sint": int, "bool": bool}


@given(st.binary(), INTEGERS, st.sampled_from(EASY))
def test_no_input_is_a_traceback(data: bytes, number: int, name: str) -> None:
    facts = converters.entries[name].facts
    values: dict[object, Value] = {"sint": number, "bool": number > 0, "addr": (data + bytes(4))[:4]}
    result = convert(name, values.get(facts.get("takes", "any"), data))
    assert result is None or isinstance(result, RESULTS.get(str(facts["gives"]), object))


@given(INTEGERS, st.sampled_from(["utime", "ltime", "ms_utime", "us_ltime"]))
def test_no_date_is_a_traceback(number: int, name: str) -> None:
    result = convert(name, number, "%Y %b %N %Z")
    assert result is None or isinstance(result, bytes)


def test_crc32c_has_its_check_value() -> None:
    assert convert("crc32c", b"123456789") == 0xE3069283


@pytest.mark.parametrize(
    ("value", "text", "number", "truth"),
    [
        (Bin(b"a\0b"), b"a", None, None),
        (b"a\0b", b"a\0b", 0, False),
        (Addr(b"\1\2\3\4"), b"1.2.3.4", 0x01020304, None),
        (Addr(bytes(15) + b"\1"), b"::1", None, None),
        (7, b"7", 7, True),
        (True, b"1", 1, True),
        (b"12x", b"12x", 12, True),
        (b"", b"", None, None),
        (b"9" * 5000, b"9" * 5000, (1 << 63) - 1, True),
    ],
)
def test_values_of_any_type(value: Value, text: bytes, number: int | None, truth: bool | None) -> None:
    assert casts.any_text(value) == text
    assert casts.any_int(value) == number
    assert casts.any_bool(value) == truth


@pytest.mark.parametrize(
    ("old", "new", "conditions", "expected"),
    [
        (None, b"n", ("ifexists",), None),
        (None, b"n", ("ifnotexists", "ifnotset"), b"n"),
        (b"o", b"n", ("ifset",), b"n"),
        (b"o", b"n", ("ifnotset",), b"o"),
        (b"o", b"", ("ifnotempty",), b"o"),
        (b"o", b"", ("ifempty",), b""),
        (b"o", 0, ("ifempty",), b"o"),
        (5, 4, ("ifgt",), 4),
        (5, 6, ("ifgt",), 5),
        (5, 6, ("iflt",), 6),
        (5, True, ("iflt",), True),
        (b"o", 6, ("ifgt", "iflt"), 6),
        (b"o", b"n", ("ifset", "ifempty"), b"o"),
    ],
)
def test_conditions_of_set_var(
    old: Value | None, new: Value, conditions: tuple[str, ...], expected: Value | None
) -> None:
    stream, variable = _stream(), Variable("txn.v")
    if old is not None:
        variable.set(stream, old)
    passed = convert("set-var", new, variable, *conditions, stream=stream)
    assert variable.get(stream) == expected
    assert passed == (new if expected == new else None)
    convert("unset-var", new, variable, stream=stream)
    assert variable.get(stream) is None


def test_variables_of_the_process_always_exist() -> None:
    stream, variable = _stream(), Variable("proc.v")
    assert convert("set-var", b"n", variable, "ifnotexists", stream=stream) is None
    assert convert("set-var", b"n", variable, "ifexists", stream=stream) == b"n"


def test_captures_keep_what_passes() -> None:
    stream = _stream()
    stream.captures_in = [None, None]
    assert convert("capture-req", b"x", 1, stream=stream) == b"x"
    assert convert("capture-req", b"x", 2, stream=stream) is None
    assert convert("capture-res", b"x", 0, stream=stream) is None
    assert stream.captures_in == [None, b"x"]


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (b"a", "[debug] p: type=str <a>\n"),
        (True, "[debug] p: type=bool <1>\n"),
        (-3, "[debug] p: type=sint <-3>\n"),
        (Addr(b"\1\2\3\4"), "[debug] p: type=ipv4 <1.2.3.4>\n"),
        (Bin(b"\1\xff"), "[debug] p: type=bin <01FF>\n"),
    ],
)
def test_debug_writes(value: Value, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("debug", value, "p", "stderr") == value
    assert capsys.readouterr().err == line


def _fix(*pairs: str, begin: str = "FIX.4.4", length: int | None = None, check: str | None = None) -> bytes:
    body = "".join(f"{pair}\1" for pair in pairs).encode()
    message = f"8={begin}\0019={len(body) if length is None else length}\1".encode() + body
    return message + f"10={check or format(sum(message) % 256, '03d')}\1".encode()


@pytest.mark.parametrize("begin", ["FIX.4.0", "FIX.4.3", "FIX.4.4", "FIXT.1.1"])
def test_fix_messages(begin: str) -> None:
    message = _fix("35=A", "49=CLIENT", "98=0", begin=begin)
    assert convert("fix_is_valid", message) is True
    assert convert("fix_is_valid", message + b"more") is True
    assert convert("fix_tag_value", message, "BeginString") == begin.encode()
    assert convert("fix_tag_value", message, "MsgType") == b"A"
    assert convert("fix_tag_value", message, "49") == b"CLIENT"
    assert convert("fix_tag_value", message, "9") == b"20"
    assert convert("fix_tag_value", message, "8888") is None


@pytest.mark.parametrize(
    "message",
    [
        _fix("35=A", "49=", "98=0"),
        _fix("35=A", "=X"),
        _fix("35=A", "98"),
        _fix("49=A", "35=A"),
        _fix("35=A", begin="FIX.3.9"),
        _fix("35=A", length=4),
        _fix("35=A", length=6) + b"XX",
        _fix("35=A", check="25"),
        _fix("35=A", check="2520"),
        _fix("35=A", check="000"),
        _fix("35=A")[:-1],
        b"35=A\1" + _fix("35=A"),
        b"",
    ],
)
def test_faulty_fix_messages(message: bytes) -> None:
    assert convert("fix_is_valid", message) is False
