"""One row of the statistics page: cells of figures, state, checks and charts as HTML (pure).

Every cell is in every row, empty where it does not apply, so that columns can be sorted and a phone can name them.
`</td>` and its kin are left out where HTML lets us: a page of a thousand servers is a third smaller.
"""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import NamedTuple

from trilb.admin.columns import MODULES
from trilb.admin.history import POINTS, Ring
from trilb.admin.views import Row


class Column(NamedTuple):
    """A column: the group it stands in, its heading, and what it says to those who ask. `kind` is its CSS class."""

    group: str
    label: str
    doc: str
    kind: str = ""


COLUMNS = (
    Column("Server", "Name", "Frontend, listener, server or backend"),
    Column("Server", "State", "State, and for how long"),
    Column("Server", "Last check", "Result, code and duration of the last health check, and what it said"),
    Column("Server", "Weight", "Weight in use; a backend's is the sum of its usable servers'"),
    Column("Rate", "5 min", "Requests a second over the last five minutes, errors in red", "chart"),
    Column("Rate", "now", "Requests a second; sessions in mode tcp"),
    Column("Rate", "max", "The most there were in a second"),
    Column("Sessions", "now", "Sessions now"),
    Column("Sessions", "max", "The most there were at once"),
    Column("Sessions", "limit", "How many there may be: maxconn, or a backend's fullconn"),
    Column("Sessions", "total", "How many there were"),
    Column("Queue", "now", "Requests waiting for a connection"),
    Column("Queue", "max", "The most that waited at once"),
    Column("Time", "5 min", "Time of a request over the last five minutes", "chart"),
    Column("Time", "ms", "Milliseconds a request takes, average of the last 1024: queue, connect, response, total"),
    Column("Bytes", "in", "Bytes from clients"),
    Column("Bytes", "out", "Bytes to clients"),
    Column("Denied", "req", "Requests refused by rules"),
    Column("Denied", "resp", "Responses refused by rules"),
    Column("Errors", "req", "Requests that were malformed or broken off"),
    Column("Errors", "conn", "Connections to servers that failed"),
    Column("Errors", "resp", "Responses that were malformed or broken off"),
    Column("Retries", "same", "Tries that were made again"),
    Column("Retries", "other", "Requests sent on to another server"),
    Column("Answers", "2xx", "Answers of 200 to 299"),
    Column("Answers", "4xx", "Answers of 400 to 499"),
    Column("Answers", "5xx", "Answers of 500 to 599"),
    Column("Failures", "chk", "Checks that failed while the server was up"),
    Column("Failures", "down", "How often it went down"),
    Column("Failures", "for", "How long it was down, all in all"),
)


class State(NamedTuple):
    """A state of a server or proxy: CSS class, sign (states differ without colour, too), name and meaning."""

    key: str
    sign: str
    name: str
    doc: str


STATES = {
    state.key: state
    for state in (
        State("up", "\u25cf", "up", "passes its checks"),
        State("failing", "\u25d5", "failing", "up, and its last checks failed"),
        State("rising", "\u25d4", "rising", "down, and its last checks passed"),
        State("down", "\u2715", "down", "fails its checks"),
        State("nolb", "\u25c7", "nolb", "up, takes no new sessions by its own wish"),
        State("drain", "\u25bd", "drain", "takes no new sessions"),
        State("maint", "\u25a0", "maint", "in maintenance: not used, not checked"),
        State("plain", "\u25cb", "no check", "used and not checked"),
        State("open", "\u25b8", "open", "a frontend that accepts"),
        State("full", "\u25b2", "full", "a frontend at its limit"),
        State("stopped", "\u2013", "stopped", "a frontend that does not accept"),
    )
}
"""In the order of the legend."""
_RANK = {key: rank for rank, key in enumerate(STATES)}

_FIRST_WORDS = {"MAINT": "maint", "DRAIN": "drain", "NOLB": "nolb", "no": "plain", "OPEN": "open", "FULL": "full"}


def state_of(status: str) -> str:
    """The state that a `status` column means (management.txt, 9.1)."""
    word, _, rest = status.partition(" ")
    counted = "/" in rest and rest[0] != "("
    if word == "UP":
        return "failing" if counted else "up"
    if word == "DOWN":
        return "rising" if counted else "down"
    return _FIRST_WORDS.get(word, "stopped")


