"""A connection that carries TLS. HOT.

OpenSSL works on memory: what comes from the socket is fed to it, what it makes is sent. So reading is tried only when
there is something, the first bytes can be looked at before a context is chosen, and a blocked write keeps its place
without OpenSSL's rules for repeating it.

`send` keeps Conn's promise of telling how much the peer will get, and of taking all that fits: who is told less than
he gave waits for the socket. While sealed bytes wait for it the answer is 0, and the next call, which repeats the same
bytes as every caller does, counts them when they are gone.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

from OpenSSL import SSL

from trilb.net import errors
from trilb.net.conn import Broken, Conn
from trilb.net.hello import Hello
from trilb.net.poller import Poller
from trilb.tls.context import Verdict
from trilb.tls.facts import error_text

_READ = 65536
_MOST = 16384
"""Bytes sealed in one call: a record. OpenSSL takes no more at once."""
_SEALED = 4096
"""Room above the plain bytes for headers and tags of the records, and for what a handshake left unsaid."""
_VERIFY_FAILED = 0x86
"""OpenSSL's reason for a handshake in which a certificate was refused."""
_UNSAID = 1 << 18
"""Bytes of OpenSSL's own (answers to new keys and alerts) that may wait for a peer that does not read. Arbitrary."""
_MOST_NAME = 255
"""Bytes of a server name (RFC 6066)."""
_HEAD = 5
"""Bytes in front of a record, the last two its length."""
_lib = vars(SSL)["_lib"]


