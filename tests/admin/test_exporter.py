"""The Prometheus exporter: query strings, labels, and that every line is one a scraper understands."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.admin.test_figures import World
from trilb.admin import prometheus
from trilb.admin.prometheus_query import SCOPES, Malformed, wanted
from trilb.live.check import PASSED, Check
from trilb.live.server import FDRAIN

LABEL = r'\w+="(?:[^"\\]|\\.)*"'
LINE = re.compile(rf"# (HELP|TYPE) haproxy_\w+ .+|haproxy_\w+(\{{{LABEL}(?:,{LABEL})*\}})? (NaN|-?\d+(\.\d+)?)")


def text(world: World, query: str = "") -> list[str]:
    world.tables = {}  # type: ignore[attr-defined]
    return "".join(prometheus.text(cast(Any, world), wanted(query))).splitlines()


@pytest.mark.parametrize(
    ("query", "scopes"),
    [
        ("", set(SCOPES)),
        ("scope=*", set(SCOPES)),
        ("scope=", set()),
        ("scope=server", {"server"}),
        ("scope=server&scope=backend", {"server", "backend"}),
        ("scope=server&scope=", set()),
        ("scope=&scope=%66rontend", {"frontend"}),
        ("other&scope=listener&x=y", {"listener"}),
    ],
)
def test_scopes(query: str, scopes: set[str]) -> None:
    assert wanted(query).scopes == scopes


@pytest.mark.parametrize("query", ["scope", "scope=x", "scope=server&scope=y", "scope=frontend%26"])
def test_malformed(query: str) -> None:
    with pytest.raises(Malformed):
        wanted(query)


@given(st.text(alphabet="scope=*&%server,-metrics6x", max_size=40))
def test_any_query_is_read_or_refused(query: str) -> None:
    try:
        found = wanted(query)
    except Malformed:
        return
    assert found.scopes <= set(SCOPES)


@pytest.mark.parametrize("query", ["", "extra-counters", "desc-labels", "no-maint"])
def test_every_line_is_well_formed(query: str) -> None:
    world = World()
    world.frontend.config.description = 'a "quoted" \\ one'
    lines = text(world, query)
    assert len(lines) > 300
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    introduced = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(introduced) == len(set(introduced))
    named = {re.split(r"[ {]", line)[0] for line in lines if line[0] != "#"}
    assert named == {name for name in introduced if not name.startswith("haproxy_resolver_")}, "there is no nameserver"
    assert ('haproxy_frontend_max_sessions{proxy="web",desc="a \\"quoted\\" \\\\ one"} 0' in lines) == (
        query == "desc-labels"
    )


def test_states() -> None:
    world = World()
    one, two = world.backend.servers
    one.check = Check(2, 3)
    one.check.status, one.check.result, one.check.code, one.check.duration = "L7OK", PASSED, 200, 12
    one.admin |= FDRAIN
    lines = text(world, "scope=server&scope=backend")
    assert 'haproxy_server_status{proxy="app",server="a,b",state="DRAIN"} 1' in lines
    assert 'haproxy_server_status{proxy="app",server="two",state="MAINT"} 1' in lines
    assert 'haproxy_server_check_status{proxy="app",server="a,b",state="L7OK"} 1' in lines
    assert 'haproxy_server_check_code{proxy="app",server="a,b"} 200' in lines
    assert 'haproxy_server_check_duration_seconds{proxy="app",server="a,b"} 0.012000' in lines
    assert 'haproxy_server_check_failures_total{proxy="app",server="two"} NaN' in lines
    assert 'haproxy_backend_agg_server_status{proxy="app",state="DRAIN"} 1' in lines
    assert 'haproxy_backend_agg_check_status{proxy="app",state="L7OK"} 1' in lines
    assert not any('server="two"' in line for line in text(world, "scope=server&no-maint"))
    assert two.counters.stot == 0
