"""Programs that watch HAProxy watch trilb: prometheus-haproxy-exporter and netdata's plugin, over socket and page."""

from __future__ import annotations

import os
import re
import selectors
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.origin import Origin
from tests.support.ports import free_port
from tests.support.program import Program, listening
from tests.support.wire import exchange, parse_response

EXPORTER = shutil.which("prometheus-haproxy-exporter")
NETDATA = Path("/usr/lib/netdata/plugins.d/python.d.plugin")
CONFIG = """
global
    stats socket {dir}/cli level user
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend fe
    bind 127.0.0.1:{port}
    stats enable
    stats uri /st
    default_backend be
backend be
    option redispatch
    server up 127.0.0.1:{origin}
    server down 127.0.0.1:{dead} check inter 20ms fall 1
"""


def require(there: object, name: str) -> None:
    """Skip without a program; with CI=true fail."""
    if not there:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")


class Watched:
    """trilb with two answers given, and one server down."""

    def __init__(self, program: Program, port: int) -> None:
        self.socket = f"{program.dir}/cli"
        self.page = f"http://127.0.0.1:{port}/st;csv"
        self.dir = program.dir


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    port = free_port()
    with Origin() as origin, Program.trilb(CONFIG, port=port, origin=origin.port, dead=free_port()) as program:
        for _ in range(2):
            exchange(port, b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        until = time.monotonic() + 10
        while not re.search(rb"(?m)^be,down,(?:[^,]*,){15}DOWN,", _csv(port)):
            assert time.monotonic() < until
            time.sleep(0.02)
        yield Watched(program, port)


def _csv(port: int) -> bytes:
    return exchange(port, b"GET /st;csv HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")


@contextmanager
def exporter(uri: str) -> Iterator[int]:
    """The exporter at work, and where it listens."""
    assert EXPORTER is not None
    port = free_port()
    command = [EXPORTER, f"--web.listen-address=127.0.0.1:{port}", f"--haproxy.scrape-uri={uri}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 10
            while not listening(port):
                assert process.poll() is None and time.monotonic() < until
                time.sleep(0.02)
            yield port
        finally:
            process.kill()


@pytest.mark.parametrize("way", ["socket", "page"])
def test_the_exporter(watched: Watched, way: str) -> None:
    require(EXPORTER, "prometheus-haproxy-exporter")
    uri = f"unix:{watched.socket}" if way == "socket" else watched.page
    with exporter(uri) as port:
        status, _, body = parse_response(
            exchange(port, b"GET /metrics HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", timeout=10.0)
        )
    lines = body.decode().splitlines()
    assert status == 200
    assert "haproxy_up 1" in lines
    assert "haproxy_exporter_csv_parse_failures_total 0" in lines
    assert 'haproxy_server_up{backend="be",server="up"} 1' in lines
    assert 'haproxy_server_up{backend="be",server="down"} 0' in lines
    assert 'haproxy_backend_http_responses_total{backend="be",code="2xx"} 2' in lines
    assert 'haproxy_backend_sessions_total{backend="be"} 2' in lines


def test_netdata(watched: Watched, tmp_path: Path) -> None:
    require(NETDATA.exists(), "netdata-plugins-python")
    (tmp_path / "python.d").mkdir()
    (tmp_path / "python.d.conf").write_text("enabled: yes\ndefault_run: no\nhaproxy: yes\n")
    (tmp_path / "python.d" / "haproxy.conf").write_text(
        f"socket:\n  socket: '{watched.socket}'\npage:\n  url: '{watched.page}'\n"
    )
    places = {"NETDATA_USER_CONFIG_DIR": str(tmp_path), "NETDATA_LOCK_DIR": str(tmp_path)}
    command = [str(NETDATA), "1", "debug", "haproxy"]
    wanted = {
        f"BEGIN haproxy_{way}.{chart} \nSET '{name}' = {value}"
        for way in ("socket", "page")
        for chart, name, value in (
            ("bhrsp_2xx", "backend_hrsp_2xx_be", "2"),
            ("health_sdown", "hsdown_be", "1"),
            ("health_bdown", "hbdown_be", "0"),
        )
    }
    said = ""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **places}
    ) as process:
        assert process.stdout is not None
        until = time.monotonic() + 20
        selector = selectors.DefaultSelector()
        selector.register(process.stdout, selectors.EVENT_READ)
        try:
            while any(each not in re.sub(r"(?m)^(BEGIN \S+) \d+$", r"\1 ", said) for each in wanted):
                assert selector.select(until - time.monotonic()), said
                more = os.read(process.stdout.fileno(), 65536).decode()
                assert more, said
                said += more
            for way in ("socket", "page"):
                assert re.search(rf"BEGIN haproxy_{way}\.health_idle \d*\nSET 'idle' = \d+\n", said), way
        finally:
            selector.close()
            process.kill()
