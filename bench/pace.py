"""Requests at a fixed rate, and how long each took from the moment it was due. One thread, its number bounded.

wrk sends the next request when an answer has come, so a proxy that stalls is asked less, and its pause is seen once
(coordinated omission); h2load's --rps counts from when a request was sent. Here the moments are drawn beforehand, as
strangers come: at random (Poisson) with the same seed for every racer. A request is due at its moment whether or not a
connection is free, and its time runs from then.
"""

from __future__ import annotations

import gc
import random
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.load import Failed

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: pace\r\nAccept: */*\r\n\r\n"
_SLACK = Path("/proc/self/timerslack_ns")


@dataclass(frozen=True)
class Paced:
    """Seconds each request took, and how long after its moment the generator itself came to it; both sorted."""

    times: list[float]
    late: list[float]


def moments(rate: float, seconds: float, seed: int = 7) -> list[float]:
    """When requests are due, in seconds from the beginning."""
    draw = random.Random(seed)
    due: list[float] = []
    at = draw.expovariate(rate)
    while at < seconds:
        due.append(at)
        at += draw.expovariate(rate)
    return due


def ask(sock: socket.socket, tail: bytes) -> None:
    """One request and its answer, waiting for it. Raises Failed."""
    sock.sendall(REQUEST)
    said = b""
    while not said.endswith(tail):
        data = sock.recv(65536)
        if not data:
            raise Failed(f"connection closed after {said!r}")
        said += data
    if not said.startswith(b"HTTP/1.1 200"):
        raise Failed(f"answered {said!r}")


@contextmanager
def _punctual() -> Iterator[None]:
    """No collections meanwhile, and timers that ring when they are due (Linux lets them be 50 us late)."""
    gc.disable()
    with suppress(OSError):
        _SLACK.write_text("1")
    try:
        yield
    finally:
        with suppress(OSError):
            _SLACK.write_text("0")
        gc.enable()


def pace(port: int, due: Sequence[float], tail: bytes, connections: int = 64, grace: float = 2.0) -> Paced:
    """Send a request at each of the moments `due`; an answer ends in `tail`.

    What is not answered `grace` seconds after the last moment counts as if it were answered then. Raises Failed when a
    connection is closed, or an answer is not a 200.
    """
    with ExitStack() as stack, _punctual():
        epoll = stack.enter_context(select.epoll())
        free: deque[socket.socket] = deque()
        socks: dict[int, socket.socket] = {}
        for _ in range(connections):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Its first request opens the connection behind the proxy, which is not what is measured.
            ask(sock, tail)
            epoll.register(sock.fileno(), select.EPOLLIN)
            socks[sock.fileno()] = sock
            free.append(sock)
        return _paced(epoll, socks, free, due, tail, grace)


def _paced(
    epoll: select.epoll,
    socks: dict[int, socket.socket],
    free: deque[socket.socket],
    due: Sequence[float],
    tail: bytes,
    grace: float,
) -> Paced:
    clock = time.perf_counter
    times: list[float] = []
    late: list[float] = []
    asked: dict[int, float] = {}
    parts: dict[int, bytes] = {}
    waiting: deque[float] = deque()
    at, count = 0, len(due)
    last = (due[-1] if due else 0.0) + grace
    began = clock()
    while True:
        now = clock() - began
        while at < count and due[at] <= now:
            if free:
                sock = free.popleft()
                sock.send(REQUEST)
                asked[sock.fileno()] = due[at]
                late.append(now - due[at])
            else:
                waiting.append(due[at])
            at += 1
            now = clock() - began
        if at == count and not asked:
            break
        if now > last:
            times.extend(now - moment for moment in (*asked.values(), *waiting))
            break
        # Waiting on the epoll through select: its time-out has microseconds, epoll's has milliseconds.
        select.select([epoll], [], [], max(0.0, (due[at] if at < count else last) - now))
        for fd, _ in epoll.poll(0):
            sock = socks[fd]
            data = parts.pop(fd, b"") + sock.recv(65536)
            if not data.endswith(tail):
                if not data or len(data) > 1 << 20:
                    raise Failed(f"answered {data[:200]!r}")
                parts[fd] = data
                continue
            if not data.startswith(b"HTTP/1.1 200"):
                raise Failed(f"answered {data[:200]!r}")
            times.append(clock() - began - asked.pop(fd))
            if waiting:
                sock.send(REQUEST)
                asked[fd] = waiting.popleft()
            else:
                free.append(sock)
    return Paced(sorted(times), sorted(late))
