"""Makes the tables of docs/benchmarks.md from what the last full run measured.

python benches/python/tables.py                              # print them
python benches/python/tables.py --write docs/benchmarks.md   # put them between the document's two markers
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import figures
from routes import ROUTES

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
Routes = dict[str, list[figures.Figures]]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _label(route: str) -> str:
    lacks = ROUTES[route].lacks
    return ROUTES[route].label + (f" – *{lacks}*" if lacks else "")


def _by_median(routes: Routes, key: str) -> list[str]:
    return sorted(routes, key=lambda route: figures.median(routes[route], key))


def calls(measured: dict[str, Any]) -> str:
    """p50 of one call, in µs and as a ratio to the floor of the same turn."""
    groups = {name: measured[name]["routes"] for name in ("W1", "W2", "W3", "W4") if name in measured}
    names = [route for route in ROUTES if any(route in routes for routes in groups.values())]
    first = next(iter(groups.values()))
    rows = []
    for route in sorted(
        names, key=lambda r: figures.median((groups.get("W2") or first).get(r) or groups["W4"][r], "p50")
    ):
        row = [_label(route)]
        for routes in groups.values():
            if route in routes:
                share = figures.ratio(routes[route], routes[figures.FLOOR], "p50")
                row.append(f"{figures.median(routes[route], 'p50'):.2f} ({share:.2f} ×)")
            else:
                row.append("–")
        rows.append(row)
    return _table(["p50 of one call, µs (ratio to the floor)", *groups], rows)


def paced(routes: Routes) -> str:
    """The tail at a steady rate."""
    keys = ("p50", "p95", "p99", "p99.9", "max")
    rows = []
    for route in _by_median(routes, "p99.9"):
        row = [_label(route), *(f"{figures.median(routes[route], key):,.0f}" for key in keys)]
        row += [
            f"{max(s['max'] for s in routes[route]):,.0f}",
            f"{max(s['max_undisturbed'] for s in routes[route]):,.0f}",
        ]
        rows.append([*row, f"{figures.ratio(routes[route], routes[figures.FLOOR], 'p99.9'):.2f} ×"])
    return _table(["µs", *keys, "max of all", "max undisturbed", "p99.9 ratio"], rows)


def flat(routes: Routes) -> str:
    """500,000 records until they are on disk."""
    build = routes["build"]
    rows = []
    for route in _by_median(routes, "wall"):
        r, floor = routes[route], routes[figures.FLOOR]
        row = [_label(route)]
        for key in ("wall", "cpu", "cpu_all"):
            row.append(
                f"{figures.median(r, key):.2f} ({figures.ratio(r, floor, key, build):.2f} ×)"
                if r is not build
                else f"{figures.median(r, key):.2f}"
            )
        rows.append([*row, f"{figures.median(r, 'memory') / figures.MiB:,.1f}"])
    return _table(
        [
            "µs a record (ratio less build)",
            "wall to flush",
            "CPU to flush",
            "CPU to shutdown",
            "memory above start, MiB",
        ],
        rows,
    )


def goals(measured: dict[str, Any]) -> str:
    """What the project wants, and what this run says."""
    rows: list[list[str]] = []

    def goal(text: str, limit: float, value: Callable[[], float], unit: str, at_least: bool = False) -> None:
        try:
            got = value()
        except KeyError:
            return  # the group was not measured
        met = got >= limit if at_least else got <= limit
        rows.append(
            [text, f"{'≥' if at_least else '≤'} {limit:g} {unit}", f"{got:.4g} {unit}", "met" if met else "**missed**"]
        )

    def routes(group: str) -> Routes:
        found: Routes = measured[group]["routes"]
        return found

    def against_floor(group: str, key: str, less: bool = False) -> float:
        r = routes(group)
        return figures.ratio(r["logspool"], r[figures.FLOOR], key, r["build"] if less else None)

    goal("handler under a stock Logger, W1, p50 against the floor", 1.25, lambda: against_floor("W1", "p50"), "×")
    goal("handler under a stock Logger, W2, p50 against the floor", 1.25, lambda: against_floor("W2", "p50"), "×")
    goal(
        '`log_cost` faster than `open(path, "a")` + `json.dumps`',
        8,
        lambda: figures.ratio(routes("W4")["open"], routes("W4")["log_cost"], "p50"),
        "×",
        at_least=True,
    )
    goal(
        "500,000 W2 flat out to disk, wall less build, against the floor",
        1.25,
        lambda: against_floor("flat", "wall", less=True),
        "×",
    )
    goal(
        "caller's p99.9 at 2,000 a second, rotation and gzip on, against the floor",
        1.5,
        lambda: against_floor("paced", "p99.9"),
        "×",
    )
    goal("`import logspool`", 5, lambda: figures.median(routes("startup")["logspool"], "import"), "ms")
    goal("`basicConfig`", 5, lambda: figures.median(routes("startup")["logspool"], "basicConfig"), "ms")
    goal("idle CPU", 0.1, lambda: figures.median(routes("idle")["logspool"], "idle"), "%")
    return _table(["goal", "wanted", "measured", ""], rows)


def report(measured: dict[str, Any]) -> str:
    """All the tables there are figures for, as Markdown."""
    parts: list[str] = []
    machines = sorted({group["machine"] for group in measured.values()})
    runs = [
        f"{name} {len(next(iter(group['routes'].values())))}"
        + (f" ({group['load'][0]:.1f}–{group['load'][1]:.1f})" if "load" in group else "")  # not in older figures
        for name, group in measured.items()
    ]
    parts.append(
        f"Measured on: {'; '.join(machines)}. Repeats, and the load average before and after them (measuring alone makes 1 to 2; "
        f"more is other work on the machine): {', '.join(runs)}."
    )
    if goal_rows := goals(measured):
        parts.append("### Goals\n\n" + goal_rows)
    if any(name in measured for name in ("W1", "W2", "W3", "W4")):
        parts.append("### One call\n\n" + calls(measured))
    if "paced" in measured:
        parts.append(
            "### The tail: 2,000 W2 records a second, a new file every 512 KiB, gzip on\n\n"
            + paced(measured["paced"]["routes"])
        )
    for name, title in (
        ("flat", "one thread, no rotation"),
        ("flat-gzip", "one thread, a new file every 10 MiB, gzip on"),
        ("flat-threads", "4 threads, no rotation"),
    ):
        if name in measured:
            parts.append(f"### Flat out: 500,000 W2 records, {title}\n\n" + flat(measured[name]["routes"]))
    if "idle" in measured:
        rows = [[_label(r), f"{figures.median(s, 'idle'):.3f} %"] for r, s in measured["idle"]["routes"].items()]
        parts.append("### Idle: CPU of a process that has logged and waits\n\n" + _table(["", "CPU of one core"], rows))
    if "startup" in measured:
        samples = measured["startup"]["routes"]["logspool"]
        rows = [
            [
                what,
                f"{figures.median(samples, what):.2f}",
                f"{statistics.quantiles([s[what] for s in samples], n=10)[-1]:.2f}",
            ]
            for what in ("import", "basicConfig")
        ]
        parts.append("### Start: ms beyond `import logging`\n\n" + _table(["", "median", "p90"], rows))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--write", type=Path, metavar="DOCUMENT", help="replace what stands between the markers in this document"
    )
    asked = parser.parse_args()
    if not figures.RESULTS.exists():
        sys.exit(f"nothing measured yet ({figures.RESULTS} is missing): run `make bench` first")
    text = report(figures.load())
    if asked.write is None:
        print(text)
        return
    before, found, rest = asked.write.read_text(encoding="utf-8").partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        sys.exit(f"{asked.write}: the markers {BEGIN} and {END} are missing, so there is no place for the figures")
    asked.write.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
