"""Places that vanish under living processes: the log directory, `.logspool/`, the state file, the memory behind a mapping."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from tests.faults.program import end, read_line, run, start, tell
from tests.faults.reading import events, records

# Logs when told to, and says when all of it is in segments.
PROGRAM = """
log = open_log(sys.argv[1], block_timeout=None, **eval(sys.argv[2]))
n = 0
for line in sys.stdin:
    command, count = line.split()
    if command == "log":
        for _ in range(int(count)):
            log.info("record %d %d", int(sys.argv[3]), n)
            n += 1
        say("logged")
    else:
        assert logspool.flush(20), logspool.stats()
        say("flushed")
assert logspool.flush(20), logspool.stats()
s = logspool.stats()
assert s["emitted"] == s["written"] + s["dropped"] + s["in_flight"], s
assert s["in_flight"] == 0, s
say("dropped", s["dropped"])
"""


def ask(process, command: str, count: int = 1) -> None:
    tell(process, f"{command} {count}")
    assert read_line(process) in ("logged", "flushed")


def remove(directory: Path) -> None:
    """`rm -rf`, again where a writer put something in meanwhile."""
    while directory.exists():
        shutil.rmtree(directory, ignore_errors=True)


def numbers(path: Path, writer: int = 0) -> list[int]:
    found = [e.split() for e in events(path.parent, path.name) if e.startswith("record ")]
    return [int(n) for _, w, n in found if int(w) == writer]


@pytest.mark.parametrize("made_again", [False, True], ids=["deleted", "deleted and made again"])
@pytest.mark.parametrize("place", ["beside", "shm"])
def test_logging_goes_on_where_the_log_directory_was_deleted(tmp_path: Path, made_again: bool, place: str) -> None:
    path = tmp_path / "logs" / "deeper" / "a.jsonl"
    settings = {} if place == "beside" else {"spool_dir": "shm"}
    process = start(tmp_path, PROGRAM, path, settings, 0)
    ask(process, "log", 10)
    ask(process, "flush")
    remove(path.parent.parent)
    if made_again:
        path.parent.mkdir(parents=True)
    ask(process, "log", 100)
    ask(process, "flush")
    assert numbers(path) == list(range(10, 110))
    ask(process, "log", 100)
    assert os.stat(path.parent / ".logspool").st_mode & 0o777 == 0o700
    tell_end(process)
    assert numbers(path) == list(range(10, 210))
    assert path.samefile(max(path.parent.glob("a.jsonl.0*")))


def tell_end(process) -> str:
    out, err = end(process)
    assert process.returncode == 0, err
    assert out.strip() == "dropped 0"
    return err


def test_what_is_accepted_after_the_directory_was_made_again_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(tmp_path, PROGRAM, path, {}, 0)
    ask(process, "log", 10)
    ask(process, "flush")
    remove(path.parent)
    ask(process, "log", 10)
    ask(process, "flush")
    ask(process, "log", 1000)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    run(tmp_path, "open_log(sys.argv[1])", path)
    assert numbers(path) == list(range(10, 1020))


@pytest.mark.parametrize("what", [".logspool", ".logspool moved", "state", "state replaced"])
def test_two_processes_lose_and_double_nothing_when_their_lock_is_taken_away(tmp_path: Path, what: str) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    first, second = (start(tmp_path, PROGRAM, path, {"maxBytes": 20_000, "backupCount": 0}, n) for n in range(2))
    own = path.parent / ".logspool"
    state = own / "a.jsonl.state"
    for process in (first, second):
        ask(process, "log", 100)
        ask(process, "flush")
    for round_number in range(3):
        if what == ".logspool":
            remove(own)
        elif what == ".logspool moved":
            own.rename(tmp_path / f"moved-{round_number}")
        elif what == "state":
            state.unlink()
        else:
            (tmp_path / "other").write_bytes(b"")
            (tmp_path / "other").rename(state)
        for process in (first, second):
            ask(process, "log", 200)
        for process in (first, second):
            ask(process, "flush")
    # Both hold one and the same lock again: whoever has it keeps the other out.
    for process in (first, second):
        tell_end(process)
    for writer in range(2):
        assert numbers(path, writer) == list(range(700))
    assert state.exists()
    assert not list(own.glob("*.ring"))


# Logs without a pause until told to stop.
STEADY = """
log = open_log(sys.argv[1], block_timeout=None, maxBytes=200_000, backupCount=0, gzip=False)
stop, n = threading.Event(), 0
def work():
    global n
    while not stop.is_set():
        log.info("record %d %d", int(sys.argv[2]), n)
        n += 1
        if n % 50 == 0:
            stop.wait(0.001)
