"""Replies as closures: what `return`, `deny`, `tarpit`, `http-error` and error files said, ready to be sent."""

from __future__ import annotations

from collections.abc import Mapping

from trilb.config.model import ReplyLine, Source
from trilb.http import replies
from trilb.http.head import Field, Head
from trilb.live.effects import Answer
from trilb.live.stream import Stream
from trilb.rules.registry import Builder


def answer(line: ReplyLine, builder: Builder) -> Answer | None:
    """What makes the reply; None when it is the proxy's error page."""
    if line.source in (Source.DEFAULT, Source.SECTION):
        return None
    if line.source is Source.PAGE:
        return _page(line.page)
    status, fixed = line.status, line.text
    fields = [(name.lower().encode("latin-1"), builder.writer(value)) for name, value in line.fields]
    write = builder.writer(line.format) if line.source is Source.FORMAT else None
    content_type = line.content_type.encode("latin-1") if line.source is not Source.NOTHING else b""

    def make(stream: Stream) -> tuple[Head, bytes]:
        body = fixed if write is None else write(stream)
        # Observed: a field without a value is left out, and so is the type of nothing.
        made: list[Field] = [(name, text) for name, value in fields if (text := value(stream))]
        made.append((b"content-length", b"%d" % len(body)))
        if content_type and body:
            made.append((b"content-type", content_type))
        return replies.head(status, made), body

    return make


def _page(raw: bytes) -> Answer:
    if not raw:
        return lambda stream: None
    page, body = replies.parse_errorfile(raw)

    def make(stream: Stream) -> tuple[Head, bytes]:
        head = Head(b"", b"", page.version, list(page.fields))
        head.status, head.reason = page.status, page.reason
        return head, body

    return make


def error_pages(lines: Mapping[int, ReplyLine], builder: Builder) -> dict[int, Answer]:
    """A proxy's error pages, by the status each stands for."""
    made = {status: answer(line, builder) for status, line in lines.items()}
    return {status: page for status, page in made.items() if page is not None}
