"""A program: clients that come again and again, one line for every visit: `time kind server` or `time kind ! why`.

Runs on the client's machine of a simulated network: `python visitor.py ADDRESS SOURCE...`.
"""

from __future__ import annotations

import re
import socket
import sys
import time


def visit(address: str, source: str, path: str, cookie: str) -> tuple[str, str]:
    """One request over a new connection: the server's name, and the cookie from now on. Raises OSError."""
    with socket.socket() as sock:
        sock.settimeout(0.25)
        sock.bind((source, 0))
        sock.connect((address, 80))
        extra = f"cookie: {cookie}\r\n" if cookie else ""
        sock.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\n{extra}connection: close\r\n\r\n".encode())
        answer = b""
        while data := sock.recv(4096):
            answer += data
    server = re.search(rb"x-server: (\S+)", answer)
    if server is None:
        raise OSError(answer[:30].decode("latin-1") or "no answer")
    found = re.search(rb"set-cookie: ((?:SRV|JSESSIONID)=[^;\r]+)", answer)
    return server[1].decode(), found[1].decode() if found else cookie


def main(address: str, sources: list[str]) -> None:
    """Visit until killed."""
    cookies = {("cookie", sources[0]): "", ("app", sources[0]): ""}
    paths = {"cookie": "/", "app": "/app/login", "src": "/src"}
    kinds = [*cookies, *(("src", source) for source in sources)]
    while True:
        for kind, source in kinds:
            cookie = cookies.get((kind, source), "")
            path = "/app" if kind == "app" and cookie else paths[kind]
            try:
                server, got = visit(address, source, path, cookie)
            except OSError as error:
                said = f"! {error}"
            else:
                said = server
                if (kind, source) in cookies:
                    cookies[(kind, source)] = got
            sys.stdout.write(f"{time.monotonic():.4f} {kind}/{source} {said}\n")
            sys.stdout.flush()
        time.sleep(0.005)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
