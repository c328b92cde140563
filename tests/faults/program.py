"""Run a small program in its own process, with a deadline and a readable failure."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

DEADLINE = 60.0
_started: list[subprocess.Popen[str]] = []

# What every program has at hand.
PRELUDE = '''\
import logging, os, signal, sys, threading, time
from pathlib import Path

import logspool


def open_log(path, name=None, **settings):
    """A logger that writes to `path` alone."""
    logger = logging.getLogger(name or str(path))
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(logspool.SpoolHandler(str(path), **settings))
    return logger


def wait_until(condition, what, deadline=30.0):
    """Poll until it holds."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.005)


def stands_still(value, polls=40):
    """Whether `value()` stays the same for `polls` looks, 5 ms apart."""
    first = value()
    for _ in range(polls):
        time.sleep(0.005)
        if value() != first:
            return False
    return True


def say(*words):
    """A line on standard output, at once."""
    print(*words, flush=True)


'''


def _write(directory: Path, source: str) -> Path:
    """Store the program as a file (multiprocessing needs one) beside the logs, not among them."""
    number = len(list(directory.glob("program-*.py")))
    path = directory / f"program-{number}.py"
    path.write_text(PRELUDE + textwrap.dedent(source))
    return path


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """This process's environment without anything that would configure logging."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LOG_", "LOGSPOOL_", "OTEL_", "SERVICE_"))}
    return {**clean, **(extra or {})}


def start(
    directory: Path, source: str, *arguments: object, env: Mapping[str, str] | None = None, prefix: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """Start the program in a session of its own, its output in pipes."""
    path = _write(directory, source)
    command = [*prefix, sys.executable, "-X", "faulthandler", str(path), *map(str, arguments)]
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=_environment(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _started.append(process)
    return process


def end(process: subprocess.Popen[str], *, deadline: float = DEADLINE) -> tuple[str, str]:
    """Wait for the program; one that does not end is aborted (faulthandler says where it hangs) and the test fails."""
    try:
        return process.communicate(timeout=deadline)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        kill_session(process)
        out, err = process.communicate()
        raise AssertionError(f"the program hung for {deadline:g} s\n--- stdout\n{out}\n--- stderr\n{err}") from None


def run(
    directory: Path,
    source: str,
    *arguments: object,
    env: Mapping[str, str] | None = None,
    status: int = 0,
    prefix: tuple[str, ...] = (),
    deadline: float = DEADLINE,
) -> str:
    """Run the program to its end and return its standard output; the exit status must be `status` (negative: a signal)."""
    process = start(directory, source, *arguments, env=env, prefix=prefix)
    out, err = end(process, deadline=deadline)
    if process.returncode != status:
        raise AssertionError(f"exit status {process.returncode}, not {status}\n--- stdout\n{out}\n--- stderr\n{err}")
    return out


def end_all() -> None:
    """End every program that was started, and its children; a test's last act."""
    while _started:
        process = _started.pop()
        if process.returncode is None:
            kill_session(process)
            process.communicate()


def kill_session(process: subprocess.Popen[str]) -> None:
    """End the program and all its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def running(
    directory: Path, source: str, *arguments: object, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The program while it runs; it and its children are ended with the block."""
    process = start(directory, source, *arguments, env=env)
    try:
        yield process
    finally:
        kill_session(process)
        process.communicate()


def read_line(process: subprocess.Popen[str]) -> str:
    """The program's next line of standard output, without the newline; fails with its errors if it ended instead."""
    assert process.stdout is not None
    # One that says nothing for too long is aborted: its last words are where each of its threads stood.
    watchdog = threading.Timer(DEADLINE, process.send_signal, [signal.SIGABRT])
    watchdog.start()
    try:
        line = process.stdout.readline()
    finally:
        watchdog.cancel()
    if not line:
        _, err = end(process)
        raise AssertionError(f"the program ended with {process.returncode} instead of saying something\n{err}")
    return line.rstrip("\n")


def tell(process: subprocess.Popen[str], text: str) -> None:
    """Send the program a line on standard input."""
    assert process.stdin is not None
    process.stdin.write(text + "\n")
    process.stdin.flush()
