"""A scripted DNS server on one port, UDP and TCP: what it answers is set by the test and may be wrong in any way."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.support.ports import free_port


@dataclass(frozen=True)
class Question:
    """What was asked, by whom, over what."""

    name: str
    type: str
    id: int
    source: int
    payload: int
    stream: bool
    raw: bytes = field(repr=False, default=b"")
    at: float = 0.0


@dataclass(frozen=True)
class Records:
    """An answer: records as `(name, ttl, type, text)`, code, and what is odd about it."""

    answer: Sequence[tuple[str, int, str, str]] = ()
    additional: Sequence[tuple[str, int, str, str]] = ()
    code: str = "NOERROR"
    truncated: bool = False

    def wire(self, question: Question) -> bytes:
        """The response to a question."""
        query = dns.message.from_wire(question.raw)
        made = dns.message.make_response(query, recursion_available=True)
        made.set_rcode(dns.rcode.from_text(self.code))
        for section, rows in ((made.answer, self.answer), (made.additional, self.additional)):
            for name, ttl, kind, text in rows:
                section.append(dns.rrset.from_text(name, ttl, "IN", kind, text))
        if self.truncated:
            made.flags |= dns.flags.TC
        return made.to_wire(max_size=65535)


Answer = Records | bytes | list[bytes] | None
"""Records, bytes as they are, several datagrams, or silence."""
Script = Callable[[Question], Answer]


def a(name: str, *addresses: str, ttl: int = 1) -> Records:
    """Address records, of the type the addresses have."""
    return Records([(f"{name}.", ttl, "AAAA" if ":" in text else "A", text) for text in addresses])


def srv(name: str, *targets: tuple[int, int, str, str], ttl: int = 1, additional: bool = True) -> Records:
    """SRV records (weight, port, target, address); addresses as additional records."""
    return Records(
        [(f"{name}.", ttl, "SRV", f"0 {weight} {port} {target}.") for weight, port, target, _ in targets],
        [
            (f"{target}.", ttl, "AAAA" if ":" in text else "A", text)
            for _, _, target, text in targets
            if additional and text
        ],
    )


class Nameserver:
    """Answers from `zone` by (name, type), or by `script` when that is set; an unknown name is NXDOMAIN."""

    def __init__(self) -> None:
        """Bind at once."""
        self.port = free_port()
        self.zone: dict[tuple[str, str], Answer] = {}
        self.script: Script | None = None
        self.asked: list[Question] = []
        self._changed = threading.Condition()
        self._udp = socket.socket(type=socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._tcp = socket.socket()
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._tcp.bind(("127.0.0.1", self.port))
        self._tcp.listen(16)
        self._conns: list[socket.socket] = []
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._datagrams, self._accept)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Stop."""
        # A thread in recv is not woken by close: shutdown does that, on a datagram socket with an error that is fine.
        for sock in (self._udp, self._tcp, *self._conns):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)

    def count(self, name: str, kind: str | None = None) -> int:
        """How often a name was asked for."""
        return sum(q.name == name and kind in (None, q.type) for q in list(self.asked))

    def wait(self, name: str, more: int = 1, kind: str | None = None, timeout: float = 8.0) -> None:
        """Wait for `more` further questions about a name."""
        wanted = self.count(name, kind) + more
        with self._changed:
            done = self._changed.wait_for(lambda: self.count(name, kind) >= wanted, timeout)
        assert done, f"{name} was not asked for: {self.asked[-5:]}"

    def _reply(self, raw: bytes, source: int, stream: bool) -> list[bytes]:
        try:
            query = dns.message.from_wire(raw)
        except dns.exception.DNSException:
            return []  # HAProxy asks for names that are none
        asked = query.question[0]
        question = Question(
            asked.name.to_text(omit_final_dot=True).lower(),
            dns.rdatatype.to_text(asked.rdtype),
            query.id,
            source,
            query.payload,
            stream,
            raw,
            time.monotonic(),
        )
        with self._changed:
            self.asked.append(question)
            self._changed.notify_all()
        if self.script is not None:
            answer = self.script(question)
        else:
            known = any(name == question.name for name, _ in self.zone)
            answer = self.zone.get((question.name, question.type), Records(code="NOERROR" if known else "NXDOMAIN"))
        if answer is None:
            return []
        if isinstance(answer, Records):
            return [answer.wire(question)]
        return [answer] if isinstance(answer, bytes) else answer

    def _datagrams(self) -> None:
        while True:
            try:
                raw, peer = self._udp.recvfrom(65535)
            except OSError:
                return
            if not raw:
                return
            for answer in self._reply(raw, peer[1], False):
                with suppress(OSError):
                    self._udp.sendto(answer, peer)

    def _accept(self) -> None:
        while True:
            try:
                conn, peer = self._tcp.accept()
            except OSError:
                return
            self._conns.append(conn)
            thread = threading.Thread(target=self._stream, args=(conn, peer[1]), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _stream(self, conn: socket.socket, port: int) -> None:
        data = b""
        with suppress(OSError):
            while more := conn.recv(65535):
                data += more
                while len(data) >= 2 and len(data) >= 2 + (size := int.from_bytes(data[:2])):
                    raw, data = data[2 : 2 + size], data[2 + size :]
                    for answer in self._reply(raw, port, True):
                        conn.sendall(len(answer).to_bytes(2) + answer)
