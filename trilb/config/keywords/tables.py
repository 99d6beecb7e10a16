"""Stick tables and the rules that stick clients to servers by them (sections 4.2 and 11.1)."""

from __future__ import annotations

from trilb.base.diagnostic import Refused, nearest
from trilb.base.registry import Kind
from trilb.base.schema import KEY_TYPES, Schema, key_length, parse_stored
from trilb.base.units import milliseconds, size, whole
from trilb.config.expressions import Reference, parse_expr, split_condition
from trilb.config.keywords.registry import Context, keyword
from trilb.config.keywords.rules import condition
from trilb.config.lexer import Line
from trilb.config.model import Proxy
from trilb.config.terms import StickRule

_FLAGS = {"nopurge": "nopurge", "recv-only": "recv_only"}
_WORDS = "type size expire nopurge recv-only peers srvkey write-to store brates-factor durable counters".split()
_RULES = {
    "match": (True, False, False),
    "on": (True, True, False),
    "store-request": (False, True, False),
    "store-response": (False, False, True),
}


def read_table(line: Line, name: str, first: int, *, peers: str = "") -> Schema:
    """Read the words of a table from `first` on; `peers` is the section it stands in. Raises Refused."""
    table = Schema(name, place=line.place, peers=peers)
    words, i = line.words, first
    while i < len(words):
        option, column = words[i], line.columns[i]
        i += 1
        if option in _FLAGS:
            setattr(table, _FLAGS[option], True)
            continue
        if option not in _WORDS:
            raise Refused(f"unknown argument '{option}' of a stick table{nearest(option, _WORDS)}", column=column)
        if i >= len(words):
            raise Refused(f"'{option}' expects an argument", column=column)
        text = words[i]
        i += 1
        try:
            if option == "type":
                i = _type(table, text, words, i)
            else:
                _option(table, option, text, in_peers=bool(peers))
        except Refused as refused:
            raise Refused(f"'{line.words[0]}' : {refused.text}", column=refused.column or column) from None
    if not table.type:
        raise Refused(f"'{line.words[0]}' : missing 'type', one of {', '.join(KEY_TYPES)}")
    if not table.size:
        raise Refused(f"'{line.words[0]}' : missing 'size', the largest number of entries, as in size 100k")
    return table


def _type(table: Schema, text: str, words: tuple[str, ...], i: int) -> int:
    if text not in KEY_TYPES:
        raise Refused(f"unknown type '{text}'{nearest(text, KEY_TYPES)}; the types are {', '.join(KEY_TYPES)}")
    length = None
    if i < len(words) and words[i] == "len":
        if text not in ("string", "binary"):
            raise Refused(f"'len' belongs to the types string and binary, not to {text}")
        if i + 1 >= len(words):
            raise Refused("'len' expects a number of bytes")
        length = whole(words[i + 1], 1, 16384, "'len'")
        i += 2
    table.type = text
    table.length = key_length(text, length)
    return i


def _option(table: Schema, option: str, text: str, *, in_peers: bool) -> None:
    if option == "size":
        table.size = size(text)
        if not 0 < table.size < 1 << 31:
            raise Refused(f"'size' must be between 1 and {(1 << 31) - 1}, not '{text}'")
    elif option == "expire":
        table.expire = milliseconds(text) / 1000
        if not table.expire:
            raise Refused("'expire' must be above zero")
    elif option == "store":
        for stored in parse_stored(text):
            table.store(stored)
    elif option == "peers":
        if in_peers:
            raise Refused("'peers' is not for tables of a peers section: they belong to it")
        table.peers = text
    elif option == "srvkey":
        if text not in ("name", "addr"):
            raise Refused(f"'srvkey' is name or addr, not '{text}'")
        table.srvkey = text
    elif option == "write-to":
        table.write_to = text
    elif option == "brates-factor":
        table.factor = whole(text, 1, 1024, "'brates-factor'")
    elif option == "counters":
        if text not in ("add", "overwrite"):
            raise Refused("'counters' is add (replicas add up) or overwrite (the last one counts, as in HAProxy)")
        table.overwrite = text == "overwrite"
    else:
        table.durable = text


@keyword("proxy", "stick-table", where="FLB")
def stick_table(line: Line, proxy: Proxy, context: Context) -> None:
    """`stick-table type TYPE size SIZE [expire TIME] [store DATA,...] [peers SECTION] ...`.

    Besides HAProxy's arguments: `durable FILE` keeps the entries on disk across restarts, `counters overwrite` makes
    counters of replicas replace each other, as HAProxy's do, where they would add up.
    """
    known = context.config.tables.get(proxy.name)
    if known is not None:
        raise Refused(f"stick-table name '{proxy.name}' conflicts with table declared at {known.place}")
    context.config.tables[proxy.name] = read_table(line, proxy.name, 1)


@keyword("proxy", "stick", where="LB")
def stick(line: Line, proxy: Proxy, context: Context) -> None:
    """`stick match|on|store-request|store-response EXPRESSION [table TABLE] [if|unless CONDITION]`."""
    kind = line.words[1] if len(line.words) > 1 else ""
    if kind not in _RULES:
        raise Refused("'stick' expects match, on, store-request or store-response")
    words, when = split_condition(line.words[2:])
    table = ""
    if len(words) >= 3 and words[-2] == "table":
        table = words[-1]
        words = words[:-2]
    if len(words) != 1:
        raise Refused(f"'stick {kind}' expects one expression, then perhaps 'table <name>' and a condition")
    at = "response" if kind == "store-response" else "request"
    scope = context.scope(proxy, line.place, at)
    expr, _, _ = parse_expr(words[0], scope)
    scope.references.append(Reference(Kind.TABLE, table, f"'stick {kind}'", proxy.name, line.place))
    match, store_request, store_response = _RULES[kind]
    proxy.stick.append(
        StickRule(
            expr,
            table,
            match,
            store_request,
            store_response,
            condition(line, when, proxy, context, at),
            line.place,
        )
    )
