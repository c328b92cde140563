"""What a child, or a program that is started, inherits of a process that logs: it can log itself, and keeps nothing that is not its own."""

from __future__ import annotations

import os
import signal
import textwrap
from collections import Counter
from pathlib import Path

import pytest
from tests.faults.failpoints import MISSING, failpoint_environment, failpoints_built
from tests.faults.forking import C_FORK, RECOVER, log_path, rings
from tests.faults.program import read_line, run, start
from tests.faults.reading import events
from tests.faults.stall import stalled


def test_a_child_forked_by_c_code_logs(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        C_FORK
        + textwrap.dedent("""
        log = open_log(sys.argv[1])
        for round in range(10):
            for n in range(50):
                log.info("parent %d %d", round, n)
            child = c_fork()
            if not child:
                signal.alarm(50)
                for n in range(50):
                    log.info("child %d %d", round, n)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        """),
        path,
    )
    run(tmp_path, RECOVER, path)
    assert Counter(events(path.parent, path.name)) == Counter(
        f"{who} {round} {n}" for who in ("parent", "child") for round in range(10) for n in range(50)
    )
    assert not rings(path)


@pytest.mark.parametrize("fork", ["os.fork", "c_fork"])
def test_an_idle_child_does_not_keep_its_killed_parents_records(tmp_path: Path, fork: str) -> None:
    """The child shares the open file whose lock says that the parent lives."""
    path = log_path(tmp_path)
    run(tmp_path, RECOVER, path)
    program = (
        C_FORK
        + f"fork = {fork}\n"
        + textwrap.dedent("""
        log = open_log(sys.argv[1])
        for n in range(100):
            log.info("record %d", n)
        child = fork()
        if not child:
            while True:
                signal.pause()
        say(child)
        os.kill(os.getpid(), signal.SIGKILL)
        """)
    )
    with stalled(path.parent, path.name):
        process = start(tmp_path, program, path)
        child = int(read_line(process))
        process.wait(60)
    try:
        os.kill(child, 0)
        run(tmp_path, RECOVER, path)
        assert events(path.parent, path.name) == [f"record {n}" for n in range(100)]
        assert not rings(path)
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(not failpoints_built(), reason=MISSING)
@pytest.mark.parametrize("step", ["staged", "intent-stored", "appended"])
def test_an_idle_child_does_not_keep_the_lock_its_parent_was_killed_with(tmp_path: Path, step: str) -> None:
    path = log_path(tmp_path)
    process = start(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        log.info("before")
        assert logspool.flush()
        child = os.fork()
        if not child:
            while True:
                signal.pause()
        say(child)
        log.info("after")
        logspool.flush()
        """,
        path,
        env=failpoint_environment(f"kill:{step}:2"),
    )
    child = int(read_line(process))
    process.wait(60)
    assert process.returncode == -signal.SIGKILL
    try:
        run(tmp_path, RECOVER, path)
        assert events(path.parent, path.name) == ["before", "after"]
        assert not rings(path)
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("how", ["posix_spawn", "subprocess", "system"])
def test_programs_started_from_a_logging_process_have_nothing_of_its_logs(tmp_path: Path, how: str) -> None:
    path = log_path(tmp_path)
    out = run(
        tmp_path,
        """
        import subprocess
        log = open_log(sys.argv[1])
        log.info("before")
        logspool.flush()
        command = ["ls", "-l", "/proc/self/fd"]
        def posix_spawn():
            child = os.posix_spawnp("ls", command, os.environ)
            assert os.waitpid(child, 0)[1] == 0
        def subprocess_():
            subprocess.run(command, close_fds=False, check=True)
        def system():
            assert os.system(" ".join(command)) == 0
        {"posix_spawn": posix_spawn, "subprocess": subprocess_, "system": system}[sys.argv[2]]()
        log.info("after")
        """,
        path,
        how,
    )
    assert "->" in out
    assert str(path.parent) not in out
    assert events(path.parent, path.name) == ["before", "after"]
