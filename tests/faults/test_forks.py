"""Forks under load: no hang, nothing lost or doubled, and the spools they leave stay few and small.

The short form runs by default; `LOGSPOOL_FAULTS=long` (`make faults`) forks 10,000 times.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from tests.faults.disks import small_disk
from tests.faults.forking import QUIET, RECOVER, eventually, log_path, orphans, rings
from tests.faults.program import end, read_line, run, start, tell
from tests.faults.reading import events
from tests.faults.reliability import LONG, row
from tests.faults.stall import stalled

STORM = """
import itertools
log = open_log(sys.argv[1], maxBytes=1_000_000, backupCount=0, gzip=False, block_timeout=None)
own = Path(sys.argv[1]).parent / ".logspool"
done = threading.Event()
counts = [0] * 8
def work(t):
    while not done.is_set():
        log.info("thread %d %d", t, counts[t])
        counts[t] += 1
        if counts[t] % 50 == 0:
            done.wait(0.01)
threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
for thread in threads:
    thread.start()
forks, living, most, space = int(sys.argv[2]), [], 0, 0
def reap():
    child, status = os.wait()
    living.remove(child)
    assert status == 0, status
for c in range(forks):
    child = os.fork()
    if not child:
        signal.alarm(50)  # a hang is an exit status
        if c % 4:
            log.info("child %d", c)
        os._exit(0)
    living.append(child)
    if len(living) == 4:
        reap()
    if c % 10 == 0:
        sizes = []
        for ring in own.glob("*.ring"):
            try:
                sizes.append(ring.stat().st_blocks * 512)
            except FileNotFoundError:
                pass
        most, space = max(most, len(sizes)), max(space, sum(sizes))
while living:
    reap()
done.set()
for thread in threads:
    thread.join()
# Where it goes on, it adopts what they left.
wait_until(lambda: logspool.stats() and len(list(own.glob("*.ring"))) <= 17, "few rings stand after the storm")
say(most, space)
say(*counts)
"""


def test_a_storm_of_forks_while_threads_log_loses_nothing_and_leaves_few_small_rings(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    forks = int(os.environ.get("LOGSPOOL_FORKS", "10000" if LONG else "200"))
    out = run(tmp_path, STORM, path, forks, env=QUIET, deadline=60 + forks / 10)
    seen, counted = out.splitlines()
    most, space = map(int, seen.split())
    # 16 orphans may stand when a ring is made; four children at a time make one; the parent has its own.
    assert most <= 16 + 4 + 1, most
    assert space <= (8 << 20) + 20 * (512 << 10) + (1 << 20), space
    run(tmp_path, RECOVER, path)
    expected = Counter(f"thread {t} {n}" for t, count in enumerate(map(int, counted.split())) for n in range(count))
    expected.update(f"child {c}" for c in range(forks) if c % 4)
    found = Counter(events(path.parent, path.name))
    row(
        fault="forks while 8 threads log, the children leave by `os._exit`",
        promise="no fork hangs, nothing lost or doubled, at most 16 orphans when a ring is made",
        rounds=forks,
        result={"lost": (expected - found).total(), "doubled": (found - expected).total()},
    )
    assert found == expected, (expected - found, found - expected)
    assert not rings(path)


def test_with_their_log_held_children_wait_a_bounded_time_and_say_so(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(tmp_path, RECOVER, path)
    program = """
    log = open_log(sys.argv[1])
    for c in range(18):
        child = os.fork()
        if not child:
            signal.alarm(50)
            log.info("child %d", c)
            if c == 17:
                logspool.shutdown(0)  # what it has to say is shown
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    os._exit(0)
    """
    with stalled(path.parent, path.name):
        process = start(tmp_path, program, path, env=QUIET)
        _, err = end(process)
        assert process.returncode == 0, err
        assert len(rings(path)) == 19
    assert "17 spools of dead processes stand" in err
    run(tmp_path, RECOVER, path)
    assert Counter(events(path.parent, path.name)) == Counter(f"child {c}" for c in range(18))
    assert not rings(path)


def test_children_that_wait_for_their_log_go_on_when_it_is_let_go(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(tmp_path, RECOVER, path)
    program = """
    log = open_log(sys.argv[1])
    for c in range(18):
        if c == 17:
            say("forking the last")
        child = os.fork()
        if not child:
            signal.alarm(50)
            log.info("child %d", c)
            if c == 17:
                logspool.flush()  # what it has to say is shown
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    say(len(list(Path(sys.argv[1]).parent.glob(".logspool/*.ring"))))
    os._exit(0)
    """
    with stalled(path.parent, path.name):
        process = start(tmp_path, program, path, env=QUIET)
        assert read_line(process) == "forking the last"
    standing = int(read_line(process))
    _, err = end(process)
    # Down to 16 it may go on: another process may hold the log just then. Beside them stand the parent's ring and its own.
    assert standing <= 18 and "spools of dead processes stand" not in err, (standing, err)
    run(tmp_path, RECOVER, path)
    assert Counter(events(path.parent, path.name)) == Counter(f"child {c}" for c in range(18))


# -- rings that begin small ------------------------------------------------------------------------------------------------


GROWING = """
log = open_log(sys.argv[1], spool_bytes=2 << 20, spool_dir=sys.argv[2], when_full="drop_newest", max_record="1MB",
               max_field="1MB", backupCount=0)
