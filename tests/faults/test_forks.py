"""Forks under load, by whatever means: no hang, nothing lost or doubled, and the spools they leave stay few and small.

The short form runs by default; `LOGSPOOL_FAULTS=long` (`make faults`) forks 10,000 times, and also with every other Python
that is installed here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.disks import small_disk
from tests.faults.failpoints import MISSING, failpoint_environment, failpoints_built
from tests.faults.program import end, read_line, run, start, tell
from tests.faults.reading import events, records
from tests.faults.reliability import LONG, row
from tests.faults.stall import stalled

import logspool

RECOVER = "open_log(sys.argv[1], backupCount=0)"
QUIET = {"PYTHONWARNINGS": "ignore::DeprecationWarning"}  # 3.12 warns of any fork with threads
# `fork` as C code calls it: Python and its hooks know nothing of it.
C_FORK = """
import ctypes
c_fork = ctypes.PyDLL(None).fork
"""


def log_path(tmp_path: Path) -> Path:
    """Where the programs log."""
    return tmp_path / "logs" / "a.jsonl"


def orphans(path: Path) -> list[Path]:
    """Those of them whose owner is dead."""
    found = []
    for ring in rings(path):
        with ring.open("rb") as file, contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found.append(ring)
    return found


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Poll until it holds; fail at the deadline."""
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def rings(path: Path) -> list[Path]:
    """The ring files that stand beside a log."""
    return list((path.parent / ".logspool").glob("*.ring"))


STORM = """
import itertools
log = open_log(sys.argv[1], maxBytes=1_000_000, backupCount=0, gzip=False, block_timeout=None)
own = Path(sys.argv[1]).parent / ".logspool"
done = threading.Event()
counts = [0] * 8
def work(t):
    while not done.is_set():
        log.info("thread %d %d", t, counts[t])
        counts[t] += 1
        if counts[t] % 50 == 0:
            done.wait(0.01)
threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
for thread in threads:
    thread.start()
forks, living, most, space = int(sys.argv[2]), [], 0, 0
def reap():
    child, status = os.wait()
    living.remove(child)
    assert status == 0, status
for c in range(forks):
    child = os.fork()
    if not child:
        signal.alarm(50)  # a hang is an exit status
        if c % 4:
            log.info("child %d", c)
        os._exit(0)
    living.append(child)
    if len(living) == 4:
        reap()
    if c % 10 == 0:
        sizes = []
        for ring in own.glob("*.ring"):
            try:
                sizes.append(ring.stat().st_blocks * 512)
            except FileNotFoundError:
                pass
        most, space = max(most, len(sizes)), max(space, sum(sizes))
while living:
    reap()
done.set()
for thread in threads:
    thread.join()
# Where it goes on, it adopts what they left.
wait_until(lambda: logspool.stats() and len(list(own.glob("*.ring"))) <= 17, "few rings stand after the storm")
say(most, space)
say(*counts)
"""


