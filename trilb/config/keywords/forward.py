"""What a proxy tells servers about the client: forwardfor, originalto, forwarded, unique-id (section 4.2)."""

from __future__ import annotations

import re
from dataclasses import replace

from trilb.base.diagnostic import Refused
from trilb.base.ip import Network
from trilb.config.expressions import parse_expr, parse_format
from trilb.config.keywords.registry import Context, keyword, only
from trilb.config.lexer import Line
from trilb.config.model import Forwarded, ForwardFor, Proxy
from trilb.config.terms import Expr

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")


def forwardfor(line: Line, *, name: str, if_none: bool) -> ForwardFor:
    """`option forwardfor|originalto [except NETWORK] [header NAME] [if-none]`; `name` is the default header."""
    result = ForwardFor(name)
    words, i = line.words, 2
    while i < len(words):
        value = words[i + 1] if i + 1 < len(words) else ""
        if words[i] == "if-none" and if_none:
            result = replace(result, if_none=True)
            i += 1
            continue
        if words[i] == "except" and value:
            result = replace(result, exclude=Network(value))
        elif words[i] == "header" and value:
            result = replace(result, header=value.lower())
        else:
            forms = (
                "'except <network>', 'header <name>' and 'if-none'"
                if if_none
                else "'except <network>' and 'header <name>'"
            )
            raise Refused(f"'option {words[1]}' only supports {forms}", column=line.columns[i])
        i += 2
    return result


_PLAIN = {"proto": "proto", "host": "host", "by": "by", "for": "for_", "by_port": "by_port", "for_port": "for_port"}


def forwarded(line: Line, proxy: Proxy, context: Context) -> Forwarded:
    """`option forwarded [proto] [host|host-expr E] [by|by-expr E] [by_port|...] [for|...] [for_port|...]`."""
    words = list(line.words[2:])
    if not words:
        return Forwarded(proto=True, for_=True)
    made: dict[str, Expr | bool] = {}
    while words:
        word = words.pop(0)
        base = word.removesuffix("-expr")
        if base not in _PLAIN or word == "proto-expr":
            raise Refused(
                f"'option forwarded' does not know '{word}'; it takes proto, and host, by, by_port, for, for_port, each"
                " also as NAME-expr <expression>"
            )
        field = _PLAIN[base]
        if field in made:
            raise Refused(f"'option forwarded' has '{base}' twice")
        if word == base:
            made[field] = True
            continue
        if not words:
            raise Refused(f"'option forwarded' expects a sample expression after '{word}'")
        made[field], _, _ = parse_expr(words.pop(0), context.scope(proxy, line.place, "request"))
    for port, node in (("by_port", "by"), ("for_port", "for_")):
        if port in made and node not in made:
            raise Refused(f"'option forwarded' has '{port}' without '{node.rstrip('_')}'")
    return Forwarded(**made)  # type: ignore[arg-type]


@keyword("proxy", "unique-id-format")
def unique_id_format(line: Line, proxy: Proxy, context: Context) -> None:
    """`unique-id-format FORMAT`: what `%ID`, `unique-id` and the unique-id header hold."""
    (text,) = only(line, 1, "unique-id-format <format>")
    proxy.unique_id_format = parse_format(text, context.scope(proxy, line.place, "request"))


@keyword("proxy", "unique-id-header")
def unique_id_header(line: Line, proxy: Proxy, context: Context) -> None:
    """`unique-id-header NAME`: the request header that carries the unique id to the server."""
    (name,) = only(line, 1, "unique-id-header <name>")
    if not _NAME.match(name):
        raise Refused(f"'{name}' is not a header name", column=line.columns[1])
    proxy.unique_id_header = name.lower()
