"""How late an event loop runs its timers while one of its tasks logs.

A timer is due every `PERIOD`; its lateness is the loop's own clock when it runs, less the time it was due. The task beside it logs in
bursts of a millisecond's records, as a busy server does, and sleeps between them. The loop waits with `select`, whose timeouts are exact to
the microsecond: epoll's are rounded up to whole milliseconds, which would hide what logging adds.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any

PERIOD = 0.002
BURSTS_A_SECOND = 1000


def delays(log: Callable[[int, int], None], count: int, rate: int) -> dict[str, Any]:
    """Logs records 0 … count-1 at `rate` a second; returns the percentiles of the timer's lateness in µs."""
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    try:
        found = loop.run_until_complete(_measure(log, count, rate))
    finally:
        loop.close()
    ordered = sorted(found)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e6

    return {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "p99.9": at(0.999), "max": at(1.0), "ticks": len(found)}


async def _measure(log: Callable[[int, int], None], count: int, rate: int) -> list[float]:
    loop = asyncio.get_running_loop()
    late: list[float] = []
    running = True
    due = loop.time() + PERIOD

    def tick() -> None:
        nonlocal due
        now = loop.time()
        late.append(now - due)
        due += PERIOD
        while due < now:  # a stall is one late tick, not a row of them
            due += PERIOD
        if running:
            loop.call_at(due, tick)

    loop.call_at(due, tick)
    burst = max(1, rate // BURSTS_A_SECOND)
    start = time.perf_counter()
    for first in range(0, count, burst):
        log(first, min(first + burst, count))
        wait = start + (first + burst) / rate - time.perf_counter()
        await asyncio.sleep(max(wait, 0))
    running = False
    await asyncio.sleep(2 * PERIOD)
    return late
