"""The runtime socket itself."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from trilb.admin import server
from trilb.config.settings import Global, Socket

ADDRESS = f"\0trilb-test-{os.getpid()}"


def test_a_fault_in_a_command_ends_nothing_but_its_client(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def execute(view: object, caller: object, text: str, payload: str) -> str:
        if text == "break":
            raise ZeroDivisionError
        return "well\n"

    monkeypatch.setattr(server, "execute", execute)
    process = SimpleNamespace(faults=0, clock=SimpleNamespace(wall=0.0), started_wall=0.0)
    runtime = cast(Any, SimpleNamespace(config=SimpleNamespace(globals=Global()), process=process, give_listeners=None))

    async def ask(address: str, text: str) -> bytes:
        sock = trio.socket.socket(socket.AF_UNIX)
        await sock.connect(address)
        async with trio.SocketStream(sock) as stream:
            await stream.send_all(f"{text}\n".encode())
            return b"".join([data async for data in stream])

    async def main() -> list[bytes]:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(ADDRESS)
            listening.listen()
            async with trio.open_nursery() as nursery:
                line = cast(Socket, SimpleNamespace(level="admin", expose_fd=False, severity_output="none"))
                nursery.start_soon(server.serve_socket, runtime, trio.Semaphore(1), line, listening)
                with trio.fail_after(5):
                    said = [await ask(ADDRESS, text) for text in ("break", "go on")]
                nursery.cancel_scope.cancel()
        return said

    assert trio.run(main) == [b"", b"well\n\n"]
    assert runtime.process.faults == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
