"""What no duel can show: bounded loads, and balancing on an RDP cookie."""

from __future__ import annotations

import socket

from tests.balance.test_golden import servers
from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import Program
from trilb.balance import hashing
from trilb.base.diagnostic import NOWHERE
from trilb.config.model import HashType, Proxy, Side


def test_no_server_goes_past_its_factor() -> None:
    proxy = Proxy("b", "backend", NOWHERE, Side.BACKEND, hash_type=HashType(True), hash_balance_factor=125)
    ring = hashing.uri(proxy, 0, 0, False, False)
    members = servers([1, 1, 1, 1])
    ring.rebuild(members)
    for _ in range(400):
        # One hot key: without the bound a single server would take it all.
        server = ring.pick(b"/hot", None)
        assert server is not None
        server.used += 1
    assert max(server.used for server in members) <= 126
    assert min(server.used for server in members) > 0


def rdp(cookie: bytes) -> bytes:
    """An X.224 connection request with an RDP cookie (MS-RDPBCGR, 2.2.1.1)."""
    body = b"\xe0\0\0\0\0\0Cookie: mstshash=" + cookie + b"\r\n"
    return b"\x03\0" + (len(body) + 5).to_bytes(2, "big") + bytes([len(body)]) + body


def test_the_cookie_is_found() -> None:
    assert hashing.rdp_cookie_of(rdp(b"alice"), b"mstshash") == b"alice"
    assert hashing.rdp_cookie_of(rdp(b"alice"), b"msts") is None
    assert hashing.rdp_cookie_of(b"\x16\x03\x01", b"mstshash") is None


def test_a_users_connections_go_to_one_server() -> None:
    port = free_port()
    with Origin(lambda raw, origin: None, name="a") as one, Origin(lambda raw, origin: None, name="b") as two:
        config = (
            "defaults\n mode tcp\n timeout connect 2s\n timeout client 5s\n timeout server 5s\n"
            f"listen l\n bind 127.0.0.1:{port}\n balance rdp-cookie\n"
            f" server a 127.0.0.1:{one.port}\n server b 127.0.0.1:{two.port}\n"
        )
        with Program.trilb(config, port=port):
            seen: dict[bytes, set[int]] = {}
            for user in (b"alice", b"bob", b"carol", b"dave", b"erin") * 2:
                before = (one.connections, two.connections)
                with socket.create_connection(("127.0.0.1", port), 5) as sock:
                    sock.sendall(rdp(user))
                    while (one.connections, two.connections) == before:
                        pass
                    after = (one.connections, two.connections)
                seen.setdefault(user, set()).add(0 if after[0] > before[0] else 1)
            assert all(len(where) == 1 for where in seen.values()), seen
            assert {next(iter(where)) for where in seen.values()} == {0, 1}
