"""Commands that look at streams, at what broke the protocol, and end streams (management.txt, section 9.3)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from trilb.admin.caller import error
from trilb.admin.cmd_frontends import number
from trilb.admin.commands import View, command
from trilb.admin.dumps import text_lines
from trilb.base import ip
from trilb.live.invalid import Invalid
from trilb.live.proxy import Backend, Frontend
from trilb.live.stream import Stream

_SUSPICIOUS = 30.0
"""Seconds of age from which a stream with a server that has not answered is worth a look."""
_HELP = """\
Usage: show sess [<id> | older <age> | susp | all] [<options>*]
Dumps active streams (formerly called 'sessions'). Available options:
   <id>         dump only this stream identifier (0x...)
   all          dump all streams in large format
   older <age>  only display streams older than <age>
   susp         only show streams considered as suspicious
   help         show this message
Available output options:
   show-uri     also display the transaction URI, if available
Available filters :
   backend <b>  only display streams attached to this backend
   frontend <f> only display streams attached to this frontend
   server <b/s> only show streams attached to this backend+server
"""


def _stamp(wall: float, digits: int) -> str:
    fraction = f"{wall % 1:.6f}"[2 : 2 + digits]
    return time.strftime("%d/%b/%Y:%H:%M:%S", time.localtime(wall)) + f".{fraction}"


def _streams(view: View) -> Iterator[Stream]:
    for session in list(view.process.sessions):
        for stream, _ in list(session.under_way()):
            yield stream


def _source(stream: Stream) -> tuple[str, str]:
    if stream.client_port == 0 and stream.client == b"\0\0\0\0":
        return "unix_stream", f"unix:{stream.session.listener_id}"
    version = 4 if len(stream.client) == 4 else 6
    return f"tcpv{version}", f"{ip.text(stream.client)}:{stream.client_port}"


def _age(seconds: float) -> str:
    for size, letters in ((86400, "dh"), (3600, "hm"), (60, "ms")):
        if seconds >= size:
            less = {86400: 3600, 3600: 60, 60: 1}[size]
            return f"{int(seconds) // size}{letters[0]}{int(seconds) % size // less:02d}{letters[1]}"
    return f"{int(seconds)}s"


def _short(stream: Stream, now: float, uri: bool) -> str:
    proto, source = _source(stream)
    backend, server = stream.backend, stream.picked
    line = (
        f"{id(stream):#x}: proto={proto} src={source} fe={stream.frontend.name}"
        f" be={backend.name if backend is not None else '<NONE>'} srv={server.name if server is not None else '<none>'}"
        f" age={_age(now - stream.accepted)} rq[i={stream.bytes_in}] rp[i={stream.bytes_out}]"
        f" rc={stream.retries}"
    )
    if uri and stream.target:
        line += f' uri="{stream.method.decode("latin-1")} {stream.target.decode("latin-1")}"'
    return line + "\n"


def _phase(stream: Stream) -> str:
    """How far a stream is, in words."""
    if stream.response_started:
        return "response"
    if stream.connected:
        return "waiting for the server"
    if stream.queued and not stream.dispatched:
        return "queued"
    return "connecting" if stream.picked is not None else "request"


def _long(stream: Stream, now: float) -> Iterator[str]:
    proto, source = _source(stream)
    frontend, backend, server = stream.frontend, stream.backend, stream.picked
    yield f"{id(stream):#x}: [{_stamp(stream.accepted_wall, 6)}] id={stream.number} proto={proto} source={source}\n"
    yield f"  phase={_phase(stream)} conn_retries={stream.retries} age={_age(now - stream.accepted)}\n"
    yield (
        f"  frontend={frontend.name} (id={frontend.config.id} mode={frontend.config.mode.value}),"
        f" listener={stream.session.listener_name or '?'} (id={stream.session.listener_id})"
        f" addr={ip.text(stream.local)}:{stream.local_port}\n"
    )
    if backend is not None:
        yield f"  backend={backend.name} (id={backend.config.id} mode={backend.config.mode.value})\n"
    else:
        yield "  backend=<NONE> (id=-1 mode=-)\n"
    if server is not None:
        address = server.address
        where = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else address or "?"
        yield f"  server={server.name} (id={server.id}) addr={where}\n"
    else:
        yield "  server=<NONE> (id=-1)\n"
    if stream.method:
        yield f"  txn meth={stream.method.decode('latin-1')} status={stream.status}\n"
    yield f"  req total={stream.bytes_in}\n  res total={stream.bytes_out}\n"


def _matching(view: View, words: list[str]) -> tuple[list[Stream], bool, bool] | str:
    """The streams that the words choose, whether all is told of each, and whether their URIs are."""
    now = view.process.clock.refresh()
    chosen: Iterable[Stream] = _streams(view)
    full = uri = False
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "all":
            full = True
        elif word == "show-uri":
            uri = True
        elif word == "susp":
            chosen = [s for s in chosen if now - s.accepted >= _SUSPICIOUS and s.picked and not s.response_started]
        elif word in ("older", "backend", "frontend", "server"):
            if not rest:
                return error(f"Expects a value behind '{word}'.\n")
            chosen = _filtered(chosen, word, rest.pop(0), now)
        elif word.startswith("0x"):
            full = True
            chosen = [stream for stream in chosen if f"{id(stream):#x}" == word.lower()]
            if not chosen:
                return "Session not found.\n"
        else:
            return error(f"Unsupported option '{word}', try 'help' for more info.\n")
    return list(chosen), full, uri


def _filtered(streams: Iterable[Stream], word: str, value: str, now: float) -> list[Stream]:
    if word == "older":
        return [stream for stream in streams if now - stream.accepted >= number(value)]
    if word == "frontend":
        return [stream for stream in streams if stream.frontend.name == value]
    if word == "backend":
        return [stream for stream in streams if stream.backend is not None and stream.backend.name == value]
    return [
        stream for stream in streams if stream.picked and f"{stream.picked.backend.name}/{stream.picked.name}" == value
    ]


@command("show sess", source="9.3", level="operator")
def show_sess(view: View, words: list[str]) -> str | Iterator[str]:
    """show sess [id]: report the list of current sessions or dump this exact session"""
    if words[:1] == ["help"]:
        return _HELP
    found = _matching(view, words)
    if isinstance(found, str):
        return found
    return _told(view, *found)


def _told(view: View, streams: list[Stream], full: bool, uri: bool) -> Iterator[str]:
    for stream in streams:
        if stream.logged and not full:
            # It has ended since the command was given.
            continue
        now = view.process.clock.now
        if full:
            yield "".join(_long(stream, now))
        else:
            yield _short(stream, now, uri)


@command("shutdown session", source="9.3", level="admin")
def shutdown_session(view: View, words: list[str]) -> str:
    """shutdown session [id]: kill a specific session"""
    wanted = number(words[0]) if words else 0
    if not wanted:
        return error("Session pointer expected (use 'show sess').\n")
    for session in list(view.process.sessions):
        for stream, waiter in list(session.under_way()):
            if id(stream) == wanted:
                view.shutdown_stream(stream, waiter, "K")
                return ""
    return error("No such session (use 'show sess').\n")


# -- show errors -----------------------------------------------------------------------------------------------------


@command("show errors", source="9.3", level="operator")
def show_errors(view: View, words: list[str]) -> str | Iterator[str]:
    """show errors [<px>] [request|response]: report last request and/or response errors for each proxy"""
    wanted: int | None = None
    if words:
        named = view.frontends.get(words[0]) or view.backends.get(words[0])
        if named is not None:
            wanted = named.config.id
        elif words[0].removeprefix("-").isdecimal():
            wanted = number(words[0]) if number(words[0]) >= 0 else None
        else:
            return error("No such proxy.\n")
    which = words[1] if len(words) > 1 else ""
    return _errors(view, wanted, which)


def _errors(view: View, wanted: int | None, which: str) -> Iterator[str]:
    process = view.process
    yield f"Total events captured on [{_stamp(process.clock.wall, 3)}] : {process.invalid}\n"
    proxies: list[Frontend | Backend] = [*view.frontends.values(), *view.backends.values()]
    for proxy in sorted(proxies, key=lambda proxy: (proxy.config.id, isinstance(proxy, Backend))):
        kept = proxy.invalid
        kind = "request" if isinstance(proxy, Frontend) else "response"
        if kept is None or (which in ("request", "response") and which != kind):
            continue
        others = (kept.frontend.config.id, kept.backend.config.id if kept.backend is not None else -1)
        if wanted is None or wanted in others:
            yield from _error(kept, kind, view.config.globals.bufsize)


def _error(kept: Invalid, kind: str, bufsize: int) -> Iterator[str]:
    front, back, server = kept.frontend, kept.backend, kept.server
    named = f"server {server.name} (#{server.id})" if server is not None else "server <NONE> (#-1)"
    yield f" \n[{_stamp(kept.wall, 3)}] "
    if kind == "request":
        yield f"frontend {front.name} (#{front.config.id}): invalid request\n  "
        yield f"backend {back.name} (#{back.config.id})" if back is not None else "backend <NONE> (#-1)"
    else:
        assert back is not None
        yield f"backend {back.name} (#{back.config.id}): invalid response\n"
        yield f"  frontend {front.name} (#{front.config.id})"
    yield f", {named}, event #{kept.number}, src {ip.text(kept.client)}:{kept.client_port}\n"
    yield f"  buffer starts at 0 (including 0 out), {max(0, bufsize - len(kept.raw))} free,\n"
    yield f"  len {len(kept.raw)}, wraps at {bufsize - 48}, error at position {kept.at}\n"
    # What h11 says shows bytes as Python writes them; they follow in the dump.
    yield f"  reason: {kept.reason.partition(': bytearray(')[0]}\n  \n"
    yield from text_lines(kept.raw)
