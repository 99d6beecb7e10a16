"""Constants, the environment and time (configuration.txt, section 7.3.2)."""

from __future__ import annotations

import os
import random
import time
import uuid as uuids

from trilb.base import ip
from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, Kind, optional
from trilb.samples.types import Fetch, Value, fetch

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _fixed(value: Value | None) -> Fetch:
    return lambda stream: value


@fetch("always_true", gives="bool", source="7.3.2")
def always_true() -> Fetch:
    """True."""
    return _fixed(True)


@fetch("always_false", gives="bool", source="7.3.2")
def always_false() -> Fetch:
    """False."""
    return _fixed(False)


@fetch("str", args=(optional("text", default=""),), gives="str", source="7.3.2")
def constant_str(text: str) -> Fetch:
    """A constant string."""
    return _fixed(text.encode("latin-1"))


@fetch("int", args=(Arg("number", Kind.INT),), gives="sint", source="7.3.2")
def constant_int(number: int) -> Fetch:
    """A constant integer."""
    return _fixed(number)


@fetch("bool", args=(Arg("value"),), gives="bool", source="7.3.2")
def constant_bool(value: str) -> Fetch:
    """A constant boolean: true or 1, false or 0."""
    if value.lower() in _TRUE:
        return _fixed(True)
    if value.lower() in _FALSE:
        return _fixed(False)
    raise Refused(f"'bool' expects true, 1, false or 0, not '{value}'")


@fetch("bin", args=(Arg("hexadecimal"),), gives="bin", source="7.3.2")
def constant_bin(text: str) -> Fetch:
    """Constant bytes, written in hexadecimal."""
    try:
        return _fixed(bytes.fromhex(text.removeprefix("0x")))
    except ValueError:
        raise Refused(f"'bin' expects an even number of hexadecimal digits, not '{text}'") from None


def _address(text: str, size: int) -> Fetch:
    try:
        packed = ip.packed(text)
    except ValueError:
        packed = b""
    if len(packed) != size:
        raise Refused(f"'{text}' is not an IPv{4 if size == 4 else 6} address")
    return _fixed(packed)


@fetch("ipv4", args=(Arg("address"),), gives="addr", source="7.3.2")
def constant_ipv4(text: str) -> Fetch:
    """A constant IPv4 address."""
    return _address(text, 4)


@fetch("ipv6", args=(Arg("address"),), gives="addr", source="7.3.2")
def constant_ipv6(text: str) -> Fetch:
    """A constant IPv6 address."""
    return _address(text, 16)


@fetch("meth", args=(Arg("method"),), gives="meth", source="7.3.2")
def constant_meth(text: str) -> Fetch:
    """A constant HTTP method."""
    return _fixed(text.encode("latin-1"))


@fetch("env", args=(Arg("name"),), gives="str", source="7.3.2")
def env(name: str) -> Fetch:
    """An environment variable, as it was when trilb started."""
    value = os.environ.get(name)
    return _fixed(None if value is None else os.fsencode(value))


@fetch("hostname", gives="str", source="7.3.2")
def hostname() -> Fetch:
    """The system's host name."""
    return _fixed(os.uname().nodename.encode())


@fetch("date", args=(optional("offset", Kind.INT, 0), optional("unit", Kind.STR, "s")), gives="sint", source="7.3.2")
def date(offset: int, unit: str) -> Fetch:
    """The time since the epoch, plus an offset, in seconds or the unit ms or us."""
    factor = {"s": 1, "ms": 1_000, "us": 1_000_000}.get(unit)
    if factor is None:
        raise Refused(f"'date' knows the units s, ms and us, not '{unit}'")
    return lambda stream: time.time_ns() * factor // 1_000_000_000 + offset


@fetch("date_us", gives="sint", source="7.3.2")
def date_us() -> Fetch:
    """The microseconds of the present second."""
    return lambda stream: time.time_ns() // 1000 % 1_000_000


@fetch("rand", args=(optional("range", Kind.INT),), gives="sint", source="7.3.2")
def rand(below: int | None) -> Fetch:
    """A random integer from 0 up to the range, which is 2^32 by default."""
    most = below if below and below > 0 else 1 << 32
    return lambda stream: random.randrange(most)


@fetch("uuid", args=(optional("version", Kind.INT, 4),), gives="str", source="7.3.2")
def uuid(version: int) -> Fetch:
    """A new UUID of version 4 (random) or 7 (time, then random)."""
    if version == 4:
        return lambda stream: str(uuids.uuid4()).encode()
    if version != 7:
        raise Refused(f"'uuid' makes versions 4 and 7, not {version}")

    def seven(stream: object) -> bytes:
        value = (time.time_ns() // 1_000_000 << 80) | random.getrandbits(80)
        value = value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
        return str(uuids.UUID(int=value & ((1 << 128) - 1))).encode()

    return seven
