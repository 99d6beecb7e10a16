"""Converters for FIX messages: `tag=value` pairs, each ended by a byte 1 (configuration.txt, section 7.3.1)."""

from __future__ import annotations

import re

from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg
from trilb.samples.types import Convert, Value, as_bytes, converter

_TAGS = {"BeginString": 8, "BodyLength": 9, "CheckSum": 10, "MsgType": 35, "SenderCompID": 49, "TargetCompID": 56}
_HEAD = re.compile(rb"8=(?:FIX\.4\.[0-4]|FIXT\.1\.1)\x019=([0-9]{1,9})\x01")
_BODY = re.compile(rb"35=[^\x01]+\x01(?:[0-9]+=[^\x01]+\x01)*+")
_TRAILER = re.compile(rb"10=([0-9]{3})\x01")


@converter("fix_is_valid", takes="bin", gives="bool", source="7.3.1")
def fix_is_valid() -> Convert:
    """Whether a payload begins with a valid FIX message."""

    def run(value: Value) -> bool:
        message = as_bytes(value)
        head = _HEAD.match(message)
        if head is None:
            return False
        end = head.end() + int(head[1])
        trailer = _TRAILER.match(message, end)
        if trailer is None or _BODY.fullmatch(message, head.end(), end) is None:
            return False
        return sum(message[:end]) & 0xFF == int(trailer[1])

    return run


@converter("fix_tag_value", args=(Arg("tag"),), takes="bin", gives="bin", source="7.3.1")
def fix_tag_value(tag: str) -> Convert:
    """The value of a tag, by its number or name, in a FIX message."""
    if tag not in _TAGS and not re.fullmatch(r"[0-9]{1,9}", tag):
        raise Refused(f"'{tag}' is neither a tag's number nor one of {', '.join(_TAGS)}")
    number = _TAGS[tag] if tag in _TAGS else int(tag)
    wanted = re.compile(rb"(?:\A|\x01)%d=([^\x01]+)\x01" % number)

    def run(value: Value) -> bytes | None:
        found = wanted.search(as_bytes(value))
        return found[1] if found is not None else None

    return run
