"""A reverse proxy as one writes it on aiohttp, client and server, with the features the other racers have.

python -m bench.aioproxy PORT APPLICATION SYSLOG: a cookie inserted (indirect, nocache), the client's address forwarded,
a log line for every request to a UDP sink, timeouts, bodies streamed.
"""

from __future__ import annotations

import socket
import sys
import time

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web

_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
_COOKIE = "SERVERID=app1"


class Proxy:
    """One application behind it."""

    def __init__(self, application: int, syslog: int) -> None:
        self._base = f"http://127.0.0.1:{application}"
        self._syslog = ("127.0.0.1", syslog)
        self._log = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._log.setblocking(False)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on."""
        began = time.monotonic()
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        known = False
        for at, (name, value) in enumerate(headers):
            if name.lower() == "cookie" and _COOKIE in value:
                known = True
                headers[at] = (name, "; ".join(c for c in value.split("; ") if not c.startswith("SERVERID=")))
        headers.append(("X-Forwarded-For", str(request.remote)))
        body = request.content if request.body_exists else None
        session = self._session
        async with session.request(
            request.method, self._base + request.raw_path, headers=headers, data=body, allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    response.headers.add(name, value)
            if not known:
                response.headers.add("Set-Cookie", _COOKIE + "; path=/")
                response.headers.add("Cache-Control", "private")
            await response.prepare(request)
            sent = 0
            async for chunk in answer.content.iter_any():
                sent += len(chunk)
                await response.write(chunk)
            await response.write_eof()
        spent = int((time.monotonic() - began) * 1000)
        asked = f'"{request.method} {request.path}"'
        line = f"<134>aioproxy: {request.remote} web app/app1 {spent} {answer.status} {sent} {asked}"
        self._log.sendto(line.encode(), self._syslog)
        return response

    async def on_startup(self, _: web.Application) -> None:
        """The client side needs a running loop."""
        self._session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=60),
            timeout=ClientTimeout(total=None, connect=5, sock_read=30),
            auto_decompress=False,
            cookie_jar=DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        )

    async def on_cleanup(self, _: web.Application) -> None:
        """Close what was opened."""
        await self._session.close()
        self._log.close()


def main(port: int, application: int, syslog: int) -> None:
    """Serve until ended by a signal."""
    proxy = Proxy(application, syslog)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", proxy.handle)
    app.on_startup.append(proxy.on_startup)
    app.on_cleanup.append(proxy.on_cleanup)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, keepalive_timeout=60, backlog=4096)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:4]))
