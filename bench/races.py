"""The races: what each asks, and how one is run; rates, latency, memory and growth all answer Rows."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from bench import configs, load
from bench.field import Field, Racer
from bench.figures import OURS, Row, percentile
from bench.pace import ask, moments, pace
from bench.programs import apart, cpu_seconds, resident

ANSWER = b"hello, world\n"

# os.time() makes another run's keys and paths new too.
VARIED = """
local n = os.time() % 1000000 * 1000000
request = function()
  n = n + 1
  wrk.headers["Cookie"] = "session=" .. n .. "; theme=dark"
  wrk.headers["User-Agent"] = "bench/" .. n
  wrk.headers["Accept"] = "text/html"
  return wrk.format("GET", "/path/" .. n .. "?q=" .. (n * 7))
end
"""

NEW_KEYS = """
local n = os.time() % 1000000 * 1000000
request = function()
  n = n + 1
  wrk.headers["Cookie"] = "session=" .. n
  return wrk.format("GET", "/")
end
"""


@dataclass(frozen=True)
class Race:
    """One thing to measure at full speed, against one of the endpoints; `streams` makes it HTTP/2."""

    name: str
    what: str
    endpoint: str = "web"
    path: str = "/"
    script: str = ""
    headers: tuple[str, ...] = ()
    streams: int = 0

    @property
    def unit(self) -> str:
        """What is counted."""
        if self.path == "/bulk":
            return "MiB/s"
        if self.headers:
            return "connections/s"
        return "requests/s"


_CLOSE = ("Connection: close",)

RACES = (
    Race("keepalive", "small keep-alive requests, heads alike"),
    Race("varied", "small keep-alive requests, heads all different", script=VARIED),
    Race("close", "a new connection for every request", headers=_CLOSE),
    Race("bulk", "1 MiB bodies", path="/bulk"),
    Race("stick", "a stick table, every request with a new key", "tracked", script=NEW_KEYS),
    Race("tcp-small", "TCP, small messages", "raw"),
    Race("tcp-bulk", "TCP, 1 MiB at a time", "raw", path="/bulk"),
    Race("tcp-close", "TCP, a new connection for every message", "raw", headers=_CLOSE),
    Race("tls-small", "TLS, small keep-alive requests", "tls"),
    Race("tls-bulk", "TLS, 1 MiB bodies", "tls", path="/bulk"),
    Race("tls-close", "TLS, a full handshake for every request, P-256", "tls", headers=_CLOSE),
    Race("tls-rsa", "TLS, a full handshake for every request, RSA 2048", "rsa", headers=_CLOSE),
    Race("h2", "HTTP/2 over TLS, 16 streams on each of 8 connections", "tls", streams=16),
)


@dataclass(frozen=True)
class Pace:
    """How long a run is, how many rounds there are, and how much is asked where a number is asked."""

    seconds: float = 4.0
    rounds: int = 3
    connections: int = 64
    idle: int = 5000


def in_turn(row: Row, racers: list[Racer], rounds: int, once: Callable[[Racer], tuple[float, dict[str, float]]]) -> Row:
    """A, B, A, B ...: let each racer run once a round."""
    for _ in range(rounds):
        for racer in racers:
            value, more = once(racer)
            row.add(racer.name, value, **more)
    return row


def full_speed(field: Field, race: Race, racers: list[Racer], how: Pace) -> Row:
    """One of RACES."""
    script = field.folder / f"{race.name}.lua"
    script.write_text(race.script)
    scheme = "https" if race.endpoint in ("tls", "rsa") else "http"

    def once(racer: Racer) -> tuple[float, dict[str, float]]:
        url = f"{scheme}://127.0.0.1:{racer.ports[race.endpoint]}{race.path}"
        if race.streams:
            command = load.h2load(url, how.seconds, 8, race.streams)
        else:
            command = load.wrk(url, how.seconds, how.connections, script if race.script else None, race.headers)
        run = load.run(command, racer.pids)
        return run.rate, {"us": run.us, "busy": run.busy}

    takes_part = [
        racer for racer in racers
        if race.endpoint in racer.ports and (racer.name != "aiohttp" or race.endpoint == "web")
    ]  # fmt: skip
    return in_turn(Row(race.name, race.what, race.unit), takes_part, how.rounds, once)


def latency(field: Field, racers: list[Racer], how: Pace, known: Row | None) -> Iterator[Row]:
    """Percentiles at a quarter, half and three quarters of what trilb can do; the same rate for all that reach it.

    The racer has a processor of its own: where it shares one with the load the tail tells of the scheduler's slices,
    some milliseconds long, for whoever it was that had to wait.
    """
    if known is None:
        once = Pace(how.seconds, 1, how.connections)
        known = full_speed(field, RACES[0], racers, once)
    can = {name: sorted(values)[len(values) // 2] for name, values in known.values.items()}
    for part in (25, 50, 75):
        rate = can[OURS] * part / 100
        due = moments(rate, how.seconds)

        def once_at(racer: Racer, due: list[float] = due) -> tuple[float, dict[str, float]]:
            before, began = cpu_seconds(*racer.pids), time.monotonic()
            with apart(racer.pids, field.application.pids):
                paced = pace(racer.ports["web"], due, ANSWER, how.connections)
            used = cpu_seconds(*racer.pids) - before
            p50, p99, p999 = (percentile(paced.times, part) * 1000 for part in (0.5, 0.99, 0.999))
            late = percentile(paced.late, 0.99) * 1000
            busy = used / (time.monotonic() - began)
            return p99, {"p50": p50, "p99.9": p999, "late": late, "us": used * 1e6 / len(due), "busy": busy}

        # At more than nine tenths of its own rate a racer is measured by its queue only.
        able = [racer for racer in racers if can.get(racer.name, 0.0) * 0.9 >= rate]
        what = f"latency at {rate:,.0f} requests a second, {part} % of what trilb can"
        yield in_turn(Row(f"latency-{part}", what, "ms (p99)"), able, how.rounds, once_at)


def idle(field: Field, how: Pace) -> Row:
    """Memory of a connection that had one request and is kept open: the processes' own, not the kernel's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    row = Row("idle", f"memory of an idle connection, {how.idle:,} of them", "KiB")
    with ExitStack() as stack:
        for racer in field.everyone(configs.IDLE, stack):
            with ExitStack() as held:

                def connect(count: int, port: int, held: ExitStack) -> None:
                    for _ in range(count):
                        sock = held.enter_context(socket.create_connection(("127.0.0.1", port), 5))
                        ask(sock, ANSWER)

                # The first ones make what is made once.
                connect(100, racer.ports["web"], held)
                before = resident(*racer.pids)
                connect(how.idle, racer.ports["web"], held)
                row.add(racer.name, (resident(*racer.pids) - before) / how.idle / 1024)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return row


