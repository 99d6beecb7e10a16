"""The statistics page as programs see it: what is asked and changed through it is answered as HAProxy does."""

from __future__ import annotations

import base64
import csv
import io
import re
from dataclasses import dataclass

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Side
from tests.support.wire import exchange, parse_response

CONFIG = """
global
    node here
    stats socket {dir}/socket
    description it
    log 127.0.0.1:{syslog} local0
defaults
    log global
    option httplog
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    stats uri /inherited
    stats refresh 7s
    stats scope other
frontend open
    bind 127.0.0.1:{open}
    stats enable
    stats uri /s
    stats refresh 1500ms
    stats admin if { path_beg /s }
frontend secret
    bind 127.0.0.1:{secret}
    stats uri /s
    stats auth me:pass
    stats auth you:word:colon
    stats realm A\\ realm
    stats hide-version
frontend scoped
    bind 127.0.0.1:{scoped}
    stats scope .
    stats scope other
frontend inherits
    bind 127.0.0.1:{inherits}
frontend own
    bind 127.0.0.1:{own}
    stats hide-version
listen ruled
    bind 127.0.0.1:{ruled}
    stats uri /s
    stats http-request deny if { path_end no }
    stats http-request allow if { hdr(x-in) yes }
    stats http-request auth realm Ruled unless { http_auth(people) }
    server s 127.0.0.1:{dead}
frontend behind
    bind 127.0.0.1:{behind}
    default_backend other
userlist people
    user a insecure-password b
backend b1
    server s1 127.0.0.1:{dead}
    server s2 127.0.0.1:{origin} check inter 1h
    server s3 127.0.0.1:{dead} track b1/s2
    server s4 127.0.0.1:{dead} disabled
backend other
    stats uri /back
    server s1 127.0.0.1:{dead}
"""


@dataclass(frozen=True)
class Ask:
    """A request and the frontend it goes to."""

    target: str
    where: str = "open"
    headers: tuple[str, ...] = ()
    method: str = "GET"
    body: str | None = None

    def __str__(self) -> str:
        """Name the row."""
        return " ".join(
            filter(None, (self.where, self.method, self.target, *self.headers, self.body and self.body[:60]))
        )


def basic(text: str) -> tuple[str, ...]:
    """The header of a user."""
    return (f"Authorization: Basic {base64.b64encode(text.encode()).decode()}",)


WORDS = (
    "",
    ";csv",
    "?;csv",
    ";csv;norefresh",
    ";norefresh;csv",
    ";csvx",
    "foo;csv",
    "/;csv",
    "?a=;csv",
    ";CSV",
    ";json",
    ";json;csv",
    ";csv;json",
    ";json;typed",
    ";json-schema",
    ";json-schema;csv",
    ";typed",
    ";typed;csv",
    ";csv;up",
    ";up;csv;no-maint",
    ";csv;no-maint",
    ";st=DONE",
    ";csv;scope=b1",
    ";csv?scope=b1",
    ";csv&scope=b1",
    ";csv;scope=B1",
    ";csv;scope=b;x",
    ";csv;scope=b1&x",
    ";csv;scope=b1?x",
    ";csv;scope=b%31",
    ";csv;scope=",
    ";csv;scope=nope",
    ";csv;scope=otherotherotherother",
    ";csv;scope=ERV",
)
LOOKS = [
    *(Ask(f"/s{words}") for words in WORDS),
    *(Ask(f"/s{words}", method="HEAD") for words in ("", ";csv")),
    *(Ask("/s;csv", method=method) for method in ("PUT", "OPTIONS", "DELETE", "PATCH", "TRACE")),
    Ask("http://a/s;csv"),
    Ask("/S;csv"),
    Ask("/inherited;csv"),
    Ask("/s;csv", "secret"),
    Ask("/s;csv", "secret", basic("me:pass")),
    Ask("/s;csv", "secret", basic("you:word:colon")),
    Ask("/s;csv", "secret", basic("you:word")),
    Ask("/s;csv", "secret", basic("me:pas")),
    Ask("/s;csv", "secret", ("Authorization: Basic !!!",)),
    Ask("/s;csv", "secret", ("Authorization: Bearer x",)),
    Ask("/haproxy?stats;csv", "scoped"),
    Ask("/haproxy?stats;csv;scope=b1", "scoped"),
    Ask("/haproxy?stats;csv;scope=oth", "scoped"),
    Ask("/haproxy;csv", "scoped"),
    Ask("/inherited;csv", "inherits"),
    Ask("/haproxy?stats;csv", "inherits"),
    Ask("/inherited;csv", "own"),
    Ask("/haproxy?stats;csv", "own"),
    Ask("/s;csv", "ruled"),
    Ask("/s;csv", "ruled", ("x-in: yes",)),
    Ask("/s;csv", "ruled", basic("a:b")),
    Ask("/s;csv", "ruled", basic("a:c")),
    Ask("/s;no", "ruled", basic("a:b")),
    Ask("/back;csv", "behind"),
    Ask("/inherited;csv", "behind"),
]


