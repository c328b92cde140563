"""The counting itself: a lost, doubled, changed or unreadable line is seen, or the benchmarks would prove nothing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import figures
import pytest
import workloads


def line(i: int, **changes: Any) -> str:
    return json.dumps({"event": "tool_call", "fields": {**workloads.tool_call(i), **changes}})


def counted(directory: Path, lines: list[str], count: int = 3, workload: str = "W2") -> dict[str, int]:
    (directory / "bench.jsonl").write_text("".join(text + "\n" for text in lines))
    return {k: v for k, v in workloads.check(workload, directory, count).items() if v and k != "lines"}


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([line(0), line(1), line(2)], {}),
        ([line(0), line(2)], {"lost": 1}),
        ([line(0), line(1), line(1), line(2)], {"doubled": 1}),
        ([line(0), line(1, user="u-1"), line(2)], {"wrong": 1}),
        ([line(0, ok=1), line(1), line(2)], {"wrong": 1}),  # 1 is not true
        ([line(0), line(1, latency_ms=float("nan")), line(2)], {"text": 1, "wrong": 1}),
        ([line(0), line(1)[:-9], line(2)], {"text": 1, "wrong": 1}),
        ([line(0), line(1), line(2), line(7)], {"wrong": 1}),
        ([line(0), line(1), '{"event":"tool_call"}'], {"wrong": 1}),
        (["tool_call", "tool_call"], {"lost": 1, "text": 2, "wrong": 2}),
    ],
)
def test_every_kind_of_damage_is_counted(tmp_path: Path, lines: list[str], found: dict[str, int]) -> None:
    assert counted(tmp_path, lines) == found


def test_compressed_files_are_read_and_a_file_with_two_names_once(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bench.jsonl.000001.gz", "wt") as file:
        file.write(line(0) + "\n")
    (tmp_path / "bench.jsonl.000002").write_text(line(1) + "\n")
    (tmp_path / "bench.jsonl").hardlink_to(tmp_path / "bench.jsonl.000002")
    assert workloads.check("W2", tmp_path, 2) == {"lines": 2, "lost": 0, "doubled": 0, "wrong": 0, "text": 0}


def test_a_traceback_that_is_cut_short_is_wrong(tmp_path: Path) -> None:
    whole = "tool search_documents failed at 0\nValueError level_2 level_3 level_4 level_5"
    lines = [json.dumps({"event": text}) for text in (whole, whole.replace("at 0", "at 1").replace("level_5", ""))]
    assert counted(tmp_path, lines, 2, "W3") == {"wrong": 1}


def test_the_interval_is_that_of_the_paired_differences() -> None:
    route = [{"p99": 11.0}, {"p99": 22.0}, {"p99": 33.0}, {"failed": "hung"}]
    floor = [{"p99": 10.0}, {"p99": 20.0}, {"p99": 30.0}, {"p99": 1.0}]
    low, high = figures.interval(route, floor, "p99")  # differences 1, 2, 3: mean 2, deviation 1, t = 4.303
    assert (round(low, 3), round(high, 3)) == (-0.484, 4.484)


def test_a_ratio_is_taken_within_a_turn_and_without_what_building_costs() -> None:
    route, floor, build = (
        [{"wall": w} for w in walls] for walls in ((3.0, 5.0, 9.0), (5.0, 9.0, 17.0), (1.0, 1.0, 1.0))
    )
    assert figures.ratio(route, floor, "wall", build) == 0.5
