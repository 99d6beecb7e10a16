"""Stick rules: which server a client belongs to by a table, and what the table learns (section 4.2, `stick on`). HOT.

Rules run in their order after the cookie. A match decides where nothing did yet, and refreshes its entry in any case.
What is to be learned from a request is kept with the stream and written once the server has answered: what was learned
is where the client really was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trilb.live.proxy import Backend
from trilb.live.server import Server
from trilb.live.stream import Stream
from trilb.tables.store import Table

MOST = 8
"""Entries that one request or response may teach."""

Value = bool | int | bytes


@dataclass(slots=True)
class Rule:
    """A built rule: `key` gives the sample, `when` the condition or None."""

    key: Callable[[Stream], Value | None]
    table: Table
    match: bool
    learn: bool
    when: Callable[[Stream], bool] | None


def server_key(server: Server, table: Table) -> str:
    """How a table names a server: by its name, or its address with the port (`srvkey`)."""
    if table.schema.srvkey == "name":
        return server.name
    address = server.address
    if isinstance(address, tuple):
        return f"{address[0]}:{address[1]}"
    return address or server.name


class Stickiness:
    """The stick rules of one backend."""

    def __init__(
        self, backend: Backend, request: list[Rule], response: list[Rule], now: Callable[[], float], *, persist: bool
    ) -> None:
        self.backend = backend
        self.request_rules = request
        self.response_rules = response
        self.now = now
        self.persist = persist
        self.by_id: dict[int, Server] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the servers' ids anew."""
        self.by_id = {server.id: server for server in self.backend.servers}

    def _server(self, table: Table, row: int) -> Server | None:
        """The server an entry names: by its key, else by its number."""
        keys, ids = table.server_key, table.server_id
        if keys is not None and keys.values[row]:
            key = table.servers[keys.values[row]]
            if table.schema.srvkey == "name":
                found = self.backend.by_name.get(key)
            else:
                found = next((s for s in self.backend.servers if server_key(s, table) == key), None)
            if found is not None:
                return found
        return self.by_id.get(ids.values[row]) if ids is not None else None

    def request(self, stream: Stream) -> None:
        """Match and note what is to be learned. Sets stream.server where an entry says so."""
        now = self.now()
        for rule in self.request_rules:
            learned = stream.learned
            if not rule.match and learned is not None and any(table is rule.table for table, _ in learned):
                continue
            if rule.when is not None and not rule.when(stream):
                continue
            value = rule.key(stream)
            if value is None:
                continue
            table = rule.table
            key = table.key(value)
            if key is None:
                continue
            if rule.match:
                row = table.find(key, now)
                if row >= 0:
                    table.touch(row, now)
                    if stream.server is None:
                        server = self._server(table, row)
                        if server is not None and (server.running or self.persist or stream.forced):
                            stream.server = server
                            stream.chosen_by_table = True
            if rule.learn:
                if learned is None:
                    stream.learned = [(table, key)]
                elif len(learned) < MOST and not any(known is table for known, _ in learned):
                    learned.append((table, key))

    def response(self, stream: Stream) -> None:
        """Learn from the response and write all that was noted, with the server that answered."""
        server = stream.server
        noted = stream.learned
        if self.response_rules:
            found: list[tuple[Table, bytes]] = []
            for rule in self.response_rules:
                if any(table is rule.table for table, _ in found) or len(found) >= MOST:
                    continue
                if rule.when is not None and not rule.when(stream):
                    continue
                value = rule.key(stream)
                if value is None:
                    continue
                key = rule.table.key(value)
                if key is not None:
                    found.append((rule.table, key))
            noted = [*noted, *found] if noted else found
        if not noted or server is None or server.line.non_stick:
            return
        stream.learned = None
        now = self.now()
        for table, key in noted:
            row = table.get(key, now)
            if row >= 0:
                table.stick(row, server.id, table.server_number(server_key(server, table)), now)
