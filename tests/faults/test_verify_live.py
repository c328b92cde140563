"""`logspool verify` beside processes that log, rotate many times a second, compress, retire, drop and are killed: nothing is missing
at any moment, and it never says so."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

from tests.faults.program import end, start
from tests.faults.reliability import LONG, row

LOOKS = 400 if LONG else 12

WRITER = """
import random
policy, seed, killed = sys.argv[2], int(sys.argv[3]), sys.argv[4] == "killed"
r = random.Random(seed)
logs = [
    open_log(
        Path(sys.argv[1]) / name, maxBytes=100_000, backupCount=4, when_full=policy, spool_bytes=64 * 1024,
        block_timeout=None if policy == "block" else 0.01, spool_dir="shm" if seed % 2 else None,
    )
    for name in ("a.jsonl", "b.jsonl")
]
for n in range(r.randint(2_000, 10_000)):
    r.choice(logs).info("record %d %s", n, "x" * r.randint(0, 300))
if killed:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def logspool(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "logspool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_log_at_work_is_never_said_to_miss_anything(tmp_path: Path) -> None:
    directory = tmp_path / "logs"
    rng = random.Random(4)
    writers: list[subprocess.Popen[str]] = []
    started = 0
    looks = 0
    while looks < LOOKS:
        for writer in [w for w in writers if w.poll() is not None]:
            _, err = end(writer)
            assert writer.returncode in (0, -signal.SIGKILL), err
            writers.remove(writer)
        while len(writers) < 3:
            policy = rng.choice(["block", "drop_newest", "drop_oldest"])
            fate = rng.choice(["killed", "killed", "ends"])
            writers.append(start(tmp_path, WRITER, directory, policy, started, fate))
            started += 1
        if not (directory / ".logspool").is_dir():
            continue
        looks += 1
        done = logspool("verify", "--json", directory)
        assert done.returncode == 0, f"look {looks}: {done.stdout}{done.stderr}"
    for writer in writers:
        end(writer)
    left = json.loads(logspool("recover", "--json", directory).stdout)
    assert left["left"] == []
    done = logspool("verify", directory)
    assert done.returncode == 0, done.stdout
    row(
        fault="`logspool verify` beside processes that log, rotate, compress, retire, drop and are killed",
        promise="it never says that something is missing",
        rounds=looks,
        result="no false finding",
    )
