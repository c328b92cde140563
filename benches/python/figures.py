"""Measures groups of routes, interleaved, each run in a fresh process, and keeps what was measured.

Absolute figures drift by tens of per cent on a shared machine, so each repeat visits every route of its group, in rotating order, and what
is reported is the ratio to the floor of the same repeat. `LOGSPOOL_BENCH_QUICK=1` makes everything once and small: it shows that the
benchmarks run and that no route loses a line, and its times mean nothing.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from routes import ROUTES

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / ".benchmarks" / "figures.json"
QUICK = os.environ.get("LOGSPOOL_BENCH_QUICK", "") not in ("", "0")
FLOOR = "null"
Figures = dict[str, float]

MiB = 1 << 20
_ALL = ("build", "null", "write", "stdlib", "rotating", "option_a", "structlog", "logspool")
_PACED = {"mode": "paced", "workload": "W2", "count": 10_000, "rate": 2000, "max_bytes": MiB // 2, "gzip": True}
_FLAT = {"mode": "flat", "workload": "W2", "count": 500_000}

#: group → (what every child is told, the routes, repeats)
GROUPS: dict[str, tuple[dict[str, Any], tuple[str, ...], int]] = {
    "W1": ({"mode": "calls", "workload": "W1", "count": 21_000}, _ALL, 7),
    "W2": ({"mode": "calls", "workload": "W2", "count": 21_000}, (*_ALL, "dumps", "open"), 7),
    "W3": ({"mode": "calls", "workload": "W3", "count": 5_000}, tuple(r for r in _ALL if r != "write"), 7),
    "W4": ({"mode": "calls", "workload": "W4", "count": 21_000}, (*_ALL, "dumps", "open", "log_cost"), 7),
    "paced": (_PACED, ("null", "rotating", "option_a", "structlog", "logspool"), 12),
    "flat": (_FLAT, ("build", "null", "write", "structlog", "stdlib", "rotating", "option_a", "logspool"), 11),
    "flat-gzip": (
        {**_FLAT, "max_bytes": 10 * MiB, "gzip": True},
        ("build", "null", "rotating", "option_a", "logspool"),
        5,
    ),
    "flat-threads": ({**_FLAT, "threads": 4}, ("build", "null", "structlog", "stdlib", "option_a", "logspool"), 5),
    "idle": ({"mode": "idle", "workload": "W2", "count": 1_000, "seconds": 20}, ("null", "logspool"), 5),
    "startup": ({"mode": "startup"}, ("logspool",), 20),
}

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


def interleaved(routes: Iterable[str], repeats: int, run: Callable[[str], Figures]) -> dict[str, list[Figures]]:
    """Runs every route once a repeat, in an order that rotates, and returns route → figures of each repeat."""
    order = list(routes)
    measured: dict[str, list[Figures]] = {route: [] for route in order}
    for repeat in range(repeats):
        turn = repeat % len(order)
        for route in order[turn:] + order[:turn]:
            measured[route].append(run(route))
    return measured


def run_child(job: dict[str, Any]) -> Figures:
    """Runs one job in a fresh process and directory; its own switches are kept from reading this machine's settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LOG", "OTEL_", "JSON_LOGS"))}
    with tempfile.TemporaryDirectory(prefix="logspool-bench-") as directory:
        if job["mode"] == "startup":
            command = [sys.executable, "-I", "-c", STARTUP, directory]
        else:
            command = [sys.executable, str(HERE / "child.py"), json.dumps({**job, "directory": directory})]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"the child for {job} ended with {done.returncode}:\n{done.stderr}")
        figures: Figures = json.loads(done.stdout.splitlines()[-1])
        return figures


def smaller(job: dict[str, Any]) -> dict[str, Any]:
    """The same job, just big enough to rotate and to show a lost line."""
    small = {
        "calls": {"count": 500},
        "paced": {"count": 400, "max_bytes": 20_000},
        "flat": {"count": 4_000},
        "idle": {"seconds": 0.2},
    }
    shrunk = {**job, **small.get(job["mode"], {})}
    if shrunk.get("max_bytes"):
        shrunk["max_bytes"] = min(shrunk["max_bytes"], 200_000)
    return shrunk


class Session:
    """What one run has measured, each group when it is first asked for."""

    def __init__(self) -> None:
        self.groups: dict[str, dict[str, list[Figures]]] = {}
        self.loads: dict[str, list[float]] = {}

    def group(self, name: str) -> dict[str, list[Figures]]:
        """Route → figures of every repeat, in order: entry `n` of each list belongs to one turn of the interleaving."""
        if name not in self.groups:
            job, routes, repeats = GROUPS[name]
            if QUICK:
                job, repeats = smaller(job), 1
            before = os.getloadavg()[0]
            self.groups[name] = interleaved(routes, repeats, lambda route: run_child({**job, "route": route}))
            self.loads[name] = [before, os.getloadavg()[0]]
        return self.groups[name]

    def measured(self) -> dict[str, Any]:
        """Every group with the machine and the load average before and after: this benchmark alone makes 1 to 2."""
        return {
            name: {"machine": machine(), "load": self.loads[name], "routes": routes}
            for name, routes in self.groups.items()
        }

    def save(self) -> None:
        """Adds what was measured to the figures of earlier runs, group by group."""
        kept = load() if RESULTS.exists() else {}
        kept.update(self.measured())
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(kept, indent=1), encoding="utf-8")


def load() -> dict[str, Any]:
    """What earlier full runs left."""
    kept: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return kept


def machine() -> str:
    """The machine in the words that matter to a reader of ratios."""
    return f"{os.cpu_count()}-core {platform.system()} {platform.machine()}, Python {'.'.join(platform.python_version_tuple()[:2])}"


def median(samples: list[Figures], key: str) -> float:
    """The median of one figure over the repeats."""
    return statistics.median(sample[key] for sample in samples)


def ratio(route: list[Figures], floor: list[Figures], key: str, less: list[Figures] | None = None) -> float:
    """The median over the repeats of route ÷ floor, each pair from one turn; `less` is taken from both sides first."""
    build = [sample[key] for sample in less] if less else [0.0] * len(route)
    return statistics.median((r[key] - b) / max(f[key] - b, 1e-9) for r, f, b in zip(route, floor, build, strict=True))


def complete(route: str) -> bool:
    """Whether the route must keep every record."""
    return ROUTES[route].keeps
