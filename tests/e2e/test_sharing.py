"""Tables of real processes: shared over TLS, counted once, back after both were killed."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.wire import exchange

pytestmark = pytest.mark.alone
CONFIG = """
global
    localpeer {me}
    stats socket {{dir}}/cli level admin
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
peers pair
{peers}
    table rates type ip size 1k expire 10m store http_req_rate(60s),http_req_cnt,gpc0
frontend fe
    bind 127.0.0.1:{{port}}
    http-request track-sc0 src table pair/rates
    http-request deny deny_status 429 if {{ sc0_http_req_rate gt 10 }} {{ path /limited }}
    http-request return status 200 if {{ path /count }}
    default_backend be
backend be
    balance random
    stick-table type string len 32 size 10k expire 10m {table}
    stick on req.hdr(x-user)
{servers}
"""


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


def ask(program: Program, command: str) -> str:
    """What the runtime socket answers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(program.dir / "cli"))
        sock.sendall(command.encode() + b"\n")
        said = b""
        while data := sock.recv(65536):
            said += data
    return said.decode("latin-1")


def get(port: int, path: str = "/", user: str = "") -> bytes:
    """One request over a connection of its own."""
    extra = f"x-user: {user}\r\n" if user else ""
    return exchange(port, f"GET {path} HTTP/1.1\r\nhost: a\r\n{extra}connection: close\r\n\r\n".encode())


def server(answer: bytes) -> str:
    found = re.search(rb"x-server: (\S+)", answer)
    assert found is not None, answer
    return found[1].decode()


def counted(program: Program) -> int:
    """The requests of everybody, as a replica sees them."""
    return int(re.findall(r"http_req_cnt=(\d+)", ask(program, "show table pair/rates"))[0])


class Cluster:
    """Two replicas with the same servers."""

    def __init__(self, stack: ExitStack, *, tls: str = "", table: str = "peers pair", file: Path | None = None) -> None:
        self.stack = stack
        self.origins = [stack.enter_context(Origin(name=f"s{n}")) for n in range(3)]
        self.peer_ports = {"one": free_port(), "two": free_port()}
        self.ports = {"one": free_port(), "two": free_port()}
        self.tls = tls
        self.table = table
        self.file = file
        self.running: dict[str, Program] = {}

    def start(self, me: str) -> Program:
        """Start a replica."""
        lines = []
        if self.tls:
            lines.append(f"    default-server {self.tls}")
            lines.append(f"    bind 127.0.0.1:{self.peer_ports[me]} {self.tls}")
        for name, port in self.peer_ports.items():
            local = self.tls and name == me
            lines.append(f"    server {name}" + ("" if local else f" 127.0.0.1:{port}"))
        table = self.table + (f" durable {self.file}.{me}" if self.file else "")
        servers = "\n".join(f"    server {o.name} 127.0.0.1:{o.port}" for o in self.origins)
        text = CONFIG.format(me=me, peers="\n".join(lines), table=table, servers=servers)
        program = self.stack.enter_context(Program.trilb(text, port=self.ports[me]))
        self.running[me] = program
        until(lambda: (program.dir / "cli").exists())
        # What is answered here is answered by somebody who knows what there is to know.
        assert get(self.ports[me], "/count").startswith(b"HTTP/1.1 200")
        return program

    def in_sync(self) -> bool:
        """Both say that they are."""
        return all("    in sync\n" in ask(program, "show peers") for program in self.running.values())


def test_replicas_over_tls_keep_clients_and_count_once(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("peer").private_key_and_cert_chain_pem.write_to_path(tmp_path / "peer.pem")
    tls = f"ssl crt {tmp_path}/peer.pem ca-file {tmp_path}/ca.pem verify required"
    with ExitStack() as stack:
        cluster = Cluster(stack, tls=tls)
        one, two = cluster.start("one"), cluster.start("two")
        until(cluster.in_sync)
        at = {f"u{n}": server(get(cluster.ports["one"], user=f"u{n}")) for n in range(12)}
        until(lambda: "used:12" in ask(two, "show table be"))
        for user, where in at.items():
            assert server(get(cluster.ports["two"], user=user)) == where
        until(lambda: counted(one) == counted(two))
        before = counted(one)
        for _ in range(5):
            get(cluster.ports["one"], "/count")
            get(cluster.ports["two"], "/count")
        for program in (one, two):
            until(lambda program=program: counted(program) == before + 10)  # type: ignore[misc]
        # A limit of ten a minute, however they are spread.
        assert get(cluster.ports["two"], "/limited").startswith(b"HTTP/1.1 429")
        assert get(cluster.ports["one"], "/limited").startswith(b"HTTP/1.1 429")
        ask(one, "clear table be key u3")
        until(lambda: "key=u3 " not in ask(two, "show table be"))
        # Somebody without a certificate changes nothing, and is named.
        with socket.create_connection(("127.0.0.1", cluster.peer_ports["one"])) as stranger:
            stranger.sendall(b"\0\0\0\1hello there")
            until(lambda: "strangers=1" in ask(one, "show peers"))
        two.process.kill()
        two.process.wait()
        until(lambda: "connection refused by" in ask(one, "show peers"))
        again = cluster.start("two")
        assert "used:11" in ask(again, "show table be"), "it knows everything before it serves"
        for user in ("u0", "u7"):
            assert server(get(cluster.ports["two"], user=user)) == at[user]


def test_both_killed_at_once_and_back_from_disk(tmp_path: Path) -> None:
    with ExitStack() as stack:
        cluster = Cluster(stack, file=tmp_path / "table")
        cluster.start("one")
        cluster.start("two")
        until(cluster.in_sync)
        at = {f"u{n}": server(get(cluster.ports["one"], user=f"u{n}")) for n in range(40)}
        time.sleep(1.0)  # what is older than a second is promised
        for program in cluster.running.values():
            program.process.kill()
            program.process.wait()
        # Servers in another order: they are known by their names. One file has a damaged tail.
        cluster.origins.reverse()
        journal = next(tmp_path.glob("table.one.journal.*"))
        journal.write_bytes(journal.read_bytes() + b"\0\0\1\0garbage that was never written")
        one = cluster.start("one")
        assert "the last frame is cut off" in one.output
        for user, where in at.items():
            assert server(get(cluster.ports["one"], user=user)) == where
        one.process.kill()
        one.process.wait()
        cluster.start("two")
        for user, where in at.items():
            assert server(get(cluster.ports["two"], user=user)) == where
