"""Converters give what HAProxy's give, and refuse the same literals; newer ones do what the manual says.

The tables lie in converters/: an expression a line. All of them stand in one configuration, a path each.
"""

from __future__ import annotations

import ast
import re
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from tests.duel.conftest import DuelFactory
from tests.support.duel import Side, require_haproxy
from tests.support.program import HAPROXY, Program
from tests.support.wire import Client
from trilb.base.diagnostic import NOWHERE, Refused
from trilb.config.expressions import Scope, parse_expr
from trilb.vocabulary import language

_TABLES = Path(__file__).parent / "converters"
_BYTES = re.compile(r"""b(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
Answers = dict[str, bytes | None]


def _table(name: str) -> list[str]:
    lines = (_TABLES / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _word(expression: str) -> str:
    """Quote an expression as a word of a configuration, its bytes literal written as base64."""
    literal = _BYTES.match(expression)
    if literal is not None:
        data = b64encode(ast.literal_eval(literal[0])).decode()
        expression = f"str({data}),b64dec" + expression[literal.end() :]
    return expression.replace("'", "'\"'\"'")


def _rules(rows: list[str]) -> str:
    text = ""
    for number, row in enumerate(rows):
        first, _, expression = row.rpartition(" ;; ")
        word = _word(expression)
        if first:
            text += f"    http-request set-header x-first '%[{_word(first)}]' if {{ path /{number} }}\n"
        text += (
            f"    http-request return status 200 content-type text/plain lf-string '%[{word}]'"
            f" if {{ path /{number} }} {{ '{word}' -m found }}\n"
        )
    return text


CONFIG = """
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 1s
frontend fe
    bind 127.0.0.1:{port}
RULES
    http-request return status 404
backend be1
    server s1 127.0.0.1:{dead}
    server s2 127.0.0.1:{dead} disabled
"""


def _config(rows: list[str]) -> str:
    return CONFIG.replace("RULES\n", _rules(rows))


def _ask(port: int, rows: list[str]) -> Answers:
    """What each expression gives as text, None where nothing is found."""
    answers: Answers = {}
    requests = [b"GET /%d HTTP/1.1\r\nhost: h\r\n\r\n" % number for number in range(len(rows))]
    with Client(port) as client:
        for row, request in zip(rows, requests, strict=True):
            client.send(request)
            response = client.read_response("GET")
            head, _, body = response.partition(b"\r\n\r\n")
            answers[row] = body if head.startswith(b"HTTP/1.1 200 ") else None
            assert head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 404 ")), (row, head)
    return answers


SAME = _table("same.txt")


@pytest.fixture(scope="module")
def both(module_duel: DuelFactory) -> tuple[Answers, Answers]:
    """What HAProxy and trilb give for all of `same.txt`."""

    def ask(side: Side) -> Answers:
        return _ask(side.port, SAME)

    return module_duel(_config(SAME)).both(ask)


@pytest.mark.parametrize("row", SAME)
def test_same(both: tuple[Answers, Answers], row: str) -> None:
    """The expression's value is HAProxy's."""
    expected, found = both
    assert found[row] == expected[row]


REFUSED = _table("refused.txt")


@pytest.fixture(scope="module")
def refused_lines(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The expressions HAProxy refuses: it goes on after a faulty line, and those it finds last are asked alone."""
    require_haproxy()
    path = tmp_path_factory.mktemp("refused") / "lb.cfg"

    def asked(rows: list[str]) -> set[str]:
        path.write_text(
            "frontend fe\n    mode http\n    bind 127.0.0.1:1\n    timeout client 1s\n"
            + "".join(f"    http-request set-header x '%[{_word(row)}]'\n" for row in rows)
        )
        run = subprocess.run([HAPROXY or "haproxy", "-c", "-f", path], capture_output=True, text=True, check=False)
        if len(rows) == 1:
            return set(rows) if run.returncode else set()
        return {rows[int(line) - 5] for line in re.findall(r"ALERT.*parsing \[[^]]*:(\d+)\]", run.stderr)}

    found = asked(REFUSED)
    for row in REFUSED:
        if row not in found:
            found |= asked([row])
    return found


@pytest.mark.parametrize("row", REFUSED)
def test_refused(refused_lines: set[str], row: str) -> None:
    """HAProxy refuses the expression, and so does trilb while reading."""
    assert row in refused_lines
    with pytest.raises(Refused):
        parse_expr(_word(row).replace("'\"'\"'", "'"), Scope(language(), "fe", NOWHERE, at="request"))


# Newer than 2.6, or where 2.6 does not do what the manual says: expected values from the manual.
NEWER: dict[str, bytes | None] = {
    # the manual's examples
    "str(a=b&c=d&a=r),param(a)": b"b",
    "str(a&b=c),param(a)": b"",
    "str(a=&b&c=a),param(b)": b"",
    "str(a=1;b=2;c=4),param(b,;)": b"2",
    "str(a=1;b=2;c=4),param(b,0x3B)": b"2",
    "str(a=1;b=2;c=4),param(b)": None,
    "str(ab=1&a=2),param(a)": b"2",
    "str(f1_f2_f3__f5),word(5,_)": None,
    "str(example.com),reverse": b"moc.elpmaxe",
    "str(mail.example.com),reverse_dom": b"com.example.mail",
    "str(example.com.),reverse_dom": b"com.example",
    "str(MaIl.EXAMPLE.com),reverse_dom": b"com.EXAMPLE.MaIl",
    "str(foo..bar),reverse_dom": None,
    "str(.),reverse_dom": None,
    "str(),reverse_dom": None,
    "str(abc),base2": b"011000010110001001100011",
    # (its examples of le2dec are not little-endian after the first number; the regression script's are)
    "b'\\x01\\x02\\x03\\x04\\x05\\x06\\x07',le2dec(:,2)": b"513:1027:1541:7",
    "b'\\x01\\x02\\x03\\x04\\x05\\x06\\x07',le2dec(-,2,1)": b"513-1027-1541",
    "b'\\x01\\x02\\x03\\x04\\x05\\x06\\x07',le2dec(,2,1)": b"51310271541",
    "b'\\x7f\\x00\\x00\\x01',le2dec(.,1)": b"127.0.0.1",
    "b'a\\tb',has_ctl": b"0",
    "b'a\\tb',has_ctl(any)": b"1",
    "b'a\\x00b',has_ctl(http)": b"1",
    "b'a\\x01b',has_ctl(http)": b"0",
    "b'a\\x7fb',has_ctl(0x100000000)": b"1",
    "b'a\\x1fb',has_ctl(512)": b"0",
    'b\'{"a":[1,"x"]}\',json_query("$.a")': b'[1,"x"]',
    "b'[[1,2],[3]]',json_query(\"$[0]\")": b"[1,2]",
    "b'fr;q=0',language(fr,en)": b"en",
    "int(1700000000),http_date": b"Tue, 14 Nov 2023 22:13:20 GMT",
    'int(1700000000123),ms_utime("%Y %S.%3N")': b"2023 20.123",
    'int(1700000000123),ms_utime("%N %6N %%N",5)': b"128000000 128000 %N",
    'int(1700000000123456),us_utime("%S.%N",5)': b"20.123461000",
    'int(1700000000123456),us_ltime("%S.%3N")': b"20.123",
    'int(1700000000123),ms_ltime("%S.%1N")': b"20.1",
    'str("Sun, 06 Nov 1994 08:49:37 GMT"),date': b"784111777",
    'str("Sunday, 06-Nov-94 08:49:37 GMT"),date': b"784111777",
    'str("Sun Nov  6 08:49:37 1994"),date': b"784111777",
    'str("Sun, 06 Nov 1994 08:49:37 CET"),date': None,
    "str(be1/s1),srv_is_up": b"1",
    "str(be1/s2),srv_is_up": b"0",
    "str(be1/s3),srv_is_up": None,
    "str(fe),fe_exists": b"1",
    "str(be1),fe_exists": b"0",
    "str(x),when(stopping)": None,
    "str(x),when(!stopping)": b"x",
    "str(x),when(normal)": b"x",
    "str(x),when(error)": None,
    "str(x),when(forwarded)": None,
    "str(x),when(!processed)": b"x",
    "str(a),set-var(txn.n,ifnotexists) ;; str(b),set-var(txn.n,ifnotset)": None,
    "str(a),set-var(txn.n) ;; str(b),set-var(txn.n,ifset,ifnotempty)": b"b",
    "int(3),set-var(txn.n) ;; int(4),set-var(txn.n,ifgt)": None,
    "int(5),set-var(txn.n) ;; int(4),set-var(txn.n,iflt)": None,
    "str(),set-var(txn.n,ifempty)": b"",
    "int(0),set-var(txn.n,ifempty)": None,
    # RFC 7239
    "str(for=127.0.0.1;proto=http),rfc7239_is_valid": b"1",
    "str(proto=custom),rfc7239_is_valid": b"0",
    'b\'for="unknown:132";host="[::1]:65535";by="_obfs:_port";proto=https\',rfc7239_is_valid': b"1",
    "b'for=1.2.3.4, for=\"[::1]\";proto=http',rfc7239_is_valid": b"1",
    "b'proto=http;proto=http',rfc7239_is_valid": b"0",
    "b'by=[::1]',rfc7239_is_valid": b"0",
    "b'by=\"[::1]:\"',rfc7239_is_valid": b"0",
    "b'by=\"::1\"',rfc7239_is_valid": b"0",
    "b'\"',rfc7239_is_valid": b"0",
    "str(),rfc7239_is_valid": b"0",
    "b'proto=https;host=\"haproxy.org:80\"',rfc7239_field(host)": b"haproxy.org:80",
    "b'proto=https;for=\"127.0.0.1:9999\"',rfc7239_field(for)": b"127.0.0.1:9999",
    "b'proto=https',rfc7239_field(for)": None,
    "str(127.0.0.1:9999),rfc7239_n2nn": b"127.0.0.1",
    "str(127.0.0.1:9999),rfc7239_n2np,add(1)": b"10000",
    "str([ab:cd:ff:ff:ff:ff:ff:ff]:9998),rfc7239_n2nn": b"ab:cd:ff:ff:ff:ff:ff:ff",
    "str([::1]:9998),rfc7239_n2nn,hex": b"00000000000000000000000000000001",
    "str(_name:_port),rfc7239_n2nn": b"_name",
    "str(_name:_port),rfc7239_n2np": b"_port",
    "str(unknown),rfc7239_n2np": None,
    "str(1.2.3.4:65536),rfc7239_n2np": None,
    "str(::1),ipmask(32,128),rfc7239_nn": b"[::1]",
    "src,rfc7239_nn": b"127.0.0.1",
    "str(test),rfc7239_nn": b"_test",
    "str(),rfc7239_nn": b"unknown",
    "str(a b),rfc7239_nn": None,
    "int(12),rfc7239_np": b"12",
    "str(8888),rfc7239_np": b"_8888",
    "str(),rfc7239_np": None,
    # what 2.6 does otherwise
    "str(QQ==QQ==),b64dec": None,
    "str(Q===),b64dec": None,
    "str(QUI=),ub64dec": b"AB",
    'b\'{"a":"x\\x01y"}\',json_query("$.a"),length': b"3",
}


@pytest.fixture(scope="module")
def newer() -> Answers:
    """What trilb gives for all of NEWER."""
    from tests.support.ports import free_port

    port = free_port()
    with Program.trilb(_config(list(NEWER)), port=port, dead=free_port()) as program:
        del program
        return _ask(port, list(NEWER))


@pytest.mark.parametrize("row", NEWER)
def test_newer(newer: Answers, row: str) -> None:
    """The expression's value is the manual's."""
    assert newer[row] == NEWER[row]


@pytest.mark.parametrize(
    "row",
    [
        "str(a),bytes(-1)",
        "str(a),bytes(0,-1)",
        "str(a),bytes(0,0)",
        "str(a),has_ctl(bogus)",
        "str(a),has_ctl(0x400000000)",
        "str(a),param(x,ab)",
        "str(a),le2dec(:,9)",
        "str(a),when(bogus)",
        "str(a),rfc7239_field(bogus)",
        "str(a),set-var(txn.a,bogus)",
        "str(a),fix_tag_value(bogus)",
        "int(1),http_date(1,x)",
    ],
)
def test_newer_refused(row: str) -> None:
    """What the manual or its scripts call wrong is refused while reading."""
    with pytest.raises(Refused):
        parse_expr(row, Scope(language(), "fe", NOWHERE, at="request"))
