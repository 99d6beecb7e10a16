"""The lane against h11 on heads by the hundred thousand: realistic ones, changed (tests/support/heads.py).

For each that the lane takes: the same Head, the same after policy or the same refusal, the same bytes written, and the
same once more after edits. What one asks of a run stands at each test.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.support import heads
from trilb.http import record
from trilb.http.head import Head, Refusal

MANY = 25_000
"""Heads a run of the suite asks: some two seconds. Other ones every time; a finding tells its number."""


def told(number: int, raw: bytes) -> str:
    """A disagreement in its smallest form, with what either side says."""
    small = heads.smallest(raw, number)
    return f"heads.difference({number}): {small!r}\nh11 and the lane: {heads.verdicts(small, number)}"


def test_h11_agrees_with_the_lane_on_mutants() -> None:
    first = random.randrange(1 << 48)
    for number in range(first, first + MANY):
        raw = heads.difference(number)
        assert raw is None, told(number, raw)


FOUND = {
    "CONNECT to a path": b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
    "too large for a second request": b"GET /" + b"p" * 17000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("what", FOUND)
def test_what_was_found(what: str) -> None:
    found = heads.request_verdicts(FOUND[what])
    assert found is None or all(one == found[0] for one in found)


def test_the_lane_takes_many_of_them() -> None:
    """Else the comparison would be one of nothing."""
    for remainder in (0, 1):
        numbers = range(remainder, 4000, 4)
        assert sum(map(heads.taken, numbers)) > len(numbers) / 6


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that refuses a connection header is found out, and told in few bytes."""
    judge = record.request

    def strict(data: bytes, limit: int) -> tuple[Head, int] | None:
        if b"Connection" in data:
            raise Refusal(400, "for the test")
        return judge(data, limit)

    monkeypatch.setattr(record, "request", strict)
    number, raw = next((n, raw) for n in range(4000) if (raw := heads.difference(n)) is not None)
    assert len(heads.smallest(raw, number)) < 50


@pytest.mark.nightly
def test_h11_agrees_with_the_lane_for_hours() -> None:
    """As many as there is time for: TRILB_FUZZ_SECONDS, an hour if not set; some 50 million heads an hour.

    TRILB_FUZZ_SECONDS=600 python -m pytest -m nightly -s tests/http/test_lane_mutants.py
    """
    until = time.monotonic() + float(os.environ.get("TRILB_FUZZ_SECONDS", "3600"))
    first = number = random.randrange(1 << 48)
    found: dict[bytes, str] = {}
    while time.monotonic() < until and len(found) < 20:
        number += 1
        raw = heads.difference(number)
        if raw is not None:
            found.setdefault(heads.smallest(raw, number), told(number, raw))
    print(f"{number - first} heads from {first}, {len(found)} differences")  # noqa: T201
    assert not found, "\n".join(found.values())
