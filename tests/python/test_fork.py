"""After a fork, parent and child both keep logging: nothing lost, nothing doubled, no hang."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.faults.program import run
from tests.faults.reading import events
from tests.faults.stall import stalled

RECOVER = "open_log(sys.argv[1], backupCount=0)"


def log_path(tmp_path: Path) -> Path:
    """Where the programs log."""
    return tmp_path / "logs" / "a.jsonl"


def test_parent_and_child_both_log_after_a_fork(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        log.info("before")
        child = os.fork()
        who = "parent" if child else "child"
        for n in range(200):
            log.info("%s %d", who, n)
        if child:
            assert os.waitpid(child, 0)[1] == 0
        """,
        path,
    )
    found = events(path.parent, path.name)
    assert found[0] == "before"
    assert len(found) == 401
    for who in ("parent", "child"):
        assert [e for e in found if e.startswith(who)] == [f"{who} {n}" for n in range(200)]


def test_what_the_parent_had_pending_at_the_fork_is_not_written_twice(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(tmp_path, RECOVER, path)
    with stalled(path.parent, path.name):
        out = run(
            tmp_path,
            """
            log = open_log(sys.argv[1])
            for n in range(100):
                log.info("pending %d", n)
            child = os.fork()
            if not child:
                os._exit(7)
            say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            os._exit(0)
            """,
            path,
        )
    assert out == "7\n"
    run(tmp_path, RECOVER, path)
    assert events(path.parent, path.name) == [f"pending {n}" for n in range(100)]


def test_a_child_that_ends_in_the_ordinary_way_leaves_the_parents_records_alone(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        for round in range(10):
            log.info("pending %d", round)
            child = os.fork()
            if not child:
                sys.exit(0)
            assert os.waitpid(child, 0)[1] == 0
        """,
        path,
    )
    assert events(path.parent, path.name) == [f"pending {n}" for n in range(10)]


def test_a_child_that_leaves_by_os_exit_loses_nothing(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        for c in range(5):
            child = os.fork()
            if not child:
                for n in range(100):
                    log.info("child %d %d", c, n)
                os._exit(0)
            os.waitpid(child, 0)
        log.info("parent")
        """,
        path,
    )
    run(tmp_path, RECOVER, path)
    assert Counter(events(path.parent, path.name)) == Counter(
        ["parent", *(f"child {c} {n}" for c in range(5) for n in range(100))]
    )
    assert not list((path.parent / ".logspool").glob("*.ring"))


def test_forks_while_threads_log_neither_hang_nor_lose_nor_double(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    out = run(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=100_000, backupCount=0, block_timeout=None)
        done = threading.Event()
        counts = [0] * 4
        def work(t):
            while not done.is_set():
                log.info("thread %d %d", t, counts[t])
                counts[t] += 1
        threads = [threading.Thread(target=work, args=(t,)) for t in range(4)]
        for thread in threads:
            thread.start()
        for c in range(25):
            child = os.fork()
            if not child:
                for n in range(20):
                    log.info("child %d %d", c, n)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        done.set()
        for thread in threads:
            thread.join()
        say(*counts)
        """,
        path,
        env={"PYTHONWARNINGS": "ignore::DeprecationWarning"},  # 3.12 warns of any fork with threads
    )
    run(tmp_path, RECOVER, path)
    expected = [f"thread {t} {n}" for t, count in enumerate(map(int, out.split())) for n in range(count)]
    expected += [f"child {c} {n}" for c in range(25) for n in range(20)]
    assert Counter(events(path.parent, path.name)) == Counter(expected)


def test_grandchildren_log_too(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        for depth in range(5):
            log.info("depth %d", depth)
            child = os.fork()
            if child:
                assert os.waitpid(child, 0)[1] == 0
                break
        log.info("end")
        """,
        path,
    )
    found = events(path.parent, path.name)
    assert Counter(found) == Counter([*(f"depth {n}" for n in range(5)), *["end"] * 6])


def test_a_log_opened_before_the_fork_and_used_only_in_the_child_works(tmp_path: Path) -> None:
    """The pre-fork server: the master configures, the workers log."""
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        children = []
        for w in range(4):
            child = os.fork()
            if not child:
                for n in range(100):
                    log.info("worker %d %d", w, n)
                sys.exit(0)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        """,
        path,
    )
    found = events(path.parent, path.name)
    for worker in range(4):
        assert [e for e in found if e.startswith(f"worker {worker} ")] == [f"worker {worker} {n}" for n in range(100)]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_pools_log(tmp_path: Path, method: str) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        import multiprocessing
        log = None
        def work(n):
            global log
            if log is None:
                log = open_log(sys.argv[1])
            log.info("task %d", n)
        if __name__ == "__main__":
            log = open_log(sys.argv[1])
            log.info("start")
            with multiprocessing.get_context(sys.argv[2]).Pool(3) as pool:
                pool.map(work, range(300))
            log.info("end")
        """,
        path,
        method,
        env={"PYTHONWARNINGS": "ignore::DeprecationWarning"},
    )
    run(tmp_path, RECOVER, path)  # the pool ends its workers with SIGTERM
    assert Counter(events(path.parent, path.name)) == Counter(["start", "end", *(f"task {n}" for n in range(300))])


def test_a_new_program_inherits_no_descriptor_of_the_logs(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
        import subprocess
        log = open_log(sys.argv[1])
        log.info("x")
        logspool.flush()
        look = "import os; os.system('ls -l /proc/self/fd')"
        say(subprocess.run([sys.executable, "-c", look], close_fds=False, capture_output=True, text=True, check=True).stdout)
        """,
        log_path(tmp_path),
    )
    assert str(tmp_path / "logs") not in out


def test_a_forked_child_that_does_not_log_holds_no_descriptor_of_the_logs(tmp_path: Path) -> None:
    """It would keep the parent's locks alive after the parent's death."""
    out = run(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        log.info("x")
        logspool.flush()
        child = os.fork()
        if not child:
            held = []
            for fd in os.listdir("/proc/self/fd"):
                try:
                    held.append(os.readlink(f"/proc/self/fd/{fd}"))
                except OSError:
                    pass
            say([name for name in held if name.endswith((".ring", ".state"))])
            os._exit(0)
        os.waitpid(child, 0)
        """,
        log_path(tmp_path),
    )
    assert out == "[]\n"


def test_children_that_never_recover_leave_few_rings(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        most = 0
        for c in range(60):
            child = os.fork()
            if not child:
                log.info("child %d", c)
                os._exit(0)
            os.waitpid(child, 0)
            most = max(most, len(list(Path(sys.argv[1]).parent.glob(".logspool/*.ring"))))
        assert most <= 18, most  # 16 orphans, the parent's own, the child's own
        """,
        path,
    )
    run(tmp_path, RECOVER, path)
    assert Counter(events(path.parent, path.name)) == Counter(f"child {c}" for c in range(60))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="only 3.12 and later warn of forks with threads")
def test_a_fork_warns_no_more_than_it_would_without_us(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        import warnings
        warnings.simplefilter("error")
        log = open_log(sys.argv[1])
        for n in range(5):
            log.info("parent %d", n)
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
        """,
        path,
    )
    assert events(path.parent, path.name) == [f"parent {n}" for n in range(5)]