thread = threading.Thread(target=work)
thread.start()
for line in sys.stdin:
    seen = n
    wait_until(lambda: n > seen + 100, "it logs")
    say("logs")
stop.set()
thread.join()
assert logspool.flush(20), logspool.stats()
s = logspool.stats()
assert s["emitted"] == s["written"] == n, s
say(n)
"""


def test_nothing_is_lost_or_doubled_while_the_lock_is_taken_away_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    processes = [start(tmp_path, STEADY, path, n) for n in range(3)]
    for process in processes:
        tell(process, "go")
        assert read_line(process) == "logs"
    own = path.parent / ".logspool"
    for number in range(12):
        if number % 2:
            (own / "a.jsonl.state").unlink(missing_ok=True)
        else:
            remove(own)
        for process in processes:
            tell(process, "go")
            assert read_line(process) == "logs"
    for writer, process in enumerate(processes):
        out, err = end(process)
        assert process.returncode == 0, err
        assert numbers(path, writer) == list(range(int(out)))


def test_logging_goes_on_in_a_renamed_directory(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(tmp_path, PROGRAM, path, {}, 0)
    ask(process, "log", 10)
    ask(process, "flush")
    path.parent.rename(tmp_path / "elsewhere")
    (tmp_path / "logs").mkdir()
    ask(process, "log", 10)
    ask(process, "flush")
    tell_end(process)
    assert numbers(tmp_path / "elsewhere" / "a.jsonl") == list(range(20))
    assert not any((tmp_path / "logs").iterdir())


def test_a_directory_that_cannot_be_made_again_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "parent" / "logs" / "a.jsonl"
    process = start(tmp_path, PROGRAM, path, {}, 0)
    ask(process, "log", 10)
    ask(process, "flush")
    remove(path.parent.parent)
    path.parent.parent.write_text("in the way")
    ask(process, "log", 100)
    tell(process, "flush 1")
    path.parent.parent.unlink()
    assert read_line(process) == "flushed"
    err = tell_end(process)
    assert numbers(path) == list(range(10, 110))
    assert "parent/logs" in err


def damaged(path: Path) -> int:
    """Records the log says were lost with a spool."""
    return sum(r["fields"].get("records", 0) for r in records(path.parent, path.name) if r["event"] == "spool_damaged")


@pytest.mark.parametrize("size", [0, 4096, 200_000])
def test_a_process_lives_on_when_its_ring_is_truncated(tmp_path: Path, size: int) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(tmp_path, PROGRAM, path, {}, 0)
    ask(process, "log", 10)
    ask(process, "flush")
    ring = next((path.parent / ".logspool").glob("*.ring"))
    os.truncate(ring, size)
    ask(process, "log", 2000)
    ask(process, "flush")
    ask(process, "log", 2000)
    out, err = end(process)
    assert process.returncode == 0, err
    found = numbers(path)
    assert found == sorted(set(found))
    assert set(range(2010, 4010)) <= set(found)
    lost = 4010 - len(found)
    assert out.strip() == f"dropped {lost}"
    assert damaged(path) == lost
    assert err.count("truncated") == 1, err
    assert not list((path.parent / ".logspool").glob("*.ring"))


@pytest.mark.parametrize("size", [0, 4096, 100_000])
def test_a_process_lives_on_when_its_state_file_is_truncated(tmp_path: Path, size: int) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(tmp_path, PROGRAM, path, {}, 0)
    ask(process, "log", 10)
    ask(process, "flush")
    os.truncate(path.parent / ".logspool" / "a.jsonl.state", size)
    ask(process, "log", 5000)
    ask(process, "flush")
    tell_end(process)
    assert numbers(path) == list(range(5010))


def test_a_foreign_sigbus_still_ends_the_process_with_its_trace(tmp_path: Path) -> None:
    process = start(
        tmp_path,
        """
        import mmap
        log = open_log(sys.argv[1])
        log.info("before")
        assert logspool.flush()
        other = Path("other")
        other.write_bytes(bytes(8192))
        with other.open("r+b") as file:
            view = mmap.mmap(file.fileno(), 8192)
            os.truncate("other", 0)
            say(view[0])
        """,
        tmp_path / "logs" / "a.jsonl",
    )
    _, err = end(process)
    assert process.returncode == -signal.SIGBUS
    assert "Fatal Python error: Bus error" in err
