"""SIGKILL at random moments: no accepted record is lost, doubled, torn or out of order.

The short form runs by default; `LOGSPOOL_FAULTS=long` (`make faults`) runs 500 rounds and more of each.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.faults.directed import kill_at
from tests.faults.failpoints import MISSING, STEPS, failpoints_built
from tests.faults.kill import Plan, run

LONG = os.environ.get("LOGSPOOL_FAULTS") == "long"
needs_failpoints = pytest.mark.skipif(not failpoints_built(), reason=MISSING)


def test_nothing_accepted_is_lost_or_doubled_by_random_kills(tmp_path: Path) -> None:
    report = run(500 if LONG else 25, Plan(), seed=2, scratch=tmp_path)
    assert report.clean, report
    assert report.accepted > 1000, report


def test_nothing_is_lost_when_living_siblings_write_the_same_logs(tmp_path: Path) -> None:  # req 11
    report = run(200 if LONG else 10, Plan(siblings=3), seed=3, scratch=tmp_path)
    assert report.clean, report
    assert report.accepted > 1000, report


def test_nothing_is_lost_when_spools_stand_in_different_places(tmp_path: Path) -> None:
    report = run(100 if LONG else 10, Plan(siblings=2, places=True), seed=7, scratch=tmp_path)
    assert report.clean, report


def test_nothing_is_lost_when_recovery_itself_is_killed(tmp_path: Path) -> None:
    report = run(200 if LONG else 15, Plan(while_opening=0.7), seed=4, scratch=tmp_path)
    assert report.clean, report


@pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest"])
def test_with_a_drop_policy_kills_lose_only_what_the_log_says(tmp_path: Path, policy: str) -> None:  # req 4
    plan = Plan(when_full=policy, spool_bytes=65536)
    report = run(200 if LONG else 10, plan, seed=6, scratch=tmp_path)
    assert report.clean, report
    assert report.found < report.accepted, "nothing was dropped: the spool was never full"


@needs_failpoints
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_every_step_of_the_protocol_loses_nothing(tmp_path: Path, step: str) -> None:
    for nth in range(1, 21) if LONG else (1, 2, 5):
        report = kill_at(tmp_path / str(nth), step, nth, Plan())
        assert report.clean, f"{step}, {nth}. time: {report}"


@needs_failpoints
@pytest.mark.parametrize("step", ["staged", "intent-stored", "appended", "done-advanced"])
def test_kills_of_the_recoverers_in_a_row_lose_nothing(tmp_path: Path, step: str) -> None:
    report = kill_at(tmp_path, step, 3, Plan(), recoverers=5, seed=STEPS.index(step))
    assert report.clean, report
