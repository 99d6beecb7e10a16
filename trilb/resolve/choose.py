"""Which of the addresses of a name a server takes (configuration.txt, `resolve-prefer`, `resolve-net`). No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from trilb.base.ip import Network


def choose(
    addresses: Iterable[bytes],
    current: bytes | None,
    taken: Collection[bytes],
    *,
    prefer_ipv4: bool,
    networks: Sequence[Network] = (),
    duplicates: bool = False,
) -> bytes | None:
    """The best address; None when there is none to have.

    The preferred family counts most, then a preferred network, then that no other server of the backend has it
    (`taken`; those are out of the question without `duplicates`), then that it is the current one. Of equals the first
    is taken.
    """
    best: bytes | None = None
    most = -1
    for address in addresses:
        if address in taken and not duplicates:
            continue
        score = (
            8 * ((len(address) == 4) is prefer_ipv4)
            + 4 * any(address in network for network in networks)
            + 2 * (address not in taken)
            + (address == current)
        )
        if score > most:
            best, most = address, score
    return best
