"""What went wrong with a connection, by HAProxy's numbers and words (configuration.txt, `fc_err_str`)."""

from __future__ import annotations

NONE = 0
SOCKET = 6
PROXY_EMPTY, PROXY_TIMEOUT, PROXY_TRUNCATED, PROXY_STRANGE, PROXY_BAD, PROXY_UNHANDLED = 11, 13, 14, 15, 16, 17
TLS_EMPTY, TLS_ABORT, TLS_TIMEOUT = 24, 25, 26
TLS_AUTHORITY, TLS_CERTIFICATE, TLS_OTHER_NAME, TLS_HANDSHAKE, TLS_FATAL = 30, 31, 33, 34, 43
REFUSED, RESET = 46, 47

TEXTS = {
    NONE: "Success",
    SOCKET: "General socket error",
    PROXY_EMPTY: "Connection closed while waiting for PROXY protocol header",
    PROXY_TIMEOUT: "Timeout while waiting for PROXY protocol header",
    PROXY_TRUNCATED: "Truncated PROXY protocol header received",
    PROXY_STRANGE: "Received something which does not look like a PROXY protocol header",
    PROXY_BAD: "Received an invalid PROXY protocol header",
    PROXY_UNHANDLED: "Received an unhandled protocol in the PROXY protocol header",
    TLS_EMPTY: "Connection closed during SSL handshake",
    TLS_ABORT: "Connection error during SSL handshake",
    TLS_TIMEOUT: "Timeout during SSL handshake",
    TLS_AUTHORITY: "SSL client CA chain cannot be verified",
    TLS_CERTIFICATE: "SSL client certificate not trusted",
    TLS_OTHER_NAME: "Server presented an SSL certificate different from the expected one",
    TLS_HANDSHAKE: "SSL handshake failure",
    TLS_FATAL: "SSL fatal error",
    REFUSED: "ECONNREFUSED returned by OS",
    RESET: "ECONNRESET returned by OS",
}
