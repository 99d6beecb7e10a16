"""Parts of the statistics page: who may change servers, what is asked, how figures and minutes are drawn."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trilb.admin import page_change
from trilb.admin.history import POINTS, History, Ring
from trilb.admin.page_request import Asked
from trilb.admin.page_rows import STATES, chart, short, span, state_of
from trilb.base.clock import Clock
from trilb.base.diagnostic import NOWHERE
from trilb.config.model import Proxy, Side
from trilb.http.head import Head
from trilb.live.proxy import Frontend

ORIGINS = [
    ((), True),
    (("origin: http://lb:8404",), True),
    (("origin: https://LB:8404",), True),
    (("origin: http://lb",), False),
    (("origin: http://lb:8404.evil.example",), False),
    (("origin: http://evil.example/lb:8404",), False),
    (("origin: null",), False),
    (("origin: ",), False),
    (("referer: http://lb:8404/stats;st=DONE",), True),
    (("referer: http://evil.example/?lb:8404",), False),
    (("origin: http://lb:8404", "referer: http://evil.example/"), True),
    (("origin: http://evil.example", "referer: http://lb:8404/"), False),
    (("sec-fetch-site: same-origin",), True),
    (("sec-fetch-site: same-origin", "origin: https://outside.example"), True),
    (("sec-fetch-site: none",), True),
    (("sec-fetch-site: same-site", "origin: http://lb:8404"), False),
    (("sec-fetch-site: cross-site", "origin: http://lb:8404"), False),
    (("sec-fetch-site: bogus",), False),
]


@pytest.mark.parametrize(("lines", "ours"), ORIGINS, ids=[" ".join(lines) or "a tool" for lines, _ in ORIGINS])
def test_a_form_of_another_site_is_told_apart(lines: tuple[str, ...], ours: bool) -> None:
    pairs = [line.partition(": ") for line in lines]
    fields = [(b"host", b"lb:8404"), *((name.encode(), value.encode()) for name, _, value in pairs)]
    assert page_change.ours(Head(b"POST", b"/stats", 11, fields)) is ours


@given(st.binary(max_size=60))
def test_any_body_is_a_form(body: bytes) -> None:
    form = page_change.parse(body)
    assert page_change.change(form, None, 0.0) in ("NONE", "ERRP")


@given(st.binary(max_size=60))
def test_any_words_make_words_that_mean_the_same(rest: bytes) -> None:
    asked = Asked(rest)
    words = asked.words()
    assert re.fullmatch(r"(;up)?(;no-maint)?(;norefresh)?(\?scope=[A-Za-z0-9_.:-]{1,20})?", words)
    again = Asked(words.encode())
    assert (again.up, again.no_maint, again.refresh, again.scope) == (
        asked.up,
        asked.no_maint,
        asked.refresh,
        asked.scope,
    )


def test_every_state_has_its_own_sign_and_is_meant_by_a_status() -> None:
    assert len({state.sign for state in STATES.values()}) == len(STATES)
    statuses = (
        "UP,UP 1/3,DOWN 1/2,DOWN,NOLB,DRAIN,MAINT,no check,OPEN,FULL,STOP,MAINT (via a/b),DOWN (agent),NOLB 1/2,"
        "DRAIN (agent),DRAIN 1/3,MAINT (resolution),UP (2/5),WAITING,PAUSED,STOPPED"
    )
    found = [state_of(status) for status in statuses.split(",")]
    assert found[:11] == list(STATES)
    assert found[11:] == "maint down nolb drain drain maint up stopped stopped stopped".split()


def test_figures_are_short() -> None:
    counts = (0, 9999, 10_000, 123_456, 4_560_000, 12_000_000_000, 5 * 10**12)
    assert [short(n) for n in counts] == ["0", "9999", "10.0k", "123k", "4.56M", "12.0G", "5.00T"]
    assert [span(n) for n in (-1, 59, 192, 7500, 363_600)] == ["0s", "59s", "3m12s", "2h05m", "4d5h"]


def test_a_ring_keeps_the_last_minutes() -> None:
    ring = Ring(100, 0)
    for number in range(3):
        ring.add(100 + 50 * (number + 1), number // 2, number, 5.0)
    assert ring.ordered(ring.time) == [0, 1, 2]
    for number in range(3, POINTS + 10):
        ring.add(100 + 50 * (number + 1), number // 2, number, 5.0)
    assert ring.ordered(ring.time) == list(range(10, POINTS + 10))
    assert set(ring.rate) == {10.0}
    assert sorted({round(value, 1) for value in ring.errors}) == [0.0, 0.2]
    # After `clear counters all` the totals begin anew.
    ring.add(5, 1, 0, 5.0)
    assert ring.ordered(ring.rate)[-1] == 1.0


@given(st.lists(st.floats(1e-3, 1e12) | st.just(0.0), min_size=1, max_size=POINTS), st.booleans())
def test_a_chart_stays_in_its_box(values: list[float], failing: bool) -> None:
    drawn = chart(values, [value * 2 for value in values] if failing else [], "a second")
    path = re.findall(r'd="M(-?\d+) 21V(\d+)H(\d+)(?:l([-\d ]+))?H62V21z"', drawn)
    assert path
    x, y = int(path[0][2]), int(path[0][1])
    places = [(x, y)]
    for step in re.findall(r"1([ -]\d+)", path[0][3] or ""):
        x, y = x + 1, y + int(step)
        places.append((x, y))
    assert all(0 <= x < POINTS and 2 <= y <= 17 for x, y in places)
    assert len(places) in (1, len(values))
    bars = re.findall(r"M(\d+) 17v-(\d+)", drawn)
    assert all(0 <= int(x) < POINTS and 1 <= int(high) <= 15 for x, high in bars)
    assert len(bars) == failing * sum(value > 0 for value in values)


def test_a_chart_says_its_figures() -> None:
    assert "<title>now 3 a second, most 8, errors now 0, most 2</title>" in chart([8.0, 3.0], [2.0, 0.0], "a second")
    assert chart([], [], "ms") == "<td>"


def test_what_is_no_more_is_forgotten() -> None:
    clock = Clock()
    clock.now = 0.0
    frontends = {name: Frontend(Proxy(name, "frontend", NOWHERE, Side.FRONTEND), 1) for name in ("a", "b")}
    history = History(frontends, {}, clock)
    for second in (5.0, 10.0):
        clock.now = second
        list(history.sample())
    assert [ring.filled for ring in history.rings.values()] == [2, 2]
    gone = frontends.pop("a")
    clock.now = 15.0
    list(history.sample())
    assert history.of(gone) is None
    assert len(history.rings) == 1
