"""What a stick table costs: insert, look up, memory, purging; and HAProxy's memory beside it. See README.md."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.programs import free_port, resident
from trilb.base.schema import Schema
from trilb.tables.store import Table

ENTRIES = 1_000_000
CONFIG = """
global
    stats socket {dir}/cli level admin
    stats timeout 60s
frontend f
    mode http
    timeout client 1s
    bind 127.0.0.1:{port}
    http-request return status 200
backend t
    stick-table type string len 32 size 2m expire 1h store server_id
"""


def keys(count: int) -> list[bytes]:
    """Keys of 16 bytes in no order."""
    return [b"%016x" % (n * 2654435761 & 0xFFFFFFFFFFFF) for n in range(count)]


def ours() -> None:
    """A table of servers with a million entries."""
    schema = Schema("t", "string", 32, 2 * ENTRIES, 1800.0)
    schema.sticks()
    made = keys(ENTRIES)
    table = Table(schema, shared=True)
    feed = table.subscribe()
    gc.collect()
    gc.freeze()
    before, began, now = resident("self"), time.perf_counter(), 0.0
    number = table.server_number("s1")
    for at, key in enumerate(made):
        now = 100 + at * 1e-5
        table.stick(table.get(key, now), 1, number, now)
    insert = time.perf_counter() - began
    size = resident("self") - before
    feed.take()
    now += 1.0
    began = time.perf_counter()
    for key in made:
        table.touch(table.find(key, now), now)
    lookup = time.perf_counter() - began
    feed.take()
    now += 1801.0
    longest = 0.0
    more = True
    while more:
        began = time.perf_counter()
        more = table.purge(now)
        longest = max(longest, time.perf_counter() - began)
    sys.stdout.write(
        f"trilb:   insert {insert / ENTRIES * 1e6:.2f} us, look up and refresh {lookup / ENTRIES * 1e6:.2f} us,"
        f" {size / ENTRIES:.0f} bytes an entry besides its key,"
        f" purging stops others for {longest * 1000:.1f} ms at most\n"
    )


def theirs() -> None:
    """HAProxy's memory for entries of the same keys, filled over its runtime socket."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "h.cfg").write_text(CONFIG.format(dir=folder, port=free_port()))
        process = subprocess.Popen(["haproxy", "-db", "-f", f"{folder}/h.cfg"], stderr=subprocess.DEVNULL)
        try:
            while not (Path(folder) / "cli").exists():
                time.sleep(0.05)
            time.sleep(0.2)
            before, count, began = resident(process.pid), 100_000, time.perf_counter()
            made = keys(count)
            for at in range(0, count, 100):
                commands = ";".join(f"set table t key {k.decode()} data.server_id 1" for k in made[at : at + 100])
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(f"{folder}/cli")
                    sock.sendall(commands.encode() + b"\n")
                    while sock.recv(65536):
                        pass
            spent = time.perf_counter() - began
            size = resident(process.pid) - before
            sys.stdout.write(
                f"HAProxy: {size / count:.0f} bytes an entry with its key (the manual says about 50 besides the key);"
                f" set over its socket in {spent / count * 1e6:.1f} us each, which is mostly the socket\n"
            )
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    ours()
    theirs()
