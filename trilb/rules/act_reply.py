"""Actions that end a request: allow, deny, redirect (configuration.txt, section 4.4)."""

from __future__ import annotations

from collections.abc import Callable

from trilb.base.diagnostic import Refused
from trilb.base.registry import Registry
from trilb.base.units import whole
from trilb.config.expressions import NotServed, Scope, parse_format
from trilb.config.keywords.proxies import ERROR_STATUSES
from trilb.config.model import Format
from trilb.http.head import Field
from trilb.live.effects import ALLOW, Deny, Drop, Effect, Reply, Tarpit
from trilb.live.plan import Step
from trilb.live.stream import Stream
from trilb.rules.registry import Builder, http_request, http_response


def _parse_allow(words: list[str], scope: Scope) -> tuple[object, ...]:
    if words:
        raise Refused(f"'allow' cannot handle unexpected argument '{words[0]}'")
    return ()


def _parse_deny(words: list[str], scope: Scope) -> tuple[object, ...]:
    status = 502 if scope.at == "response" else 403
    if words:
        if words[0] != "deny_status" or len(words) != 2:
            given = ["status" if word == "deny_status" else word for word in words]
            return _parse_return(given, scope, status)
        status = whole(words[1], 200, 599, "'deny_status'")
        if status not in ERROR_STATUSES:
            raise Refused(f"status {status} has no page of its own; known are {', '.join(map(str, ERROR_STATUSES))}")
    return (status,)


def _parse_redirect(words: list[str], scope: Scope) -> tuple[object, ...]:
    kind, text, code = "", "", 302
    cookie = ""
    flags: set[str] = set()
    i = 0
    while i < len(words):
        word = words[i]
        value = words[i + 1] if i + 1 < len(words) else ""
        i += 2
        if word in ("location", "prefix", "scheme"):
            if not value:
                raise Refused(f"'redirect {word}' expects an argument")
            kind, text = word, value
        elif word == "code":
            code = whole(value, 301, 308, "'redirect code'")
            if code not in (301, 302, 303, 307, 308):
                raise Refused(f"'redirect code' must be 301, 302, 303, 307 or 308, not {code}")
        elif word in ("set-cookie", "clear-cookie"):
            if not value:
                raise Refused(f"'redirect {word}' expects an argument")
            cookie = f"{value}; path=/;" if word == "set-cookie" else f"{value}; path=/; Max-Age=0;"
            if word == "clear-cookie" and "=" not in value:
                cookie = f"{value}=; path=/; Max-Age=0;"
        elif word == "set-cookie-fmt":
            raise NotServed("redirect set-cookie-fmt")
        elif word in ("drop-query", "append-slash", "ignore-empty", "keep-query"):
            flags.add(word)
            i -= 1
        else:
            raise Refused(
                f"'redirect' does not know '{word}'; known are location, prefix, scheme, code, set-cookie, "
                "clear-cookie, drop-query, append-slash, ignore-empty"
            )
    if not kind:
        raise Refused("'redirect' expects 'location', 'prefix' or 'scheme'")
    return kind, parse_format(text, scope), code, cookie, frozenset(flags)


def _parse_return(words: list[str], scope: Scope, status: int = 200) -> tuple[object, ...]:
    kind, body = "", None
    fields: list[tuple[bytes, Format]] = []
    i = 0
    while i < len(words):
        word, value = words[i], words[i + 1] if i + 1 < len(words) else ""
        i += 2
        if word == "status":
            status = whole(value, 200, 599, "'status'")
        elif word == "content-type":
            kind = value
        elif word in ("string", "lf-string"):
            body = parse_format(value if word == "lf-string" else value.replace("%", "%%"), scope)
        elif word == "hdr":
            if i >= len(words):
                raise Refused("'hdr' expects <name> and <format>")
            fields.append((value.lower().encode(), parse_format(words[i], scope)))
            i += 1
        elif word in ("errorfile", "errorfiles", "default-errorfiles", "file", "lf-file"):
            raise NotServed(f"return {word}")
        else:
            raise Refused(f"unknown argument '{word}'; known are status, content-type, string, lf-string, hdr")
    if body is not None and not kind:
        raise Refused("'return' with a content needs 'content-type'")
    return status, kind, body, tuple(fields)


