"""Where the instructions of one call go, function by function, counted by valgrind's callgrind.

    benches/profile.sh          builds the extension with symbols first, then runs this

Counting begins after `WARM` calls and ends after `CALLS` more; two system calls that nothing else makes mark the places. What making the
fields costs, counted the same way, is taken off. Only the caller's thread counts here. An instruction is not a nanosecond (a missed
cache line costs more than its instruction), but the counts hardly differ from run to run.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import children

HERE = Path(__file__).resolve().parent
KEPT = HERE.parents[1] / ".benchmarks"
WARM, CALLS = 500, 2_000
BEGIN, END = "getpriority", "getsid"  # functions of the C library that mark where counting begins and ends
SHOWN = 0.01  # a function is named when it takes this share of the call
Costs = Counter[tuple[str, str]]  # (object, function) → instructions
ROUTES = {
    "fast": "`basicConfig`",
    "logspool": "`SpoolHandler` under a stock `Logger`",
    "null": "stock `Logger` + `NullHandler`",
    "dumps": "`orjson.dumps` of the fields",
}


def log(route: str, workload: str, directory: str) -> None:
    """The measured process: logs and ends."""
    import workloads
    from child import FLAT, compiled
    from peers import ALL_ROUTES
    from routes import Rotation

    opened = ALL_ROUTES[route](Path(directory), Rotation(), workload, WARM + CALLS, {})
    names = opened.names()
    loop = compiled(FLAT, opened.calls[workload], names)
    loop(0, WARM, workloads.FIELDS[workload])
    os.getpriority(os.PRIO_PROCESS, 0)
    loop(WARM, WARM + CALLS, workloads.FIELDS[workload])
    os.getsid(0)
    opened.flush()
    opened.close()
    logging.shutdown()


def parse(path: Path) -> Costs:
    """The instructions that each function took itself, from one thread's file."""
    costs: Costs = Counter()
    thing = function = ""
    called = False
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("ob="):
            thing = line[3:]
        elif line.startswith("fn="):
            function = line[3:]
        elif line.startswith("calls="):
            called = True  # the next line is what the callee took
        elif line[:1].isdigit():
            if not called:
                costs[Path(thing).name, function] += int(line.split()[1])
            called = False
    return costs


def per_call(package: Path, route: str, workload: str) -> dict[tuple[str, str], float]:
    """Instructions of one call, by function of the calling thread."""
    with tempfile.TemporaryDirectory(prefix="logspool-profile-") as directory:
        out = Path(directory) / "callgrind.out"
        command = [
            *("valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}"),
            *("--compress-strings=no", "--compress-pos=no", f"--zero-before={BEGIN}", f"--dump-before={END}"),
            *(children.PYTHON, __file__, "--log", route, workload, directory),
        ]
        environment = children.environment() | {"PYTHONPATH": str(package.resolve()), "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        threads = sorted(
            path for path in Path(directory).glob("callgrind.out*-*") if f"--dump-before={END}" in head(path)
        )
        if not threads:
            sys.exit(f"callgrind made no dump at {END}():\n{done.stderr[-3000:]}")
        return {key: cost / CALLS for key, cost in parse(threads[0]).items()}


def head(path: Path) -> str:
    """The lines of a dump that say why it was made."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(2000)


def owner_of(thing: str) -> str:
    return "logspool" if thing.startswith("_core") else re.sub(r"(-[\d.]+)?\.so.*", "", thing)


def name_of(thing: str, function: str) -> str:
    """A function as a reader knows it: without the compiler's hash, path prefixes of its generics and compile units."""
    function = re.sub(r"::h[0-9a-f]{16}$", "", function)
    function = re.sub(r"'\d+$", "", function)  # callgrind's mark of a recursive call
    function = re.sub(r"\.(llvm|constprop|isra|part|lto_priv)\.\d+", "", function)
    return f"{owner_of(thing)}: `{function[:120]}`"


def table(title: str, costs: dict[tuple[str, str], float]) -> str:
    """One route's functions, dearest first."""
    named: dict[str, float] = defaultdict(float)
    owners: dict[str, float] = defaultdict(float)
    for (thing, function), cost in costs.items():
        named[name_of(thing, function)] += cost
        owners[owner_of(thing)] += cost
    whole = sum(named.values())
    rows = [f"| {name} | {cost:,.0f} | {cost / whole:.1%} |" for name, cost in dearest(named) if cost >= whole * SHOWN]
    rest = whole - sum(cost for cost in named.values() if cost >= whole * SHOWN)
    rows += [
        f"| everything else | {rest:,.0f} | {rest / whole:.1%} |",
        f"| **the caller's thread** | **{whole:,.0f}** | |",
    ]
    libraries = ", ".join(f"{name} {cost:,.0f}" for name, cost in dearest(owners) if cost >= whole * SHOWN)
    return f"**{title}**: {libraries}\n\n| function | instructions a call | |\n|---|---:|---:|\n" + "\n".join(rows)


def dearest(costs: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(costs.items(), key=lambda item: -item[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--package", type=Path, default=Path(".make/profile/package"), help="where logspool with symbols is"
    )
    parser.add_argument("--workload", default="W2")
    parser.add_argument("--log", nargs=3, metavar=("ROUTE", "WORKLOAD", "DIRECTORY"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.log:
        log(*asked.log)
        return
    build = per_call(asked.package, "build", asked.workload)
    parts, totals = [], []
    for route, title in ROUTES.items():
        costs = per_call(asked.package, route, asked.workload)
        own = {key: cost - build.get(key, 0.0) for key, cost in costs.items()}
        totals.append(f"{title} {sum(own.values()):,.0f}")
        if route in ("fast", "logspool"):
            parts.append(table(title, own))
    text = (
        f"One {asked.workload} call under callgrind, instructions of the caller's thread without what making the fields costs: "
        f"{'; '.join(totals)}. "
        'A figure below 1 % of the call is in "everything else".\n\n' + "\n\n".join(parts)
    )
    print(text)
    KEPT.mkdir(exist_ok=True)
    (KEPT / "breakdown.json").write_text(json.dumps({"markdown": text}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
