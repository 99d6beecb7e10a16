"""Fetches about what a PROXY header brought (configuration.txt, section 7.3.3)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg
from trilb.live.stream import Stream
from trilb.samples.types import Every, Fetch, fetch

_AUTHORITY, _UNIQUE_ID = 0x02, 0x05


def _tlv(number: int) -> Fetch:
    def run(stream: Stream) -> bytes | None:
        for kind, value in stream.session.proxy_tlvs:
            if kind == number:
                return value
        return None

    return run


def _number(text: str) -> int:
    names = {"ALPN": 1, "AUTHORITY": 2, "CRC32C": 3, "NOOP": 4, "UNIQUE_ID": 5, "SSL": 0x20, "NETNS": 0x30}
    number = names.get(text.upper())
    if number is None:
        try:
            number = int(text, 0)
        except ValueError:
            number = -1
    if not 0 <= number <= 255:
        raise Refused(f"'{text}' is no TLV type; give its number (0 to 255, as 0xE1) or one of {', '.join(names)}")
    return number


def _every(kind: str) -> Every:
    number = _number(kind)
    return lambda stream: [value for found, value in stream.session.proxy_tlvs if found == number]


@fetch("fc_pp_tlv", args=(Arg("id"),), gives="bin", source="7.3.3", every=_every)
def fc_pp_tlv(kind: str) -> Fetch:
    """The value of a TLV of the client's PROXY header, by its number or name."""
    return _tlv(_number(kind))


@fetch("fc_pp_authority", gives="str", source="7.3.3")
def fc_pp_authority() -> Fetch:
    """The authority (host name) of the client's PROXY header."""
    return _tlv(_AUTHORITY)


@fetch("fc_pp_unique_id", gives="str", source="7.3.3")
def fc_pp_unique_id() -> Fetch:
    """The unique id of the client's PROXY header."""
    return _tlv(_UNIQUE_ID)


@fetch("fc_rcvd_proxy", gives="bool", source="7.3.3")
def fc_rcvd_proxy() -> Fetch:
    """Whether the client's connection began with a PROXY header."""
    return lambda stream: stream.session.proxied