def _answer(
    status: int,
    kind: str,
    body: Format | None,
    fields: tuple[tuple[bytes, Format], ...],
    builder: Builder,
    *,
    denied: bool,
) -> Step:
    write = builder.writer(body) if body is not None else None
    extra = [(name, builder.writer(text)) for name, text in fields]
    content_type = kind.encode("latin-1")

    def act(stream: Stream) -> Effect:
        payload = write(stream) if write is not None else b""
        made: list[Field] = [(name, text(stream)) for name, text in extra]
        made.append((b"content-length", b"%d" % len(payload)))
        if write is not None:
            made.append((b"content-type", content_type))
        return Reply(status, made, payload, denied=denied)

    return act


def _parse_tarpit(words: list[str], scope: Scope) -> tuple[object, ...]:
    return _parse_deny(words, scope) if words else (500,)


def _register(registry: Registry[Callable[..., Step]]) -> None:
    @registry.register("allow", source="4.4", parse=_parse_allow, final=True)
    def allow(builder: Builder) -> Step:
        """Stop evaluating this rule set; the request goes on."""
        return lambda stream: ALLOW

    @registry.register("deny", source="4.4", parse=_parse_deny, final=True)
    def deny(status: int, *rest: object) -> Step:
        """Answer with an error page, or with the given answer."""
        if len(rest) > 1:
            return _answer(status, *rest, denied=True)  # type: ignore[arg-type]
        effect = Deny(status)
        return lambda stream: effect

    @registry.register("redirect", source="4.4", parse=_parse_redirect, final=True)
    def redirect(kind: str, text: Format, code: int, cookie: str, flags: frozenset[str], builder: Builder) -> Step:
        """Answer with a redirection."""
        write = builder.writer(text)
        location = {"location": _location, "prefix": _prefix, "scheme": _scheme}[kind](write, flags)
        crumb = cookie.encode("latin-1")
        skip_empty = "ignore-empty" in flags

        def act(stream: Stream) -> Effect | None:
            target = location(stream)
            if skip_empty and not target:
                return None
            if b"\r" in target or b"\n" in target:
                target = target.replace(b"\r", b"").replace(b"\n", b"")
            fields: list[Field] = [(b"content-length", b"0"), (b"location", target)]
            if code in (302, 303, 307):
                fields.append((b"cache-control", b"no-cache"))
            if crumb:
                fields.append((b"set-cookie", crumb))
            return Reply(code, fields)

        return act

    @registry.register("return", source="4.4", parse=_parse_return, final=True)
    def send_back(
        status: int, kind: str, body: Format | None, fields: tuple[tuple[bytes, Format], ...], builder: Builder
    ) -> Step:
        """Answer with a status, fields and a text."""
        return _answer(status, kind, body, fields, builder, denied=False)


@http_request.register("tarpit", source="4.4", parse=_parse_tarpit, final=True)
def tarpit(status: int, builder: Builder) -> Step:
    """Hold the client for `timeout tarpit`, then answer with an error."""
    effect = Tarpit(status)
    return lambda stream: effect


@http_request.register("disable-l7-retry", source="4.4", parse=_parse_allow)
def disable_l7_retry(builder: Builder) -> Step:
    """Send this request once only, whatever `retry-on` says."""

    def act(stream: Stream) -> None:
        stream.no_l7_retry = True

    return act


@http_request.register("reject", source="4.4", parse=_parse_allow, final=True)
def reject(builder: Builder) -> Step:
    """Close without an answer."""
    effect = Drop(silent=False)
    return lambda stream: effect


@http_request.register("silent-drop", source="4.4", parse=_parse_allow, final=True)
def silent_drop(builder: Builder) -> Step:
    """Vanish: close without telling the client."""
    effect = Drop(silent=True)
    return lambda stream: effect


Location = Callable[[Stream], bytes]


def _location(write: Location, flags: frozenset[str]) -> Location:
    return write


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


def _prefix(write: Location, flags: frozenset[str]) -> Location:
    def make(stream: Stream) -> bytes:
        prefix = write(stream)
        uri = _request_uri(stream, flags)
        return uri if prefix == b"/" else prefix + uri

    return make


def _scheme(write: Location, flags: frozenset[str]) -> Location:
    def make(stream: Stream) -> bytes:
        assert stream.request is not None
        host = stream.request.get(b"host") or b""
        return write(stream) + b"://" + host + _request_uri(stream, flags)

    return make


_register(http_request)
_register(http_response)
