"""Measures groups of routes, interleaved, each run in a fresh process, and keeps what was measured.

Absolute figures drift by tens of per cent on a shared machine, so each repeat visits every route of its group, in rotating order, and what
is reported is the ratio to the floor of the same repeat. The knobs, all of the environment:

LOGSPOOL_BENCH_QUICK=1     everything once and small: that the benchmarks run and that no route loses a line; the times mean nothing
LOGSPOOL_BENCH_PYTHON      the interpreter of the measured processes (this one); it needs logspool and benches/peers/requirements.txt
LOGSPOOL_BENCH_REPEATS=n   at most n repeats of each group
LOGSPOOL_BENCH_DIR         where the measured processes write (the system's temporary directory)
LOGSPOOL_BENCH_FRESH=1     forget a run that was interrupted; without it, `make bench` goes on where that one stopped
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import children
from peers import ALL_ROUTES
from routes import OURS

HERE = Path(__file__).resolve().parent
KEPT = HERE.parents[1] / ".benchmarks"
RESULTS, RUNNING = KEPT / "figures.json", KEPT / "running.json"
QUICK = os.environ.get("LOGSPOOL_BENCH_QUICK", "") not in ("", "0")
FRESH = os.environ.get("LOGSPOOL_BENCH_FRESH", "") not in ("", "0")
MOST_REPEATS = int(os.environ.get("LOGSPOOL_BENCH_REPEATS", "0")) or sys.maxsize
FLOOR = "null"
Figures = dict[str, Any]

MiB = 1 << 20
#: Complete loggers and the floors, in every quick run too.
_CORE = ("build", "null", "write", "stdlib", "rotating", "option_a", "structlog", "logspool", "fast")
_PEERS = (
    *("nexuslog", "fastlogging", "logxide", "logxide_json", "picologging"),
    *("json_logger", "loguru", "clh", "hpl", "logly"),
)


@dataclass(frozen=True)
class Group:
    """What every child of a group is told, the routes, and how often each is visited."""

    job: dict[str, Any]
    routes: tuple[str, ...]
    repeats: int


def _calls(workload: str, *routes: str, count: int = 21_000) -> Group:
    return Group({"mode": "calls", "workload": workload, "count": count}, routes, 5)


_PACED = {"mode": "paced", "workload": "W2", "count": 4_000, "rate": 2000, "max_bytes": MiB // 2, "gzip": True}
_FLAT = {"mode": "flat", "workload": "W2", "count": 500_000}
_GZIP = {**_FLAT, "max_bytes": 10 * MiB, "gzip": True}
_LOOP = {"mode": "loop", "workload": "W2"}
_FROZEN = {**_LOOP, "mode": "frozen", "before": 0.5, "frozen": 2.0}
_SHM = {"settings": {"spool_dir": "shm"}}
_WITHOUT_W3 = ("write", "nexuslog")

GROUPS: dict[str, Group] = {
    "W0": _calls("W0", *_CORE, "nexuslog", "fastlogging", "logxide", "picologging"),
    "W1": _calls("W1", *_CORE, *_PEERS, "otel"),
    "W2": _calls("W2", *_CORE, *_PEERS, "otel", "dumps", "open"),
    "redaction": Group({"mode": "calls", "workload": "W2", "count": 21_000}, ("fast", "names_only", "unredacted"), 15),
    "W3": _calls("W3", *(r for r in (*_CORE, *_PEERS, "otel") if r not in _WITHOUT_W3), count=4_000),
    "W4": _calls("W4", *_CORE, *_PEERS, "otel", "dumps", "open", "log_cost"),
    "paced": Group(_PACED, ("null", *_CORE[3:], *_PEERS), 10),
    "flat": Group(_FLAT, (*_CORE, *_PEERS), 5),
    "flat-gzip": Group(
        _GZIP,
        (
            "build",
            "null",
            "rotating",
            "option_a",
            "logspool",
            "fast",
            "fastlogging",
            "json_logger",
            "loguru",
            "clh",
            "logly",
        ),
        5,
    ),
    "flat-threads": Group(
        {**_FLAT, "threads": 4},
        (
            "build",
            "null",
            "structlog",
            "stdlib",
            "option_a",
            "logspool",
            "fast",
            "fastlogging",
            "logxide",
            "json_logger",
        ),
        5,
    ),
    "kill": Group(
        {"mode": "kill", "workload": "W2", "count": 10_000},
        tuple(r for r in (*_CORE[3:], *_PEERS) if ALL_ROUTES[r].keeps),
        1,
    ),
    "loop-2000": Group({**_LOOP, "count": 6_000, "rate": 2_000}, ("null", "fast"), 10),
    "loop-20000": Group({**_LOOP, "count": 60_000, "rate": 20_000}, ("null", "fast"), 10),
    "frozen-2000": Group({**_FROZEN, **_SHM, "count": 6_000, "rate": 2_000}, ("null", "fast"), 10),
    "frozen-20000": Group(
        {**_FROZEN, "settings": {"spool_dir": "shm", "spool_bytes": 64 * MiB}, "count": 60_000, "rate": 20_000},
        ("null", "fast"),
        10,
    ),
    "frozen-beside": Group({**_FROZEN, "count": 6_000, "rate": 2_000}, ("fast",), 3),
    "idle": Group({"mode": "idle", "workload": "W2", "count": 1_000, "seconds": 8}, ("null", "fast"), 5),
    "startup": Group({"mode": "startup"}, ("fast",), 20),
    "recovery": Group({"mode": "recovery"}, ("fast",), 10),
}
_SMALL = {
    "calls": {"count": 500},
    "paced": {"count": 400, "max_bytes": 20_000},
    "flat": {"count": 4_000},
    "idle": {"seconds": 0.2},
    "loop": {"count": 400},
    "kill": {"count": 500},
    "frozen": {"count": 800, "before": 0.1, "frozen": 0.2},
}
#: In a quick run these stand for their kind; the rest differ only in what pip installs.
_QUICK_ROUTES = frozenset((*_CORE, "open", "dumps", "log_cost"))


def smaller(group: Group) -> Group:
    """The same group, just big enough to rotate and to show a lost line."""
    shrunk = {**group.job, **_SMALL.get(group.job["mode"], {})}
    if shrunk.get("max_bytes"):
        shrunk["max_bytes"] = min(shrunk["max_bytes"], 200_000)
    return Group(shrunk, tuple(route for route in group.routes if route in _QUICK_ROUTES), 1)


def group_of(name: str) -> Group:
    """A group as this run measures it."""
    group = smaller(GROUPS[name]) if QUICK else GROUPS[name]
    return Group(group.job, group.routes, min(group.repeats, MOST_REPEATS))


def order_of(routes: tuple[str, ...], turn: int) -> Iterable[str]:
    """Every route once, in an order that rotates with the turns."""
    at = turn % len(routes)
    return routes[at:] + routes[:at]


class Session:
    """What one run measures, each group when it is first asked for; a full run is saved after each turn."""

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self.say = say
        self.python = children.describe()
        self.groups: dict[str, dict[str, Any]] = {}
        if not QUICK and not FRESH and RUNNING.exists():
            earlier = json.loads(RUNNING.read_text(encoding="utf-8"))
            if earlier["python"] == self.python:
                self.groups = earlier["groups"]
                self.say(f"going on with the run that was interrupted: {', '.join(self.groups)} stand")

    def installed(self, route: str) -> bool:
        """Whether the interpreter that measures has what the route needs."""
        package = ALL_ROUTES[route].package
        return not package or self.python["packages"][package] is not None

    def group(self, name: str) -> dict[str, list[Figures]]:
        """Route → figures of every repeat, in order: entry `n` of each list belongs to one turn of the interleaving.

        A peer that crashed, hung or raised has `{"failed": why}` for figures; where logspool or a floor does, that is an error.
        """
        asked = group_of(name)
        routes = tuple(route for route in asked.routes if self.installed(route))
        found = self.groups.get(name)
        if found is None or found["job"] != asdict(asked)["job"] or tuple(found["routes"]) != routes:
            found = {
                "job": asked.job,
                "machine": self.machine(),
                "load": [os.getloadavg()[0]],
                "routes": {r: [] for r in routes},
            }
            self.groups[name] = found
        done = min(len(samples) for samples in found["routes"].values())
        for turn in range(done, asked.repeats):
            self.say(f"{name}: turn {turn + 1} of {asked.repeats}, {len(routes)} routes")
            measured = {route: self._run(asked.job, route) for route in order_of(routes, turn)}
            for route, figures in measured.items():
                found["routes"][route].append(figures)
            found["load"] = [found["load"][0], os.getloadavg()[0]]
            self.save(RUNNING)
        return dict(found["routes"])

    def _run(self, job: dict[str, Any], route: str) -> Figures:
        share = ALL_ROUTES[route].share if job["mode"] == "flat" and not QUICK else 1
        shared = {**job, "route": route, "count": job["count"] // share} if share > 1 else {**job, "route": route}
        try:
            return children.run(shared)
        except children.ChildFailed as failed:
            if not ALL_ROUTES[route].package:
                raise
            return {"failed": str(failed)}

    def machine(self) -> str:
        """The machine in the words that matter to a reader of ratios."""
        return f"{os.cpu_count()}-core {platform.system()} {platform.machine()}, Python {self.python['version']}"

    def measured(self) -> dict[str, Any]:
        """Every group with the machine and the load average before and after: this benchmark alone makes 1 to 2."""
        return {
            name: {**group, "packages": self.python["packages"], "build": self.python["logspool"]}
            for name, group in self.groups.items()
            if all(group["routes"].values())
        }

    def save(self, path: Path) -> None:
        """Keeps what there is so far; nothing where the run is a quick one."""
        if not QUICK:
            KEPT.mkdir(exist_ok=True)
            unfinished = path.with_suffix(".part")
            content = {"python": self.python, "groups": self.groups} if path == RUNNING else self.merged()
            unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
            unfinished.replace(path)

    def merged(self) -> dict[str, Any]:
        """The figures of earlier runs, with those of this one in place of the same groups'."""
        return {**(load() if RESULTS.exists() else {}), **self.measured()}

    def finish(self) -> None:
        """The run is over: its figures count, and the next one starts anew."""
        self.save(RESULTS)
        RUNNING.unlink(missing_ok=True)


