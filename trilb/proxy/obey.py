"""Doing what rules say: an effect that a rule answered becomes an answer, a wait or an end. HOT in `proceed`.

Rules only say what they want (`live/effects.py`); everything that takes time or speaks to the client for them is here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from trilb.http import replies
from trilb.live.effects import (
    Abort,
    Challenge,
    Compose,
    Deny,
    Drop,
    EarlyHint,
    Effect,
    Fail,
    NeedBody,
    Pause,
    Reply,
    Resolve,
    Return,
    Tarpit,
    WaitBody,
)
from trilb.live.plan import Errors, Step
from trilb.live.stream import Stream, own_limit
from trilb.net.poller import Expired
from trilb.proxy import account, tracks
from trilb.proxy.clientside import ClientSide
from trilb.proxy.hold import paused, resolved

WaitForBody = Callable[[Stream, float, int], Awaitable[Effect | None]]
"""Waits so many seconds for a body, or so many bytes of it; what ends the message when it does not come."""


async def proceed(
    side: ClientSide, stream: Stream, step: Step, effect: Effect | None, wait: WaitForBody
) -> Effect | None:
    """Do what rules want to take time for, and let them go on; what is left ends the message."""
    while effect is not None:
        if isinstance(effect, EarlyHint):
            fields = list(effect.fields)
            while isinstance(effect := step(stream), EarlyHint):
                fields += effect.fields
            await side.hint(stream, fields)
            continue
        if isinstance(effect, Pause):
            await paused(side.waiter, side.clock, effect.seconds)
        elif isinstance(effect, Resolve):
            await resolved(side.waiter, effect)
        elif isinstance(effect, WaitBody):
            refused = await wait(stream, effect.seconds, effect.least)
            if refused is not None:
                return refused
        else:
            return effect
        effect = step(stream)
    return None


async def obey(side: ClientSide, stream: Stream, effect: Effect, errors: Errors, during: str = "R") -> bool:
    """Do what ends a stream; True when the client's connection may go on. Raises Gone, Broken.

    `during` is R for a request's rules, H for a response's.
    """
    if isinstance(effect, Deny):
        account.denied(stream, during)
        stream.end("P", during)
        return await side.error(stream, effect.status, errors, effect.answer)
    if isinstance(effect, Return):
        account.intercepted(stream, during)
        stream.end("L", during)
        return await side.error(stream, effect.status, errors, effect.answer)
    if isinstance(effect, Challenge):
        return await _challenge(side, stream, effect, errors)
    if isinstance(effect, Fail):
        account.at_a_loss(stream)
        stream.end("I", during)
        return await side.error(stream, 500, errors)
    if isinstance(effect, Abort):
        account.erred(stream)
        if effect.cause == "c":
            stream.received = 0.0
        stream.end(effect.cause, during)
        await side.error(stream, effect.status, errors)
        return False
    if isinstance(effect, NeedBody):
        ended, body = await side.whole_body(stream, effect.most)
        if ended is not None:
            return await obey(side, stream, ended, errors, during)
        account.intercepted(stream, during)
        stream.bytes_in += len(stream.body or b"")
        made = effect.then(body)
        stream.end("L", during)
        return await side.reply(stream, replies.head(made.status, list(made.fields)), made.body)
    if isinstance(effect, Compose):
        pieces: list[str] = []
        for piece in effect.pieces:
            pieces.append(piece)
            await side.waiter.breathe()
        return await obey(side, stream, effect.then("".join(pieces).encode("utf-8", "replace")), errors, during)
    if isinstance(effect, Tarpit):
        return await _tarpit(side, stream, effect, errors)
    if isinstance(effect, Drop):
        if during == "R":
            stream.received = 0.0
        stream.end("P", during)
        account.denied(stream, during, ended=True)
        if effect.silent:
            side.client.vanish(effect.ttl)
        return False
    assert isinstance(effect, Reply)
    return await _answer(side, stream, effect, during)


async def _answer(side: ClientSide, stream: Stream, effect: Reply, during: str) -> bool:
    """Answer what the rule has made, or redirect."""
    if effect.denied:
        account.denied(stream, during)
    elif not effect.counted:
        account.intercepted(stream, during)
    stream.end("P" if effect.denied else "L", during)
    head = replies.head(effect.status, list(effect.fields))
    head.reason = effect.reason or head.reason
    request = stream.request
    assert request is not None
    if during == "R" and 301 <= effect.status <= 308 and (request.chunked or request.length > 0):
        head.fields.append((b"connection", b"close"))
    return await side.reply(stream, head, effect.body)


async def _tarpit(side: ClientSide, stream: Stream, effect: Tarpit, errors: Errors) -> bool:
    """Hold the client, then answer; the time shows as queue time."""
    clock, waiter, watch = side.clock, side.waiter, side.client.watch
    backend = stream.backend
    own = backend.config.timeouts.tarpit if backend is not None else None
    pause = own_limit(stream, "tarpit", own or side.plan.tarpit)
    pause = pause or (backend.plan.connect_timeout if backend is not None else None) or 0.0
    until = clock.now + pause
    account.denied(stream, "R")
    waiter.until(until)
    try:
        while clock.now < until:
            await waiter.park(watch)
            if watch.hangup:
                break
    except Expired:
        pass
    stream.dispatched, stream.received = clock.now, 0.0
    stream.end("P", "T")
    return await side.error(stream, effect.status, errors, effect.answer)


async def _challenge(side: ClientSide, stream: Stream, effect: Challenge, errors: Errors) -> bool:
    """Ask for a user: the error page, with the challenge in place of any that it has."""
    request = stream.request
    assert request is not None
    proxied = side.plan.proxy_header and not request.composed and request.target[:1] not in (b"/", b"*")
    status, name = (407, b"proxy-authenticate") if proxied else (401, b"www-authenticate")
    realm = effect.realm
    if realm is None:
        realm = (stream.backend or stream.frontend).name.encode("latin-1")
    account.intercepted(stream, "R")
    stream.end("L", "R")
    tracks.erred(stream, side.clock.now)
    made = errors[status](stream) if status in errors else replies.error(status)
    if made is None:
        stream.status = status
        return False
    made[0].set(name, b'Basic realm="%b"' % realm)
    return await side.reply(stream, *made, status)
