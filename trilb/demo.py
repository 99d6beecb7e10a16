"""`make demo`: three small application servers, and trilb in front of them with conf/quickstart.cfg.

Ends cleanly on Ctrl-C; everything it starts ends with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Server(ThreadingHTTPServer):
    """A server that is not surprised by health checks, which connect and leave."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client left: nothing to tell."""


SERVERS = (("app1", 9001), ("app2", 9002), ("app3", 9003))
CONFIGURATION = Path(__file__).resolve().parent.parent / "conf" / "quickstart.cfg"

TRY = """
trilb is at work: http://127.0.0.1:8080/ in front of app1, app2 and app3.

  curl -i http://127.0.0.1:8080/                              a new client: note Set-Cookie
  curl -i -H 'Cookie: SERVERID=app2' http://127.0.0.1:8080/   a known one: always app2
  curl -s http://127.0.0.1:8404/stats                         the statistics (or open it in a browser)

Ctrl-C ends it.
"""


class _Application(BaseHTTPRequestHandler):
    """Answers who it is and how often this process was asked."""

    protocol_version = "HTTP/1.1"
    name = ""

    def do_GET(self) -> None:
        """Answer."""
        cookie = self.headers.get("Cookie", "none")
        body = f"{self.name} served {self.path}; cookies it sees: {cookie}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: trilb logs."""


def main() -> int:
    """Start the servers and trilb; wait for the end."""
    for name, port in SERVERS:
        handler = type(name, (_Application,), {"name": name})
        server = _Server(("127.0.0.1", port), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy = subprocess.Popen([sys.executable, "-m", "trilb", "-db", "-f", str(CONFIGURATION)])
    # Ctrl-C reaches the whole group: trilb stops by itself, we wait for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(proxy.pid, signal.SIGTERM))
    print(TRY, flush=True)
    code = proxy.wait()
    print("\nthe demo has ended")
    return code


if __name__ == "__main__":
    sys.exit(main())
