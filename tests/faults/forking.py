"""What the tests of forks have in common."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable
from pathlib import Path

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
