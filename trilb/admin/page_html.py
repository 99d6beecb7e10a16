"""The statistics page as a document: head, legend, the table, forms (pure).

One table holds every proxy, each in its own `tbody`, so that columns stand in line and one click sorts all of it. The
style and the script are files in `static`, put into the page as they are: it has no other parts, its Content-Security-
Policy names both by their hashes and allows nothing else. Without JavaScript forms, links and a refresh of the whole
page do the same work. Texts that come from outside (names, descriptions, what servers said to checks) are escaped here
and in page_rows, wherever they are put in.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from html import escape
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING

from trilb import __version__
from trilb.admin.page_change import ACTIONS, DESTRUCTIVE, Form
from trilb.admin.page_request import OUTCOMES, Asked
from trilb.admin.page_rows import COLUMNS, STATES, draw, short, span, state_of
from trilb.admin.views import Row
from trilb.config.model import Stats
from trilb.http.head import Field
from trilb.live.proxy import Backend
from trilb.live.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trilb.admin.page import View


def _static(name: str) -> str:
    return (resources.files("trilb.admin") / "static" / name).read_text("utf-8")


# On a phone a row is a card, and each figure says its name.
_NAMES = "".join(
    f"td:nth-child({at}){{display:none}}"
    if c.label in ("max", "limit")
    else f'td:nth-child({at})::before{{content:"{c.group} {c.label}"}}'
    for at, c in enumerate(COLUMNS, 1)
    if at > 3
)
_AT_ONCE = 25
"""Rows of one piece."""
_STYLE = _static("page.css") + f"@media (max-width:46rem){{{_NAMES}}}"
_SCRIPT = _static("page.js")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


FIELDS: list[Field] = [
    (b"content-type", b"text/html; charset=utf-8"),
    (
        b"content-security-policy",
        (
            f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; img-src data:; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
        ).encode(),
    ),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
]
"""What an HTML answer says besides its length."""

_GROUPS = [(group, len(list(columns))) for group, columns in groupby(COLUMNS, lambda column: column.group)]
_HEADINGS = (
    "<thead><tr>"
    + "".join(f"<th scope=colgroup colspan={count}>{group}" for group, count in _GROUPS)
    + "<tr>"
    + "".join(
        f'<th scope=col class="{"g " if c.group != before.group else ""}{c.kind}" title="{escape(c.doc)}">'
        f"<span class=h>{c.label}</span>"
        for before, c in zip((COLUMNS[-1], *COLUMNS), COLUMNS, strict=False)
    )
    + "</thead>"
)
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='4' "
    "fill='{}'/%3E%3C/svg%3E"
)


def _head(title: str, stats: Stats, asked: Asked, icon: str) -> str:
    again = ""
    if stats.refresh and asked.refresh:
        # Only without a script: with it the page stays, and what is in it is renewed.
        again = f"<noscript><meta http-equiv=refresh content={stats.refresh}></noscript>"
    return (
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        '<meta name=color-scheme content="light dark">'
        f'<title>{escape(title)}</title><link rel=icon href="{_ICON.format(icon)}">{again}'
        f"<style>{_STYLE}</style></head>"
    )


def document(stats: Stats, view: View, asked: Asked, found: Iterator[Row], *, admin: bool) -> Iterator[str]:
    """The page with these rows, in pieces of about a millisecond's work."""
    lines: list[Row] = []
    for count, row in enumerate(found, 1):
        lines.append(row)
        if not count % (2 * _AT_ONCE):
            yield ""
    states = Counter(state_of(str(row["status"])) for row in lines if row.kind in "FLS")
    down = states["down"] + states["rising"]
    node = view.process.node if stats.show_node == "" else stats.show_node
    name = " ".join(filter(None, (f"{down} down \u00b7" if down else "", node, "statistics")))
    yield _head(name, stats, asked, "%23d33" if down else "%23e90" if states["failing"] else "%232a5")
    again = stats.refresh if asked.refresh else 0
    yield f'<body data-refresh={again} data-page="{escape(stats.uri + asked.words())}">'
    yield _top(stats, view, asked, node) + _legend(states)
    yield f"<main><table id=t><caption>Proxies and their servers</caption>{_HEADINGS}"
    for proxy, rows in groupby(lines, lambda row: str(row["pxname"])):
        own = list(rows)
        yield _heading(proxy, own, stats, asked, admin=admin)
        for begin in range(0, len(own), _AT_ONCE):
            yield "".join(_line(row, view, stats, admin=admin) for row in own[begin : begin + _AT_ONCE])
        yield "</tbody>"
    yield f"</table></main>{_bar() if admin else ''}<script>{_SCRIPT}</script></html>\n"


