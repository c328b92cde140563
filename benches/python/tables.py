"""Makes the tables and plots of docs/benchmarks.md from what the last full run measured.

python benches/python/tables.py                              # print the tables
python benches/python/tables.py --write docs/benchmarks.md   # put them between the document's two markers, the plots beside it
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import figures
from goals import Goals
from peers import ALL_ROUTES

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
Routes = dict[str, list[figures.Figures]]
CALLS = ("W0", "W1", "W2", "W3", "W4")
FLAT = {
    "flat": "one thread, no rotation",
    "flat-gzip": "one thread, a new file every 10 MiB, gzip on",
    "flat-threads": "4 threads, no rotation",
}
LOOPS = {
    "loop-2000": "2,000 records a second",
    "loop-20000": "20,000 records a second",
    "frozen-2000": "2,000 a second, the disk frozen for 2 s, the spool in shared memory",
    "frozen-20000": "20,000 a second, the disk frozen for 2 s, the spool in shared memory (64 MiB)",
    "frozen-beside": "2,000 a second, the disk frozen for 2 s, the spool beside the logs on the frozen disk",
}


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def label(route: str) -> str:
    """The route's name; a dagger where it does less than a complete logger: see the table of the routes."""
    kind = ALL_ROUTES[route]
    return f"**{kind.label}**" if route in figures.OURS else kind.label + (" †" if kind.lacks else "")


def lines_of(route: str, samples: list[figures.Figures]) -> str:
    """What became of the records, in words."""
    kept = [s for s in samples if "lines" in s]
    failed = [s["failed"].splitlines()[0] for s in samples if "failed" in s]
    if failed:
        return f"**failed** in {len(failed)} of {len(samples)} runs"
    if not ALL_ROUTES[route].keeps:
        return "–"
    said = []
    count = statistics.fmean(s["lines"] + s["lost"] for s in kept)
    if lost := statistics.fmean(s["lost"] for s in kept):
        said.append(f"**lost {lost / count:.1%}**")
    if any(s["doubled"] for s in kept):
        said.append("**doubled**")
    if any(s["text"] for s in kept):
        said.append("not JSON")
    if any(s["wrong"] for s in kept):
        said.append("fields missing or changed")
    return ", ".join(said) or "all, every field"


def by_median(routes: Routes, key: str) -> list[str]:
    """Fastest first; those that never gave this figure last."""

    def place(route: str) -> float:
        found = figures.samples_of(routes[route], key)
        return statistics.median(found) if found else float("inf")

    return sorted(routes, key=place)


def with_ratio(routes: Routes, route: str, key: str, less: bool = False) -> str:
    """A median and its ratio to the floor of the same turns."""
    if route not in routes or not figures.samples_of(routes[route], key):
        return "–"
    build = routes["build"] if less else None
    text = f"{figures.median(routes[route], key):.2f}"
    return (
        text
        if less and route == "build"
        else f"{text} ({figures.ratio(routes[route], routes[figures.FLOOR], key, build):.2f} ×)"
    )


def calls(measured: dict[str, Any]) -> str:
    """p50 of one call, in µs and as a ratio to the floor of the same turn."""
    groups: dict[str, Routes] = {name: measured[name]["routes"] for name in CALLS if name in measured}
    order = by_median(groups.get("W2", {}), "p50")
    order += [route for routes in groups.values() for route in by_median(routes, "p50") if route not in order]
    rows = [[label(r), *(with_ratio(routes, r, "p50") for routes in groups.values())] for r in dict.fromkeys(order)]
    return table(["p50 of one call, µs (ratio to the floor)", *groups], rows)


def paced(routes: Routes) -> str:
    """The tail at a steady rate."""
    keys = ("p50", "p95", "p99", "p99.9", "max")
    rows = []
    for route in by_median(routes, "p99.9"):
        samples = routes[route]
        if not figures.samples_of(samples, "p50"):
            rows.append([label(route), *["–"] * 8, lines_of(route, samples)])
            continue
        row = [label(route), *(f"{figures.median(samples, key):,.0f}" for key in keys)]
        row += [f"{max(figures.samples_of(samples, key)):,.0f}" for key in ("max", "max_undisturbed")]
        ratio = figures.ratio(samples, routes[figures.FLOOR], "p99.9")
        rows.append([*row, f"{ratio:.2f} ×", lines_of(route, samples)])
    return table(["µs", *keys, "max of all", "max undisturbed", "p99.9 ratio", "lines"], rows)


def flat(routes: Routes) -> str:
    """Many records until they are on disk."""
    rows = []
    for route in by_median(routes, "wall"):
        samples = routes[route]
        if not figures.samples_of(samples, "wall"):
            rows.append([label(route), *["–"] * 5, lines_of(route, samples)])
            continue
        row = [label(route), f"{figures.median(samples, 'count'):,.0f}"]
        row += [with_ratio(routes, route, key, less=True) for key in ("wall", "cpu", "cpu_all")]
        rows.append([*row, f"{figures.median(samples, 'memory') / figures.MiB:,.1f}", lines_of(route, samples)])
    head = ["µs a record (ratio less build)", "records", "wall to flush", "CPU to flush", "CPU to shutdown"]
    return table([*head, "memory above start, MiB", "lines"], rows)


