"""What may be said of a server's weight and its maxconn while it serves: by commands and by agents, in the same words.

Texts of refusals are HAProxy's, some with a line feed and some without: agents' descriptions show it.
"""

from __future__ import annotations

import re

from trilb.base.units import saturated
from trilb.health import states
from trilb.live.proxy import Backend
from trilb.live.server import Server

_DYNAMIC = frozenset(("roundrobin", "leastconn", "first", "random"))
"""Algorithms that take any weight at any time; with `hash-type consistent` the others do as well."""

_UNSIGNED = 2**32 - 1
"""HAProxy takes any number for maxconn, and keeps these bits of it."""


def dynamic(backend: Backend) -> bool:
    """Does its algorithm take weights, and servers, that change?"""
    config = backend.config
    return config.balance.name in _DYNAMIC or (config.balance.name != "static-rr" and config.hash_type.consistent)


def weigh(server: Server, text: str, now: float) -> str:
    """Set the weight, of which 100% is the configured one; "" or the refusal."""
    if not text:
        return "Require <weight> or <weight%>.\n"
    number = re.match(r"[+-]?\d+", text)
    if number is None:
        return "Empty weight string empty or preceded by garbage"
    value, rest = saturated(number[0]), text[number.end() :]
    if rest == "%":
        if value < 0:
            return "Relative weight must be positive.\n"
        value = min(server.initial * value // 100, 256)
    elif rest:
        return "Trailing garbage in weight string"
    elif not 0 <= value <= 256:
        return "Absolute weight can only be between 0 and 256 inclusive.\n"
    if value and value != server.initial and not dynamic(server.backend):
        return "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n"
    states.reweigh(server, value, now)
    return ""


def limit(server: Server, text: str) -> str:
    """Set maxconn; "" or the refusal."""
    if not text:
        return "Require <maxconn>.\n"
    number = re.match(r"[+-]?\d+", text)
    if number is None:
        return "maxconn string empty or preceded by garbage"
    if number.end() != len(text):
        return "Trailing garbage in maxconn string"
    value = saturated(text) & _UNSIGNED
    if server.maxconn == server.line.minconn:
        # Where they are equal there is no minconn.
        server.line.minconn = value
    server.maxconn = value
    server.backend.dispatch()
    return ""
