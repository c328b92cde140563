"""A disk that is full and has room again, over and over: `block` loses nothing, the drop policies what they count."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.faults.disks import kept_full, loop_disk, small_disk
from tests.faults.program import end, read_line, start, tell
from tests.faults.reading import announced, records
from tests.faults.reliability import LONG, row

CYCLES = 200 if LONG else 10
POLICIES = ("block", "drop_newest", "drop_oldest")

PROGRAM = """
import json
policy = sys.argv[2]
log = open_log(
    sys.argv[1], maxBytes=128 * 1024, backupCount=0, block_timeout=None, when_full=policy, spool_bytes=64 * 1024
)
n = 0

def work():
    global n
    while not stop.is_set():
        log.info("record %d", n, extra={"padding": "p" * (n % 200)})
        n += 1

def counted(name):
    return logspool.stats()[name]

say("open")
while sys.stdin.readline() == "full\\n":
    stop = threading.Event()
    dropped, waits = counted("dropped"), counted("waits")
    thread = threading.Thread(target=work)
    thread.start()
    if policy == "block":
        wait_until(lambda: counted("waits") > waits and stands_still(lambda: counted("emitted")), "waiting for room")
    else:
        wait_until(lambda: counted("dropped") > dropped + 100, "drops")
    stop.set()
    say("stalled")
    assert sys.stdin.readline() == "freed\\n"
    thread.join()
    assert logspool.flush(60)
    say("caught up")
assert logspool.shutdown()
say(json.dumps({"calls": n, **{k: v for k, v in logspool.stats().items() if type(v) is int}}))
"""


def fill_and_free(scratch: Path, disk: Path, policy: str) -> dict[str, int]:
    """All cycles of one policy on a disk of its own; returns the program's own counts."""
    scratch.mkdir()
    path = disk / "logs" / "a.jsonl"
    program = start(scratch, PROGRAM, path, policy)
    assert read_line(program) == "open"
    for _ in range(CYCLES):
        with kept_full(disk / "filler"):
            tell(program, "full")
            assert read_line(program) == "stalled"
        tell(program, "freed")
        assert read_line(program) == "caught up"
    tell(program, "end")
    stats: dict[str, int] = json.loads(read_line(program))
    _, err = end(program)
    assert program.returncode == 0, err
    assert "No space left on device" in err, "the disk was never full"
    found = records(path.parent, path.name)
    kept = [int(record["event"].split()[1]) for record in found if record["event"].startswith("record ")]
    assert kept == sorted(set(kept))
    assert stats["emitted"] == stats["calls"] == stats["written"] + stats["dropped"]
    assert stats["written"] == len(kept)
    assert stats["dropped"] == announced(found)
    return stats


@pytest.mark.parametrize(
    ("disk", "name"),
    [
        pytest.param(lambda: small_disk("8m"), "an 8 MB tmpfs", id="tmpfs"),
        pytest.param(
            lambda: loop_disk(12, options=("-m", "0", "-O", "^has_journal")), "an ext4 on a loop device", id="ext4"
        ),
    ],
)
def test_a_disk_that_fills_and_frees_loses_only_what_the_policy_counts(
    tmp_path: Path, disk: Callable[[], contextlib.AbstractContextManager[Path]], name: str
) -> None:  # req 4, 10
    with contextlib.ExitStack() as disks, ThreadPoolExecutor(len(POLICIES)) as pool:
        places = [disks.enter_context(disk()) for _ in POLICIES]
        counts = list(pool.map(fill_and_free, [tmp_path / p for p in POLICIES], places, POLICIES))
    for policy, stats in zip(POLICIES, counts, strict=True):
        assert (stats["dropped"] == 0) == (policy == "block")
        row(
            fault=f"{name} fills up and is freed, `{policy}`",
            promise="nothing is lost" if policy == "block" else "lost is what is counted, and announced in the log",
            rounds=CYCLES,
            result={"written": stats["written"], "dropped and announced": stats["dropped"], "lost": 0},
        )
