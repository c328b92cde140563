"""SIGKILL at random moments: no accepted record is lost, doubled, torn or out of order.

The short form runs by default; `LOGSPOOL_FAULTS=long` (`make faults`) runs 10,000 rounds and more.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.directed import kill_at, kill_often_at
from tests.faults.failpoints import MISSING, STEPS, failpoints_built
from tests.faults.kill import Plan, run
from tests.faults.reliability import LONG, row

needs_failpoints = pytest.mark.skipif(not failpoints_built(), reason=MISSING)
PROMISE = "every accepted record is in the log, once, whole, in order"


def test_nothing_accepted_is_lost_or_doubled_by_random_kills(tmp_path: Path) -> None:
    plan = Plan(recoverers=5, while_opening=0.1, contended=0.1)
    report = run(10_000 if LONG else 25, plan, seed=2, scratch=tmp_path)
    assert report.clean, report
    assert report.accepted > 1000, report
    row(fault="SIGKILL at random while logging", promise=PROMISE, rounds=report.rounds, result=report)
    row(
        fault="SIGKILL of those that recover from it, up to 5 in a row",
        promise=PROMISE,
        rounds=report.recoverers,
        result="as in the row above, which they are part of",
    )


def test_nothing_is_lost_when_living_siblings_write_the_same_logs(tmp_path: Path) -> None:  # req 11
    report = run(300 if LONG else 6, Plan(siblings=3), seed=3, scratch=tmp_path)
    assert report.clean, report
    assert report.accepted > 1000, report
    row(
        fault="SIGKILL beside two living processes on the same logs",
        promise=PROMISE,
        rounds=report.rounds,
        result=report,
    )


def test_nothing_is_lost_when_spools_stand_in_different_places(tmp_path: Path) -> None:
    report = run(200 if LONG else 6, Plan(siblings=2, places=True), seed=7, scratch=tmp_path)
    assert report.clean, report
    row(fault="SIGKILL, half of the spools in shared memory", promise=PROMISE, rounds=report.rounds, result=report)


@pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest"])
def test_with_a_drop_policy_kills_lose_only_what_the_log_says(tmp_path: Path, policy: str) -> None:  # req 4
    plan = Plan(when_full=policy, spool_bytes=65536)
    report = run(200 if LONG else 10, plan, seed=6, scratch=tmp_path)
    assert report.clean, report
    assert report.found < report.accepted, "nothing was dropped: the spool was never full"
    row(
        fault="SIGKILL with a full spool and a drop policy",
        promise="a record in the log stands for each one that is missing",
        rounds=report.rounds,
        result={"missing and not announced": report.gaps, "doubled": report.doubled, "torn": report.torn},
    )


def test_damage_to_a_dead_process_spool_costs_the_damaged_record_and_never_passes_for_one(tmp_path: Path) -> None:
    report = run(300 if LONG else 10, Plan(damage=0.7, recoverers=2), seed=8, scratch=tmp_path)
    assert report.clean, report
    assert report.meddled > 0, report
    row(
        fault="SIGKILL, then a byte of the spool changed",
        promise="only the damaged record is missing, and no damaged one is in the log",
        rounds=report.meddled,
        result=report,
    )


def test_segments_changed_by_other_programs_between_two_lives_cost_nothing(tmp_path: Path) -> None:
    report = run(300 if LONG else 10, Plan(interference=0.7, recoverers=2), seed=9, scratch=tmp_path)
    assert report.clean, report
    assert report.meddled > 0, report
    row(
        fault="SIGKILL, then a segment renamed, replaced, appended to, or copied and truncated",
        promise="a new segment is begun; nothing is lost, and the other program's file is not written to",
        rounds=report.meddled,
        result=report,
    )


@needs_failpoints
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_every_step_of_the_protocol_loses_nothing(tmp_path: Path, step: str) -> None:
    report = kill_often_at(tmp_path, step, 100 if LONG else 2, Plan(threads=2, max_bytes=64 * 1024))
    assert report.clean, f"{step}: {report}"
    row(
        fault=f"SIGKILL at each of {len(STEPS)} steps of writing, rotating and compressing",
        promise=PROMISE,
        rounds=report.rounds,
        result=report,
    )


@needs_failpoints
@pytest.mark.parametrize("step", ["staged", "intent-stored", "appended", "done-advanced"])
def test_kills_of_the_recoverers_in_a_row_lose_nothing(tmp_path: Path, step: str) -> None:
    for number in range(20 if LONG else 1):
        report = kill_at(tmp_path / str(number), step, 3, Plan(), 5, seed=number)
        assert report.clean, report
        row(
            fault="SIGKILL at a step, then of five that recover, each at a step",
            promise=PROMISE,
            rounds=1,
            result=report,
        )
