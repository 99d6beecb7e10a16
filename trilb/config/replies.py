"""The words that say how HAProxy answers by itself: `return`, `deny`, `tarpit`, `http-error`, error files.

Files are read here, once; what they hold is checked. Names of `http-errors` sections are looked up by `resolve`.
"""

from __future__ import annotations

import os
import re

from trilb.base.diagnostic import Refused, Report, nearest
from trilb.base.units import whole
from trilb.config.expressions import Scope, parse_format
from trilb.config.model import Config, ErrorImport, Proxy, ReplyLine, Source
from trilb.config.sources import read_bytes
from trilb.config.terms import Format

ERROR_STATUSES = (
    *(200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 421, 422, 425, 429, 431),
    *(500, 501, 502, 503, 504),
)
"""The statuses that have a page of their own."""

_FRAMING = ("content-length", "content-type", "transfer-encoding")
_STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d\d\d)(?: [^\r\n]*)?\r?\n")
_BODILESS = (204, 304)
_SOURCES = {
    "default-errorfiles": "",
    "errorfile": "<file>",
    "errorfiles": "<name>",
    "file": "<file>",
    "lf-file": "<file>",
    "string": "<str>",
    "lf-string": "<fmt>",
}


def handled(text: str, what: str) -> int:
    """A status that has a page of its own. Raises Refused."""
    status = whole(text, 100, 999, what)
    if status not in ERROR_STATUSES:
        raise Refused(f"{what}: status code {status} not handled; known are {', '.join(map(str, ERROR_STATUSES))}")
    return status


def read_page(path: str, base: str, buffer: tuple[int, int]) -> bytes:
    """An error file: a whole answer, headers included, or nothing. Raises Refused."""
    raw = read_bytes(os.path.join(base, path), "error file")
    if len(raw) > buffer[0] - buffer[1]:
        raise Refused(f"error file '{path}' is larger than a buffer less its reserve ({buffer[0]} - {buffer[1]})")
    if not raw:
        return raw
    match = _STATUS_LINE.match(raw)
    head, end, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    if match is None or not end:
        raise Refused(
            f"error file '{path}' must hold a whole answer: a line such as 'HTTP/1.1 503 Sorry', header fields, "
            "an empty line"
        )
    if int(match[1]) < 200:
        raise Refused(f"error file '{path}' has status {int(match[1])}, which is no final answer")
    for text in head.split(b"\n")[1:]:
        name, colon, value = text.partition(b":")
        if not colon or not name.strip() or name != name.strip():
            raise Refused(f"error file '{path}' has a line that is no header field: '{text.decode('latin-1')}'")
        if name.lower() == b"transfer-encoding":
            raise Refused(f"error file '{path}' must not be chunked")
        if name.lower() == b"content-length":
            size = len(raw.partition(b"\r\n\r\n")[2] or body)
            if value.strip() != str(size).encode():
                said = value.strip().decode("latin-1")
                raise Refused(f"error file '{path}' says content-length {said}, its body has {size} bytes")
    return raw


