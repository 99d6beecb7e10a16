"""The statistics page as a rule of its proxy: who may see it, in which form, and what a POST changes (pure).

What is asked for is read in page_request, the HTML is made in page_html, changes are made in page_change.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from trilb.admin import formats, page_change, page_html
from trilb.admin.figures import Moment
from trilb.admin.history import History
from trilb.admin.page_request import Asked
from trilb.admin.views import Row, Selection, csv, rows
from trilb.config.model import Stats
from trilb.http.head import Field
from trilb.live.effects import Challenge, Compose, Effect, NeedBody, Reply
from trilb.live.plan import Step
from trilb.live.process import ProcessState
from trilb.live.proxy import Backend, Frontend
from trilb.live.stream import Stream
from trilb.samples.fetch_uri import pathq_of

_NO_CACHE: Field = (b"cache-control", b"no-cache")


class View:
    """What the page shows: the live objects, read at the moment of the request."""

    def __init__(
        self,
        process: ProcessState,
        frontends: Mapping[str, Frontend],
        backends: Mapping[str, Backend],
        history: History,
        description: str,
    ) -> None:
        self.process = process
        self.frontends = frontends
        self.backends = backends
        self.history = history
        self.description = description


def step(
    stats: Stats, owner: str, view: View, rules: Step | None, admin: tuple[Callable[[Stream], bool], ...], most: int
) -> Step:
    """The step that answers requests below `stats uri`, and lets all others pass.

    `owner` is the proxy's name, `rules` its `stats http-request` rules, `admin` its `stats admin` conditions, `most`
    the bytes that the head and the body of a POST may have together (configuration.txt, `stats admin`).
    """
    uri = stats.uri.encode("latin-1")
    accounts = [base64.b64encode(f"{user}:{password}".encode()) for user, password in stats.auth]
    challenge = Challenge((stats.realm if stats.realm is not None else "HAProxy Statistics").encode("latin-1"))
    scope = frozenset(owner if name == "." else name for name in stats.scope)

    def run(stream: Stream) -> Effect | None:
        head = stream.request
        assert head is not None
        target = pathq_of(head.target)
        if not target.startswith(uri) or head.method not in (b"GET", b"HEAD", b"POST"):
            return None
        if rules is not None:
            refused = rules(stream)
            if refused is not None:
                return refused
        if accounts and not _known(head.get(b"authorization"), accounts):
            return challenge
        asked = Asked(target[len(uri) :])
        allowed = any(when(stream) for when in admin)
        if head.method == b"POST":
            if not allowed or not page_change.ours(head):
                return NeedBody(0, lambda body: _see(stream, uri, asked, "DENY"))
            # The head takes its part of the buffer.
            room = most - 1 - sum(len(name) + len(value) for name, value in head.fields)
            return NeedBody(max(room, 0), lambda body: changed(stream, asked, body))
        _served(stream)
        found = rows(
            _Shown(view, scope, asked),
            Moment(view.process, legends=stats.show_legends),
            Selection(up=asked.up, no_maint=asked.no_maint),
        )
        if asked.form == "html":
            pieces = page_html.document(stats, view, asked, found, admin=allowed)
            return Compose(pieces, lambda body: _reply([_NO_CACHE, *page_html.FIELDS], body))
        kind, write = _FORMATS[asked.form]
        fields = [_NO_CACHE, (b"content-type", kind)]
        if stats.refresh and asked.refresh:
            fields.append((b"refresh", b"%d" % stats.refresh))
        return Compose(_in_pieces(write(found)), lambda body: _reply(fields, body))

    def changed(stream: Stream, asked: Asked, body: bytes | None) -> Reply:
        if body is None:
            return _see(stream, uri, asked, "EXCD")
        form = page_change.parse(body)
        backend = page_change.find(form, view.backends)
        if backend is not None and scope and backend.name not in scope:
            return _see(stream, uri, asked, "DENY")
        if form.ask and form.action in page_change.DESTRUCTIVE and backend is not None and form.servers:
            _served(stream)
            text = page_html.confirmation(stats, asked, form, backend)
            return _reply([_NO_CACHE, *page_html.FIELDS], text.encode("utf-8", "replace"))
        return _see(stream, uri, asked, page_change.change(form, backend, view.process.clock.now))

    return run


Write = Callable[[Iterator[Row]], Iterator[str]]
_FORMATS: dict[str, tuple[bytes, Write]] = {
    "csv": (b"text/plain", csv),
    "typed": (b"text/plain", formats.typed),
    "json": (b"application/json", formats.as_json),
    "json-schema": (b"application/json", lambda found: iter((formats.schema(),))),
}


def _in_pieces(lines: Iterator[str]) -> Iterator[str]:
    """The same in larger pieces, of about a millisecond's work."""
    while piece := "".join(islice(lines, 25)):
        yield piece


class _Shown:
    """The proxies a request may see and asks for."""

    __slots__ = ("backends", "frontends", "process")

    def __init__(self, view: View, scope: frozenset[str], asked: Asked) -> None:
        def wanted(name: str) -> bool:
            return (not scope or name in scope) and asked.shows(name)

        self.process = view.process
        self.frontends = {name: frontend for name, frontend in view.frontends.items() if wanted(name)}
        self.backends = {name: backend for name, backend in view.backends.items() if wanted(name)}


def _known(authorization: bytes | None, accounts: list[bytes]) -> bool:
    if authorization is None or authorization[:6].lower() != b"basic ":
        return False
    given = authorization[6:].strip()
    # All of them are compared, so that the time it takes says nothing.
    return sum(hmac.compare_digest(given, account) for account in accounts) > 0


def _reply(fields: list[Field], body: bytes) -> Reply:
    return Reply(200, [*fields, (b"content-length", b"%d" % len(body))], body)


def _served(stream: Stream) -> None:
    # HAProxy counts its own pages as served: times are set, the log names <STATS>.
    stream.dispatched = stream.connected = stream.responded = stream.received


def _see(stream: Stream, uri: bytes, asked: Asked, outcome: str) -> Reply:
    """Send the browser to the page with the outcome: reloading it does nothing twice."""
    _served(stream)
    where = uri + asked.words(outcome=outcome, no_maint=False).encode()
    fields = [_NO_CACHE, (b"content-type", b"text/plain"), (b"content-length", b"0"), (b"location", where)]
    return Reply(303, fields)
