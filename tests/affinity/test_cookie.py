"""Cookie headers: the usual client's short way equals the general one, and nothing a client sends raises."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from trilb.affinity.cookie import CookiePersistence, decode_date, encode_date
from trilb.base.address import Address, Family
from trilb.base.diagnostic import NOWHERE
from trilb.config.lines import ServerLine
from trilb.config.model import CookieLine, Proxy, Side
from trilb.http.cookies import scan
from trilb.http.head import Head
from trilb.live.plan import FrontendPlan
from trilb.live.proxy import Backend, Frontend
from trilb.live.session import Session
from trilb.live.stream import Stream


def persistence(**options: bool) -> CookiePersistence:
    proxy = Proxy("b", "backend", NOWHERE, Side.BACKEND)
    for name in ("a", "b"):
        address = Address(Family.IPV4, "127.0.0.1", 80)
        proxy.servers.append(ServerLine(name, address, NOWHERE, cookie=name.upper() + "1"))
    return CookiePersistence(CookieLine("SRV", **options), Backend(proxy), lambda: 1_795_205_452.0)  # type: ignore[arg-type]


def stream_with(*headers: bytes) -> Stream:
    frontend = Frontend(Proxy("f", "frontend", NOWHERE, Side.FRONTEND), 10)
    frontend.plan = FrontendPlan()
    stream = Stream(Session(frontend, b"\x7f\0\0\1", 1), frontend)
    stream.request = Head(b"GET", b"/", 11, [(b"host", b"h"), *((b"cookie", value) for value in headers)])
    return stream


def ask(cookies: CookiePersistence, *headers: bytes) -> tuple[str, str | None, list[bytes]]:
    stream = stream_with(*headers)
    cookies.request(stream, False, False)
    assert stream.request is not None
    return stream.cookie_in, stream.server.name if stream.server else None, stream.request.all(b"cookie")


def test_usual_clients() -> None:
    cookies = persistence(insert=True, indirect=True)
    assert ask(cookies) == ("N", None, [])
    assert ask(cookies, b"SRV=B1") == ("V", "b", [])
    assert ask(cookies, b"SRV=ZZ") == ("I", None, [])
    assert ask(cookies, b"a=1; SRV=A1; b=2") == ("V", "a", [b"a=1; b=2"])
    assert ask(cookies, b"a=1", b"SRV=A1", b"c=3") == ("V", "a", [b"a=1", b"c=3"])


def test_dates_are_five_characters_of_four_seconds() -> None:
    assert encode_date(1_795_205_452) == b"awCpT"
    assert decode_date(b"awCpT") == 1_795_205_452
    assert decode_date(b"!!!!!") == 0
    assert decode_date(b"abc") == 0


@settings(max_examples=600, deadline=None)
@given(st.lists(st.text('SRV=A1B;, \t"\\$|~x', max_size=30), min_size=1, max_size=3))
def test_any_header_keeps_its_other_cookies(texts: list[str]) -> None:
    headers = [text.encode() for text in texts]
    for options in ({"insert": True, "indirect": True}, {"prefix": True}, {"rewrite": True}, {}):
        letter, server, left = ask(persistence(**options), *headers)
        assert letter in "NIDV"
        assert (server is not None) == (letter == "V")
        if options == {"insert": True, "indirect": True}:
            for value in left:
                names = [value[c.name_start : c.name_end] for c in scan(value) if c.equal >= 0]
                assert b"SRV" not in names


@settings(max_examples=400, deadline=None)
@given(st.text("ABZ1x|+/=", min_size=0, max_size=16))
def test_the_short_way_equals_the_general_one(value: str) -> None:
    header = b"SRV=" + value.encode()
    quick = ask(persistence(insert=True, indirect=True), header)
    slow = ask(persistence(insert=True, indirect=True), b" " + header)
    assert quick[:2] == slow[:2]
    assert quick[2] == slow[2] == []
