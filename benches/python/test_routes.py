"""Every figure of docs/benchmarks.md: `pytest benches/python`, or `make bench`.

A test fails where a route that must keep every record lost, doubled or spoilt one. How long a route took is reported, never asserted; nor
is what a peer loses.
"""

from __future__ import annotations

from typing import Any

import figures
import frozen
import pytest
from replay import CLOCK, replay

pytestmark = pytest.mark.benchmark(timer=CLOCK)

TITLES = {
    "W0": ("p50", "W0: one call"),
    "W1": ("p50", "W1: one call"),
    "W2": ("p50", "W2: one call"),
    "W3": ("p50", "W3: one call"),
    "W4": ("p50", "W4: one call"),
    "paced": ("p99.9", "W2: p99.9 of a call at 2,000 a second, rotation and gzip on"),
    "flat": ("wall", "W2: flat out, wall per record"),
    "flat-gzip": ("wall", "W2: the same with rotation and gzip"),
    "flat-threads": ("wall", "W2: the same with 4 threads"),
    "loop-2000": ("p99", "event loop: p99 of a timer's lateness, 2,000 records a second"),
    "loop-20000": ("p99", "event loop: p99 of a timer's lateness, 20,000 records a second"),
}
CASES = [
    pytest.param(group, route, id=f"{group}-{route}") for group in TITLES for route in figures.group_of(group).routes
]


def measured(session: figures.Session, group: str, route: str) -> list[figures.Figures]:
    """A route's figures; skips where it cannot be measured here."""
    samples = session.group(group).get(route)
    if samples is None:
        pytest.skip("the interpreter that measures has not got this package")
    return samples


def assert_kept(route: str, samples: list[figures.Figures]) -> None:
    if figures.must_keep(route):
        spoilt = [{k: s[k] for k in ("lost", "doubled", "wrong", "text")} for s in samples if not figures.whole([s])]
        assert not spoilt, f"in {len(spoilt)} of {len(samples)} runs: {spoilt}"
        assert all(s["lines"] for s in samples)


@pytest.mark.parametrize(("group", "route"), CASES)
def test_route_keeps_every_record(benchmark: Any, session: figures.Session, group: str, route: str) -> None:
    samples = measured(session, group, route)
    key, title = TITLES[group]
    good = [sample for sample in samples if key in sample]
    if not good:
        pytest.xfail(f"a peer: {samples[0]['failed']}")
    replay(benchmark, title, good, key)
    assert_kept(route, samples)


@pytest.mark.parametrize("route", figures.group_of("kill").routes)
def test_what_a_kill_leaves_is_counted(session: figures.Session, route: str) -> None:
    samples = measured(session, "kill", route)
    if route in ("logspool", "fast"):
        assert_kept(route, samples)


@pytest.mark.skipif(bool(frozen.missing()), reason=frozen.missing())
@pytest.mark.parametrize("group", ["frozen-2000", "frozen-20000", "frozen-beside"])
def test_a_frozen_disk_loses_nothing(benchmark: Any, session: figures.Session, group: str) -> None:
    for route, samples in session.group(group).items():
        assert_kept(route, samples)
    replay(benchmark, f"event loop: {group}, p99 of a timer's lateness", session.group(group)["fast"], "p99")


@pytest.mark.parametrize("figure", ["import", "basicConfig"])
def test_start_is_measured(benchmark: Any, session: figures.Session, figure: str) -> None:
    replay(benchmark, "start", session.group("startup")["fast"], figure, unit=1e-3)


def test_every_record_of_a_full_ring_is_recovered(benchmark: Any, session: figures.Session) -> None:
    replay(
        benchmark,
        "start beside the full ring of a killed process",
        session.group("recovery")["fast"],
        "recovered",
        unit=1e-3,
    )


@pytest.mark.parametrize("route", figures.group_of("idle").routes)
def test_idle_cpu_is_measured(benchmark: Any, session: figures.Session, route: str) -> None:
    replay(benchmark, "CPU in a second of idleness", session.group("idle")[route], "idle", unit=1e-2)
