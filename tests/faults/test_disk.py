"""Disks in trouble: nothing accepted is lost, it is said once, and logging resumes by itself."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.faults.disks import command, fill, loop_disk, mounted, small_disk
from tests.faults.program import end, read_line, run, start, tell
from tests.faults.reading import events, records

# Logs when told to, and says when all of it is in segments; `patience` waits a while with the trouble standing.
PROGRAM = """
import resource
settings = {"block_timeout": None, **eval(sys.argv[2])}
log = open_log(sys.argv[1], **settings)
n = 0
for line in sys.stdin:
    command, count = line.split()
    if command == "log":
        for _ in range(int(count)):
            log.info("record %d %s", n, "x" * 100)
            n += 1
        say("logged")
    elif command == "flush":
        assert logspool.flush(30), logspool.stats()
        say("flushed")
    elif command == "stuck":
        assert not logspool.flush(float(count))
        say("stuck", len(os.listdir("/proc/self/fd")))
    elif command == "setuid":
        os.setgroups([])
        os.setgid(int(count))
        os.setuid(int(count))
        say("setuid")
    elif command == "nofile":
        used = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1 + int(count), 4096))
        say("nofile")
    elif command == "hoard":
        hoard = []
        try:
            while True:
                hoard.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            say("hoarded")
    elif command == "release":
        for fd in hoard:
            os.close(fd)
        say("released")
    elif command == "durable":
        say(all(s["durable"] for s in logspool.stats()["spools"]))
