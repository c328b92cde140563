"""Many processes, one log: every line whole, none lost, none doubled, across rotations."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from tests.faults.kill import wait_for
from tests.faults.program import end, read_line, run, start, tell
from tests.faults.reading import events, records, segments
from tests.faults.stall import stalled

WORK = """
log = open_log(sys.argv[1], maxBytes=64 * 1024, backupCount=0, gzip=True, block_timeout=None)
say("ready")
sys.stdin.readline()
me = int(sys.argv[2])
for n in range(int(sys.argv[3])):
    log.info("%d %d %s", me, n, "p" * (n % 97))
"""


def test_four_processes_and_rotation_every_64_kib_keep_40_000_whole_lines(tmp_path: Path) -> None:  # req 11
    path = tmp_path / "logs" / "a.jsonl"
    processes = [start(tmp_path, WORK, path, number, 10_000) for number in range(4)]
    for process in processes:
        assert read_line(process) == "ready"
    for process in processes:
        tell(process, "go")
    for process in processes:
        _, err = end(process)
        assert process.returncode == 0, err
    found: dict[int, list[int]] = defaultdict(list)
    for event in events(path.parent, path.name):
        number, n, padding = event.split(" ")
        assert len(padding) == int(n) % 97
        found[int(number)].append(int(n))
    assert found == {number: list(range(10_000)) for number in range(4)}
    assert len(segments(path.parent, path.name)) > 50


def test_one_process_that_is_killed_takes_nothing_of_the_others_with_it(tmp_path: Path) -> None:  # req 11
    path = tmp_path / "logs" / "a.jsonl"
    victim = start(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=64 * 1024, backupCount=0, block_timeout=None)
        n = 0
        while True:
            log.info("victim %d", n)
            n += 1
            if n == 1000:
                say("busy")
        """,
        path,
    )
    survivor = start(tmp_path, WORK, path, 1, 5000)
    assert read_line(survivor) == "ready"
    assert read_line(victim) == "busy"
    tell(survivor, "go")
    victim.kill()
    end(victim)
    _, err = end(survivor)
    assert survivor.returncode == 0, err
    run(tmp_path, "open_log(sys.argv[1], backupCount=0)", path)
    found = events(path.parent, path.name)
    assert [int(e.split()[1]) for e in found if not e.startswith("victim")] == list(range(5000))
    numbers = [int(e.split()[1]) for e in found if e.startswith("victim")]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 1000


def test_two_processes_with_different_settings_agree_on_the_first_ones(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    first = start(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=50_000, backupCount=0, gzip=False)
        say("ready")
        sys.stdin.readline()
        """,
        path,
    )
    assert read_line(first) == "ready"
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=10_000_000, backupCount=0, gzip=False)
        for n in range(1000):
            log.info("record %d %s", n, "x" * 100)
        """,
        path,
    )
    tell(first, "end")
    end(first)
    found = segments(path.parent, path.name)
    assert len(found) > 4
    assert all(segment.path.stat().st_size < 52_000 for segment in found)


def test_records_name_their_process(tmp_path: Path) -> None:  # req 13
    path = tmp_path / "logs" / "a.jsonl"
    pids = {int(run(tmp_path, "open_log(sys.argv[1]).info('hello'); say(os.getpid())", path)) for _ in range(2)}
    assert {record["pid"] for record in records(path.parent, path.name)} == pids


def test_a_living_process_recovers_what_it_could_not_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    run(tmp_path, "open_log(sys.argv[1], backupCount=0)", path)
    with stalled(path.parent, path.name):
        program = """
        log = open_log(sys.argv[1], backupCount=0)
        for n in range(100):
            log.info("record %d", n)
        os.kill(os.getpid(), signal.SIGKILL)
        """
        run(tmp_path, program, path, status=-9)
        living = start(tmp_path, "open_log(sys.argv[1], backupCount=0)\nsay('open')\nsys.stdin.readline()", path)
        assert read_line(living) == "open"
        assert events(path.parent, path.name) == []

    def written() -> bool:
        try:
            return len(events(path.parent, path.name)) == 100
        except ValueError:  # read in the middle of a write
            return False

    wait_for(written, "the living process writes the dead one's records", 20)
    tell(living, "end")
    end(living)
    assert living.returncode == 0
    assert events(path.parent, path.name) == [f"record {n}" for n in range(100)]
