"""From what a configuration says of a check to its script. Runs at load."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from trilb.config.probes import (
    AskStep,
    CheckStep,
    CommentStep,
    ConnectStep,
    ExpectStep,
    HeaderMatch,
    Probe,
    SendStep,
    VariableStep,
)
from trilb.config.terms import Expr, Format, Literal
from trilb.health import protocols, request
from trilb.health.answer import Exchange
from trilb.health.implied import OPENED, asked, led
from trilb.health.script import (
    BAD_DIGITS,
    Ask,
    Connect,
    Do,
    Expect,
    Integer,
    Judge,
    Machine,
    Script,
    Send,
    Step,
    Text,
    unhex,
)
from trilb.http.policy import Limits
from trilb.live.server import STOPPED, Server
from trilb.live.stream import CheckStream
from trilb.rules.registry import Builder
from trilb.samples import build
from trilb.samples.regex import Regex
from trilb.samples.types import Fetch
from trilb.samples.variables import Variable, may_set

Opened = Callable[[ConnectStep], object]
"""Makes what a connection begins with."""


def compile_probe(probe: Probe, server: Server, builder: Builder, limits: Limits, opened: Opened) -> Script:
    """The script of a server's check. Raises Refused."""
    made = _Compiler(server, builder, limits, opened)
    if probe.kind == "httpchk":
        return made.http(probe)
    if probe.kind == "tcp-check":
        return made.tcp(probe.tcp, named=True)
    if probe.kind:
        script = protocols.script(probe.kind, probe.words, limits.raw)
        made.open_all(script)
        return script
    return made.tcp(())


def _constant(text: bytes | str | Format) -> bool:
    """Is it the same each time?"""
    return isinstance(text, (bytes, str)) or all(isinstance(item, Literal) for item in text)


