"""The lane and the record: what the lane takes, h11 takes with the same result; nothing is taken too early."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilb.http import lane, policy, record
from trilb.http.head import Head, Refusal

LIMITS = policy.Limits()
SEEDS = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /p?q=1 HTTP/1.1\r\nHost: a.b:80\r\nContent-Length: 3\r\nUser-Agent: x y  z\r\n\r\n",
    b"PUT /x HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive, x\r\n\r\n",
    b"GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n",
    b'DELETE /a HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nCookie: a=b; c="d;e"\r\nEmpty:\r\n\r\n',
)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b; path=/\r\n\r\n",
    b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nConnection: close\r\n\r\n',
    b"HTTP/1.1 200 Fine by me\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n",
    b"HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\n",
)


def mutants(seeds: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """A seed with a few bytes replaced, put in or taken out."""
    edit = st.tuples(
        st.integers(0, 200),
        st.sampled_from([b"", b" ", b"\t", b"\r", b"\n", b"\0", b":", b",", b"0", b"\x80", b"A", b"\r\n", b"#", b"/"]),
        st.integers(0, 3),
    )

    def apply(seed: bytes, edits: list[tuple[int, bytes, int]]) -> bytes:
        for at, text, cut in edits:
            at %= len(seed)
            seed = seed[:at] + text + seed[at + cut :]
        return seed

    return st.builds(apply, st.sampled_from(seeds), st.lists(edit, max_size=4))


_FIELDS = (
    "method", "target", "version", "fields", "status", "reason", "spoken", "length", "chunked", "connection", "upgrade",
    "composed",
)  # fmt: skip


def meaning(head: Head) -> tuple[object, ...]:
    """All that a Head says."""
    return tuple(getattr(head, name) for name in _FIELDS)


@pytest.mark.pure
def test_all_of_a_head_is_compared() -> None:
    """Nobody forgets a new slot."""
    assert set(_FIELDS) == set(Head.__slots__)


def judged(found: tuple[Head, int] | None) -> tuple[object, ...] | int | None:
    """What policy makes of a parsed request: its meaning, or the status of the refusal."""
    if found is None:
        return None
    try:
        policy.request(found[0], found[1], LIMITS)
    except Refusal as refusal:
        return refusal.status
    return (*meaning(found[0]), found[1])


@settings(max_examples=1500, deadline=None)
@given(mutants(SEEDS))
def test_the_record_agrees_with_the_lane(raw: bytes) -> None:
    fast = lane.request(raw)
    if fast is None:
        return
    ours = judged(fast)
    try:
        theirs = judged(record.request(raw, 16384))
    except Refusal as refusal:
        theirs = refusal.status
    assert ours == theirs


@settings(max_examples=600, deadline=None)
@given(mutants(ANSWERS))
def test_the_record_agrees_on_responses(raw: bytes) -> None:
    fast = lane.response(raw)
    if fast is None:
        return
    try:
        slow = record.response(raw, 16384)
    except Refusal:
        # h11 looks at lengths and codings itself: then policy must refuse the lane's head as well.
        with pytest.raises(Refusal):
            policy.response(fast[0], fast[1], LIMITS, b"GET")
        return
    assert slow is not None
    assert slow[1] == fast[1]
    assert meaning(slow[0]) == meaning(fast[0])


@pytest.mark.parametrize("raw", SEEDS)
def test_no_prefix_is_taken(raw: bytes) -> None:
    assert lane.request(raw) is not None
    for end in range(len(raw)):
        assert lane.request(raw[:end]) is None


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_head_or_a_refusal(raw: bytes) -> None:
    for parse in (record.request, record.response):
        try:
            parse(raw, 16384)
        except Refusal as refusal:
            assert refusal.status in (400, 422, 502)


def test_real_browsers_take_the_lane() -> None:
    agent = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
    heads = (
        b"GET /app/main.js?v=12 HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive\r\n"
        b'sec-ch-ua: "Chromium";v="130"\r\nUser-Agent: ' + agent + b"\r\nAccept: */*\r\n"
        b"Referer: http://example.com/\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: a=1; b=2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
    )
    for raw in heads:
        assert lane.request(raw) is not None
