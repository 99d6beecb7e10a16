"""The redirect action (configuration.txt, `redirect` in section 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from trilb.base.diagnostic import Refused, nearest
from trilb.config.expressions import Scope, parse_format
from trilb.config.terms import Format, Literal
from trilb.http.head import Field
from trilb.live.effects import Effect, Reply
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.registry import REQUEST, RESPONSE, Builder, action

_FLAGS = ("drop-query", "append-slash", "ignore-empty", "keep-query")
_VALUES = ("location", "prefix", "scheme", "code", "set-cookie", "set-cookie-fmt", "clear-cookie")
_CODES = ("301", "302", "303", "307", "308")


@dataclass(slots=True)
class _Redirect:
    """A redirect as read. A cookie has no other attribute than those given here (observed)."""

    kind: str = ""
    text: Format = ()
    code: int = 302
    cookie: Format = ()
    flags: set[str] = field(default_factory=set)


def _parse(words: list[str], scope: Scope) -> tuple[object, ...]:
    made = _Redirect()
    i = 0
    while i < len(words):
        word = words[i]
        i += 1
        if word in _FLAGS:
            made.flags.add(word)
            continue
        if word not in _VALUES:
            known = (*_VALUES, *_FLAGS)
            raise Refused(f"'redirect' does not know '{word}'{nearest(word, known)}; known are {', '.join(known)}")
        if i >= len(words) or not words[i]:
            raise Refused(f"missing argument for 'redirect {word}'")
        value = words[i]
        i += 1
        if word in ("location", "prefix", "scheme"):
            made.kind, made.text = word, parse_format(value, scope)
        elif word == "code":
            if value not in _CODES:
                raise Refused(f"'redirect code' must be 301, 302, 303, 307 or 308, not '{value}'")
            made.code = int(value)
        elif word == "set-cookie":
            made.cookie = (Literal(f"{value}; path=/;"),)
        elif word == "set-cookie-fmt":
            made.cookie = (*parse_format(value, scope), Literal("; path=/;"))
        else:
            name = value if "=" in value else value + "="
            made.cookie = (Literal(f"{name}; path=/; Max-Age=0;"),)
    if made.kind in ("prefix", "scheme") and scope.at == "response":
        raise Refused(f"a response only supports 'redirect location', not 'redirect {made.kind}'")
    if not made.kind:
        raise Refused("'redirect' expects 'location', 'prefix' or 'scheme'")
    return (made,)


@action("redirect", on=(REQUEST, RESPONSE), source="4.2", parse=_parse, final=True)
def redirect(made: _Redirect, builder: Builder) -> Step:
    """Answer with a redirection."""
    location = _KINDS[made.kind](builder.writer(made.text), frozenset(made.flags))
    cookie = builder.writer(made.cookie) if made.cookie else None
    code, skip_empty = made.code, "ignore-empty" in made.flags

    def act(stream: Stream) -> Effect | None:
        target = location(stream)
        if skip_empty and not target:
            return None
        if b"\r" in target or b"\n" in target:
            target = target.replace(b"\r", b"").replace(b"\n", b"")
        fields: list[Field] = [(b"content-length", b"0"), (b"location", target)]
        if code in (302, 303, 307):
            fields.append((b"cache-control", b"no-cache"))
        if cookie is not None:
            fields.append((b"set-cookie", cookie(stream)))
        return Reply(code, fields, reason=b"Found" if code == 302 else b"")

    return act


Write = Callable[[Stream], bytes]


def _request_uri(stream: Stream, flags: frozenset[str]) -> bytes:
    assert stream.request is not None
    uri = stream.request.target
    if not uri.startswith(b"/"):
        uri = b"/" + uri.partition(b"://")[2].partition(b"/")[2]
    path, question, query = uri.partition(b"?")
    if "drop-query" in flags:
        question = query = b""
    uri = path + question + query
    # Observed: the slash goes to the very end, behind a query that stays.
    return uri + b"/" if "append-slash" in flags and not path.endswith(b"/") else uri


def _location(write: Write, flags: frozenset[str]) -> Write:
    if "keep-query" not in flags:
        return write

    def make(stream: Stream) -> bytes:
        assert stream.request is not None
        location, query = write(stream), stream.request.target.partition(b"?")[2]
        if not query or not location:
            return location
        return location + (b"&" if b"?" in location else b"?") + query

    return make


def _prefix(write: Write, flags: frozenset[str]) -> Write:
    def make(stream: Stream) -> bytes:
        prefix = write(stream)
        uri = _request_uri(stream, flags)
        return uri if prefix == b"/" else prefix + uri

    return make


def _scheme(write: Write, flags: frozenset[str]) -> Write:
    def make(stream: Stream) -> bytes:
        assert stream.request is not None
        host = stream.request.get(b"host") or b""
        return write(stream) + b"://" + host + _request_uri(stream, flags)

    return make


_KINDS = {"location": _location, "prefix": _prefix, "scheme": _scheme}