_SCALE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def short(value: int) -> str:
    """A count in four signs or a few more: 9999, 12.3k, 4.56M."""
    if -10000 < value < 10000:
        return str(value)
    for scale, unit in _SCALE:
        if value >= scale:
            part = value / scale
            return f"{part:.2f}{unit}" if part < 10 else f"{part:.1f}{unit}" if part < 100 else f"{part:.0f}{unit}"
    return str(value)


def span(seconds: int) -> str:
    """A duration in its two largest units: 45s, 3m12s, 4d3h."""
    if seconds < 60:
        return f"{max(seconds, 0)}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"
    return f"{seconds // 86400}d{seconds % 86400 // 3600}h"


def _number(value: object, title: str = "") -> str:
    """A cell for a count. What is abbreviated has its value for sorting."""
    if not isinstance(value, int):
        return "<td>"
    told = f' title="{title}"' if title else ""
    if value < 10000:
        return f"<td{told}>{value}" if value else f"<td class=z{told}>0"
    return f"<td data-v={value}{told or f' title={value:,}'}>{short(value)}"


def _warning(value: object) -> str:
    """A cell for a count that is better 0."""
    made = _number(value)
    return made if not isinstance(value, int) or value <= 0 else made.replace("<td", "<td class=w", 1)


_HEIGHT, _BASE = 15, 17
"""Of a line at most, and where it is 0, in a picture POINTS wide and 18 high."""
_STEPS = {fall: f"1 {fall}" if fall >= 0 else f"1{fall}" for fall in range(-_HEIGHT, _HEIGHT + 1)}


def chart(values: list[float], errors: list[float], unit: str) -> str:
    """A line over the last minutes, and bars for errors on the same scale; the newest sample is at the right.

    The line is one shape with what is below it; what would close it lies outside of the picture.
    """
    if not values:
        return "<td>"
    most = max(values)
    said = f"now {values[-1]:.3g} {unit}, most {most:.3g}"
    begin = POINTS - len(values)
    scale = _HEIGHT / (max(most, max(errors, default=0.0)) or 1)
    heights = [int(value * scale) for value in values]
    steps = "l" + " ".join([_STEPS[then - now] for then, now in pairwise(heights)]) if most and heights[1:] else ""
    line = f'<path class=l d="M{begin or -2} 21V{_BASE - heights[0]}H{begin}{steps}H62V21z"/>'
    bars = ""
    if any(errors):
        said += f", errors now {errors[-1]:.3g}, most {max(errors):.3g}"
        bars = "".join(f"M{begin + at} {_BASE}v-{int(value * scale) or 1}" for at, value in enumerate(errors) if value)
        bars = f'<path class=e d="{bars}"/>'
    return (
        f'<td data-v={values[-1]:.6g}><svg role=img viewBox="0 0 {POINTS - 1} 18" preserveAspectRatio=none>'
        f"<title>{said}</title>{line}{bars}</svg>"
    )


def _charts(ring: Ring | None, *, timed: bool) -> tuple[str, str]:
    """The cells of rate and time."""
    if ring is None:
        return "<td>", "<td>"
    if ring.drawn is None:
        rates = chart(ring.ordered(ring.rate), ring.ordered(ring.errors), "a second")
        ring.drawn = rates, chart(ring.ordered(ring.time), [], "ms") if timed else "<td>"
    return ring.drawn


def _check(row: Row) -> str:
    """What the last check said, and the last agent's."""
    parts: list[str] = []
    for prefix, last, name in (("check", "last_chk", ""), ("agent", "last_agt", "agent ")):
        status = str(row[f"{prefix}_status"])
        if not status:
            continue
        code, took = row[f"{prefix}_code"], row[f"{prefix}_duration"]
        text = f"<b>{name}{escape(status)}{f'/{code}' if isinstance(code, int) and code else ''}</b>"
        text += f" {took}ms" if isinstance(took, int) and took >= 0 else ""
        said = str(row[last])
        told = ": ".join(part for part in (str(row[f"{prefix}_desc"]), said) if part)
        text += f" <i>{escape(said)}</i>" if said else ""
        parts.append(f'<span title="{escape(told)}">{text}</span>')
    if row["tracked"]:
        parts.append(f"<i>as {escape(str(row['tracked']))}</i>")
    return "<td class=k>" + " ".join(parts)


