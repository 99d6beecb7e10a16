"""The words of `tcp-check ...` and `http-check ...`: from text to steps (configuration.txt, both keywords)."""

from __future__ import annotations

import re
from collections.abc import Callable

from trilb.base.diagnostic import Refused, nearest
from trilb.base.ip import is_literal
from trilb.base.registry import variable_name
from trilb.base.units import whole
from trilb.config.expressions import NotServed, Scope, parse_expr, parse_format
from trilb.config.probes import (
    AskStep,
    CheckStep,
    CommentStep,
    ConnectStep,
    ExpectStep,
    HeaderMatch,
    SendStep,
    VariableStep,
)
from trilb.config.terms import Expr, Format

OK = ("L4OK", "L6OK", "L7OK", "L7OKC")
ERROR = ("L7OKC", "L7RSP", "L7STS", "L6RSP", "L4CON")
TIMEOUT = ("L7TOUT", "L6TOUT", "L4TOUT")
_TCP_MATCHES = ("string", "rstring", "string-lf", "binary", "rbinary", "binary-lf")
_HTTP_MATCHES = ("status", "rstatus", "hdr", "fhdr", "string", "rstring", "string-lf")
_HOWS = ("str", "beg", "end", "sub", "reg")
_VARIABLE = re.compile(r"(set-var|set-var-fmt|unset-var)\((.*)\)\Z")
_RANGE = re.compile(r"(\d{3})(?:-(\d{3}))?\Z")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")


class _Words:
    """The words after the keyword, taken one by one."""

    def __init__(self, words: tuple[str, ...], what: str) -> None:
        self.words = words
        self.what = what
        self.at = 0

    def next(self) -> str:
        """The next word, "" at the end."""
        self.at += 1
        return self.words[self.at - 1] if self.at <= len(self.words) else ""

    def value(self, name: str) -> str:
        """What must follow the word `name`."""
        if self.at >= len(self.words):
            raise Refused(f"'{self.what}' : '{name}' expects an argument")
        return self.next()


def parse(family: str, words: tuple[str, ...], scope: Scope) -> CheckStep:
    """Read the words after `tcp-check` or `http-check` (`family` "tcp", "http"). Raises Refused, NotServed."""
    name = words[0] if words else ""
    found = _VARIABLE.match(name)
    if found is not None:
        return _variable(found[1], found[2], words[1:], f"{family}-check {found[1]}", scope)
    steps = _HTTP if family == "http" else _TCP
    if name not in steps:
        known = [*steps, "set-var", "set-var-fmt", "unset-var"]
        raise Refused(f"'{family}-check' knows no '{name}'{nearest(name, known)}; known are {', '.join(known)}")
    return steps[name](_Words(words[1:], f"{family}-check {name}"), scope)


def _variable(kind: str, inner: str, words: tuple[str, ...], what: str, scope: Scope) -> VariableStep:
    name, *conditions = (word.strip() for word in inner.split(","))
    variable_name(name)
    if name.partition(".")[0] not in ("proc", "sess", "check"):
        raise Refused(f"'{what}' : variable '{name}': only the scopes 'proc', 'sess' and 'check' exist in a check")
    if kind == "unset-var":
        if words:
            raise Refused(f"'{what}' takes nothing after the name")
        return VariableStep(name)
    if not words or (kind == "set-var-fmt" and len(words) > 1):
        raise Refused(f"'{what}' expects {'a format' if kind == 'set-var-fmt' else 'an expression'}")
    if kind == "set-var-fmt":
        return VariableStep(name, tuple(conditions), parse_format(words[0], scope))
    return VariableStep(name, tuple(conditions), parse_expr(",".join(words), scope)[0])


def _comment(words: _Words, scope: Scope) -> CommentStep:
    text = words.next()
    if not text:
        raise Refused(f"'{words.what}' expects a text")
    return CommentStep(text)


