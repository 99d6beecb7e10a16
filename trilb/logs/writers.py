"""What a frontend logs, at which step, and how each of its targets wants it: decided at load (8.2 and 8.3). HOT.

A target that names a log profile has its own formats; all the others share the frontend's, which is then rendered once
a line. An emitter is the closure of one step of a stream's life: it decides on the level, renders, and sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from trilb.config.keywords.logs import LEVELS
from trilb.config.log_lines import LogProfile, LogStep, LogTarget
from trilb.config.model import Mode, Proxy
from trilb.config.terms import Format
from trilb.live.plan import Writer
from trilb.live.process import ProcessState
from trilb.live.proxy import Frontend
from trilb.live.stream import SILENT, Stream
from trilb.logs import format as lines
from trilb.logs.format import Line
from trilb.logs.sinks import Sink
from trilb.rules import capture_cookie

Compile = Callable[[Format, bool], Line]
Group = tuple[Line, "Line | None", tuple[Sink, ...]]
_INFO, _ERR = LEVELS.index("info"), LEVELS.index("err")
_PLAIN: Final = LogStep()


def failed(stream: Stream) -> bool:
    """Is this a stream that `dontlog-normal` keeps and `log-separate-errors` raises? (observed; section 8.3.3)"""
    if stream.redispatched or stream.cause not in "-L" or stream.status >= 500:
        return True
    return stream.retries > 0 and stream.cause == "-"


class FrontendLog:
    """Makes the emitters of one frontend."""

    def __init__(
        self,
        frontend: Frontend,
        targets: Sequence[tuple[LogTarget, Sink]],
        profiles: Mapping[str, LogProfile],
        compile_line: Compile,
        process: ProcessState,
    ) -> None:
        self.frontend = frontend
        self.config: Proxy = frontend.config
        self.targets = targets
        self.profiles = profiles
        self.process = process
        self._compile = compile_line
        self._made: dict[int, Line] = {}
        self.asap = self.config.has("logasap") and self.config.log_steps is None
        self.line = self._own()

    def _format(self, text: Format) -> Line:
        """The closure of a format, one for all who name it."""
        if id(text) not in self._made:
            self._made[id(text)] = self._compile(text, self.asap)
        return self._made[id(text)]

    def _own(self) -> Line:
        config, process = self.config, self.process
        if config.log_format is not None:
            return self._format(config.log_format)
        captures = bool(config.captures_in or config.captures_out or config.capture_cookie)
        if config.log_kind == "httplog":
            return lines.httplog(process, self.asap, captures)
        if config.log_kind == "httpslog":
            return lines.httplog(process, self.asap, captures, lines.secured)
        if config.log_kind == "tcplog":
            return lines.tcplog(process, self.asap)
        return lines.connect_line(process)

    def emitter(self, step: str, origin: str, profile: str = "", own: Line | None = None) -> Writer | None:
        """The closure that logs a stream at a step; None when no target wants it.

        `profile` takes the place of the targets' own profiles (do-log), `own` that of the frontend's line.
        """
        groups: dict[tuple[int, int], Group] = {}
        for target, sink in self.targets:
            name = profile or target.profile
            steps = self.profiles[name].steps if name else {}
            chosen = steps.get(step) or steps.get("any") or _PLAIN
            line = self._line(step, chosen, own)
            if chosen.drop or line is None:
                continue
            structured = chosen.structured if chosen.structured is not None else self.config.log_structured
            data = self._format(structured) if structured is not None and target.format == "rfc5424" else None
            key = (id(line), id(data))
            known = groups.get(key)
            groups[key] = (line, data, (*(known[2] if known is not None else ()), sink))
        return self._emit(tuple(groups.values()), origin.encode()) if groups else None

    def _line(self, step: str, chosen: LogStep, own: Line | None) -> Line | None:
        if chosen.format is not None:
            return self._format(chosen.format)
        if step == "error":
            if self.config.log_error is not None:
                return self._format(self.config.log_error)
            if own is not None:
                return own
            # Without a format of its own a proxy says nothing of what was no request.
            if not self.config.log_kind and self.config.mode is Mode.HTTP:
                return None
        return self.line

    def _emit(self, groups: tuple[Group, ...], origin: bytes) -> Writer:
        frontend, process, clock = self.frontend, self.process, self.process.clock
        separate = self.config.has("log-separate-errors")

        def emit(stream: Stream) -> None:
            level = stream.log_level
            if level < 0:
                if level == SILENT:
                    return
                level = _ERR if separate and failed(stream) else _INFO
            process.log_origin = origin
            wall = clock.wall
            for line, data, sinks in groups:
                text = line(stream)
                more = data(stream) if data is not None else b""
                for sink in sinks:
                    sink.write(text, level, wall, more)
            frontend.log_count += 1

        return emit

    def plan(self) -> None:
        """Fill the frontend's plan: what is logged at the end or when it is due, and at other steps."""
        config, plan = self.config, self.frontend.plan
        steps = config.log_steps
        http = config.mode is Mode.HTTP

        def at(step: str, origin: str = "") -> tuple[Writer, ...]:
            made = self.emitter(step, origin or f"txn_{step}")
            return (made,) if made is not None else ()

        plan.log_error = at("error", "sess_error")
        refused = self.emitter("error", "sess_error", own=lines.refused_line(self.process))
        plan.log_refused = (refused,) if refused is not None else ()
        if steps is None:
            plan.log = at("close")
            if self.asap:
                plan.log_early = at("response" if http else "connect")
        else:
            plan.log = at("close") if "close" in steps else ()
            plan.log_accept = at("accept") if "accept" in steps else ()
            plan.log_request = at("request") if "request" in steps else ()
            plan.log_connect = at("connect") if "connect" in steps else ()
            plan.log_response = at("response") if "response" in steps else ()
        plan.logasap = self.asap
        if config.capture_cookie is not None and http:
            name, most = config.capture_cookie
            plan.capture += (capture_cookie.request(name, most),)
            plan.capture_response += (capture_cookie.response(name, most),)
