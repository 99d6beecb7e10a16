"""Before a session: tcp-request connection rules, the PROXY header, TLS, tcp-request session rules. HOT."""

from __future__ import annotations

from trilb.live.effects import Drop, ExpectProxy
from trilb.live.session import Session
from trilb.live.stream import Stream
from trilb.net import errors, proxyline
from trilb.net.conn import Broken, Conn
from trilb.net.poller import Expired, Waiter
from trilb.proxy import secure
from trilb.proxy.plane import Plane
from trilb.tls.conn import TlsConn
from trilb.tls.store import Binding


async def admit(plane: Plane, session: Session, client: Conn, binding: Binding | None, *, accept_proxy: bool) -> bool:
    """Whether the connection may become a session. A refused one is closed without a word, and counted."""
    frontend = session.frontend
    plan = frontend.plan
    if plan.on_connect is not None:
        effect = plan.on_connect(Stream(session, frontend))
        if isinstance(effect, Drop):
            frontend.counters.dcon += 1
            if session.listener is not None:
                session.listener.dcon += 1
            _turn_away(client, effect, reset=True)
            return False
        accept_proxy = accept_proxy or isinstance(effect, ExpectProxy)
    if accept_proxy and not await _proxied(plane, session, client):
        return False
    if binding is not None and not await _secured(plane, session, client, binding):
        return False
    if plan.on_session is not None:
        effect = plan.on_session(Stream(session, frontend))
        if isinstance(effect, Drop):
            frontend.counters.dses += 1
            if session.listener is not None:
                session.listener.dses += 1
            _turn_away(client, effect, reset=False)
            return False
    if session.tracked is not None:
        for each in session.tracks(None):
            each.count(each.table.on_session, plane.clock.now)
    return True


def _turn_away(client: Conn, effect: Drop, *, reset: bool) -> None:
    if effect.silent:
        client.vanish(effect.ttl)
    else:
        client.close(reset=reset)


async def _proxied(plane: Plane, session: Session, client: Conn) -> bool:
    """Read the PROXY header and take its addresses for the session's."""
    waiter = Waiter(plane.wheel, client.tasklet)
    waiter.arm(session.frontend.plan.client_timeout)
    data = b""
    try:
        while (found := proxyline.parse(data) if data else None) is None:
            more = client.receive(4096)
            if more is None:
                await waiter.park(client.watch)
            elif not more:
                return _refused(session, errors.PROXY_TRUNCATED if data else errors.PROXY_EMPTY, dull=not data)
            else:
                data += more
    except Broken:
        return _refused(session, errors.PROXY_TRUNCATED if data else errors.PROXY_EMPTY, dull=not data)
    except Expired:
        return _refused(session, errors.PROXY_TRUNCATED if data else errors.PROXY_TIMEOUT, dull=not data)
    except proxyline.Invalid:
        return _refused(session, errors.PROXY_BAD)
    except proxyline.Malformed:
        return _refused(session, errors.PROXY_UNHANDLED if data.startswith(b"PROXY") else errors.PROXY_STRANGE)
    finally:
        waiter.finish()
    header, size = found
    client.inbox = data[size:]
    session.proxied = True
    session.proxy_tlvs = header.tlvs
    if header.client is not None:
        session.client, session.client_port = header.client, header.client_port
        session.local, session.local_port = header.local, header.local_port
    return proxyline.sound(data[:size], header) or _refused(session, errors.PROXY_BAD)


async def _secured(plane: Plane, session: Session, client: Conn, binding: Binding) -> bool:
    """Let the client secure its connection."""
    assert isinstance(client, TlsConn)
    plan = session.frontend.plan
    waiter = Waiter(plane.wheel, client.tasklet)
    waiter.arm(plan.handshake_timeout)
    try:
        if await secure.accept(plane, session, client, binding, waiter):
            return True
        why = client.error or errors.TLS_HANDSHAKE
    except Expired:
        why = errors.TLS_TIMEOUT
    finally:
        waiter.finish()
    return _refused(session, why, dull=why == errors.TLS_EMPTY)


def _refused(session: Session, why: int, *, dull: bool = False) -> bool:
    """Log a connection that ends here; one without a byte is `dull`, and dontlognull leaves it out."""
    plan = session.frontend.plan
    if session.side is not None:
        session.side.error = why
    if plan.log_refused and not (dull and plan.dontlognull):
        stream = Stream(session, session.frontend)
        stream.status, stream.refusal = 0, errors.TEXTS[why]
        stream.end("P", "R")
        for log in plan.log_refused:
            log(stream)
    return False
