"""However a process ends, what it logged is on disk: at once after an ordinary end, after the next start otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.program import end, read_line, run, start, tell
from tests.faults.reading import events
from tests.faults.stall import stalled

EXPECTED = [f"record {n}" for n in range(500)]

LOG = """
log = open_log(sys.argv[1])
for n in range(500):
    log.info("record %d", n)
"""
RECOVER = "open_log(sys.argv[1], backupCount=0)"

ORDINARY = {
    "end of the program": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "exception": ("raise ValueError('boom')", 1),
    "logging.shutdown, then os._exit": ("logging.shutdown(); os._exit(4)", 4),
    "logspool.shutdown, then os._exit": ("assert logspool.shutdown(); os._exit(4)", 4),
    "flush, then SIGKILL": ("assert logspool.flush(); os.kill(os.getpid(), signal.SIGKILL)", -9),
    "the handler unlisted": ("logging._handlerList.clear()", 0),
    "the handler dropped": (
        "logging.getLogger(sys.argv[1]).handlers.clear(); logging._handlerList.clear(); del log",
        0,
    ),
    "dictConfig, which unlists handlers": ("import logging.config; logging.config.dictConfig({'version': 1})", 0),
}
ABRUPT = {
    "os._exit": ("os._exit(5)", 5),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", -15),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -9),
    "abort": ("os.abort()", -6),
    "a native crash": ("import faulthandler; faulthandler._sigsegv()", -11),
}


@pytest.mark.parametrize("how", ORDINARY)
def test_an_ordinary_end_leaves_everything_in_the_segments(tmp_path: Path, how: str) -> None:
    code, status = ORDINARY[how]
    run(tmp_path, LOG + code, tmp_path / "logs" / "a.jsonl", status=status)
    assert events(tmp_path / "logs", "a.jsonl") == EXPECTED


def test_an_ordinary_end_leaves_no_ring(tmp_path: Path) -> None:
    run(tmp_path, LOG, tmp_path / "logs" / "a.jsonl")
    assert not list((tmp_path / "logs" / ".logspool").glob("*.ring"))


@pytest.mark.parametrize("how", ABRUPT)
def test_an_abrupt_end_loses_nothing_once_the_next_process_has_started(tmp_path: Path, how: str) -> None:
    code, status = ABRUPT[how]
    path = tmp_path / "logs" / "a.jsonl"
    run(tmp_path, RECOVER, path)
    with stalled(path.parent, path.name):  # so that the writer cannot have drained anything before the end
        run(tmp_path, LOG + code, path, status=status)
        assert events(path.parent, path.name) == []
    run(tmp_path, RECOVER, path)
    assert events(path.parent, path.name) == EXPECTED
    assert not list((path.parent / ".logspool").glob("*.ring"))


def test_what_an_exit_hook_logs_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    run(
        tmp_path,
        """
        import atexit
        atexit.register(lambda: log.info("hook registered before the log was opened"))
        log = open_log(sys.argv[1])
        atexit.register(lambda: log.info("hook registered after"))
        log.info("main")
        """,
        path,
    )
    assert events(path.parent, path.name) == [
        "main",
        "hook registered after",
        "hook registered before the log was opened",
    ]


def test_what_is_logged_after_shutdown_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        log.info("before")
        logging.shutdown()
        log.info("after logging.shutdown")
        logspool.shutdown()
        log.info("after logspool.shutdown")
        logspool.shutdown()
        log.handlers[0].close()
        log.info("after close")
        """,
        path,
    )
    assert events(path.parent, path.name) == [
        "before",
        "after logging.shutdown",
        "after logspool.shutdown",
        "after close",
    ]


def test_threads_that_log_through_the_exit_neither_hang_nor_tear(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    out = run(
        tmp_path,
        """
        log = open_log(sys.argv[1], block_timeout=None, backupCount=0)
        counts = [0] * 4
        def work(t):
            while True:
                log.info("%d %d", t, counts[t])
                counts[t] += 1
        for t in range(4):
            threading.Thread(target=work, args=(t,), daemon=True).start()
        wait_until(lambda: min(counts) > 200, "every thread logs")
        say(*counts)
        """,
        path,
    )
    run(tmp_path, RECOVER, path)
    found: dict[int, list[int]] = {t: [] for t in range(4)}
    for event in events(path.parent, path.name):
        thread, number = map(int, event.split())
        found[thread].append(number)
    for thread, at_least in enumerate(map(int, out.split())):
        assert found[thread] == list(range(len(found[thread])))
        assert len(found[thread]) >= at_least


def test_records_of_objects_dying_with_the_interpreter_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        class Last:
            def __del__(self, log=log):
                log.info("dying")
        keep = Last()
        sys.keep = Last()
        log.info("alive")
        """,
        path,
    )
    run(tmp_path, RECOVER, path)
    found = events(path.parent, path.name)
    assert found[0] == "alive"
    assert set(found[1:]) <= {"dying"}


def test_a_record_logged_after_shutdown_waits_for_a_log_that_another_process_holds(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(
        tmp_path,
        """
        log = open_log(sys.argv[1], block_timeout=None)
        log.info("before")
        logspool.shutdown()
        say("down")
        sys.stdin.readline()
        logging_thread = threading.Thread(target=log.info, args=("after",))
        logging_thread.start()
        wait_until(lambda: stands_still(logging_thread.is_alive), "it waits, or has come back")
        say("logged" if not logging_thread.is_alive() else "waits")
        sys.stdin.readline()
        logging_thread.join()
        os._exit(0)
        """,
        path,
    )
    assert read_line(process) == "down"
    with stalled(path.parent, path.name):
        tell(process, "log")
        assert read_line(process) in ("logged", "waits")
    tell(process, "end")
    _, err = end(process)
    assert process.returncode == 0, err
    run(tmp_path, RECOVER, path)
    assert events(path.parent, path.name) == ["before", "after"]