def _state(row: Row, key: str) -> str:
    """State and since when; what it is due to."""
    state = STATES[key]
    status = str(row["status"])
    since = row["lastchg"]
    text = f'<td class=s data-v={_RANK[key]}><span class="b {key}"><span aria-hidden=true>{state.sign}</span> '
    text += f"{escape(status)}</span>"
    if isinstance(since, int) and row.kind in "SB":
        text += f" <span class=d>{span(since)}</span>"
    return text


def _weight(row: Row) -> str:
    if row.kind == "B":
        return _number(row["weight"], f"{row['act']} active, {row['bck']} backup")
    throttle = row["throttle"]
    slow = f" <span class=d>{throttle}%</span>" if isinstance(throttle, int) and throttle < 100 else ""
    return _number(row["weight"]) + slow


def _name(row: Row, *, admin: bool, legends: bool, more: str = "") -> str:
    kind, name = row.kind, escape(str(row["svname"]))
    box = ""
    if kind == "S" and admin:
        box = f'<input type=checkbox name=s value="{name}" form=f{row["iid"]} aria-label="select {name}"> '
    text = {"F": "Frontend", "B": "Backend"}.get(kind, name)
    text += " <span class=tag>backup</span>" if kind == "S" and row["bck"] else ""
    if legends:
        for value in (row["addr"], row["cookie"] and f"cookie {row['cookie']}"):
            text += f" <span class=d>{escape(str(value))}</span>" if value else ""
    return f'<th scope=row title="{escape(more)}">{box}{text}' if more else f"<th scope=row>{box}{text}"


def _time(row: Row) -> str:
    value = row["ttime"]
    parts = ", ".join(f"{n} {row[k]}" for n, k in (("queue", "qtime"), ("connect", "ctime"), ("response", "rtime")))
    return _number(value, f"{parts}, total {value} ms" if isinstance(value, int) else "")


def _modules(row: Row) -> str:
    """What modules count, for whoever points at the row (`stats show-modules`)."""
    counted = ((column.name, row.values[column.position]) for column in MODULES)
    return "\n".join(f"{name} {value}" for name, value in counted if value is not None)


def draw(row: Row, ring: Ring | None, *, admin: bool, legends: bool, modules: bool = False) -> str:
    """The whole row. Its `id` is what a live refresh knows it by."""
    key = state_of(str(row["status"]))
    kind = row.kind
    get = row.__getitem__
    rates, times = _charts(ring, timed=kind in "SB")
    http_front = kind == "F" and get("mode") == "http"
    return "".join(
        (
            f"<tr id=r{row['iid']}{kind}{row['sid']} class='{key} {kind}'>",
            _name(row, admin=admin, legends=legends, more=_modules(row) if modules else ""),
            _state(row, key),
            _check(row),
            _weight(row) if kind in "SB" else "<td>",
            rates,
            _number(get("req_rate" if http_front else "rate")),
            _number(get("req_rate_max" if http_front else "rate_max")),
            _number(get("scur")),
            _number(get("smax")),
            _number(get("slim")),
            _number(get("req_tot" if http_front else "stot")),
            _number(get("qcur")),
            _number(get("qmax")),
            times,
            _time(row),
            _number(get("bin")),
            _number(get("bout")),
            _warning(get("dreq")),
            _warning(get("dresp")),
            _warning(get("ereq")),
            _warning(get("econ")),
            _warning(get("eresp")),
            _warning(get("wretr")),
            _warning(get("wredis")),
            _number(get("hrsp_2xx")),
            _number(get("hrsp_4xx")),
            _warning(get("hrsp_5xx")),
            _warning(get("chkfail")),
            _warning(get("chkdown")),
            f"<td data-v={get('downtime')}>{span(int(str(get('downtime'))))}" if get("downtime") else "<td>",
        )
    )
