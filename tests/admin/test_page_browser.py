"""The statistics page in a real browser: what a person does with it, with JavaScript and without."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.support.browser import CHROMIUM, Browser, Page
from tests.support.origin import Origin, reply
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.wire import exchange, parse_response

CONFIG = """
global
    description "</title><script>alert(1)</script>"
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    retries 0
frontend stats
    bind 127.0.0.1:{stats}
    stats uri /stats
    stats show-node "<i>node"
    stats show-desc
    stats show-legends
    stats admin if TRUE
frontend refreshed
    bind 127.0.0.1:{refreshed}
    stats uri /stats
    stats refresh 1s
    stats show-modules
frontend www
    bind 127.0.0.1:{www}
    use_backend %[path,field(2,/)]
backend web
    description "</h2><img src=x onerror=alert(1)>"
    cookie "X"
    server alpha 127.0.0.1:{one} cookie "'\\"><script>alert(2)</script>"
    server beta 127.0.0.1:{one} weight 30
    server gamma 127.0.0.1:{one} weight 7
    server delta 127.0.0.1:{dead} check inter 20ms fall 1
backend many
{servers}
"""


@dataclass
class Served:
    """A running trilb with its ports."""

    stats: int
    refreshed: int
    www: int

    def states(self) -> dict[str, str]:
        """Every server's state."""
        raw = exchange(self.stats, b"GET /stats;csv HTTP/1.1\r\nHost: h\r\n\r\n")
        table = csv.DictReader(io.StringIO(parse_response(raw)[2].decode().removeprefix("# ")))
        return {f"{row['pxname']}/{row['svname']}": row["status"] for row in table if row["type"] == "2"}

    def until(self, server: str, state: str) -> None:
        """Wait until the server is in that state."""
        deadline = time.monotonic() + 20
        while (now := self.states()[server]) != state:
            assert time.monotonic() < deadline, now
            time.sleep(0.02)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A trilb with a page of many servers."""
    ports = {"stats": free_port(), "refreshed": free_port(), "www": free_port()}
    with Origin(lambda raw, origin: reply(b"x" * 100), name="one") as one:
        servers = "\n".join(f"    server s{number} 127.0.0.1:{one.port}" for number in range(80))
        with Program.trilb(CONFIG, timeout=30, one=one.port, dead=free_port(), servers=servers, **ports):
            yield Served(**ports)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    with Browser() as made:
        yield made


Open = Callable[..., Page]


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Open]:
    """Open the page; afterwards nothing may have been complained of."""
    opened: list[Page] = []

    def go(words: str = "", port: int = 0, **how: object) -> Page:
        opened.append(browser.page(f"http://127.0.0.1:{port or served.stats}/stats{words}", **how))  # type: ignore[arg-type]
        return opened[-1]

    yield go
    for made in opened:
        assert made.complaints() == []
        made.close()


NAMES = "[...document.querySelectorAll('tbody:has(a[href]) tr.S th')].map(t => t.querySelector('input').value)"
"""The servers in the order they are shown."""
SHOWN = "[...document.querySelectorAll('tr.S')].filter(r => r.offsetHeight).map(r => r.querySelector('input').value)"


def test_it_says_what_comes_from_outside_as_text(page: Open) -> None:
    made = page()
    texts = made.run("document.body.innerText")
    for text in (
        "<i>node",
        "</title><script>alert(1)</script>",
        "</h2><img src=x onerror=alert(1)>",
        "<script>alert(2)",
    ):
        assert text in texts
    assert made.run("document.querySelectorAll('script').length") == 1
    assert made.run("document.querySelectorAll('img, header i, .px i, th script').length") == 0


@pytest.mark.parametrize("modules", [False, True], ids=["plain", "modules"])
def test_every_cell_has_a_heading(page: Open, served: Served, modules: bool) -> None:
    made = page(port=served.refreshed if modules else served.stats)
    count = made.run("document.querySelectorAll('thead tr:last-child th').length")
    assert count == 30
    assert made.run(f"[...document.querySelectorAll('tbody tr:not(.px)')].every(r => r.cells.length === {count})")
    assert made.run("[...document.querySelectorAll('thead tr:last-child th')].every(t => t.scope === 'col')")
    assert made.run("document.querySelectorAll('tbody tr:not(.px) > :first-child:not(th[scope=row])').length") == 0
    assert made.run(
        "[...document.querySelectorAll('input:not([type=hidden]), select')].every(e => e.labels.length || e.ariaLabel)"
    )


def test_it_sorts(page: Open) -> None:
    made = page()
    there = made.run(NAMES)
    assert there[:4] == ["alpha", "beta", "gamma", "delta"]
    weight = "thead tr:last-child th:nth-child(4) button"
    made.click(weight)
    assert made.run(NAMES)[:4] == ["beta", "gamma", "alpha", "delta"]
    assert made.run("document.querySelector('th[aria-sort]').ariaSort") == "descending"
    made.click(weight)
    assert made.run(NAMES)[:4] == ["alpha", "delta", "gamma", "beta"]
    made.click(weight)
    assert made.run(NAMES) == there
    # Names are sorted as a person would: s9 before s10.
    made.click("thead tr:last-child th:first-child button")
    assert made.run(NAMES)[4:] == [f"s{number}" for number in range(80)]
    assert made.run("document.querySelector('tbody:last-of-type tr:last-child').className").endswith(" B")


def test_it_finds_and_hides(page: Open, served: Served) -> None:
    served.until("web/delta", "DOWN")
    made = page()
    made.run("document.getElementById('find').focus()")
    made.keys("s7")
    assert made.run(SHOWN) == ["s7", *(f"s7{digit}" for digit in range(10))]
    made.run("document.getElementById('find').value = ''")
    made.keys("web")
    assert made.run(SHOWN) == ["alpha", "beta", "gamma", "delta"]
    made.click("#h-down")
    assert made.run(SHOWN) == ["alpha", "beta", "gamma"]


def test_a_refresh_changes_nothing_but_figures(page: Open, served: Served) -> None:
    made = page(port=served.refreshed)
    total = "document.querySelector('#now').textContent"
    made.click("thead tr:last-child th:first-child button")
    made.run(
        "window.stays = document.querySelector('tbody:last-of-type tr.S'); scrollTo(0, 600); stays.tabIndex = 0; 1"
    )
    before = made.run(total)
    exchange(served.www, b"GET /many HTTP/1.1\r\nHost: h\r\n\r\n")
    made.until(f"{total} !== {before!r}")
    assert made.run("scrollY") == 600
    assert made.run("stays.isConnected")
    assert made.run("document.querySelector('th[aria-sort]').ariaSort") == "ascending"


def test_a_live_refresh_keeps_checked_boxes(page: Open) -> None:
    made = page()
    made.run("window.box = document.querySelector('input[value=s3]'); box.click(); box.focus(); 1")
    before = made.run("document.querySelector('#now').textContent")
    made.run("every.value = 1; every.dispatchEvent(new Event('change'))")
    made.until(f"document.querySelector('#now').textContent !== {before!r}")
    assert made.run("box.isConnected && box.checked && document.activeElement === box")
    assert made.run("document.getElementById('bar').hidden") is False


def test_it_says_when_there_is_no_answer(page: Open) -> None:
    made = page()
    made.run("window.fetch = () => Promise.reject(new Error('gone')); 1")
    made.run("every.value = 1; every.dispatchEvent(new Event('change'))")
    made.until("/no answer for .*gone/.test(document.getElementById('late').textContent)")


def test_a_click_drains_servers(page: Open, served: Served) -> None:
    made = page()
    assert made.run("document.getElementById('bar').hidden")
    made.click("input[value=s1]")
    made.click("input[value=beta]")
    assert made.run("document.getElementById('count').textContent") == "2 servers"
    made.click("#bar button[value=drain]")
    made.until("document.getElementById('said').textContent === 'Done.'")
    # That is said of each backend's form when it is done.
    served.until("many/s1", "DRAIN")
    served.until("web/beta", "DRAIN")
    assert served.states()["many/s2"] == "no check"
    made.until("document.getElementById('bar').hidden")
    assert made.run("document.querySelectorAll('tr.drain').length") == 2
    made.click("input[value=s1]")
    made.click("input[value=beta]")
    made.click("#bar button[value=ready]")
    served.until("many/s1", "no check")
    served.until("web/beta", "no check")


def test_what_hurts_is_asked_twice(page: Open, served: Served) -> None:
    made = page()
    made.click("input[value=s5]")
    made.click("#bar button[value=maint]")
    assert "many/s5" in made.run("document.getElementById('ask').textContent")
    made.click("#sure button[value=no]")
    made.until("!document.getElementById('sure').open")
    assert served.states()["many/s5"] == "no check"
    made.click("#bar button[value=maint]")
    made.click("#sure button[value=yes]")
    served.until("many/s5", "MAINT")


def test_without_javascript(page: Open, served: Served) -> None:
    made = page(script=False)
    made.click("input[value=s8]")
    made.click("tbody:last-of-type .px form button")
    made.until("location.href.endsWith(';st=DONE') && document.readyState === 'complete'")
    made.click("#h-plain")
    assert made.run(SHOWN).count("s8") == 0
    made.go(f"http://127.0.0.1:{served.stats}/stats")
    made.click("input[value=s9]")
    made.run("document.querySelector('tbody:last-of-type .px select').value = 'maint'")
    made.click("tbody:last-of-type .px form button")
    made.until("document.title === 'Are you sure?' && document.readyState === 'complete'")
    assert served.states()["many/s9"] == "no check"
    made.click("main.sure button")
    made.until("location.href.endsWith(';st=DONE') && document.readyState === 'complete'")
    assert served.states()["many/s9"] == "MAINT"


def test_without_javascript_it_refreshes_itself(page: Open, served: Served) -> None:
    made = page(port=served.refreshed, script=False)
    made.run("window.before = true")
    made.until("window.before === undefined && document.readyState === 'complete'")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone(page: Open, dark: bool) -> None:
    made = page(width=390, height=844, dark=dark)
    assert made.run("document.documentElement.scrollWidth") <= 390
    assert made.run("getComputedStyle(document.querySelector('thead')).display") == "none"
    named = "getComputedStyle(document.querySelector('tr.S td:nth-child(11)'), '::before').content"
    assert made.run(named) == '"Sessions total"'
    light = made.run("getComputedStyle(document.documentElement).backgroundColor")
    assert light == ("rgb(18, 22, 28)" if dark else "rgb(246, 247, 249)")
