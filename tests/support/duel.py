"""Both programs side by side on the same config text, each with its own ports, origins and syslog."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from tests.support.origin import Origin, Respond
from tests.support.ports import free_port
from tests.support.program import HAPROXY, Program
from tests.support.syslog import Syslog

T = TypeVar("T")


@dataclass
class Side:
    """One program with its surroundings."""

    name: str
    program: Program
    syslog: Syslog
    origins: list[Origin]
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """The port of the field `{port}`."""
        return self.ports["port"]

    @property
    def origin(self) -> Origin:
        """The first origin."""
        return self.origins[0]


@dataclass
class Duel:
    """HAProxy (the oracle) and trilb (the subject)."""

    haproxy: Side
    trilb: Side

    def both(self, act: Callable[[Side], T]) -> tuple[T, T]:
        """Do the same on HAProxy, then on trilb."""
        return act(self.haproxy), act(self.trilb)

    def same(self, act: Callable[[Side], T]) -> T:
        """Do the same on both, assert equal results and return the result."""
        expected, got = self.both(act)
        assert got == expected
        return got


def require_haproxy() -> None:
    """Skip without HAProxy; with CI=true fail."""
    if HAPROXY is None:
        if os.environ.get("CI") == "true":
            pytest.fail("haproxy is not installed")
        pytest.skip("haproxy is not installed")


def _side(
    stack: ExitStack, name: str, text: str, respond: Respond | None, linger: bool, raw: bool, extra: dict[str, str]
) -> Side:
    names = dict.fromkeys(re.findall(r"\{([A-Za-z_]\w*)\}", text))
    syslog = stack.enter_context(Syslog())
    origins: list[Origin] = []
    ports: dict[str, int] = {}
    for key in sorted(names):
        if key in extra or key == "dir":
            continue
        if key.startswith("origin"):
            number = key.removeprefix("origin") or "1"
            origin = Origin(respond, name=f"s{number}", linger=linger, raw=raw)
            origins.append(stack.enter_context(origin))
            ports[key] = origin.port
        elif key == "syslog":
            ports[key] = syslog.port
        else:
            ports[key] = free_port()
    oracle = name == "haproxy" or os.environ.get("TRILB_DUEL_SUBJECT") == "haproxy"
    start = Program.haproxy if oracle else Program.trilb
    program = stack.enter_context(start(text, timeout=30.0, **extra, **ports))
    return Side(name, program, syslog, origins, ports)


@contextmanager
def start_duel(
    config_text: str, respond: Respond | None = None, *, linger: bool = False, raw: bool = False, **extra: str
) -> Iterator[Duel]:
    """Run both programs; fields: `{port}`, `{port2}`, `{origin1}`, `{syslog}`, `{dead}` (refused), `{dir}`, extra."""
    require_haproxy()
    with ExitStack() as stack:
        yield Duel(
            _side(stack, "haproxy", config_text, respond, linger, raw, extra),
            _side(stack, "trilb", config_text, respond, linger, raw, extra),
        )
