"""Converters that keep what passes: in variables, captures and on paper (configuration.txt, section 7.3.1)."""

from __future__ import annotations

import sys
from typing import TextIO

from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, Kind, optional
from trilb.live.stream import Stream
from trilb.samples.casts import any_text
from trilb.samples.types import Addr, Bin, Convert, StreamConvert, Value, as_bytes, converter
from trilb.samples.variables import Variable, may_set

_CONDITIONS = tuple(optional(f"condition{number}", default="") for number in range(1, 5))


@converter(
    "set-var", args=(Arg("variable", Kind.VAR), *_CONDITIONS), takes="any", gives="same", stream=True, source="7.3.1"
)
def set_var(variable: Variable, *conditions: str) -> StreamConvert:
    """Give a variable the value, which passes on; nothing when a condition is not met."""
    allowed = may_set([condition for condition in conditions if condition])

    def run(value: Value, stream: Stream) -> Value | None:
        if allowed is not None and not allowed(variable, stream, value):
            return None
        variable.set(stream, value)
        return value

    return run


@converter("unset-var", args=(Arg("variable", Kind.VAR),), takes="any", gives="same", stream=True, source="7.3.1")
def unset_var(variable: Variable) -> StreamConvert:
    """Forget a variable; the value passes on."""

    def run(value: Value, stream: Stream) -> Value:
        variable.unset(stream)
        return value

    return run


def _kept(places: list[bytes | None] | None, index: int, text: bytes) -> bytes | None:
    if places is None or index >= len(places):
        return None
    places[index] = text
    return text


@converter("capture-req", args=(Arg("slot", Kind.INT),), takes="str", gives="str", stream=True, source="7.3.1")
def capture_req(slot: int) -> StreamConvert:
    """Keep the text in a declared capture of the request; it passes on."""
    if slot < 0:
        raise Refused("captures count from 0")
    return lambda value, stream: _kept(stream.captures_in, slot, as_bytes(value))


@converter("capture-res", args=(Arg("slot", Kind.INT),), takes="str", gives="str", stream=True, source="7.3.1")
def capture_res(slot: int) -> StreamConvert:
    """Keep the text in a declared capture of the response; it passes on."""
    if slot < 0:
        raise Refused("captures count from 0")
    return lambda value, stream: _kept(stream.captures_out, slot, as_bytes(value))


def _described(value: Value) -> str:
    text = (any_text(value) or b"").decode("latin-1")
    if isinstance(value, Addr):
        return f"type=ipv{4 if len(value) == 4 else 6} <{text}>"
    if isinstance(value, Bin):
        return f"type=bin <{value.hex().upper()}>"
    kind = "bool" if isinstance(value, bool) else "sint" if isinstance(value, int) else "str"
    return f"type={kind} <{text}>"


@converter(
    "debug",
    args=(optional("prefix", default=""), optional("destination", default="buf0")),
    takes="any",
    gives="same",
    source="7.3.1",
)
def debug(prefix: str, destination: str) -> Convert:
    """Write the value to stdout or stderr; it passes on."""
    if destination not in ("", "buf0", "stdout", "stderr"):
        raise Refused(f"no event sink '{destination}'; there are stdout, stderr and buf0")
    paper: TextIO | None = {"stdout": sys.stdout, "stderr": sys.stderr}.get(destination)
    if paper is None:
        # buf0 is a ring nobody can read here yet (docs/differences.md); the value passes on.
        return lambda value: value
    head = f"[debug] {prefix}: " if prefix else "[debug] "

    def run(value: Value) -> Value:
        paper.write(f"{head}{_described(value)}\n")
        paper.flush()
        return value

    return run
