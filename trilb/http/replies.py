"""Answers trilb gives itself: the texts of HAProxy's error pages, and their two forms.

A raw reply is what the HTTP/1 parser says to something that never became a request: fixed bytes, the connection
closes. A stream reply answers a request: lower-case names, `connection` added by the session.
"""

from __future__ import annotations

from trilb.http.head import Field, Head
from trilb.http.reasons import reason_of

_PAGES: dict[int, tuple[str, str]] = {
    200: ("OK", "Service ready."),
    400: ("Bad request", "Your browser sent an invalid request."),
    401: ("Unauthorized", "You need a valid user and password to access this content."),
    403: ("Forbidden", "Request forbidden by administrative rules."),
    404: ("Not Found", "The resource could not be found."),
    405: (
        "Method Not Allowed",
        "A request was made of a resource using a request method not supported by that resource",
    ),
    407: ("Unauthorized", "You need a valid user and password to access this content."),
    408: ("Request Time-out", "Your browser didn't send a complete request in time."),
    410: ("Gone", "The resource is no longer available and will not be available again."),
    413: ("Payload Too Large", "The request entity exceeds the maximum allowed."),
    414: ("URI Too Long", "The requested URI is too long."),
    421: ("Misdirected Request", "Request sent to a non-authoritative server."),
    422: ("Unprocessable Content", "The server cannot process the contained instructions."),
    425: ("Too Early", "Your browser sent early data."),
    429: ("Too Many Requests", "You have sent too many requests in a given amount of time."),
    431: ("Request Header Fields Too Large", "The request's header fields are too large."),
    500: ("Internal Server Error", "An internal server error occurred."),
    501: ("Not Implemented", ".The server does not support the functionality required to fulfill the request."),
    502: ("Bad Gateway", "The server returned an invalid or incomplete response."),
    503: ("Service Unavailable", "No server is available to handle this request."),
    504: ("Gateway Time-out", "The server didn't respond in time."),
}
"""Reason and text of the error pages; the leading dot of 501 is HAProxy's own, and so is the 407's reason."""


def page(status: int) -> bytes:
    """The body of an error page."""
    title, text = _PAGES.get(status) or _PAGES[500]
    return f"<html><body><h1>{status} {title}</h1>\n{text}\n</body></html>\n".encode()


def raw(status: int) -> bytes:
    """The bytes said to something that was no request."""
    body = page(status)
    close = b"Connection: close\r\n" if status in (400, 408) else b""
    return b"HTTP/1.1 %d %b\r\nContent-length: %d\r\nCache-Control: no-cache\r\n%bContent-Type: text/html\r\n\r\n%b" % (
        status,
        _PAGES[status][0].encode(),
        len(body),
        close,
        body,
    )


def head(status: int, fields: list[Field]) -> Head:
    """A response head of trilb's own."""
    made = Head(b"", b"", 11, fields)
    made.status = status
    made.reason = reason_of(status)
    return made


def error(status: int) -> tuple[Head, bytes]:
    """A stream reply: head and body."""
    body = page(status)
    fields: list[Field] = [
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-cache"),
        (b"content-type", b"text/html"),
    ]
    if status in (400, 408):
        fields.append((b"connection", b"close"))
    made = head(status, fields)
    made.reason = _PAGES.get(status, _PAGES[500])[0].encode()
    return made, body


def parse_errorfile(data: bytes) -> tuple[Head, bytes]:
    """An errorfile's text as head and body; its line ends may be bare. Load-time only.

    One that does not say its length is ended by the end of the connection.
    """
    text, found, body = data.partition(b"\r\n\r\n")
    if not found or b"\n\n" in text:
        text, _, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    lines = text.replace(b"\r\n", b"\n").split(b"\n")
    parts = lines[0].split(b" ", 2)
    made = Head(b"", b"", 10 if parts[0] == b"HTTP/1.0" else 11, [])
    made.status = int(parts[1])
    made.reason = parts[2] if len(parts) > 2 else b""
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        made.fields.append((name.strip().lower(), value.strip()))
    return made, body
