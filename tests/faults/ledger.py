"""The external ledger: what a writer's threads say they have handed over, kept in a page that outlives them.

A page shared with a file survives SIGKILL of the process that stored to it, so that the counters are exact: a thread stores
`returned` only after the logging call came back. At most one call a thread is between `attempted` and `returned`.
"""

from __future__ import annotations

import mmap
import os
from enum import IntEnum
from pathlib import Path

WORD = 8
LINE = 8  # words in a cache line: each thread has its own
SIZE = 4096
MAX_THREADS = SIZE // (WORD * LINE) - 1


class Phase(IntEnum):
    """How far a writer has come; stored in the first word."""

    STARTED = 0
    READY = 1
    OPENING = 2
    LOGGING = 3
    DONE = 4


class Ledger:
    """One page of 64-bit counters, one cache line a thread."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0)
        fd = os.open(path, flags, 0o600)
        try:
            if create:
                os.ftruncate(fd, SIZE)
            self._map = mmap.mmap(fd, SIZE, mmap.MAP_SHARED)
        finally:
            os.close(fd)
        # A cast view stores eight bytes at once; struct.pack_into("<Q") stores them one by one and a kill could tear it.
        self._words = memoryview(self._map).cast("Q")

    @property
    def phase(self) -> Phase:
        """The last phase that the writer reached."""
        return Phase(self._words[0])

    @phase.setter
    def phase(self, phase: Phase) -> None:
        self._words[0] = int(phase)

    def attempt(self, thread: int, count: int) -> None:
        """`thread` is about to make its call number `count - 1`."""
        self._words[(thread + 1) * LINE] = count

    def accept(self, thread: int, count: int) -> None:
        """The first `count` calls of `thread` have returned."""
        self._words[(thread + 1) * LINE + 1] = count

    def attempted(self, thread: int) -> int:
        """Calls that `thread` has begun."""
        return self._words[(thread + 1) * LINE]

    def returned(self, thread: int) -> int:
        """Calls that have come back in `thread`."""
        return self._words[(thread + 1) * LINE + 1]

    def close(self) -> None:
        """Unmap the page; the file stays."""
        self._words.release()
        self._map.close()
