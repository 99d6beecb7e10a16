"""Persistence by cookie: insert, indirect, prefix, rewrite, passive, with dates. HOT.

The request side finds the client's server and takes out what servers must not see; the response side decides what
the client is told. Both follow HAProxy byte for byte (configuration.txt, `cookie`; tests/duel/test_cookies.py).
Letters, as in the log: N none, I invalid, D server down, V valid, E idle too long, O too old, U unused; on the
response N none, P server's own passed, D deleted, I inserted, R rewritten, U updated.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from trilb.affinity.cacheable import cacheable
from trilb.config.model import CookieLine
from trilb.http.cookies import Cookie, scan
from trilb.http.head import Field, Head
from trilb.live.proxy import Backend
from trilb.live.server import Server
from trilb.live.stream import Stream

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_VALUES: Final = {ord(c): i for i, c in enumerate(_ALPHABET)}
_DAY: Final = 86400
"""Seconds a date may lie in the future, for clocks that differ."""


def encode_date(seconds: int) -> bytes:
    """A date as five characters, in units of four seconds."""
    units = (seconds + 3) >> 2
    return "".join(_ALPHABET[units >> shift & 63] for shift in (24, 18, 12, 6, 0)).encode()


def decode_date(text: bytes) -> int:
    """The seconds of a five-character date; 0 for anything else."""
    if len(text) < 5:
        return 0
    units = 0
    for c in text[:5]:
        value = _VALUES.get(c)
        if value is None:
            return 0
        units = units << 6 | value
    return units << 2


class CookiePersistence:
    """The `cookie` line of a backend, at work. `wall` gives the current seconds since the epoch."""

    __slots__ = (
        "_by_value",
        "_dated",
        "_insert",
        "_insertions",
        "_line",
        "_nocache",
        "_plain",
        "_prefix",
        "_removes",
        "_wall",
        "backend",
        "name",
    )

    def __init__(self, line: CookieLine, backend: Backend, wall: Callable[[], float]) -> None:
        self._line = line
        self.backend = backend
        self.name = line.name.encode("latin-1")
        self._wall = wall
        self._removes = line.insert and line.indirect
        self._insert, self._prefix, self._nocache = line.insert, line.prefix, line.nocache
        self._dated = bool(line.maxidle or line.maxlife)
        # The usual client sends our cookie alone: its value is then everything behind the first `=`.
        self._plain = re.compile(re.escape(self.name) + rb"=([^;,\"\s|~]++)\Z")
        self._by_value: dict[bytes, list[Server]] = {}
        self._insertions: dict[Server, tuple[bytes, bytes]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the servers' cookie values anew; called when one of them changes."""
        self._by_value.clear()
        self._insertions.clear()
        line = self._line
        tail = "; path=/" + "".join(f"; domain={domain}" for domain in line.domains)
        tail += "; HttpOnly" if line.httponly else ""
        tail += "; Secure" if line.secure else ""
        tail += "".join(f"; {attribute}" for attribute in line.attrs)
        for server in self.backend.servers:
            if server.cookie is not None:
                self._by_value.setdefault(server.cookie, []).append(server)
                begin = self.name + b"=" + server.cookie
            else:
                begin = self.name + b"=; Expires=Thu, 01-Jan-1970 00:00:01 GMT"
            self._insertions[server] = (begin, tail.encode("latin-1"))

    # -- request ---------------------------------------------------------------------------------------------

    def request(self, stream: Stream, force: bool, persist: bool) -> None:
        """Find the server in the client's cookies (stream.server) and edit the cookie headers.

        `force` and `persist` let a server that is down be chosen (force-persist, option persist).
        """
        head = stream.request
        assert head is not None
        fields, name = head.fields, self.name
        count = at = 0
        ours = False
        for index in range(len(fields)):
            field = fields[index]
            if field[0] == b"cookie":
                count += 1
                at = index
                value = field[1]
                ours = ours or value.find(name) >= 0 or _squeezable(value)
        if not ours:
            return
        if count == 1 and not self._prefix:
            match = self._plain.match(fields[at][1])
            if match is not None:
                self._examine(stream, match[1], force, persist)
                if self._removes:
                    del fields[at]
                return
        self._general(stream, head, force, persist)

    def _general(self, stream: Stream, head: Head, force: bool, persist: bool) -> None:
        out: list[Field] = []
        changed = False
        for field in head.fields:
            if field[0] != b"cookie":
                out.append(field)
                continue
            value = self._header(stream, field[1], force, persist)
            if value is not field[1]:
                changed = True
                if value is None:
                    continue
                field = (b"cookie", value)
            out.append(field)
        if changed:
            head.fields = out

    def _header(self, stream: Stream, header: bytes, force: bool, persist: bool) -> bytes | None:
        """Read one Cookie header; returns it edited, the very same object if untouched, None to drop it."""
        name = self.name
        result = _squeeze(header) if _squeezable(header) else header
        if header.find(name) < 0:
            return result
        kept, at, removed = 0, 0, False
        while True:
            cookie = next(scan(result, at), None)
            if cookie is None:
                break
            at = cookie.end
            if result[cookie.name_start : cookie.name_start + 1] == b"$":
                continue
            if cookie.equal < 0 or result[cookie.name_start : cookie.name_end] != name:
                kept += 1
                continue
            value = result[cookie.value_start : cookie.value_end]
            if self._prefix:
                prefix, mark, rest = value.partition(b"~")
                self._examine(stream, prefix if mark else value, force, persist)
                kept += 1
                if mark:
                    result = result[: cookie.value_start] + rest + result[cookie.value_end :]
                    at = cookie.value_start + len(rest)
                continue
            self._examine(stream, value, force, persist)
            if not self._removes:
                kept += 1
                continue
            removed = True
            result, at = _cut(result, cookie)
        if removed and not kept:
            return None
        return result

    def _examine(self, stream: Stream, value: bytes, force: bool, persist: bool) -> None:
        """Look at one value of our cookie; the first usable one wins, later ones change nothing."""
        if stream.cookie_in == "V" or (stream.server is not None and stream.chosen_by_cookie):
            return
        line = self._line
        if not line.prefix:
            value, mark, dates = value.partition(b"|")
            stream.cookie_last = stream.cookie_first = 0
            if mark:
                last, _, first = dates.partition(b"|")
                stream.cookie_last, stream.cookie_first = decode_date(last), decode_date(first)
                letter = self._age(stream)
                if letter:
                    stream.cookie_in = letter
                    stream.cookie_last = stream.cookie_first = 0
                    return
        letter = "I"
        for server in self._by_value.get(value, ()):
            if server.running or force or persist:
                stream.server = server
                stream.chosen_by_cookie = True
                letter = "V" if server.running else "D"
                break
            letter = "D"
        stream.cookie_in = letter

    def _age(self, stream: Stream) -> str:
        """E or O when the dates of a cookie say that it is too old (or from too far in the future)."""
        line = self._line
        for letter, most, date in (("E", line.maxidle, stream.cookie_last), ("O", line.maxlife, stream.cookie_first)):
            if most and date:
                age = int(self._wall()) - date
                if age > most or age < -_DAY:
                    return letter
        return ""

    # -- response --------------------------------------------------------------------------------------------

    def response(self, stream: Stream) -> None:
        """Edit the server's own Set-Cookie and add ours."""
        if stream.ignore_persist:
            return
        line, server, head = self._line, stream.server, stream.response
        assert head is not None
        if server is None:
            return
        own = False
        for field in head.fields:
            if field[0] == b"set-cookie" or field[0] == b"set-cookie2":
                own = self._own(stream, head, server)
                break
        if not self._insert or (own and line.preserve):
            return
        if line.postonly and (stream.request is None or stream.request.method != b"POST"):
            return
        updated = False
        if stream.chosen_by_cookie:
            if not self._stale(stream):
                return
            updated = stream.cookie_in == "V"
        head.fields.append((b"set-cookie", self._value(stream, server)))
        if self._nocache and cacheable(stream):
            head.fields.append((b"cache-control", b"private"))
        stream.cookie_out = "U" if updated else "I"

    def _own(self, stream: Stream, head: Head, server: Server) -> bool:
        """Deal with Set-Cookie lines of our name that the server sent; True when there was one."""
        line = self._line
        delete = not line.preserve and (line.insert or (line.indirect and stream.chosen_by_cookie))
        out: list[Field] = []
        found = False
        for field in head.fields:
            if field[0] not in (b"set-cookie", b"set-cookie2"):
                out.append(field)
                continue
            cookie = next(scan(field[1]), None)
            if cookie is None or cookie.equal < 0 or field[1][cookie.name_start : cookie.name_end] != self.name:
                out.append(field)
                continue
            found = True
            if delete:
                stream.cookie_out = "D"
                continue
            stream.cookie_out = "P"
            if (line.rewrite or line.prefix) and server.cookie is not None:
                stream.cookie_out = "R"
                field = (field[0], self._rewrite(field[1], cookie, server.cookie))
            elif cookie.value_start - cookie.name_end > 1:
                # Blanks around the first `=` go, as in requests.
                field = (field[0], field[1][: cookie.name_end] + b"=" + field[1][cookie.value_start :])
            out.append(field)
        head.fields = out
        return found

    def _rewrite(self, value: bytes, cookie: Cookie, own: bytes) -> bytes:
        begin = value[: cookie.name_end] + b"="
        begin = begin[cookie.name_start :] if not cookie.name_start else begin
        if self._line.rewrite:
            return begin + own + value[cookie.value_end :]
        return begin + own + b"~" + value[cookie.value_start :]

    def _stale(self, stream: Stream) -> bool:
        """Must the client's valid cookie be sent anew, because of its dates?"""
        line = self._line
        last, first = stream.cookie_last, stream.cookie_first
        if (last or line.maxidle) and (int(self._wall()) + 3) >> 2 > last >> 2:
            return True
        return bool(line.maxlife and not first) or bool(first and not line.maxlife)

    def _value(self, stream: Stream, server: Server) -> bytes:
        begin, tail = self._insertions[server]
        line = self._line
        if server.cookie is None or not self._dated:
            return begin + tail
        now = int(self._wall())
        dates = b"|" + encode_date(now)
        if line.maxlife:
            first = stream.cookie_first if stream.chosen_by_cookie else 0
            # A kept date is a multiple of four already; rounding up again must not move it.
            dates += b"|" + encode_date(first or now)
        return begin + dates + tail


