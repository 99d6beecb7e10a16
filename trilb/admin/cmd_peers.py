"""`show peers`: who is linked, what is on its way, how things stand in plain words (management.txt, 9.3)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

from trilb.admin.commands import View, command


class PeerView(Protocol):
    """What is told of a peer; `peers.replica.PeerStatus` is one."""

    name: str
    address: str
    state: str
    since: float
    waiting: int
    unacknowledged: int
    lag: float
    rows_sent: int
    rows_received: int
    bytes_sent: int
    bytes_received: int
    repaired: int
    error: str
    sentence: str
    tables: dict[str, str]
    stopping: bool
    local: bool
    incarnation: int


class SectionView(Protocol):
    """A peers section as it runs."""

    name: str
    local: str
    disabled: bool
    synced: bool
    strangers: int
    protocol_errors: int

    def peers(self) -> list[PeerView]:
        """Every peer but this one."""


def _seconds(since: float, now: float) -> str:
    return f"{max(0.0, now - since):.0f}s" if since else "<NEVER>"


def _peer(peer: PeerView, now: float) -> Iterator[str]:
    where = "local" if peer.local else "remote"
    activity = "stopping" if peer.stopping else "active" if peer.state != "down" else "inactive"
    yield (
        f"  id={peer.name}({where},{activity}) addr={peer.address or '-'} status={peer.state}"
        f" since={_seconds(peer.since, now)}\n    {peer.sentence}\n"
    )
    if peer.tables:
        yield (
            f"    waiting={peer.waiting} unacked={peer.unacknowledged} lag={peer.lag * 1000:.0f}ms"
            f" entries_sent={peer.rows_sent} entries_received={peer.rows_received} bytes_sent={peer.bytes_sent}"
            f" bytes_received={peer.bytes_received} buckets_repaired={peer.repaired}\n    tables:\n"
        )
        for name, state in peer.tables.items():
            yield f"      {name}: {state if state == 'shared' else 'not shared: ' + state}\n"
    if peer.error:
        yield f"    last error: {peer.error}\n"


@command("show peers", source="9.3", level="user")
def show_peers(view: View, words: list[str]) -> str:
    """show peers [<section>]: peers sections, and how far each peer is"""
    wanted = [word for word in words if word not in ("dict", "-")]
    now = view.process.clock.now
    said = ""
    for section in view.sections:
        if wanted and section.name != wanted[0]:
            continue
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S", time.localtime(view.process.clock.wall))
        said += (
            f"{id(section):#x}: [{stamp}] id={section.name} disabled={int(section.disabled)} local={section.local}"
            f" synced={int(section.synced)} strangers={section.strangers} proto_err={section.protocol_errors}\n"
        )
        for peer in sorted(section.peers(), key=lambda peer: peer.name):
            said += "".join(_peer(peer, now))
    if wanted and not said:
        return f"No peers section is called '{wanted[0]}'.\n"
    return said
