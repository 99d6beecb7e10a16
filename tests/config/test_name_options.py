"""What lines about names mean: resolv.conf, resolve-opts, init-addr, dns-accept-family."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.program import ROOT
from trilb.base.address import parse
from trilb.base.diagnostic import Refused
from trilb.config.keywords.resolvers import options, system_nameservers
from trilb.net.address import initial


def test_resolv_conf() -> None:
    """Its nameservers in their order; what is none is passed over."""
    text = "# nameserver 9.9.9.9\nsearch a.test\nnameserver 127.0.0.53\nnameserver ::1\n nameserver\nnameserver x\n"
    found = system_nameservers(text)
    assert [(line.name, str(line.address), line.stream) for line in found] == [
        ("127.0.0.53", "127.0.0.53:53", False),
        ("::1", "[::1]:53", False),
    ]


def test_resolve_opts() -> None:
    """Of two that contradict each other the last counts."""
    assert options("allow-dup-ip,ignore-weight") == {"allow-dup-ip", "ignore-weight"}
    assert options("allow-dup-ip,prevent-dup-ip") == frozenset()
    assert options("prevent-dup-ip,allow-dup-ip") == {"allow-dup-ip"}


@pytest.mark.parametrize(
    ("address", "methods", "later", "found"),
    [
        ("localhost:80", "", False, ("127.0.0.1", 80)),
        ("localhost:80", "none,libc", False, None),
        ("localhost:80", "last,127.0.0.9,libc", False, ("127.0.0.9", 80)),
        ("localhost:80", "::9", False, ("::9", 80)),
        ("127.0.0.1:80", "none", False, ("127.0.0.1", 80)),
        ("_h._tcp.test", "", True, None),
        ("_h._tcp.test", "none", False, None),
    ],
)
def test_initial(address: str, methods: str, later: bool, found: tuple[str, int] | None) -> None:
    """The first method that works; without any, what is usual."""
    assert initial(parse(address)[0], methods, resolved_later=later)[1] == found


@pytest.mark.parametrize(("address", "methods"), [("localhost:80", "last"), ("_h._tcp.test", ""), ("_h.test", "libc")])
def test_no_method(address: str, methods: str) -> None:
    """None that works is told."""
    with pytest.raises(Refused, match="no method found to resolve address"):
        initial(parse(address)[0], methods)


@pytest.mark.parametrize(("said", "code"), [("ipv6,ipv4", 0), ("ipv5", 1)])
def test_accepted_families(tmp_path: Path, said: str, code: int) -> None:
    """The global keyword, which HAProxy 2.6 does not have."""
    file = tmp_path / "lb.cfg"
    file.write_text(f"global\n dns-accept-family {said}\nfrontend f\n mode http\n timeout client 1s\n bind :8080\n")
    done = subprocess.run(
        [sys.executable, "-m", "trilb", "-c", "-f", str(file)], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == code, done.stderr
