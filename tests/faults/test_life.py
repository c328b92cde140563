"""What a process has of files, threads and memory returns to where it was, and its counters hold at every moment."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from tests.faults.disks import kept_full, small_disk
from tests.faults.program import end, read_line, run, start, tell
from tests.faults.reliability import LONG, row

LOOK = """
import gc, json

def fds():
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            pass
    return {fd: name for fd, name in found.items() if not name.endswith("/fd")}

def threads():
    found = []
    for task in os.listdir("/proc/self/task"):
        try:
            found.append(Path(f"/proc/self/task/{task}/comm").read_text().strip())
        except OSError:  # it ended meanwhile
            pass
    return sorted(found)

def resident_kib():
    gc.collect()
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])

def attach_and_detach(path, **settings):
    handler = logspool.SpoolHandler(str(path), **settings)
    logger = logging.getLogger("life")
    logger.propagate = False
    logger.addHandler(handler)
    logger.warning("here")
    logger.removeHandler(handler)
    handler.close()
"""


def program(body: str) -> str:
    """The body behind what all of these look with."""
    return LOOK + textwrap.dedent(body)


def test_descriptors_and_threads_return_to_where_they_were_after_shutdown(tmp_path: Path) -> None:
    rounds = 50 if LONG else 5
    out = run(
        tmp_path,
        program(
            """
        here = Path(sys.argv[1])
        attach_and_detach(here / "before" / "a.jsonl")  # what is opened once and for all
        assert logspool.shutdown()
        # A thread that has said that it ends is there for a moment longer.
        wait_until(lambda: len(threads()) == 1, "one thread")
        before = fds(), threads()
        for round in range(int(sys.argv[2])):
            for n in range(5):
                attach_and_detach(here / str(n) / "a.jsonl", maxBytes=200, backupCount=2)
                attach_and_detach(here / str(n) / "b.jsonl", spool_dir="shm")
            assert logspool.shutdown()
            gc.collect()
            wait_until(lambda: threads() == before[1], "one thread")
            assert fds() == before[0], (before[0], fds())
        stats = logspool.stats()
        say(stats["emitted"], stats["written"], stats["in_flight"])
        """
        ),
        tmp_path / "logs",
        rounds,
    )
    assert out.split() == [str(10 * rounds + 1), str(10 * rounds + 1), "0"]
    row(
        fault="opening five directories and shutting down, over and over",
        promise="file descriptors and threads are the same as before",
        rounds=rounds,
        result="the same",
    )


def test_a_report_leaves_no_thread_behind_after_shutdown(tmp_path: Path) -> None:
    run(
        tmp_path,
        program(
            """
        first, second = Path(sys.argv[1], "a.jsonl"), Path(sys.argv[1], "b.jsonl")
        handler = logspool.SpoolHandler(str(first), spool_bytes=65536)
        attach_and_detach(second, spool_bytes=131072)  # says that the first one's settings stand
        wait_until(lambda: "logspool-stderr" in threads(), "a report")
        assert logspool.shutdown()
        wait_until(lambda: len(threads()) == 1, "one thread")
        """
        ),
        tmp_path / "logs",
    )


def test_attaching_and_detaching_handlers_leaves_memory_flat(tmp_path: Path) -> None:
    rounds = 10_000 if LONG else 200
    out = run(
        tmp_path,
        program(
            """
        path, rounds = Path(sys.argv[1]), int(sys.argv[2])
        for n in range(50):
            attach_and_detach(path)
        before = fds(), threads(), resident_kib()
        for n in range(rounds):
            attach_and_detach(path)
        wait_until(lambda: set(threads()) <= {*before[1], "logspool-writer"}, "no more threads")
        wait_until(lambda: fds() == before[0], "the same descriptors")
        after = fds(), threads(), resident_kib()
        say(after[2] - before[2])
        """
        ),
        tmp_path / "logs" / "a.jsonl",
        rounds,
        deadline=600,
    )
    grown = int(out)
    assert grown < 1024, f"{grown} KiB more after {rounds} handlers"
    row(
        fault="attaching a handler, logging, detaching and closing it",
        promise="memory, descriptors and threads stay where they were",
        rounds=rounds,
        result="resident memory grew by less than 1 MiB; descriptors and threads the same",
    )


@pytest.mark.parametrize("what", ["directories", "files"])
def test_opening_and_closing_ever_other_places_uses_nothing_up(tmp_path: Path, what: str) -> None:
    rounds = 1000 if LONG else 100
    out = run(
        tmp_path,
        program(
            """
        import resource
        here, rounds, what = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
        limit = 128 if what == "directories" else 256  # 64 logs of one directory have three each
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        attach_and_detach(here / "first" / "a.jsonl")
        for n in range(rounds):
            path = here / f"d{n}" / "a.jsonl" if what == "directories" else here / "files" / f"{n}.jsonl"
            attach_and_detach(path, spool_bytes=65536)
        assert logspool.shutdown()
        stats = logspool.stats()
        say(json.dumps([stats["emitted"], stats["written"]]))
        """
        ),
        tmp_path / "logs",
        rounds,
        what,
        deadline=300,
    )
    assert json.loads(out) == [rounds + 1, rounds + 1]
    found = [path for path in (tmp_path / "logs").rglob("*.jsonl") if path.stat().st_size > 0]
    assert len(found) == rounds + 1
    row(
        fault=f"logging to ever other {what}, one after the other, with few descriptors",
        promise="what is closed is given back",
        rounds=rounds,
        result="none ran out; every record is there",
    )


COUNTING = """
import json
policy = sys.argv[2]
logs = [
    open_log(
        Path(sys.argv[1]) / name, maxBytes=128 * 1024, backupCount=2, block_timeout=0.05, when_full=policy, spool_bytes=65536
    )
    for name in ("a.jsonl", "b.jsonl")
]
ended = threading.Event()

