"""What the statistics say, as rows (pure): one a frontend, server and backend, in the file's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trilb.config.model import Mode
from trilb.live.counters import Counters
from trilb.live.proxy import Backend, Frontend
from trilb.live.server import Server

Row = dict[str, object]

COLUMNS = (
    "pxname svname qcur qmax scur smax slim stot bin bout dreq dresp ereq econ eresp wretr wredis status weight act "
    "bck chkfail chkdown lastchg downtime qlimit pid iid sid throttle lbtot tracked type rate rate_lim rate_max "
    "check_status check_code check_duration hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other hanafail req_rate "
    "req_rate_max req_tot cli_abrt srv_abrt comp_in comp_out comp_byp comp_rsp lastsess last_chk last_agt qtime ctime "
    "rtime ttime agent_status agent_code agent_duration check_desc agent_desc check_rise check_fall check_health "
    "agent_rise agent_fall agent_health addr cookie mode algo conn_rate conn_rate_max conn_tot intercepted dcon dses "
    "wrew connect reuse"
).split()
"""HAProxy's columns, in its order (management.txt, section 9.1)."""


def _common(counters: Counters) -> Row:
    row: Row = {
        name: getattr(counters, name) for name in ("scur", "smax", "stot", "bin", "bout", "cli_abrt", "srv_abrt")
    }
    for kind in range(1, 6):
        row[f"hrsp_{kind}xx"] = counters.hrsp[kind]
    row["hrsp_other"] = counters.hrsp[0]
    row["rate_max"] = counters.rate.highest
    row["pid"] = 1
    return row


def _frontend(frontend: Frontend) -> Row:
    counters = frontend.counters
    row = _common(counters)
    row.update(
        pxname=frontend.name,
        svname="FRONTEND",
        slim=frontend.maxconn,
        dreq=counters.dreq,
        dresp=counters.dresp,
        ereq=counters.ereq,
        status="STOP" if frontend.stopped else "OPEN",
        iid=frontend.config.id,
        sid=0,
        type=0,
        req_tot=counters.req_tot if frontend.config.mode is Mode.HTTP else "",
        req_rate=counters.req_rate.read(frontend.process.clock.now) if frontend.config.mode is Mode.HTTP else "",
        req_rate_max=counters.req_rate.highest if frontend.config.mode is Mode.HTTP else "",
        mode=frontend.config.mode.value,
        conn_tot=counters.conn_tot,
        dcon=counters.dcon,
        dses=counters.dses,
        wrew=counters.wrew,
    )
    return row


def _listeners(frontend: Frontend) -> Iterator[Row]:
    for name, number, address, counters in frontend.listeners:
        yield {
            "pxname": frontend.name,
            "svname": name,
            "scur": counters.scur,
            "smax": counters.smax,
            "slim": 0,
            "stot": counters.stot,
            "bin": counters.bin,
            "bout": counters.bout,
            "dreq": counters.dreq,
            "dresp": counters.dresp,
            "ereq": counters.ereq,
            "status": "STOPPED" if frontend.stopped else "OPEN",
            "pid": 1,
            "iid": frontend.config.id,
            "sid": number,
            "type": 3,
            "addr": address,
            "mode": frontend.config.mode.value,
        }


def _server(server: Server, backend: Backend) -> Row:
    counters = server.counters
    row = _common(counters)
    row.update(
        pxname=backend.name,
        svname=server.name,
        qcur=len(server.queue),
        qmax=counters.qmax,
        scur=server.used,
        slim=server.maxconn or "",
        econ=counters.econ,
        eresp=counters.eresp,
        wretr=counters.wretr,
        wredis=counters.wredis,
        status=server.status(),
        weight=server.weight,
        act=int(not server.line.backup),
        bck=int(server.line.backup),
        iid=backend.config.id,
        sid=server.id,
        lbtot=counters.lbtot,
        type=2,
        mode=backend.config.mode.value,
        reuse=counters.reuse,
    )
    if server.check is not None:
        row.update(chkfail=counters.chkfail, chkdown=counters.chkdown, check_status=server.check.status)
    return row


def _backend(backend: Backend) -> Row:
    counters = backend.counters
    row = _common(counters)
    usable = [server for server in backend.servers if server.effective]
    row.update(
        pxname=backend.name,
        svname="BACKEND",
        qcur=len(backend.queue),
        qmax=counters.qmax,
        slim=backend.fullconn,
        dreq=counters.dreq,
        dresp=counters.dresp,
        econ=counters.econ,
        eresp=counters.eresp,
        wretr=counters.wretr,
        wredis=counters.wredis,
        status="UP" if usable or not backend.servers else "DOWN",
        weight=sum(server.effective for server in usable),
        act=sum(not server.line.backup for server in usable),
        bck=sum(server.line.backup for server in usable),
        iid=backend.config.id,
        sid=0,
        lbtot=counters.lbtot,
        type=1,
        mode=backend.config.mode.value,
        algo=backend.config.balance.name,
        wrew=counters.wrew,
    )
    return row


def rows(frontends: Mapping[str, Frontend], backends: Mapping[str, Backend]) -> Iterator[Row]:
    """Every row, proxies by id."""
    both = {**{f.config.id: f.name for f in frontends.values()}, **{b.config.id: b.name for b in backends.values()}}
    for _, name in sorted(both.items()):
        if name in frontends:
            yield _frontend(frontends[name])
            yield from _listeners(frontends[name])
        if name in backends:
            backend = backends[name]
            for server in backend.servers:
                yield _server(server, backend)
            yield _backend(backend)


def csv(frontends: Mapping[str, Frontend], backends: Mapping[str, Backend]) -> str:
    """The rows as CSV, with HAProxy's header line."""
    lines = ["# " + ",".join(COLUMNS) + ","]
    for row in rows(frontends, backends):
        lines.append(",".join(_field(row.get(column, "")) for column in COLUMNS) + ",")
    return "\n".join(lines) + "\n"


def _field(value: object) -> str:
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text
