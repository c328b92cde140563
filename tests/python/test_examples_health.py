"""The health server of the examples: one handler swapped, and its log is JSON, rotated and compressed."""

from __future__ import annotations

import difflib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from logfiles import DEADLINE_SECONDS, eventually, records, segments

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_one_line_is_swapped() -> None:  # req 29
    old, new = ((EXAMPLES / side / "health-server.py").read_text().splitlines() for side in ("before", "after"))
    changed = [line for line in difflib.ndiff(old, new) if line[0] in "+-" and line[1:].strip()]
    added = [line for line in changed if line.startswith("+")]
    assert [line.split("=")[0] for line in added] == ["+ import logspool", "+ handler "]
    # Beside the handler only what it needed goes: its import and its formatter.
    assert len(changed) - len(added) == 3


def test_its_log_is_json_rotated_and_compressed(tmp_path: Path) -> None:  # req 24, 25, 29
    # The size is in the code, as in the server before; a smaller one shows rotation in a few requests.
    code = (EXAMPLES / "after" / "health-server.py").read_text().replace("maxBytes=10_485_760", "maxBytes=4_096")
    (tmp_path / "health-server.py").write_text(code)
    log = tmp_path / "logs" / "health-server.jsonl"
    server = subprocess.Popen(
        [sys.executable, "health-server.py"],
        cwd=tmp_path,
        env={**os.environ, "LOG_DIR": str(log.parent)},
        stderr=subprocess.PIPE,
    )
    try:
        eventually(lambda: log.exists() and bool(records(log)), "the server listens")
        port = records(log)[0]["fields"]["port"]
        for number in range(60):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=DEADLINE_SECONDS) as answer:
                assert json.load(answer)["status"] == "ok", number
        with pytest.raises(urllib.error.HTTPError, match="404") as missing:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/other", timeout=DEADLINE_SECONDS)
        missing.value.close()
        eventually(lambda: any(path.suffix == ".gz" for path in segments(log)), "a segment is compressed")
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=DEADLINE_SECONDS)
    found = [r for r in records(log) if "http_status" in r["fields"]]
    kept = [(r["level"], r["fields"]["path"], r["fields"]["http_status"]) for r in found]
    assert kept[-1] == ("WARNING", "/other", 404)
    assert set(kept[:-1]) == {("INFO", "/health", 200)}
    assert 1 < len(segments(log)) <= 6
    assert all(r["logger"] == "health-server" and r["service"] == "health-server" for r in found)
