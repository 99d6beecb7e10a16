"""`http-reuse`: who may use whose connection to a server."""

from __future__ import annotations

import pytest

from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.wire import Client

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("mode", "connections"),
    # Two clients, one after the other, two requests each: how many connections the server sees.
    [("never", 2), ("safe", 2), ("aggressive", 1), ("always", 1)],
)
def test_connections_seen_by_the_server(mode: str, connections: int) -> None:
    port = free_port()
    with Origin(name="s") as origin:
        config = (
            "defaults\n mode http\n timeout connect 2s\n timeout client 5s\n timeout server 5s\n"
            f"listen l\n bind 127.0.0.1:{port}\n http-reuse {mode}\n server s 127.0.0.1:{origin.port}\n"
            f"listen stats\n bind 127.0.0.1:{(stats := free_port())}\n stats uri /\n"
        )
        with Program.trilb(config, port=port, stats=stats):
            for _ in range(2):
                with Client(port) as client:
                    for number in range(2):
                        client.send(GET % number)
                        assert client.read_response().startswith(b"HTTP/1.1 200")
            assert len(origin.requests) == 4
            assert origin.connections == connections
