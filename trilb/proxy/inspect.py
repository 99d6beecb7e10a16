"""Content rules over bytes that are still arriving (configuration.txt, `tcp-request content`, `inspect-delay`). HOT."""

from __future__ import annotations

from trilb.http import lane, policy, record
from trilb.http.h2 import PREFACE
from trilb.http.head import Head, Refusal
from trilb.live.effects import Effect, More, Resolve
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.net.conn import Conn
from trilb.net.poller import Expired, Waiter
from trilb.proxy.hold import resolved
from trilb.proxy.plane import Plane


async def inspect(
    waiter: Waiter, stream: Stream, client: Conn, rules: Step, delay: float, most: int, plane: Plane | None = None
) -> Effect | None:
    """Run content rules, waiting up to `delay` seconds for bytes that some of them need; None when all passed.

    The bytes stay in the client's inbox, at most `most` of them. Once the delay is over, the client has ended its
    side or the buffer is full, what is there must do. With `plane`, an HTTP request is recognised. Raises Broken.
    """
    stream.position, stream.may_change = 0, False
    armed = False
    stream.inspect_done = not delay
    if client.watch.ready and not client.inbox:
        client.inbox = client.receive() or b""
    while True:
        stream.inspected = client.inbox
        if plane is not None:
            sniff(stream, client.inbox, plane)
        effect = rules(stream)
        if isinstance(effect, Resolve):
            await resolved(waiter, effect)
            continue
        if not isinstance(effect, More):
            stream.position = 0
            return effect
        if not armed:
            armed = True
            waiter.arm(delay)
        try:
            data = client.receive() if client.watch.ready else None
            if data is None:
                await waiter.park(client.watch)
                data = client.receive()
        except Expired:
            stream.inspect_done = True
            continue
        if data:
            client.inbox += data
        if data == b"" or len(client.inbox) >= most:
            stream.inspect_done = True


def sniff(stream: Stream, data: bytes, plane: Plane) -> None:
    """Let rules of a TCP proxy look at an HTTP request: its head becomes the stream's once it is whole and valid.

    A client of HTTP/2 is known by its preface, which is made to look like the head of a request.
    """
    if stream.request is not None or stream.not_http or not data:
        return
    if data.startswith(PREFACE[: len(data)]):
        if len(data) >= len(PREFACE):
            stream.request = Head(b"PRI", b"*", 11, [])
            stream.target, stream.method = b"*", b"PRI"
        return
    try:
        found = lane.request(data) if plane.lane else None
        if found is None:
            found = record.request(data, plane.limits.raw)
        if found is not None:
            policy.request(found[0], found[1], plane.limits)
            stream.request = found[0]
            stream.target, stream.method = found[0].target, found[0].method
    except Refusal:
        stream.not_http = True
