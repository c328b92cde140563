"""What the process uses: its memory and its share of the processors, from the kernel."""

from __future__ import annotations

import os
import time

_MEBIBYTE = 1024 * 1024
#: Shorter intervals say more about the clock's grain than about the program.
_SHORTEST_SECONDS = 0.01

# When the processor time was last asked for, how much it was, and the percentage then.
_last: tuple[float, float, float] | None = None


def memory_mb() -> float:
    """MiB of memory that the process holds now (resident); 0.0 where the kernel does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            pages = int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / _MEBIBYTE, 2)


def cpu_percent() -> float:
    """Processor time of all threads by wall time since the call before, else since the process started: 100.0 is one processor."""
    global _last
    wall, used = time.monotonic(), time.process_time()
    if _last is None or used < _last[1]:  # a forked child's time begins again
        percent = share(used, _age(wall))
    elif wall - _last[0] < _SHORTEST_SECONDS:
        return _last[2]
    else:
        percent = share(used - _last[1], wall - _last[0])
    _last = (wall, used, percent)
    return percent


def share(used: float, wall: float) -> float:
    """Percent."""
    return round(100.0 * used / wall, 1) if wall > 0 else 0.0


def _age(now: float) -> float:
    """Seconds since the process started."""
    try:
        with open("/proc/self/stat", "rb") as file:
            started = int(file.read().rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return max(time.clock_gettime(time.CLOCK_BOOTTIME) - started, 0.0)
    except (OSError, ValueError, IndexError):
        return now
