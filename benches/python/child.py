"""Measures one route in a process of its own, and prints the figures as one line of JSON.

    python child.py '{"mode": "calls", "route": "null", "workload": "W2", "count": 20000, "directory": "/tmp/x"}'

Modes: `calls` times each of `count` calls made one after the other; `paced` the same at `rate` calls a second; `flat` takes the time and
the CPU of `count` calls by `threads` threads until all is on disk; `idle` the CPU of a process that has logged and now waits; `loop` how
late an asyncio event loop runs while a task logs; `kill` logs and kills itself with SIGKILL, and `count` then says what was kept.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import eventloop
import workloads
from peers import ALL_ROUTES
from routes import Rotation

CALLS = """
def loop(first, last, fields_of, samples):
    for i in range(first, last):
        fields = fields_of(i)
        start = clock()
        {call}
        samples.append(clock() - start)
"""
EXCEPTIONS = """
def loop(first, last, fields_of, samples):
    for i in range(first, last):
        fields = fields_of(i)
        try:
            level_2(i)
        except ValueError:
            start = clock()
            {call}
            samples.append(clock() - start)
"""
PACED = """
def loop(first, last, fields_of, samples, undisturbed, period):
    due = clock()
    for i in range(first, last):
        fields = fields_of(i)
        due += period
        wait = due - clock()
        if wait > 0:
            sleep(wait / 1e9)
        switches = switched()
        start = clock()
        {call}
        spent = clock() - start
        samples.append(spent)
        if switched() == switches:
            undisturbed.append(spent)
"""
FLAT = """
def loop(first, last, fields_of):
    for i in range(first, last):
        fields = fields_of(i)
        {call}
"""


def switched() -> int:
    """How often the scheduler has taken the processor from this thread."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def compiled(source: str, call: str, names: dict[str, Any]) -> Callable[..., None]:
    """The measuring loop with the route's expression written into it."""
    scope = {
        **names,
        "clock": time.perf_counter_ns,
        "sleep": time.sleep,
        "switched": switched,
        "level_2": workloads.level_2,
        "NAME": workloads.NAME,
    }
    exec(source.format(call=call), scope)  # the text comes from this directory
    loop: Callable[..., None] = scope["loop"]
    return loop


def clock_cost() -> int:
    """What two readings of the clock cost, in ns: part of every sample."""
    samples: list[int] = []
    for _ in range(2000):
        start = time.perf_counter_ns()
        samples.append(time.perf_counter_ns() - start)
    return int(statistics.median(samples))


def spread(samples: list[int], cost: int) -> dict[str, float]:
    """The percentiles of samples in ns, in µs, less the clock's own cost."""
    ordered = sorted(samples)

    def at(share: float) -> float:
        return (ordered[min(len(ordered) - 1, int(len(ordered) * share))] - cost) / 1000

    return {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "p99.9": at(0.999), "max": at(1.0)}


def memory(key: str) -> int:
    """A figure of /proc/self/status in bytes: VmRSS now, or VmHWM, the most there ever was."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(key + ":"))


def in_threads(loop: Callable[..., None], count: int, threads: int, fields_of: Callable[[int], Any]) -> None:
    """Shares `count` calls out among `threads` threads; one thread is this one."""
    if threads == 1:
        loop(0, count, fields_of)
        return
    share = count // threads
    running = [threading.Thread(target=loop, args=(n * share, (n + 1) * share, fields_of)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Runs one job and returns its figures; times are µs, sizes bytes."""
    directory, workload, count = Path(job["directory"]), job["workload"], job["count"]
    rotation = Rotation(job.get("max_bytes", 0), job.get("gzip", False))
    fields_of = workloads.FIELDS[workload]
    at_start = memory("VmRSS")
    kind = ALL_ROUTES[job["route"]]
    route = kind(directory, rotation, workload, count, job.get("settings", {}))
    if job["mode"] == "count":
        route.recover()
        return dict(workloads.check(workload, directory, count, kind.files))
    names, call = route.names(), route.calls[workload]
    cost = clock_cost()
    figures: dict[str, Any] = {}

    if job["mode"] == "calls":
        samples: list[int] = []
        loop = compiled(EXCEPTIONS if workload == "W3" else CALLS, call, names)
        warm = count // 20
        loop(0, warm, fields_of, [])
        loop(warm, count, fields_of, samples)
        figures = spread(samples, cost)
    elif job["mode"] == "paced":
        samples, undisturbed = [], []
        compiled(PACED, call, names)(0, count, fields_of, samples, undisturbed, int(1e9 / job["rate"]))
        figures = {**spread(samples, cost), "max_undisturbed": max(undisturbed, default=0) / 1000}
    elif job["mode"] == "flat":
        loop = compiled(FLAT, call, names)
        start, cpu = time.perf_counter(), time.process_time()
        in_threads(loop, count, job.get("threads", 1), fields_of)
        called = time.perf_counter()
        route.flush()
        flushed, cpu_flushed = time.perf_counter(), time.process_time()
        route.close()
        figures = {
            "wall": (flushed - start) / count * 1e6,
            "caller": (called - start) / count * 1e6,
            "cpu": (cpu_flushed - cpu) / count * 1e6,
            "cpu_all": (time.process_time() - cpu) / count * 1e6,
            "memory": memory("VmHWM") - at_start,
            "count": count,
        }
    elif job["mode"] == "idle":
        compiled(FLAT, call, names)(0, count, fields_of)
        route.flush()
        time.sleep(job["seconds"] / 4)  # what follows a burst is not idleness yet
        start, cpu = time.perf_counter(), time.process_time()
        time.sleep(job["seconds"])
        figures = {"idle": (time.process_time() - cpu) / (time.perf_counter() - start) * 100}
    elif job["mode"] == "kill":
        compiled(FLAT, call, names)(0, count, fields_of)
        os.kill(os.getpid(), signal.SIGKILL)
    elif job["mode"] == "loop":
        log = compiled(FLAT, call, names)
        if job.get("announce"):
            print("logging", flush=True)
        figures = eventloop.delays(lambda first, last: log(first, last, fields_of), count, job["rate"])
    else:
        raise ValueError(f"no mode {job['mode']!r}")

    if job["mode"] != "flat":
        route.flush()
        route.close()
    if kind.keeps:
        figures.update(workloads.check(workload, directory, count, kind.files))
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
