"""The tests can fail: with one safeguard of the protocol switched off, records are lost, doubled or torn, and it shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.directed import kill_at
from tests.faults.failpoints import MISSING, failpoint_environment, failpoints_built
from tests.faults.kill import Plan, run
from tests.faults.program import run as run_program
from tests.faults.reading import events
from tests.faults.stall import stalled

pytestmark = pytest.mark.skipif(not failpoints_built(), reason=MISSING)


def test_without_intent_completion_a_kill_after_the_append_doubles_records(tmp_path: Path) -> None:
    report = kill_at(tmp_path, "appended", 3, Plan(), extra="no-intent,")
    assert report.doubled > 0, report


def test_without_intent_completion_random_kills_lose_double_or_tear_records(tmp_path: Path) -> None:
    report = run(200, Plan(failpoint="no-intent"), seed=5, scratch=tmp_path)
    assert report.lost + report.doubled + report.torn > 0, report


def test_with_the_tail_advanced_before_the_write_a_contended_log_loses_records(tmp_path: Path) -> None:
    report = run(200, Plan(siblings=3, failpoint="tail-first"), seed=6, scratch=tmp_path)
    assert report.lost > 0, report


def test_without_checksums_damage_passes_for_a_record(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    run_program(tmp_path, "open_log(sys.argv[1])", path)
    program = """
    log = open_log(sys.argv[1])
    for n in range(100):
        log.info("record %d", n)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    with stalled(path.parent, path.name):
        run_program(tmp_path, program, path, status=-9)
    (ring,) = (path.parent / ".logspool").glob("*.ring")
    data = ring.read_bytes()
    with ring.open("r+b") as file:
        file.seek(data.index(b'"record 50"') + 1)
        file.write(b"R")
    run_program(tmp_path, "open_log(sys.argv[1])", path, env=failpoint_environment("no-checksum"))
    assert "Record 50" in events(path.parent, path.name)
