"""http-request normalize-uri: what RFC 3986, section 6, allows to rewrite (configuration.txt, section 4.4)."""

from __future__ import annotations

import re
from collections.abc import Callable

from trilb.base.diagnostic import Refused, nearest
from trilb.config.expressions import Scope
from trilb.live.effects import Deny, Effect
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.act_uri import set_path, set_pathq, set_query
from trilb.rules.registry import REQUEST, Builder, action
from trilb.samples.fetch_uri import path_of, pathq_of

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BROKEN = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Invalid(ValueError):
    """The target cannot be normalised: the request is refused."""


def merge_slashes(path: bytes) -> bytes:
    """`//` becomes `/`."""
    return re.sub(rb"/{2,}", b"/", path)


def strip_dot(path: bytes) -> bytes:
    """Segments that are a single dot vanish."""
    while (changed := re.sub(rb"(^|/)\./", rb"\1", path)) != path:
        path = changed
    if path.endswith(b"/."):
        path = path[:-1]
    return b"" if path == b"." else path


def strip_dotdot(path: bytes, full: bool) -> bytes:
    """`dir/../` vanishes; leading `/../` stay, unless `full`."""
    out: list[bytes] = []
    segments = path.split(b"/")
    for at, segment in enumerate(segments):
        last = at == len(segments) - 1
        if segment == b"..":
            if len(out) > 1 and out[-1] != b"..":
                out.pop()
                if last:
                    out.append(b"")
                continue
            if full:
                if last:
                    out.append(b"")
                continue
        out.append(segment)
        if segment == b".." and last:
            # Observed: what cannot be stripped gets its slash all the same.
            out.append(b"")
    return b"/".join(out)


def decode_unreserved(text: bytes, strict: bool) -> bytes:
    """Escapes of characters that need none become these characters. Raises Invalid (strict)."""
    _check(text, strict)

    def one(match: re.Match[bytes]) -> bytes:
        code = int(match[1], 16)
        return bytes([code]) if code in _UNRESERVED else match[0]

    return _ESCAPE.sub(one, text)


def uppercase(text: bytes, strict: bool) -> bytes:
    """The digits of escapes become upper case. Raises Invalid (strict)."""
    _check(text, strict)
    return _ESCAPE.sub(lambda match: match[0].upper(), text)


def _check(text: bytes, strict: bool) -> None:
    if strict and _BROKEN.search(text):
        raise Invalid


def sort_query(query: bytes) -> bytes:
    """The parameters in the order of their names; those of one name keep theirs."""
    named = [(part.partition(b"=")[0], at, part) for at, part in enumerate(query.split(b"&"))]
    return b"&".join([part for _, _, part in sorted(named)])


_Change = Callable[[bytes], bytes]


def _on_path(change: _Change) -> _Change:
    def run(target: bytes) -> bytes:
        path = path_of(target)
        return set_path(target, change(path)) if path else target

    return run


def _on_pathq(change: _Change) -> _Change:
    def run(target: bytes) -> bytes:
        pathq = pathq_of(target)
        return set_pathq(target, change(pathq)) if pathq else target

    return run


def _query(target: bytes) -> bytes:
    query = target.partition(b"?")[2]
    return set_query(target, sort_query(query)) if query else target


def _fragment_strip(target: bytes) -> bytes:
    return target.partition(b"#")[0]


def _fragment_encode(target: bytes) -> bytes:
    return target.replace(b"#", b"%23")


def _normalizer(name: str, flag: bool) -> _Change:
    table: dict[str, _Change] = {
        "fragment-strip": _fragment_strip,
        "fragment-encode": _fragment_encode,
        "path-merge-slashes": _on_path(merge_slashes),
        "path-strip-dot": _on_path(strip_dot),
        "path-strip-dotdot": _on_path(lambda path: strip_dotdot(path, flag)),
        "percent-decode-unreserved": _on_pathq(lambda text: decode_unreserved(text, flag)),
        "percent-to-uppercase": _on_pathq(lambda text: uppercase(text, flag)),
        "query-sort-by-name": _query,
    }
    return table[name]


_FLAGS = {
    "fragment-strip": "",
    "fragment-encode": "",
    "path-merge-slashes": "",
    "path-strip-dot": "",
    "path-strip-dotdot": "full",
    "percent-decode-unreserved": "strict",
    "percent-to-uppercase": "strict",
    "query-sort-by-name": "",
}


def _parse(words: list[str], scope: Scope) -> tuple[object, ...]:
    if not words or words[0] not in _FLAGS:
        given = words[0] if words else ""
        raise Refused(f"'normalize-uri' does not know '{given}'{nearest(given, _FLAGS)}; known are {', '.join(_FLAGS)}")
    flag = _FLAGS[words[0]]
    if len(words) > 2 or (len(words) == 2 and words[1] != flag):
        raise Refused(f"'normalize-uri {words[0]}' takes {f'only {flag!r}' if flag else 'nothing'} behind it")
    return words[0], len(words) == 2


@action("normalize-uri", on=(REQUEST,), source="4.4", parse=_parse, experimental=True)
def normalize_uri(name: str, flag: bool, builder: Builder) -> Step:
    """Rewrite the target to an equivalent form; one that cannot be is answered 400."""
    change = _normalizer(name, flag)
    refused = Deny(400)

    def act(stream: Stream) -> Effect | None:
        head = stream.request
        assert head is not None
        try:
            head.target = change(head.target)
        except Invalid:
            return refused
        return None

    return act
