"""The benchmark of tool calls over stdio, once and small: that it runs, and that every call leaves its records."""

from __future__ import annotations

import asyncio
from pathlib import Path

import mcpcalls


def test_every_call_leaves_its_records(tmp_path: Path) -> None:
    took = asyncio.run(mcpcalls.run(tmp_path, 10))
    assert {kind: len(times) for kind, times in took.items()} == dict.fromkeys(mcpcalls.TITLES, 10)
    calls = 10 + mcpcalls.WARM
    found = {kind: mcpcalls.recorded(tmp_path / kind) for kind in mcpcalls.TITLES}
    assert found == mcpcalls.expected(calls)
    assert found["everything"] == {
        "tool_call": calls, "openrouter_request": calls, "openrouter_cost": calls, "stdout": 0, "bench": 0,
    }  # fmt: skip
    text = mcpcalls.table(tmp_path, took, 10)
    assert all(f"| {title} | " in text for title in mcpcalls.TITLES.values())
