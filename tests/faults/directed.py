"""Directed kills: the process kills itself at a named step, the next ones recover, some of them killed at a step too."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .check import Calls, Report, check
from .failpoints import STEPS
from .kill import DEADLINE, Plan, Writer, leftovers, recover, side_by_side

#: The kill is at one of so many first passages of a step.
PASSAGES = 20


def kill_at(
    scratch: Path, step: str, nth: int, plan: Plan, recoverers: int = 0, *, extra: str = "", seed: int = 0
) -> Report:
    """Let a writer die at the `nth` passage of `step`, kill up to `recoverers` of those that follow at random steps, then compare.

    `extra` is put before the failpoint (`no-intent,`). Raises WriterError if the step is never reached.
    """
    rng = random.Random(f"{step}/{nth}/{seed}")
    directory = scratch / "logs"
    directory.mkdir(parents=True)
    ledgers: dict[int, Sequence[Calls]] = {}

    def run(number: int, failpoint: str, records: int | None) -> int:
        writer = Writer(scratch, directory, number, replace(plan, failpoint=extra + failpoint), records=records)
        try:
            writer.go()
            status = writer.process.wait(DEADLINE)
            ledgers[number] = writer.calls()
            if status not in (0, -signal.SIGKILL):
                raise AssertionError(f"{failpoint}: ended with {status}\n{writer.errors()}")
            return status
        finally:
            writer.discard()

    if run(0, f"kill:{step}:{nth}", 100_000) != -signal.SIGKILL:
        raise AssertionError(f"the writer never came to {step} for the {nth}. time")
    killed = 0
    for number in range(1, recoverers + 1):  # not all of them come to their step
        killed += run(number, f"kill:{rng.choice(STEPS)}:1", 0) == -signal.SIGKILL
    recover(scratch, directory, recoverers + 1, replace(plan, failpoint=extra.rstrip(",") or None))
    report = check(directory, ledgers)
    leftovers(directory, report)
    report.rounds, report.recoverers = 1, killed
    shutil.rmtree(scratch)
    return report


def kill_often_at(scratch: Path, step: str, times: int, plan: Plan) -> Report:
    """Kill a writer at the first, second, … passage of `step`, and every third time some of those that recover as well."""
    calls = [
        (scratch / f"{step}-{number}", step, number % PASSAGES + 1, plan, number // 3 % 6 if number % 3 == 2 else 0)
        for number in range(times)
    ]
    return side_by_side(kill_at, calls)
