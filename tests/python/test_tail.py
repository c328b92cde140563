"""`tail -F` on the plain name shows every line across rotations."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.faults.kill import wait_for
from tests.faults.program import end, read_line, running, tell
from tests.faults.reading import segments


@pytest.mark.skipif(shutil.which("tail") is None, reason="no tail here")
def test_tail_f_shows_every_line_across_ten_rotations(tmp_path: Path) -> None:  # req 12
    path = tmp_path / "logs" / "a.jsonl"
    shown = tmp_path / "shown"
    with running(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=40_000, backupCount=0, gzip=True)
        log.info("record 0")
        assert logspool.flush()
        say("ready")
        sys.stdin.readline()
        begin = time.monotonic()
        for n in range(1, 4001):  # 2,000 lines a second, about five rotations a second
            log.info("record %d", n)
            while time.monotonic() < begin + n / 2000:
                time.sleep(0.001)
        say("done")
        sys.stdin.readline()
        """,
        path,
    ) as process:
        assert read_line(process) == "ready"
        with shown.open("wb") as out:
            tail = subprocess.Popen(["tail", "-F", "-n", "+1", str(path)], stdout=out, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: shown.stat().st_size > 0, "tail shows the first line")
            tell(process, "go")
            assert read_line(process) == "done"
            wait_for(
                lambda: shown.read_bytes().endswith(b"}\n") and b'"record 4000"' in shown.read_bytes(),
                "tail shows the last line",
                20,
            )
        finally:
            tail.kill()
            tail.wait()
        tell(process, "end")
        end(process)
        assert process.returncode == 0
    assert len(segments(path.parent, path.name)) > 10
    assert [json.loads(line)["event"] for line in shown.read_bytes().splitlines()] == [
        f"record {n}" for n in range(4001)
    ]
