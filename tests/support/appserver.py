"""A program: an application server that says who it is, and gives sessions: `appserver.py NAME PORT`."""

from __future__ import annotations

import itertools
import socketserver
import sys
from http.server import BaseHTTPRequestHandler


def main(name: str, port: int) -> None:
    """Serve until killed."""
    numbers = itertools.count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "2")
            self.send_header("x-server", name)
            if self.path.endswith("/login"):
                self.send_header("set-cookie", f"JSESSIONID={name}-{next(numbers)}; path=/")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    Server(("", port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
