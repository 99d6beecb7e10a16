"""Statistics of the benchmark, its result's way to a table and a chart, and what is published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import races, report
from bench.chart import MOST, draw
from bench.field import ORDER, some
from bench.figures import TARGETS, Row, percentile, summary
from bench.publish import BEGIN, END, between, lacking, main

CIRCUMSTANCES = report.Circumstances("2026-01-01", "compiled", "3.13.1", "2 x <fast>", {"haproxy": "2.6"}, 4.0, 3)


def row(name: str, unit: str, haproxy: list[float], trilb: list[float], **others: list[float]) -> Row:
    """A race that was run."""
    return Row(name, f"{name} & so on", unit, {"haproxy": haproxy, **others, "trilb": trilb})


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    assert row("x", "requests/s", [100.0, 50.0, 10.0], [40.0, 10.0, 9.0]).ratio() == 0.4
    assert Row("x", "", "").ratio() is None
    assert Row("x", "", "", {"trilb": [1.0]}).ratio() is None


def test_a_target_is_judged_by_its_kind() -> None:
    assert summary(row("keepalive", "requests/s", [100.0], [40.0])).reached is True
    assert summary(row("keepalive", "requests/s", [100.0], [39.9])).reached is False
    assert summary(row("latency-50", "ms (p99)", [1.0], [3.1])).reached is False
    assert summary(row("idle", "KiB", [1.0], [9.9])).reached is True, "of trilb's own figure, whatever HAProxy's is"
    assert summary(row("h2", "requests/s", [1.0], [9.9])).reached is None


def test_every_target_belongs_to_a_race() -> None:
    assert [name for name in TARGETS if name not in races.NAMES and name.partition("-")[0] not in races.NAMES] == []


@pytest.mark.parametrize(("part", "value"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100), (0.0, 1)])
def test_percentile(part: float, value: int) -> None:
    assert percentile([float(n) for n in range(1, 101)], part) == value
    assert percentile([7.0], part) == 7.0


def test_names_choose_races_and_groups() -> None:
    assert races.chosen([]) == list(races.NAMES)
    assert races.chosen(["tcp", "keepalive", "tcp-small"]) == ["tcp-small", "tcp-bulk", "tcp-close", "keepalive"]
    with pytest.raises(ValueError, match="no race is called 'tc'; there are keepalive"):
        races.chosen(["tc"])


def test_a_result_is_told_kept_and_drawn(tmp_path: Path) -> None:
    rows = [
        row("keepalive", "requests/s", [1000.0, 1100.0], [500.0, 550.0], nginx=[5000.0, 5000.0]),
        row("bulk", "MiB/s", [100.0, 100.0], [80.0, 70.0]),
        row("latency-50", "ms (p99)", [1.0, 1.2], [2.0, 2.4]),
        row("idle", "KiB", [1.0], [6.0]),
    ]
    rows[0].more = {"us": {"haproxy": [12.0], "trilb": [20.0]}, "busy": {"haproxy": [0.9], "trilb": [1.0]}}
    file = tmp_path / "deep" / "latest.json"
    report.Result(CIRCUMSTANCES, rows).save(file)
    kept = report.load(file)
    assert kept.lines == [summary(each) for each in rows]
    kept.save(tmp_path / "summary.json")
    assert report.load(tmp_path / "summary.json") == kept
    assert json.loads(file.read_text())["rows"][1]["values"]["trilb"] == [80.0, 70.0]

    assert "20.0 us CPU each  100 % of a processor   0.50 of HAProxy" in report.told(kept.lines[0])
    assert "at least 0.90: short" in report.told(kept.lines[1])
    assert "bulk" in report.targets(kept.lines) and "6.00 KiB  at most 10.0 KiB: reached" in report.targets(kept.lines)
    assert report.table(kept.lines).count("\n") == 2 + len(rows)
    drawn = draw(kept)
    ElementTree.fromstring(drawn)
    assert "keepalive &amp; so on" in drawn and "2 x &lt;fast&gt;" in drawn and "prefers-color-scheme: dark" in drawn
    assert drawn.count('class="target"') == 3, "two races with a target, and the legend"
    assert "trilb 2.20 ms" in drawn and "trilb 6.00 KiB" in drawn


def test_a_bar_ends_with_the_axis() -> None:
    [high] = [summary(row("tls-bulk", "MiB/s", [1.0], [MOST * 10], nginx=[MOST * 2]))]
    tree = ElementTree.fromstring(draw(report.Summary(CIRCUMSTANCES, [high])))
    frame = float(tree.attrib["width"])
    for rect in tree.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(rect.attrib["x"]) + float(rect.attrib["width"]) <= frame
    assert "3.00" in {text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")}


def test_figures_are_published_between_their_comments() -> None:
    assert between(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"
    with pytest.raises(ValueError, match="no place"):
        between("a", "new")
    for page in ("README.md", "bench/README.md"):
        between((Path(__file__).parents[2] / page).read_text(), "new")


def test_races_that_were_not_run_are_named() -> None:
    lines = [summary(Row(name + ("-1" if name == "acls" else ""), "", "")) for name in races.NAMES if name != "h2"]
    assert lacking(report.Summary(CIRCUMSTANCES, lines)) == ["h2"]


def test_racers_are_chosen_by_name() -> None:
    assert some("") == ORDER
    assert some("haproxy, trilb") == ("haproxy", "trilb")
    with pytest.raises(ValueError, match="nobody is called 'apache'"):
        some("haproxy,apache")
    races.possible(["idle"], ("haproxy",))
    with pytest.raises(ValueError, match="latency"):
        races.possible(["latency"], ("haproxy",))


def test_a_result_of_some_racers_is_not_published(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    report.Result(replace(CIRCUMSTANCES, only="trilb"), []).save(file)
    with pytest.raises(SystemExit, match="only of trilb"):
        main(file)
