"""The statistics page: a plain table of proxies and servers, served as a rule of its proxy (pure)."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping
from html import escape
from urllib.parse import parse_qs

from trilb import __version__
from trilb.admin.views import csv, rows
from trilb.config.model import Stats
from trilb.http.head import Field, Head
from trilb.live.effects import Effect, NeedBody, Reply
from trilb.live.plan import Step
from trilb.live.process import ProcessState
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import FDRAIN, FMAINT
from trilb.live.stream import Stream
from trilb.samples.fetch_uri import pathq_of

_STYLE = (
    "body{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#222}table{border-collapse:collapse;margin:0 0 2em}"
    "th,td{padding:.25em .7em;border:1px solid #ccc;text-align:right}th{background:#eee}td:nth-child(-n+2),"
    "th:nth-child(-n+2){text-align:left}.up{background:#dfd}.down{background:#fdd}.maint{background:#ffd}"
)
_COLUMNS = (
    "pxname",
    "svname",
    "status",
    "weight",
    "qcur",
    "scur",
    "smax",
    "slim",
    "stot",
    "bin",
    "bout",
    "econ",
    "eresp",
    "wretr",
    "wredis",
    "hrsp_2xx",
    "hrsp_4xx",
    "hrsp_5xx",
)


_NO_CACHE: list[Field] = [(b"cache-control", b"no-cache")]


class View:
    """What the page shows: the live objects, read at the moment of the request."""

    def __init__(
        self, process: ProcessState, frontends: Mapping[str, Frontend], backends: Mapping[str, Backend]
    ) -> None:
        self.process = process
        self.frontends = frontends
        self.backends = backends


def step(stats: Stats, view: View, admin: list[Callable[[Stream], bool]]) -> Step:
    """The step that answers requests below `stats uri`, and lets all others pass."""
    uri = stats.uri.encode("latin-1")
    accounts = [base64.b64encode(f"{user}:{password}".encode()) for user, password in stats.auth]
    realm = stats.realm.replace('"', "'").encode("latin-1")

    def run(stream: Stream) -> Effect | None:
        head = stream.request
        assert head is not None
        target = pathq_of(head.target)
        if not target.startswith(uri):
            return None
        rest = target[len(uri) :]
        if rest and rest[:1] not in (b";", b"?", b"/"):
            return None
        if accounts and not _known(head.get(b"authorization"), accounts):
            return _unauthorized(realm)
        allowed = any(when(stream) for when in admin)
        if head.method == b"POST" and allowed and _same_site(head):
            where = uri

            def change(body: bytes) -> Effect:
                return _change(view, body, where)

            return NeedBody(16384, change)
        if head.method == b"POST" and admin:
            return Reply(303, [(b"content-length", b"0"), (b"location", uri + b";st=DENY"), *_NO_CACHE])
        if head.method not in (b"GET", b"HEAD"):
            return Reply(405, [(b"content-length", b"0"), (b"allow", b"GET, HEAD")])
        # HAProxy counts its own pages as served: times are set, the log names <STATS>.
        stream.dispatched = stream.connected = stream.responded = stream.received
        common: list[Field] = [(b"cache-control", b"no-cache")]
        if b";csv" in rest:
            return _reply("".join(csv(rows(view))).encode(), b"text/plain", common)
        if stats.refresh:
            common.append((b"refresh", b"%d" % stats.refresh))
        return _reply(_html(view, stats, allowed).encode(), b"text/html", common)

    return run


def _same_site(head: Head) -> bool:
    """A form another site makes a browser send must not drain servers: where the browser says its origin, it counts."""
    origin = head.get(b"origin")
    return origin is None or origin.partition(b"://")[2] == head.get(b"host")


_ACTIONS = {"ready": 0, "enable": 0, "drain": FDRAIN, "maint": FMAINT, "disable": FMAINT}


def _change(view: View, body: bytes, uri: bytes) -> Effect:
    """Obey a form: `b` a backend's name (or #id), `s` servers, `action` ready, drain or maint."""
    form = parse_qs(body.decode("latin-1"), keep_blank_values=True)
    name, action = form.get("b", [""])[0], form.get("action", [""])[0]
    backend = next((b for b in view.backends.values() if name in (b.name, f"#{b.config.id}")), None)
    outcome = b"NONE"
    if backend is None or action not in _ACTIONS:
        outcome = b"ERRP"
    else:
        for server in (backend.by_name.get(word) for word in form.get("s", [])):
            if server is not None:
                server.admin = _ACTIONS[action]
                outcome = b"DONE"
        backend.changed()
    return Reply(303, [(b"content-length", b"0"), (b"location", uri + b";st=" + outcome), *_NO_CACHE])


def _known(authorization: bytes | None, accounts: list[bytes]) -> bool:
    if authorization is None or authorization[:6].lower() != b"basic ":
        return False
    given = authorization[6:].strip()
    return sum(hmac.compare_digest(given, account) for account in accounts) > 0


def _unauthorized(realm: bytes) -> Reply:
    from trilb.http.replies import page

    body = page(401)
    fields = [
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-cache"),
        (b"content-type", b"text/html"),
        (b"www-authenticate", b'Basic realm="%b"' % realm),
    ]
    return Reply(401, fields, body)


def _reply(body: bytes, kind: bytes, common: list[Field]) -> Reply:
    return Reply(200, [*common, (b"content-type", kind), (b"content-length", b"%d" % len(body))], body)


def _form(backend: str, server: str) -> str:
    buttons = "".join(f"<button name=action value={action}>{action}</button>" for action in ("ready", "drain", "maint"))
    hidden = f"<input type=hidden name=b value='{escape(backend)}'><input type=hidden name=s value='{escape(server)}'>"
    return f"<td><form method=post>{hidden}{buttons}</form></td>"


def _html(view: View, stats: Stats, admin: bool) -> str:
    process = view.process
    version = "" if stats.hide_version else f" {escape(__version__)}"
    out = [
        f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>trilb statistics</title><style>{_STYLE}</style>",
        f"<h1>trilb{version}: statistics of process {process.pid} on {escape(process.node)}</h1>",
        f"<p>up {int(process.clock.wall - process.started_wall)} s, {process.actconn} connections, "
        f"{process.conn_rate.read(process.clock.now)} new a second; "
        f"{process.req_rate.read(process.clock.now)} requests a second</p>",
    ]
    current = None
    for row in rows(view):
        if row["pxname"] != current:
            if current is not None:
                out.append("</table>")
            current = row["pxname"]
            out.append(f"<h2>{escape(str(current))}</h2><table><tr>")
            out.extend(f"<th>{column}</th>" for column in _COLUMNS)
            out.append("</tr>")
        status = str(row["status"])
        kind = "up" if status.startswith(("UP", "OPEN")) else "down" if status.startswith("DOWN") else ""
        kind = "maint" if status.startswith(("MAINT", "DRAIN")) else kind
        out.append(f"<tr class={kind or 'none'}>")
        out.extend(f"<td>{escape(str(row[column]))}</td>" for column in _COLUMNS)
        if admin and row["type"] == 2:
            out.append(_form(str(row["pxname"]), str(row["svname"])))
        out.append("</tr>")
    out.append("</table></html>\n")
    return "".join(out)
