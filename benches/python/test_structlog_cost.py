"""That the comparison with structlog runs, and that no side loses a line."""

from __future__ import annotations

import pytest
import structlog_cost


def test_every_side_writes_every_event(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LOGSPOOL_BENCH_QUICK", "1")
    structlog_cost.main()
    assert len(capsys.readouterr().out.splitlines()) == len(structlog_cost.SIDES)
