"""How fast another Python thread runs while one thread waits for a stalled sink in `info`, `log_cost` or `flush`.

    python benches/python/waiting.py            the goal: at least 0.90 of the speed it has beside a thread in Event.wait()

The sink is stalled for real, by holding the lock of the log's state file. Each figure is taken between two floors in the same process,
and the median of the ratios is printed. Exit status 1 if one of them is below the goal.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import logging
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import logspool

GOAL = 0.90
COST_LOG = "openrouter-costs.jsonl"


@contextlib.contextmanager
def stalled(directory: Path, *names: str) -> Iterator[None]:
    """Hold the locks of the logs, so that the writer cannot drain."""
    with contextlib.ExitStack() as stack:
        for name in names:
            file = stack.enter_context((directory / ".logspool" / f"{name}.state").open())
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def turns_per_second(seconds: float) -> float:
    """The speed of a thread that does nothing but run Python."""
    turns = 0
    begin = time.perf_counter()
    while True:
        for _ in range(20_000):
            turns += 1
        elapsed = time.perf_counter() - begin
        if elapsed >= seconds:
            return turns / elapsed


class Caller(threading.Thread):
    """Makes one call after another until told to stop."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.call = call
        self.returned = 0
        self.stop = False
        self.start()

    def run(self) -> None:
        """Count the calls that come back."""
        while not self.stop:
            self.call()
            self.returned += 1

    def wait_until_stuck(self) -> None:
        """Until no call has returned for a tenth of a second."""
        before = -1
        while before != self.returned:
            before = self.returned
            time.sleep(0.1)


def beside_an_event(seconds: float) -> float:
    """The floor: the other thread waits in the interpreter's own way."""
    event = threading.Event()
    waiter = threading.Thread(target=event.wait)
    waiter.start()
    try:
        return turns_per_second(seconds)
    finally:
        event.set()
        waiter.join()


def beside(call: Callable[[], object], directory: Path, name: str, seconds: float) -> tuple[float, float]:
    """(speed beside a thread that waits in `call`, mean of the floors before and after)."""
    before = beside_an_event(seconds)
    with stalled(directory, name, COST_LOG):
        logging.getLogger("waiting").info("one in flight")
        caller = Caller(call)
        caller.wait_until_stuck()
        stood_at = caller.returned
        speed = turns_per_second(seconds)
        if caller.returned != stood_at:
            raise SystemExit("the call came back while the sink was stalled")
        caller.stop = True
    caller.join()
    logspool.flush()
    return speed, (before + beside_an_event(seconds)) / 2


def main() -> int:
    """Print one line for each call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.25, help="length of one measurement (default 0.25)")
    options = parser.parse_args()
    log = logging.getLogger("waiting")
    calls: dict[str, Callable[[], object]] = {
        "info": lambda: log.info("x" * 1000),
        "log_cost": lambda: logspool.log_cost("fast", "model", cost=0.1, note="x" * 1000),
        "flush": logspool.flush,
    }
    status = 0
    with tempfile.TemporaryDirectory(prefix="logspool-bench-") as place:
        path = Path(place) / "waiting.jsonl"
        logspool.basicConfig(filename=str(path), block_timeout=None, spool_bytes=256 * 1024, console=False)
        log.info("start")
        logspool.log_cost("fast", "model", cost=0.1)
        logspool.flush()
        ratios: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(options.repeats):
            for name, call in calls.items():
                speed, floor = beside(call, path.parent, path.name, options.seconds)
                ratios[name].append(speed / floor)
        for name, found in ratios.items():
            median = statistics.median(found)
            print(f"{name:10} {median:.3f} of the floor (goal {GOAL:.2f}; {min(found):.3f} to {max(found):.3f})")
            status |= median < GOAL
        logspool.shutdown()
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
