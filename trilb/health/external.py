"""External checks: a program says by its exit status how a server is (configuration.txt, `option external-check`).

One that takes longer than the interval is ended, first politely. None outlives its check.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from trilb.config.model import Mode, Proxy
from trilb.health import results
from trilb.health.verdict import report
from trilb.live.check import Check
from trilb.live.server import Server

_GRACE = 1.0
"""Seconds a program has to end by itself when it is told to. Arbitrary."""
_UNUSED = "NOT_USED"


@dataclass(frozen=True, slots=True)
class Command:
    """What a proxy runs. `permitted` is False where processes may not be made (`insecure-fork-wanted`)."""

    program: str
    address: str
    port: str
    environment: dict[str, str] = field(default_factory=dict)
    permitted: bool = True
    limit: float | None = None
    """Seconds a check may take, where that is less than its interval."""


def command_of(proxy: Proxy, *, permitted: bool, preserve: bool) -> Command:
    """What the sections say; `preserve` hands our own environment on."""
    first = next((address for bind in proxy.binds for address in bind.addresses), None)
    address, port = "", ""
    if first is not None:
        address, port = first.host or "0.0.0.0", str(first.port) if first.port else ""
    environment = {**(os.environ if preserve else {}), "PATH": proxy.external_path}
    environment |= {
        "HAPROXY_PROXY_NAME": proxy.name,
        "HAPROXY_PROXY_ID": str(proxy.id),
        "HAPROXY_PROXY_ADDR": address,
        "HAPROXY_PROXY_PORT": port,
    }
    times = proxy.timeouts
    limit = times.connect if times.check and times.connect else None
    return Command(proxy.external_command, address or _UNUSED, port or _UNUSED, environment, permitted, limit)


class External:
    """Runs the command."""

    def __init__(self, command: Command) -> None:
        self._command = command

    def settle(self, server: Server, check: Check, now: float) -> None:
        """Rise or fall."""
        report(server, check, now)

    async def probe(self, server: Server, check: Check, waiter: object) -> None:
        """Run it once."""
        command = self._command
        if not command.permitted:
            results.settle(check, "SOCKERR", os.strerror(11))
            return
        host, port = _address(server)
        arguments = [command.program, command.address, command.port, host, port or _UNUSED]
        environment = command.environment | _facts(server, host, port)
        process: trio.Process | None = None
        try:
            # A group of its own: what the program starts ends with it.
            process = await trio.lowlevel.open_process(
                arguments, stdin=subprocess.DEVNULL, env=environment, process_group=0
            )
            limit = check.inter if command.limit is None else min(check.inter, command.limit)
            with trio.move_on_after(limit):
                _judge(check, await process.wait())
                return
            results.settle(check, "PROCTOUT")
            _signal(process, signal.SIGTERM)
            with trio.move_on_after(_GRACE):
                await process.wait()
        except OSError as error:
            why = f"Failed to exec process for external health check: {error.strerror}. Aborting."
            sys.stderr.write(f"[ALERT]    ({os.getpid()}) : {why}\n")
            results.settle(check, "PROCERR", code=255)
        finally:
            if process is not None:
                await _reap(process)


async def _reap(process: trio.Process) -> None:
    """Leave nothing behind, whatever ends us."""
    if process.returncode is not None:
        return
    _signal(process, signal.SIGKILL)
    try:
        # Not longer than we run ourselves, but as long: another one before its end would be one more each time.
        await process.wait()
    except trio.Cancelled:
        with trio.move_on_after(_GRACE, shield=True):
            await process.wait()
        raise


def _signal(process: trio.Process, number: signal.Signals) -> None:
    # A program that became somebody else (setuid) takes no signals from us.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _judge(check: Check, status: int) -> None:
    """A program that was killed has no status, for which HAProxy writes -1."""
    results.settle(check, "PROCERR" if status else "PROCOK", code=max(status, -1))


def _address(server: Server) -> tuple[str, str]:
    address = server.address
    if isinstance(address, tuple):
        return str(address[0]), str(address[1])
    return address or "", ""


def _facts(server: Server, host: str, port: str) -> dict[str, str]:
    line, proxy = server.line, server.backend.config
    protocol = ("h2" if line.proto == "h2" else "h1") if proxy.mode is Mode.HTTP else "tcp"
    return {
        "HAPROXY_SERVER_NAME": server.name,
        "HAPROXY_SERVER_ID": str(server.id),
        "HAPROXY_SERVER_ADDR": host,
        "HAPROXY_SERVER_PORT": port,
        "HAPROXY_SERVER_MAXCONN": str(server.maxconn),
        "HAPROXY_SERVER_CURCONN": str(server.used),
        "HAPROXY_SERVER_SSL": str(int(line.ssl)),
        "HAPROXY_SERVER_PROTO": protocol,
    }
