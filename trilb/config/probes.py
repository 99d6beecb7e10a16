"""What a configuration says of a health check: its kind, and the steps it takes. Frozen as the model; not built yet.

Sources: configuration.txt, `http-check`, `tcp-check`, `option ...-check`, section 12.9.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from trilb.base.diagnostic import NOWHERE, Place

if TYPE_CHECKING:
    from trilb.config.terms import Expr, Format


@dataclass(frozen=True, slots=True)
class ConnectStep:
    """`connect`: what it says overrides the server line, all of which is used only with `default`."""

    default: bool = False
    port: int | Expr = 0
    address: str = ""
    send_proxy: bool = False
    ssl: bool = False
    sni: str = ""
    alpn: tuple[bytes, ...] = ()
    proto: str = ""
    linger: bool = False
    comment: str = ""
    implicit: bool = False
    """Nobody wrote it: the connection of the server line."""


@dataclass(frozen=True, slots=True)
class SendStep:
    """`send`, `send-lf`; with `hexadecimal` the format writes digits (`send-binary-lf`)."""

    data: bytes | Format = b""
    hexadecimal: bool = False
    comment: str = ""


@dataclass(frozen=True, slots=True)
class AskStep:
    """`http-check send`; what is None was not said."""

    method: str | None = None
    uri: str | Format | None = None
    version: str | None = None
    headers: tuple[tuple[str, Format], ...] = ()
    body: bytes | Format | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """`hdr` and `fhdr`: how a name, and perhaps its value, is compared (str, beg, end, sub, reg)."""

    name: str | Format
    name_how: str = "str"
    value: str | Format | None = None
    value_how: str = "str"
    full: bool = False
    """The whole value, not the parts between commas."""


@dataclass(frozen=True, slots=True)
class ExpectStep:
    """`expect`. Statuses are HAProxy's codes, "" for the default."""

    kind: str
    pattern: bytes | str | Format | tuple[tuple[int, int], ...] | HeaderMatch
    negated: bool = False
    min_recv: int = -1
    comment: str = ""
    ok_status: str = ""
    error_status: str = ""
    timeout_status: str = ""
    on_success: Format | None = None
    on_error: Format | None = None
    code: Expr | None = None


@dataclass(frozen=True, slots=True)
class VariableStep:
    """`set-var`, `set-var-fmt`; without a value `unset-var`."""

    name: str
    conditions: tuple[str, ...] = ()
    value: Expr | Format | None = None


@dataclass(frozen=True, slots=True)
class CommentStep:
    """`comment`: what is said of the next step, should it fail."""

    text: str


CheckStep = ConnectStep | SendStep | AskStep | ExpectStep | VariableStep | CommentStep


@dataclass(frozen=True, slots=True)
class Probe:
    """A check as a proxy or a healthcheck section has it. `kind` is the option's name, "" for a mere connection."""

    kind: str = ""
    words: tuple[str, ...] = ()
    """The arguments of the option, checked."""
    ask: AskStep | None = None
    """The request of `option httpchk`."""
    tcp: tuple[CheckStep, ...] = ()
    http: tuple[CheckStep, ...] = ()
    """Steps of `tcp-check` and `http-check`."""
    disable_on_404: bool = False
    send_state: bool = False
    own: frozenset[str] = frozenset()
    """Of "tcp" and "http": whose steps are no longer those inherited from a defaults section."""

    def inherited(self) -> Probe:
        """As a section begins that inherits it: steps of its own will replace these."""
        return replace(self, own=frozenset())

    def with_step(self, family: str, step: CheckStep) -> Probe:
        """With another step, "tcp" or "http"."""
        steps = (*(self.tcp if family == "tcp" else self.http), step) if family in self.own else (step,)
        changed = replace(self, own=self.own | {family})
        if family == "tcp":
            return replace(changed, tcp=steps)
        return replace(changed, http=steps, ask=self.ask if family in self.own else None)

    def with_option(self, kind: str, words: tuple[str, ...], ask: AskStep | None = None) -> Probe:
        """With `option KIND`: it takes the place of another kind, and of inherited steps of its own.

        What the option says of a request goes before what a `send` above it said.
        """
        family = {"httpchk": "http", "tcp-check": "tcp"}.get(kind, "")
        changed = replace(self, kind=kind, words=words, ask=ask, own=self.own | ({family} if family else set()))
        if family != "http":
            return changed
        if "http" not in self.own:
            return replace(changed, http=())
        first = next((at for at, step in enumerate(self.http) if isinstance(step, AskStep)), -1)
        if first < 0 or ask is None:
            return changed
        said = self.http[first]
        assert isinstance(said, AskStep)
        again = replace(
            said,
            method=ask.method if ask.method is not None else said.method,
            uri=ask.uri if ask.uri is not None else said.uri,
            version=ask.version if ask.version is not None else said.version,
        )
        return replace(changed, http=(*self.http[:first], again, *self.http[first + 1 :]))


@dataclass(slots=True)
class HealthCheck:
    """A `healthcheck` section."""

    name: str
    place: Place = field(default=NOWHERE, compare=False)
    probe: Probe = field(default_factory=Probe)
