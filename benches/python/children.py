"""Runs a measuring process: a fresh one for each figure, in an empty directory, in the interpreter that LOGSPOOL_BENCH_PYTHON names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import frozen

HERE = Path(__file__).resolve().parent
PYTHON = os.environ.get("LOGSPOOL_BENCH_PYTHON") or sys.executable
PLACE = os.environ.get("LOGSPOOL_BENCH_DIR") or None
TIMEOUT = 120  # seconds; some peers hang

STARTUP = """
import logging, sys, time
at = time.perf_counter
start = at()
import logspool
imported = at()
logspool.basicConfig(filename=sys.argv[1] + "/logs/app.jsonl", service="bench")
configured = at()
logging.getLogger("bench").info("started")
assert logspool.flush()
print('{"import": %.4f, "basicConfig": %.4f}' % ((imported - start) * 1e3, (configured - imported) * 1e3))
"""
DESCRIBE = """
import hashlib, importlib.metadata, json, platform, sys
import logspool._core
def version(name):
    try: return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError: return None
print(json.dumps({
    "version": ".".join(platform.python_version_tuple()[:2]),
    "logspool": hashlib.sha256(open(logspool._core.__file__, "rb").read()).hexdigest()[:16],
    "packages": {name: version(name) for name in sys.argv[1:]},
}))
"""


class ChildFailed(RuntimeError):
    """The process crashed, raised or did not end."""


def environment() -> dict[str, str]:
    """This machine's settings for logging programs are kept away from the measured ones; and pytest's: logxide acts on them."""
    other = ("LOG", "OTEL_", "JSON_LOGS", "PYTHON", "PYTEST")
    return {k: v for k, v in os.environ.items() if not k.startswith(other)}


def output(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end. Raises ChildFailed when it does not end."""
    try:
        return subprocess.run(
            [PYTHON, *command],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=TIMEOUT,
            check=False,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise ChildFailed(f"did not end within {TIMEOUT} s") from None


def figures(command: list[str]) -> dict[str, Any]:
    """The last line that a process prints, which is JSON."""
    done = output(command)
    if done.returncode != 0:
        how = f"killed by signal {-done.returncode}" if done.returncode < 0 else f"ended with {done.returncode}"
        raise ChildFailed(f"{how}: {' '.join(command)[-200:]}\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def beside_a_frozen_disk(job: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Runs a job whose logs are on a file system that is frozen while it logs."""
    with frozen.mounted(directory) as disk:
        placed = {**job, "mode": "loop", "directory": str(disk), "announce": True}
        command = [PYTHON, str(HERE / "child.py"), json.dumps(placed)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
        timeout = threading.Timer(TIMEOUT, process.kill)
        timeout.start()
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() == "logging":
                time.sleep(job["before"])
                frozen.freeze(disk, job["frozen"])
            out, errors = process.communicate()
        finally:
            timeout.cancel()
            process.kill()
            process.wait()
        if process.returncode != 0:
            raise ChildFailed(f"ended with {process.returncode}: {job}\n{errors[-2000:]}")
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Runs one job in a fresh process and directory and returns its figures. Raises ChildFailed."""
    with tempfile.TemporaryDirectory(prefix="logspool-bench-", dir=PLACE, ignore_cleanup_errors=True) as directory:
        child = [str(HERE / "child.py")]
        placed = {**job, "directory": directory}
        if job["mode"] == "startup":
            return figures(["-I", "-c", STARTUP, directory])
        if job["mode"] == "recovery":
            return figures([str(HERE / "recovery.py"), directory])
        if job["mode"] == "frozen":
            return beside_a_frozen_disk(job, Path(directory))
        if job["mode"] == "kill":
            ended = output([*child, json.dumps(placed)])
            if ended.returncode != -9:
                raise ChildFailed(f"ended with {ended.returncode} before it was killed:\n{ended.stderr[-2000:]}")
            return figures([*child, json.dumps({**placed, "mode": "count"})])
        return figures([*child, json.dumps(placed)])


def describe() -> dict[str, Any]:
    """The measuring interpreter: its version, what build of logspool it has, and which packages in which versions."""
    from peers import ALL_ROUTES

    names = sorted({route.package for route in ALL_ROUTES.values()} - {""})
    try:
        return figures(["-c", DESCRIBE, *names])
    except ChildFailed as failed:
        raise SystemExit(
            f"{PYTHON} cannot measure: it needs logspool and benches/peers/requirements.txt.\n{failed}"
        ) from None
