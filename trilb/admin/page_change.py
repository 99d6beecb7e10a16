"""Changes asked for by a form of the statistics page, as HAProxy takes them: `s` servers, `action`, `b` backend."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from trilb.health import states
from trilb.http.head import Head
from trilb.live.check import Check
from trilb.live.proxy import Backend
from trilb.live.server import FDRAIN, FMAINT, Server

Act = Callable[[Server, float], bool]
"""Does it to a server, at the loop's time; False where there was nothing to do."""
_WHO = "changed from Web interface"


def _state(wanted: str) -> Act:
    def act(server: Server, now: float) -> bool:
        states.force(server, wanted, now)
        return True

    return act


def _flag(flag: int, change: Callable[[Server, float], None], *, there: bool) -> Act:
    """Older words for the same, which count only what changes."""

    def act(server: Server, now: float) -> bool:
        if bool(server.admin & flag) is not there:
            return False
        change(server, now)
        return True

    return act


def _disable(server: Server, now: float) -> None:
    states.maintain(server, now, cause="'disable' on stats page")


def _stop(server: Server, now: float) -> None:
    states.drain(server, now, cause="'stop' on stats page")


def _checks(part: str, *, enabled: bool) -> Act:
    def act(server: Server, now: float) -> bool:
        check: Check | None = getattr(server, part)
        if check is None:
            return False
        check.enabled = enabled
        return True

    return act


def _health(change: Callable[[Server, float, str], None], *, up: bool) -> Act:
    def act(server: Server, now: float) -> bool:
        if server.track is not None:
            return False
        server.health.health = server.health.top if up else 0
        change(server, now, _WHO)
        return True

    return act


def _agent(change: Callable[[Server, float, str], None], *, up: bool) -> Act:
    def act(server: Server, now: float) -> bool:
        agent = server.agent
        if agent is None or not agent.enabled:
            return False
        agent.health = agent.top if up else 0
        change(server, now, _WHO)
        return True

    return act


def _shutdown(server: Server, now: float) -> bool:
    server.backend.shutdown(server, "K")
    return True


ACTIONS: Mapping[str, tuple[str, Act]] = {
    "ready": ("Ready: back to normal", _state("ready")),
    "drain": ("Drain: no new sessions", _state("drain")),
    "maint": ("Maintenance: no sessions at all", _state("maint")),
    "dhlth": ("Health: stop checking", _checks("check", enabled=False)),
    "ehlth": ("Health: go on checking", _checks("check", enabled=True)),
    "hrunn": ("Health: force up", _health(states.start, up=True)),
    "hnolb": ("Health: force no new sessions", _health(states.retire, up=True)),
    "hdown": ("Health: force down", _health(states.stop, up=False)),
    "dagent": ("Agent: stop asking", _checks("agent", enabled=False)),
    "eagent": ("Agent: go on asking", _checks("agent", enabled=True)),
    "arunn": ("Agent: force up", _agent(states.start, up=True)),
    "adown": ("Agent: force down", _agent(states.stop, up=False)),
    "shutdown": ("End all sessions", _shutdown),
    "enable": ("", _flag(FMAINT, states.resume, there=True)),
    "disable": ("", _flag(FMAINT, _disable, there=False)),
    "start": ("", _flag(FDRAIN, states.undrain, there=True)),
    "stop": ("", _flag(FDRAIN, _stop, there=False)),
}
"""Every action with what the page calls it; older ones are not offered."""
DESTRUCTIVE = frozenset(("maint", "disable", "hdown", "adown", "shutdown"))
"""These end what is being served, or let nobody in: the page asks twice."""

_MALFORMED = re.compile(r"%(?![0-9A-Fa-f]{2})")
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
    """Read a form from its end, as HAProxy does (observed): what stands before a malformed `%` is not read."""
    made = Form()
    for piece in reversed(body.decode("latin-1").split("&")):
        key, _, value = piece.partition("=")
        if _MALFORMED.search(piece):
            break
        value = unquote_plus(value, "latin-1")
        if key == "s":
            made.servers.append(value)
        elif key == "action" and made.action is None:
            made.action = value
        elif key == "b" and made.backend is None:
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


def change(form: Form, backend: Backend | None, now: float) -> str:
    """Do it; the outcome in HAProxy's words (page_request.OUTCOMES)."""
    if (form.backend is not None and backend is None) or (form.action is not None and form.action not in ACTIONS):
        return "ERRP"
    if backend is None or form.action is None:
        return "NONE"
    act = ACTIONS[form.action][1]
    changed = unknown = 0
    for name in form.servers:
        server = backend.by_name.get(name)
        if server is None:
            unknown += 1
        else:
            changed += act(server, now)
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
