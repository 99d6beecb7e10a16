"""Holding a stream for something that is not its own connection."""

from __future__ import annotations

from trilb.base.clock import Clock
from trilb.live.effects import Resolve
from trilb.net.poller import Expired, Waiter


async def paused(waiter: Waiter, clock: Clock, seconds: float) -> None:
    """Wait for a time."""
    until = clock.now + seconds
    waiter.until(until)
    try:
        while clock.now < until:
            await waiter.park(None)
    except Expired:
        return


async def resolved(waiter: Waiter, effect: Resolve) -> None:
    """Wait until a name is looked up, or known to have no address; the retries of its resolvers bound that.

    The deadline that the waiter had is kept.
    """
    before = waiter.expires
    waiter.arm(None)
    effect.wake = waiter.wake
    try:
        while not effect.finished:
            await waiter.park(None)
    finally:
        effect.give_up()
    if before:
        waiter.until(before)