def _connect(words: _Words, scope: Scope) -> ConnectStep:
    flags = {"default": False, "send-proxy": False, "ssl": False, "linger": False}
    texts = {"sni": "", "proto": "", "comment": "", "alpn": "", "addr": ""}
    port: int | Expr = 0
    while word := words.next():
        if word in flags:
            flags[word] = True
        elif word == "port":
            text = words.value(word)
            port = whole(text, 1, 65535, f"'{words.what} port'") if text.isdigit() else parse_expr(text, scope)[0]
        elif word in texts:
            texts[word] = words.value(word)
        elif word == "via-socks4":
            raise NotServed(f"{words.what} via-socks4")
        else:
            raise Refused(f"'{words.what}' knows no '{word}'{nearest(word, [*flags, *texts, 'port'])}")
    address, colon, attached = texts["addr"].rpartition(":")
    if colon and attached.isdigit() and (is_literal(address) or address.count(":") == 0):
        port = port or whole(attached, 1, 65535, f"'{words.what} addr'")
    else:
        address = texts["addr"]
    if address and not is_literal(address.strip("[]")):
        raise Refused(f"'{words.what}' : 'addr' expects an address, not '{texts['addr']}'")
    if texts["proto"] not in ("", "h1", "h2", "none"):
        raise NotServed(f"{words.what} proto {texts['proto']}")
    return ConnectStep(
        default=flags["default"],
        port=port,
        address=address.strip("[]"),
        send_proxy=flags["send-proxy"],
        ssl=flags["ssl"],
        sni=texts["sni"],
        alpn=tuple(name.encode("latin-1") for name in texts["alpn"].split(",") if name),
        proto=texts["proto"],
        linger=flags["linger"],
        comment=texts["comment"],
    )


def _tail(words: _Words) -> str:
    """What may follow the data of a `send`."""
    comment = ""
    while word := words.next():
        if word != "comment":
            raise Refused(f"'{words.what}' cannot handle unexpected argument '{word}'; quote data with blanks")
        comment = words.value(word)
    return comment


def _send(words: _Words, scope: Scope) -> SendStep:
    data = words.value("send").encode("latin-1")
    return SendStep(data, comment=_tail(words))


def _send_lf(words: _Words, scope: Scope) -> SendStep:
    text = parse_format(words.value("send-lf"), scope)
    return SendStep(text, comment=_tail(words))


