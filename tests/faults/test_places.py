"""Processes whose spools stand in different places share a log: what one finishes for another is not written again.

Two containers that share a volume and keep their spools in their own shared memory are in the same position.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.failpoints import MISSING, failpoint_environment, failpoints_built
from tests.faults.program import end, read_line, run, start, tell
from tests.faults.reading import events

needs_failpoints = pytest.mark.skipif(not failpoints_built(), reason=MISSING)


@needs_failpoints
@pytest.mark.parametrize("step", ["intent-stored", "appended", "done-advanced"])
def test_an_append_finished_by_a_process_that_cannot_see_the_ring_is_not_repeated(tmp_path: Path, step: str) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    sibling = start(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        log.info("sibling 0")
        assert logspool.flush()
        say("open")
        sys.stdin.readline()
        log.info("sibling 1")
        assert logspool.flush()
        """,
        path,
    )
    assert read_line(sibling) == "open"
    elsewhere = tmp_path / "elsewhere"
    accepted = run(
        tmp_path,
        """
        log = open_log(sys.argv[1], spool_dir=sys.argv[2])
        for n in range(100):
            log.info("record %d", n)
            say(n)
        logspool.flush()
        """,
        path,
        elsewhere,
        status=-9,
        env=failpoint_environment(f"kill:{step}:1"),
    )
    tell(sibling, "go")
    _, err = end(sibling)
    assert sibling.returncode == 0, err
    run(tmp_path, "open_log(sys.argv[1], spool_dir=sys.argv[2])", path, elsewhere)
    found = events(path.parent, path.name)
    kept = [event for event in found if event.startswith("record ")]
    assert kept == [f"record {n}" for n in range(len(kept))]
    assert len(kept) - len(accepted.split()) in (0, 1)
    assert [e for e in found if e.startswith("sibling")] == ["sibling 0", "sibling 1"]
