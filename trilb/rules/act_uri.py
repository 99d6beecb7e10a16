"""Actions on the request line and the status line (configuration.txt, section 4.4)."""

from __future__ import annotations

import re
from collections.abc import Callable

from trilb.base.diagnostic import Refused
from trilb.base.units import whole
from trilb.config.expressions import Scope, parse_format
from trilb.config.terms import Format
from trilb.http.reasons import reason_of
from trilb.live.effects import Effect
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.registry import AFTER, REQUEST, RESPONSE, Builder, action
from trilb.rules.rewrite import failed
from trilb.samples.fetch_uri import path_of, pathq_of
from trilb.samples.regex import Regex, expand

_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_CONTROL = re.compile(rb"[\x00-\x20\x7f]")


def _one(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 1:
        raise Refused("expects exactly 1 argument: <format>")
    return (parse_format(words[0], scope),)


def _two(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) != 2:
        raise Refused("expects exactly 2 arguments: <match-regex> <replace-format>")
    return Regex(words[0]), parse_format(words[1], scope)


def _safe(value: bytes) -> bytes:
    """A computed target must not hold what ends it: blanks and controls are percent-encoded."""
    return _CONTROL.sub(lambda match: b"%%%02X" % match[0][0], value)


def set_path(target: bytes, path: bytes) -> bytes:
    """The target with another path, its query kept."""
    old = pathq_of(target)
    _, question, query = old.partition(b"?")
    return _with_pathq(target, old, path + question + query)


def set_pathq(target: bytes, pathq: bytes) -> bytes:
    """The target with another path and query."""
    return _with_pathq(target, pathq_of(target), pathq)


def set_query(target: bytes, query: bytes) -> bytes:
    """The target with another query string; an empty one leaves a question mark that was there."""
    query = query.removeprefix(b"?")
    old = pathq_of(target)
    path, question, _ = old.partition(b"?")
    return _with_pathq(target, old, path + b"?" + query if query or question else path)


def _with_pathq(target: bytes, old: bytes, new: bytes) -> bytes:
    """Put `new` in place of a target's path and query; a `*` or an authority has none and becomes it."""
    if not old:
        return new
    if target.endswith(old):
        return target[: len(target) - len(old)] + new
    # An absolute target without path: `old` is the "/" it stands for, perhaps with a query.
    return target.partition(b"?")[0] + new


def _edit(change: Callable[[bytes, bytes], bytes], text: Format, builder: Builder) -> Step:
    write = builder.writer(text)

    def act(stream: Stream) -> Effect | None:
        head = stream.request
        assert head is not None
        target = change(head.target, _safe(write(stream)))
        if not target:
            return failed(stream)
        head.target = target
        return None

    return act


@action("set-uri", on=(REQUEST,), source="4.4", parse=_one)
def set_uri(text: Format, builder: Builder) -> Step:
    """Replace the whole target; the authority of an absolute one becomes the host."""
    edit = _edit(lambda target, value: value, text, builder)

    def act(stream: Stream) -> Effect | None:
        effect = edit(stream)
        head = stream.request
        assert head is not None
        head.composed = False
        if effect is None and not head.target.startswith(b"/"):
            match = _AUTHORITY.match(head.target)
            if match is not None:
                host = match[1].rpartition(b"@")[2]
                head.fields = [(name, host if name == b"host" else value) for name, value in head.fields]
        return effect

    return act


@action("set-path", on=(REQUEST,), source="4.4", parse=_one)
def act_set_path(text: Format, builder: Builder) -> Step:
    """Replace the path; scheme, authority and query stay."""
    return _edit(set_path, text, builder)


@action("set-pathq", on=(REQUEST,), source="4.4", parse=_one)
def act_set_pathq(text: Format, builder: Builder) -> Step:
    """Replace the path and the query."""
    return _edit(set_pathq, text, builder)


@action("set-query", on=(REQUEST,), source="4.4", parse=_one)
def act_set_query(text: Format, builder: Builder) -> Step:
    """Replace the query string."""
    return _edit(set_query, text, builder)


@action("set-method", on=(REQUEST,), source="4.4", parse=_one)
def set_method(text: Format, builder: Builder) -> Step:
    """Replace the method."""
    write = builder.writer(text)

    def act(stream: Stream) -> Effect | None:
        value = write(stream)
        assert stream.request is not None
        if not _METHOD.match(value):
            return failed(stream)
        stream.request.method = value
        return None

    return act


def _replace(
    part: Callable[[bytes], bytes],
    change: Callable[[bytes, bytes], bytes],
    regex: Regex,
    text: Format,
    builder: Builder,
) -> Step:
    write = builder.writer(text)

    def act(stream: Stream) -> None:
        head = stream.request
        assert head is not None
        match = regex.find(part(head.target))
        if match is not None:
            head.target = change(head.target, _safe(expand(write(stream), match)))

    return act


@action("replace-uri", on=(REQUEST,), source="4.4", parse=_two)
def replace_uri(regex: Regex, text: Format, builder: Builder) -> Step:
    """Rewrite the whole target if it matches; the new one may refer to groups."""
    edit = _replace(lambda target: target, lambda target, value: value or target, regex, text, builder)

    def act(stream: Stream) -> Effect | None:
        head = stream.request
        assert head is not None
        before = head.target
        effect = edit(stream)
        head.composed = head.composed and head.target == before
        return effect

    return act


@action("replace-path", on=(REQUEST,), source="4.4", parse=_two)
def replace_path(regex: Regex, text: Format, builder: Builder) -> Step:
    """Rewrite the path if it matches; the query stays."""
    return _replace(path_of, set_path, regex, text, builder)


@action("replace-pathq", on=(REQUEST,), source="4.4", parse=_two)
def replace_pathq(regex: Regex, text: Format, builder: Builder) -> Step:
    """Rewrite the path and the query if they match."""
    return _replace(pathq_of, set_pathq, regex, text, builder)


def _parse_status(words: list[str], scope: Scope) -> tuple[object, ...]:
    if len(words) not in (1, 3) or (len(words) == 3 and words[1] != "reason"):
        raise Refused("expects <status> [ reason <string> ]")
    return whole(words[0], 100, 999, "'set-status'"), words[2].encode("latin-1") if len(words) == 3 else None


@action("set-status", on=(RESPONSE, AFTER), source="4.4", parse=_parse_status)
def set_status(status: int, reason: bytes | None, builder: Builder) -> Step:
    """Replace the status, and its reason."""
    text = reason_of(status) if reason is None else reason

    def act(stream: Stream) -> None:
        assert stream.response is not None
        stream.response.status, stream.response.reason = status, text
        stream.status = status

    return act
