"""A log with the spool of a process that died before it wrote its records."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.faults.interference import RING_DATA, RING_SALT
from tests.faults.program import end, start

DEAD = [f"dead {n}" for n in range(100)]
EARLIER = [f"earlier {n}" for n in range(50)]
SMALL = 64 << 10


def frames(ring: Path) -> list[tuple[int, int]]:
    """Where the frames of a ring in its first lap stand in the file, and how long their payloads are."""
    data = ring.read_bytes()
    (salt,) = struct.unpack_from("<Q", data, RING_SALT)
    found, at = [], 0
    while RING_DATA + at + 24 <= len(data):
        commit, _, length = struct.unpack_from("<QII", data, RING_DATA + at)
        if commit ^ salt != at:
            break
        found.append((RING_DATA + at, length))
        at += (24 + length + 15) // 16 * 16
    return found


def tree(directory: Path) -> set[str]:
    """All names below a directory."""
    return {str(p.relative_to(directory)) for p in directory.rglob("*")}


def recover(scratch: Path, path: Path) -> str:
    """Start a process, log one record, end; what it said on standard error."""
    process = start(scratch, "open_log(sys.argv[1], backupCount=0).info('next')\nassert logspool.flush(30)", path)
    _, err = end(process)
    assert process.returncode == 0, err
    return err