class TlsConn(Conn):
    """A Conn whose bytes are plain until `begin`, and TLS from then on."""

    __slots__ = (
        "_accepting",
        "_begun",
        "_clean",
        "_missing",
        "_out",
        "_owed",
        "_tls",
        "hello",
        "on_close",
        "record",
        "sni",
        "tls_error",
    )

    plain = False

    def __init__(self, sock: socket.socket, poller: Poller) -> None:
        super().__init__(sock, poller)
        self._tls: SSL.Connection | None = None
        self._accepting = False
        self._clean = True
        """Nothing that was fed is left to open."""
        self._begun = b""
        """The header of a record that was fed in part, else `_missing` bytes of a record are to come."""
        self._missing = 0
        self._out: bytes | memoryview = b""
        self._owed = 0
        self.record = _MOST
        """Bytes of a record at most (`tune.ssl.maxrecord`)."""
        self.sni: bytes | None = None
        """What the client asked for, or what we asked the server for."""
        self.tls_error = 0
        """OpenSSL's number of the first error there was."""
        self.hello: Hello | None = None
        self.on_close: Callable[[SSL.Session], None] | None = None
        """Hears of the session when the connection ends, to take it up again in the next one."""

    # -- the handshake -----------------------------------------------------------------------------------------

    def begin(
        self, context: SSL.Context, *, server_name: bytes | None = None, accepting: bool = False, record: int = 0
    ) -> None:
        """Speak TLS from here on, in records of `record` bytes; what is in the inbox already belongs to it."""
        self.record = min(record, _MOST) if record else _MOST
        tls = self._tls = SSL.Connection(context, None)
        self._accepting = accepting
        if accepting:
            tls.set_accept_state()
        else:
            tls.set_connect_state()
            if server_name:
                self.sni = server_name
                # What cannot be asked for is not, but the certificate must be for it all the same.
                if len(server_name) <= _MOST_NAME and b"\0" not in server_name:
                    tls.set_tlsext_host_name(server_name)
        if self.inbox:
            self._feed(tls, self.inbox)
            self.inbox = b""

    def handshake(self) -> bool:
        """Go on with the handshake as far as possible without waiting; True when it is complete.

        Raises Broken with OpenSSL's reason, after telling the peer.
        """
        tls = self._tls
        assert tls is not None
        while True:
            done = self._step(tls)
            if not self._pump():
                return False
            if done:
                # What came behind the last message of the handshake waits to be opened.
                self._clean, self.watch.ready = False, True
                return True
            if not self.watch.ready:
                return False
            raw = super().receive(_READ)
            if raw is None:
                return False
            if not raw:
                self.error = errors.TLS_EMPTY
                raise Broken(errors.TEXTS[errors.TLS_EMPTY])
            self._feed(tls, raw)

    def _step(self, tls: SSL.Connection) -> bool:
        """One step of the handshake; whether it was the last one.

        pyOpenSSL's own call throws the number of an error away, and `ssl_fc_err` tells it.
        """
        raw = vars(tls)["_ssl"]
        _lib.ERR_clear_error()
        result = _lib.SSL_do_handshake(raw)
        if result == 1:
            return True
        if _lib.SSL_get_error(raw, result) in (_lib.SSL_ERROR_WANT_READ, _lib.SSL_ERROR_WANT_WRITE):
            return False
        self.tls_error = _lib.ERR_get_error()
        _lib.ERR_clear_error()
        verdict = self.verdict
        self.error = errors.TLS_HANDSHAKE
        if _lib.ERR_GET_REASON(self.tls_error) == _VERIFY_FAILED and self._accepting:
            self.error = errors.TLS_CERTIFICATE if verdict.refused <= 0 else errors.TLS_AUTHORITY
        with suppress(Broken):
            self._pump()
        raise Broken(error_text(self.tls_error))

    def _pump(self) -> bool:
        """Send what OpenSSL has to say; False while some of it waits for the socket. Raises Broken."""
        tls = self._tls
        assert tls is not None
        with suppress(SSL.Error):  # nothing more to say
            while len(self._out) < _UNSAID:
                more = tls.bio_read(_READ)
                self._out = bytes(self._out) + more if self._out else more
        if not self._out or self._flush():
            return True
        if len(self._out) >= _UNSAID:
            self.failed = True
            raise Broken("the peer does not read")
        return False

    def _flush(self) -> bool:
        sent = super().send(self._out)
        if sent < len(self._out):
            self._out = memoryview(self._out)[sent:]
            return False
        self._out = b""
        return True

    # -- bytes -------------------------------------------------------------------------------------------------

    def receive(self, size: int = 16384) -> bytes | None:
        """Read what is there, opened."""
        tls = self._tls
        if tls is None:
            return super().receive(size)
        watch = self.watch
        if not self._clean:
            data = self._open(tls, size)
            if data is not None:
                watch.ready = True
                return data
            if not watch.ready:
                return None
        while True:
            raw = super().receive(_READ)
            if not raw:
                # Without a farewell (close_notify) the end is an end all the same: framing tells what is missing.
                return raw
            single = self._feed(tls, raw)
            data = self._open(tls, size)
            if data is not None:
                # One record and no more, as small messages come: nothing can be left to open.
                self._clean = single and len(data) < size
                if not self._clean:
                    watch.ready = True
                return data
            if not watch.ready:
                return None

    def _feed(self, tls: SSL.Connection, raw: bytes) -> bool:
        """Give OpenSSL what came; whether it is one whole record, with nothing before it."""
        tls.bio_write(raw)
        size, at = len(raw), self._missing
        if not at and not self._begun and size > _HEAD and size == _HEAD + (raw[3] << 8 | raw[4]):
            return True
        if self._begun:
            raw = self._begun + raw
            size = len(raw)
        while at + _HEAD <= size:
            at += _HEAD + (raw[at + 3] << 8 | raw[at + 4])
        self._begun, self._missing = (raw[at:], 0) if at < size else (b"", at - size)
        return False

    def _open(self, tls: SSL.Connection, size: int) -> bytes | None:
        """The next opened bytes, b"" at the end, None while no record is whole. Raises Broken."""
        try:
            return tls.recv(size)
        except SSL.WantReadError:
            self._clean = True
            # New keys and renegotiation are answered by OpenSSL; the peer may wait for that.
            self._pump()
            return None
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as error:
            self.failed = True
            with suppress(Broken):
                self._pump()
            raise Broken(reason_of(error)) from None

    def send(self, data: bytes | memoryview) -> int:
        """Write what fits, sealed."""
        tls = self._tls
        if tls is None:
            return super().send(data)
        if self._out and not self._flush():
            return 0
        done, self._owed = self._owed, 0
        size, most = len(data), self.record
        part = data if not done and size <= most else memoryview(data)[done : done + most]
        while done < size:
            try:
                taken = tls.send(part)
                sealed = tls.bio_read(taken + _SEALED)
                if len(sealed) == taken + _SEALED:
                    sealed += self._rest(tls)
            except SSL.Error as error:
                self.failed = True
                raise Broken(reason_of(error)) from None
            sent = super().send(sealed)
            if sent < len(sealed):
                self._out, self._owed = memoryview(sealed)[sent:], taken
                break
            done += taken
            part = memoryview(data)[done : done + most]
        return done

    @staticmethod
    def _rest(tls: SSL.Connection) -> bytes:
        """What OpenSSL has to say besides: answers to many new keys."""
        more = b""
        with suppress(SSL.WantReadError):
            while True:
                more += tls.bio_read(_READ)
        return more

    def shutdown(self) -> None:
        """Say farewell, and tell the peer that no more will come."""
        self._farewell()
        super().shutdown()

    def close(self, *, reset: bool = False) -> None:
        """Close; without `reset` the peer is told first."""
        if not self.closed and not reset and not self.failed:
            if self.on_close is not None and self._tls is not None:
                session = self._tls.get_session()
                if session is not None:
                    self.on_close(session)
            self._farewell()
        super().close(reset=reset)

    def _farewell(self) -> None:
        tls = self._tls
        if tls is None or self._out:
            return
        with suppress(SSL.Error, Broken):
            if not tls.get_shutdown() & SSL.SENT_SHUTDOWN:
                tls.shutdown()
                self._pump()

    # -- what was agreed -----------------------------------------------------------------------------------------

    @property
    def secured(self) -> SSL.Connection | None:
        """OpenSSL's connection, once TLS has begun."""
        return self._tls

    @property
    def verdict(self) -> Verdict:
        """What checking the peer's certificate gave."""
        found = self._tls.get_app_data() if self._tls is not None else None
        return found if isinstance(found, Verdict) else Verdict()

    @property
    def verified(self) -> int:
        """The last error of checking the peer's certificate, 0 when all is well; a session remembers it."""
        return 0 if self._tls is None else int(_lib.SSL_get_verify_result(vars(self._tls)["_ssl"]))

    @property
    def resumed(self) -> bool:
        """Was an earlier session taken up again?"""
        return self._tls is not None and bool(_lib.SSL_session_reused(vars(self._tls)["_ssl"]))

    @property
    def alpn(self) -> bytes:
        """The protocol agreed on, b"" without."""
        return self._tls.get_alpn_proto_negotiated() if self._tls is not None else b""


def reason_of(error: SSL.Error) -> str:
    """OpenSSL's words for what went wrong, the innermost reason."""
    if error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][-1][2]) or "unknown"
    if isinstance(error, SSL.SysCallError):
        return str(error.args[1]) if len(error.args) > 1 else "unexpected end"
    return str(error) or type(error).__name__
