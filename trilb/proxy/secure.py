"""Handshakes: with clients before their session begins, with servers before a request goes out. HOT."""

from __future__ import annotations

from OpenSSL import SSL

from trilb.live.session import Session
from trilb.net import errors, hello
from trilb.net.conn import Broken
from trilb.net.hello import Hello, NotTls
from trilb.net.poller import Expired, Waiter
from trilb.proxy.plane import Plane
from trilb.tls.certificates import names_of
from trilb.tls.conn import TlsConn
from trilb.tls.names import matches
from trilb.tls.store import Binding, Outgoing

_UNRECOGNIZED_NAME = b"\x15\x03\x01\x00\x02\x02\x70"
"""A fatal alert in a record of its own (RFC 8446, section 6)."""
_MOST_HELLO = 32768
"""Bytes a ClientHello may take before OpenSSL is left to refuse it. Arbitrary: real ones stay below 4 KiB."""
VERIFY_FAILED = 0x0A000086
"""OpenSSL's number of `certificate verify failed`, as if it had compared the names itself."""
_MOST_SESSIONS = 1024
"""Names a server's sessions are kept for; a client chooses them. Arbitrary."""


async def accept(plane: Plane, session: Session, client: TlsConn, binding: Binding, waiter: Waiter) -> bool:
    """Take a client's handshake; whether the connection is secured. Raises Expired."""
    process = plane.process
    process.tls_tried += 1
    session.tls = client
    try:
        found = await _hello(client, waiter)
        name = found.sni if found is not None else None
        context = binding.selector.choose(name)
        if context is None:
            client.send(_UNRECOGNIZED_NAME)
            _failed(plane, session)
            client.error = errors.TLS_HANDSHAKE
            return False
        client.sni = name
        client.hello = found if binding.captures else None
        client.begin(context, accepting=True, record=binding.record)
        while not client.handshake():
            await waiter.park(client.watch)
    except Broken:
        _failed(plane, session)
        client.error = client.error or errors.TLS_HANDSHAKE
        return False
    except Expired:
        _failed(plane, session)
        raise
    now = plane.clock.now
    process.tls_rate.add(now)
    if client.resumed:
        process.tls_reused += 1
        for counters in session.tallies():
            counters.ssl_reused += 1
    else:
        process.tls_full += 1
        for counters in session.tallies():
            counters.ssl_sess += 1
        process.tls_key_rate.add(now)
    session.secured = now
    return True


def _failed(plane: Plane, session: Session) -> None:
    plane.process.tls_failed += 1
    for counters in session.tallies():
        counters.ssl_failed += 1


async def _hello(client: TlsConn, waiter: Waiter) -> Hello | None:
    """The client's first message, left in the inbox; None when it is not one (OpenSSL says what it thinks of it)."""
    data = client.inbox
    while True:
        if data:
            try:
                found = hello.parse(data)
            except NotTls:
                found, data = None, data or b"\0"
                client.inbox = data
                return None
            if found is not None or len(data) > _MOST_HELLO:
                client.inbox = data
                return found
        more = client.receive()
        if more is None:
            await waiter.park(client.watch)
        elif not more:
            client.error = errors.TLS_EMPTY
            raise Broken(errors.TEXTS[errors.TLS_EMPTY])
        else:
            data += more


def begin(conn: TlsConn, outgoing: Outgoing, name: bytes | None) -> None:
    """Begin to secure a connection to a server, asking for `name`; the session before is taken up where allowed."""
    conn.begin(outgoing.context, server_name=name, record=outgoing.record)
    if not outgoing.tls.reuse:
        return
    tls, sessions = conn.secured, outgoing.sessions
    assert tls is not None
    known = sessions.get(name)
    if known is not None:
        tls.set_session(known)

    def keep(session: SSL.Session) -> None:
        if len(sessions) >= _MOST_SESSIONS and name not in sessions:
            sessions.clear()
        sessions[name] = session

    conn.on_close = keep


def check(conn: TlsConn, outgoing: Outgoing) -> None:
    """Is the server who it should be? Raises Broken."""
    wanted = conn.sni.decode("latin-1") if conn.sni else outgoing.tls.verify_host
    if not wanted or outgoing.tls.verify == "none":
        return
    tls = conn.secured
    assert tls is not None
    certificate = tls.get_peer_certificate(as_cryptography=True)
    if certificate is None or not matches(names_of(certificate), wanted):
        conn.error, conn.tls_error = errors.TLS_OTHER_NAME, VERIFY_FAILED
        raise Broken(f"the server's certificate is not for {wanted}")
