"""Fetches about connections (configuration.txt, section 7.3.3)."""

from __future__ import annotations

from collections.abc import Callable
from struct import unpack_from

from trilb.base.diagnostic import Refused
from trilb.base.registry import optional
from trilb.live.session import Side
from trilb.live.stream import Stream
from trilb.net.errors import TEXTS
from trilb.samples.types import Fetch, Value, fetch, plain


def _local(packed: bytes) -> bool:
    return packed[:1] == b"\x7f" if len(packed) == 4 else packed == bytes(15) + b"\1"


plain("src", gives="addr", source="7.3.3", doc="The client's address, as rules may have changed it.")(
    lambda stream: stream.client
)
plain("src_port", gives="sint", source="7.3.3", doc="The client's port.")(lambda stream: stream.client_port)
plain("dst", gives="addr", source="7.3.3", doc="The address the client connected to.")(lambda stream: stream.local)
plain("dst_port", gives="sint", source="7.3.3", doc="The port the client connected to.")(
    lambda stream: stream.local_port
)
plain("fc_src", gives="addr", source="7.3.3", doc="The client's address on its connection.")(
    lambda stream: stream.session.ends()[0]
)
plain("fc_src_port", gives="sint", source="7.3.3", doc="The client's port on its connection.")(
    lambda stream: stream.session.ends()[1]
)
plain("fc_dst", gives="addr", source="7.3.3", doc="The address of ours on the client's connection.")(
    lambda stream: stream.session.ends()[2]
)
plain("fc_dst_port", gives="sint", source="7.3.3", doc="The port of ours on the client's connection.")(
    lambda stream: stream.session.ends()[3]
)
plain("src_is_local", gives="bool", source="7.3.3", doc="Whether the client's address is of this machine.")(
    lambda stream: _local(stream.client)
)
plain("dst_is_local", gives="bool", source="7.3.3", doc="Whether the destination's address is of this machine.")(
    lambda stream: _local(stream.local)
)
plain("fc_src_is_local", gives="bool", source="7.3.3", doc="The same of the client's connection.")(
    lambda stream: _local(stream.session.ends()[0])
)
plain("fc_dst_is_local", gives="bool", source="7.3.3", doc="The same of our side of the client's connection.")(
    lambda stream: _local(stream.session.ends()[2])
)
plain("dst_conn", gives="sint", source="7.3.3", doc="Connections of the same listening proxy.")(
    lambda stream: stream.frontend.counters.scur
)
plain("fc_http_major", gives="sint", source="7.3.3", doc="The major version of HTTP the client speaks.")(
    lambda stream: stream.session.major if stream.request is not None else None
)
plain("fc_glitches", gives="sint", source="7.3.3", doc="Odd things the client did on its HTTP/2 connection.")(
    lambda stream: stream.session.glitches
)
plain("bc_http_major", gives="sint", source="7.3.3", doc="The major version of HTTP the server speaks.")(
    lambda stream: 1 if stream.server_side is not None else None
)
plain("fc_err", gives="sint", source="7.3.3", doc="The number of the client connection's error, 0 without.")(
    lambda stream: stream.session.side.error if stream.session.side is not None else 0
)
plain("fc_err_str", gives="str", source="7.3.3", doc="The text of the client connection's error.")(
    lambda stream: TEXTS[stream.session.side.error if stream.session.side is not None else 0].encode()
)
plain("bc_err", gives="sint", source="7.3.3", doc="The number of the server connection's error, 0 without.")(
    lambda stream: stream.server_side.error if stream.server_side is not None else None
)
plain("bc_err_str", gives="str", source="7.3.3", doc="The text of the server connection's error.")(
    lambda stream: TEXTS[stream.server_side.error].encode() if stream.server_side is not None else None
)
plain("bc_reused", gives="bool", source="7.3.3", doc="Whether the server connection carried other requests before.")(
    lambda stream: stream.server_side.reused if stream.server_side is not None else None
)


def _server_address(name: str, index: int, gives: str, doc: str) -> None:
    def run(stream: Stream) -> Value | None:
        side = stream.server_side
        found = side.addresses() if side is not None else None
        return None if found is None else found[index]

    plain(name, gives=gives, source="7.3.3", doc=doc)(run)


_server_address("bc_src", 0, "addr", "Our address on the server's connection.")
_server_address("bc_src_port", 1, "sint", "Our port on the server's connection.")
_server_address("bc_dst", 2, "addr", "The server's address on its connection.")
_server_address("bc_dst_port", 3, "sint", "The server's port on its connection.")

# Offsets of 32-bit fields in the kernel's struct tcp_info (linux/tcp.h), stable since they exist.
_OFFSETS = {
    "unacked": 24,
    "sacked": 28,
    "lost": 32,
    "retrans": 36,
    "fackets": 40,
    "rtt": 68,
    "rttvar": 72,
    "reordering": 88,
}


def _client_side(stream: Stream) -> Side | None:
    return stream.session.side


def _server_side(stream: Stream) -> Side | None:
    return stream.server_side


def _tcp_info(side: Callable[[Stream], Side | None], offset: int, divisor: int) -> Fetch:
    def run(stream: Stream) -> int | None:
        found = side(stream)
        info = found.tcp_info() if found is not None else None
        if info is None or len(info) < offset + 4:
            return None
        return int(unpack_from("=I", info, offset)[0]) // divisor

    return run


def _register(prefix: str, side: Callable[[Stream], Side | None], whose: str) -> None:
    for name, offset in _OFFSETS.items():
        if name in ("rtt", "rttvar"):

            def timed(unit: str, at: int = offset) -> Fetch:
                if unit not in ("us", "ms"):
                    raise Refused(f"the unit of a round trip is us or ms, not '{unit}'")
                return _tcp_info(side, at, 1 if unit == "us" else 1000)

            timed.__doc__ = f"The {'variance of the ' * (name == 'rttvar')}round trip time of the {whose} connection."
            fetch(f"{prefix}_{name}", args=(optional("unit", default="ms"),), gives="sint", source="7.3.3")(timed)
        elif prefix == "fc":
            plain(f"fc_{name}", gives="sint", source="7.3.3", doc=f"TCP_INFO's `{name}` of the client's connection.")(
                _tcp_info(side, offset, 1)
            )


_register("fc", _client_side, "client's")
_register("bc", _server_side, "server's")
