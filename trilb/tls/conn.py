"""A connection that carries TLS. HOT.

OpenSSL works on memory: what comes from the socket is fed to it, what it makes is sent. So reading is tried only when
there is something, the first bytes can be looked at before a context is chosen, and a blocked write keeps its place
without OpenSSL's rules for repeating it.

`send` keeps Conn's promise of telling how much the peer will get, and of taking all that fits: who is told less than
he gave waits for the socket. While sealed bytes wait for it the answer is 0, and the next call, which repeats the same
bytes as every caller does, counts them when they are gone.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from OpenSSL import SSL

from trilb.net import errors
from trilb.net.conn import Broken, Conn
from trilb.net.hello import Hello
from trilb.net.poller import Poller
from trilb.tls.context import Verdict
from trilb.tls.facts import error_text

_READ = 65536
"""Bytes taken from the socket at once."""
_MOST = 16384
"""Bytes sealed in one call: a record. OpenSSL takes no more at once."""
_BATCH = 4
"""Records sealed before they are sent together (bench/micro/tls_calls.py)."""
_WIRE = _BATCH * (_MOST + 256) + 4096
"""Room for that many records with their headers and tags, and for what a handshake left unsaid."""
_SMALL = 4096
"""Bytes whose room an idle connection may keep."""
_VERIFY_FAILED = 0x86
"""OpenSSL's reason for a handshake in which a certificate was refused."""
_UNSAID = 1 << 18
"""Bytes of OpenSSL's own (answers to new keys and alerts) that may wait for a peer that does not read. Arbitrary."""
_MOST_NAME = 255
"""Bytes of a server name (RFC 6066)."""
_HEAD = 5
"""Bytes in front of a record, the last two its length."""
_lib, _ffi = vars(SSL)["_lib"], vars(SSL)["_ffi"]
# pyOpenSSL's own methods make a buffer for each call, and cost three times as much (bench/micro/tls_calls.py).
_open: Final = _lib.SSL_read
_seal: Final = _lib.SSL_write
_take: Final = _lib.BIO_read
_give: Final = _lib.BIO_write
_why: Final = _lib.SSL_get_error
_from_buffer: Final = _ffi.from_buffer
_WANT_READ: Final[int] = _lib.SSL_ERROR_WANT_READ
# What is on its way through here stays in these no longer than a call lasts: there is one of them for all connections.
_wire_at: Final = _ffi.new("char[]", _WIRE)
_wire: Final = memoryview(_ffi.buffer(_wire_at))
_plain_at: Final = _ffi.new("char[]", _MOST)
_plain: Final = _ffi.buffer(_plain_at)


