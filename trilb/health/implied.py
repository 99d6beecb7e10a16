"""The steps of an HTTP check that nobody wrote down: its connection, its request, what is expected (pure)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast

from trilb.config.probes import (
    AskStep,
    CheckStep,
    CommentStep,
    ConnectStep,
    ExpectStep,
    Probe,
    VariableStep,
)
from trilb.config.terms import Literal

OPENED = ConnectStep(default=True, implicit=True)
_KNOWN_STATUSES = ((200, 399),)
_HOST = re.compile(r"(?:[^\]:]*|\[[^\]]*\])(?=:\d*\Z|\Z)")


def led(steps: tuple[CheckStep, ...]) -> bool:
    """Does the first step that does something open a connection?"""
    first = next((step for step in steps if not isinstance(step, (VariableStep, CommentStep))), None)
    return isinstance(first, ConnectStep)


def asked(probe: Probe) -> tuple[CheckStep, ...]:
    """All steps of an HTTP check: the request of the option, what is expected when nobody says, the connection.

    What the first `send` does not say, the option says; it comes before the first `expect` wherever it stands.
    """
    steps = list(probe.http)
    sends = [at for at, step in enumerate(steps) if isinstance(step, AskStep)]
    expects = [at for at, step in enumerate(steps) if isinstance(step, ExpectStep)]
    option = probe.ask
    if sends and (not expects or sends[0] < expects[0]):
        steps[sends[0]] = _filled(cast(AskStep, steps[sends[0]]), option)
    elif option is not None or not sends:
        ask = option or AskStep()
        if sends:
            ask = _filled(cast(AskStep, steps.pop(sends[0])), option)
        opens = [at for at, step in enumerate(steps) if isinstance(step, ConnectStep)]
        steps.insert(opens[0] + 1 if opens and led(tuple(steps)) else 0, ask)
    last = max((at for at, step in enumerate(steps) if isinstance(step, AskStep)), default=-1)
    if not any(isinstance(step, ExpectStep) for step in steps[last + 1 :]):
        steps.append(ExpectStep("status", _KNOWN_STATUSES))
    return (*(() if led(tuple(steps)) else (OPENED,)), *steps)


def _filled(step: AskStep, option: AskStep | None) -> AskStep:
    if option is None:
        return step
    return replace(
        step,
        method=step.method if step.method is not None else option.method,
        uri=step.uri if step.uri is not None else option.uri,
        version=step.version if step.version is not None else option.version,
        headers=(*option.headers, *step.headers),
        body=step.body if step.body is not None else option.body,
    )


def host_of(probe: Probe) -> str:
    """The host that an HTTP check asks for, where a text says it: the name for TLS (`check-sni-auto`)."""
    if probe.kind != "httpchk" or any(isinstance(step, ConnectStep) for step in probe.http):
        return ""
    ask = next((step for step in asked(probe) if isinstance(step, AskStep)), None)
    for name, value in ask.headers if ask is not None else ():
        if name == "host" and len(value) == 1 and isinstance(value[0], Literal):
            found = _HOST.match(value[0].text)
            return found[0] if found is not None else ""
    return ""
