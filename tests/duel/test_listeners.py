"""`option socket-stats`: a row for every listening socket."""

from __future__ import annotations

import csv
import io

from tests.duel.conftest import DuelFactory
from tests.duel.test_tables import CLOSE, ask, get, request
from tests.support.duel import Side

CONFIG = """
global
    stats socket {dir}/cli level admin
defaults
    mode http
    timeout connect 1s
    timeout client 2s
    timeout server 2s
frontend fe
    option socket-stats
    bind 127.0.0.1:{port} name first
    bind 127.0.0.1:{other} id 7
    http-request deny if { path /deny }
    default_backend be
backend be
    server s1 127.0.0.1:{origin}
"""
COLUMNS = "pxname svname slim stot dreq dresp ereq status iid sid type mode addr".split()


def test_each_socket_has_a_row(duel: DuelFactory) -> None:
    made = duel(CONFIG)

    def act(side: Side) -> list[dict[str, str]]:
        for port, path in (("port", "/"), ("port", "/deny"), ("other", "/"), ("port", "/")):
            get(side.ports[port], request(path, CLOSE))
        get(side.ports["other"], b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
        text = ask(side, "show stat").lstrip("# ")
        ports = {str(port): name for name, port in side.ports.items()}
        rows = [{c: row[c] for c in COLUMNS} for row in csv.DictReader(io.StringIO(text)) if row["type"] == "3"]
        for row in rows:
            host, _, port = row["addr"].rpartition(":")
            row["addr"] = f"{host}:{ports[port]}"
        return rows

    assert len(made.same(act)) == 2
