"""Stats-files: counters written down by `dump stats-file`, to begin with in the next process (management.txt, 9.5).

Who is meant is told by its guid. A `#fe` line names the columns of the lines below it, which are of frontends and
their sockets, a `#be` line those of backends and servers. What is not understood is left out without a word: a file may
come from another version.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from trilb.admin.views import Shown
from trilb.live.counters import Counters

_PLAIN = frozenset(
    "stot bin bout dreq dresp ereq econ eresp wretr wredis cli_abrt srv_abrt lbtot req_tot conn_tot chkfail chkdown "
    "reuse dcon dses wrew eint intercepted".split()
)
"""Columns kept under their own names."""
_RENAMED = {"connect": "conn_tot"}
_ANSWERS = {**{f"hrsp_{kind}xx": kind for kind in range(1, 6)}, "hrsp_other": 0}
_SIDES = {
    "fe": "stot bin bout dreq dresp ereq hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other req_tot conn_tot "
    "intercepted dcon dses wrew eint".split(),
    "be": "stot bin bout dreq dresp econ eresp wretr wredis chkfail chkdown lbtot hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx "
    "hrsp_5xx hrsp_other req_tot cli_abrt srv_abrt wrew connect reuse eint".split(),
}
_NUMBER = re.compile(r"\d{1,19}\Z")


def _named(shown: Shown, side: str) -> Iterator[tuple[str, Counters]]:
    """Who has a guid, on one side."""
    if side == "fe":
        for frontend in shown.frontends.values():
            yield frontend.config.guid, frontend.counters
            for listener in frontend.listeners:
                yield listener.guid, listener.counters
        return
    for backend in shown.backends.values():
        # A listen section's guid stands for both its sides.
        yield backend.config.guid, backend.counters
        for server in backend.servers:
            yield server.line.guid, server.counters


def _reader(column: str) -> Callable[[Counters], int]:
    if column in _ANSWERS:
        kind = _ANSWERS[column]
        return lambda counters: counters.hrsp[kind]
    name = _RENAMED.get(column, column)
    return lambda counters: int(getattr(counters, name))


def dump(shown: Shown) -> Iterator[str]:
    """The file for what was counted so far, a piece a line."""
    for side, names in _SIDES.items():
        yield f"#{side} guid,{','.join(names)},\n"
        readers = [_reader(column) for column in names]
        for guid, counters in _named(shown, side):
            if guid:
                yield f"{guid},{','.join(str(read(counters)) for read in readers)},\n"
        yield "\n"


def _set(counters: Counters, column: str, value: int) -> None:
    if column in _ANSWERS:
        counters.hrsp[_ANSWERS[column]] = value
    elif column in _PLAIN or column in _RENAMED:
        setattr(counters, _RENAMED.get(column, column), value)


def load(shown: Shown, text: str) -> None:
    """Begin with what a file says."""
    found: dict[str, Counters] = {}
    names: list[str] = []
    for line in text.splitlines():
        first, *values = line.strip().split(",")
        if first.startswith("#"):
            side, _, first_name = first[1:].partition(" ")
            known = side in _SIDES and first_name == "guid"
            names = values if known else []
            found = {guid: counters for guid, counters in _named(shown, side) if guid} if known else {}
            continue
        counters = found.get(first)
        if counters is not None:
            for name, value in zip(names, values, strict=False):
                if _NUMBER.match(value):
                    _set(counters, name, int(value))