class _Compiler:
    def __init__(self, server: Server, builder: Builder, limits: Limits, opened: Opened) -> None:
        self.server = server
        self.builder = builder
        self.limits = limits
        self.opened = opened
        self.disable_on_404 = False
        self.send_state = False

    def tcp(self, steps: tuple[CheckStep, ...], *, named: bool = False) -> Script:
        """The script of `option tcp-check`, or (not `named`) of no option at all."""
        every = steps if led(steps) else (OPENED, *steps)
        return Script(self.steps(every), named=named, said="(tcp-check)" if named else "", most=self.limits.raw)

    def http(self, probe: Probe) -> Script:
        """The script of `option httpchk`."""
        self.disable_on_404, self.send_state = probe.disable_on_404, probe.send_state
        return Script(self.steps(asked(probe), http=True), most=self.limits.raw)

    def open_all(self, script: Script) -> None:
        """Say how the connections of a ready script begin: by the server line."""
        for step in script.steps:
            if isinstance(step, Connect):
                self.begin(step, OPENED)

    def begin(self, made: Connect, step: ConnectStep) -> None:
        """Say how a connection begins."""
        made.options = self.opened(step)
        made.secured = bool(getattr(made.options, "outgoing", None))

    def steps(self, steps: tuple[CheckStep, ...], *, http: bool = False) -> tuple[Step, ...]:
        """All of them, numbered as HAProxy counts: comments too, what nobody wrote not."""
        made: list[Step] = []
        number, remark = 0, ""
        for step in steps:
            number += not (isinstance(step, ConnectStep) and step.implicit)
            if isinstance(step, CommentStep):
                remark = step.text
                continue
            if isinstance(step, VariableStep):
                made.append(Do(number, self.variable(step)))
            else:
                made.append(self.one(step, number, step.comment or remark, http=http))
            remark = ""
        return tuple(made)

    def one(self, step: CheckStep, number: int, comment: str, *, http: bool) -> Step:
        """One step that does something."""
        if isinstance(step, ConnectStep):
            port: int | Integer = step.port if isinstance(step.port, int) else self.integer(step.port)
            opened = Connect(0 if step.implicit else number, comment, port)
            opened.address, opened.linger = step.address, step.linger
            self.begin(opened, step)
            return opened
        if isinstance(step, SendStep):
            return Send(number, comment, self.text(step.data), hexadecimal=step.hexadecimal)
        if isinstance(step, AskStep):
            return Ask(number, comment, self.ask(step))
        assert isinstance(step, ExpectStep)
        return self.expect(step, number, comment, http=http)

    def text(self, text: bytes | str | Format) -> Text:
        """What writes a text."""
        if isinstance(text, (bytes, str)):
            fixed = text if isinstance(text, bytes) else text.encode("latin-1")
            return lambda stream: fixed
        if _constant(text):
            whole = "".join(cast(Literal, item).text for item in text).encode("latin-1")
            return lambda stream: whole
        return self.builder.writer(text, "plain")

    def integer(self, expr: Expr) -> Integer:
        """What computes a number."""
        return cast(Integer, build.expression(expr, self.builder, "sint"))

    def variable(self, step: VariableStep) -> Callable[[CheckStream], None]:
        """What sets or forgets a variable."""
        variable = Variable(step.name)
        if step.value is None:
            return variable.unset
        value: Fetch
        value = (
            build.expression(step.value, self.builder, "any")
            if isinstance(step.value, Expr)
            else self.builder.writer(step.value, "plain")
        )
        allowed = may_set(list(step.conditions))

        def act(stream: CheckStream) -> None:
            found = value(stream)
            if found is not None and (allowed is None or allowed(variable, stream, found)):
                variable.set(stream, found)

        return act

    def ask(self, step: AskStep) -> Callable[[CheckStream, bool], Exchange]:
        """What makes an HTTP request."""
        headers = tuple((name.encode("latin-1"), self.text(value)) for name, value in step.headers)
        texts = (step.uri or "/", step.body, *(value for _, value in step.headers))
        if self.send_state:
            headers = (*headers, (b"x-haproxy-server-state", request.state))
        return request.maker(
            self.limits,
            (step.method or "OPTIONS").encode("latin-1"),
            self.text(step.uri or "/"),
            (step.version or "HTTP/1.0").encode("latin-1"),
            headers,
            self.text(step.body) if step.body is not None else None,
            fixed=not self.send_state and all(text is None or _constant(text) for text in texts),
        )

    # -- what is expected ----------------------------------------------------------------------------------------

    def expect(self, step: ExpectStep, number: int, comment: str, *, http: bool) -> Expect:
        """What judges an answer."""
        made = Expect(number, _never)
        (self.http_expect if http else self.tcp_expect)(made, step)
        made.comment, made.own_comment = comment, step.comment
        made.negated, made.min_recv = step.negated, step.min_recv
        made.ok_status = step.ok_status or made.ok_status
        made.error_status = step.error_status or made.error_status
        made.timeout_status = step.timeout_status or made.timeout_status
        made.on_success = self.text(step.on_success) if step.on_success is not None else None
        made.on_error = self.text(step.on_error) if step.on_error is not None else None
        made.code = self.integer(step.code) if step.code is not None else None
        return made

    def tcp_expect(self, made: Expect, step: ExpectStep) -> None:
        """A match in the bytes of a connection."""
        kind, number = step.kind, made.number
        what = {
            "rstring": "(regex)",
            "binary": "(binary)",
            "rbinary": "(binary regex)",
            "string-lf": "(log-format string)",
            "binary-lf": "(log-format binary)",
        }.get(kind, "")
        if kind in ("string", "binary"):
            assert isinstance(step.pattern, bytes)
            pattern = step.pattern
            shown = pattern.decode("latin-1")
            what = what or f"'{shown}'"
            made.length = len(pattern)
            made.described = f" (expect {kind} '{shown}')"
        else:
            made.described = f" (expect {what.strip('()')})"
        made.judge = self.content(step, lambda machine: machine.data)
        missed = f"TCPCHK did not match content {what} at step {number}"
        unwanted = f"TCPCHK matched unwanted content {what} at step {number}"
        made.explain = lambda machine, found: (unwanted if found else missed, 0)

    def content(self, step: ExpectStep, read: Callable[[Machine], bytes]) -> Judge:
        """Whether what is looked for stands in what `read` gives."""
        kind, pattern = step.kind, step.pattern
        if kind in ("string", "binary"):
            assert isinstance(pattern, bytes)
            return lambda machine: pattern in read(machine)
        if kind in ("rstring", "rbinary"):
            assert isinstance(pattern, str)
            regex = Regex(pattern)
            if kind == "rbinary":
                return lambda machine: regex.search(read(machine).hex().upper().encode())
            return lambda machine: regex.search(read(machine))
        text = self.text(cast(Format, pattern))
        if kind == "string-lf":
            return lambda machine: text(machine.stream) in read(machine)

        def binary(machine: Machine) -> bool | None:
            wanted = unhex(text(machine.stream))
            if wanted is None:
                machine.finish("L7RSP", BAD_DIGITS)
                return None
            return wanted in read(machine)

        return binary

    def http_expect(self, made: Expect, step: ExpectStep) -> None:
        """A match in an HTTP response. A 404 may mean that the server wants no more clients."""
        if step.kind in ("status", "rstatus", "hdr", "fhdr"):
            made.error_status, made.patient = "L7STS", False
            made.explain = _said
            inner = self.head(step)
        else:
            look = self.content(step, lambda machine: machine.exchange.body if machine.exchange is not None else b"")

            def inner(machine: Machine) -> bool | None:
                exchange = machine.exchange
                if exchange is not None and not exchange.body:
                    if not machine.ended:
                        return None
                    made.fail(machine, "HTTP content check could not find a response body")
                    return None
                return look(machine)

            made.explain = lambda machine, found: (
                "HTTP check matched unwanted content" if found else "HTTP content check did not match",
                0,
            )
        server, stops = self.server, self.disable_on_404

        def judge(machine: Machine) -> bool | None:
            response = machine.stream.response
            if response is None:
                return None
            if stops and response.status == 404 and server.operation != STOPPED:
                machine.finish("L7OKC", "", 404)
                return None
            return inner(machine)

        made.judge = judge

    def head(self, step: ExpectStep) -> Judge:
        """A match in the status line or the header fields."""
        pattern = step.pattern
        if step.kind == "status":
            ranges = cast("tuple[tuple[int, int], ...]", pattern)
            return lambda machine: any(low <= _status(machine) <= high for low, high in ranges)
        if step.kind == "rstatus":
            regex = Regex(cast(str, pattern))
            return lambda machine: regex.search(b"%d" % _status(machine))
        assert isinstance(pattern, HeaderMatch)
        named = self.comparison(pattern.name, pattern.name_how, lower=True)
        valued = self.comparison(pattern.value, pattern.value_how) if pattern.value is not None else None
        full = pattern.full

        def fields(machine: Machine) -> bool:
            stream = machine.stream
            for name, value in stream.response.fields if stream.response is not None else ():
                if named(stream, name):
                    if valued is None:
                        return True
                    parts = [value] if full else [part.strip(b" \t") for part in value.split(b",")]
                    if any(valued(stream, part) for part in parts):
                        return True
            return False

        return fields

    def comparison(self, text: str | Format, how: str, *, lower: bool = False) -> Callable[[CheckStream, bytes], bool]:
        """How a name or a value is compared; names regardless of case."""
        if how == "reg":
            regex = Regex(cast(str, text), ignore_case=lower)
            return lambda stream, value: regex.search(value)
        write = self.text(text)
        test = _HOWS[how]
        if lower:
            return lambda stream, value: test(value, write(stream).lower())
        return lambda stream, value: test(value, write(stream))


_HOWS: dict[str, Callable[[bytes, bytes], bool]] = {
    "str": lambda value, wanted: value == wanted,
    "beg": lambda value, wanted: value.startswith(wanted),
    "end": lambda value, wanted: value.endswith(wanted),
    "sub": lambda value, wanted: wanted in value,
}


def _never(machine: Machine) -> bool | None:
    return None


def _status(machine: Machine) -> int:
    response = machine.stream.response
    return response.status if response is not None else 0


def _said(machine: Machine, found: bool) -> tuple[str, int]:
    """The reason of the response, and its status."""
    response = machine.stream.response
    return (response.reason.decode("latin-1"), response.status) if response is not None else ("", 0)