def _digits(text: str, what: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise Refused(f"'{what}' expects pairs of hexadecimal digits, not '{text}'") from None
    return data


def _send_binary(words: _Words, scope: Scope) -> SendStep:
    data = _digits(words.value("send-binary"), words.what)
    return SendStep(data, comment=_tail(words))


def _send_binary_lf(words: _Words, scope: Scope) -> SendStep:
    text = parse_format(words.value("send-binary-lf"), scope)
    return SendStep(text, hexadecimal=True, comment=_tail(words))


def _ask(words: _Words, scope: Scope) -> AskStep:
    method = version = None
    uri: str | Format | None = None
    body: bytes | Format | None = None
    headers: list[tuple[str, Format]] = []
    comment = ""
    while word := words.next():
        if word == "meth":
            method = words.value(word)
        elif word == "uri":
            uri = words.value(word)
        elif word == "uri-lf":
            uri = parse_format(words.value(word), scope)
        elif word == "ver":
            version = http_version(words.value(word))
        elif word == "hdr":
            name, text = words.value(word), words.value(word)
            if not _NAME.match(name):
                raise Refused(f"'{words.what}' : '{name}' is no name of a header")
            if name.lower() not in ("content-length", "transfer-encoding"):
                # What frames the request is ours to say (configuration.txt, `http-check send`).
                headers.append((name.lower(), parse_format(text, scope)))
        elif word == "body":
            body = words.value(word).encode("latin-1")
        elif word == "body-lf":
            body = parse_format(words.value(word), scope)
        elif word == "comment":
            comment = words.value(word)
        else:
            options = ("meth", "uri", "uri-lf", "ver", "hdr", "body", "body-lf", "comment")
            raise Refused(f"'{words.what}' knows no '{word}'{nearest(word, options)}")
    return AskStep(method, uri, version, tuple(headers), body, comment)


def http_version(text: str) -> str:
    """`HTTP/1.0`, `HTTP/1.1`, `HTTP/2.0`. Raises Refused."""
    if not re.fullmatch(r"HTTP/\d(\.\d)?", text):
        raise Refused(f"'{text}' is no version of HTTP; write HTTP/1.0 or HTTP/1.1")
    return text


def _status(words: _Words, name: str, allowed: tuple[str, ...]) -> str:
    status = words.value(name)
    if status not in allowed:
        raise Refused(f"'{words.what}' : '{name}' expects {', '.join(allowed)}, not '{status}'")
    return status


def _expect(words: _Words, scope: Scope, matches: tuple[str, ...]) -> ExpectStep:
    kind, negated, min_recv, comment = "", False, -1, ""
    pattern: bytes | str | Format | tuple[tuple[int, int], ...] | HeaderMatch = b""
    ok = error = timeout = ""
    on_success: Format | None = None
    on_error: Format | None = None
    code: Expr | None = None
    while word := words.next():
        bare = word.removeprefix("!")
        if word == "min-recv":
            min_recv = whole(words.value(word), -1, 65535, f"'{words.what} min-recv'")
        elif word == "comment":
            comment = words.value(word)
        elif word == "ok-status":
            ok = _status(words, word, OK)
        elif word == "error-status":
            error = _status(words, word, ERROR)
        elif word == "tout-status":
            timeout = _status(words, word, TIMEOUT)
        elif word == "on-success":
            on_success = parse_format(words.value(word), scope)
        elif word == "on-error":
            on_error = parse_format(words.value(word), scope)
        elif word == "status-code":
            code = parse_expr(words.value(word), scope)[0]
        elif word == "!" and not kind:
            negated = True
        elif bare in matches and not kind:
            negated = negated or bare != word
            kind = bare
            pattern = _pattern(kind, words, scope)
        else:
            raise Refused(f"'{words.what}' knows no '{word}'{nearest(word, matches)}; known are {', '.join(matches)}")
    if not kind:
        raise Refused(f"'{words.what}' expects what to look for: {', '.join(matches)}")
    return ExpectStep(kind, pattern, negated, min_recv, comment, ok, error, timeout, on_success, on_error, code)


def _pattern(
    kind: str, words: _Words, scope: Scope
) -> bytes | str | Format | tuple[tuple[int, int], ...] | HeaderMatch:
    if kind in ("hdr", "fhdr"):
        return _header(words, scope, full=kind == "fhdr")
    text = words.value(kind)
    if kind == "status":
        return tuple(_codes(part, words.what) for part in text.split(","))
    if kind == "binary":
        return _digits(text, words.what)
    if kind.endswith("-lf"):
        return parse_format(text, scope)
    if kind in ("rstring", "rbinary", "rstatus"):
        return text
    if not text:
        raise Refused(f"'{words.what} {kind}' expects a text")
    return text.encode("latin-1")


def _codes(part: str, what: str) -> tuple[int, int]:
    found = _RANGE.match(part)
    if found is None:
        raise Refused(
            f"'{what}' : '{part}' is no status and no range of them; write 200 or 200-399, with commas between"
        )
    low, high = int(found[1]), int(found[2] or found[1])
    if low > high:
        raise Refused(f"'{what}' : the range '{part}' begins above its end")
    return low, high


def _header(words: _Words, scope: Scope, *, full: bool) -> HeaderMatch:
    def side(word: str) -> tuple[str | Format, str]:
        text, how = words.value(word), "str"
        if text == "-m":
            how = words.value("-m")
            if how not in _HOWS:
                raise Refused(f"'{words.what}' : '-m' expects {', '.join(_HOWS)}, not '{how}'")
            text = words.value(word)
        if word.endswith("-lf"):
            if how == "reg":
                raise Refused(f"'{words.what}' : '{word}' cannot be a regular expression")
            return parse_format(text, scope), how
        return text, how

    first = words.next()
    if first not in ("name", "name-lf"):
        raise Refused(f"'{words.what}' expects 'name' or 'name-lf' after 'hdr', not '{first}'")
    name, name_how = side(first)
    following = words.words[words.at] if words.at < len(words.words) else ""
    if following not in ("value", "value-lf"):
        return HeaderMatch(name, name_how, full=full)
    words.next()
    value, value_how = side(following)
    return HeaderMatch(name, name_how, value, value_how, full)


Parse = Callable[[_Words, Scope], CheckStep]
_TCP: dict[str, Parse] = {
    "comment": _comment,
    "connect": _connect,
    "send": _send,
    "send-lf": _send_lf,
    "send-binary": _send_binary,
    "send-binary-lf": _send_binary_lf,
    "expect": lambda words, scope: _expect(words, scope, _TCP_MATCHES),
}
_HTTP: dict[str, Parse] = {
    "comment": _comment,
    "connect": _connect,
    "send": _ask,
    "expect": lambda words, scope: _expect(words, scope, _HTTP_MATCHES),
}
