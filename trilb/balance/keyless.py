"""The names of the algorithms that need no key; what they do is in `rings` (configuration.txt, `balance`)."""

from __future__ import annotations

from trilb.balance.registry import algorithm, nothing
from trilb.balance.rings import First, LeastConnections, Random, RoundRobin, StaticRoundRobin
from trilb.base.diagnostic import Refused
from trilb.base.units import whole
from trilb.config.model import Proxy


@algorithm("roundrobin", source="balance", parse=nothing)
def roundrobin(proxy: Proxy) -> RoundRobin:
    """Turns by weight; weights may change while serving."""
    return RoundRobin()


@algorithm("static-rr", source="balance", parse=nothing)
def staticrr(proxy: Proxy) -> StaticRoundRobin:
    """Turns by weight over a fixed table."""
    return StaticRoundRobin()


@algorithm("leastconn", source="balance", parse=nothing)
def leastconn(proxy: Proxy) -> LeastConnections:
    """The server with the fewest connections."""
    return LeastConnections()


@algorithm("first", source="balance", parse=nothing)
def first(proxy: Proxy) -> First:
    """The first server with a free slot."""
    return First()


def _draws(words: list[str]) -> tuple[object, ...]:
    if len(words) > 1:
        raise Refused("'balance random' takes at most the number of draws: random(2)")
    return (whole(words[0], 1, 1000, "'balance random' draws"),) if words and words[0] else (2,)


@algorithm("random", source="balance", parse=_draws)
def random(proxy: Proxy, draws: int) -> Random:
    """The least loaded of `draws` random servers."""
    return Random(draws)
