"""What `fsync` promises: `record` syncs before the call returns, `interval` about once a second, `none` never."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from tests.faults.program import run
from tests.faults.reading import events
from tests.python.test_strace import MARKS, needs_strace

SYNC = re.compile(r"\d+ +(fdatasync|fsync)\(\d+<([^>]*)>\) *= 0|\d+ +<\.\.\. (fdatasync|fsync) resumed>.*= 0")


def trace(tmp_path: Path, body: str) -> str:
    """The system calls of a program between its marks."""
    out = tmp_path / "trace"
    run(
        tmp_path,
        MARKS + textwrap.dedent(body),
        tmp_path / "logs" / "a.jsonl",
        prefix=("strace", "-f", "-y", "-o", str(out), "-e", "trace=fsync,fdatasync,stat,newfstatat"),
        deadline=120,
    )
    text = out.read_text(errors="replace")
    return text[text.index("/mark-begin") : text.index("/mark-end")]


def test_with_record_a_record_is_in_its_segment_when_the_call_returns(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    out = run(
        tmp_path,
        """
        path = Path(sys.argv[1])
        log = open_log(path, fsync="record", block_timeout=None)
        missing = 0
        for n in range(50):
            log.info("record %d", n)
            missing += path.read_text().count("\\n") != n + 1
        say(missing)
        """,
        path,
    )
    assert int(out) == 0
    assert events(path.parent, path.name) == [f"record {n}" for n in range(50)]


@needs_strace
def test_with_record_each_call_waits_for_a_sync_of_its_segment(tmp_path: Path) -> None:
    traced = trace(
        tmp_path,
        """
        log = open_log(sys.argv[1], fsync="record", block_timeout=None)
        mark("begin")
        for n in range(10):
            log.info("record %d", n)
        mark("end")
        """,
    )
    assert len(SYNC.findall(traced)) >= 10


@needs_strace
@pytest.mark.parametrize(("fsync", "syncs"), [("interval", True), ("none", False)])
def test_interval_syncs_behind_the_caller_and_none_never(tmp_path: Path, fsync: str, syncs: bool) -> None:
    traced = trace(
        tmp_path,
        f"""
        import time
        log = open_log(sys.argv[1], fsync={fsync!r}, block_timeout=None)
        mark("begin")
        end = time.monotonic() + 2.5  # the interval is a second: this is the time it is about, not a wait for something
        n = 0
        while time.monotonic() < end:
            log.info("record %d", n)
            n += 1
            time.sleep(0.01)
        mark("end")
        """,
    )
    assert bool(SYNC.search(traced)) is syncs
