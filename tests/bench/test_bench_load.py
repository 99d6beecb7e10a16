"""What the load generators say, and our own at a fixed rate: it must not forgive a pause."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from bench.figures import percentile
from bench.load import Count, Failed, read_h2load, read_wrk
from bench.pace import REQUEST, moments, pace
from bench.programs import apart

WRK = """Running 4s test @ http://127.0.0.1:1/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.50ms  100.00us   5.00ms   90.00%
    Req/Sec    25.10k     1.00k   26.00k    70.00%
  100421 requests in 4.10s, 18.67MB read
{errors}Requests/sec:  24493.10
Transfer/sec:      4.55MB
"""
H2LOAD = """finished in 4.00s, 17818.25 req/s, 1.20MB/s
requests: 71273 total, 71401 started, 71273 done, {ok} succeeded, {failed} failed, 0 errored, 0 timeout
status codes: 71273 2xx, 0 3xx, 0 4xx, 0 5xx
"""
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend"


def test_wrk_is_read() -> None:
    assert read_wrk(WRK.format(errors="")) == Count(100421, 24493.10)
    few = "  Socket errors: connect 0, read 9, write 0, timeout 0\n"
    assert read_wrk(WRK.format(errors=few)).requests == 100421


@pytest.mark.parametrize(
    "errors",
    ["  Non-2xx or 3xx responses: 5\n", "  Socket errors: connect 0, read 2000, write 0, timeout 0\n"],
)
def test_runs_that_failed_do_not_count(errors: str) -> None:
    with pytest.raises(Failed, match="wrk"):
        read_wrk(WRK.format(errors=errors))


def test_h2load_is_read() -> None:
    assert read_h2load(H2LOAD.format(ok=71273, failed=0)) == Count(71273, 17818.25)
    for ok, failed in ((71272, 1), (0, 0)):
        with pytest.raises(Failed, match="h2load"):
            read_h2load(H2LOAD.format(ok=ok, failed=failed))
    with pytest.raises(Failed, match="h2load"):
        read_h2load("could not connect")


def test_moments_are_the_same_for_everybody() -> None:
    due = moments(1000.0, 2.0)
    assert due == moments(1000.0, 2.0) == sorted(due)
    assert 1800 < len(due) < 2200 and due[0] > 0 and due[-1] < 2.0


def serve(sock: socket.socket, pause: float, stop_after: int) -> None:
    """Answer on one connection; pause once, after fifty requests, and close after some."""
    peer, _ = sock.accept()
    # The load may be over, and not wait for its last answers.
    with peer, suppress(ConnectionError):
        for count in range(stop_after):
            data = b""
            while not data.endswith(b"\r\n\r\n"):
                got = peer.recv(4096)
                if not got:
                    return
                data += got
            assert data == REQUEST
            if count == 50:
                time.sleep(pause)
            # In two parts, so that one comes without the end.
            peer.sendall(ANSWER[:10])
            peer.sendall(ANSWER[10:])


def paced(pause: float, stop_after: int = 10_000) -> tuple[int, list[float]]:
    """300 requests a second for a second over one connection: how many, and their times."""
    due = moments(300.0, 1.0)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=serve, args=(sock, pause, stop_after))
        thread.start()
        try:
            return len(due), pace(sock.getsockname()[1], due, b"end", connections=1).times
        finally:
            thread.join()


def test_all_who_were_due_in_a_pause_waited() -> None:
    count, times = paced(0.4)
    assert len(times) == count
    assert percentile(times, 0.8) > 0.1, "some 120 of 300 were due meanwhile, not the one that was asked"


def test_a_connection_that_ends_is_no_measurement() -> None:
    with pytest.raises(Failed):
        paced(0.0, stop_after=60)


def test_a_program_of_its_own_processor() -> None:
    """And all as before afterwards."""
    everywhere = os.sched_getaffinity(0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as program:
        with apart([program.pid], []):
            own, rest = os.sched_getaffinity(program.pid), os.sched_getaffinity(0)
        assert (own & rest, own | rest) == (set() if len(everywhere) > 1 else everywhere, everywhere)
        assert os.sched_getaffinity(program.pid) == os.sched_getaffinity(0) == everywhere
        program.communicate(b"\n")