def _top(stats: Stats, view: View, asked: Asked, node: str | None) -> str:
    process = view.process
    now = process.clock.now
    version = "" if stats.hide_version else f" <span class=d>{escape(__version__)}</span>"
    who = " ".join(f"<span>{escape(text)}</span>" for text in (node, _description(stats, view)) if text)
    most = f" <span class=d>of {short(process.maxconn)}</span>" if process.maxconn else ""
    figures = (
        ("up", span(int(process.clock.wall - process.started_wall))),
        ("connections", short(process.actconn) + most),
        ("new a second", f"{process.conn_rate.read(now)} <span class=d>max {process.conn_rate.highest}</span>"),
        ("requests a second", f"{process.req_rate.read(now)} <span class=d>max {process.req_rate.highest}</span>"),
        ("requests", short(process.cum_req)),
        ("process", str(process.pid)),
        # netdata looks for these very words in HAProxy's page.
        ("load", f"<span class=d>idle = {process.idle} %</span>"),
    )
    listed = "".join(f"<div><dt>{label}<dd>{value}</div>" for label, value in figures)
    return (
        f"<header><h1>trilb{version}</h1><p class=who>{who}</p><dl id=now>{listed}</dl>{_links(stats, asked)}"
        f"</header>{_said(asked)}"
    )


def _description(stats: Stats, view: View) -> str:
    return "" if stats.show_desc is None else stats.show_desc or view.description


def _links(stats: Stats, asked: Asked) -> str:
    uri = stats.uri
    hide_down = ("Show servers that are down" if asked.up else "Only servers that are up", asked.words(up=not asked.up))
    hide_maint = (
        "Show maintenance" if asked.no_maint else "Hide maintenance",
        asked.words(no_maint=not asked.no_maint),
    )
    links = [
        hide_down,
        hide_maint,
        ("Refresh", asked.words()),
        ("CSV", asked.words(form="csv", refresh=False)),
    ]
    if stats.refresh:
        links.insert(
            2, ("Stop refreshing" if asked.refresh else "Keep refreshing", asked.words(refresh=not asked.refresh))
        )
    items = "".join(f'<a href="{escape(uri + words)}">{text}</a>' for text, words in links)
    # A form's own query takes the place of the one in its address: of no use where the page's URI has one.
    search = "" if "?" not in uri else " data-script"
    return (
        f'<form class=find role=search action="{escape(uri)}"{search}><label>Find <input type=search name=scope '
        f'value="{escape(asked.scope)}" placeholder="proxy, server, state" id=find></label></form>'
        f"<nav aria-label=Views>{items}</nav><div id=live></div>"
    )


def _said(asked: Asked) -> str:
    if not asked.outcome:
        return "<p id=said role=status></p>"
    kind, text = OUTCOMES[asked.outcome]
    return f"<p id=said role=status class={kind}>{text}</p>"


def _legend(states: Counter[str]) -> str:
    """Every state with its sign and how many are in it; each can be hidden, by the style alone."""
    items = "".join(
        f'<label title="{s.doc}"><input type=checkbox checked id=h-{key}><span class="b {key}">'
        f"<span aria-hidden=true>{s.sign}</span> {s.name}</span> "
        f'<span class="{"n" if states[key] else "n none"}">{states[key]}</span></label>'
        for key, s in STATES.items()
    )
    return f"<fieldset id=legend><legend>Show states</legend>{items}</fieldset>"


