"""`chroot` into an empty directory, as in the files that distributions bring: everything is still served."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.certs import Authority, ask, client_context
from tests.support.ports import free_port
from tests.support.program import ROOT, TRILB, Program, fill
from tests.support.runtime_socket import command
from tests.support.wire import exchange

CONFIG = """
global
    chroot {root}
    stats socket {socket} mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend fe
    bind 127.0.0.1:{port}
    http-request use-service prometheus-exporter if { path /metrics }
    stats uri /stats
frontend tls
    bind 127.0.0.1:{secure} ssl crt {pem}
    http-request return status 200
"""
GET = "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
def test_everything_answers_in_an_empty_root(tmp_path: Path) -> None:
    """Figures of the process, the page, the exporter, and a certificate changed with its chain."""
    root = tmp_path / "root"
    root.mkdir()
    authority = Authority.new()
    between = Authority.new("between", authority)
    pem, socket = tmp_path / "a.pem", tmp_path / "admin.sock"
    pem.write_bytes(authority.issue("a").pem)
    port, secure = free_port(), free_port()
    with Program.trilb(CONFIG, port=port, secure=secure, root=root, socket=socket, pem=pem) as program:
        memory = [line for line in command(socket, "show info").splitlines() if line.startswith("PoolUsed_bytes: ")]
        assert int(memory[0].split()[1]) > 1 << 20
        assert b"haproxy_process_pool_used_bytes" in exchange(port, GET.format("/metrics").encode())
        assert b"</html>" in exchange(port, GET.format("/stats").encode())
        assert "Transaction created" in command(socket, f"set ssl cert {pem} <<\n{between.issue('a').pem.decode()}\n")
        assert "Success!" in command(socket, f"commit ssl cert {pem}")
        # Its authority is not known to the client: the chain was sent.
        answer = ask(secure, GET.format("/").encode(), client_context(trusted=authority), name="a")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert "Traceback" not in program.output


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
@pytest.mark.parametrize("flags", ["-D", "-W -D"])
def test_the_background_in_an_empty_root(tmp_path: Path, flags: str) -> None:
    """The command returns, and nobody holds what it wrote to."""
    (tmp_path / "root").mkdir()
    config, pids, socket = tmp_path / "lb.cfg", tmp_path / "pid", tmp_path / "admin.sock"
    text = CONFIG.partition("frontend tls")[0]
    config.write_text(fill(text, {"root": tmp_path / "root", "socket": socket, "port": free_port()}))
    words = [*TRILB, *flags.split(), "-f", str(config), "-p", str(pids)]
    done = subprocess.run(words, capture_output=True, timeout=30, cwd=ROOT)
    try:
        assert (done.returncode, done.stderr) == (0, b"")
        assert "PoolUsed_bytes" in command(socket, "show info")
    finally:
        os.kill(int(pids.read_text().split()[0]), signal.SIGTERM)