def post(body: str, target: str = "/s", where: str = "open", headers: tuple[str, ...] = ()) -> Ask:
    """A form."""
    return Ask(target, where, headers, "POST", body)


ACTIONS = """
" ready drain drain maint maint ready ready disable disable enable enable stop stop start start drain maint drain
ready stop disable enable start hdown hdown hrunn hrunn hnolb hnolb hdown hnolb hrunn maint hdown hrunn hnolb ready
drain hdown hrunn ready dhlth dhlth hdown hrunn ehlth ehlth dagent arunn eagent eagent adown adown arunn arunn adown
dagent eagent hrunn hdown ready shutdown shutdown
"""
SERVERS = ("s1", "s2", "s3", "s4")
CHANGES = [
    *(post(f"s={name}&action={action}&b=b1") for name in SERVERS for action in ACTIONS.split()),
    *(post(f"s={name}&action=drain&b=b1") for name in ("s2", "s3", "s4", "nope", "S1", "s%31", "s+1", "")),
    *(post(f"s=s1&action=ready&b={name}") for name in ("b1", "b%31", "nope", "", "open", "7", "ruled", "b1%0a")),
    post("s=nope&s=s1&action=maint&b=b1"),
    post("s=s1&s=nope&action=ready&b=b1"),
    post("s=s1&s=s1&action=drain&b=b1"),
    post("b=other&b=b1&s=s1&action=ready"),
    post("s=s1&action=drain&b=b1&action=ready"),
    post("b=b1&action=maint&s=s1"),
    post("s=s1&action=ready&b=b1&s=s1&action=drain&b=other"),
    post("action=ready&b=b1"),
    post("s=s1&b=b1"),
    post("s=s1&action=ready"),
    post("b=b1"),
    post(""),
    post("garbage"),
    *map(post, ("s=", "&s=&b", "%zz", "a=%zz", "&&=", "b", "action", "s", "=x")),
    *(post(f"s=s1&action=drain&b=b1{more}") for more in ("&a=%zz", "&%zz", "%", "&", "&s=", "&=", "&ask")),
    post("a=%zz&s=s1&action=ready&b=b1"),
    post("s=s1=x&action=drain&b=b1"),
    post("s=s1;action=drain;b=b1"),
    post("s=s1&action=DRAIN&b=b1"),
    post("s=s1&action=bogus&b=b1"),
    post("s=s1&x=y&z&action=drain&b=b1"),
    post("s=s1&action=ready&b=b1", "/s;csv;scope=b1;norefresh;up;no-maint"),
    post("s=s1&action=ready&b=b1", "/s?scope=b1"),
    post("s=s1&action=ready&b=b1", "/s;no-maint"),
    post("s=s1&action=ready&b=b1", "/s;st=DENY;up"),
    post("s=s1&action=ready&b=b1", "/s;scope=a%22b"),
    post("s=s1&action=ready&b=b1", "/s?scope=" + "long" * 10),
    post("s=s1&action=maint&b=b1", headers=("Origin: http://h",)),
    post("s=s1&action=ready&b=b1", headers=("Referer: http://h/s",)),
    post("s=s1&action=drain&b=b1", headers=("Content-Type: text/plain",)),
    post("s=s1&action=ready&b=b1", where="secret"),
    post("s=s1&action=maint&b=b1", where="secret", headers=basic("me:pass")),
    post("s=s1&action=maint&b=b1", "/haproxy?stats", "scoped"),
    post("s=s1&action=maint&b=b1", where="ruled"),
    post("s=s1&action=maint&b=b1", where="ruled", headers=basic("a:b")),
    post("s=" + "x" * 14_000 + "&action=ready&b=b1"),
    post("x" * 15_360),
    post("x" * 40_000),
]


