"""ACLs, maps and the commands that change them, on both programs: equal answers, equal refusals.

The rows are in acls/same.txt (both accept, and must answer alike for every value) and acls/refused.txt.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.duel import Duel, Side, require_haproxy
from tests.support.ports import free_port
from tests.support.program import HAPROXY, Program
from tests.support.rows import SELF_CHECK
from tests.support.syslog import Syslog
from tests.support.wire import Client

if TYPE_CHECKING:
    from tests.duel.conftest import DuelFactory

HERE = Path(__file__).parent / "acls"
FILES = {
    "f.lst": "# c\n  lead\ntrail  \n\n #hash\ntwo words\n \t \n",
    "g.lst": "Gee\r\n\n",
    "m.map": "# k c\nk1 v1\n  k2\tv2  \nk3\n",
    "ip.lst": "10.0.0.0/8\n192.168.5.5\n",
    "int.lst": "1\n10:20\ngt 40\n",
    "reg.lst": "^abc$\nx y\n",
    "beg.map": "a A\nabc ABC\nab AB\nab AB2\n/x/ slash\n",
    "end.map": "c C\nabc ABC\nbc BC\n",
    # HAProxy 2.6 mixes up `end`, `sub`, `dir` and `dom` on one file: the first of them counts for all.
    "sub.map": "c C\nabc ABC\nbc BC\n",
    "subnumbers.map": "a 5\nb -7\nc 010\n",
    "endnumbers.map": "a 5\nb -7\nc 010\n",
    "regnumbers.map": "a 5\nb -7\nc 010\n",
    "int.map": "5 five\n1:10 range\n:3 low\n100: high\n",
    "ip.map": "10.0.0.0/8 ten\n10.1.0.0/16 tenone\n10.1.0.0/16 tenone2\n::ffff:10.1.1.0/120 mapped\n"
    "2001:db8::/32 doc\n0.0.0.0/0 all\n",
    "values.map": "a 5\nb -7\nc 010\nd  1 2\ne 10.0.0.1\n",
    "numbers.map": "a 5\nb -7\nc 010\n",
    "addresses.map": "a 10.0.0.1\nb ::1\n",
    "badnumber.map": "a 5\nb x\n",
    "badaddress.map": "a 10.0.0.1\nb 10.1\n",
    "hash.map": "#c x\n #d y\nk  v  w  \r\nonly\nonlytab\t\n",
    "re.map": "^(.*)\\.(.*)$ \\1_AND_\\2\n^(a)(b)?$ <\\0|\\1|\\2|\\3|\\\\|\\x41|\\n|\\z>\n^z (\n",
    "badre.map": "( x\n",
    "empty.map": "",
    "dir.map": "images/png P\nimages I\n",
    "dom.map": "domain.tld D\nfirst.domain.tld F\n",
    "len.map": "3 three\n1:2 short\n",
    "short.map": "192.168.1 x\n",
    "set.map": "k0 old\nk0 older\nk1 one\n",
    "add.acl": "first\n",
    "net.acl": "",
    "both.map": "a 1\nb 2\n",
    "folded.acl": "Gee\n",
}
VALUES = (
    " a ab abcd xbc c ABC 5 05 2 50 200 10.1.1.1 10.1.2.1 10.9.9.9 11.0.0.1 ::ffff:10.1.1.1 ::ffff:10.1.2.1 2001:db8::5"
    " ::1 b d e #c #d k only onlytab foo.bar z /a/images/png first.domain.tld x.domain.tld abc bb"
).split(" ")
MAPS = """
map_beg(beg.map) | map_end(end.map) | map_sub(sub.map) | map_str(beg.map) | map(beg.map,dflt) | map_int(int.map)
map_ip(ip.map) | map_ip(ip.map,none) | map_str_int(numbers.map) | map_str_int(numbers.map,9)
map_str_int(numbers.map),add(1) | map_str_ip(addresses.map) | map_str_ip(addresses.map,1.2.3.4) | map(hash.map)
map_reg(re.map) | map_regm(re.map) | map_regm(re.map,none) | map(empty.map) | map_dir(dir.map) | map_dom(dom.map)
map_beg_int(numbers.map) | length,map(len.map) | map_reg_int(regnumbers.map) | map(values.map) | map_end(end.map,)
map_sub_int(subnumbers.map,-1) | map_dom(dom.map,none) | map_end_int(endnumbers.map) | map_int(int.map,none)
"""
BAD_MAPS = """
map_str_int(numbers.map,z) | map_str_ip(addresses.map,zz) | map_str_int(badnumber.map) | map_str_int(values.map)
map_str_ip(badaddress.map) | map_regm(badre.map) | map(nofile.map) | map_len(len.map) | map() | map | map(a,b,c)
map_int_ip(int.map) | map_regm_int(numbers.map) | map_str_str(beg.map) | map_found(beg.map) | map_ip(short.map)
"""
HEAD = """
global
    stats socket {dir}/s.sock level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend f
    bind 127.0.0.1:{port}
