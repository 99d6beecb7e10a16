"""`option http-restrict-req-hdr-names`: what becomes of requests with unusual header names (section 4.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from trilb.live.effects import Deny
from trilb.live.plan import Step
from trilb.live.stream import Stream

_PLAIN = re.compile(rb"[a-zA-Z0-9-]+\Z").match
_FORBIDDEN = Deny(403)


def _delete(stream: Stream) -> None:
    head = stream.request
    assert head is not None
    head.fields = [field for field in head.fields if _PLAIN(field[0])]


def _reject(stream: Stream) -> Deny | None:
    head = stream.request
    assert head is not None
    return None if all(_PLAIN(name) for name, _ in head.fields) else _FORBIDDEN


POLICIES: Mapping[str, Step] = {"delete": _delete, "reject": _reject}
"""Steps to be taken after the http-request rules of the proxy that says so."""
