"""`crt-store` sections: names of certificates and the files behind them."""

from __future__ import annotations

import pytest

from trilb.config import reader
from trilb.config.conditions import Facts
from trilb.config.model import Config
from trilb.config.sources import Source
from trilb.vocabulary import language

LISTEN = "listen l\n bind :8443 ssl crt {}\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n"


def read(text: str) -> tuple[Config, list[str]]:
    config, report = reader.read([Source("f.cfg", text)], language(), Facts("3.5.0", {}))
    return config, [entry.text for entry in report.entries]


@pytest.mark.parametrize(
    ("text", "name", "files"),
    [
        ("crt-store\n load crt a.crt", "a.crt", ("a.crt", "", "", "")),
        ("crt-store\n load crt a.crt key a.key alias x", "@/x", ("a.crt", "a.key", "", "")),
        ("crt-store web\n load crt a.crt", "@web/a.crt", ("a.crt", "", "", "")),
        ("crt-store web\n load alias x crt a.crt", "@web/x", ("a.crt", "", "", "")),
        (
            "global\n crt-base /c\n key-base /k\ncrt-store\n load crt a.crt key a.key ocsp o issuer /i",
            "/c/a.crt",
            ("/c/a.crt", "/k/a.key", "/c/o", "/i"),
        ),
        (
            "global\n crt-base /c\n key-base /k\ncrt-store w\n crt-base /d\n key-base /l\n load crt a.crt key a.key",
            "@w/a.crt",
            ("/d/a.crt", "/l/a.key", "", ""),
        ),
        ("crt-store\n load crt a.crt ocsp-update off jwt off", "a.crt", ("a.crt", "", "", "")),
    ],
)
def test_what_is_loaded(text: str, name: str, files: tuple[str, str, str, str]) -> None:
    config, said = read(f"{text}\n{LISTEN.format(name)}")
    assert said == []
    found = config.globals.tls_loads
    assert list(found) == [name]
    assert (found[name].crt, found[name].key, found[name].ocsp, found[name].issuer) == files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("load", "'load' expects 'crt' with a file's name"),
        ("load key a.key", "'load' expects 'crt' with a file's name"),
        ("load crt", "'load' : 'crt' expects an argument"),
        ("load crt a crt b", "'load' : 'crt' is said twice"),
        ("load crt a kye b", "'load' : unknown option 'kye', did you mean 'key'?"),
        ("load crt a\n load crt a", "'load' : 'a' is already defined at f.cfg:2"),
    ],
)
def test_what_is_wrong(text: str, said: str) -> None:
    _, found = read(f"crt-store\n {text}\n{LISTEN.format('x')}")
    assert len(found) == 1
    assert found[0].startswith(said.partition(",")[0])


def test_a_store_stands_above_its_use() -> None:
    _, found = read(f"{LISTEN.format('a.pem')}crt-store\n load crt a.pem\n")
    assert found == ["'load' : 'a.pem' is used at f.cfg:2 already; a crt-store stands above its use"]


def test_what_is_not_served_is_told() -> None:
    config, _ = read("crt-store\n load crt a.pem acme le\n" + LISTEN.format("a.pem"))
    assert [each.keyword for each in config.unserved] == ["load acme"]
