"""Commands that show servers and backends (management.txt, section 9.3)."""

from __future__ import annotations

from collections.abc import Iterator

from trilb.admin.cmd_servers import find_backend
from trilb.admin.commands import Answer, View, command
from trilb.health import saved
from trilb.live.proxy import Backend


def _chosen(view: View, words: list[str]) -> list[Backend] | str:
    if not words:
        return list(view.backends.values())
    backend = find_backend(view, words[0])
    return "Can't find backend.\n" if backend is None else [backend]


@command("show servers state", source="9.3", level="operator")
def show_servers_state(view: View, words: list[str]) -> Answer:
    """show servers state [<backend>]: dump the states of servers, as server-state-file takes them"""
    chosen = _chosen(view, words)
    return chosen if isinstance(chosen, str) else _states(chosen, view.process.clock.now)


def _states(chosen: list[Backend], now: float) -> Iterator[str]:
    yield saved.HEADER
    yield from saved.rows(chosen, now)


@command("show servers conn", source="9.3", level="operator")
def show_servers_conn(view: View, words: list[str]) -> Answer:
    """show servers conn [<backend>]: dump how many connections servers have, in use and idle"""
    chosen = _chosen(view, words)
    return chosen if isinstance(chosen, str) else _connections(chosen)


def _connections(chosen: list[Backend]) -> Iterator[str]:
    yield (
        "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim "
        "idle_cur idle_per_thr[1]\n"
    )
    for backend in chosen:
        for server in backend.servers:
            idle = len(server.idle) + sum(mux.idle() for mux in server.muxes)
            line = server.line
            yield (
                f"{backend.name}/{server.name} {backend.config.id}/{server.id} {saved.address_of(server) or '-'} "
                f"{saved.port_of(server)} - {round(line.pool_purge_delay * 1000)} {server.used} "
                f"{server.counters.smax} {server.used} 0 {idle} {line.pool_max_conn} {idle} {idle}\n"
            )


@command("show backend", source="9.3", level="user")
def show_backend(view: View, words: list[str]) -> str:
    """show backend: list the backends"""
    return "# name\n" + "".join(f"{backend.name}\n" for backend in view.backends.values())
