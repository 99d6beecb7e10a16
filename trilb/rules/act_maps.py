"""Actions that change pattern lists: add-acl, del-acl, set-map, del-map (configuration.txt, section 4.4)."""

from __future__ import annotations

from functools import partial
from typing import cast

from trilb.base.diagnostic import Refused
from trilb.base.registry import Kind
from trilb.config.expressions import Scope, parse_format
from trilb.config.patterns import Patterns, list_name
from trilb.config.terms import Format
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.registry import HTTP, REQUEST, RESPONSE, Builder, action
from trilb.samples.references import Reference


def _target(action_name: str, formats: int, words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != formats + 1:
        shape = f"{action_name}(<file>) <key>" + (" <value>" if formats == 2 else "")
        raise Refused(f"expects exactly {formats} argument{'s' if formats == 2 else ''}: {shape}")
    name, _ = list_name(words[0])
    use = Patterns(name, method="", criterion=action_name, place=scope.place)
    scope.patterns.append(use)
    return (use, *(parse_format(word, scope) for word in words[1:]))


def _reference(use: Patterns, builder: Builder) -> Reference | None:
    found = cast("Reference | None", builder.resolve(Kind.MAP, use))
    if found is not None:
        found.expect_changes()
    return found


def _nothing(stream: Stream) -> None:
    """What is done to a list that nobody matches against."""


@action("add-acl", on=(REQUEST, RESPONSE), source="4.4", named=True, parse=partial(_target, "add-acl", 1))
def add_acl(use: Patterns, key: Format, builder: Builder) -> Step:
    """Add a pattern to an ACL's file, unless it is there."""
    reference, write_key = _reference(use, builder), builder.writer(key)
    if reference is None:
        return _nothing

    def act(stream: Stream) -> None:
        text = write_key(stream)
        if not reference.find(text):
            _attempt_add(reference, text, b"")

    return act


@action("set-map", on=HTTP, source="4.4", named=True, parse=partial(_target, "set-map", 2))
def set_map(use: Patterns, key: Format, value: Format, builder: Builder) -> Step:
    """Give a key of a map a value, adding it if it is not there."""
    reference, write_key, write_value = _reference(use, builder), builder.writer(key), builder.writer(value)
    if reference is None:
        return _nothing

    def act(stream: Stream) -> None:
        text, new = write_key(stream), write_value(stream)
        entries = reference.find(text)
        if not entries:
            _attempt_add(reference, text, new)
            return
        try:
            reference.set(entries, new)
        except Refused:
            return

    return act


def _attempt_add(reference: Reference, key: bytes, value: bytes) -> None:
    """What a request brings may be no pattern of this list: then the list stays as it is."""
    try:
        reference.add(key, value)
    except Refused:
        return


def _remover(use: Patterns, key: Format, builder: Builder) -> Step:
    reference, write_key = _reference(use, builder), builder.writer(key)
    if reference is None:
        return _nothing

    def act(stream: Stream) -> None:
        reference.remove(reference.find(write_key(stream)))

    return act


@action("del-acl", on=(REQUEST, RESPONSE), source="4.4", named=True, parse=partial(_target, "del-acl", 1))
def del_acl(use: Patterns, key: Format, builder: Builder) -> Step:
    """Take a pattern out of an ACL's file."""
    return _remover(use, key, builder)


@action("del-map", on=HTTP, source="4.4", named=True, parse=partial(_target, "del-map", 1))
def del_map(use: Patterns, key: Format, builder: Builder) -> Step:
    """Take a key out of a map."""
    return _remover(use, key, builder)
