"""The tests can fail: with one safeguard of the protocol switched off, records are lost, doubled or torn, and it shows.

Each safeguard is off in a build of its own kind (feature `failpoints`), and the same rounds that otherwise find nothing must find it within
200. The table says after how many they did.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.faults.directed import kill_at
from tests.faults.failpoints import MISSING, failpoints_built
from tests.faults.kill import Plan, run
from tests.faults.reliability import LONG, row

pytestmark = pytest.mark.skipif(not failpoints_built(), reason=MISSING)
WITHIN = 200

MUTATIONS = {
    "no-intent": ("the intent of an append is not stored", Plan(siblings=3, while_opening=0.05, logging_ms=20.0)),
    "no-checksum": ("the checksum of a frame is not compared", Plan(damage=0.7)),
    "no-inode-check": ("the segment's identity and length are not compared", Plan(interference=0.7)),
    "tail-first": ("the tail is advanced before the write", Plan(contended=0.5)),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_protocol_without_one_of_its_safeguards_is_caught_within_200_rounds(tmp_path: Path, mutation: str) -> None:
    what, plan = MUTATIONS[mutation]
    plan = replace(plan, failpoint=mutation)
    taken = []
    for seed in range(3 if LONG else 1):
        report = run(WITHIN, plan, seed=seed, batch=5, scratch=tmp_path)
        assert not report.clean, f"{mutation} survived: {report}"
        taken.append(report.rounds)
    row(
        fault=f"Mutation: {what}",
        promise=f"the harness finds it within {WITHIN} rounds",
        rounds=sum(taken),
        result=f"caught after {', '.join(map(str, taken))} rounds",
    )


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_rounds_that_catch_a_mutation_find_nothing_without_it(tmp_path: Path, mutation: str) -> None:
    plan = replace(MUTATIONS[mutation][1], failpoint="")
    report = run(100 if LONG else 5, plan, seed=1, scratch=tmp_path)
    assert report.clean, report


def test_without_intent_completion_a_kill_after_the_append_doubles_records(tmp_path: Path) -> None:
    report = kill_at(tmp_path / "kill", "appended", 3, Plan(), extra="no-intent,")
    assert report.doubled > 0, report
