"""The spool: what a process has accepted outlives it, and damage to what it left never stops a start."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tests.faults.program import end, run, start
from tests.faults.reading import events, records
from tests.faults.stall import stalled

RECOVER = "open_log(sys.argv[1], backupCount=0)"


def orphan(tmp_path: Path, path: Path, count: int = 300, **settings: object) -> Path:
    """Leave a ring with `count` undrained records of a killed process; returns the ring."""
    run(tmp_path, RECOVER, path)
    with stalled(path.parent, path.name):
        run(
            tmp_path,
            f"""
            log = open_log(sys.argv[1], **{settings!r})
            for n in range({count}):
                log.info("record %d", n)
            os.kill(os.getpid(), signal.SIGKILL)
            """,
            path,
            status=-9,
        )
    (ring,) = (path.parent / ".logspool").glob("*.ring")
    return ring


def test_the_next_process_finishes_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = orphan(tmp_path, path)
    run(tmp_path, RECOVER, path)
    assert events(path.parent, path.name) == [f"record {n}" for n in range(300)]
    assert not ring.exists()


def test_a_process_that_logs_to_another_file_of_the_directory_recovers_it(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    orphan(tmp_path, path)
    run(tmp_path, RECOVER, path.with_name("b.jsonl"))
    assert events(path.parent, path.name) == [f"record {n}" for n in range(300)]


def test_recovery_works_where_the_directory_has_another_path(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    orphan(tmp_path, path)
    path.parent.rename(tmp_path / "elsewhere")
    run(tmp_path, RECOVER, tmp_path / "elsewhere" / "a.jsonl")
    assert events(tmp_path / "elsewhere", "a.jsonl") == [f"record {n}" for n in range(300)]


@pytest.mark.parametrize("place", ["shm", "elsewhere"])
def test_a_process_that_spools_in_another_place_recovers_it(tmp_path: Path, place: str) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = orphan(tmp_path, path)
    spool_dir = place if place == "shm" else str(tmp_path / place)
    run(tmp_path, f"open_log(sys.argv[1], backupCount=0, spool_dir={spool_dir!r})", path)
    assert events(path.parent, path.name) == [f"record {n}" for n in range(300)]
    assert not ring.exists()


def test_recovered_records_come_before_the_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    orphan(tmp_path, path, 50)
    run(tmp_path, "open_log(sys.argv[1]).info('new')", path)
    assert events(path.parent, path.name) == [*(f"record {n}" for n in range(50)), "new"]


def test_a_damaged_record_costs_only_itself_and_is_announced(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = orphan(tmp_path, path)
    data = ring.read_bytes()
    at = data.index(b'"record 150"')
    with ring.open("r+b") as file:
        file.seek(at + 2)
        file.write(b"X")
    run(tmp_path, RECOVER, path)
    found = events(path.parent, path.name)
    kept = [event for event in found if event.startswith("record ")]
    assert kept == [f"record {n}" for n in range(300) if n != 150]
    assert found.count("spool_damaged") == 1, "the loss is not announced in the log"


@pytest.mark.parametrize("damage", ["header overwritten", "cut to nothing", "cut in the middle"])
def test_a_damaged_ring_never_stops_a_start_and_is_set_aside(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = orphan(tmp_path, path)
    if damage == "header overwritten":
        with ring.open("r+b") as file:
            file.write(b"\xff" * 4096)
    elif damage == "cut to nothing":
        os.truncate(ring, 0)
    else:
        os.truncate(ring, ring.stat().st_size // 2)
    process = start(tmp_path, "open_log(sys.argv[1]).info('new')", path)
    _, err = end(process)
    assert process.returncode == 0, err
    assert events(path.parent, path.name)[-1] == "new"
    assert not ring.exists()
    assert ring.with_suffix(".damaged").exists()
    assert ring.stem in err, "the damage is not mentioned on standard error"


def test_a_ring_of_another_format_version_is_left_for_the_logspool_that_knows_it(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = orphan(tmp_path, path)
    with ring.open("r+b") as file:
        file.seek(8)
        file.write((99).to_bytes(8, "little"))
    before = ring.read_bytes()
    process = start(tmp_path, "open_log(sys.argv[1]).info('new')", path)
    _, err = end(process)
    assert process.returncode == 0, err
    assert events(path.parent, path.name) == ["new"]
    assert ring.read_bytes() == before
    assert "99" in err


def test_the_records_of_a_ring_are_numbered_without_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=20_000, backupCount=0)
        other = open_log(sys.argv[1] + "2")
        for n in range(1000):
            log.info("record %d", n)
            if n % 3 == 0:
                other.info("other %d", n)
        """,
        path,
    )
    for name, count in (("a.jsonl", 1000), ("a.jsonl2", 334)):
        seqs = [record["seq"] for record in records(path.parent, name)]
        assert all(re.fullmatch(r".{8}-[0-9a-f]{10}", seq) for seq in seqs)
        numbers = [int(seq[9:], 16) for seq in seqs]
        assert numbers == list(range(numbers[0], numbers[0] + count))
        assert len({seq[:8] for seq in seqs}) == 1


