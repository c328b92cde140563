"""Stall a log's writer for real: whoever holds the lock of a log's state file keeps every writer from draining into it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def stalled(directory: Path, name: str) -> Iterator[None]:
    """Hold the lock of the log `name` in `directory`; the log must have been opened once."""
    fd = os.open(directory / ".logspool" / f"{name}.state", os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
