"""A full spool follows its policy: every drop is counted and announced, nothing else is lost, and logging resumes by itself.

The sink is stalled for real: the test holds the lock of the log's state file, as a stopped process would.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.faults.disks import fill, small_disk
from tests.faults.program import end, read_line, run, running, start, tell
from tests.faults.reading import events, records
from tests.faults.stall import stalled

FLOOD = """
path = Path(sys.argv[1])
log = open_log(path, spool_bytes=256 * 1024, **eval(sys.argv[2]))
log.info("start")
assert logspool.flush()
say("ready")
sys.stdin.readline()
for n in range(3000):
    log.info("record %d %s", n, "x" * 500)
s = logspool.stats()
assert s["emitted"] == s["written"] + s["dropped"] + s["in_flight"] == 3001, s
say(s["dropped"], s["in_flight"])
sys.stdin.readline()
assert logspool.flush()
log.info("end")
assert logspool.flush()
s = logspool.stats()
assert s["emitted"] == s["written"] + s["dropped"] and s["in_flight"] == 0, s
say(s["dropped"])
"""


def flood(tmp_path: Path, **settings: object) -> tuple[list[int], list[str], int, list[dict[str, Any]]]:
    """Log 3,000 records against a stalled sink: numbers kept, all events, drops counted, records that announce drops."""
    path = tmp_path / "logs" / "a.jsonl"
    process = start(tmp_path, FLOOD, path, repr(settings))
    assert read_line(process) == "ready"
    with stalled(path.parent, path.name):
        tell(process, "go")
        dropped, in_flight = map(int, read_line(process).split())
        assert dropped > 0
        assert in_flight > 0
    tell(process, "on")
    final = int(read_line(process))
    _, err = end(process)
    assert process.returncode == 0, err
    assert final == dropped, "drops after the sink had recovered"
    found = records(path.parent, path.name)
    kept = [int(r["event"].split()[1]) for r in found if r["event"].startswith("record ")]
    announced = [r for r in found if r["event"] == "records_dropped"]
    check_numbering(found)
    return kept, [r["event"] for r in found], dropped, announced


def check_numbering(found: list[dict[str, Any]]) -> None:
    """Each gap in the numbering is exactly what a record in its place stands for."""
    expected = int(found[0]["seq"][9:], 16)
    for record in found:
        number = int(record["seq"][9:], 16)
        if record["event"] == "records_dropped":
            assert int(record["fields"]["first_seq"][9:], 16) == expected, record
            assert number == int(record["fields"]["last_seq"][9:], 16) == expected + record["fields"]["count"] - 1, (
                record
            )
        else:
            assert number == expected, record
        expected = number + 1


def count_announced(announced: list[dict[str, Any]]) -> int:
    """The drops that the records in the log stand for."""
    return sum(int(record["fields"]["count"]) for record in announced)


def test_drop_newest_keeps_the_oldest_and_counts_and_announces_the_rest(tmp_path: Path) -> None:  # req 4
    kept, all_events, dropped, announced = flood(tmp_path, when_full="drop_newest")
    assert kept == list(range(3000 - dropped))
    assert count_announced(announced) == dropped
    assert all_events[0] == "start"
    assert "end" in all_events


def test_drop_oldest_keeps_the_newest_and_counts_and_announces_the_rest(tmp_path: Path) -> None:  # req 4
    kept, all_events, dropped, announced = flood(tmp_path, when_full="drop_oldest")
    assert len(kept) == 3000 - dropped
    assert kept == sorted(set(kept))
    assert kept[-1] == 2999
    assert kept[-(len(kept) // 2) :] == list(range(3000 - len(kept) // 2, 3000))
    assert count_announced(announced) == dropped
    assert all_events[0] == "start"
    assert "end" in all_events


def test_block_with_a_timeout_waits_then_drops_and_announces(tmp_path: Path) -> None:  # req 1, 4
    kept, all_events, dropped, announced = flood(tmp_path, when_full="block", block_timeout=0.05)
    assert kept == list(range(3000 - dropped))
    assert count_announced(announced) == dropped
    assert all_events[0] == "start"
    assert "end" in all_events


def test_queue_max_bounds_the_records_in_flight(tmp_path: Path) -> None:  # req 4
    path = tmp_path / "logs" / "a.jsonl"
    with running(
        tmp_path,
        """
        log = open_log(sys.argv[1], when_full="drop_newest")
        log.info("start")
        assert logspool.flush()
        say("ready")
        sys.stdin.readline()
        for n in range(300):
            log.info("record %d", n)
        say(logspool.stats()["in_flight"], logspool.stats()["dropped"])
        sys.stdin.readline()
        """,
        path,
        env={"LOG_QUEUE_MAX": "100"},
    ) as process:
        assert read_line(process) == "ready"
        with stalled(path.parent, path.name):
            tell(process, "go")
            assert read_line(process) == "100 200"
        tell(process, "end")
        end(process)
        assert process.returncode == 0
    assert [e for e in events(path.parent, path.name) if e.startswith("record ")] == [f"record {n}" for n in range(100)]


def test_drops_of_a_killed_process_are_announced_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(tmp_path, FLOOD, path, repr({"when_full": "drop_newest"}))
    assert read_line(process) == "ready"
    with stalled(path.parent, path.name):
        tell(process, "go")
        dropped, _ = map(int, read_line(process).split())
        process.kill()
        end(process)
    run(tmp_path, "open_log(sys.argv[1])", path)
    found = records(path.parent, path.name)
    check_numbering(found)
    assert count_announced([r for r in found if r["event"] == "records_dropped"]) == dropped > 0


def test_block_without_a_timeout_waits_and_loses_nothing(tmp_path: Path) -> None:  # req 4
    path = tmp_path / "logs" / "a.jsonl"
    with running(
        tmp_path,
        """
        log = open_log(sys.argv[1], spool_bytes=256 * 1024, block_timeout=None)
        log.info("start")
        assert logspool.flush()
        say("ready")
        sys.stdin.readline()
        counts = [0] * 3
        def work(t):
            for n in range(1000):
                log.info("%d %d %s", t, n, "x" * 500)
                counts[t] += 1
        threads = [threading.Thread(target=work, args=(t,)) for t in range(3)]
        for thread in threads:
            thread.start()
        wait_until(lambda: sum(counts) and stands_still(lambda: sum(counts)), "all wait")
        assert sum(counts) < 3000
        say("waiting")
        for thread in threads:
            thread.join()
        assert logspool.stats()["dropped"] == 0
        """,
        path,
    ) as process:
        assert read_line(process) == "ready"
        with stalled(path.parent, path.name):
            tell(process, "go")
            assert read_line(process) == "waiting"
        _, err = end(process)
        assert process.returncode == 0, err
    found = [tuple(map(int, e.split()[:2])) for e in events(path.parent, path.name) if e != "start"]
    for thread in range(3):
        assert [n for t, n in found if t == thread] == list(range(1000))


def test_a_stalled_log_does_not_hold_up_another_logs_records(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    with running(
        tmp_path,
        """
        a, b = open_log(sys.argv[1]), open_log(sys.argv[1] + ".other")
        a.info("start")
        b.info("start")
        assert logspool.flush()
        say("ready")
        sys.stdin.readline()
        a.info("waits")
        for n in range(100):
            b.info("record %d", n)
        other = Path(sys.argv[1] + ".other")
        wait_until(lambda: other.read_bytes().count(b"\\n") == 101, "the other log is written")
        say("written")
        sys.stdin.readline()
        """,
        path,
    ) as process:
        assert read_line(process) == "ready"
        with stalled(path.parent, path.name):
            tell(process, "go")
            assert read_line(process) == "written"
            assert events(path.parent, path.name) == ["start"]
        tell(process, "end")
        end(process)
        assert process.returncode == 0
    assert events(path.parent, path.name) == ["start", "waits"]


DISK = """
log = open_log(sys.argv[1], spool_bytes=256 * 1024, maxBytes=100_000, backupCount=2, gzip=False, **eval(sys.argv[2]))
log.info("start")
assert logspool.flush()
say("ready")
sys.stdin.readline()
returned = 0
def work():
    global returned
    for n in range(3000):
        log.info("record %d %s", n, "x" * 500)
        returned += 1
