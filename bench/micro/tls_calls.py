"""How OpenSSL is called: by pyOpenSSL's methods, which make a buffer each, or by its bindings with one buffer for all.

What is opened was sealed by the other end first, by methods both times. Four records sealed are carried away at once
by the bindings, one by one by the methods.

Measured (CPython 3.11, modules as plain Python; in brackets the ratio):
- 250 bytes sealed: bindings 0.93 us (1.00), methods 2.67 us (2.88).
- 65536 bytes sealed: bindings 11.6 us (1.00), methods 20.2 us (1.74).
- 40 bytes sealed by methods, and opened: bindings 2.85 us (1.00), methods 4.29 us (1.51).
"""

from __future__ import annotations

from contextlib import suppress

import trustme
from OpenSSL import SSL

from bench.micro import Work, compare, count

LIB, FFI = vars(SSL)["_lib"], vars(SSL)["_ffi"]
ROOM = FFI.new("char[]", 1 << 17)
SEEN = FFI.buffer(ROOM)
RECORD, BATCH = 16384, 4


class Ends:
    """Two connections that have shaken hands in memory."""

    def __init__(self) -> None:
        ours = SSL.Context(SSL.TLS_METHOD)
        trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert(
            "localhost", key_type=trustme.KeyType.ECDSA
        ).configure_cert(ours)
        self.client, self.server = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None), SSL.Connection(ours, None)
        self.client.set_connect_state()
        self.server.set_accept_state()
        for _ in range(3):
            for end, other in ((self.client, self.server), (self.server, self.client)):
                with suppress(SSL.WantReadError):
                    end.do_handshake()
                with suppress(SSL.WantReadError):
                    other.bio_write(end.bio_read(1 << 16))
        inside = vars(self.server)
        self.raw, self.into, self.out = inside["_ssl"], inside["_into_ssl"], inside["_from_ssl"]

    def sealed(self, data: bytes, times: int) -> list[bytes]:
        """Records of the client's."""
        made: list[bytes] = []
        for _ in range(times):
            self.client.send(data)
            made.append(self.client.bio_read(1 << 16))
        return made

    def methods(self, data: bytes) -> Work:
        """Seal and carry away, a record at a time."""

        def work(often: int) -> None:
            view = memoryview(data)
            for _ in range(often):
                for at in range(0, len(data), RECORD):
                    taken = self.server.send(view[at : at + RECORD])
                    self.server.bio_read(taken + 4096)

        return work

    def bindings(self, data: bytes) -> Work:
        """The same through the bindings, several records at a time."""

        def work(often: int) -> None:
            source, size = FFI.from_buffer(data), len(data)
            for _ in range(often):
                for at in range(0, size, RECORD):
                    LIB.SSL_write(self.raw, source + at, min(RECORD, size - at))
                LIB.BIO_read(self.out, ROOM, 1 << 17)

        return work

    def opened_by_methods(self, data: bytes) -> Work:
        """Feed and open."""

        def work(often: int) -> None:
            for record in self.sealed(data, often):
                self.server.bio_write(record)
                self.server.recv(RECORD)

        return work

    def opened_by_bindings(self, data: bytes) -> Work:
        """The same through the bindings."""

        def work(often: int) -> None:
            for record in self.sealed(data, often):
                LIB.BIO_write(self.into, record, len(record))
                SEEN[: LIB.SSL_read(self.raw, ROOM, RECORD)]

        return work


def main(often: int) -> None:
    """Print the figures. What is opened was sealed by the other end, which costs the same both ways."""
    for size in (250, RECORD * BATCH):
        data = bytes(size)
        times = often if size < RECORD else often // 20 or 1
        compare(f"{size} bytes sealed", {"bindings": Ends().bindings(data), "methods": Ends().methods(data)}, times)
    data = bytes(40)
    ways = {"bindings": Ends().opened_by_bindings(data), "methods": Ends().opened_by_methods(data)}
    compare("40 bytes sealed by methods, and opened", ways, often)


if __name__ == "__main__":
    main(count(5000))
