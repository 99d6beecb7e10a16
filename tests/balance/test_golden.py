"""Every row of the golden file: the server HAProxy chose for a key is the server trilb chooses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trilb.balance import hashing
from trilb.base import ip
from trilb.base.address import Address, Family
from trilb.base.diagnostic import NOWHERE
from trilb.config.lines import ServerLine
from trilb.config.model import HashType, Proxy, Side
from trilb.live.proxy import Backend
from trilb.live.server import Server

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "haproxy_hash_golden.json").read_text())


def servers(weights: list[int]) -> list[Server]:
    proxy = Proxy("b", "backend", NOWHERE, Side.BACKEND)
    for i, weight in enumerate(weights):
        address = Address(Family.IPV4, "127.0.0.1", 21801 + i)
        proxy.servers.append(ServerLine(f"s{i + 1}", address, NOWHERE, id=i + 1, weight=weight))
    backend = Backend(proxy)
    for server in backend.servers:
        server.address = ("127.0.0.1", server.line.address.port)
    return backend.servers


def hash_type(name: str) -> HashType:
    for method in ("map-based", "consistent"):
        if name.startswith(method + "-"):
            parts = name[len(method) + 1 :].split("-")
            return HashType(method == "consistent", parts[0], "av" in parts)
    if name.startswith("hk-"):
        return HashType(True, "sdbm")
    return HashType(name in ("default-consistent", "src-cons"))


@pytest.mark.parametrize("name", sorted(GOLDEN["map"]))
def test_every_row(name: str) -> None:
    proxy = Proxy("b", "backend", NOWHERE, Side.BACKEND, hash_type=hash_type(name))
    algorithm = hashing.source(proxy) if name.startswith("src-") else hashing.uri(proxy, 0, 0, False, False)
    chosen_from = servers(GOLDEN["weights"]["w123" if name.endswith("w123") else "eq"])
    for server in chosen_from if name.startswith("hk-") else ():
        server.line.hash_key = name[3:]
    algorithm.rebuild(chosen_from)
    wrong = {}
    for key, wanted in GOLDEN["map"][name].items():
        raw = ip.packed(key) if name.startswith("src-") else key.encode()
        if name == "uri-map":
            raw = key.partition("?")[0].encode()
        chosen = algorithm.pick(raw, None)
        assert chosen is not None
        if chosen.name != wanted:
            wrong[key] = (chosen.name, wanted)
    assert not wrong
