"""Typed output and JSON of `show stat` and `show info` (management.txt, sections 9.2 and 9.3). Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator

from trilb.admin.columns import COLUMNS, Column
from trilb.admin.views import Row

_ORIGINS = {"M": "Metric", "S": "Status", "K": "Key", "C": "Config", "P": "Product"}
_NATURES = {
    "A": "Age",
    "a": "Avg",
    "C": "Counter",
    "D": "Duration",
    "G": "Gauge",
    "L": "Limit",
    "M": "Max",
    "m": "Min",
    "N": "Name",
    "O": "Output",
    "R": "Rate",
    "T": "Time",
}
_SCOPES = {"C": "Cluster", "P": "Process", "S": "Service", "s": "System"}
_OBJECTS = {"F": "Frontend", "B": "Backend", "L": "Listener", "S": "Server"}
_LARGEST = (1 << 53) - 1
"""JSON numbers beyond this are not what they seem to a reader that uses doubles."""


def line(name: str, tags: str, kind: str, value: object, doc: str = "") -> str:
    """A line of typed output; `tags` with all four letters."""
    end = f':"{doc}"' if doc else ""
    return f"{name}.1:{tags}:{kind}:{value}{end}\n"


def persistence(tags: str) -> str:
    """The fourth letter of the tags of a proxy's column: what is counted or is a rate could outlive the process."""
    return "P" if tags[0] == "M" and tags[1] in "CR" else "V"


def typed(found: Iterator[Row], *, described: bool = False) -> Iterator[str]:
    """Rows in typed output, a line a value: `F.2.0.4.scur.1:MGPV:u32:0`."""
    for row in found:
        where = f"{row.kind}.{row['iid']}.{row['sid']}"
        lines = []
        for column, value in _values(row):
            tags = column.tags[row.kind]
            name = f"{where}.{column.position}.{column.name}"
            lines.append(line(name, tags + persistence(tags), column.type, value, column.doc if described else ""))
        yield "".join(lines)


def as_json(found: Iterator[Row]) -> Iterator[str]:
    """Rows as JSON: a list of rows, each a list of values with what they are."""
    before = "["
    for row in found:
        head = f'{{"objType":"{_OBJECTS[row.kind]}","proxyId":{row["iid"]},"id":{row["sid"]},'
        items = [
            head + item(column.position, column.name, column.tags[row.kind], column.type, value)
            for column, value in _values(row)
        ]
        yield f"{before}[{','.join(items)}]"
        before = ","
    yield "]\n" if before == "," else "[]\n"


def _values(row: Row) -> Iterator[tuple[Column, str | int]]:
    for column, value in zip(COLUMNS, row.values, strict=True):
        if value is not None:
            yield column, value


def item(position: int, name: str, tags: str, kind: str, value: object) -> str:
    """The members of one value's object, from `field` on, and its closing brace."""
    if kind != "str" and isinstance(value, int):
        value = max(-_LARGEST, min(_LARGEST, value))
    made = {
        "field": {"pos": position, "name": name},
        "processNum": 1,
        "tags": {"origin": _ORIGINS[tags[0]], "nature": _NATURES[tags[1]], "scope": _SCOPES[tags[2]]},
        "value": {"type": kind, "value": value},
    }
    return json.dumps(made, separators=(",", ":"), ensure_ascii=False)[1:]


def schema() -> str:
    """`show schema json`: HAProxy's, but for `Stat`, whose items it calls objects where they are lists of objects."""
    field = {"$ref": "#/definitions/field"}
    number, tags = {"$ref": "#/definitions/processNum"}, {"$ref": "#/definitions/tags"}
    typed_value = {"$ref": "#/definitions/typedValue"}
    natural = {"type": "integer", "minimum": 0}
    info = {
        "title": "InfoItem",
        "type": "object",
        "properties": {"field": field, "processNum": number, "tags": tags, "value": typed_value},
        "required": ["field", "processNum", "tags", "value"],
    }
    stat = {
        "title": "StatItem",
        "type": "object",
        "properties": {
            "objType": {"enum": ["Frontend", "Backend", "Listener", "Server", "Unknown"]},
            "proxyId": natural,
            "id": natural,
            "field": field,
            "processNum": number,
            "tags": tags,
            "value": typed_value,
        },
        "required": ["objType", "proxyId", "id", "field", "processNum", "tags", "value"],
    }
    error = {
        "title": "Error",
        "type": "object",
        "properties": {"errorStr": {"type": "string"}},
        "required": ["errorStr"],
    }
    ranges = {
        "s32": (-(1 << 31), (1 << 31) - 1),
        "s64": (-_LARGEST, _LARGEST),
        "u32": (0, (1 << 32) - 1),
        "u64": (0, _LARGEST),
    }
    values: dict[str, object] = {
        f"{kind}Value": {
            "properties": {
                "type": {"type": "string", "enum": [kind]},
                "value": {"type": "integer", "minimum": low, "maximum": high},
            },
            "required": ["type", "value"],
        }
        for kind, (low, high) in ranges.items()
    }
    values["fltValue"] = {
        "properties": {"type": {"type": "string", "enum": ["flt"]}, "value": {"type": "number"}},
        "required": ["type", "value"],
    }
    values["strValue"] = {
        "properties": {"type": {"type": "string", "enum": ["str"]}, "value": {"type": "string"}},
        "required": ["type", "value"],
    }
    made = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "oneOf": [
            {"title": "Info", "type": "array", "items": info},
            {"title": "Stat", "type": "array", "items": {"type": "array", "items": stat}},
            error,
        ],
        "definitions": {
            "field": {
                "type": "object",
                "properties": {"pos": natural, "name": {"type": "string"}},
                "required": ["pos", "name"],
            },
            "processNum": {"type": "integer", "minimum": 1},
            "tags": {
                "type": "object",
                "properties": {
                    "origin": {"type": "string", "enum": [*_ORIGINS.values(), "Unknown"]},
                    "nature": {"type": "string", "enum": [*_NATURES.values(), "Unknown"]},
                    "scope": {"type": "string", "enum": [*_SCOPES.values(), "Unknown"]},
                },
                "required": ["origin", "nature", "scope"],
            },
            "typedValue": {
                "type": "object",
                "oneOf": [{"$ref": f"#/definitions/typedValue/definitions/{name}"} for name in values],
                "definitions": values,
            },
        },
    }
    return json.dumps(made, separators=(",", ":")) + "\n"
