"""What a server line begins with: `from ORIGIN`, and the default-server lines, named or not (section 5.2, `from`)."""

from __future__ import annotations

from collections.abc import Sequence

from trilb.base.diagnostic import Refused, nearest
from trilb.config.model import Config, Proxy

Words = tuple[str, ...]


def preset(words: Words, proxy: Proxy, config: Config, otherwise: Sequence[Words]) -> tuple[tuple[Words, ...], int]:
    """The options that come first, line by line, and how many words said so. Raises Refused."""
    if words[:1] != ("from",):
        return tuple(otherwise), 0
    if len(words) < 2:
        raise Refused("'from' expects none, be:[<backend>] or srv:[<backend>/]<server>")
    origin = words[1]
    if origin == "none":
        return (), 2
    kind, colon, name = origin.partition(":")
    if kind not in ("be", "srv") or not colon:
        raise Refused(f"'from' expects none, be:[<backend>] or srv:[<backend>/]<server>, not '{origin}'")
    backend, _, own = name.rpartition("/") if kind == "srv" else (name, "", "")
    owner = _backend(backend, proxy, config)
    if kind == "be":
        return tuple(owner.default_server), 2
    if own in owner.named_servers:
        return tuple(owner.named_servers[own]), 2
    for line in owner.servers:
        if line.name == own:
            return tuple(_without_id(part) for part in line.words), 2
    known = [*owner.named_servers, *(line.name for line in owner.servers)]
    raise Refused(f"'from' : no server or default-server '{own}' in '{owner.name}'{nearest(own, known)}")


def _backend(name: str, proxy: Proxy, config: Config) -> Proxy:
    if not name or name == proxy.name:
        return proxy
    for other in config.proxies:
        if other.name == name and other.kind != "frontend":
            return other
    raise Refused(f"'from' : unable to find backend '{name}'")


def _without_id(words: Words) -> Words:
    """The same, but for the id, which is one server's."""
    at = next((i for i, word in enumerate(words) if word == "id"), -1)
    return words if at < 0 else words[:at] + words[at + 2 :]
