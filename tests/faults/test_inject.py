"""System calls that fail or hang at random while a process logs: nothing accepted is lost, the process lives, and nobody sees an exception.

`strace` makes the calls fail, in a program that is in the middle of logging; rustix makes its calls itself, so that a library loaded
before it could not.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.kill import wait_for
from tests.faults.program import end, read_line, run, start, tell
from tests.faults.reading import announced, records
from tests.faults.reliability import LONG, row


def may_attach() -> bool:
    """Whether strace is here and may trace a process that runs."""
    if shutil.which("strace") is None:
        return False
    with subprocess.Popen(["sleep", "60"]) as target:
        tried = ["timeout", "--signal=INT", "0.2", "strace", "-o", "/dev/null", "-p", str(target.pid)]
        said = subprocess.run(tried, capture_output=True, text=True, check=False).stderr
        target.kill()
    return "attached" in said


pytestmark = pytest.mark.skipif(not may_attach(), reason="strace is missing or may not attach here")

PROGRAM = """
import json
settings = dict(maxBytes=32 * 1024, backupCount=0, block_timeout=None, spool_bytes=128 * 1024)
log = open_log(sys.argv[1], **settings)
ended = threading.Event()
calls = [0, 0]

def work(me):
    while not ended.is_set():
        log.info("record %d %d", me, calls[me], extra={"padding": "p" * (calls[me] % 300)})
        calls[me] += 1
        if calls[me] % 40 == 0:
            logspool.flush(0.01)

threads = [threading.Thread(target=work, args=(me,)) for me in range(2)]
for thread in threads:
    thread.start()
say("logging")
sys.stdin.readline()
ended.set()
for thread in threads:
    thread.join()
assert logspool.shutdown(60)
say(json.dumps(calls))
"""

#: What fails, how often it is wanted at least, and how.
FAULTS = {
    "write": (5, ["error=EIO", "error=ENOSPC", "error=EINTR", "error=EAGAIN"]),
    "openat": (1, ["error=EIO", "error=ENOSPC", "error=EMFILE", "error=ENFILE", "error=EINTR"]),
    "linkat": (1, ["error=EIO", "error=ENOSPC", "error=EDQUOT"]),
    "renameat,renameat2": (1, ["error=EIO", "error=ENOSPC", "error=EINTR"]),
    "fsync,fdatasync": (1, ["error=EIO", "error=ENOSPC"]),
    "unlinkat": (1, ["error=EIO", "error=EBUSY"]),
    "flock": (5, ["error=EINTR", "error=ENOLCK"]),
    "write,openat,linkat": (5, ["delay_enter=20000", "delay_exit=20000"]),
}


@contextlib.contextmanager
def injected(
    process: subprocess.Popen[str], trace: Path, calls: str, how: str, when: str, least: int
) -> Iterator[None]:
    """The program while its `calls` fail, until `least` of them have."""
    name = calls.replace(",renameat2", "")
    command = ["strace", "-f", "-o", str(trace), "-e", f"trace={calls}", "-e", f"inject={calls}:{how}:when={when}"]
    tracer = subprocess.Popen([*command, "-p", str(process.pid)], stderr=subprocess.PIPE, text=True)
    try:
        mark = "DELAYED" if "delay" in how else "INJECTED"
        wait_for(lambda: trace.exists() and trace.read_text(errors="replace").count(mark) >= least, f"{name}: {how}")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()


def fail_at_random(scratch: Path, calls: str, how: str, when: str, least: int) -> int:
    """One program whose calls fail for a while; the number of records it logged."""
    scratch.mkdir()
    path = scratch / "logs" / "a.jsonl"
    process = start(scratch, PROGRAM, path)
    assert read_line(process) == "logging"
    with injected(process, scratch / "trace", calls, how, when, least):
        assert process.poll() is None
    tell(process, "end")
    out, err = end(process)
    assert process.returncode == 0, err
    assert "Traceback" not in err and "Error:" not in err, err
    run(scratch, "open_log(sys.argv[1], backupCount=0)", path)
    found = records(path.parent, path.name)
    assert announced(found) == 0
    total = 0
    for me, count in enumerate(map(int, out.strip("[]\n").split(","))):
        mine = [record["event"] for record in found if record["event"].startswith(f"record {me} ")]
        assert mine == [f"record {me} {n}" for n in range(count)]
        total += count
    return total


@pytest.mark.parametrize("calls", FAULTS)
def test_calls_that_fail_while_a_process_logs_lose_nothing_and_raise_nothing(
    tmp_path: Path, calls: str
) -> None:  # req 10
    rng = random.Random(calls)
    least, faults = FAULTS[calls]
    rounds = written = 0
    for _ in range(10 if LONG else 1):
        for how in faults if LONG else rng.sample(faults, 1):
            when = rng.choice(["1+", "1+2", "2+3", "1..20"])
            written += fail_at_random(tmp_path / str(rounds), calls, how, when, least)
            rounds += 1
    ways = ", ".join(sorted({how.partition("=")[2 if "error" in how else 0] for how in faults}))
    row(
        fault=f"`{calls}` failing or late at random while a process logs ({ways})",
        promise="nothing is lost or doubled, no exception, the process lives",
        rounds=rounds,
        result={"lost": 0, "doubled": 0, "accepted": written},
    )


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EINTR"])
@pytest.mark.parametrize(("what", "nth"), [("the spool", 1), ("the state of the log", 2)], ids=["spool", "state"])
def test_a_reservation_that_fails_at_the_start_costs_nothing_at_an_ordinary_end(
    tmp_path: Path, what: str, nth: int, error: str
) -> None:
    program = 'log = open_log(sys.argv[1], block_timeout=None)\nfor n in range(500):\n    log.info("record %d", n)\n'
    rounds = 5 if LONG else 1
    for number in range(rounds):
        path, trace = tmp_path / f"logs-{number}" / "a.jsonl", tmp_path / f"trace-{number}"
        inject = ("strace", "-f", "-o", str(trace), "-e", "trace=fallocate")
        inject += ("-e", f"inject=fallocate:error={error}:when={nth}")
        run(tmp_path, program, path, prefix=inject)
        assert trace.read_text().count("INJECTED") == 1
        run(tmp_path, "open_log(sys.argv[1], backupCount=0)", path)
        found = records(path.parent, path.name)
        assert [r["event"] for r in found if r["logger"] != "logspool"] == [f"record {n}" for n in range(500)]
        # Without its state the log could not be written, and says so; without a spool's file the records wait in memory.
        told = [(r["event"], r["fields"]["errno"]) for r in found if r["logger"] == "logspool"]
        waited = what == "the state of the log" and error != "EINTR"
        assert told == ([("log_trouble_ended", error)] if waited else [])
    row(
        fault=f"`fallocate` of {what} failing at the start (ENOSPC, EIO, EINTR)",
        promise="the process starts, logs, and all is there after an ordinary end",
        rounds=rounds,
        result="kept",
    )
