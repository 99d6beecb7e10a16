"""Commands that report what was counted (management.txt, section 9.3)."""

from __future__ import annotations

import os
from collections.abc import Mapping

from trilb import HAPROXY_VERSION, __version__
from trilb.admin.commands import View, command
from trilb.admin.views import csv
from trilb.samples import regex


@command("show info", source="9.3", level="user")
def show_info(view: View, words: list[str]) -> str:
    """show info: report information about the running process"""
    process = view.process
    now, uptime = process.clock.now, int(process.clock.wall - process.started_wall)
    rate, keys = process.tls_rate.read(now), process.tls_key_rate.read(now)
    values: Mapping[str, object] = {
        "Name": "trilb",
        "Version": f"{HAPROXY_VERSION}-trilb{__version__}",
        "Pid": os.getpid(),
        "Uptime_sec": uptime,
        "Maxconn": process.maxconn,
        "CurrConns": process.actconn,
        "CumConns": process.cum_conn,
        "CumReq": process.cum_req,
        "ConnRate": process.conn_rate.read(now),
        "MaxConnRate": process.conn_rate.highest,
        "SessRate": process.conn_rate.read(now),
        "MaxSslConns": 0,
        "CurrSslConns": process.tls_now,
        "CumSslConns": process.tls_tried,
        "FailedSslConns": process.tls_failed,
        "SslRate": rate,
        "SslRateLimit": 0,
        "MaxSslRate": process.tls_rate.highest,
        "SslFrontendKeyRate": keys,
        "SslFrontendMaxKeyRate": process.tls_key_rate.highest,
        "SslFrontendSessionReuse_pct": (rate - keys) * 100 // rate if rate > keys else 0,
        "Stopping": int(process.stopping),
        "RegexOverruns": regex.overruns,
        "SessionFaults": process.faults,
        "node": process.node,
    }
    return "".join(f"{name}: {value}\n" for name, value in values.items())


@command("show stat", source="9.3", level="user")
def show_stat(view: View, words: list[str]) -> str:
    """show stat: report counters of each proxy and server in CSV"""
    return csv(view.frontends, view.backends)
