"""Algorithms over a key: source, uri, url_param, hdr, rdp-cookie, by map or by consistent ring. HOT.

The same key goes to the server HAProxy would choose (tests/golden). A missing key falls back to turns. The key's
extraction is here too, since it belongs to the algorithm's arguments.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable

from trilb.balance.registry import algorithm
from trilb.balance.rings import StaticRoundRobin, weighted_map
from trilb.base import hashes, ip
from trilb.base.diagnostic import Refused
from trilb.base.units import whole
from trilb.config.expressions import NotServed
from trilb.config.model import HashType, Proxy
from trilb.live.plan import Key
from trilb.live.server import Server
from trilb.live.stream import Stream

_FUNCTIONS: dict[str, Callable[[bytes], int]] = {
    "sdbm": hashes.sdbm,
    "djb2": hashes.djb2,
    "wt6": hashes.wt6,
    "crc32": hashes.crc32,
    "none": hashes.decimal,
}
_M32 = 0xFFFFFFFF


def hash_function(spec: HashType, *, address: bool) -> Callable[[bytes], int]:
    """The hash of a key. Plain `consistent` mixes with avalanche; `source` ignores the named function."""
    mix = spec.avalanche or (spec.consistent and not spec.function)
    function = _xor_words if address else _FUNCTIONS[spec.function or "sdbm"]
    if not mix:
        return function
    return lambda key: hashes.avalanche(function(key))


def _xor_words(address: bytes) -> int:
    h = 0
    for at in range(0, len(address), 4):
        h ^= int.from_bytes(address[at : at + 4], "big")
    return h


class MapHash:
    """hash modulo a table of servers: smallest cost, everything moves when the set changes."""

    __slots__ = ("_hash", "_single", "_table", "_turns")

    def __init__(self, function: Callable[[bytes], int]) -> None:
        self._hash = function
        self._table: list[Server] = []
        self._single: Server | None = None
        self._turns = StaticRoundRobin()

    def rebuild(self, servers: list[Server]) -> None:
        """Fill the table anew."""
        self._table = weighted_map(servers)
        self._single = servers[0] if len(servers) == 1 else None
        self._turns.rebuild(servers)

    def pick(self, key: bytes | int | None, avoid: Server | None) -> Server | None:
        """The key's server, also when it is full: it then waits in that server's queue."""
        if self._single is not None:
            return self._single
        if key is None or not self._table:
            return self._turns.pick(None, avoid)
        assert isinstance(key, bytes)
        return self._table[self._hash(key) % len(self._table)]


def node_base(server: Server) -> int:
    """Where a server's first node stands on the ring, by its `hash-key`."""
    address, kind = server.address, server.line.hash_key
    if kind == "id32":
        return hashes.avalanche(int.from_bytes(server.id.to_bytes(4, "little"), "big"))
    if kind in ("addr", "addr-port") and isinstance(address, tuple):
        packed = ip.packed(address[0])
        low = int.from_bytes(packed[:4], "little")
        if kind == "addr":
            return hashes.avalanche(low)
        return hashes.avalanche((hashes.avalanche(address[1]) + low) & _M32)
    return (server.id << 12) & 0x0FFFFFFF