def status_of_servers(side: Side) -> list[tuple[str, str, str]]:
    """Where every server is."""
    raw = exchange(side.ports["open"], b"GET /s;csv HTTP/1.1\r\nHost: h\r\n\r\n")
    table = csv.DictReader(io.StringIO(parse_response(raw)[2].decode().removeprefix("# ")))
    return [(row["pxname"], row["svname"], row["status"]) for row in table if row["type"] == "2"]


def answer(side: Side, ask: Ask) -> tuple[int, list[tuple[str, str]], list[str]]:
    """Status, the headers that matter, and of a body in a text format what does not change by the second."""
    lines = [f"{ask.method} {ask.target} HTTP/1.1", "Host: h", *ask.headers]
    if ask.body is not None:
        lines.append(f"Content-Length: {len(ask.body)}")
    raw = exchange(side.ports[ask.where], ("\r\n".join(lines) + "\r\n\r\n" + (ask.body or "")).encode())
    status, fields, body = parse_response(raw, ask.method)
    told = dict(fields)
    html = told.get("content-type", "").startswith("text/html") and status == 200
    kept = ["cache-control", "location", "www-authenticate"]
    # What is too long is not read, and so the connection ends.
    kept += ["connection"] if len(ask.body or "") < 15_000 else []
    # The HTML is our own: it refreshes itself in the page, and names its character set.
    kept += [] if html else ["refresh", "content-type"]
    kept += ["content-length"] if status != 200 else []
    text = body.decode("latin-1")
    if html or ask.method == "HEAD":
        seen = []
    elif text.startswith("# "):
        seen = [",".join([*row[:2], *row[17:21]]) for row in csv.reader(text.splitlines())]
    elif "json" in told.get("content-type", ""):
        seen = [text[:40]]
    else:
        # What a column is, is told in more words than 2.6 had.
        seen = [re.sub(":[A-Z]+:", ":", line) for line in text.splitlines() if ".pxname." in line or status != 200]
    return status, sorted((name, told[name]) for name in kept if name in told), seen


Seen = dict[str, object]


@pytest.fixture(scope="module")
def seen(module_duel: DuelFactory) -> tuple[Seen, Seen]:
    """What both programs did, in this order: first all looks, then all changes."""

    def every(side: Side) -> Seen:
        found: Seen = {f"look {at}": answer(side, ask) for at, ask in enumerate(LOOKS)}
        for at, ask in enumerate(CHANGES):
            found[f"change {at}"] = answer(side, ask), status_of_servers(side)
        sent = sum(ask.method == "POST" for ask in (*LOOKS, *CHANGES))
        lines = side.syslog.pending()
        while sum('"POST ' in line for line in lines) < sent:
            lines += side.syslog.take(1, 5)
        found["log"] = [line.partition("]: ")[2] for line in lines if "Server b1/" in line]
        # The proxy and who answered, the status and how it ended. (2.6 logs the 401 it sends as a 400.)
        traffic = [line.split() for line in lines if '"POST ' in line]
        found["traffic"] = sorted(" ".join((words[7], words[9], words[13])) for words in traffic if words[9] == "303")
        return found

    return module_duel(CONFIG).both(every)


@pytest.mark.parametrize("number", range(len(LOOKS)), ids=[str(look) for look in LOOKS])
def test_look(seen: tuple[Seen, Seen], number: int) -> None:
    """Status, headers, format and rows are HAProxy's."""
    expected, found = seen
    assert found[f"look {number}"] == expected[f"look {number}"]


@pytest.mark.parametrize("number", range(len(CHANGES)), ids=[str(change) for change in CHANGES])
def test_change(seen: tuple[Seen, Seen], number: int) -> None:
    """The outcome is HAProxy's, and so is what became of every server."""
    expected, found = seen
    assert found[f"change {number}"] == expected[f"change {number}"]


def test_the_log_says_the_same(seen: tuple[Seen, Seen]) -> None:
    """Every change of a server is logged as HAProxy does, down to who did it."""
    expected, found = seen
    assert found["log"] == expected["log"]
    assert "changed from Web interface" in str(expected["log"])
    assert found["traffic"] == expected["traffic"]
    assert "/<STATS> 303 LR--" in str(expected["traffic"])
