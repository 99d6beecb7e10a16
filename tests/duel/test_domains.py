"""`show stat domain resolvers`, side by side."""

from __future__ import annotations

from tests.duel.conftest import DuelFactory
from tests.duel.test_tables import ask

CONFIG = """
global
    stats socket {dir}/cli level admin
defaults
    mode http
    timeout connect 1s
    timeout client 2s
    timeout server 2s
resolvers mine
    nameserver one 127.0.0.1:{dead}
listen l
    bind 127.0.0.1:{port}
"""


def test_counters_of_nameservers(duel: DuelFactory) -> None:
    made = duel(CONFIG)
    text = made.same(
        lambda side: [x for x in ask(side, "show stat domain resolvers").splitlines() if "default" not in x]
    )
    assert text[1].startswith("one,mine,0,0,")
