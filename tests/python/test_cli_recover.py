"""`logspool recover`: what a starting process would do, by hand; damage and locks never stop it, and nothing is written twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from commands import COMMAND, NOBODY, environment, killed, logspool, report, write
from tests.faults.failpoints import MISSING, STEPS, failpoint_environment, failpoints_built
from tests.faults.program import end, read_line, run, start, tell
from tests.faults.reading import events
from tests.faults.stall import stalled


def numbers(path: Path) -> list[int]:
    """The numbers of the test records in the segments, in order."""
    return [int(event.split()[1]) for event in events(path.parent, path.name) if event.startswith("record ")]


def rings(path: Path) -> list[Path]:
    return sorted((path.parent / ".logspool").glob("*.ring"))


def test_what_a_killed_process_left_is_written_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = killed(path, 500)
    answer = report("recover", path.parent)
    assert answer["records"] == 500
    assert answer["rings"] == [{"path": str(ring), "fate": "finished", "records": 500, "damaged_bytes": 0}]
    assert numbers(path)[1:] == list(range(500))
    assert rings(path) == []
    again = report("recover", path.parent)
    assert (again["records"], again["rings"], again["left"]) == (0, [], [])
    assert "nothing to recover" in logspool("recover", path.parent).stdout


def test_the_ring_of_a_living_process_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(
        tmp_path,
        'log = open_log(sys.argv[1])\nlog.info("record 0")\nsay("open")\nsys.stdin.readline()\nlog.info("record 1")',
        path,
    )
    assert read_line(process) == "open"
    answer = report("recover", path.parent)
    assert [ring["fate"] for ring in answer["rings"]] == ["living"]
    assert answer["left"] == []
    tell(process, "end")
    _, err = end(process)
    assert process.returncode == 0, err
    assert numbers(path) == [0, 1]


def test_rings_in_shared_memory_and_in_a_place_of_the_users_choice_are_found(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 1)
    place = tmp_path / "fast"
    killed(path, 10, spool_dir=str(place))
    assert report("recover", path.parent)["records"] == 0
    assert report("recover", path.parent, "--spool-dir", place)["records"] == 10
    program = """
    log = open_log(sys.argv[1], spool_dir="shm")
    for n in range(20):
        log.info("record %d", n)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    with stalled(path.parent, path.name):
        run(tmp_path, program, path, status=-9)
    assert report("verify", path.parent)["logs"][0]["in_spool"] == 20
    assert report("recover", path.parent)["records"] == 20
    assert numbers(path) == [0, *range(10), *range(20)]


def test_a_removed_directory_of_ours_is_made_again_for_rings_that_stand_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 1)
    place = tmp_path / "fast"
    killed(path, 10, spool_dir=str(place))
    shutil.rmtree(path.parent / ".logspool")
    assert report("recover", path.parent, "--spool-dir", place)["records"] == 10
    assert numbers(path) == [0, *range(10)]
    assert report("verify", path.parent)["ok"]
    shutil.rmtree(path.parent / ".logspool")
    assert report("recover", path.parent, "--spool-dir", place)["records"] == 0
    assert not (path.parent / ".logspool").exists(), "nothing is made where there is nothing to recover"


def has_open(pid: int, file: os.stat_result) -> bool:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.path.samestat(link.stat(), file):
                return True
        except FileNotFoundError:
            pass
    return False


def test_interrupting_it_ends_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    killed(path, 30)
    with stalled(path.parent, path.name):
        process = subprocess.Popen(
            [COMMAND, "recover", "--wait", "600", path.parent], stderr=subprocess.PIPE, env=environment()
        )
        state = (path.parent / ".logspool" / f"{path.name}.state").stat()
        while not has_open(process.pid, state):  # the state whose lock it waits for
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (None, b"")
    assert process.returncode == -signal.SIGINT
    assert report("recover", path.parent)["records"] == 30


