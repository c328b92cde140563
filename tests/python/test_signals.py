"""Signals and re-entrancy: a call that interrupts a call neither hangs nor tears, and what is dropped is counted."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.faults.program import end, read_line, run, running, start, tell
from tests.faults.reading import events
from tests.faults.stall import stalled

RECOVER = "open_log(sys.argv[1], backupCount=0)"


def log_path(tmp_path: Path) -> Path:
    """Where the programs log."""
    return tmp_path / "logs" / "a.jsonl"


def test_a_signal_handler_that_logs_interrupts_logging_without_harm(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    out = run(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=200_000, backupCount=0, block_timeout=None)
        ticks = 0
        def tick(number, frame):
            global ticks
            n = ticks  # a second signal may arrive inside the call: the number is taken before it
            ticks += 1
            log.info("tick %d", n)
        signal.signal(signal.SIGALRM, tick)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        n = 0
        while ticks < 500:
            log.info("main %d", n)
            n += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert logspool.flush()
        s = logspool.stats()
        say(n, ticks, s["emitted"], s["written"], s["dropped"])
        """,
        path,
    )
    n, ticks, emitted, written, dropped = map(int, out.split())
    assert emitted == n + ticks == written + dropped
    found = events(path.parent, path.name)
    for word, count in (("main", n), ("tick", ticks)):
        numbers = [int(e.split()[1]) for e in found if e.startswith(word)]
        assert numbers == sorted(set(numbers))
        assert len(numbers) >= count - dropped