def work(me):
    n = 0
    while not ended.is_set():
        logs[n % 2].info("record %d %d", me, n, extra={"padding": "p" * (n % 300)})
        n += 1
        if n % 50 == 0:
            logspool.flush(0.001)
    calls.append(n)

def sample():
    samples, last = 0, 0
    while not ended.is_set():
        s = logspool.stats()
        assert s["emitted"] == s["written"] + s["dropped"] + s["in_flight"], s
        assert s["dropped"] == s["dropped_newest"] + s["dropped_oldest"] + s["dropped_other"], s
        assert s["emitted"] >= last and s["in_flight"] >= 0, (last, s)
        last = s["emitted"]
        samples += 1
    counted.append(samples)

counted, calls = [], []
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)] + [threading.Thread(target=sample)]
for thread in threads:
    thread.start()
say("logging")
while sys.stdin.readline() == "dropped?\\n":
    before = logspool.stats()["dropped"]
    wait_until(lambda: logspool.stats()["dropped"] > before, "drops")
    say("dropped")
ended.set()
for thread in threads:
    thread.join()
assert logspool.flush()
written = logspool.stats()["spools"]
assert logspool.shutdown()
final = logspool.stats()
assert final["in_flight"] == 0 and final["emitted"] == final["written"] + final["dropped"], final
assert final["emitted"] == sum(calls), (final, calls)
assert final["written"] == sum(log["written"] for spool in written for log in spool["logs"]), (final, written)
assert counted, "the sampler failed"
say(json.dumps({"samples": counted[0], "emitted": final["emitted"], "dropped": final["dropped"]}))
"""
SIBLING = """
log = open_log(Path(sys.argv[1]) / "a.jsonl", block_timeout=None, spool_bytes=65536)
n = 0
while True:
    log.info("sibling %d", n, extra={"padding": "p" * 200})
    n += 1
    if n == 100:
        say("busy")
"""


@pytest.mark.parametrize("policy", ["block", "drop_newest", "drop_oldest"])
def test_the_counters_add_up_at_every_moment_of_heavy_load_and_trouble(tmp_path: Path, policy: str) -> None:  # req 12
    cycles = 40 if LONG else 3
    with small_disk("8m") as disk:
        logs = disk / "logs"
        counting = start(tmp_path, COUNTING, logs, policy)
        assert read_line(counting) == "logging"
        for _ in range(cycles):
            sibling = start(tmp_path, SIBLING, logs)
            assert read_line(sibling) == "busy"
            sibling.kill()
            end(sibling)
            with kept_full(disk / "filler"):
                tell(counting, "dropped?")
                assert read_line(counting) == "dropped"
        tell(counting, "end")
        counts = json.loads(read_line(counting))
        _, err = end(counting)
        assert counting.returncode == 0, err
        assert "Error" not in err, err
    assert counts["samples"] > 100, counts
    row(
        fault="drops, a full disk and siblings killed, under load from three threads",
        promise="`emitted == written + dropped + in_flight` at every moment",
        rounds=counts["samples"],
        result={"not equal": 0, "emitted": counts["emitted"], "dropped": counts["dropped"]},
    )