def _squeezable(header: bytes) -> bool:
    return (
        header.find(b"= ") >= 0
        or header.find(b" =") >= 0
        or (header.find(b"\t") >= 0 and (header.find(b"=\t") >= 0 or header.find(b"\t=") >= 0))
    )


def _squeeze(header: bytes) -> bytes:
    """HAProxy takes out blanks around the `=` of every cookie it looks at."""
    out, at = b"", 0
    for cookie in scan(header):
        if cookie.equal >= 0:
            out += header[at : cookie.name_end] + b"="
            at = cookie.value_start
    return out + header[at:]


def _cut(header: bytes, cookie: Cookie) -> tuple[bytes, int]:
    """Remove a cookie and the `$` attributes that belong to it; returns the header and where to read on.

    The separator behind it is kept in place of the one before it, followed by one blank.
    """
    before = cookie.name_start
    while before > 0 and header[before - 1] in b" \t":
        before -= 1
    end = cookie.end
    for following in scan(header, end):
        if header[following.name_start : following.name_start + 1] != b"$":
            break
        end = following.end
    rest = header[end + 1 :].lstrip(b" \t") if end < len(header) else b""
    if before == 0:
        return rest, 0
    head = header[: before - 1].rstrip(b" \t")
    if end >= len(header):
        return head, len(head)
    kept = head + header[end : end + 1] + b" " + rest
    return kept, len(head) + 1
