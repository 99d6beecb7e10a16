"""A nameserver that is wrong, slow or not alone: nobody's server moves for it, and requests go on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.nameserver import Answer, Nameserver, Question, Records, a
from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.runtime_socket import command
from tests.support.wire import Client, exchange

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
CONFIG = """
global
    stats socket {dir}/admin level admin
resolvers ns
    nameserver n1 127.0.0.1:{dead_ns}
    resolve_retries 1
    timeout resolve 30ms
    timeout retry 300ms
    hold nx 1h
    hold other 1h
    hold refused 1h
    hold timeout 1h
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    http-reuse always
    retries 0
listen f
    bind 127.0.0.1:{port}
    server s app.test:{origin} resolvers ns init-addr none resolve-prefer ipv4
backend many
    server-template x 3 _many._tcp.test resolvers ns
"""


class World:
    """trilb, its nameserver and an origin."""

    def __init__(self, stack: ExitStack) -> None:
        self.names = stack.enter_context(Nameserver())
        self.origin = stack.enter_context(Origin(name="s"))
        self.good()
        self.port = free_port()
        self.program = stack.enter_context(
            Program.trilb(CONFIG, port=self.port, dead_ns=self.names.port, origin=self.origin.port)
        )
        self.until(lambda: self.address() == "127.0.0.1")

    def good(self) -> None:
        """Answer well again."""
        self.names.script = None
        self.names.zone = {("app.test", "A"): a("app.test", "127.0.0.1"), ("_many._tcp.test", "SRV"): Records()}

    def address(self) -> str:
        """Where the server is."""
        return command(f"{self.program.dir}/admin", "show servers state f").splitlines()[2].split(" ")[4]

    def counter(self, name: str) -> int:
        """A counter of the nameserver."""
        text = command(f"{self.program.dir}/admin", "show resolvers ns")
        return int(text.split(f"  {name}:")[1].split()[0])

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait."""
        deadline = time.monotonic() + 10
        while not reached():
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One for all."""
    with ExitStack() as stack:
        yield World(stack)


def spoofed(question: Question) -> Answer:
    """An answer from elsewhere first; it is a perfect one."""
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        stranger.sendto(a(question.name, "127.0.0.66").wire(question), ("127.0.0.1", question.source))
    return a(question.name, "127.0.0.1")


def flood(question: Question) -> Answer:
    """Every wrong id there is room for, with an address for each."""
    bad = bytearray(a(question.name, "127.0.0.66").wire(question))
    made = []
    for number in range(200):
        bad[:2] = ((question.id + 1 + number) & 0xFFFF).to_bytes(2)
        made.append(bytes(bad))
    return made


LIES: dict[str, Callable[[Question], Answer]] = {
    "stranger": spoofed,
    "wrong ids": flood,
    "garbage": lambda q: q.id.to_bytes(2) + b"\xff" * 200,
    "half an answer": lambda q: a(q.name, "127.0.0.66").wire(q)[:30],
    "the question": lambda q: q.raw,
    "another name": lambda q: a("b.test", "127.0.0.66"),
    "empty": lambda q: b"",
    "too long": lambda q: a(q.name, *(f"127.0.66.{n}" for n in range(60))),
    "loop": lambda q: Records([(f"{q.name}.", 1, "CNAME", "b.test."), ("b.test.", 1, "CNAME", f"{q.name}.")]),
    "refused": lambda q: Records(code="REFUSED"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_change_nothing(world: World, lie: str) -> None:
    """The server stays where it is, requests are served, and afterwards a good answer counts."""
    valid = world.counter("valid")
    world.names.script = LIES[lie]
    world.names.wait("app.test", 2)
    assert world.address() == "127.0.0.1"
    assert b" 200 " in exchange(world.port, GET)
    world.good()
    world.until(lambda: world.counter("valid") > valid)
    assert world.address() == "127.0.0.1"


def test_ids_and_ports_are_random(world: World) -> None:
    """A new one of each for every lookup."""
    world.names.wait("app.test", 20)
    asked = [question for question in world.names.asked if question.name == "app.test"][-20:]
    assert len({question.id for question in asked}) > 15
    assert len({question.source for question in asked}) > 10


def test_truncated_is_asked_over_tcp(world: World) -> None:
    """What does not fit into a datagram comes over a stream."""

    def script(question: Question) -> Answer:
        many = [(f"{question.name}.", 1, "A", f"127.0.0.{n}") for n in range(1, 100)]
        return Records(many) if question.stream else Records(truncated=True)

    valid = world.counter("valid")
    world.names.script = script
    world.until(lambda: world.counter("valid") > valid + 1)
    assert world.address() == "127.0.0.1"
    assert world.counter("truncated")
    assert any(question.stream for question in world.names.asked)
    world.good()


def test_the_way_follows_the_address(world: World) -> None:
    """Idle connections to the old address are not used any more, nor are those that were in use."""
    with Client(world.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b" 200 " in client.read_response()
        world.names.zone["app.test", "A"] = a("app.test", "127.0.0.77")
        world.until(lambda: world.address() == "127.0.0.77")
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b" 503 " in client.read_response()
    world.good()
    world.until(lambda: world.address() == "127.0.0.1")
    assert b" 200 " in exchange(world.port, GET)