class _Words:
    """The words of a reply, taken from the left."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.at = 0

    def more(self) -> bool:
        return self.at < len(self.words)

    def next(self) -> str:
        self.at += 1
        return self.words[self.at - 1]

    def value(self, what: str) -> str:
        """The argument of the word before. Raises Refused."""
        if not self.more() or not self.words[self.at]:
            raise Refused(f"'{self.words[self.at - 1]}' expects {what} as argument")
        return self.next()


def parse_reply(words: list[str], scope: Scope, status: int = 0) -> ReplyLine:
    """Read `[status CODE] [content-type TYPE] [one source] [hdr NAME FORMAT]...`. Raises Refused.

    `status` is the one when none is given; 0 demands one.
    """
    line = ReplyLine(status, place=scope.place)
    given, taken = "", _Words(words)
    fields: list[tuple[str, Format]] = []
    while taken.more():
        word = taken.next()
        if word == "status":
            line.status = whole(taken.value("<status_code>"), 200, 599, "'status'")
        elif word == "content-type":
            line.content_type = taken.value("<ctype>")
        elif word == "hdr":
            if len(words) < taken.at + 2 or "" in words[taken.at : taken.at + 2]:
                raise Refused("'hdr' expects <name> and <value> as arguments")
            name, text = taken.next(), taken.next()
            if name.lower() in _FRAMING:
                scope.warn(scope.place, f"header '{name}' always ignored by the http reply")
            else:
                fields.append((name, parse_format(text, scope)))
        elif word in _SOURCES:
            if given:
                raise Refused(f"unexpected '{word}' argument, '{given}' already defined")
            given = word
            _source(line, word, taken.value(_SOURCES[word]) if _SOURCES[word] else "", scope)
        else:
            known = ("status", "content-type", "hdr", *_SOURCES)
            raise Refused(f"unknown argument '{word}'{nearest(word, known)}; known are {', '.join(known)}")
    if not line.status:
        raise Refused("a status is needed: 'status <code>'")
    line.fields = tuple(fields)
    _consistent(line, given, scope)
    return line


def _source(line: ReplyLine, word: str, value: str, scope: Scope) -> None:
    if word == "default-errorfiles":
        line.source = Source.DEFAULT
    elif word == "errorfile":
        line.source, line.page = Source.PAGE, read_page(value, scope.base, scope.buffer)
    elif word == "errorfiles":
        line.source, line.section = Source.SECTION, value
    elif word == "string":
        line.source, line.text = Source.RAW, value.encode("latin-1")
    elif word == "lf-string":
        # What the format says is read once the content type is known to be there.
        line.source, line.text = Source.FORMAT, value.encode("latin-1")
    else:
        line.source = Source.RAW if word == "file" else Source.FORMAT
        line.text = read_bytes(os.path.join(scope.base, value), "file")
        if len(line.text) > scope.buffer[0]:
            raise Refused(f"file '{value}' exceeds the buffer size ({len(line.text)} > {scope.buffer[0]})")


def _consistent(line: ReplyLine, given: str, scope: Scope) -> None:
    """What does not go together is refused, what has no effect is told."""
    if line.source in (Source.DEFAULT, Source.SECTION) and line.status not in ERROR_STATUSES:
        raise Refused(
            f"status code '{line.status}' not handled by default with '{given}'; known are "
            f"{', '.join(map(str, ERROR_STATUSES))}"
        )
    if line.source in (Source.DEFAULT, Source.SECTION, Source.PAGE):
        ignored = "by the http reply when used with an errorfile"
        if line.fields:
            scope.warn(scope.place, f"hdr parameters ignored {ignored}")
        if line.content_type:
            scope.warn(scope.place, f"content-type '{line.content_type}' ignored {ignored}")
        return
    if line.source is Source.RAW and not line.text:
        line.source = Source.NOTHING
    if line.source is Source.NOTHING:
        if line.content_type:
            scope.warn(scope.place, f"content-type '{line.content_type}' ignored because there is no payload")
        return
    if not line.content_type:
        what = "a log-format" if line.source is Source.FORMAT else "a non-empty"
        raise Refused(f"a content type must be defined with {what} payload: content-type <type>")
    if line.status in _BODILESS:
        raise Refused(f"no body expected for {line.status} responses; leave '{given}' out")
    if line.source is Source.FORMAT:
        line.format = parse_format(line.text.decode("latin-1"), scope)
        line.text = b""
    elif len(line.text) > scope.buffer[0] - scope.buffer[1]:
        scope.warn(
            scope.place, "the payload runs over the buffer space reserved to headers rewriting (tune.maxrewrite)"
        )


def resolve(config: Config, report: Report) -> None:
    """Look up `http-errors` sections, and settle which page a proxy has for which status."""
    for proxy in config.proxies:
        for rule in [rule for rules in proxy.rules.values() for rule in rules]:
            for arg in rule.act.args:
                if isinstance(arg, ReplyLine) and arg.source is Source.SECTION:
                    _look_up(config, proxy, arg, report)
        proxy.errorfiles = {}
        for line in proxy.error_lines:
            if isinstance(line, ErrorImport):
                _import(config, proxy, line, report)
                continue
            status, reply = line
            if reply.source is Source.SECTION:
                _import(config, proxy, ErrorImport(reply.section, (status,), reply.place), report)
            elif reply.source is Source.DEFAULT:
                proxy.errorfiles.pop(status, None)
            else:
                proxy.errorfiles[status] = reply


def _unknown(config: Config, name: str) -> str:
    return f"unknown http-errors section '{name}'{nearest(name, config.errors)}"


def _look_up(config: Config, proxy: Proxy, reply: ReplyLine, report: Report) -> None:
    section = config.errors.get(reply.section)
    if section is None:
        report.alert(reply.place, f"proxy '{proxy.name}': {_unknown(config, reply.section)}")
    elif reply.status not in section.pages:
        _undeclared(proxy, ErrorImport(section.name, (), reply.place), reply.status, report)
        # Observed: the answer is empty then, not the proxy's page.
        reply.source = Source.NOTHING
    else:
        reply.source, reply.page = Source.PAGE, section.pages[reply.status]


def _import(config: Config, proxy: Proxy, line: ErrorImport, report: Report) -> None:
    section = config.errors.get(line.section)
    if section is None:
        report.alert(line.place, f"proxy '{proxy.name}': {_unknown(config, line.section)}")
        return
    for status in line.statuses or section.pages:
        if status in section.pages:
            proxy.errorfiles[status] = ReplyLine(status, Source.PAGE, page=section.pages[status], place=line.place)
        else:
            _undeclared(proxy, line, status, report)


def _undeclared(proxy: Proxy, line: ErrorImport, status: int, report: Report) -> None:
    report.warn(
        line.place, f"proxy '{proxy.name}': status {status} is not declared in http-errors section '{line.section}'"
    )
