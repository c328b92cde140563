"""The goals and what a run says of them: each row wanted, measured, and met or missed, computed from the same run's figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import figures
from peers import ALL_ROUTES

Routes = dict[str, list[figures.Figures]]
#: What a logger does that has no gap but rotation: these are "complete peers". logxide's template escapes nothing.
NOT_COMPLETE = frozenset(("logxide",))


@dataclass(frozen=True)
class Goal:
    """One row: `got` against `limit`, both in `unit`."""

    text: str
    limit: float
    got: float
    unit: str
    at_least: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        return self.got >= self.limit if self.at_least else self.got <= self.limit

    def row(self) -> list[str]:
        wanted = f"{'≥' if self.at_least else '≤'} {self.limit:.3g} {self.unit}"
        of_goal = self.limit / self.got if self.at_least and self.got else self.got / self.limit
        verdict = "met" if self.met else "**missed**"
        return [self.text, wanted, f"{self.got:.4g} {self.unit}{self.note}", f"{of_goal:.2f}", verdict]


class Goals:
    """Goes through the goals; one whose group was not measured, or whose peer is not there, is left out."""

    def __init__(self, measured: dict[str, Any]) -> None:
        self.measured = measured

    def routes(self, group: str) -> Routes:
        found: Routes = self.measured[group]["routes"]
        return found

    def against(self, group: str, route: str, other: str, key: str, *, less: bool = False) -> float:
        """The ratio of two routes of a group; `less`: without the harness' own cost on both sides."""
        r = self.routes(group)
        return figures.ratio(r[route], r[other], key, r["build"] if less else None)

    def fastest_complete(self, group: str, key: str) -> str:
        """The fastest other route that kept every record, with its fields, as JSON that would hold for any value."""
        r = self.routes(group)
        others = [
            name
            for name, samples in r.items()
            if ALL_ROUTES[name].keeps and name not in figures.OURS | NOT_COMPLETE and figures.whole(samples)
        ]
        return min(others, key=lambda name: figures.median(r[name], key))

    def one_call(self) -> Iterator[Callable[[], Goal]]:
        for w in ("W1", "W2"):
            yield lambda w=w: Goal(
                f"`SpoolHandler` under a stock `Logger`, {w}, p50 to the NullHandler floor",
                1.20,
                self.against(w, "logspool", "null", "p50"),
                "×",
            )
        for w, what, limit in (("W0", "a constant message", 0.08), ("W1", "W1", 0.12), ("W2", "W2", 0.20)):
            yield lambda w=w, what=what, limit=limit: Goal(
                f"`basicConfig`, {what}, p50 to the floor", limit, self.against(w, "fast", "null", "p50"), "×"
            )
        yield lambda: Goal(
            "`log_cost`, p50 to `orjson.dumps` of the same fields",
            2.5,
            self.against("W4", "log_cost", "dumps", "p50"),
            "×",
        )
        yield lambda: Goal(
            '`log_cost`, faster than `open(path, "a")` + `json.dumps`',
            13,
            self.against("W4", "open", "log_cost", "p50"),
            "×",
            at_least=True,
        )
        # What each costs, to the call without: 1.08 and 1.15 are 8 and 15 %.
        yield lambda: Goal(
            "W2 redacted by names, p50 to unredacted",
            1.08,
            self.against("redaction", "names_only", "unredacted", "p50"),
            "×",
        )
        yield lambda: Goal(
            "W2 redacted by names and patterns, p50 to by names alone",
            1.15,
            self.against("redaction", "fast", "names_only", "p50"),
            "×",
        )
        yield lambda: Goal(
            "W3, an exception, p50 to structlog's", 0.35, self.against("W3", "fast", "structlog", "p50"), "×"
        )

    def tail(self) -> Iterator[Callable[[], Goal]]:
        for route, name in (("fast", "`basicConfig`"), ("logspool", "`SpoolHandler` under a stock `Logger`")):
            yield lambda route=route, name=name: Goal(
                f"2,000 a second, rotation and gzip on, {name}: p99.9 to the floor's",
                1.5,
                self.against("paced", route, "null", "p99.9"),
                "×",
            )
            yield lambda route=route, name=name: Goal(
                f"the same, max of all calls that were not taken off the processor, {name}",
                1,
                max(figures.samples_of(self.routes("paced")[route], "max_undisturbed")) / 1000,
                "ms",
                note=f" (floor: {max(figures.samples_of(self.routes('paced')['null'], 'max_undisturbed')) / 1000:.2g} ms)",
            )

    def flat(self) -> Iterator[Callable[[], Goal]]:
        def row(text: str, limit: float, group: str, other: str, key: str) -> Goal:
            return Goal(text, limit, self.against(group, "fast", other, key, less=True), "×")

        first = "500,000 W2 flat out to `flush()`, 1 thread, wall less build"
        yield lambda: row(f"{first}, to logxide's template", 0.30, "flat", "logxide", "wall")
        yield lambda: row(f"{first}, to structlog's", 0.20, "flat", "structlog", "wall")
        yield lambda: row(
            "the same with rotation and gzip, to RotatingFileHandler + orjson + gzip",
            0.15,
            "flat-gzip",
            "rotating",
            "wall",
        )

        def threads() -> Goal:
            other = self.fastest_complete("flat-threads", "wall")
            text = f"4 threads, the same, to the fastest complete peer ({ALL_ROUTES[other].label})"
            return row(text, 0.30, "flat-threads", other, "wall")

        yield threads
        yield lambda: row(
            "CPU of all threads, gzip off, less build, to logxide's template", 0.40, "flat", "logxide", "cpu_all"
        )
        yield lambda: row(
            "CPU of all threads, gzip on, less build, to RotatingFileHandler + orjson + gzip",
            0.30,
            "flat-gzip",
            "rotating",
            "cpu_all",
        )
        for group, what in (("flat", ""), ("flat-gzip", ", gzip on"), ("flat-threads", ", 4 threads")):
            yield lambda group=group, what=what: Goal(
                f"memory above start, flat out{what} (spool size 8 MiB + 8 MB)",
                8 * 1.048576 + 8,
                figures.median(self.routes(group)["fast"], "memory") / 1e6,
                "MB",
            )
        yield lambda: Goal("CPU when idle", 0.1, figures.median(self.routes("idle")["fast"], "idle"), "%")

    def waiting(self) -> Iterator[Callable[[], Goal]]:
        for group, what in (
            ("loop-2000", "2,000 records a second"),
            ("loop-20000", "20,000 records a second"),
            ("frozen-2000", "2,000 a second, the disk frozen for 2 s, spool in shared memory"),
            ("frozen-20000", "20,000 a second, the disk frozen for 2 s, spool in shared memory"),
        ):

            def delay(group: str = group, what: str = what) -> Goal:
                r = self.routes(group)
                low, high = figures.interval(r["fast"], r["null"], "p99")
                note = f" (95 % interval of the difference: {low / 1000:+.3f} … {high / 1000:+.3f} ms)"
                return Goal(
                    f"event-loop delay, p99 less NullHandler's, {what}: farthest end of the 95 % interval",
                    0.2,
                    max(abs(low), abs(high)) / 1000,
                    "ms",
                    note=note,
                )

            yield delay
        yield lambda: Goal("`import logspool` beyond `import logging`", 5, self.start("startup", "import"), "ms")
        yield lambda: Goal("`basicConfig()`", 5, self.start("startup", "basicConfig"), "ms")
        yield lambda: Goal("start with a full ring of 8 MiB to recover", 100, self.start("recovery", "recovered"), "ms")

    def start(self, group: str, key: str) -> float:
        return figures.median(self.routes(group)["fast"], key)

    def rows(self) -> list[Goal]:
        found = []
        for part in (self.one_call, self.tail, self.flat, self.waiting):
            for goal in part():
                try:
                    found.append(goal())
                except (KeyError, ValueError):  # not measured, or nothing of it came back
                    continue
        return found
