"""Every figure of docs/benchmarks.md: `pytest benches/python`, or `make bench`.

A test fails where a route that must keep every record lost, doubled or spoilt one. How long a route took is reported, never asserted.
"""

from __future__ import annotations

from typing import Any

import figures
import pytest
from replay import CLOCK, replay

pytestmark = pytest.mark.benchmark(timer=CLOCK)

TITLES = {
    "W1": ("p50", "W1: one call"),
    "W2": ("p50", "W2: one call"),
    "W3": ("p50", "W3: one call"),
    "W4": ("p50", "W4: one call"),
    "paced": ("p99.9", "W2: p99.9 of a call at 2,000 a second, rotation and gzip on"),
    "flat": ("wall", "W2: 500,000 flat out, wall per record"),
    "flat-gzip": ("wall", "W2: the same with rotation and gzip"),
    "flat-threads": ("wall", "W2: the same with 4 threads"),
}
CASES = [pytest.param(group, route, id=f"{group}-{route}") for group in TITLES for route in figures.GROUPS[group][1]]


@pytest.mark.parametrize(("group", "route"), CASES)
def test_route_keeps_every_record(benchmark: Any, session: figures.Session, group: str, route: str) -> None:
    samples = session.group(group)[route]
    key, title = TITLES[group]
    replay(benchmark, title, samples, key)
    if figures.complete(route):
        spoilt = [(s["lost"], s["doubled"], s["wrong"]) for s in samples if s["lost"] or s["doubled"] or s["wrong"]]
        assert not spoilt, f"(lost, doubled, wrong) in {len(spoilt)} of {len(samples)} runs: {spoilt}"
        assert all(s["lines"] for s in samples)


@pytest.mark.parametrize("figure", ["import", "basicConfig"])
def test_start_is_measured(benchmark: Any, session: figures.Session, figure: str) -> None:
    replay(benchmark, "start", session.group("startup")["logspool"], figure, unit=1e-3)


@pytest.mark.parametrize("route", figures.GROUPS["idle"][1])
def test_idle_cpu_is_measured(benchmark: Any, session: figures.Session, route: str) -> None:
    replay(benchmark, "CPU in a second of idleness", session.group("idle")[route], "idle", unit=1e-2)
