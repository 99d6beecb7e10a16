"""Map converters (configuration.txt, section 7.3.1, `map`): `map[_METHOD[_OUTPUT]](file[,default])`."""

from __future__ import annotations

from typing import cast

from trilb.base.diagnostic import Refused
from trilb.base.registry import Arg, Kind, optional
from trilb.samples import casts
from trilb.samples.indexes import Expressions
from trilb.samples.references import Matching
from trilb.samples.regex import expand
from trilb.samples.types import Convert, Value, converters

_METHODS = ("str", "beg", "end", "sub", "dir", "dom", "reg", "int", "ip")
_INPUT = {"int": "sint", "ip": "addr"}
_OUTPUT = {"str": "str", "int": "sint", "ip": "addr", "key": "str"}

_GIVES = {
    "str": "the value",
    "int": "the value as an integer",
    "ip": "the value as an address",
    "key": "the key that matched",
}


def _default(text: str | None, output: str) -> Value | None:
    """The value for what is not found, None for none. Raises Refused."""
    if text is None:
        return None
    value = text.encode("latin-1")
    if output == "int":
        if not text.lstrip("+-").isdecimal():
            raise Refused(f"the default value '{text}' of an integer map is no integer")
        return casts.to_int(value)
    if output == "ip":
        made = casts.to_address(value)
        if made is None:
            raise Refused(f"the default value '{text}' of an address map is no address")
        return made
    return value


def _lookup(matching: Matching, default: Value | None, output: str) -> Convert:
    find = matching.index.find

    def run_text(value: Value) -> Value | None:
        entry = find(value)
        return default if entry is None else entry.value

    def run_number(value: Value) -> Value | None:
        entry = find(value)
        return default if entry is None else entry.number

    def run_address(value: Value) -> Value | None:
        entry = find(value)
        return default if entry is None else entry.address

    def run_key(value: Value) -> Value | None:
        entry = find(value)
        return None if entry is None else entry.key

    return {"str": run_text, "int": run_number, "ip": run_address, "key": run_key}[output]


def _enter(method: str, output: str) -> None:
    names = [f"map_{method}_{output}"]
    if output == "str":
        # The plain names mean text; `map_str_str` is no name at all.
        names = ["map", "map_str"] if method == "str" else [f"map_{method}"]

    def factory(matching: Matching, default: str | None = None) -> Convert:
        return _lookup(matching, _default(default, output), output)

    def check(name: object, default: str | None = None) -> None:
        _default(default, output)

    factory.__doc__ = f"Search a map by `{method}`, give {_GIVES[output]}."
    args: tuple[Arg, ...] = (Arg("map_name", Kind.MAP),)
    if output != "key":
        args = (*args, optional("default_value"))
    converters.register(
        *names,
        args=args,
        takes=_INPUT.get(method, "str"),
        gives=_OUTPUT[output],
        source="7.3.1",
        match=method,
        output=output,
        check=check,
    )(factory)


for _method in _METHODS:
    for _output in _OUTPUT:
        _enter(_method, _output)


def _no_check(name: object, default: str | None = None) -> None:
    """Any text is a default value."""


@converters.register(
    "map_regm",
    args=(Arg("map_name", Kind.MAP), optional("default_value")),
    takes="str",
    gives="str",
    source="7.3.1",
    match="regm",
    output="str",
    check=_no_check,
)
def map_regm(matching: Matching, default: str | None = None) -> Convert:
    """Search a map of regular expressions, fill the groups of the match into the value."""
    index = cast(Expressions, matching.index)
    otherwise = _default(default, "str")

    def run(value: Value) -> Value | None:
        assert isinstance(value, bytes)
        for regex, entry in index.entries.values():
            match = regex.find(value)
            if match is not None:
                return expand(entry.value, match)
        return otherwise

    return run
