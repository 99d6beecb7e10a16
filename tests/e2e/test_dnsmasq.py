"""With a real nameserver: dnsmasq, its answers changed by a signal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.runtime_socket import command

DNSMASQ = shutil.which("dnsmasq") or shutil.which("dnsmasq", path="/usr/sbin")
CONFIG = """
global
    stats socket {dir}/admin level admin
resolvers ns
    nameserver d 127.0.0.1:{dead_ns}
    nameserver t tcp@127.0.0.1:{dead_ns}
    accepted_payload_size 4096
    timeout resolve 50ms
    timeout retry 500ms
    hold nx 0
    hold other 0
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
listen f
    bind 127.0.0.1:{port}
    default-server resolvers ns init-addr none resolve-prefer ipv4
    server-template a 3 app.test:80
    server-template s 2 _http._tcp.test
"""


def test_dnsmasq(tmp_path: Path) -> None:
    """Addresses of a name, targets of SRV records, and what a change of the hosts file does."""
    if DNSMASQ is None:
        if os.environ.get("CI") == "true":
            pytest.fail("dnsmasq is not installed")
        pytest.skip("dnsmasq is not installed")
    port = free_port()
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.11 app.test\n127.0.0.12 app.test\n127.0.0.21 one.test\n")
    # Whoever it becomes must be able to read it again.
    tmp_path.chmod(0o755)
    options = [
        "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=", "--no-daemon",
        f"--addn-hosts={hosts}", f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces",
        "--local=/test/", "--local-ttl=0", "--srv-host=_http._tcp.test,one.test,8001,0,300",
        "--srv-host=_http._tcp.test,two.test,8002,0,1",
    ]  # fmt: skip
    server = subprocess.Popen([DNSMASQ, *options], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with Program.trilb(CONFIG, port=free_port(), dead_ns=port) as program:

            def until(*wanted: str) -> None:
                deadline = time.monotonic() + 10
                while True:
                    rows = command(program.dir / "admin", "show servers state f").splitlines()[2:]
                    found = sorted(f"{row.split()[4]}:{row.split()[18]} {row.split()[7]}" for row in rows)
                    if found == sorted(wanted):
                        return
                    assert time.monotonic() < deadline, found
                    time.sleep(0.05)

            until("127.0.0.11:80 1", "127.0.0.12:80 1", "-:80 1", "127.0.0.21:8001 2", "-:8002 1")
            hosts.write_text("127.0.0.13 app.test\n127.0.0.21 one.test\n127.0.0.22 two.test\n")
            server.send_signal(signal.SIGHUP)
            until("127.0.0.13:80 1", "-:80 1", "-:80 1", "127.0.0.21:8001 2", "127.0.0.22:8002 1")
    finally:
        server.terminate()
        server.wait(5)