class Ring:
    """A consistent ring: each server has 16 nodes a unit of weight; a key goes to the nearest node."""

    __slots__ = ("_at", "_config", "_hash", "_nodes", "_owners", "_servers", "_single", "_weight")

    def __init__(self, function: Callable[[bytes], int], config: Proxy) -> None:
        self._hash = function
        self._config = config
        self.rebuild([])

    def rebuild(self, servers: list[Server]) -> None:
        """Place the nodes anew; nodes of servers that stay do not move."""
        self._servers = servers
        self._single = servers[0] if len(servers) == 1 else None
        self._weight = sum(server.share for server in servers)
        placed: list[tuple[int, int, Server]] = []
        for server in servers:
            base = node_base(server)
            for j in range(server.share):
                placed.append((hashes.avalanche((base + j) & _M32), len(placed), server))
        placed.sort(key=lambda node: node[:2])
        self._nodes = [node[0] for node in placed]
        self._owners = [node[2] for node in placed]
        self._at = 0

    def pick(self, key: bytes | int | None, avoid: Server | None) -> Server | None:
        """The server of the nearest node; further clockwise past `avoid` and, where configured, full ones."""
        if self._single is not None:
            return self._single
        owners = self._owners
        size = len(owners)
        if not size:
            return None
        if key is None:
            at = self._at
            self._at = (at + 1) % size
        else:
            assert isinstance(key, bytes)
            at = self._nearest(self._hash(key))
        config = self._config
        strict = config.hash_preserve_affinity
        first = owners[at]
        if first is not avoid and strict == "always" and not config.hash_balance_factor:
            return first
        for step in range(size):
            server = owners[(at + step) % size]
            if server is not avoid and self._accepts(server, strict):
                return server
        return first if first is not avoid or len(self._servers) == 1 else None

    def _accepts(self, server: Server, strict: str) -> bool:
        if strict != "always" and server.maxconn and server.used >= server.limit():
            queue_full = bool(server.line.maxqueue) and len(server.queue) >= server.line.maxqueue
            if strict == "maxconn" or queue_full:
                return False
        factor = self._config.hash_balance_factor
        if factor:
            # No server may carry more than factor percent of its fair share of what runs, this one included.
            running = sum(s.used + len(s.queue) for s in self._servers) + 1
            slots = -(-running * factor * server.share // (100 * self._weight))
            return server.used + len(server.queue) < max(1, slots)
        return True

    def _nearest(self, h: int) -> int:
        """The nearer of the nodes after and before the hash; a tie goes to the one before."""
        nodes = self._nodes
        after = bisect_left(nodes, h)
        size = len(nodes)
        before = (after - 1) % size
        after %= size
        return after if (nodes[after] - h) & _M32 < (h - nodes[before]) & _M32 else before


def _make(proxy: Proxy, *, address: bool = False) -> MapHash | Ring:
    function = hash_function(proxy.hash_type, address=address)
    return Ring(function, proxy) if proxy.hash_type.consistent else MapHash(function)


def _source_args(words: list[str]) -> tuple[object, ...]:
    if words:
        raise Refused(f"'balance source' cannot handle unexpected argument '{words[0]}'")
    return ()


def _source_key() -> Key:
    return lambda stream: stream.session.client


@algorithm("source", source="balance", parse=_source_args, key=_source_key)
def source(proxy: Proxy) -> MapHash | Ring:
    """Hash of the client's address."""
    return _make(proxy, address=True)


def _uri_args(words: list[str]) -> tuple[object, ...]:
    length = depth = 0
    whole_uri = path_only = False
    i = 0
    while i < len(words):
        if words[i] in ("len", "depth") and i + 1 < len(words):
            value = whole(words[i + 1], 1, 2**31 - 1, f"'balance uri {words[i]}'")
            if words[i] == "len":
                length = value
            else:
                depth = value
            i += 2
            continue
        if words[i] == "whole":
            whole_uri = True
        elif words[i] == "path-only":
            path_only = True
        else:
            raise Refused("'balance uri' only accepts 'len <n>', 'depth <n>', 'path-only' and 'whole'")
        i += 1
    return length, depth, whole_uri, path_only


def _uri_key(length: int, depth: int, whole_uri: bool, path_only: bool) -> Key:
    absolute = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://[^/?]*")

    def key(stream: Stream) -> bytes | None:
        if stream.request is None:
            return None
        uri = stream.request.target
        if path_only and not uri.startswith(b"/") and (match := absolute.match(uri)):
            uri = uri[match.end() :]
        if not whole_uri:
            uri = uri.partition(b"?")[0]
        if length:
            uri = uri[:length]
        if depth:
            at, slashes = -1, 0
            while slashes <= depth:
                at = uri.find(b"/", at + 1)
                if at < 0:
                    return uri
                slashes += 1
            uri = uri[:at]
        return uri

    return key


@algorithm("uri", source="balance", parse=_uri_args, key=_uri_key)
def uri(proxy: Proxy, length: int, depth: int, whole_uri: bool, path_only: bool) -> MapHash | Ring:
    """Hash of the request target, to the question mark unless `whole`."""
    return _make(proxy)


def _param_args(words: list[str]) -> tuple[object, ...]:
    if not words:
        raise Refused("'balance url_param' requires a parameter name")
    if len(words) > 1:
        if words[1] == "check_post":
            raise NotServed("balance url_param check_post")
        raise Refused(f"'balance url_param' does not know '{words[1]}'")
    return (words[0],)


def _param_key(name: str) -> Key:
    wanted = name.encode("latin-1") + b"="

    def key(stream: Stream) -> bytes | None:
        if stream.request is None:
            return None
        for part in stream.request.target.partition(b"?")[2].split(b"&"):
            if part.startswith(wanted):
                return part[len(wanted) :]
        return None

    return key


@algorithm("url_param", source="balance", parse=_param_args, key=_param_key)
def url_param(proxy: Proxy, name: str) -> MapHash | Ring:
    """Hash of a parameter of the query string."""
    return _make(proxy)


def _hdr_args(words: list[str]) -> tuple[object, ...]:
    if not words or not words[0]:
        raise Refused("'balance hdr' requires a header name: hdr(host)")
    if len(words) > 1 and words[1] != "use_domain_only":
        raise Refused(f"'balance hdr' only accepts 'use_domain_only', not '{words[1]}'")
    return words[0], len(words) > 1


def _hdr_key(name: str, domain_only: bool) -> Key:
    wanted = name.lower().encode("latin-1")

    def key(stream: Stream) -> bytes | None:
        value = stream.request.get(wanted) if stream.request is not None else None
        if not value:
            return None
        if domain_only:
            labels = value.partition(b":")[0].split(b".")
            value = labels[-2] if len(labels) > 1 else labels[0]
        return value

    return key


@algorithm("hdr", source="balance", parse=_hdr_args, key=_hdr_key)
def hdr(proxy: Proxy, name: str, domain_only: bool) -> MapHash | Ring:
    """Hash of a request header."""
    return _make(proxy)


def _rdp_args(words: list[str]) -> tuple[object, ...]:
    return (words[0] if words and words[0] else "mstshash",)


_RDP = re.compile(rb"\x03\x00..(?:.\xe0.{5})Cookie: ([^=\r]+)=([^\r\n]*)", re.DOTALL)


def rdp_cookie_of(payload: bytes, name: bytes) -> bytes | None:
    """The value of a cookie in an RDP connection request at the beginning of a TCP stream (MS-RDPBCGR 2.2.1.1)."""
    match = _RDP.match(payload)
    return match[2] if match is not None and match[1].lower() == name.lower() else None


def _rdp_key(name: str) -> Key:
    wanted = name.encode("latin-1")
    return lambda stream: rdp_cookie_of(stream.target, wanted) or None


@algorithm("rdp-cookie", source="balance", parse=_rdp_args, key=_rdp_key, payload=True)
def rdp_cookie(proxy: Proxy, name: str) -> MapHash | Ring:
    """Hash of the RDP cookie of a TCP connection."""
    return _make(proxy)