def peers(measured: dict[str, Any]) -> str:
    """Who the routes are, what they leave out, what a kill leaves of their records."""
    group = measured.get("kill", {"routes": {}})
    packages = next(iter(measured.values())).get("packages", {})
    rows = []
    for route, kind in ALL_ROUTES.items():
        if route in ("build", "log_cost"):
            continue
        version = "–"
        if kind.package:
            found = packages.get(kind.package)
            version = f"{kind.package} {found}" if found else f"{kind.package}: **not installable** on this interpreter"
        samples = group["routes"].get(route, [])
        kept = f"{samples[0]['lines'] - samples[0]['doubled']:,}" if samples and "lines" in samples[0] else "–"
        rows.append([label(route), version, kept, kind.lacks or "–"])
    return table(["", "package", "of 10,000 kept after SIGKILL", "what it does less"], rows)


def loops(measured: dict[str, Any]) -> str:
    """How late an event loop's timers run."""
    rows = []
    for name, what in LOOPS.items():
        for route, samples in measured.get(name, {"routes": {}})["routes"].items():
            if not figures.samples_of(samples, "p99"):
                continue
            row = [
                what,
                label(route),
                *(f"{figures.median(samples, key) / 1000:,.3f}" for key in ("p50", "p99", "p99.9", "max")),
            ]
            if route == "null":
                difference = ""
            elif len(samples) > 1 and "null" in measured[name]["routes"]:
                low, high = figures.interval(samples, measured[name]["routes"]["null"], "p99")
                difference = f"{low / 1000:+.3f} … {high / 1000:+.3f}"
            else:
                difference = "–"
            rows.append([*row, difference])
    return table(["", "route", "p50, ms", "p99", "p99.9", "max", "p99 less NullHandler's, 95 % interval"], rows)


def start(measured: dict[str, Any]) -> str:
    rows = []
    for group, key, what in (
        ("startup", "import", "`import logspool`, beyond `import logging`"),
        ("startup", "basicConfig", "`basicConfig()`"),
        (
            "recovery",
            "recovered",
            "`basicConfig()` beside the full 8 MiB ring of a killed process, until its records are in the log",
        ),
    ):
        if group in measured:
            found = figures.samples_of(measured[group]["routes"]["fast"], key)
            p90 = statistics.quantiles(found, n=10)[-1] if len(found) > 1 else found[0]
            rows.append([what, f"{statistics.median(found):.2f}", f"{p90:.2f}"])
    return table(["ms", "median", "p90"], rows)


def goals(measured: dict[str, Any]) -> str:
    """What the project wants, and what this run says."""
    rows = [goal.row() for goal in Goals(measured).rows()]
    return table(["goal", "wanted", "measured", "measured ÷ wanted", ""], rows) if rows else ""


def extra(name: str) -> Any:
    """What another program left beside the figures; None where it has not run."""
    path = figures.KEPT / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def where(measured: dict[str, Any]) -> str:
    machines = sorted({group["machine"] for group in measured.values()})
    runs = [
        f"{name} {len(next(iter(group['routes'].values())))} ({group['load'][0]:.1f}–{group['load'][1]:.1f})"
        for name, group in measured.items()
    ]
    builds = {group["build"] for group in measured.values()}
    mixed = " **Not all groups are of the same build of logspool.**" if len(builds) > 1 else ""
    return (
        f"Measured on: {'; '.join(machines)}.{mixed} Repeats, and the load average before and after them (measuring alone makes 1 to 2; "
        f"more is other work on the machine): {', '.join(runs)}."
    )


def report(measured: dict[str, Any], plots: dict[str, str] | None = None) -> str:
    """All the tables there are figures for, as Markdown, the plots named in `plots` among them."""
    if not measured:
        return "Nothing measured."
    parts = [where(measured)]

    def part(title: str, text: str, plot: str = "") -> None:
        image = f"![{title}]({plots[plot]})\n\n" if plots and plot in plots else ""
        parts.append(f"### {title}\n\n{image}{text}")

    if text := goals(measured):
        part("Goals", text)
    part("The routes", peers(measured))
    if any(name in measured for name in CALLS):
        part("One call", calls(measured), "calls")
    if "paced" in measured:
        title = "The tail: 2,000 W2 records a second, a new file every 512 KiB, gzip on where a route can"
        part(title, paced(measured["paced"]["routes"]), "paced")
    for name, title in FLAT.items():
        if name in measured:
            part(f"Flat out: W2 records, {title}", flat(measured[name]["routes"]), name)
    if any(name in measured for name in LOOPS):
        part("asyncio: how late a timer runs while a task logs", loops(measured), "loop")
    if "idle" in measured:
        rows = [[label(r), f"{figures.median(s, 'idle'):.3f} %"] for r, s in measured["idle"]["routes"].items()]
        part("Idle: CPU of a process that has logged and waits", table(["", "CPU of one core"], rows))
    if "startup" in measured or "recovery" in measured:
        part("Start", start(measured))
    for name, title in (
        ("toolcalls", "1,000 tool calls, with and without logspool, at INFO and DEBUG"),
        (
            "mcpcalls",
            "A tool call over stdio with everything on: tool calls, HTTP calls, costs",
        ),
        ("soak", "Ten minutes of tool calls"),
        ("breakdown", "Where the instructions of one call go"),
    ):
        if found := extra(name):
            part(title, found["markdown"])
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--write", type=Path, metavar="DOCUMENT", help="replace what stands between the markers in this document"
    )
    asked = parser.parse_args()
    if not figures.RESULTS.exists():
        sys.exit(f"nothing measured yet ({figures.RESULTS} is missing): run `make bench` first")
    measured = figures.load()
    if asked.write is None:
        print(report(measured))
        return
    before, found, rest = asked.write.read_text(encoding="utf-8").partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        sys.exit(f"{asked.write}: the markers {BEGIN} and {END} are missing, so there is no place for the figures")
    import plots

    text = report(measured, plots.write(measured, asked.write.parent / "plots"))
    asked.write.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