def _heading(name: str, lines: list[Row], stats: Stats, asked: Asked, *, admin: bool) -> str:
    """The first row of a proxy's body, with the form for its servers."""
    last = lines[-1].thing
    config = last.backend.config if isinstance(last, Server) else last.config
    servers = [row for row in lines if row.kind == "S"]
    about = f"<span class=tag>{config.mode.value}</span>"
    if servers:
        up = sum(state_of(str(row["status"])) in ("up", "failing", "plain") for row in servers)
        about += f" <span class=d>{up} of {len(servers)} usable</span>"
    if stats.show_legends:
        about += f" <span class=d>id {config.id}</span>"
        if isinstance(last, Backend):
            about += f" <span class=d>balance {escape(config.balance.name)}</span>"
            about += f" <span class=d>cookie {escape(config.cookie.name)}</span>" if config.cookie else ""
    if config.description:
        about += f" <span class=d>{escape(config.description)}</span>"
    form = _form(config.id, stats, asked) if admin and servers else ""
    return (
        f"<tbody id=p{config.id} data-b={config.id}><tr class=px><th scope=rowgroup colspan={len(COLUMNS)}>"
        f'<div><h2><a href="#p{config.id}">{escape(name)}</a></h2> {about}{form}</div>'
    )


def _line(row: Row, view: View, stats: Stats, *, admin: bool) -> str:
    ring = view.history.of(row.thing) if row.kind != "L" else None
    return draw(row, ring, admin=admin, legends=stats.show_legends, modules=stats.show_modules)


def _options() -> str:
    return "".join(f"<option value={name}>{text}</option>" for name, (text, _) in ACTIONS.items() if text)


def _form(number: int, stats: Stats, asked: Asked) -> str:
    """The form of a backend's servers; the script has a bar for all of them instead."""
    return (
        f'<form method=post id=f{number} action="{escape(stats.uri + asked.words())}"><input type=hidden name=b '
        f'value="#{number}"><input type=hidden name=ask value=1><label>Checked servers <select name=action>{_options()}'
        "</select></label> <button>Apply</button></form>"
    )


def _bar() -> str:
    """Shown by the script while servers are checked."""
    sure = " ".join(DESTRUCTIVE)
    return (
        f'<div id=bar hidden role=region aria-label="Checked servers" data-sure="{sure}"><b id=count></b>'
        "<button type=button value=ready>Ready</button><button type=button value=drain>Drain</button>"
        "<button type=button value=maint>Maintenance</button>"
        f'<label>or <select id=more><option value="">more\u2026</option>{_options()}</select></label>'
        "<button type=button value=clear class=quiet>Uncheck</button></div>"
        "<dialog id=sure><form method=dialog><p id=ask></p><menu><button value=no>Leave it</button>"
        "<button value=yes class=bad>Do it</button></menu></form></dialog>"
    )


def confirmation(stats: Stats, asked: Asked, form: Form, backend: Backend) -> str:
    """Ask once more, without JavaScript."""
    where = escape(stats.uri + asked.words())
    action = form.action or ""
    fields = "".join(f'<input type=hidden name=s value="{escape(name)}">' for name in form.servers)
    names = "".join(f"<li>{escape(name)}" for name in form.servers)
    return (
        _head("Are you sure?", Stats(), asked, "%23e90")
        + f"<body><main class=sure><h1>{escape(ACTIONS[action][0] or action)}?</h1>"
        f"<p>In backend {escape(backend.name)}:<ul>{names}</ul>"
        f'<form method=post action="{where}"><input type=hidden name=b value="#{backend.config.id}">{fields}'
        f'<button name=action value="{escape(action)}" class=bad>Do it</button> <a href="{where}">Leave it</a></form>'
        "</main></html>\n"
    )
