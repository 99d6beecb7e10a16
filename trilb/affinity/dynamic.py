"""Dynamic cookie values: a keyed hash of the server's address, the same on every load balancer."""

from __future__ import annotations

from trilb.base import ip
from trilb.base.hashes import xxh64
from trilb.live.server import Server


def dynamic_value(key: str, server: Server) -> bytes | None:
    """16 hexadecimal digits of XXH64 over key, address and port; None for a server without IP address."""
    if not isinstance(server.address, tuple):
        return None
    packed = ip.packed(server.address[0])
    return b"%016x" % xxh64(key.encode("latin-1") + packed + server.address[1].to_bytes(4, "big"))


def settle(server: Server) -> None:
    """Give a server without a cookie of its own the dynamic one, or none where they are off."""
    config = server.backend.config
    if config.cookie is None or server.line.cookie is not None:
        return
    wanted = config.cookie.dynamic and config.dynamic_cookie_key
    server.cookie = dynamic_value(config.dynamic_cookie_key, server) if wanted else None
