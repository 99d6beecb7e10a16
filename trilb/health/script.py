"""A check as a sequence of steps, and the machine that takes them, sans-IO. HOT.

The machine says what is wanted next: a connection (a Connect step), bytes to send, or more bytes to read (None); it is
told what became of it. When `status` is set it is over. Any bytes give a status, never an exception: what a server
says is judged, not trusted. Texts are HAProxy's (observed on 2.6), steps are numbered as it numbers them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from trilb.health.answer import Exchange
from trilb.live.stream import CheckStream

Text = Callable[[CheckStream], bytes]
Integer = Callable[[CheckStream], "int | None"]


class Connect:
    """Open a connection; what else stands in it is for who opens it. `number` 0: nobody wrote it down."""

    def __init__(self, number: int = 0, comment: str = "", port: int | Integer = 0) -> None:
        self.number = number
        self.comment = comment
        self.port = port
        self.address = ""
        self.linger = False
        self.secured = False
        self.options: object = None
        """How it begins (play.Opening)."""

    @property
    def described(self) -> str:
        """The step in the text of a failure."""
        return f" (connect port {self.port})" if isinstance(self.port, int) and self.port else " (connect)"

    def run(self, machine: Machine) -> bool:
        """Wait for the connection."""
        machine.wanted = self
        return False


class Send:
    """Send bytes, after forgetting what was received."""

    described = " (send)"

    def __init__(self, number: int, comment: str, make: Text, *, hexadecimal: bool = False) -> None:
        self.number = number
        self.comment = comment
        self._make = make
        self._hexadecimal = hexadecimal

    def run(self, machine: Machine) -> bool:
        """Make the bytes."""
        data = self._make(machine.stream)
        if self._hexadecimal:
            found = unhex(data)
            if found is None:
                machine.finish("L7RSP", f"tcp-check send : failed to build log-format string at step {self.number}")
                return False
            data = found
        machine.forget()
        machine.out += data
        machine.last = self
        return True


class Do:
    """Something that only concerns ourselves: a variable is set."""

    described = ""
    comment = ""

    def __init__(self, number: int, act: Callable[[CheckStream], None]) -> None:
        self.number = number
        self._act = act

    def run(self, machine: Machine) -> bool:
        """Do it."""
        self._act(machine.stream)
        return True


class Judge(Protocol):
    """Looks at what was received.

    Answers True when it fits, False when it does not, None when more may change that; or it ends the check itself by
    `machine.finish`.
    """

    def __call__(self, machine: Machine) -> bool | None: ...


class Expect:
    """Wait for something. What is missing in the statuses is the defaults of what is looked for."""

    def __init__(self, number: int, judge: Judge) -> None:
        self.number = number
        self.comment = ""
        self.own_comment = ""
        """Of the two the first may come from a `comment` in front of it."""
        self.described = ""
        self.judge = judge
        self.negated = False
        self.min_recv = -1
        self.length = 0
        """Bytes there must be before it is worth looking; 0 for any."""
        self.ok_status = "L7OK"
        self.error_status = "L7RSP"
        self.timeout_status = "L7TOUT"
        self.on_success: Text | None = None
        self.on_error: Text | None = None
        self.code: Integer | None = None
        self.patient = True
        """What does not fit yet may fit when more has come."""
        self.explain: Callable[[Machine, bool], tuple[str, int]] = lambda machine, found: ("", 0)
        """Text and code for what fits and should not (True), or the other way round."""

    def run(self, machine: Machine) -> bool:
        """Look, and go on or wait."""
        ended = machine.ended
        have = len(machine.data)
        if not ended and (have < self.length or have < self.min_recv or not have):
            return False
        if not have:
            machine.finish(
                self.error_status, f"TCPCHK got an empty response at step {self.number}{machine.remark(self)}"
            )
            return False
        found = self.judge(machine)
        if machine.status or (not found and not ended and self.patient and self.min_recv == -1):
            return False
        if found is None:
            if ended:
                machine.finish("L7RSP", "")
            return False
        if found == self.negated:
            self.fail(machine, *self.explain(machine, found))
            return False
        machine.last = self
        return True

    def fail(self, machine: Machine, text: str, code: int = 0) -> None:
        """It is not what was expected."""
        if self.on_error is not None:
            text = self.on_error(machine.stream).decode("latin-1")
        if self.own_comment:
            text += f" comment: {self.own_comment}"
        machine.finish(self.error_status, text, self._code(machine, code))

    def pass_(self, machine: Machine, said: str) -> None:
        """It was the last one, and all is well."""
        said = machine.greeting or said
        if self.on_success is not None:
            said = self.on_success(machine.stream).decode("latin-1")
        response = machine.stream.response
        machine.finish(self.ok_status, said, self._code(machine, response.status if response is not None else 0))

    def _code(self, machine: Machine, otherwise: int) -> int:
        found = self.code(machine.stream) if self.code is not None else None
        return otherwise if found is None else found


class Ask:
    """Send an HTTP request, by the protocol of the connection."""

    described = " (send)"

    def __init__(self, number: int, comment: str, make: Callable[[CheckStream, bool], Exchange]) -> None:
        self.number = number
        self.comment = comment
        self._make = make

    def run(self, machine: Machine) -> bool:
        """Make the request."""
        machine.forget()
        machine.exchange = self._make(machine.stream, machine.multiplexed)
        machine.out += machine.exchange.take()
        machine.last = self
        return True


Step = Connect | Send | Ask | Expect | Do


class Script:
    """Steps in their order. `named` says that failures tell at which step; `said` is the text of a success."""

    __slots__ = ("most", "named", "said", "steps")

    def __init__(self, steps: tuple[Step, ...], *, named: bool = False, said: str = "", most: int = 16384) -> None:
        self.steps = steps
        self.named = named
        self.said = said
        self.most = most
        """Bytes kept of what a server says (tune.bufsize)."""


class Machine:
    """One run of a script."""

    __slots__ = (
        "_at",
        "_connected",
        "code",
        "data",
        "ended",
        "exchange",
        "greeting",
        "last",
        "multiplexed",
        "out",
        "script",
        "shaking",
        "status",
        "stream",
        "text",
        "wanted",
    )

    def __init__(self, script: Script, stream: CheckStream) -> None:
        self.script = script
        self.stream = stream
        self.status = ""
        """HAProxy's code of the result, once there is one, then `text` and `code`."""
        self.text = ""
        self.code = 0
        self.data = b""
        self.ended = False
        """Nothing more can come: the server is done, or has said more than is kept."""
        self.out = b""
        self.wanted: Connect | None = None
        """The connection that is being made."""
        self.last: Step | None = None
        """The last step that somebody wrote down and that did something."""
        self.exchange: Exchange | None = None
        self.greeting = ""
        """What a judge found worth telling, should all be well."""
        self.multiplexed = False
        """The connection speaks HTTP/2."""
        self.shaking = False
        """The connection stands, TLS does not yet."""
        self._at = 0
        self._connected = False

    # -- what is wanted ------------------------------------------------------------------------------------------

    def advance(self) -> Connect | bytes | None:
        """Take steps as far as they go: what is to be opened, sent or (None) read; None as well once it is over."""
        steps = self.script.steps
        while not self.status:
            if self.out:
                out, self.out = self.out, b""
                return out
            if self._at == len(steps):
                self._finish()
                break
            if not steps[self._at].run(self):
                return self.wanted
            self._at += 1
        return None

    # -- what became of it ---------------------------------------------------------------------------------------

    def connected(self) -> None:
        """The connection stands, TLS and all."""
        step, self.wanted = self.wanted, None
        assert step is not None
        self.forget()
        self._connected, self.shaking = True, False
        if step.number:
            self.last = step
        self._at += 1

    def received(self, data: bytes) -> None:
        """These bytes came; b"" is the end."""
        exchange = self.exchange
        if not data:
            self.ended = True
        elif exchange is None:
            self.data += data
            if len(self.data) >= self.script.most:
                self.data, self.ended = self.data[: self.script.most], True
        if exchange is not None:
            self._answered(exchange, data)
        self.stream.inspected_server = self.data

    def _answered(self, exchange: Exchange, data: bytes) -> None:
        exchange.receive(data)
        self.out += exchange.take()
        self.data = exchange.data
        self.ended = self.ended or exchange.done or len(exchange.data) >= self.script.most
        stream = self.stream
        stream.response, stream.res_body = exchange.head, exchange.body
        if exchange.failed or (self.ended and exchange.head is None):
            self.finish("L7RSP", "")

    def broken(self, text: str) -> None:
        """The connection could not be made, or ended in an error."""
        if self.wanted is not None:
            self.finish("L6RSP" if self.shaking else "L4CON", text + self._where())
        else:
            self.finish("SOCKERR", text + self._where())

    def expired(self) -> None:
        """It took too long."""
        if self.wanted is not None:
            status = "L6TOUT" if self.shaking else "L4TOUT"
        else:
            step = self._step()
            status = step.timeout_status if isinstance(step, Expect) else "L7TOUT"
        self.finish(status, self._where())

    # -- the end -------------------------------------------------------------------------------------------------

    def finish(self, status: str, text: str, code: int = 0) -> None:
        """Say what was found; the first word counts."""
        if not self.status:
            self.status, self.text, self.code = status, text, code

    def forget(self) -> None:
        """What was received is of no interest any more."""
        self.data, self.ended, self.exchange = b"", False, None
        stream = self.stream
        stream.response = stream.res_body = None
        stream.inspected_server = b""

    def remark(self, step: Step) -> str:
        """A step's comment, in quotes."""
        return f" comment: '{step.comment}'" if step.comment else ""

    def _finish(self) -> None:
        step = self.last
        if isinstance(step, Expect):
            step.pass_(self, self.script.said)
        elif step is None or isinstance(step, Connect):
            opened = step or next((s for s in self.script.steps if isinstance(s, Connect)), None)
            secured = isinstance(opened, Connect) and opened.secured
            self.finish("L6OK" if secured else "L4OK", self.script.said if step is not None else "")
        else:
            self.finish("L7OK", self.script.said)

    def _step(self) -> Step:
        steps = self.script.steps
        return steps[min(self._at, len(steps) - 1)]

    def _where(self) -> str:
        if not self.script.named:
            return ""
        step = self._step()
        if not step.number:
            return " at initial connection step of tcp-check"
        return f" at step {step.number} of tcp-check{step.described}{self.remark(step)}"


BAD_DIGITS = "Failed to parse hexastring resulting of eval of a log-format string"


def unhex(digits: bytes) -> bytes | None:
    """Bytes from pairs of hexadecimal digits, None when they are none."""
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None