def test_a_log_that_another_process_holds_is_left_and_named_and_recovered_later(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = killed(path, 30)
    with stalled(path.parent, path.name):
        answer = report("recover", path.parent, "--wait", "0", status=1)
    assert answer["rings"][0]["fate"] == "unfinished"
    assert str(ring) in answer["left"][0]
    assert report("recover", path.parent)["records"] == 30


def test_a_damaged_ring_is_set_aside_and_the_rest_recovered(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = killed(path, 100)
    data = ring.read_bytes()
    with ring.open("r+b") as file:
        file.seek(data.index(b'"record 50"') + 1)
        file.write(b"R")
    answer = report("recover", path.parent)
    assert (answer["rings"][0]["fate"], answer["rings"][0]["records"]) == ("damaged", 99)
    assert answer["rings"][0]["damaged_bytes"] > 0
    assert ring.with_suffix(".damaged").exists()
    assert numbers(path)[1:] == [n for n in range(100) if n != 50]


def test_a_ring_whose_header_is_gone_is_set_aside_and_the_others_recovered(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    first = killed(path, 10)
    first.write_bytes(b"x" * 5000)
    killed(path, 20)  # finds the damaged one, and sets it aside itself
    second = killed(path, 5)
    second.write_bytes(b"")
    third = killed(path, 7)
    assert third.exists()
    answer = report("recover", path.parent)
    assert answer["left"] == []
    assert rings(path) == []


def test_a_ring_of_another_format_version_is_left_and_nothing_of_it_lost(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = killed(path, 10)
    whole = ring.read_bytes()
    ring.write_bytes(whole[:8] + (9).to_bytes(8, "little") + whole[16:])
    answer = report("recover", path.parent, status=1)
    assert answer["rings"][0]["fate"] == "other_version"
    assert "version 9" in answer["left"][0]
    ring.write_bytes(whole)
    assert report("recover", path.parent)["records"] == 10


def recover_until(tmp_path: Path, path: Path, failpoint: str) -> int:
    """Run the command with a failpoint; how it ended."""
    code = "from logspool.__main__ import main\nsys.argv[1:] = ['recover', sys.argv[1]]\nsys.exit(main())"
    process = start(tmp_path, code, path.parent, env=failpoint_environment(failpoint))
    end(process)
    return process.returncode


@pytest.mark.skipif(not failpoints_built(), reason=MISSING)
@pytest.mark.parametrize("step", ["intent-stored", "appended", "done-advanced"])
def test_an_append_left_half_done_is_finished_without_its_ring(tmp_path: Path, step: str) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 1)
    program = """
    log = open_log(sys.argv[1])
    for n in range(20):
        log.info("record %d", n)
    logspool.flush()
    """
    run(tmp_path, program, path, status=-9, env=failpoint_environment(f"kill:{step}:1"))
    (ring,) = rings(path)
    ring.unlink()  # as if it stood in the shared memory of another container
    waiting = report("verify", path.parent)["logs"][0]["in_spool"]
    assert waiting > 0
    assert recover_until(tmp_path, path, "kill:by-hand-intent:1") == -9
    assert report("verify", path.parent)["logs"][0]["in_spool"] == waiting
    (intent,) = report("recover", path.parent)["intents"]
    assert (intent["log"], intent["records"], intent["left"]) == (path.name, waiting, None)
    assert numbers(path)[1:] == list(range(waiting))
    assert report("recover", path.parent)["intents"] == []
    assert report("verify", path.parent)["ok"]


@pytest.mark.skipif(not failpoints_built(), reason=MISSING)
@pytest.mark.parametrize("step", [step for step in STEPS if not step.startswith("gz-")])
def test_a_recoverer_that_is_killed_anywhere_does_no_harm(tmp_path: Path, step: str) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 1, maxBytes=4000, backupCount=0)
    killed(path, 200, maxBytes=4000, backupCount=0)
    ends = [recover_until(tmp_path, path, f"kill:{step}:{nth}") for nth in (1, 2, 1)]
    assert ends[0] == -9, ends
    report("recover", path.parent)
    assert numbers(path)[1:] == list(range(200))
    assert report("verify", path.parent)["ok"]
    assert rings(path) == []


def test_two_recoverers_at_once_write_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    killed(path, 2000)
    code = "from logspool.__main__ import main\nsys.argv[1:] = ['recover', sys.argv[1]]\nsys.exit(main())"
    both = [start(tmp_path, code, path.parent) for _ in range(2)]
    for process in both:
        _, err = end(process)
        assert process.returncode == 0, err
    assert numbers(path)[1:] == list(range(2000))


def test_settings_in_force_stay_in_force(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 1, maxBytes=4000, backupCount=7)
    killed(path, 100, maxBytes=4000, backupCount=7)
    done = logspool("recover", path.parent)
    assert done.stderr == ""
    settings = report("doctor", path.parent)["directories"][0]["logs"][0]["settings"]
    assert (settings["maxBytes"], settings["backupCount"]) == (4000, 7)


def test_rings_of_another_user_are_left_and_that_user_is_named(open_directory: Path) -> None:
    os.chown(open_directory, NOBODY, NOBODY)
    path = open_directory / "logs" / "a.jsonl"
    program = """
    import fcntl
    os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
    log = open_log(sys.argv[1])
    log.info("record 0")
    assert logspool.flush()
    holder = os.open(Path(sys.argv[1]).parent / ".logspool" / "a.jsonl.state", os.O_RDWR)
    while True:
        try:
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            pass
    log.info("record 1")
    os.kill(os.getpid(), signal.SIGKILL)
    """
    run(open_directory, program, path, NOBODY, status=-9)
    answer = report("recover", path.parent, status=1)
    assert "sudo -u '#65534' logspool recover" in answer["left"][0]
    assert numbers(path) == [0]
    assert report("recover", path.parent, user=NOBODY)["records"] == 1
    assert numbers(path) == [0, 1]
    assert {file.stat().st_uid for file in path.parent.rglob("*")} == {NOBODY}


def as_nobody(path: Path) -> None:
    """Everything of the log is given to another user."""
    for file in (path.parent, *path.parent.rglob("*")):
        os.chown(file, NOBODY, NOBODY)


def test_a_place_that_may_not_be_looked_into_is_left_and_said_to_be(open_directory: Path) -> None:
    path = open_directory / "logs" / "a.jsonl"
    killed(path, 10)
    path.parent.chmod(0o755)
    answer = report("recover", path.parent, status=1, user=NOBODY)
    assert answer["records"] == 0
    (left,) = answer["left"]
    assert f"{path.parent}/.logspool cannot be looked into" in left
    assert "sudo" in left
    assert "nothing to recover" not in logspool("recover", path.parent, status=1, user=NOBODY).stdout
    assert report("recover", path.parent)["records"] == 10


def test_a_ring_with_two_names_is_left_and_both_commands_say_so(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = killed(path, 10)
    second = tmp_path / "second"
    second.hardlink_to(ring)
    answer = report("recover", path.parent, status=1)
    assert [r["fate"] for r in answer["rings"]] == ["linked"]
    (left,) = answer["left"]
    assert left.startswith(f"{ring}: ")
    assert "another name" in left
    assert "another name" in " ".join(report("doctor", path.parent, status=1)["problems"])
    second.unlink()
    assert report("recover", path.parent)["records"] == 10


def test_a_copy_of_a_ring_is_left_and_no_command_counts_its_records(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = killed(path, 10)
    copy = ring.with_name("copycopy.ring")
    shutil.copy(ring, copy)
    (log,) = report("verify", path.parent, status=1)["logs"]
    assert log["in_spool"] == 10
    text = " ".join(report("verify", path.parent, status=1)["problems"])
    assert f"{copy} is a copy of {ring.name}" in text
    text = " ".join(report("doctor", path.parent, status=1)["problems"])
    assert f"{copy} is a copy of {ring.name}" in text
    assert "10 records of processes that are gone wait in 1 spool" in text
    done = logspool("recover", path.parent, status=1)
    assert "10 records recovered" in done.stdout
    assert f"{copy} is left alone" in done.stderr
    assert ": left: " not in done.stdout
    copy.unlink()
    assert report("verify", path.parent)["logs"][0]["records"] == 11


def test_a_copy_whose_original_is_gone_tells_how_to_get_its_records(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = killed(path, 10)
    copy = ring.rename(ring.with_name("copycopy.ring"))
    (left,) = report("recover", path.parent, status=1)["left"]
    assert f"mv {copy} {ring}" in left
    assert f"mv {copy} {ring}" in " ".join(report("doctor", path.parent, status=1)["problems"])
    assert f"mv {copy} {ring}" in " ".join(report("verify", path.parent, status=1)["problems"])
    copy.rename(ring)
    assert report("recover", path.parent)["records"] == 10


def test_messages_name_the_file_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    place = tmp_path / "fast"
    write(path, 1)
    for ring in (killed(path, 5), killed(path, 5, spool_dir=str(place))):
        ring.write_bytes(b"x" * 1000)
        said = logspool("recover", path.parent, "--spool-dir", place).stderr
        assert f"{ring} was damaged" in said
        kept = ring.with_suffix(".damaged")
        assert f"kept as {kept}" in said
        assert kept.exists()