def growth(field: Field, what: str, cases: list[tuple[str, str, str]], how: Pace) -> Iterator[Row]:
    """The same small requests against configurations of different sizes: (name, words, text)."""
    for name, words, text in cases:
        race = Race(f"{what}-{name}", words)
        with ExitStack() as stack:
            racers = field.pair(text, stack)
            yield full_speed(field, race, racers, Pace(how.seconds / 2, how.rounds, how.connections))


ACLS = [(str(n), f"{n:,} ACLs on the path, none of which holds", configs.acls(n)) for n in (0, 10, 100, 1000)]
SERVERS = [
    *((str(n), f"{n} servers", configs.servers(n, "roundrobin")) for n in (3, 30, 300)),
    ("300-leastconn", "300 servers, balance leastconn", configs.servers(300, "leastconn")),
]
NAMES = (*(race.name for race in RACES), "latency", "idle", "acls", "servers")
"""What can be asked for."""


def chosen(names: list[str]) -> list[str]:
    """The races meant by names, or by the first word of theirs (`tcp`); all without a name. Raises ValueError."""
    if not names:
        return list(NAMES)
    meant: list[str] = []
    for name in names:
        found = [known for known in NAMES if known == name or known.startswith(name + "-")]
        if not found:
            raise ValueError(f"no race is called '{name}'; there are {', '.join(NAMES)}")
        meant.extend(known for known in found if known not in meant)
    return meant


def possible(names: list[str], racers: tuple[str, ...]) -> None:
    """Raises ValueError when these racers cannot run these races."""
    if "latency" in names and OURS not in racers:
        raise ValueError(f"'latency' asks at a part of what {OURS} can: it does not go without it")


def run(names: list[str], field: Field, how: Pace, can_h2: bool) -> Iterator[Row]:
    """Run the races of these names; a Row as each is done."""
    racers: list[Racer] = []
    if any(race.name in names for race in RACES) or "latency" in names:
        field.certificates()
        racers = field.everyone(configs.EVERYTHING)
    known: Row | None = None
    for race in RACES:
        if race.name in names and (can_h2 or not race.streams):
            row = full_speed(field, race, racers, how)
            known = row if race.name == "keepalive" else known
            yield row
    if "latency" in names:
        yield from latency(field, racers, how, known)
    if "idle" in names:
        yield idle(field, how)
    if "acls" in names:
        yield from growth(field, "acls", ACLS, how)
    if "servers" in names:
        yield from growth(field, "servers", SERVERS, how)
