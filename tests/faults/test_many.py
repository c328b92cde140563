"""Many processes on one log: the exact set of records, also while one of them is stopped with the log's lock in its hand."""

from __future__ import annotations

import json
import os
import signal
from collections import defaultdict
from pathlib import Path

import pytest
from tests.faults.failpoints import MISSING, failpoint_environment, failpoints_built
from tests.faults.kill import wait_for
from tests.faults.program import end, read_line, run, start, tell
from tests.faults.reading import announced, lines, parse, records, segments
from tests.faults.reliability import LONG, row

WORK = """
log = open_log(sys.argv[1], maxBytes=int(sys.argv[4]), backupCount=0, block_timeout=None, spool_bytes=256 * 1024)
say("ready")
sys.stdin.readline()
me = int(sys.argv[2])
for n in range(int(sys.argv[3])):
    log.info("%d %d %s", me, n, "p" * (n % 97))
assert logspool.shutdown()
"""


def test_many_processes_on_one_log_with_rotation_leave_the_exact_set(tmp_path: Path) -> None:  # req 11
    processes, count, size = (64, 20_000, 1024 * 1024) if LONG else (12, 1000, 64 * 1024)
    path = tmp_path / "logs" / "a.jsonl"
    started = [start(tmp_path, WORK, path, number, count, size) for number in range(processes)]
    for process in started:
        assert read_line(process) == "ready"
    for process in started:
        tell(process, "go")
    for process in started:
        _, err = end(process, deadline=1200)
        assert process.returncode == 0, err
    found: dict[int, list[int]] = defaultdict(list)
    for _, line in lines(path.parent, path.name):
        number, n, padding = parse(line)["event"].split(" ")
        assert len(padding) == int(n) % 97
        found[int(number)].append(int(n))
    assert found.keys() == set(range(processes))
    wrong = [number for number, numbers in found.items() if numbers != list(range(count))]
    assert wrong == []
    assert len(segments(path.parent, path.name)) > 5
    row(
        fault=f"{processes} processes, {count:,} records each, rotation at {size >> 20} MiB",
        promise="the exact set of records, each process' in its order",
        rounds=1,
        result={"lost": 0, "doubled": 0, "torn": 0, "reordered": 0, "written": processes * count},
    )


HOLDER = """
log = open_log(sys.argv[1], block_timeout=None)
for n in range(1000):
    log.info("holder %d", n)
    say(n)
    if n % 20 == 0:
        logspool.flush()
assert logspool.shutdown()
"""

FOLLOWER = """
import json
path, policy = Path(sys.argv[1]), sys.argv[2]
settings = dict(block_timeout=None, when_full=policy, spool_bytes=64 * 1024)
log, other = open_log(path, **settings), open_log(path.with_name("b.jsonl"), **settings)
for n in range(50):
    log.info("record %d", n)
    other.info("record %d", n)
wait_until(lambda: stats_of("b.jsonl") == 50, "the other log goes on")
assert stats_of("a.jsonl") == 0
say("the other log goes on")

def work():
    for n in range(50, 2000):
        log.info("record %d", n, extra={"padding": "p" * 100})

thread = threading.Thread(target=work)
thread.start()
if policy == "block":
    wait_until(lambda: logspool.stats()["waits"] > 0, "the policy is followed")
    assert thread.is_alive()
    emitted = logspool.stats()["emitted"]
    assert stands_still(lambda: logspool.stats()["emitted"])
else:
    thread.join()
    assert logspool.stats()["dropped"] > 0
say("the policy is followed")
thread.join()
assert logspool.shutdown()
say(json.dumps({k: v for k, v in logspool.stats().items() if isinstance(v, int)}))
"""
STATS_OF = """
def stats_of(name):
    return {log["name"]: log["written"] for spool in logspool.stats()["spools"] for log in spool["logs"]}[name]
"""


@pytest.mark.skipif(not failpoints_built(), reason=MISSING)
@pytest.mark.parametrize("signalled", [signal.SIGCONT, signal.SIGKILL])
@pytest.mark.parametrize("policy", ["block", "drop_newest", "drop_oldest"])
def test_a_process_stopped_with_the_lock_of_a_log_stalls_that_log_only_and_costs_nothing(
    tmp_path: Path, policy: str, signalled: signal.Signals
) -> None:  # req 4, 11
    steps = ("staged", "intent-stored", "appended", "done-advanced", "segment-created", "state-switched")
    for step in steps if LONG else ("intent-stored",):
        nth = 1 if step.startswith(("seg", "state")) else 2
        place = tmp_path / step
        place.mkdir()
        stop_and_follow(place, policy, signalled, f"stop:{step}:{nth}")
    row(
        fault=f"SIGSTOP of a process that holds a log's lock, then {signalled.name}",
        promise="other logs go on; the log's writers follow their policy, lose only what it drops, and catch up",
        rounds=len(steps),
        result=f"kept (`{policy}`)",
    )


def stop_and_follow(place: Path, policy: str, signalled: signal.Signals, failpoint: str) -> None:
    path = place / "logs" / "a.jsonl"
    holder = start(place, HOLDER, path, env=failpoint_environment(failpoint))
    stopped = os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert stopped is not None and stopped.si_status == signal.SIGSTOP, end(holder)
    follower = start(place, STATS_OF + FOLLOWER, path, policy)
    assert read_line(follower) == "the other log goes on"
    assert read_line(follower) == "the policy is followed"
    holder.send_signal(signalled)
    out, err = end(holder)
    assert holder.returncode == (0 if signalled == signal.SIGCONT else -signal.SIGKILL), err
    accepted = len(out.split())
    stats = json.loads(read_line(follower))
    _, err = end(follower)
    assert follower.returncode == 0, err
    run(place, "open_log(sys.argv[1])", path)
    found = records(path.parent, path.name)
    held = [r["event"] for r in found if r["event"].startswith("holder ")]
    assert held == [f"holder {n}" for n in range(len(held))]
    assert len(held) - accepted in (0, 1)
    kept = [int(r["event"].split()[1]) for r in found if r["event"].startswith("record ")]
    assert kept == sorted(set(kept))
    assert stats["emitted"] == 2050 == stats["written"] + stats["dropped"]
    assert stats["written"] == len(kept) + 50
    assert stats["dropped"] == 2000 - len(kept) == announced(found)
    assert (stats["dropped"] > 0) == (policy != "block")
    assert len(records(path.parent, "b.jsonl")) == 50


def test_a_stop_that_never_comes_is_not_taken_for_one(tmp_path: Path) -> None:
    """The test above can fail: without the failpoint the holder ends by itself."""
    holder = start(tmp_path, HOLDER, tmp_path / "logs" / "a.jsonl")
    stopped = os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert stopped is not None and stopped.si_code == os.CLD_EXITED
    wait_for(lambda: holder.poll() is not None, "the holder's end")
