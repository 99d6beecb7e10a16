"""The hash functions that decide which server a key goes to; they must equal HAProxy's bit for bit.

Sources: configuration.txt, `hash-type`; the functions are the published sdbm, djb2, crc32 (zlib), Jenkins'
32-bit avalanche and XXH64, and HAProxy's own wt6. tests/golden holds the values HAProxy gave.
"""

from __future__ import annotations

from binascii import crc32 as _crc32

_M32 = 0xFFFFFFFF
_M64 = 0xFFFFFFFFFFFFFFFF


def sdbm(key: bytes) -> int:
    """sdbm, 32 bits."""
    h = 0
    for c in key:
        h = (h * 65599 + c) & _M32
    return h


def djb2(key: bytes) -> int:
    """djb2 (times 33, add), 32 bits."""
    h = 5381
    for c in key:
        h = (h * 33 + c) & _M32
    return h


def wt6(key: bytes) -> int:
    """wt6: two mixing words with data-dependent rotations, 32 bits."""
    h0, h1, s0, s1 = 0xA53C965A, 0x5CA6953A, 6, 18
    for c in key:
        h0 = ~(h0 ^ c) & _M32
        h1 = ~(h1 + c) & _M32
        t = ((h1 << s0) | (h1 >> (32 - s0))) & _M32
        h1 = ((h0 << s1) | (h0 >> (32 - s1))) & _M32
        h0 = t
        mix = ((h0 >> 16) ^ h1) & 0xFFFF
        s0, s1 = mix & 0x1F, mix >> 11
    return h0 ^ h1


def crc32(key: bytes) -> int:
    """zlib's CRC-32."""
    return _crc32(key)


def _castagnoli() -> tuple[int, ...]:
    table = []
    for c in range(256):
        for _ in range(8):
            c = c >> 1 ^ 0x82F63B78 if c & 1 else c >> 1
        table.append(c)
    return tuple(table)


_CASTAGNOLI = _castagnoli()


def crc32c(key: bytes) -> int:
    """CRC-32C (RFC 4960, appendix B)."""
    h = _M32
    for c in key:
        h = h >> 8 ^ _CASTAGNOLI[(h ^ c) & 0xFF]
    return h ^ _M32


def decimal(key: bytes) -> int:
    """`none`: the leading decimal digits of the key, 32 bits; 0 when there are none."""
    h = 0
    for c in key:
        if not 48 <= c <= 57:
            break
        h = (h * 10 + c - 48) & _M32
    return h


def jenkins(a: int) -> int:
    """Bob Jenkins' full avalanche of a 32-bit integer."""
    a = (a + 0x7ED55D16 + (a << 12)) & _M32
    a = (a ^ 0xC761C23C) ^ (a >> 19)
    a = (a + 0x165667B1 + (a << 5)) & _M32
    a = ((a + 0xD3A2646C) ^ (a << 9)) & _M32
    a = (a + 0xFD7046C5 + (a << 3)) & _M32
    return (a ^ 0xB55A4F09) ^ (a >> 16)


def avalanche(h: int) -> int:
    """The `avalanche` modifier: Jenkins' mixing and a multiplication that spreads the low bits."""
    return (jenkins(h & _M32) * 3221225473) & _M32


_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def _rotate(x: int, r: int) -> int:
    return ((x << r) | (x >> (64 - r))) & _M64


def _round(acc: int, lane: int) -> int:
    return (_rotate((acc + lane * _P2) & _M64, 31) * _P1) & _M64


def xxh64(data: bytes, seed: int = 0) -> int:
    """XXH64, the hash behind dynamic cookies. Runs at load and on address changes, never per request."""
    n, i = len(data), 0
    if n >= 32:
        lanes = [(seed + _P1 + _P2) & _M64, (seed + _P2) & _M64, seed & _M64, (seed - _P1) & _M64]
        while i <= n - 32:
            for lane in range(4):
                lanes[lane] = _round(lanes[lane], int.from_bytes(data[i + 8 * lane : i + 8 * lane + 8], "little"))
            i += 32
        h = sum(_rotate(v, r) for v, r in zip(lanes, (1, 7, 12, 18), strict=True)) & _M64
        for v in lanes:
            h = ((h ^ _round(0, v)) * _P1 + _P4) & _M64
    else:
        h = (seed + _P5) & _M64
    h = (h + n) & _M64
    while i <= n - 8:
        h = (_rotate(h ^ _round(0, int.from_bytes(data[i : i + 8], "little")), 27) * _P1 + _P4) & _M64
        i += 8
    if i <= n - 4:
        h = (_rotate(h ^ (int.from_bytes(data[i : i + 4], "little") * _P1) & _M64, 23) * _P2 + _P3) & _M64
        i += 4
    for c in data[i:]:
        h = (_rotate(h ^ (c * _P5) & _M64, 11) * _P1) & _M64
    h = ((h ^ (h >> 33)) * _P2) & _M64
    h = ((h ^ (h >> 29)) * _P3) & _M64
    return h ^ (h >> 32)