"""
ACTIONS = """
    acl add req.fhdr(x) -f FILES/add.acl
    acl net req.fhdr(x) -m ip -f FILES/net.acl
    acl both req.fhdr(x) -M -f FILES/both.map
    acl folded req.fhdr(x) -i -f FILES/folded.acl
    acl inline req.fhdr(x) -u 300 -m beg one two
    http-request set-map(FILES/set.map) %[req.fhdr(k)] %[req.fhdr(v)] if { path /set }
    http-request del-map(FILES/set.map) %[req.fhdr(k)] if { path /del }
    http-request add-acl(FILES/add.acl) %[req.fhdr(k)] if { path /add-acl }
    http-request del-acl(FILES/add.acl) %[req.fhdr(k)] if { path /del-acl }
    http-request add-acl(FILES/net.acl) %[req.fhdr(k)] if { path /add-net }
    http-request del-acl(FILES/net.acl) %[req.fhdr(k)] if { path /del-net }
    http-request return status 200 hdr r "%[req.fhdr(x),map(FILES/set.map,none)]" if { path /map }
    http-request return status 200 hdr r "%[req.fhdr(x),map_beg(FILES/both.map,none)]" if { path /both-map }
"""
ACTIONS += "".join(
    f"    http-request return status 200 hdr r yes if {{ path /{name} }} {name}\n"
    f"    http-request return status 200 hdr r no if {{ path /{name} }}\n"
    for name in ("add", "net", "both", "folded", "inline")
)
ACTIONS += "    http-request return status 200 hdr r done\n"


def _same_rows() -> list[tuple[str, list[str | None]]]:
    lines = [line for line in (HERE / "same.txt").read_text().splitlines() if not line.startswith("#")]
    special: dict[str, str | None] = {"-": None, "~": ""}
    return [
        (row, [special.get(value, value) for value in values.strip().split(" | ")])
        for row, values in zip(lines[::2], lines[1::2], strict=True)
    ]


SAME = _same_rows()
REFUSED = [line for line in (HERE / "refused.txt").read_text().splitlines() if not line.startswith("#")]
MAP_ROWS = re.split(r" \| |\n", MAPS.strip())
BAD_MAP_ROWS = re.split(r" \| |\n", BAD_MAPS.strip())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the pattern files."""
    directory = tmp_path_factory.mktemp("patterns")
    for name, text in FILES.items():
        (directory / name).write_text(text)
    return directory


def _filed(row: str, files: Path) -> str:
    """The row with its files where they are."""
    row = re.sub(r"-f (?=[a-z])", f"-f {files}/", row)
    return re.sub(r"\((?=[a-z]+\.map)", f"({files}/", row)


