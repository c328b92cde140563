"""No thread that runs Python opens, writes or syncs a file under the log directory, apart from start and exit."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.program import DEADLINE, run

TRACED = "trace=%file,%desc"
_CALL = re.compile(r"(\d+) +(\w+)\((.*)")


def traceable() -> bool:
    """Whether strace is here and may trace."""
    if shutil.which("strace") is None:
        return False
    probe = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, timeout=DEADLINE, check=False
    )
    return probe.returncode == 0


needs_strace = pytest.mark.skipif(not traceable(), reason="strace is missing or may not trace here")

MARKS = """
def mark(name):
    try:
        os.stat(f"/mark-{name}")
    except OSError:
        pass
"""

PROGRAM = (
    MARKS
    + """
here = Path(sys.argv[1])
logspool.basicConfig(filename=str(here / "main.jsonl"), level="DEBUG", maxBytes=20_000, backupCount=3, gzip=True, console=False)
two = open_log(here / "two.jsonl", maxBytes=20_000, backupCount=0, when="S")
far = open_log(here / "far" / "away.jsonl", block_timeout=None)
logging.info("first")
logspool.log_cost("fast", "model", cost=0.1)
two.info("first")
far.info("first")
assert logspool.flush()

def work(t):
    mark("python-thread")
    for n in range(400):
        logging.warning("record %d %d", t, n)
        two.info("record %d %d", t, n, extra={"a": {"b": [n]}})
        far.error("record %d %d", t, n)
        logspool.log_cost("fast", "model", cost=0.1, number=n)
        try:
            1 / (n % 2)
        except ZeroDivisionError:
            logging.exception("caught %d", n)

mark("python-thread")
mark("begin")
threads = [threading.Thread(target=work, args=(t,)) for t in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert logspool.flush()
logspool.stats()
mark("end")
"""
)

CONTROL = (
    MARKS
    + """
here = Path(sys.argv[1])
here.mkdir()
handler = logging.FileHandler(here / "main.jsonl")
mark("python-thread")
mark("begin")
handler.handle(logging.makeLogRecord({"msg": "x"}))
mark("end")
"""
)


def trace(tmp_path: Path, program: str) -> tuple[set[int], list[tuple[int, str, str]]]:
    """Run the program under strace: its Python threads, and each call between the marks on a path under its log directory."""
    logs = tmp_path / "traced-logs"
    out = tmp_path / "trace"
    run(tmp_path, program, logs, prefix=("strace", "-f", "-y", "-s", "256", "-o", str(out), "-e", TRACED), deadline=180)
    python: set[int] = set()
    calls = []
    between = False
    for line in out.read_text(errors="replace").splitlines():
        match = _CALL.match(line)
        if match is None:
            continue
        thread, call, rest = int(match[1]), match[2], match[3]
        if '"/mark-python-thread"' in rest:
            python.add(thread)
        elif '"/mark-begin"' in rest:
            between = True
        elif '"/mark-end"' in rest:
            between = False
        elif between and str(logs) in rest:
            calls.append((thread, call, rest))
    return python, calls


@needs_strace
def test_no_thread_that_runs_python_touches_a_file_of_the_logs(tmp_path: Path) -> None:  # req 2, 6
    python, calls = trace(tmp_path, PROGRAM)
    assert len(python) == 4
    by_others = {call for thread, call, _ in calls if thread not in python}
    assert by_others & {"write", "writev", "pwrite64"}, "the trace does not even show the writer"
    assert "openat" in by_others, "the trace does not even show a rotation"
    assert [(call, rest) for thread, call, rest in calls if thread in python] == []


@needs_strace
def test_the_trace_shows_a_handler_that_writes_by_itself(tmp_path: Path) -> None:
    """The test can fail: stdlib's FileHandler writes on the calling thread."""
    python, calls = trace(tmp_path, CONTROL)
    assert "write" in {call for thread, call, _ in calls if thread in python}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux")
def test_native_threads_have_names(tmp_path: Path) -> None:
    out = run(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        log.info("x")
        assert logspool.flush()
        for task in os.listdir("/proc/self/task"):
            if int(task) != os.getpid():
                say(Path(f"/proc/self/task/{task}/comm").read_text().strip())
        """,
        tmp_path / "logs" / "a.jsonl",
    )
    assert out.split("\n")[:-1]
    assert all(name.startswith("logspool") for name in out.split("\n")[:-1])