assert logspool.flush(30), logspool.stats()
s = logspool.stats()
assert s["emitted"] == s["written"] + s["dropped"] + s["in_flight"], s
assert s["in_flight"] == 0 and s["dropped"] == 0, s
"""


def ask(process, command: str, count: int = 1) -> str:
    tell(process, f"{command} {count}")
    return read_line(process)


def ended(process) -> str:
    _, err = end(process)
    assert process.returncode == 0, err
    return err


def numbers(path: Path) -> list[int]:
    return [int(e.split()[1]) for e in events(path.parent, path.name) if e.startswith("record ")]


def healed(path: Path) -> list[dict]:
    """What the log itself says of its trouble, once it is over."""
    return [r for r in records(path.parent, path.name) if r["event"] == "log_trouble_ended"]


def test_a_healed_log_says_in_itself_what_the_trouble_was(tmp_path: Path) -> None:
    with small_disk("8m") as disk:
        path = disk / "logs" / "a.jsonl"
        process = start(tmp_path, PROGRAM, path, {"spool_bytes": 1 << 20})
        ask(process, "log", 10)
        ask(process, "flush")
        filler = fill(disk)
        ask(process, "log", 2000)
        ask(process, "stuck")
        filler.unlink()
        ask(process, "flush")
        err = ended(process)
        assert numbers(path) == list(range(2010))
        (said,) = healed(path)
    assert said["level"] == "WARNING"
    assert said["logger"] == "logspool"
    assert said["fields"]["errno"] == "ENOSPC"
    assert "No space" in said["fields"]["error"]
    assert said["fields"]["seconds"] > 0
    assert said["fields"]["since"] < said["ts"]
    assert err.count("cannot write") == 1
    assert err.count("again") == 1


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_filling_and_freeing_a_disk_again_and_again_loses_nothing(tmp_path: Path, kind: str) -> None:
    with small_disk("8m") if kind == "tmpfs" else loop_disk(16) as disk:
        path = disk / "logs" / "a.jsonl"
        settings = {"spool_bytes": 1 << 20, "maxBytes": 100_000, "backupCount": 3}
        process = start(tmp_path, PROGRAM, path, {**settings, "backupCount": 0})
        ask(process, "log", 10)
        ask(process, "flush")
        for _ in range(10):
            filler = fill(disk)
            ask(process, "log", 1000)
            filler.unlink()
            ask(process, "flush")
        ended(process)
        assert numbers(path) == list(range(10_010))


@pytest.mark.parametrize("killed", [False, True], ids=["lives on", "is killed"])
def test_half_a_batch_that_fitted_the_disk_is_completed_when_there_is_room(tmp_path: Path, killed: bool) -> None:
    with small_disk("8m") as disk:
        path = disk / "logs" / "a.jsonl"
        process = start(tmp_path, PROGRAM, path, {"spool_bytes": 1 << 20})
        ask(process, "log", 10)
        ask(process, "flush")
        filler = fill(disk)
        # Room for a part of what comes, and for no whole number of lines.
        os.truncate(filler, filler.stat().st_size - 3 * 4096)
        ask(process, "log", 1000)
        assert ask(process, "stuck").startswith("stuck")
        segment = (path.parent / "a.jsonl.000001").read_bytes()
        assert not segment.endswith(b"\n"), "the batch was not cut"
        if killed:
            process.kill()
            process.communicate()
        filler.unlink()
        if killed:
            run(tmp_path, "open_log(sys.argv[1])", path)
        else:
            ask(process, "flush")
            ended(process)
        assert numbers(path) == list(range(1010))


def test_a_start_on_a_read_only_file_system_fails_and_says_why(tmp_path: Path) -> None:
    with loop_disk() as disk:
        command("mount", "-o", "remount,ro", disk)
        run(
            tmp_path,
            """
            import errno
            try:
                open_log(sys.argv[1])
            except OSError as e:
                assert e.errno == errno.EROFS and sys.argv[1].rpartition("/")[0] in str(e), e
            else:
                raise AssertionError("it opened")
            """,
            disk / "logs" / "a.jsonl",
        )


def test_a_frozen_file_system_loses_nothing_and_with_shm_holds_up_no_call(tmp_path: Path) -> None:
    with loop_disk() as disk:
        path = disk / "logs" / "a.jsonl"
        process = start(tmp_path, PROGRAM, path, {"spool_dir": "shm"})
        ask(process, "log", 10)
        ask(process, "flush")
        command("fsfreeze", "--freeze", disk)
        try:
            assert ask(process, "log", 5000) == "logged"
            assert ask(process, "stuck").startswith("stuck")
        finally:
            command("fsfreeze", "--unfreeze", disk)
        ask(process, "flush")
        ended(process)
        assert numbers(path) == list(range(5010))


def test_a_frozen_file_system_with_the_spool_on_it_loses_nothing(tmp_path: Path) -> None:
    with loop_disk() as disk:
        path = disk / "logs" / "a.jsonl"
        process = start(tmp_path, PROGRAM, path, {})
        ask(process, "log", 10)
        ask(process, "flush")
        command("fsfreeze", "--freeze", disk)
        try:
            # A call may wait for the file system here: the answer is read when it has thawed.
            tell(process, "log 5000")
        finally:
            command("fsfreeze", "--unfreeze", disk)
        assert read_line(process) == "logged"
        ask(process, "flush")
        ended(process)
        assert numbers(path) == list(range(5010))


def test_privileges_dropped_after_the_start_cost_rotation_and_nothing_else(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can drop privileges")
    with small_disk("32m") as disk:
        path = disk / "logs" / "a.jsonl"
        process = start(tmp_path, PROGRAM, path, {"maxBytes": 50_000, "backupCount": 0, "gzip": False})
        ask(process, "log", 10)
        ask(process, "flush")
        assert ask(process, "setuid", 65534) == "setuid"
        ask(process, "log", 2000)
        ask(process, "flush")
        ask(process, "log", 2000)
        ask(process, "flush")
        err = ended(process)
        assert numbers(path) == list(range(4010))
        assert len(list(path.parent.glob("a.jsonl.0*"))) == 1
    assert err.count("cannot rotate") == 1, err


def test_without_inodes_records_go_on_into_the_current_segment(tmp_path: Path) -> None:
    with mounted("-t", "tmpfs", "-o", "size=16m,nr_inodes=40", "logspool-test") as disk:
        path = disk / "logs" / "a.jsonl"
        process = start(tmp_path, PROGRAM, path, {"maxBytes": 50_000, "backupCount": 0, "gzip": False})
        ask(process, "log", 10)
        ask(process, "flush")
        made = []
        try:
            for n in range(100):
                made.append(disk / f"empty-{n}")
                made[-1].touch()
        except OSError:
            made.pop()
        ask(process, "log", 2000)
        ask(process, "flush")
        assert numbers(path) == list(range(2010))
        assert len(list(path.parent.glob("a.jsonl.0*"))) == 1
        for empty in made:
            empty.unlink()
        ended(process)


def test_a_number_is_not_used_up_by_a_segment_that_could_not_be_made(tmp_path: Path) -> None:
    with mounted("-t", "tmpfs", "-o", "size=16m,nr_inodes=12", "logspool-test") as disk:
        path = disk / "logs" / "a.jsonl"
        filled = [disk / f"empty-{n}" for n in range(100)]
        process = start(tmp_path, PROGRAM, path, {"backupCount": 0})
        ask(process, "log", 10)
        ask(process, "flush")
        try:
            for empty in filled:
                empty.touch()
        except OSError:
            pass
        for segment in path.parent.glob("a.jsonl*"):
            segment.unlink()  # The plain name and its segment are one file: one inode.
        (disk / "last").touch()
        ask(process, "log", 10)
        assert ask(process, "stuck", 2).startswith("stuck")
        for empty in filled:
            empty.unlink(missing_ok=True)
        ask(process, "flush")
        ended(process)
        assert numbers(path) == list(range(10, 20))
        assert [p.name for p in path.parent.glob("a.jsonl.0*")] == ["a.jsonl.000002"]


def test_without_descriptors_records_wait_and_none_leaks(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(tmp_path, PROGRAM, path, {"maxBytes": 50_000, "backupCount": 0, "gzip": False})
    ask(process, "log", 10)
    ask(process, "flush")
    ask(process, "nofile", 0)
    ask(process, "hoard")
    ask(process, "log", 2000)
    ask(process, "flush")
    ask(process, "release")
    ended(process)
    assert numbers(path) == list(range(2010))


def test_a_start_without_inodes_keeps_records_until_there_are_some(tmp_path: Path) -> None:
    with mounted("-t", "tmpfs", "-o", "size=16m,nr_inodes=6", "logspool-test") as disk:
        path = disk / "logs" / "a.jsonl"
        path.parent.mkdir()
        filled = [disk / f"empty-{n}" for n in range(10)]
        (path.parent / ".logspool").mkdir(mode=0o700)
        try:
            for empty in filled:
                empty.touch()
        except OSError:
            pass
        process = start(tmp_path, PROGRAM, path, {})
        ask(process, "log", 100)
        assert ask(process, "durable") == "False"
        for empty in filled:
            empty.unlink(missing_ok=True)
        ask(process, "flush")
        ended(process)
        assert numbers(path) == list(range(100))


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("error", ["EIO", "EROFS"])
def test_an_error_of_the_device_is_waited_out_without_spinning(tmp_path: Path, error: str) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    trace = tmp_path / "trace"
    # Five appends after the first fail; writes to standard output do not.
    process = start(
        tmp_path,
        PROGRAM,
        path,
        {},
        prefix=(
            "strace", "-f", "-qq", "-o", str(trace), "-P", str(path) + ".000001",
            "-e", "trace=write", "-e", f"inject=write:error={error}:when=2..6",
        ),
    )  # fmt: skip
    ask(process, "log", 10)
    ask(process, "flush")
    ask(process, "log", 1000)
    ask(process, "flush")
    err = ended(process)
    assert numbers(path) == list(range(1010))
    assert [h["fields"]["errno"] for h in healed(path)] == [error]
    assert err.count("cannot write") == 1
    # Five failures, each followed by a longer pause: no other attempts than those.
    assert trace.read_text().count("(INJECTED)") == 5


def test_a_file_system_that_cannot_reserve_a_mapping_is_said_and_shared_in_turns(tmp_path: Path) -> None:
    with loop_disk(32, "ext2") as disk:
        path = disk / "logs" / "a.jsonl"
        settings = {"maxBytes": 50_000, "backupCount": 0, "gzip": False}
        first, second = (start(tmp_path, PROGRAM, path, settings) for _ in range(2))
        for process in (first, second):
            ask(process, "log", 1000)
        for process in (first, second):
            ask(process, "flush")
        for process in (first, second):
            ask(process, "log", 1000)
            assert ask(process, "durable") == "False"
        for process in (first, second):
            assert "memory" in ended(process)
        assert sorted(numbers(path)) == sorted([*range(2000), *range(2000)])


def test_one_logs_trouble_does_not_hold_up_another_in_a_nearly_full_spool(tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        import fcntl
        directory = Path(sys.argv[1])
        stuck = open_log(directory / "stuck.jsonl", spool_bytes=256 * 1024, when_full="drop_newest")
        sound = open_log(directory / "sound.jsonl")
        stuck.info("start"), sound.info("start")
        assert logspool.flush()
        with open(directory / ".logspool" / "stuck.jsonl.state") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            while logspool.stats()["spools"][0]["used_bytes"] < 200 * 1024:
                stuck.info("stuck %s", "x" * 1000)
            sound.info("sound")
            wait_until(
                lambda: "sound" in (directory / "sound.jsonl").read_text().split('"event":"', 2)[-1],
                "the other log goes on",
            )
        assert logspool.flush()
        """,
        tmp_path / "logs",
    )