def test_the_default_action_of_sigterm_still_ends_the_process_and_nothing_is_lost(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    with running(
        tmp_path,
        """
        log = open_log(sys.argv[1], block_timeout=None)
        for n in range(1000):
            log.info("record %d", n)
        say("logged")
        while True:
            log.info("on %d", n)
            time.sleep(0.001)
        """,
        path,
    ) as process:
        assert read_line(process) == "logged"
        process.terminate()
        end(process)
        assert process.returncode == -signal.SIGTERM
    run(tmp_path, RECOVER, path)
    assert events(path.parent, path.name)[:1000] == [f"record {n}" for n in range(1000)]


CALLS = {
    "info": "log.info('record %d %s', n, 'x' * 1000)",
    "log_cost": "logspool.log_cost('fast', 'model', cost=0.5, note='x' * 1000, number=n)",
    "flush": "logspool.flush()",
}

WAITING = """
path = Path(sys.argv[1])
logspool.basicConfig(filename=str(path), level="INFO", block_timeout=None, spool_bytes=256 * 1024, console=False)
log = logging.getLogger("waiting")
log.info("start")
logspool.log_cost("fast", "model", cost=0.5, number=-1)
assert logspool.flush()
say("ready")
sys.stdin.readline()

n = 0
attempted = 0
def call():
    global n, attempted
    attempted += 1
    CALL
    n += 1
def stuck():
    return attempted == n + 1 and stands_still(lambda: n)
log.info("one in flight")
"""


@pytest.mark.parametrize("what", CALLS)
def test_ctrl_c_ends_a_wait_for_a_stalled_sink(tmp_path: Path, what: str) -> None:
    path = log_path(tmp_path)
    program = (
        WAITING.replace("CALL", CALLS[what])
        + """
def watch():
    wait_until(stuck, "the call waits")
    say("stuck")
threading.Thread(target=watch).start()
try:
    while True:
        call()
except KeyboardInterrupt:
    say("interrupted", n)
sys.stdin.readline()
log.info("after")
"""
    )
    process = start(tmp_path, program, path)
    assert read_line(process) == "ready"
    with stalled(path.parent, path.name), stalled(path.parent, "openrouter-costs.jsonl"):
        tell(process, "go")
        assert read_line(process) == "stuck"
        process.send_signal(signal.SIGINT)
        word, returned = read_line(process).split()
        assert word == "interrupted"
    tell(process, "on")
    _, err = end(process)
    assert process.returncode == 0, err
    found = events(path.parent, path.name)
    assert found[:2] == ["start", "one in flight"]
    assert found[-1] == "after"
    if what == "info":
        kept = [e for e in found if e.startswith("record ")]
        assert int(returned) > 10
        assert len(kept) - int(returned) in (0, 1)
        assert [int(e.split()[1]) for e in kept] == list(range(len(kept)))


@pytest.mark.parametrize("what", CALLS)
def test_other_threads_run_while_one_waits_for_a_stalled_sink(tmp_path: Path, what: str) -> None:
    """That they keep nine tenths of their speed is measured in benches/; here: that they run at all, and the wait goes on."""
    path = log_path(tmp_path)
    program = (
        WAITING.replace("CALL", CALLS[what])
        + """
def work():
    while go_on:
        call()
go_on = True
thread = threading.Thread(target=work)
thread.start()
wait_until(stuck, "the call waits")
before = n
turns = 0
for _ in range(200_000):
    turns += 1
assert n == before and turns == 200_000
say("ran")
sys.stdin.readline()
wait_until(lambda: n > before, "the call returns")
go_on = False
thread.join()
"""
    )
    process = start(tmp_path, program, path)
    assert read_line(process) == "ready"
    with stalled(path.parent, path.name), stalled(path.parent, "openrouter-costs.jsonl"):
        tell(process, "go")
        assert read_line(process) == "ran"
    tell(process, "on")
    _, err = end(process)
    assert process.returncode == 0, err


def test_a_value_that_logs_while_it_is_encoded_is_logged_first(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        class Loud:
            def __str__(self):
                log.info("inside")
                return "loud"
            __repr__ = __str__
        log.info("outer %s", Loud())
        log.info("extra", extra={"value": Loud()})
        """,
        path,
    )
    found = events(path.parent, path.name)
    assert found == ["inside", "outer loud", "inside", "extra"]


def test_a_value_that_logs_itself_ends_at_a_depth_and_loses_no_other(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1])
        class Endless:
            def __str__(self):
                log.info("nested", extra={"value": self})
                return "endless"
            __repr__ = __str__
        log.info("outer", extra={"value": Endless()})
        log.info("after")
        assert logspool.flush()
        s = logspool.stats()
        assert s["emitted"] == s["written"] + s["dropped"], s
        """,
        path,
    )
    found = events(path.parent, path.name)
    assert "outer" in found
    assert found[-1] == "after"
    assert found.count("nested") >= 1


def test_objects_that_log_when_they_die_inside_a_call_do_no_harm(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    out = run(
        tmp_path,
        """
        import gc
        log = open_log(sys.argv[1], block_timeout=None)
        gc.set_threshold(5)
        deaths = 0
        class Mortal:
            def __init__(self):
                self.me = self
            def __del__(self):
                global deaths
                log.info("death %d", deaths)
                deaths += 1
        for n in range(2000):
            Mortal()
            log.info("record %d", n, extra={"a": {"b": [n, str(n)]}})
        gc.collect()
        assert logspool.flush()
        say(deaths, logspool.stats()["dropped"])
        """,
        path,
    )
    deaths, dropped = map(int, out.split())
    assert deaths == 2000
    found = events(path.parent, path.name)
    numbers = [int(e.split()[1]) for e in found if e.startswith("record")]
    assert numbers == sorted(set(numbers))
    assert len(found) >= 4000 - dropped


def test_a_wait_goes_on_after_a_signal_whose_handler_returns(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    program = (
        WAITING.replace("CALL", CALLS["info"])
        + """
signals = []
signal.signal(signal.SIGUSR1, lambda *_: (signals.append(1), say("handled")))
def watch():
    wait_until(stuck, "the call waits")
    say("stuck")
threading.Thread(target=watch).start()
while not signals or n < limit:
    if not signals:
        limit = attempted + 10
    call()
say(n)
"""
    )
    process = start(tmp_path, program, path)
    assert read_line(process) == "ready"
    with stalled(path.parent, path.name):
        tell(process, "go")
        assert read_line(process) == "stuck"
        process.send_signal(signal.SIGUSR1)
        assert read_line(process) == "handled"
    returned = int(read_line(process))
    _, err = end(process)
    assert process.returncode == 0, err
    kept = [int(e.split()[1]) for e in events(path.parent, path.name) if e.startswith("record ")]
    assert kept == list(range(returned))
