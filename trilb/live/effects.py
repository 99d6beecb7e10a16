"""What a rule asks the shell to do. A closed union: adding one is adding I/O, in the session loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from trilb.http.head import Field, Head

if TYPE_CHECKING:
    from trilb.live.stream import Stream

Answer = Callable[["Stream"], tuple[Head, bytes] | None]
"""Makes a whole answer for a stream; None closes the connection without a word."""


class Deny:
    """Answer with `answer`, or with the error page of a status, and stop; counted as a denied request or response."""

    __slots__ = ("answer", "status")

    def __init__(self, status: int, answer: Answer | None = None) -> None:
        self.status = status
        self.answer = answer


class Return:
    """The same as an ordinary answer."""

    __slots__ = ("answer", "status")

    def __init__(self, status: int, answer: Answer | None = None) -> None:
        self.status = status
        self.answer = answer


class Challenge:
    """Ask for a user and a password: 401, or 407 from a proxied request, with the error page of that status.

    Without a realm of its own it names the proxy.
    """

    __slots__ = ("realm",)

    def __init__(self, realm: bytes | None) -> None:
        self.realm = realm


class Reply:
    """Answer with these fields and body; `denied` counts it, and shows it in the log, as a refusal.

    `counted` says that it has been counted as a frontend's own answer already: a service counts before it reports.
    """

    __slots__ = ("body", "counted", "denied", "fields", "reason", "status")

    def __init__(
        self,
        status: int,
        fields: list[Field],
        body: bytes = b"",
        *,
        denied: bool = False,
        reason: bytes = b"",
        counted: bool = False,
    ) -> None:
        self.counted = counted
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body = body
        self.denied = denied


class Tarpit:
    """Hold the connection for `timeout tarpit`, then answer as Deny does."""

    __slots__ = ("answer", "status")

    def __init__(self, status: int, answer: Answer | None = None) -> None:
        self.status = status
        self.answer = answer


class Drop:
    """End the connection without a word; `silent` also keeps the client from learning that it ended.

    A `ttl` is how many hops the reset may travel that tells the equipment on the way; 0 is no reset at all, if the
    system lets us.
    """

    __slots__ = ("silent", "ttl")

    def __init__(self, silent: bool, ttl: int = 0) -> None:
        self.silent = silent
        self.ttl = ttl


class NeedBody:
    """Read the request's body and answer what `then` makes of it; None to it is one of more than `most` bytes."""

    __slots__ = ("most", "then")

    def __init__(self, most: int, then: Callable[[bytes | None], Reply]) -> None:
        self.most = most
        self.then = then


class Compose:
    """Answer what `then` makes of a text that comes in pieces; between any two of them others are served."""

    __slots__ = ("pieces", "then")

    def __init__(self, pieces: Iterator[str], then: Callable[[bytes], Reply]) -> None:
        self.pieces = pieces
        self.then = then


class Allow:
    """Stop evaluating this rule set."""

    __slots__ = ()


class More:
    """A content rule cannot be decided yet: wait for more bytes, or for the inspect-delay to pass."""

    __slots__ = ()


class Fail:
    """A rewriting rule could not be done, and strict mode is on: answer 500."""

    __slots__ = ()


class Abort:
    """The message did not arrive whole: answer and end the connection, blaming `cause` (its letter in the log)."""

    __slots__ = ("cause", "status")

    def __init__(self, status: int, cause: str) -> None:
        self.status = status
        self.cause = cause


class WaitBody:
    """Wait up to `seconds` for the body, `least` bytes of it if not 0; then go on with the next rule."""

    __slots__ = ("least", "seconds")

    def __init__(self, seconds: float, least: int) -> None:
        self.seconds = seconds
        self.least = least


class Pause:
    """Hold the stream for `seconds`, then go on with the next rule."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class EarlyHint:
    """Send a 103 with these fields, then go on with the next rule."""

    __slots__ = ("fields",)

    def __init__(self, fields: list[Field]) -> None:
        self.fields = fields


class Resolve:
    """Wait until a name is looked up, which has begun; then go on with the next rule.

    Who waits puts in `wake`, which is called once `finished` is True, and calls `give_up` when done with waiting.
    """

    __slots__ = ("finished", "give_up", "wake")

    def __init__(self) -> None:
        self.finished = False
        self.wake: Callable[[], None] = lambda: None
        self.give_up: Callable[[], None] = lambda: None


class Upgrade:
    """Go on with the connection as HTTP (`switch-mode http`), of the version `proto` if it is not to be found out."""

    __slots__ = ("proto",)

    def __init__(self, proto: str = "") -> None:
        self.proto = proto


class ExpectProxy:
    """Read a PROXY header before anything else (`expect-proxy layer4`)."""

    __slots__ = ()


ALLOW = Allow()
MORE = More()

Resuming = WaitBody | Pause | EarlyHint | Resolve
"""Effects after which the rule set goes on with its next rule."""

Refusing = Deny | Return | Challenge | Reply | Tarpit | Drop | Fail | Abort
"""Effects that end the stream."""

Effect = Refusing | NeedBody | Compose | Allow | More | Upgrade | ExpectProxy | Resuming
