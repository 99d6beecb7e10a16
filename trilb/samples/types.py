"""What a sample can be, and what the room's factories look like.

Types by their names in facts: `bool` bool, `sint` int, `addr` packed address, `str`, `bin` and `meth` bytes; `any`
is told from the value itself, where an address is an `Addr` and binary a `Bin`. A missing sample is None.
A fetch with several values (`hdr`) also has `every`, which ACLs use. A converter whose facts say `stream=True` is
called with (value, stream), any other with the value; either receives what its `takes` says (samples/casts.py).
With `finds=True` its factory's first argument is the Resolver, for names that only come while serving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from trilb.base.registry import Kind, Registry
from trilb.live.stream import Stream
from trilb.samples.indexes import Index
from trilb.samples.parsing import Lookup

Value = bool | int | bytes


class Addr(bytes):
    """A packed address among values whose type is only known while serving: in variables and maps."""

    __slots__ = ()


class Bin(bytes):
    """Bytes that are no text among values whose type is only known while serving: as text they end at a NUL."""

    __slots__ = ()


Fetch = Callable[[Stream], Value | None]
Every = Callable[[Stream], Iterable[Value]]
Convert = Callable[[Value], Value | None]
StreamConvert = Callable[[Value, Stream], Value | None]

fetches: Registry[Callable[..., Fetch]] = Registry("sample fetch")
converters: Registry[Callable[..., Convert | StreamConvert]] = Registry("converter")
matchers: Registry[Callable[[bool, Lookup], Index]] = Registry("match method")

fetch = fetches.register
converter = converters.register
matcher = matchers.register


def plain(*names: str, gives: str, source: str, doc: str, at: str = "any", **facts: Any) -> Callable[[Fetch], Fetch]:
    """Register a fetch without arguments by the function that serves it; `doc` is its line in the reference."""

    def enter(run: Fetch) -> Fetch:
        def factory() -> Fetch:
            return run

        factory.__doc__ = doc
        fetches.register(*names, source=source, gives=gives, at=at, **facts)(factory)
        return run

    return enter


class Resolver(Protocol):
    """Gives the live object behind a reference in an argument."""

    def resolve(self, kind: Kind, name: Any) -> Any:
        """The frontend, backend or server of that name, as seen from the rule's proxy; of a map, its Matching."""


def as_bytes(value: Value | None) -> bytes:
    """A sample as text, the cast to `str` (section 7.3.1); missing is empty."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if value is True:
        return b"1"
    if value is False:
        return b"0"
    return str(value).encode()
