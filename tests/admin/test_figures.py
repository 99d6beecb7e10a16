"""The table of columns, and the formats made from it."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any, cast

import pytest

from trilb.admin import cmd_stats as _registered  # noqa: F401
from trilb.admin import columns, commands, page_rows, views
from trilb.admin.views import Selection
from trilb.base.address import Address, Family
from trilb.base.clock import Clock
from trilb.base.diagnostic import NOWHERE
from trilb.config.lines import ServerLine
from trilb.config.model import Config, Mode, Proxy, Side
from trilb.live.counters import Counters
from trilb.live.process import ProcessState
from trilb.live.proxy import Backend, Frontend, Listener
from trilb.live.server import FMAINT
from trilb.logs.sinks import Channels

ADDRESS = Address(Family.IPV4, "127.0.0.1", 80)
STATIC_26 = (
    "pxname svname qcur qmax scur smax slim stot bin bout dreq dresp ereq econ eresp wretr wredis status weight act "
    "bck chkfail chkdown lastchg downtime qlimit pid iid sid throttle lbtot tracked type rate rate_lim rate_max "
    "check_status check_code check_duration hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other hanafail req_rate "
    "req_rate_max req_tot cli_abrt srv_abrt comp_in comp_out comp_byp comp_rsp lastsess last_chk last_agt qtime ctime "
    "rtime ttime agent_status agent_code agent_duration check_desc agent_desc check_rise check_fall check_health "
    "agent_rise agent_fall agent_health addr cookie mode algo conn_rate conn_rate_max conn_tot intercepted dcon dses "
    "wrew connect reuse cache_lookups cache_hits srv_icur src_ilim qtime_max ctime_max rtime_max ttime_max eint "
    "idle_conn_cur safe_conn_cur used_conn_cur need_conn_est uweight agg_server_status agg_server_check_status "
    "agg_check_status"
).split()


class World:
    """A frontend with a socket, and a backend of two servers, the second in maintenance."""

    def __init__(self) -> None:
        self.clock = Clock(lambda: 1000.0, lambda: 5000.0)
        self.process = ProcessState(self.clock, 1, "here", 100)
        front = Proxy("web", "frontend", NOWHERE, Side.FRONTEND, mode=Mode.HTTP)
        back = Proxy("app", "backend", NOWHERE, Side.BACKEND, mode=Mode.HTTP)
        front.id, back.id = 2, 3
        back.servers = [
            ServerLine("a,b", ADDRESS, NOWHERE, id=1, cookie='c"d'),
            ServerLine("two", ADDRESS, NOWHERE, id=2, disabled=True),
        ]
        self.frontend = Frontend(front, 50, self.process)
        self.listener = Listener(self.frontend, "sock-1", 1, "127.0.0.1:80", 0)
        self.frontend.listeners.append(self.listener)
        self.backend = Backend(back)
        self.frontends = {"web": self.frontend}
        self.backends = {"app": self.backend}
        self.config = Config()
        self.sections: list[Any] = []
        self.resolvers: dict[str, Any] = {}
        self.channels = Channels()
        assert self.backend.servers[1].admin & FMAINT

    def ask(self, level: str, text: str) -> str:
        answer = commands.execute(cast(Any, self), level, text)
        return answer if isinstance(answer, str) else "".join(answer)


@pytest.fixture
def world() -> World:
    return World()


def table(text: str) -> list[dict[str, str]]:
    assert text.startswith("# ")
    return list(csv.DictReader(io.StringIO(text[2:])))


def test_programs_read_the_first_columns_by_position() -> None:
    names = [column.name for column in columns.STATIC]
    assert names[: len(STATIC_26)] == STATIC_26
    assert [column.position for column in columns.COLUMNS] == list(range(len(columns.COLUMNS)))


def test_csv(world: World) -> None:
    text = world.ask("admin", "show stat")
    rows = table(text)
    assert [row["svname"] for row in rows] == ["FRONTEND", "sock-1", "a,b", "two", "BACKEND"]
    assert [row["type"] for row in rows] == ["0", "3", "2", "2", "1"]
    assert all(row["-"] == "-" for row in rows)
    assert rows[2]["cookie"] == 'c"d'
    assert ',"a,b",' in text and ',"c""d",' in text
    assert len({line.count(",") for line in text.splitlines() if '"' not in line}) == 1
    assert all(line.endswith(",") for line in text.splitlines())


def test_who_may_not_see_addresses(world: World) -> None:
    rows = table(world.ask("user", "show stat"))
    assert {row[name] for row in rows for name in ("addr", "cookie", "algo")} == {""}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("web 1 -1", ["FRONTEND"]),
        ("2 9 -1", ["FRONTEND", "sock-1"]),
        ("app 4 2", ["two"]),
        ("-1 6 -1", ["a,b", "two", "BACKEND"]),
        ("-1 -1 0", ["FRONTEND", "BACKEND"]),
        ("99 -1 -1", []),
        ("app x y", []),
        ("up", ["FRONTEND", "sock-1", "a,b", "BACKEND"]),
        ("no-maint", ["FRONTEND", "sock-1", "a,b", "BACKEND"]),
        ("domain proxy app 2 -1", ["BACKEND"]),
    ],
)
def test_which_rows(world: World, words: str, found: list[str]) -> None:
    assert [row["svname"] for row in table(world.ask("admin", f"show stat {words}"))] == found


def test_what_is_refused(world: World) -> None:
    assert world.ask("admin", "show stat nobody 1 1") == "No such proxy.\n"
    assert world.ask("admin", "show stat domain x") == "Invalid statistics domain.\n"


def test_left_out_servers_are_told_of(world: World) -> None:
    rows = list(views.rows(world, None, Selection(no_maint=True)))
    assert rows[-1]["status"] == "UP (1/2)"


def test_typed(world: World) -> None:
    lines = world.ask("admin", "show stat typed desc").splitlines()
    assert 'F.2.0.0.pxname.1:KNSV:str:web:"Proxy name"' in lines
    assert 'S.3.1.74.cookie.1:CNSV:str:c"d:' in "\n".join(lines)
    assert all(
        re.match(r'[FBLS]\.\d+\.\d+\.\d+\.\w+\.1:[MSKCP]\w[CPSs][VP]:(s32|u32|u64|str):.*:".+"\Z', x) for x in lines
    )
    assert any(line.startswith("L.2.1.7.stot.1:MCPP:u64:0") for line in lines)


def matches(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    """As much of JSON schema as ours uses."""
    if "$ref" in schema:
        at: Any = root
        for name in schema["$ref"].removeprefix("#/").split("/"):
            at = at[name]
        return matches(at, value, root)
    if "oneOf" in schema and sum(matches(each, value, root) for each in schema["oneOf"]) != 1:
        return False
    kinds: dict[str, Any] = {"array": list, "object": dict, "string": str, "integer": int, "number": (int, float)}
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if not schema.get("minimum", value) <= value if isinstance(value, int) else False:
        return False
    if not value <= schema.get("maximum", value) if isinstance(value, int) else False:
        return False
    if "items" in schema and not all(matches(schema["items"], each, root) for each in value):
        return False
    if isinstance(value, dict):
        if not all(name in value for name in schema.get("required", ())):
            return False
        return all(
            matches(part, value[name], root) for name, part in schema.get("properties", {}).items() if name in value
        )
    return True


@pytest.mark.parametrize(
    "command", ["show stat json", "show stat app 4 1 json", "show info json", "show info json float"]
)
def test_json_is_what_the_schema_says(world: World, command: str) -> None:
    schema = json.loads(world.ask("user", "show schema json"))
    made = json.loads(world.ask("user", command))
    assert matches(schema, made, schema)
    assert not matches(schema, [[{"objType": "Frontend"}]], schema)


def test_json_is_compact_and_ends_as_haproxys_does(world: World) -> None:
    text = world.ask("admin", "show stat web 1 -1 json")
    assert text.startswith(
        '[[{"objType":"Frontend","proxyId":2,"id":0,"field":{"pos":0,"name":"pxname"},"processNum":1,'
    )
    assert text.endswith("}]]\n")
    assert world.ask("admin", "show stat 99 1 -1 json") == "[]\n"


def test_info(world: World) -> None:
    plain = world.ask("user", "show info").splitlines()
    assert plain[0] == "Name: HAProxy"
    assert "Uptime: 0d 0h00m00s" in plain
    assert plain.index("Build info: " + plain[1].removeprefix("Version: ")) == 63
    assert 'Nbproc: 1:"Number of started worker processes (historical, always 1)"' in world.ask(
        "user", "show info desc"
    )
    world.process.started_wall -= 100_000.25
    assert "Uptime: 1d 3h46m40s\nUptime_sec: 100000\n" in world.ask("user", "show info")
    assert "Uptime_sec: 100000.25\n" in world.ask("user", "show info float")
    assert "8.Uptime_sec.1:MDPV:flt:100000.25\n" in world.ask("user", "show info typed float")
    assert "54.Unstoppable Jobs.1:MGPV:u32:0\n" in world.ask("user", "show info typed")


def test_averages_are_of_as_many_requests_as_there_were(world: World) -> None:
    counters = world.backend.counters
    for _ in range(3):
        counters.req_tot += 1
        counters.took(5, 10, 20, 40)
    row = list(views.rows(world))[-1]
    assert [row[name] for name in ("qtime", "ctime", "rtime", "ttime")] == [5, 10, 20, 40]
    for _ in range(20_000):
        counters.req_tot += 1
        counters.took(50, 100, 200, 400)
    row = list(views.rows(world))[-1]
    assert [row[name] for name in ("qtime", "ctime", "rtime", "ttime")] == [50, 100, 200, 400]
    assert [row[name] for name in ("qtime_max", "ttime_max")] == [50, 400]


def test_clearing(world: World) -> None:
    counters: Counters = world.backend.servers[0].counters
    other = world.backend.counters
    counters.stot = counters.smax = other.stot = other.smax = world.listener.counters.stot = 7
    counters.hrsp[2] = 7
    assert world.ask("operator", "clear counters") == ""
    assert (counters.stot, counters.smax, counters.hrsp[2]) == (7, 0, 7)
    assert world.ask("operator", "clear counters all") == "Permission denied\n"
    assert world.ask("user", "clear counters") == "Permission denied\n"
    assert world.ask("operator", "clear counters server app/a,b") == "Permission denied\n"
    assert world.ask("admin", "clear counters server nosuch/s") == "No such backend.\n"
    assert world.ask("admin", "clear counters server app/nosuch") == "No such server.\n"
    assert world.ask("admin", "clear counters server app") == "'clear counters server' expects <backend>/<server>.\n"
    assert world.ask("admin", "clear counters server app/a,b force") == "Server counters cleared.\n"
    assert (counters.stot, counters.hrsp[2], other.stot) == (0, 0, 7)
    assert world.ask("admin", "clear counters all") == ""
    assert (other.stot, world.listener.counters.stot) == (0, 0)
    assert "supports" in world.ask("admin", "clear counters some")


def test_the_page_shows_what_modules_count_when_asked_to(world: World) -> None:
    row = next(views.rows(world))
    assert 'title="ssl_sess 0\n' in page_rows.draw(row, None, admin=False, legends=False, modules=True)
    assert "ssl_sess" not in page_rows.draw(row, None, admin=False, legends=False)
