"""Lines of connections that never became a session: what came in place of a PROXY header."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.duel import Duel, Side
from tests.support.wire import Client

if TYPE_CHECKING:
    from tests.duel.conftest import DuelFactory

CONFIG = """
defaults
    mode http
    option httplog
    log 127.0.0.1:{syslog} format short local0
    timeout connect 1s
    timeout client 300ms
    timeout server 1s
listen named
    bind 127.0.0.1:{port_named} accept-proxy name in
listen formatted
    bind 127.0.0.1:{port_formatted} accept-proxy
    error-log-format '%ci %ST %ts %f %b %s %r'
listen quiet
    bind 127.0.0.1:{port_quiet} accept-proxy
    option dontlognull
    option log-separate-errors
"""
SENT = {
    "a request": b"GET / HTTP/1.1\r\n\r\n",
    "nothing, closed": b"",
    "nothing, idle": None,
    "an unknown protocol": b"PROXY XX 1 2 3 4\r\n",
    "a good header, a bad request": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nX\r\n\r\n",
}


@pytest.fixture(scope="module")
def sides(module_duel: DuelFactory) -> Duel:
    """Both programs."""
    return module_duel(CONFIG)


@pytest.mark.parametrize("port", ["named", "formatted", "quiet"])
@pytest.mark.parametrize("what", SENT)
def test_refusal(sides: Duel, port: str, what: str) -> None:
    """The line of a refused connection is HAProxy's."""
    sent = SENT[what]

    def run(side: Side) -> list[str]:
        with Client(side.ports[f"port_{port}"]) as client:
            if sent:
                client.send(sent)
            if sent is not None and not sent:
                client.close()
            else:
                client.read_all()
        if port == "quiet" and not sent:
            # The line of another connection tells when all have come.
            with Client(side.ports["port_formatted"]) as client:
                client.send(b"GET / HTTP/1.1\r\n\r\n")
                client.read_all()
        lines = side.syslog.take(1)
        lines += side.syslog.pending()
        return [re.sub(r"127\.0\.0\.1:\d+ |\[\S+\] ", "", line) for line in lines]

    sides.same(run)
