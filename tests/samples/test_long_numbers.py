"""Numbers of more digits than Python reads at once: judged like all others, wherever a stranger may write them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from trilb.base import address
from trilb.base.diagnostic import Refused
from trilb.base.units import milliseconds, saturated
from trilb.live.stream import Stream
from trilb.samples import fetch_uri, parsing

LONG = "9" * 5000


def test_the_nearest_that_c_has() -> None:
    assert (saturated(LONG), saturated("-" + LONG), saturated("-7")) == ((1 << 63) - 1, -(1 << 63), -7)


def test_they_are_refused_in_words() -> None:
    for text in (f"127.0.0.1:{LONG}", f"127.0.0.1:1-{LONG}"):
        with pytest.raises(Refused, match="above 65535"):
            address.parse(text)
    with pytest.raises(Refused, match="too large"):
        milliseconds(LONG)
    with pytest.raises(Refused, match="too large"):
        milliseconds(f"{LONG}us")
    for text in (f"10.0.0.0/{LONG}", f"::/{LONG}"):
        with pytest.raises(Refused):
            parsing.network(text.encode(), lambda name: b"")


def test_they_match() -> None:
    low, high = parsing.integer_range(f"5:{LONG}".encode())
    assert low == 5
    assert high == (1 << 63) - 1


def test_the_port_of_a_target() -> None:
    def port(target: bytes) -> object:
        stream = SimpleNamespace(request=SimpleNamespace(target=target))
        return fetch_uri._url_port(cast(Stream, stream))

    assert port(b"http://a:8080/") == 8080
    assert port(f"http://a:{LONG}/".encode()) == 80
