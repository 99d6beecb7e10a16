"""Whatever happens on the way, replicas that see each other again say the same (thousands of seeds)."""

from __future__ import annotations

import os

import pytest

from tests.peers.world import KEYS, World

SEEDS = int(os.environ.get("TRILB_SEEDS", "900"))
"""How many histories to try; more by TRILB_SEEDS."""
_BATCH = 50


def history(seed: int, *, overwrite: bool) -> None:
    """Live through a history and compare."""
    world = World(seed, overwrite=overwrite)
    for _ in range(world.random.randint(50, 250)):
        world.step()
    world.heal()
    for key in KEYS:
        values = {node.name: node.value(key) for node in world.nodes}
        assert len(set(values.values())) == 1, f"seed {seed}, {key!r}: {values}"
    digests = {tuple(node.shared.digest(n, 1 << 62) for n in range(256)) for node in world.nodes}
    assert len(digests) == 1, f"seed {seed}: digests differ"
    for node in world.nodes:
        assert node.replica.protocol_errors == 0, f"seed {seed}"
        assert {status.sentence for status in node.replica.status(world.now)} == {"in sync"}, f"seed {seed}"


@pytest.mark.parametrize("first", range(0, SEEDS, _BATCH))
def test_counters_that_add_up(first: int) -> None:
    for seed in range(first, first + _BATCH):
        history(seed, overwrite=False)


@pytest.mark.parametrize("first", range(SEEDS, SEEDS + SEEDS // 3, _BATCH))
def test_counters_that_overwrite(first: int) -> None:
    for seed in range(first, first + _BATCH):
        history(seed, overwrite=True)