thread = threading.Thread(target=work)
thread.start()
wait_until(lambda: returned == 3000 or (returned and stands_still(lambda: returned)), "all is logged, or the spool is full")
say(returned)
sys.stdin.readline()
thread.join()
assert logspool.flush()
log.info("end")
assert logspool.flush()
s = logspool.stats()
assert s["emitted"] == s["written"] + s["dropped"] and s["in_flight"] == 0, s
say(s["dropped"])
"""


def test_a_full_disk_with_block_loses_nothing_and_logging_resumes(tmp_path: Path) -> None:  # req 10
    with small_disk("8m") as disk:
        path = disk / "logs" / "a.jsonl"
        process = start(tmp_path, DISK.replace("backupCount=2", "backupCount=0"), path, repr({"block_timeout": None}))
        assert read_line(process) == "ready"
        filler = fill(disk)
        tell(process, "go")
        assert 0 < int(read_line(process)) < 3000
        filler.unlink()
        tell(process, "on")
        assert read_line(process) == "0"
        _, err = end(process)
        assert process.returncode == 0, err
        assert "No space" in err or "space" in err, "a full disk is not mentioned on standard error"
        found = events(path.parent, path.name)
    kept = [int(e.split()[1]) for e in found if e.startswith("record ")]
    assert kept == list(range(3000))
    assert found[0] == "start"
    assert found[-1] == "end"


@pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest"])
def test_a_full_disk_with_a_drop_policy_never_waits_and_loses_what_it_counts(
    tmp_path: Path, policy: str
) -> None:  # req 10
    with small_disk("8m") as disk:
        path = disk / "logs" / "a.jsonl"
        process = start(tmp_path, DISK.replace("backupCount=2", "backupCount=0"), path, repr({"when_full": policy}))
        assert read_line(process) == "ready"
        filler = fill(disk)
        tell(process, "go")
        assert read_line(process) == "3000"
        filler.unlink()
        tell(process, "on")
        dropped = int(read_line(process))
        _, err = end(process)
        assert process.returncode == 0, err
        found = records(path.parent, path.name)
    kept = [int(r["event"].split()[1]) for r in found if r["event"].startswith("record ")]
    assert dropped > 0
    assert kept == sorted(set(kept))
    assert len(kept) == 3000 - dropped
    assert (
        count_announced([r for r in found if r["logger"].startswith("logspool") and r["event"] == "records_dropped"])
        == dropped
    )


def test_a_start_on_a_full_disk_logs_once_there_is_room(tmp_path: Path) -> None:  # req 10
    with small_disk("16m") as disk:
        path = disk / "logs" / "a.jsonl"
        path.parent.mkdir()
        filler = fill(disk)
        process = start(
            tmp_path,
            """
            log = open_log(sys.argv[1], block_timeout=None)
            for n in range(100):
                log.info("record %d", n)
            say("logged")
            sys.stdin.readline()
            assert logspool.flush()
            s = logspool.stats()
            assert s["written"] == s["emitted"] == 100, s
            """,
            path,
        )
        assert read_line(process) == "logged"
        filler.unlink()
        tell(process, "on")
        _, err = end(process)
        assert process.returncode == 0, err
        assert "No space" in err
        assert events(path.parent, path.name) == ["log_trouble_ended", *(f"record {n}" for n in range(100))]