def load() -> dict[str, Any]:
    """What earlier full runs left."""
    kept: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return kept


def samples_of(samples: list[Figures], key: str) -> list[float]:
    """One figure of every repeat that has it: not of those that failed."""
    return [sample[key] for sample in samples if key in sample]


def median(samples: list[Figures], key: str) -> float:
    """The median of one figure over the repeats."""
    return statistics.median(samples_of(samples, key))


def ratio(route: list[Figures], floor: list[Figures], key: str, less: list[Figures] | None = None) -> float:
    """The median over the repeats of route ÷ floor, each pair from one turn; `less` is taken from both sides first."""
    build = [sample[key] for sample in less] if less else [0.0] * len(route)
    pairs = zip(route, floor, build, strict=True)
    return statistics.median((r[key] - b) / max(f[key] - b, 1e-9) for r, f, b in pairs if key in r and key in f)


#: Two-sided 95 % quantiles of Student's t for 1, 2, … degrees of freedom.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


def interval(route: list[Figures], floor: list[Figures], key: str) -> tuple[float, float]:
    """The 95 % confidence interval of the mean difference, route less floor, over pairs of the same turn. At least two."""
    differences = [r[key] - f[key] for r, f in zip(route, floor, strict=True) if key in r and key in f]
    if len(differences) < 2:
        raise ValueError("an interval needs two repeats")
    t = _T[min(len(differences) - 2, len(_T) - 1)]
    half = t * statistics.stdev(differences) / len(differences) ** 0.5
    mean = statistics.fmean(differences)
    return mean - half, mean + half


def whole(samples: list[Figures]) -> bool:
    """Whether every repeat kept every record once, as JSON, with all its fields."""
    return all("failed" not in s and not any(s[k] for k in ("lost", "doubled", "wrong", "text")) for s in samples)


def must_keep(route: str) -> bool:
    """Whether a lost line is an error: a peer's is only reported."""
    return route in OURS or (ALL_ROUTES[route].keeps and not ALL_ROUTES[route].package)
