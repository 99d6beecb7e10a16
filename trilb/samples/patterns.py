"""Match methods of ACLs (configuration.txt, section 7.1): patterns in, one closure out, built at load."""

from __future__ import annotations

import re
from collections.abc import Callable

from trilb.base.diagnostic import Refused
from trilb.base.ip import Network
from trilb.samples.types import Match, Value, as_bytes, matcher

_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b,
    "le": lambda a, b: a <= b,
    "lt": lambda a, b: a < b,
}


def _texts(patterns: tuple[str, ...], ignore_case: bool) -> tuple[bytes, ...]:
    made = tuple(p.encode("latin-1") for p in patterns)
    return tuple(p.lower() for p in made) if ignore_case else made


def _textual(test: Callable[[bytes], bool], ignore_case: bool) -> Match:
    if ignore_case:
        return lambda value: test(as_bytes(value).lower())
    return lambda value: test(as_bytes(value))


@matcher("found", source="7.1")
def found(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """True whenever there is a sample."""
    if patterns:
        raise Refused("match method 'found' takes no pattern")
    return lambda value: True


@matcher("bool", source="7.1")
def boolean(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """True for a true or non-zero sample; with patterns, for one of the given values."""
    if patterns:
        wanted = {p.lower() in ("true", "yes", "on", "1") for p in patterns}
        return lambda value: bool(value) in wanted
    return lambda value: bool(value)


@matcher("int", source="7.1.2")
def integer(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """Integers, ranges `low:high`, and operators eq, ge, gt, le, lt."""
    tests: list[Callable[[int], bool]] = []
    operator = "eq"
    for text in patterns:
        if text in _OPERATORS:
            operator = text
            continue
        low, colon, high = text.partition(":")
        try:
            if colon:
                bottom = int(low) if low else None
                top = int(high) if high else None
                if bottom is not None and top is not None and bottom > top:
                    raise Refused(f"range '{text}' is empty")
                tests.append(lambda v, b=bottom, t=top: (b is None or v >= b) and (t is None or v <= t))  # type: ignore[misc]
            else:
                tests.append(lambda v, n=int(text), op=_OPERATORS[operator]: op(v, n))  # type: ignore[misc]
        except ValueError:
            raise Refused(f"'{text}' is not an integer, a range or one of eq, ge, gt, le, lt") from None
    if not tests:
        raise Refused("an integer match needs at least one pattern")

    def run(value: Value) -> bool:
        if isinstance(value, bytes):
            try:
                value = int(value)
            except ValueError:
                return False
        return any(test(value) for test in tests)

    return run


@matcher("ip", source="7.1.6")
def address(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """IP addresses and networks."""
    networks = [Network(text) for text in patterns]
    if not networks:
        raise Refused("an address match needs at least one address or network")

    def run(value: Value) -> bool:
        if isinstance(value, bytes) and len(value) not in (4, 16):
            return False
        return isinstance(value, bytes) and any(value in network for network in networks)

    return run


@matcher("str", source="7.1.3")
def exact(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """Exactly one of the strings."""
    wanted = frozenset(_texts(patterns, ignore_case))
    if not wanted:
        raise Refused("a string match needs at least one pattern")
    return _textual(wanted.__contains__, ignore_case)


@matcher("meth", source="7.1.7")
def http_method(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """One of the methods, exactly."""
    return exact(patterns, ignore_case)


@matcher("beg", source="7.1.3")
def prefix(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """Begins with one of the strings."""
    wanted = _texts(patterns, ignore_case)
    return _textual(lambda value: value.startswith(wanted), ignore_case)


@matcher("end", source="7.1.3")
def suffix(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """Ends with one of the strings."""
    wanted = _texts(patterns, ignore_case)
    return _textual(lambda value: value.endswith(wanted), ignore_case)


@matcher("sub", source="7.1.3")
def substring(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """Contains one of the strings."""
    wanted = _texts(patterns, ignore_case)
    return _textual(lambda value: any(p in value for p in wanted), ignore_case)


def _delimited(delimiters: bytes, patterns: tuple[str, ...], ignore_case: bool) -> Match:
    cut = re.compile(b"[" + re.escape(delimiters) + b"]+")
    wanted = [b"\0".join(cut.split(p.strip(delimiters))) for p in _texts(patterns, ignore_case)]

    def test(value: bytes) -> bool:
        inside = b"\0" + cut.sub(b"\0", value) + b"\0"
        return any(b"\0" + p + b"\0" in inside for p in wanted)

    return _textual(test, ignore_case)


@matcher("dir", source="7.1.3")
def directory(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """One or more whole path elements."""
    return _delimited(b"/?", patterns, ignore_case)


@matcher("dom", source="7.1.3")
def domain(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """One or more whole labels of a domain name."""
    return _delimited(b"/?.:", patterns, ignore_case)


@matcher("len", source="7.1.2")
def length(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """The length of the sample, matched as an integer."""
    test = integer(patterns, ignore_case)
    return lambda value: test(len(as_bytes(value)))


@matcher("reg", source="7.1.4")
def regex(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """One of the regular expressions, found anywhere."""
    flags = re.IGNORECASE if ignore_case else 0
    try:
        made = [re.compile(p.encode("latin-1"), flags) for p in patterns]
    except re.error as error:
        raise Refused(f"regular expression '{error.pattern!r}' is invalid: {error.msg}") from None
    return lambda value: any(p.search(as_bytes(value)) for p in made)


@matcher("bin", source="7.1.5")
def binary(patterns: tuple[str, ...], ignore_case: bool) -> Match:
    """Exactly one of the byte strings, written in hexadecimal."""
    try:
        wanted = frozenset(bytes.fromhex(p) for p in patterns)
    except ValueError:
        raise Refused("a binary match needs an even number of hexadecimal digits") from None
    return lambda value: as_bytes(value) in wanted
