"""Files that states of servers are read from at start (configuration.txt, `load-server-state-from-file`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from trilb.base.diagnostic import NOWHERE, Place, Refused
from trilb.config.model import Proxy, Side
from trilb.config.settings import Global
from trilb.health.restore import Row, judge, read

Warn = Callable[[Place, str], None]
Rows = dict[str, dict[str, Row]]
"""Backend, server: the first line about it."""


def saved_states(settings: Global, proxies: Iterable[Proxy], warn: Warn) -> Rows:
    """What the files say of the servers of these proxies; what is wrong with them is told, and left out."""
    found: Rows = {}
    backends = [proxy for proxy in proxies if proxy.side & Side.BACKEND]
    wanting = {proxy.name: proxy for proxy in backends if proxy.state_from == "global"}
    if wanting and not settings.state_file:
        for proxy in wanting.values():
            told = f"backend '{proxy.name}' configured to load server state file from global section"
            warn(proxy.place, f"{told} 'server-state-file' directive. Unfortunately, 'server-state-file' is not set!")
    elif wanting:
        for row in _rows(_path(settings, settings.state_file), "config: ", "global server state file", warn):
            if row["be_name"] in wanting:
                found.setdefault(row["be_name"], {}).setdefault(row["srv_name"], row)
    for proxy in backends:
        if proxy.state_from != "local":
            continue
        mine = found.setdefault(proxy.name, {})
        path = _path(settings, proxy.state_file or proxy.name)
        for row in _rows(path, f"Proxy '{proxy.name}': ", "server state file", warn):
            if row["be_name"] == proxy.name:
                mine.setdefault(row["srv_name"], row)
            else:
                told = f"backend name mismatch: from server state file: '{row['be_name']}'"
                warn(row.place, f"Proxy '{proxy.name}': {told}, from running config '{proxy.name}'")
    return {name: _sound(name, rows, warn) for name, rows in found.items() if rows}


def _sound(backend: str, rows: dict[str, Row], warn: Warn) -> dict[str, Row]:
    sound: dict[str, Row] = {}
    for name, row in rows.items():
        wrong = judge(row)
        if wrong:
            warn(row.place, f"server-state application failed for server '{backend}/{name}', {wrong}")
        else:
            sound[name] = row
    return sound


def _path(settings: Global, name: str) -> Path:
    return Path(settings.state_base, name)


def _rows(path: Path, who: str, what: str, warn: Warn) -> list[Row]:
    try:
        # As bytes: line ends are to be what they are.
        text = path.read_bytes().decode("latin-1")
    except OSError as error:
        warn(NOWHERE, f"{who}Can't open {what} '{path}': {os.strerror(error.errno or 0)}")
        return []
    try:
        rows, broken = read(text, str(path))
    except Refused:
        warn(Place(str(path), 1), f"{who}Can't get version of the {what} '{path}'.")
        return []
    for place in broken:
        warn(place, f"{who}corrupted {what} '{path}' at line {place.line}.")
    return rows
