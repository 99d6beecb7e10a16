"""How a header block is read: by `http/h2decode`, or by the library's decoder.

Measured (CPython 3.11, modules as plain Python; in brackets the ratio):
- the second request of a connection, all from tables: h2decode 2.1 us (1.00), hpack 13.8 us (6.5);
- the same with a path of its own: h2decode 2.3 us (1.00), hpack 13.7 us (6.0).
Compiled, h2decode takes 1.2 us.
"""

from __future__ import annotations

from hpack import Decoder, Encoder

from bench.micro import Work, compare, count
from trilb.http.h2decode import decode

ASK = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"www.example.com:8443"),
    (b":path", b"/"),
    (b"user-agent", b"h2load nghttp2/1.52.0"),
    (b"accept", b"*/*"),
]


def ours(decoder: Decoder, block: bytes) -> Work:
    """Read the block with `h2decode`."""
    return lambda n: [decode(decoder, block) for _ in range(n)]


def library(decoder: Decoder, block: bytes) -> Work:
    """Read it with the library."""
    return lambda n: [decoder.decode(block, raw=True) for _ in range(n)]


def main(often: int) -> None:
    """Print the figures."""
    for name, path in (("all from tables", b"\x84"), ("a path of its own", b"\x04\x16/pages/1234/index.html")):
        encoder, decoder = Encoder(), Decoder()
        decoder.decode(encoder.encode(ASK), raw=True)
        block = path + encoder.encode([field for field in ASK if field[0] != b":path"])
        compare(name, {"h2decode": ours(decoder, block), "hpack": library(decoder, block)}, often)


if __name__ == "__main__":
    main(count(20_000))
