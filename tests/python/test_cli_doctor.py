"""`logspool doctor`: says where everything is, and each thing that is wrong as a sentence with what to do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from commands import NOBODY, killed, logspool, report, segments, write
from tests.faults.disks import fill, small_disk
from tests.faults.program import end, read_line, start, tell

HELD = 'log = open_log(sys.argv[1])\nlog.info("record 0")\nassert logspool.flush()\nsay("open")\nsys.stdin.readline()'


def problems(*arguments: object, status: int = 1, **options: object) -> str:
    return "\n".join(report("doctor", *arguments, status=status, **options)["problems"])


def test_a_directory_in_order_has_no_problems(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 200, maxBytes=4000, backupCount=4)
    answer = report("doctor", path.parent)
    assert answer["problems"] == []
    (directory,) = answer["directories"]
    (log,) = directory["logs"]
    assert log["segments"] == 5
    assert log["current"]["bytes"] == path.stat().st_size
    assert (log["settings"]["maxBytes"], log["settings"]["backupCount"]) == (4000, 4)
    assert log["append_pending"] is None
    assert not log["locked"]
    assert directory["disk"]["free_bytes"] > 0
    assert directory["rings"] == []
    assert "No problems found" in logspool("doctor", path.parent).stdout


def test_a_living_writer_is_seen_with_its_ring_and_what_is_in_flight(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(tmp_path, HELD, path)
    assert read_line(process) == "open"
    answer = report("doctor", path.parent)
    (ring,) = answer["directories"][0]["rings"]
    assert ring["alive"]
    assert ring["pid_in_header"] == process.pid
    assert ring["logs"] == [
        {"name": "a.jsonl", "written": 1, "in_flight": 0, "in_flight_bytes": 0, "drops_unannounced": 0}
    ]
    tell(process, "end")
    end(process)


def test_records_of_a_killed_process_are_a_problem_and_recover_is_named(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    killed(path, 40)
    text = problems(path.parent)
    assert "40 records of processes that are gone" in text
    assert f"logspool recover {path.parent}" in text
    logspool("recover", path.parent)
    assert problems(path.parent, status=0) == ""


def test_a_running_process_is_found_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(tmp_path, HELD, path, env={"LOG_LEVEL": "DEBUG", "LOGSPOOL_BACKUPS": "3"})
    assert read_line(process) == "open"
    answer = report("doctor", "--pid", process.pid)
    assert answer["process"]["writer_running"]
    assert [d["path"] for d in answer["directories"]] == [str(path.parent)]
    assert {"LOG_LEVEL=DEBUG", "LOGSPOOL_BACKUPS=3"} <= set(answer["process"]["environment"])
    tell(process, "end")
    end(process)
    assert f"no process {process.pid}" in logspool("doctor", "--pid", process.pid, status=2).stderr


def test_a_process_that_spools_elsewhere_is_found_too(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(tmp_path, HELD.replace("sys.argv[1]", 'sys.argv[1], spool_dir="shm"'), path)
    assert read_line(process) == "open"
    answer = report("doctor", "--pid", process.pid)
    assert [d["path"] for d in answer["directories"]] == [str(path.parent)]
    assert answer["process"]["spools"][0].startswith("/dev/shm/")
    assert [ring["alive"] for ring in answer["directories"][0]["rings"]] == [True]
    tell(process, "end")
    end(process)


def test_a_process_without_logspool_is_said_to_have_none() -> None:
    assert "has no log of logspool open" in problems("--pid", os.getpid())


def test_a_stopped_process_that_holds_a_lock_is_named(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 1)
    holder = start(
        tmp_path,
        """
        import fcntl
        state = os.open(sys.argv[1], os.O_RDWR)
        fcntl.flock(state, fcntl.LOCK_EX)
        say("held")
        sys.stdin.readline()
        """,
        path.parent / ".logspool" / "a.jsonl.state",
    )
    assert read_line(holder) == "held"
    os.kill(holder.pid, signal.SIGSTOP)
    while f"{holder.pid}" not in (locks := Path("/proc/locks").read_text()):
        if not locks:
            pytest.skip("/proc/locks is empty here")
        time.sleep(0.01)
    while Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.01)
    text = problems(path.parent)
    assert "is stuck" in text
    assert f"kill -CONT {holder.pid}" in text
    os.kill(holder.pid, signal.SIGCONT)
    tell(holder, "end")
    end(holder)
    assert problems(path.parent, status=0) == ""


def test_open_permissions_are_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 1)
    own = path.parent / ".logspool"
    own.chmod(0o755)
    segments(path)[0].chmod(0o644)
    text = problems(path.parent)
    assert f"chmod 700 {own}" in text
    assert "can be read by every user" in text


def test_leftovers_are_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 1)
    own = path.parent / ".logspool"
    (own / "abcdefgh.damaged").write_bytes(b"x")
    (own / "abcdefgi.ring.tmp").write_bytes(b"x")
    assert ".ring.tmp" not in problems(path.parent)
    os.utime(own / "abcdefgi.ring.tmp", (time.time() - 3600,) * 2)
    text = problems(path.parent)
    assert "abcdefgh.damaged is a spool that something other than logspool damaged" in text
    assert "abcdefgi.ring.tmp was left by a process that was killed" in text


def test_spools_that_pile_up_are_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = killed(path, 1)
    for n in range(20):
        (ring.parent / f"abcdef{n:02}.ring").write_bytes(ring.read_bytes()[: 36864 + 8 * 1024 * 1024])
    assert "nobody recovers them" in problems(path.parent)


def test_format_versions_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 1)
    assert report("doctor", path.parent)["directories"][0]["formats"] == {"spool": 3, "state": 1}


def test_what_verify_finds_in_files_doctor_finds_too(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 10)
    path.unlink()
    assert "is not there: somebody removed it" in problems(path.parent)


def test_another_format_version_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    ring = killed(path, 10)
    whole = ring.read_bytes()
    ring.write_bytes(whole[:8] + (9).to_bytes(8, "little") + whole[16:])
    assert "it has format version 9" in problems(path.parent)


def test_a_disk_that_is_nearly_full_is_a_problem() -> None:
    with small_disk("8m") as disk:
        path = disk / "logs" / "a.jsonl"
        path.parent.mkdir()
        assert "nearly full" not in problems(path.parent, status=0)
        fill(disk)
        assert "nearly full (0 B free)" in problems(path.parent)


def test_the_directory_of_another_user_is_said_to_be_one(open_directory: Path) -> None:
    path = open_directory / "logs" / "a.jsonl"
    write(path, 1)
    path.parent.chmod(0o755)
    text = problems(path.parent, user=NOBODY)
    assert "belongs to root (uid 0) and cannot be looked into" in text


def test_without_a_directory_it_says_where_logs_would_go_and_why(tmp_path: Path) -> None:
    answer = report("doctor", cwd=tmp_path)
    assert answer["configured"]["path"] == str(tmp_path / "logs" / "<program>.jsonl")
    assert answer["configured"]["origin"] == "the default ./logs"
    assert not (tmp_path / "logs").exists()
    env = {"LOG_DIR": str(tmp_path / "mine"), "SERVICE_NAME": "api", "LOG_BACKUPS": "9", "LOGSPOOL_GZIP": "no"}
    answer = report("doctor", cwd=tmp_path, env=env)
    assert answer["configured"]["path"] == str(tmp_path / "mine" / "api.jsonl")
    assert answer["configured"]["origin"].startswith("LOG_DIR=")
    settings = {s["name"]: (s["value"], s["origin"]) for s in answer["configured"]["settings"]}
    assert settings["backupCount"] == ("9", "LOG_BACKUPS")
    assert settings["gzip"] == ("False", "LOGSPOOL_GZIP")
    assert settings["maxBytes"] == ("10485760", "default")


def test_every_setting_is_shown_as_basic_config_would_take_it(tmp_path: Path) -> None:
    from logspool import _settings

    shown = {s["name"] for s in report("doctor", cwd=tmp_path)["configured"]["settings"]}
    effective = {name for name, row in _settings._HANDLER.items() if row[0]} | set(_settings._CONFIG)
    assert shown == effective


def test_variables_that_cannot_be_used_are_problems(tmp_path: Path) -> None:
    text = problems(cwd=tmp_path, env={"LOG_BACKUPS": "many", "LOGSPOOL_WHEN_FULL": "panic"})
    assert "LOG_BACKUPS='many'" in text
    assert "basicConfig fails: LOGSPOOL_WHEN_FULL='panic'" in text


def test_a_default_directory_that_cannot_be_written_is_passed_over(open_directory: Path) -> None:
    open_directory.chmod(0o755)
    home = open_directory / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    answer = report("doctor", cwd=open_directory, env={"XDG_STATE_HOME": str(home)}, user=NOBODY, status=1)
    assert answer["configured"]["path"].startswith(str(home / "logspool"))
    assert any("passes it over" in text for text in answer["problems"])


def test_the_directory_that_is_configured_here_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    killed(path, 3)
    done = logspool("doctor", "--json", cwd=tmp_path, status=1)
    answer = json.loads(done.stdout)
    assert [d["path"] for d in answer["directories"]] == [str(path.parent)]


def test_a_directory_that_was_deleted_under_a_process_is_told_and_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(tmp_path, HELD + '\nlog.info("record 1")\nassert logspool.flush()', path)
    assert read_line(process) == "open"
    shutil.rmtree(path.parent)
    text = logspool("doctor", "--pid", process.pid).stdout
    assert "the next record makes its directory again" in text
    assert "lost" not in text
    tell(process, "end")
    _, err = end(process)
    assert process.returncode == 0, err
    assert '"record 1"' in path.read_text()


def test_rotation_by_time_is_told_with_its_unit(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 1, when="H", interval=2)
    assert "by time (every 2 hours)" in logspool("doctor", path.parent).stdout


def test_paths_in_advice_are_as_a_shell_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "my logs" / "a.jsonl"
    killed(path, 1)
    assert f"`logspool recover '{path.parent}'`" in problems(path.parent)
    (path.parent / ".logspool").chmod(0o755)
    assert f"`chmod 700 '{path.parent}/.logspool'`" in problems(path.parent)


def test_a_spool_that_was_deleted_under_a_process_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(tmp_path, HELD, path)
    assert read_line(process) == "open"
    (ring,) = (path.parent / ".logspool").glob("*.ring")
    ring.unlink()
    text = problems("--pid", process.pid)
    assert f"{ring} open, which is deleted" in text
    assert "do not survive a kill" in text
    assert "directory again" not in text
    tell(process, "end")
    end(process)
