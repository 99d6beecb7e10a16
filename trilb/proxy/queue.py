"""Waiting for a server: slots, queues, and who is next (configuration.txt, `maxconn` of servers, `timeout queue`). HOT.

A slot is held from the moment a connection is tried until the stream is done with the server. Whoever gives one
back hands it to the stream that waited longest, in the server's queue or the backend's.
"""

from __future__ import annotations

from collections import deque

from trilb.live.proxy import Backend
from trilb.live.server import Server, Waiting
from trilb.net.poller import Waiter


class Pending:
    """A stream in a queue. `server` is set, its slot taken, when the turn has come."""

    __slots__ = ("index", "order", "owner", "server", "since", "waiter")

    def __init__(self, waiter: Waiter, since: float, owner: Server | Backend) -> None:
        self.waiter = waiter
        self.since = since
        self.order: tuple[int, float] = (0, since)
        self.owner = owner
        self.index = owner.queue_index
        self.server: Server | None = None

    def position(self) -> int:
        """For the log: how many left the queue into service since this one entered, itself included."""
        return self.owner.queue_index - self.index + (self.server is None)

    def served(self) -> bool:
        """Has the turn come?"""
        return self.server is not None

    def wake(self, reason: int = 0) -> None:
        """The turn has come."""
        self.waiter.wake(reason)


def join(line: deque[Waiting], pending: Pending, priority: int, offset: int) -> None:
    """Take a place: at the end, unless the priority of somebody says otherwise (`set-priority-class`, `-offset`)."""
    pending.order = (priority, pending.since + offset / 1000)
    at = len(line)
    while at and _order(line[at - 1]) > pending.order:
        at -= 1
    line.insert(at, pending)


def enter(server: Server, moved: object) -> None:
    """Take a slot."""
    server.used = used = server.used + 1
    if used > server.counters.smax:
        server.counters.rise(used)
    if callable(moved):
        moved(server)


def leave(server: Server, moved: object) -> None:
    """Give a slot back, to the next in line if there is one."""
    server.used -= 1
    if callable(moved):
        moved(server)
    if server.queue or server.backend.queue:
        dispatch(server)


def dispatch(server: Server) -> None:
    """Give a server's free slots to those who wait."""
    backend = server.backend
    while (server.queue or backend.queue) and not server.full:
        queue = server.queue
        if not queue or (backend.queue and server.effective and _order(backend.queue[0]) < _order(queue[0])):
            if not server.effective or not backend.queue:
                return
            queue = backend.queue
        if queue is server.queue and not server.running:
            return
        pending = queue.popleft()
        assert isinstance(pending, Pending)
        pending.owner.queue_index += 1
        pending.server = server
        enter(server, backend.plan.moved)
        pending.wake()


def dispatch_all(backend: Backend) -> None:
    """After a change of states: see who can be served now, and send on those who wait for a server that is gone."""
    for server in backend.servers:
        if not server.running and server.queue:
            while server.queue:
                pending = server.queue.popleft()
                pending.wake()
        dispatch(server)


def _order(pending: object) -> tuple[int, float]:
    assert isinstance(pending, Pending)
    return pending.order
