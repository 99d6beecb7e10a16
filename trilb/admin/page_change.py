"""Changes asked for by a form of the statistics page, as HAProxy takes them: `s` servers, `action`, `b` backend."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from trilb.http.head import Head
from trilb.live.proxy import Backend
from trilb.live.server import FDRAIN, FMAINT, Server

Act = Callable[[Server], bool]
"""Does it to a server; False where there was nothing to do."""


def _admin(server: Server, wanted: int) -> bool:
    server.admin = server.admin & ~(FMAINT | FDRAIN) | wanted
    server.backend.changed()
    server.backend.dispatch()
    return True


ACTIONS: Mapping[str, tuple[str, Act]] = {
    "ready": ("Ready: back to normal", lambda server: _admin(server, 0)),
    "drain": ("Drain: no new sessions", lambda server: _admin(server, FDRAIN)),
    "maint": ("Maintenance: no sessions at all", lambda server: _admin(server, FMAINT)),
}
"""Every action with what the page calls it."""
DESTRUCTIVE = frozenset(("maint", "hdown", "adown", "shutdown"))
"""These end what is being served, or let nobody in: the page asks twice."""

_ID = re.compile(r"#\s*(\d+)")


@dataclass(slots=True)
class Form:
    """A form as it was sent. Of several backends or actions the last one counts, as for HAProxy (observed)."""

    backend: str | None = None
    action: str | None = None
    servers: list[str] = field(default_factory=list)
    ask: bool = False
    """The page's own form without JavaScript: it wants to be asked again."""


def parse(body: bytes) -> Form:
    """Read a form. What has no `=`, and what is none of its fields, is passed over."""
    made = Form()
    for piece in body.decode("latin-1").split("&"):
        key, equals, value = piece.partition("=")
        if not equals:
            continue
        value = unquote_plus(value, "latin-1")
        if key == "s":
            made.servers.append(value)
        elif key == "action":
            made.action = value
        elif key == "b":
            made.backend = value
        elif key == "ask":
            made.ask = True
    return made


def find(form: Form, backends: Mapping[str, Backend]) -> Backend | None:
    """The backend it is about, by name or `#id`."""
    name = form.backend or ""
    number = _ID.match(name)
    if number is None:
        return backends.get(name)
    wanted = int(number[1][:9])
    return next((backend for backend in backends.values() if backend.config.id == wanted), None)


def change(form: Form, backend: Backend | None) -> str:
    """Do it; the outcome in HAProxy's words (page_request.OUTCOMES)."""
    if form.backend is None or form.action is None:
        return "NONE"
    if backend is None or form.action not in ACTIONS:
        return "ERRP"
    act = ACTIONS[form.action][1]
    changed = unknown = 0
    for name in form.servers:
        server = backend.by_name.get(name)
        if server is None:
            unknown += 1
        else:
            changed += act(server)
    if unknown:
        return "PART" if changed else "ERRP"
    return "DONE" if changed else "NONE"


def ours(head: Head) -> bool:
    """Is this form the page's own, or a plain tool's, and not one that another site made a browser send?

    A browser adds the password of `stats auth`, and the address it comes from, to any request, whoever wrote the form;
    there is no cookie here that `SameSite` could keep from it. What it also adds, and what a page cannot forge, says
    where the form was: Sec-Fetch-Site (to https and to localhost only), Origin with every POST, Referer where Origin
    is missing. The first that is there decides; a site of the same domain is another site. Sec-Fetch-Site needs no
    comparison, and so holds behind a proxy that changes Host; the others name the host and are compared with it, so
    `Origin: null` is refused as well. A tool such as curl says none of them and is let through: it carries no
    password but the one it was given. What remains is a name of somebody else's that resolves to this address: the
    Host of such a request is his, and a condition of `stats admin` may ask for the right one (configuration.txt,
    `stats admin`).
    """
    site = head.get(b"sec-fetch-site")
    if site is not None:
        return site in (b"same-origin", b"none")
    where = head.get(b"origin")
    if where is None:
        where = head.get(b"referer")
    if where is None:
        return True
    _, slashes, rest = where.partition(b"://")
    return bool(slashes) and rest.partition(b"/")[0].lower() == (head.get(b"host") or b"").lower()