def test_a_storm_of_forks_while_threads_log_loses_nothing_and_leaves_few_small_rings(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    forks = int(os.environ.get("LOGSPOOL_FORKS", "10000" if LONG else "200"))
    out = run(tmp_path, STORM, path, forks, env=QUIET, deadline=60 + forks / 10)
    seen, counted = out.splitlines()
    most, space = map(int, seen.split())
    # 16 orphans may stand when a ring is made; four children at a time make one; the parent has its own.
    assert most <= 16 + 4 + 1, most
    assert space <= (8 << 20) + 20 * (512 << 10) + (1 << 20), space
    run(tmp_path, RECOVER, path)
    expected = Counter(f"thread {t} {n}" for t, count in enumerate(map(int, counted.split())) for n in range(count))
    expected.update(f"child {c}" for c in range(forks) if c % 4)
    found = Counter(events(path.parent, path.name))
    row(
        fault="forks while 8 threads log, the children leave by `os._exit`",
        promise="no fork hangs, nothing lost or doubled, at most 16 orphans when a ring is made",
        rounds=forks,
        result={"lost": (expected - found).total(), "doubled": (found - expected).total()},
    )
    assert found == expected, (expected - found, found - expected)
    assert not rings(path)


def test_with_their_log_held_children_wait_a_bounded_time_and_say_so(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(tmp_path, RECOVER, path)
    program = """
    log = open_log(sys.argv[1])
    for c in range(18):
        child = os.fork()
        if not child:
            signal.alarm(50)
            log.info("child %d", c)
            if c == 17:
                logspool.shutdown(0)  # what it has to say is shown
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    os._exit(0)
    """
    with stalled(path.parent, path.name):
        process = start(tmp_path, program, path, env=QUIET)
        _, err = end(process)
        assert process.returncode == 0, err
        assert len(rings(path)) == 19
    assert "17 spools of dead processes stand" in err
    run(tmp_path, RECOVER, path)
    assert Counter(events(path.parent, path.name)) == Counter(f"child {c}" for c in range(18))
    assert not rings(path)


def test_children_that_wait_for_their_log_go_on_when_it_is_let_go(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(tmp_path, RECOVER, path)
    program = """
    log = open_log(sys.argv[1])
    for c in range(18):
        if c == 17:
            say("forking the last")
        child = os.fork()
        if not child:
            signal.alarm(50)
            log.info("child %d", c)
            if c == 17:
                logspool.flush()  # what it has to say is shown
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    say(len(list(Path(sys.argv[1]).parent.glob(".logspool/*.ring"))))
    os._exit(0)
    """
    with stalled(path.parent, path.name):
        process = start(tmp_path, program, path, env=QUIET)
        assert read_line(process) == "forking the last"
    standing = int(read_line(process))
    _, err = end(process)
    # Down to 16 it may go on: another process may hold the log just then. Beside them stand the parent's ring and its own.
    assert standing <= 18 and "spools of dead processes stand" not in err, (standing, err)
    run(tmp_path, RECOVER, path)
    assert Counter(events(path.parent, path.name)) == Counter(f"child {c}" for c in range(18))


# -- rings that begin small ------------------------------------------------------------------------------------------------


GROWING = """
log = open_log(sys.argv[1], spool_bytes=2 << 20, spool_dir=sys.argv[2], when_full="drop_newest", max_record="1MB",
               max_field="1MB", backupCount=0)
log.info("parent")
child = os.fork()
if not child:
    log.info("first")
    for n in range(int(sys.argv[3])):
        log.info("record %d %s", n, "x" * 300)
    stats = logspool.stats()
    say(stats["in_flight"], stats["dropped"], stats["spools"][0]["durable"])
    sys.stdin.readline()
    assert logspool.flush(30)
    stats = logspool.stats()
    assert stats["emitted"] == stats["written"] + stats["dropped"] + stats["in_flight"], stats
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0, "a child whose disk is full gets no SIGBUS"
"""


@pytest.mark.parametrize(("size", "least", "most"), [("16m", 2500, 3500), ("2700k", 300, 450)])
def test_a_childs_ring_grows_as_far_as_the_disk_allows(tmp_path: Path, size: str, least: int, most: int) -> None:
    path = log_path(tmp_path)
    run(tmp_path, RECOVER, path)
    with small_disk(size) as disk:
        with stalled(path.parent, path.name):
            process = start(tmp_path, GROWING, path, disk, 10_000, env=QUIET)
            in_flight, dropped, durable = read_line(process).split()
            (place,) = (disk / "logspool").iterdir()
            space = [ring.stat().st_blocks * 512 for ring in place.glob("*.ring")]
        tell(process, "go")
        _, err = end(process)
        assert process.returncode == 0, err
        assert durable == "True"
        assert least < int(in_flight) < most, (in_flight, dropped)
        assert int(in_flight) + int(dropped) == 10_001
        if size == "2700k":
            assert min(space) < 512 << 10, space
            assert "cannot grow beyond 256 KiB" in err
        found = [e.split(" x")[0] for e in events(path.parent, path.name)]
        kept = [e for e in found if e.startswith("record ")]
        assert kept == [f"record {n}" for n in range(int(in_flight) - 1)]


# -- forks Python knows nothing of -----------------------------------------------------------------------------------------


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


FORKING_HANDLER = """
log = open_log(sys.argv[1], spool_bytes=65536, block_timeout=None)
parent = os.getpid()
children = []
def handler(number, frame):
    child = os.fork()
    if child:
        children.append(child)
    else:
        signal.alarm(50)
        log.info("from the handler")
signal.signal(signal.SIGUSR1, handler)
def poke():
    wait_until(lambda: logspool.stats()["waits"] == 1, "the main thread waits for room")
    say("full")
    os.kill(parent, signal.SIGUSR1)
    assert sys.stdin.readline() == "go\\n"
poker = threading.Thread(target=poke)
poker.start()
for n in range(1000):
    log.info("record %d", n)
    if os.getpid() != parent:
        log.info("child after record %d", n)
        os._exit(0)
assert os.waitpid(children[0], 0)[1] == 0
poker.join()
"""


def test_a_signal_handler_may_fork_while_its_thread_waits_for_room(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(tmp_path, RECOVER, path)
    with stalled(path.parent, path.name):
        process = start(tmp_path, FORKING_HANDLER, path, env=QUIET)
        assert read_line(process) == "full"
        eventually(lambda: len(rings(path)) == 2 or process.poll() is not None, "the child has a ring")
        eventually(lambda: len(orphans(path)) == 1 or process.poll() is not None, "the child has ended")
    tell(process, "go")
    _, err = end(process)
    assert process.returncode == 0, err
    run(tmp_path, RECOVER, path)
    found = events(path.parent, path.name)
    (last,) = (event for event in found if event.startswith("child after "))
    by_both = last.removeprefix("child after ")
    expected = Counter(f"record {n}" for n in range(1000)) + Counter([by_both, "from the handler", last])
    assert Counter(found) == expected


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


# -- a pre-fork server -----------------------------------------------------------------------------------------------------


APP = """
import logging, os
import logspool

logspool.basicConfig(filename=os.environ["APP_LOG"], console=False, backupCount=0, maxBytes=20_000)
log = logging.getLogger("app")
log.info("loaded")

def app(environ, start_response):
    log.info("request %s", environ["PATH_INFO"][1:])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(str(os.getpid()))))])
    return [str(os.getpid()).encode()]
"""
CLIENT = """
import http.client, socket
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(sys.argv[1])
def get(n):
    for attempt in range(600):
        connection = Connection("localhost")
        try:
            connection.request("GET", f"/{n}.{attempt}")
            worker = int(connection.getresponse().read())
            say(f"{n}.{attempt}")
            return worker
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)  # no server yet, or its worker was killed with the connection waiting
        finally:
            connection.close()
    raise SystemExit("no answer")
for n in range(int(sys.argv[2])):
    worker = get(n)
    if n % 5 == 4:
        os.kill(worker, signal.SIGKILL)
"""


def test_gunicorn_workers_log_are_killed_and_replaced_and_no_request_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    path = log_path(tmp_path)
    (tmp_path / "app.py").write_text(APP)
    socket = tmp_path / "socket"
    master = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--bind", f"unix:{socket}", "app:app"],
        cwd=tmp_path,
        env={**os.environ, **QUIET, "APP_LOG": str(path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        answered = run(tmp_path, CLIENT, socket, 200 if LONG else 40).split()
        master.terminate()
        _, err = master.communicate(timeout=60)
    finally:
        master.kill()
    assert master.returncode == 0, err
    assert "logspool" not in err
    run(tmp_path, RECOVER, path)
    found = Counter(e for e in events(path.parent, path.name) if e.startswith("request "))
    assert set(found.values()) == {1}
    assert {f"request {n}" for n in answered} <= set(found)
    row(
        fault="a pre-fork server's workers are killed and replaced",
        promise="the record of every request that was answered is there once",
        rounds=len(answered),
        result={"lost": 0, "doubled": 0},
    )
    assert events(path.parent, path.name).count("loaded") == 1
    assert len({record["pid"] for record in records(path.parent, path.name)}) > 4
    assert not rings(path)


# -- what CPython says of forks --------------------------------------------------------------------------------------------


WARNINGS = """
import logging, os, sys, threading, warnings

warnings.simplefilter("always")
path, handler, busy = sys.argv[1:]
if handler == "logspool":
    import logspool
    log_handler = logspool.SpoolHandler(path)  # no rotation: a busy machine keeps a compressing thread for long
else:
    log_handler = logging.FileHandler(path)
log = logging.getLogger("a")
log.propagate = False
log.setLevel(logging.INFO)
log.addHandler(log_handler)
done = threading.Event()
threads = [threading.Thread(target=done.wait) for _ in range(int(busy))]
for thread in threads:
    thread.start()
with warnings.catch_warnings(record=True) as caught:
    for n in range(50):
        for _ in range(20):
            log.info("parent %d", n)
        child = os.fork()
        if not child:
            log.info("child")
            os._exit(0)
        os.waitpid(child, 0)
done.set()
print(len(caught))
"""


def pythons() -> list[str]:
    """Other Pythons that are installed here, new enough to warn of forks with threads."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for minor in range(12, 16):
        for candidate in [f"python3.{minor}", *map(str, sorted(versions.glob(f"3.{minor}.*/bin/python")))]:
            try:
                asked = subprocess.run(
                    [candidate, "-c", "import sys; print(sys.version_info[1])"],
                    capture_output=True,
                    text=True,
                    check=False,
                )
            except OSError:
                continue
            if asked.returncode == 0 and int(asked.stdout) == minor:
                found[minor] = candidate
    return [found[minor] for minor in sorted(found)]


def fork_warnings(python: str, directory: Path, handler: str, busy: int) -> int:
    """How often a program that forks 50 times is warned."""
    packages = directory / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    if not (packages / "logspool").exists():
        (packages / "logspool").symlink_to(Path(logspool.__file__).parent)
    program = directory / "warnings_.py"
    program.write_text(WARNINGS)
    done = subprocess.run(
        [python, str(program), str(directory / f"{handler}-{busy}.log"), handler, str(busy)],
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("busy", [0, 2])
def test_a_fork_is_warned_of_no_more_than_without_us(tmp_path: Path, busy: int) -> None:
    found = [sys.executable] if sys.version_info >= (3, 12) else []
    if LONG:
        found += pythons()
    if not found:
        pytest.skip("no Python that warns of forks with threads: 3.12 or newer, in `make faults` any that is installed")
    for n, python in enumerate(found):
        place = tmp_path / str(n)
        assert fork_warnings(python, place, "logspool", busy) == fork_warnings(python, place, "file", busy), python


# -- privileges ------------------------------------------------------------------------------------------------------------


PRIVILEGES = """
import stat
open_log(sys.argv[1], maxBytes=4000, backupCount=0)
log = logging.getLogger(sys.argv[1])
log.info("before")
assert logspool.flush()
child = os.fork() if sys.argv[2] == "forked" else 0
if child:
    assert os.waitpid(child, 0)[1] == 0
    log.info("parent")
    sys.exit(0)
os.setgid(65534)
os.setuid(65534)
for n in range(100):
    log.info("record %d", n)
logspool.flush(30)
stats = logspool.stats()
say(stats["emitted"], stats["written"], stats["dropped"])
logspool.shutdown(1)
os._exit(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its rights")
@pytest.mark.parametrize("who", ["same", "forked"])
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777])
def test_a_process_that_gives_up_its_rights_keeps_logging_or_says_why_not(who: str, mode: int) -> None:
    with tempfile.TemporaryDirectory(prefix="logspool-rights-") as place:
        os.chmod(place, 0o755)
        path = Path(place) / "logs" / "a.jsonl"
        path.parent.mkdir()
        path.parent.chmod(mode)
        process = start(Path(place), PRIVILEGES, path, who)
        out, err = end(process)
        assert process.returncode == 0, err
        emitted, written, dropped = map(int, out.split())
        assert "Traceback" not in err, err
        found = [event for event in events(path.parent, path.name) if event.startswith("record ")]
        if who == "forked" and mode != 0o777:
            # It has no descriptor to write to: a child opens its own.
            assert (emitted, written, dropped, found) == (100, 0, 100, [])
            assert "Permission denied" in err
            assert "are dropped, and counted in stats()" in err
            assert "change of user" in err
        else:
            assert dropped == 0
            assert emitted == written
            assert found == [f"record {n}" for n in range(100)]
        if who == "same" and mode != 0o777:
            assert "Permission denied" in err