log.info("parent")
child = os.fork()
if not child:
    log.info("first")
    for n in range(int(sys.argv[3])):
        log.info("record %d %s", n, "x" * 300)
    stats = logspool.stats()
    say(stats["in_flight"], stats["dropped"], stats["spools"][0]["durable"])
    sys.stdin.readline()
    assert logspool.flush(30)
    stats = logspool.stats()
    assert stats["emitted"] == stats["written"] + stats["dropped"] + stats["in_flight"], stats
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0, "a child whose disk is full gets no SIGBUS"
"""


@pytest.mark.parametrize(("size", "least", "most"), [("16m", 2500, 3500), ("2700k", 300, 450)])
def test_a_childs_ring_grows_as_far_as_the_disk_allows(tmp_path: Path, size: str, least: int, most: int) -> None:
    path = log_path(tmp_path)
    run(tmp_path, RECOVER, path)
    with small_disk(size) as disk:
        with stalled(path.parent, path.name):
            process = start(tmp_path, GROWING, path, disk, 10_000, env=QUIET)
            in_flight, dropped, durable = read_line(process).split()
            (place,) = (disk / "logspool").iterdir()
            space = [ring.stat().st_blocks * 512 for ring in place.glob("*.ring")]
        tell(process, "go")
        _, err = end(process)
        assert process.returncode == 0, err
        assert durable == "True"
        assert least < int(in_flight) < most, (in_flight, dropped)
        assert int(in_flight) + int(dropped) == 10_001
        if size == "2700k":
            assert min(space) < 512 << 10, space
            assert "cannot grow beyond 256 KiB" in err
        found = [e.split(" x")[0] for e in events(path.parent, path.name)]
        kept = [e for e in found if e.startswith("record ")]
        assert kept == [f"record {n}" for n in range(int(in_flight) - 1)]


FORKING_HANDLER = """
log = open_log(sys.argv[1], spool_bytes=65536, block_timeout=None)
parent = os.getpid()
children = []
def handler(number, frame):
    child = os.fork()
    if child:
        children.append(child)
    else:
        signal.alarm(50)
        log.info("from the handler")
signal.signal(signal.SIGUSR1, handler)
def poke():
    wait_until(lambda: logspool.stats()["waits"] == 1, "the main thread waits for room")
    say("full")
    os.kill(parent, signal.SIGUSR1)
    assert sys.stdin.readline() == "go\\n"
poker = threading.Thread(target=poke)
poker.start()
for n in range(1000):
    log.info("record %d", n)
    if os.getpid() != parent:
        log.info("child after record %d", n)
        os._exit(0)
assert os.waitpid(children[0], 0)[1] == 0
poker.join()
"""


def test_a_signal_handler_may_fork_while_its_thread_waits_for_room(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(tmp_path, RECOVER, path)
    with stalled(path.parent, path.name):
        process = start(tmp_path, FORKING_HANDLER, path, env=QUIET)
        assert read_line(process) == "full"
        eventually(lambda: len(rings(path)) == 2 or process.poll() is not None, "the child has a ring")
        eventually(lambda: len(orphans(path)) == 1 or process.poll() is not None, "the child has ended")
    tell(process, "go")
    _, err = end(process)
    assert process.returncode == 0, err
    run(tmp_path, RECOVER, path)
    found = events(path.parent, path.name)
    (last,) = (event for event in found if event.startswith("child after "))
    by_both = last.removeprefix("child after ")
    expected = Counter(f"record {n}" for n in range(1000)) + Counter([by_both, "from the handler", last])
    assert Counter(found) == expected
