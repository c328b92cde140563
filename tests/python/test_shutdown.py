"""Our threads come back: after a shutdown that was not the end, after a fork, and past a log that is stuck."""

from __future__ import annotations

from pathlib import Path

from tests.faults.program import run
from tests.faults.reading import events
from tests.faults.stall import stalled


def test_segments_are_compressed_again_after_a_shutdown_that_was_not_the_end(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    out = run(
        tmp_path,
        """
        path = Path(sys.argv[1])
        log = open_log(path, maxBytes=20_000, backupCount=0, block_timeout=None)
        for n in range(1000):
            log.info("record %d", n)
        logspool.shutdown(0.0)
        for n in range(1000, 2000):
            log.info("record %d", n)
        assert logspool.flush()
        wait_until(lambda: len(list(path.parent.glob("a.jsonl.*.gz"))) >= 10, "segments are compressed")
        say(logspool.shutdown())
        """,
        path,
    )
    assert out.split() == ["True"]
    assert events(path.parent, path.name) == [f"record {n}" for n in range(2000)]


def test_a_shutdown_after_one_that_ran_out_of_time_returns(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    out = run(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=200_000, backupCount=0, block_timeout=None)
        for n in range(5000):
            log.info("record %d", n)
        logspool.shutdown(0.0)
        say(logspool.shutdown())
        """,
        path,
    )
    assert out.split() == ["True"]
    assert events(path.parent, path.name) == [f"record {n}" for n in range(5000)]


def test_threads_that_log_through_shutdowns_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    out = run(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=0, gzip=False, block_timeout=None)
        done = threading.Event()
        counts = [0] * 3
        def work(t):
            while not done.is_set():
                log.info("thread %d %d", t, counts[t])
                counts[t] += 1
        threads = [threading.Thread(target=work, args=(t,)) for t in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(30):
            logspool.shutdown(1)
            logspool.SpoolHandler(sys.argv[1], maxBytes=0, gzip=False, block_timeout=None)
        done.set()
        for thread in threads:
            thread.join()
        say(*counts)
        """,
        path,
    )
    found: dict[str, list[int]] = {"0": [], "1": [], "2": []}
    for event in events(path.parent, path.name):
        _, thread, number = event.split()
        found[thread].append(int(number))
    for thread, count in enumerate(map(int, out.split())):
        assert sorted(found[str(thread)]) == list(range(count))


def test_a_log_that_is_stuck_stalls_no_other_however_much_lies_behind_it(tmp_path: Path) -> None:  # req 1
    stuck, free = tmp_path / "logs" / "stuck.jsonl", tmp_path / "logs" / "free.jsonl"
    run(tmp_path, "open_log(sys.argv[1]).info('first')", stuck)
    with stalled(stuck.parent, stuck.name):
        run(
            tmp_path,
            """
            stuck = open_log(sys.argv[1], spool_bytes=16 * 2**20, block_timeout=None)
            free = open_log(sys.argv[2], maxBytes=0, spool_bytes=16 * 2**20, block_timeout=None)
            stuck.info("waits")
            for n in range(9000):  # about 10 MiB: more than one pass of the writer looks at
                free.info("record %d %s", n, "x" * 1000)
            def lines():
                return Path(sys.argv[2]).read_bytes().count(b"\\n")
            wait_until(lambda: lines() == 9000, "everything of the other log is written")
            """,
            stuck,
            free,
        )
    run(tmp_path, "open_log(sys.argv[1])", stuck)
    assert events(stuck.parent, stuck.name) == ["first", "waits"]
