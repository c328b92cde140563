"""`logspool verify` and the spool: what waits there, what was dropped and what was damaged is told apart from what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import edit, found, killed, logspool, problems, report, segments, write
from tests.faults.program import end, read_line, run, start, tell
from tests.faults.stall import stalled


def test_records_of_a_killed_writer_are_in_the_spool_and_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 10)
    killed(path, 50)
    answer = report("verify", path.parent)
    assert answer["logs"][0]["in_spool"] == 50
    assert answer["logs"][0]["records"] == 10
    report("recover", path.parent)
    answer = report("verify", path.parent)
    assert (answer["logs"][0]["in_spool"], answer["logs"][0]["records"]) == (0, 60)


def test_records_that_are_neither_in_the_spool_nor_in_the_files_are_missing(tmp_path: Path) -> None:
    """The ring knows how many it has numbered: also the last ones are missed."""
    path = tmp_path / "logs" / "a.jsonl"
    process = start(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=4000, backupCount=0)
        for n in range(100):
            log.info("record %d", n)
        assert logspool.flush()
        say("written")
        sys.stdin.readline()
        """,
        path,
    )
    assert read_line(process) == "written"
    assert report("verify", path.parent)["ok"]
    segments(path)[-1].unlink()
    missing = [p for p in found(path) if p["kind"] == "missing"]
    assert len(missing) == 1
    # The very last number may have been taken by a call that had not returned.
    assert missing[0]["last"] == 98
    assert missing[0]["before"] is None
    tell(process, "end")
    end(process)


def test_a_ring_with_a_flipped_byte_costs_one_record_which_is_reported_as_damage(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = killed(path, 100)
    data = ring.read_bytes()
    with ring.open("r+b") as file:
        file.seek(data.index(b'"record 50"') + 1)
        file.write(b"R")
    report("recover", path.parent)
    (problem,) = found(path)
    assert problem["kind"] == "damaged"
    assert (problem["first"], problem["last"]) == (50, 50)


def test_damage_is_found_where_it_was_announced_in_another_log(tmp_path: Path) -> None:
    path, other = tmp_path / "logs" / "a.jsonl", tmp_path / "logs" / "b.jsonl"
    write(path, 1)
    write(other, 1)
    program = """
    a, b = open_log(sys.argv[1]), open_log(sys.argv[2])
    for n in range(10):
        a.info("a %d", n)
        b.info("b %d", n)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    with stalled(path.parent, path.name), stalled(path.parent, other.name):
        run(tmp_path, program, path, other, status=-9)
    (ring,) = (path.parent / ".logspool").glob("*.ring")
    data = ring.read_bytes()
    with ring.open("r+b") as file:
        file.seek(data.index(b'"a 5"') + 1)
        file.write(b"A")
    report("recover", path.parent)
    for kept in (path.parent / ".logspool").glob("*.damaged"):
        kept.unlink()
    answer = report("verify", path.parent, "--log", path.name, status=1)
    assert [(p["kind"], p["first"]) for p in problems(answer)] == [("damaged", 5)]
    assert report("verify", other)["ok"]


@pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest"])
def test_drops_that_are_announced_are_no_gap_and_an_announcement_taken_away_is(tmp_path: Path, policy: str) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(
        tmp_path,
        """
        log = open_log(sys.argv[1], spool_bytes=64 * 1024, when_full=sys.argv[2], backupCount=0)
        log.info("start")
        assert logspool.flush()
        say("ready")
        sys.stdin.readline()
        for n in range(1000):
            log.info("record %d %s", n, "x" * 500)
        say("full")
        sys.stdin.readline()
        assert logspool.flush()
        log.info("end")
        assert logspool.flush()
        say(logspool.stats()["dropped"])
        """,
        path,
        policy,
    )
    assert read_line(process) == "ready"
    with stalled(path.parent, path.name):
        tell(process, "go")
        assert read_line(process) == "full"
        answer = report("verify", path.parent)
        assert answer["logs"][0]["in_spool"] > 0
        assert any("not announced in the log yet" in note for note in answer["logs"][0]["notes"])
    tell(process, "on")
    dropped = int(read_line(process))
    end(process)
    answer = report("verify", path.parent)
    assert answer["logs"][0]["dropped"] == dropped > 0
    edit(segments(path)[-1], lambda lines: [line for line in lines if b"records_dropped" not in line])
    missing = [p for p in found(path) if p["kind"] == "missing"]
    assert sum(p["last"] - p["first"] + 1 for p in missing) == dropped


def test_damage_that_has_no_stretch_is_announced_and_explains_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = killed(path, 100)
    with ring.open("r+b") as file:
        file.seek(8)
        file.write(b"\0" * 8)  # its version
    logspool("recover", path.parent)
    assert '"what":"its header"' in path.read_text()
    (log,) = report("verify", path.parent)["logs"]
    assert log["problems"] == []
    assert any(f"damage of the spool of ring {ring.stem} (its header) is announced" in note for note in log["notes"])


def test_a_spool_with_a_second_name_is_named_because_nobody_recovers_it(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = killed(path, 20)
    (tmp_path / "kept").hardlink_to(ring)
    answer = report("verify", path.parent, status=1)
    (problem,) = answer["problems"]
    assert str(ring) in problem and "hard link" in problem
    assert report("recover", path.parent, status=1)["left"]
    (tmp_path / "kept").unlink()
    report("recover", path.parent)
    assert report("verify", path.parent)["problems"] == []


def test_a_living_spool_with_a_second_name_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(tmp_path, "open_log(sys.argv[1]).info('one')\nsay('on')\nsys.stdin.readline()", path)
    assert read_line(process) == "on"
    (ring,) = (path.parent / ".logspool").glob("*.ring")
    (tmp_path / "kept").hardlink_to(ring)
    assert report("verify", path.parent)["problems"] == []
    tell(process, "end")
    assert end(process)[1] == ""