@pytest.fixture(scope="module")
def asked(module_duel: DuelFactory, files: Path) -> Duel:
    """Both programs with every row as a path of its own."""
    rules: list[str] = []
    for number, (row, _) in enumerate(SAME):
        test = f"{{ {_filed(row, files)} }}"
        rules.append(f"    http-request return status 200 hdr r yes if {{ path /acl{number} }} {test}\n")
        rules.append(f"    http-request return status 200 hdr r no if {{ path /acl{number} }}\n")
    for number, row in enumerate(MAP_ROWS):
        text = f"'<%[req.fhdr(x),{_filed(row, files)}]>'"
        rules.append(f"    http-request return status 200 hdr r {text} if {{ path /map{number} }}\n")
    return module_duel(HEAD + "".join(rules))


def _ask(client: Client, path: str, **headers: str | None) -> str:
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
    client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n".encode())
    before = len(client.received)
    client.read_response("GET")
    found = re.search(rb"\r\nr: ([^\r]*)\r\n", client.received[before:])
    return found[1].decode() if found else client.received[before:].decode("latin-1")


def _answers(side: Side, path: str, values: list[str | None]) -> dict[str | None, str]:
    with Client(side.port) as client:
        return {value: _ask(client, path, x=value) for value in values}


@pytest.mark.parametrize("number", range(len(SAME)), ids=[row for row, _ in SAME])
def test_acl(asked: Duel, number: int) -> None:
    """An ACL answers the same for every value."""
    asked.same(lambda side: _answers(side, f"/acl{number}", SAME[number][1]))


@pytest.mark.parametrize("number", range(len(MAP_ROWS)), ids=MAP_ROWS)
def test_map(asked: Duel, number: int) -> None:
    """A map converter gives the same for every value."""
    asked.same(lambda side: _answers(side, f"/map{number}", list(VALUES)))


