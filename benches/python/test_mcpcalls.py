"""The benchmark of tool calls over stdio, once and small: that it runs, and that every call leaves its records."""

from __future__ import annotations

import asyncio
from pathlib import Path

import mcpcalls


def test_every_call_leaves_its_records(tmp_path: Path) -> None:
    took = asyncio.run(mcpcalls.run(tmp_path, 10))
    assert {kind: len(times) for kind, times in took.items()} == dict.fromkeys(mcpcalls.TITLES, 10)
    calls = 10 + mcpcalls.WARM
    assert mcpcalls.recorded(tmp_path / "plain") == {"tool_call": 0, "stdout": 0, "bench": 0}
    assert mcpcalls.recorded(tmp_path / "instrumented") == {"tool_call": calls, "stdout": 0, "bench": 0}
    assert mcpcalls.recorded(tmp_path / "chatty") == dict.fromkeys(("tool_call", "stdout", "bench"), calls)
    assert mcpcalls.table(tmp_path, took, 10).count("| ") > 12