class TlsConn(Conn):
    """A Conn whose bytes are plain until `begin`, and TLS from then on."""

    __slots__ = (
        "_accepting",
        "_begun",
        "_clean",
        "_grown",
        "_in",
        "_missing",
        "_out",
        "_owed",
        "_raw",
        "_recv_into",
        "_said",
        "_tls",
        "hello",
        "on_close",
        "record",
        "sni",
        "tls_error",
    )

    plain = False

    def __init__(self, sock: _socket.socket, poller: Poller) -> None:
        super().__init__(sock, poller)
        self._recv_into = sock.recv_into
        self._tls: SSL.Connection | None = None
        self._raw: Any = None
        """OpenSSL's own connection; `_in` and `_said` are the memories it reads from and writes to."""
        self._in: Any = None
        self._said: Any = None
        self._grown = False
        """They have held more than `_SMALL` bytes, and keep the room for it."""
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
        inside = vars(tls)
        self._raw, self._in, self._said = inside["_ssl"], inside["_into_ssl"], inside["_from_ssl"]
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
            _give(self._in, self.inbox, len(self.inbox))
            self._bound(self.inbox)
            self.inbox = b""

    def handshake(self) -> bool:
        """Go on with the handshake as far as possible without waiting; True when it is complete.

        Raises Broken with OpenSSL's reason, after telling the peer.
        """
        while True:
            done = self._step()
            if not self._pump():
                return False
            if done:
                # What came behind the last message of the handshake waits to be opened.
                self._clean, self.watch.ready = False, True
                return True
            if not self.watch.ready:
                return False
            size = self._feed()
            if size < 0:
                return False
            if not size:
                self.error = errors.TLS_EMPTY
                raise Broken(errors.TEXTS[errors.TLS_EMPTY])
            self._bound(_wire[:size])

    def _step(self) -> bool:
        """One step of the handshake; whether it was the last one.

        pyOpenSSL's own call throws the number of an error away, and `ssl_fc_err` tells it.
        """
        raw = self._raw
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
        while len(self._out) < _UNSAID:
            size: int = _take(self._said, _wire_at, _WIRE)
            if size <= 0:
                break
            more = bytes(_wire[:size])
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
        if self._raw is None:
            return super().receive(size)
        watch = self.watch
        if not self._clean:
            data = self._opened(size)
            if data is not None:
                watch.ready = True
                return data
            if not watch.ready:
                return None
        while True:
            came = self._feed()
            if came <= 0:
                # Without a farewell (close_notify) the end is an end all the same: framing tells what is missing.
                return None if came else b""
            single = self._bound(_wire[:came])
            data = self._opened(size)
            if data is not None:
                # One record and no more, as small messages come: nothing can be left to open.
                self._clean = single and len(data) < size
                if not self._clean:
                    watch.ready = True
                return data
            if not watch.ready:
                return None

    def _feed(self) -> int:
        """Give OpenSSL what came: how many bytes that was, 0 at the end, -1 for nothing. Raises Broken."""
        watch = self.watch
        watch.ready = False
        try:
            size = self._recv_into(_wire, _READ)
        except BlockingIOError:
            return -1
        except OSError as error:
            self.failed = True
            raise Broken(error.strerror) from None
        # As Conn.receive has it.
        if size == _READ or watch.hangup:
            watch.ready = True
        if size:
            _give(self._in, _wire_at, size)
            if size > _SMALL:
                self._grown = True
        return size

    def _bound(self, raw: bytes | memoryview) -> bool:
        """Follow the records of what came; whether it is one, whole, with nothing before it."""
        size, at = len(raw), self._missing
        begun = self._begun
        if not begun:
            if not at and size > _HEAD and size == _HEAD + (raw[3] << 8 | raw[4]):
                return True
        else:
            rest = _HEAD - len(begun)
            head = begun + bytes(raw[:rest])
            if len(head) < _HEAD:
                self._begun = head
                return False
            at = rest + (head[3] << 8 | head[4])
        while at + _HEAD <= size:
            at += _HEAD + (raw[at + 3] << 8 | raw[at + 4])
        self._begun, self._missing = (bytes(raw[at:]), 0) if at < size else (b"", at - size)
        return False

    def _opened(self, size: int) -> bytes | None:
        """The next opened bytes, b"" at the end, None while no record is whole. Raises Broken."""
        got: int = _open(self._raw, _plain_at, min(size, _MOST))
        if got > 0:
            data: bytes = _plain[:got]
            return data
        if _why(self._raw, got) == _WANT_READ:
            self._clean = True
            # New keys and renegotiation are answered by OpenSSL; the peer may wait for that.
            self._pump()
            return None
        return self._ended(got)

    def _ended(self, result: int) -> bytes:
        """What it means that OpenSSL could not go on: b"" for a farewell. Raises Broken for all else."""
        tls = self._tls
        assert tls is not None
        try:
            vars(SSL.Connection)["_raise_ssl_error"](tls, self._raw, result)
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as error:
            self.failed = True
            with suppress(Broken):
                self._pump()
            raise Broken(reason_of(error)) from None
        raise Broken("unknown")

    def rest(self) -> None:
        """Give back the room of a long transfer: an idle connection is to be small."""
        if not self._grown or not self._clean or self._begun or self._missing or self._out:
            return
        tls = self._tls
        assert tls is not None
        self._in, self._said = _lib.BIO_new(_lib.BIO_s_mem()), _lib.BIO_new(_lib.BIO_s_mem())
        vars(tls).update(_into_ssl=self._in, _from_ssl=self._said)
        _lib.SSL_set_bio(self._raw, self._in, self._said)
        self._grown = False

    def send(self, data: bytes | memoryview) -> int:
        """Write what fits, sealed."""
        raw = self._raw
        if raw is None:
            return super().send(data)
        if self._out and not self._flush():
            return 0
        done, self._owed = self._owed, 0
        size, most = len(data), self.record
        source: Any = None
        while done < size:
            begun, records = done, 0
            while done < size and records < _BATCH:
                if not done and isinstance(data, bytes):
                    taken: int = _seal(raw, data, min(size, most))
                else:
                    if source is None:
                        source = _from_buffer(data)
                    taken = _seal(raw, source + done, min(size - done, most))
                if taken <= 0:
                    self._ended(taken)
                    raise Broken("closed")
                done += taken
                records += 1
            length: int = _take(self._said, _wire_at, _WIRE)
            sealed: bytes | memoryview = _wire[:length]
            if length == _WIRE:
                sealed = bytes(sealed) + self._rest()
            if length > _SMALL:
                self._grown = True
            sent = super().send(sealed)
            if sent < len(sealed):
                self._out = bytes(sealed[sent:])
                # Records that have gone count; what OpenSSL has put between them only makes it less.
                whole = most + (len(sealed) - (done - begun)) // records
                gone = min(sent // whole, records - 1) * most
                self._owed = done - begun - gone
                done = begun + gone
                break
        return done

    def _rest(self) -> bytes:
        """What OpenSSL has to say besides: answers to many new keys."""
        more = b""
        while True:
            size: int = _take(self._said, _wire_at, _WIRE)
            if size <= 0:
                return more
            more += bytes(_wire[:size])

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
        return 0 if self._tls is None else int(_lib.SSL_get_verify_result(self._raw))

    @property
    def resumed(self) -> bool:
        """Was an earlier session taken up again?"""
        return self._tls is not None and bool(_lib.SSL_session_reused(self._raw))

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
