"""Keep what broke the protocol, for `show errors`: the last request of a frontend, the last response of a backend."""

from __future__ import annotations

from trilb.http.fault import position
from trilb.live.invalid import Invalid
from trilb.live.session import Session
from trilb.live.stream import Stream

_LONGEST = 16384
"""Bytes kept of a message: what a buffer of HAProxy holds."""


def keep_request(session: Session, raw: bytes, reason: str) -> None:
    """Keep what a client sent."""
    raw = raw[:_LONGEST]
    session.frontend.invalid = Invalid(session, raw, position(raw, request=True), reason)


def keep_response(stream: Stream, raw: bytes, reason: str) -> None:
    """Keep what a server sent."""
    raw = raw[:_LONGEST]
    kept = Invalid(stream.session, raw, position(raw, request=False), reason)
    kept.backend, kept.server = stream.backend, stream.server
    if stream.backend is not None:
        stream.backend.invalid = kept
