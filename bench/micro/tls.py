"""Which library seals: pyOpenSSL, or the standard ssl, both on memory; bytes are carried between two ends by hand.

pyOpenSSL is there for what ssl cannot do (verify callbacks, suites of TLS 1.3, groups, randoms). Small records pay for
it: some 2 us a record at either end.

Measured (CPython 3.11, modules as plain Python; in brackets the ratio):
- 200 bytes sealed and unsealed: pyOpenSSL 5.64 us (1.00), ssl 1.59 us (0.28).
- 16384 bytes sealed and unsealed: pyOpenSSL 10.5 us (1.00), ssl 8.57 us (0.82).
- contexts and a handshake, both ends: pyOpenSSL 1,100 us (1.00), ssl 1,720 us (1.56).
"""

from __future__ import annotations

import contextlib
import ssl

import trustme
from OpenSSL import SSL

from bench.micro import Work, compare, count


def make() -> trustme.LeafCert:
    """A certificate with a P-256 key."""
    return trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert("localhost", key_type=trustme.KeyType.ECDSA)


class Open:
    """Two ends of pyOpenSSL's."""

    def __init__(self, cert: trustme.LeafCert) -> None:
        ours = SSL.Context(SSL.TLS_METHOD)
        cert.configure_cert(ours)
        self.a, self.b = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None), SSL.Connection(ours, None)
        self.a.set_connect_state()
        self.b.set_accept_state()
        for _ in range(3):
            for end, other in ((self.a, self.b), (self.b, self.a)):
                with contextlib.suppress(SSL.WantReadError):
                    end.do_handshake()
                self.carry(end, other)

    def carry(self, end: SSL.Connection, other: SSL.Connection) -> None:
        """What one has to say, to the other."""
        try:
            while data := end.bio_read(65536):
                other.bio_write(data)
        except SSL.WantReadError:
            pass

    def say(self, data: bytes) -> None:
        """Seal and unseal."""
        self.a.send(data)
        self.carry(self.a, self.b)
        left = len(data)
        while left:
            left -= len(self.b.recv(65536))


class Standard:
    """Two ends of the standard library's."""

    def __init__(self, cert: trustme.LeafCert) -> None:
        ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        cert.configure_cert(ours)
        theirs.check_hostname, theirs.verify_mode = False, ssl.CERT_NONE
        self.to_a, self.to_b = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.a = theirs.wrap_bio(self.to_a, self.to_b)
        self.b = ours.wrap_bio(self.to_b, self.to_a, server_side=True)
        for _ in range(3):
            for end in (self.a, self.b):
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()

    def say(self, data: bytes) -> None:
        """Seal and unseal; carried as between sockets: taken out and put in."""
        self.a.write(data)
        self.to_b.write(self.to_b.read())
        left = len(data)
        while left:
            left -= len(self.b.read(65536))


def main(often: int) -> None:
    """Print the figures."""
    cert = make()

    def says(end: Open | Standard, data: bytes) -> Work:
        return lambda n: [end.say(data) for _ in range(n)]

    for size in (200, 16384):
        data = bytes(size)
        ways = {"pyOpenSSL": says(Open(cert), data), "ssl": says(Standard(cert), data)}
        compare(f"{size} bytes sealed and unsealed", ways, often)
    shakes = {
        "pyOpenSSL": lambda n: [Open(cert) for _ in range(n)],
        "ssl": lambda n: [Standard(cert) for _ in range(n)],
    }
    compare("contexts and a handshake, both ends", shakes, often // 50 or 1)


if __name__ == "__main__":
    main(count(5000))