@pytest.fixture(scope="module")
def refusals(files: Path) -> tuple[set[str], set[str]]:
    """The rows of one file that each program's check complains about."""
    require_haproxy()
    rows = [f"http-request deny if {{ {row} }}" for row in REFUSED]
    rows += [f"http-request set-header x %[path,{row}]" for row in BAD_MAP_ROWS]
    rows += BAD_RULES
    rows = [_filed(row, files) for row in rows]
    start = "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\nfrontend f\n"
    config = files / "refused.cfg"
    expected = set()
    for row in rows:
        # HAProxy stops at the first rule that is wrong.
        config.write_text(f"{start} {row}\n")
        if subprocess.run([HAPROXY or "", "-c", "-f", str(config)], capture_output=True, check=False).returncode:
            expected.add(_short(row, files))
    if SELF_CHECK:
        return expected, expected
    config.write_text(start + "".join(f" {row}\n" for row in rows))
    command = [sys.executable, "-m", "trilb", "-c", "-f", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    numbers = re.findall(r"\[ALERT\][^\[]*\[\S*refused\.cfg:(\d+)\]", done.stderr)
    return expected, {_short(rows[int(number) - 7], files) for number in numbers}


def _short(row: str, files: Path) -> str:
    return row.replace(f"{files}/", "")


BAD_RULES = [
    "http-request set-map(beg.map) a",
    "http-request set-map(beg.map) a b c",
    "http-request del-map(beg.map) a b",
    "http-request add-acl(f.lst) a b",
    "http-request set-map(beg.map) a %[nope]",
    "http-after-response add-acl(f.lst) a",
    "acl two req.fhdr(x) -u",
    "acl three req.fhdr(x) -u -1 b",
    "acl four req.fhdr(x) -m found -m",
]


def test_refused(refusals: tuple[set[str], set[str]]) -> None:
    """What HAProxy refuses is refused, line by line."""
    expected, got = refusals
    assert len(expected) == len(REFUSED) + len(BAD_MAP_ROWS) + len(BAD_RULES)
    assert got == expected


@pytest.fixture
def acting(duel: DuelFactory, files: Path) -> Duel:
    """Both programs with rules and commands that change lists."""
    return duel(HEAD + ACTIONS.replace("FILES", str(files)))


def _command(side: Side, text: str) -> str:
    """What the runtime socket answers, pointers and counts left out."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(side.program.dir / "s.sock"))
        sock.sendall(text.encode("latin-1") + b"\n")
        raw = b""
        while data := sock.recv(65536):
            raw += data
    answer = re.sub(r"^0x[0-9a-f]+ ", "0xP ", raw.decode("latin-1"), flags=re.MULTILINE)
    answer = re.sub(r"^\d+ \(\) acl 'var' file 'httpclient'.*\n", "", answer, flags=re.MULTILINE)
    # HAProxy 2.6 counts an entry again for each of a list's users.
    return re.sub(r"entry_cnt=\d+", "entry_cnt=N", answer).replace(str(side.program.dir), "DIR")


def test_actions(acting: Duel) -> None:
    """What rules put into lists is found by the next request, and shown by commands."""

    def act(side: Side) -> list[str]:
        seen: list[str] = []
        with Client(side.port) as client:
            for path, key, value in STEPS:
                _ask(client, path, k=key, v=value)
                for probe, sample in PROBES:
                    seen.append(f"{path} {key} {probe} {sample} {_ask(client, probe, x=sample)}")
        for name in ("map FILES/set.map", "acl FILES/add.acl", "acl FILES/net.acl"):
            seen.append(_command(side, "show " + name.replace("FILES", str(files_of(side)))))
        return seen

    acting.same(act)


def files_of(side: Side) -> str:
    """The directory of the pattern files, read from the configuration."""
    found = re.search(r"-f (\S+)/add\.acl", side.program.config.read_text())
    assert found is not None
    return found[1]


STEPS = [
    ("/set", "k0", "new"),
    ("/set", "k2", "two words"),
    ("/set", "k2", "three"),
    ("/set", "", "empty"),
    ("/add-acl", "second", ""),
    ("/add-acl", "second", ""),
    ("/del", "k1", ""),
    ("/del", "nothing", ""),
    ("/del-acl", "first", ""),
    ("/add-net", "10.0.0.0/8", ""),
    ("/add-net", "no address", ""),
    ("/add-net", "localhost", ""),
    ("/del-net", "10.0.0.0/8", ""),
    ("/add-net", "2001:db8::/32", ""),
]
PROBES = [
    ("/map", "k0"),
    ("/map", "k1"),
    ("/map", "k2"),
    ("/add", "first"),
    ("/add", "second"),
    ("/net", "10.1.1.1"),
    ("/net", "127.0.0.1"),
    ("/net", "2001:db8::1"),
]

COMMANDS = r"""
show map
show acl
show acl #300
show acl FILES/add.acl
show acl FILES/set.map
show map FILES/add.acl
show map nope
show map #999
show map #x
show acl @1
get map FILES/set.map k0
get map FILES/set.map nope
get map FILES/both.map abc
get acl FILES/both.map ab
get acl FILES/folded.acl GEE
get acl #300 onexx
get map
get map FILES/set.map
get acl
get acl nope x
prepare map FILES/set.map
show map
add map @1 FILES/set.map k v w
show map @1 FILES/set.map
show map @9 FILES/set.map
get map FILES/set.map k
commit map @1 FILES/set.map
get map FILES/set.map k
show map FILES/set.map
show map
commit map @1 FILES/set.map
commit map @7 FILES/set.map
commit map @2 nope
commit map FILES/set.map
commit map @1
add map @7 FILES/set.map a b
add map FILES/set.map k
add map FILES/set.map
add map
add map nope a b
add acl #300 zz
add acl #300
add acl
add acl nope zz
add acl FILES/both.map zz
add acl FILES/add.acl a\ b\;c
show acl FILES/add.acl
get acl FILES/add.acl a\ b\;c
del acl FILES/add.acl a\ b\;c
show acl FILES/add.acl
add acl FILES/net.acl 10.0.0.0/8
add acl FILES/net.acl xx.yy
add acl FILES/net.acl localhost
show acl FILES/net.acl
get acl FILES/net.acl 10.1.1.1
get acl FILES/net.acl 11.1.1.1
get acl FILES/net.acl nonsense
set map FILES/set.map nokey v
set map FILES/set.map k v2
set map FILES/set.map #0x1 v2
set map
show map FILES/set.map
del map FILES/set.map zz
del map FILES/set.map k
del map FILES/set.map #0x1
del map FILES/set.map #zz
del map
del acl FILES/add.acl
clear map
clear map nope
clear acl
prepare acl #300
prepare acl
prepare map zz
add acl @1 #300 qq
show acl @1 #300
get acl #300 qq
clear acl @1 #300
show acl @1 #300
clear acl @5 #300
commit acl @1 #300
show acl #300
commit acl
commit acl #300
add map FILES/set.map <<\n1 one\n2 two three  \n
show map FILES/set.map
add map FILES/set.map <<\nonly\n
add map FILES/set.map a 1;add map FILES/set.map b 2;show map FILES/set.map
add map FILES/both.map ab 9
clear map FILES/set.map
show map FILES/set.map
clear acl FILES/both.map
show map FILES/both.map
"""


def test_commands(acting: Duel) -> None:
    """Every command of section 9.3 on lists answers the same, and does the same."""
    lines = COMMANDS.strip().splitlines()

    def act(side: Side) -> list[str]:
        where = files_of(side)
        seen = []
        for line in lines:
            text = line.replace("FILES", where).replace("\\n", "\n")
            seen.append(f"{line}: {_command(side, text)}")
        return seen

    acting.same(act)


def test_lookups_after_commands(acting: Duel) -> None:
    """What commands change is what the next request is matched against."""

    def act(side: Side) -> list[str]:
        where, seen = files_of(side), []
        with Client(side.port) as client:
            for command in CHANGES:
                _command(side, command.replace("FILES", where))
                for probe, sample in CHANGE_PROBES:
                    seen.append(f"{command}: {probe} {sample} {_ask(client, probe, x=sample)}")
        return seen

    acting.same(act)


CHANGES = [
    "show map",
    "add acl FILES/folded.acl ZED",
    "del acl FILES/folded.acl Gee",
    "add acl #300 three",
    "del acl #300 one",
    "add acl FILES/add.acl x",
    "clear acl FILES/add.acl",
    "prepare map FILES/both.map",
    "add map @1 FILES/both.map ab AB",
    "add map @1 FILES/both.map a A",
    "commit map @1 FILES/both.map",
    "set map FILES/both.map ab again",
    "clear map FILES/both.map",
    "add map FILES/both.map abc last",
]
CHANGE_PROBES = [
    ("/folded", "gee"),
    ("/folded", "zed"),
    ("/inline", "onetwo"),
    ("/inline", "threefour"),
    ("/add", "x"),
    ("/add", "first"),
    ("/both", "a"),
    ("/both", "abc"),
    ("/both-map", "abcd"),
    ("/both-map", "b"),
]


NEWER = (
    HEAD
    + """
    http-after-response set-map(virt@seen) after %[status] if { status 404 }
    http-after-response del-map(virt@seen) after if { status 403 }
    http-request return status 404 hdr r "not found" if { path /set }
    http-request return status 403 hdr r "forbidden" if { path /del }
    http-request return status 200 hdr r "%[req.fhdr(x),map(virt@seen,none)] %[req.fhdr(x),map_beg_key(opt@DIR/no.map)]"
"""
)


def test_newer_than_the_oracle() -> None:
    """Virtual and optional lists, the output `key`, changes after a response: 2.6 knows none of these."""
    port = free_port()
    with Syslog() as syslog, Program.trilb(NEWER.replace("DIR", "/nonexistent"), port=port) as program:
        side = Side("trilb", program, syslog, [], {"port": port})
        with Client(port) as client:
            assert _ask(client, "/", x="after") == "none "
            _ask(client, "/set")
            assert _ask(client, "/", x="after") == "404 "
            assert _command(side, "show map virt@seen") == "0xP after 404\n\n"
            assert _command(side, "add map /nonexistent/no.map <<END\naf 1\n\nEND") == "\n"
            assert _ask(client, "/", x="after") == "404 af"
            _ask(client, "/del")
            assert _ask(client, "/", x="after") == "none af"
