"""Converters for addresses, host names and what the configuration holds (configuration.txt, section 7.3.1)."""

from __future__ import annotations

from trilb.base import ip
from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, Kind, optional
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import Server
from trilb.samples.types import Convert, Resolver, Value, as_bytes, converter


def _mask(text: str, size: int) -> int:
    bits = size * 8
    if text.isascii() and text.isdigit() and int(text) <= bits:
        return (1 << bits) - (1 << bits - int(text))
    try:
        packed = ip.packed(text)
    except ValueError:
        packed = b""
    if len(packed) != size:
        raise Refused(f"'{text}' is no IPv{4 if size == 4 else 6} mask; write 0 to {bits} bits or an address")
    return int.from_bytes(packed, "big")


@converter("ipmask", args=(Arg("mask4"), optional("mask6", default="")), takes="addr", gives="addr", source="7.3.1")
def ipmask(mask4: str, mask6: str) -> Convert:
    """An address with only the bits of a mask."""
    four = _mask(mask4, 4)
    six = _mask(mask6, 16) if mask6 else None

    def run(value: Value) -> bytes | None:
        address = ip.unmapped(as_bytes(value))
        if len(address) == 4:
            return (int.from_bytes(address, "big") & four).to_bytes(4, "big")
        if six is None:
            return None
        return (int.from_bytes(address, "big") & six).to_bytes(16, "big")

    return run


def _split_port(text: bytes) -> tuple[bytes, bytes]:
    # The last colon, unless a bracket closes behind it.
    at = text.rfind(b":")
    return (text, b"") if at < 0 or text.find(b"]", at) >= 0 else (text[:at], text[at + 1 :])


@converter("host_only", takes="str", gives="str", source="7.3.1")
def host_only() -> Convert:
    """A Host header's value without port, in lower case."""
    return lambda value: _split_port(as_bytes(value))[0].lower()


@converter("port_only", takes="str", gives="sint", source="7.3.1")
def port_only() -> Convert:
    """A Host header's port, 0 without one."""

    def run(value: Value) -> int:
        number = 0
        for c in _split_port(as_bytes(value))[1]:
            # No check of digits, as in HAProxy: rules may have come to live with its answers.
            number = (number * 10 + c - 48) & 0xFFFFFFFF
        return number

    return run


def _server(resolver: Resolver, value: Value) -> Server | None:
    name = as_bytes(value).decode("latin-1")
    try:
        found = resolver.resolve(Kind.SERVER, name)
    except KeyError:
        return None
    return found if isinstance(found, Server) else None


@converter("nbsrv", takes="str", gives="sint", finds=True, source="7.3.1")
def nbsrv(resolver: Resolver) -> Convert:
    """The number of usable servers of the backend of that name."""

    def run(value: Value) -> int | None:
        try:
            backend = resolver.resolve(Kind.BACKEND, as_bytes(value).decode("latin-1"))
        except KeyError:
            return None
        return sum(server.effective > 0 for server in backend.servers) if isinstance(backend, Backend) else None

    return run


@converter("srv_queue", takes="str", gives="sint", finds=True, source="7.3.1")
def srv_queue(resolver: Resolver) -> Convert:
    """How many streams wait for the server of that name."""

    def run(value: Value) -> int | None:
        server = _server(resolver, value)
        return len(server.queue) if server is not None else None

    return run


@converter("srv_is_up", takes="str", gives="bool", finds=True, source="7.3.1")
def srv_is_up(resolver: Resolver) -> Convert:
    """Whether the server of that name is up."""

    def run(value: Value) -> bool | None:
        server = _server(resolver, value)
        return server.running if server is not None else None

    return run


@converter("fe_exists", takes="str", gives="bool", finds=True, source="7.3.1")
def fe_exists(resolver: Resolver) -> Convert:
    """Whether there is a frontend of that name."""

    def run(value: Value) -> bool:
        try:
            return isinstance(resolver.resolve(Kind.FRONTEND, as_bytes(value).decode("latin-1")), Frontend)
        except KeyError:
            return False

    return run