def test_a_flush_puts_everything_accepted_before_it_into_the_segments(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
        path = Path(sys.argv[1])
        log = open_log(path)
        for n in range(100):
            for _ in range(10):
                log.info("x")
            assert logspool.flush()
            say(path.read_bytes().count(b"\\n"))
        """,
        tmp_path / "logs" / "a.jsonl",
    )
    assert out.split() == [str(10 * (n + 1)) for n in range(100)]


def test_a_flush_that_cannot_finish_says_so(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        import fcntl
        path = Path(sys.argv[1])
        log = open_log(path)
        with open(path.parent / ".logspool" / (path.name + ".state")) as state:
            fcntl.flock(state, fcntl.LOCK_EX)
            log.info("kept")
            assert logspool.flush(0.05) is False
            assert logspool.stats()["in_flight"] == 1
        assert logspool.flush() is True
        assert logspool.stats()["in_flight"] == 0
        """,
        tmp_path / "logs" / "a.jsonl",
    )
    assert events(tmp_path / "logs", "a.jsonl") == ["kept"]


def test_the_counters_always_add_up(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1], spool_bytes=256 * 1024, when_full="drop_newest")
        done = threading.Event()
        def work():
            while not done.is_set():
                log.info("x" * 500)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(500):
            s = logspool.stats()
            assert s["emitted"] == s["written"] + s["dropped"] + s["in_flight"], s
        done.set()
        for thread in threads:
            thread.join()
        assert logspool.flush()
        s = logspool.stats()
        assert s["in_flight"] == 0 and s["emitted"] == s["written"] + s["dropped"], s
        say(s["emitted"] > 100)
        """,
        tmp_path / "logs" / "a.jsonl",
    )


def test_a_record_as_large_as_allowed_passes_a_small_spool(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1], spool_bytes=256 * 1024, block_timeout=None)
        for n in range(40):
            log.info("large %d", n, extra={"part %d" % k: "y" * 15_000 for k in range(12)})
            log.info("small %d", n)
        """,
        path,
    )
    assert events(path.parent, path.name) == [f"{size} {n}" for n in range(40) for size in ("large", "small")]


def test_two_logs_in_different_directories_share_a_process(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        logs = [open_log(Path(sys.argv[1]) / name / "a.jsonl", name=name) for name in ("one", "two")]
        for n in range(200):
            logs[n % 2].info("record %d", n)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path,
        status=-9,
    )
    for index, name in enumerate(("one", "two")):
        run(tmp_path, RECOVER, tmp_path / name / "a.jsonl")
        assert events(tmp_path / name, "a.jsonl") == [f"record {n}" for n in range(index, 200, 2)]


def test_a_log_opened_twice_is_shared_not_doubled(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "logs")
    run(
        tmp_path,
        """
        place = Path(sys.argv[1])
        (place / "logs").mkdir()
        os.chdir(place)
        logs = [open_log(p, name=str(i)) for i, p in enumerate([place / "logs/a.jsonl", "logs/a.jsonl", place / "link/a.jsonl"])]
        os.chdir("/")
        for n in range(300):
            logs[n % 3].info("record %d", n)
        """,
        tmp_path,
    )
    assert events(tmp_path / "logs", "a.jsonl") == [f"record {n}" for n in range(300)]
    assert len({record["seq"][:8] for record in records(tmp_path / "logs", "a.jsonl")}) == 1


def test_a_spool_in_shared_memory_survives_the_process_too(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    run(tmp_path, "open_log(sys.argv[1], spool_dir='shm')", path)
    with stalled(path.parent, path.name):
        run(
            tmp_path,
            """
            log = open_log(sys.argv[1], spool_dir="shm")
            assert not list(Path(sys.argv[1]).parent.glob(".logspool/*.ring"))
            for n in range(100):
                log.info("record %d", n)
            os.kill(os.getpid(), signal.SIGKILL)
            """,
            path,
            status=-9,
        )
    run(tmp_path, "open_log(sys.argv[1], spool_dir='shm')", path)
    assert events(path.parent, path.name) == [f"record {n}" for n in range(100)]
