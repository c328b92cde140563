"""What everything that `logspool.mcp` switches on adds to a real tool call over stdio.

    python benches/python/mcpcalls.py [--calls 3000]

Three stdio servers of the official SDK with the same tool are called with its client, one call at a time, in random order: one that logs
nothing, one with `basicConfig`, `instrument` and `guard_stdout`, whose every call leaves its record, and that one once more with a tool
that also prints and logs. Times are taken at the client, and inside the servers around the whole of a tool call. The records are counted.
Leaves its table for `tables.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client

HERE = Path(__file__).resolve().parent
KEPT = HERE.parents[1] / ".benchmarks"
WARM = 200
TITLES = {
    "plain": "no logging",
    "instrumented": "basicConfig, instrument, guard_stdout",
    "chatty": "the same, and the tool prints and logs a line",
}

SERVER = '''
import json, logging, sys, time
from typing import Any
from mcp.server import MCPServer

kind, out = sys.argv[1:]
mcp = MCPServer("bench")
log = logging.getLogger("bench")
if kind == "plain":
    logging.getLogger("mcp").setLevel(logging.WARNING)
else:
    import logspool
    import logspool.mcp

    logspool.basicConfig(filename="calls.jsonl", level="INFO")
    logspool.mcp.instrument(mcp)
    logspool.mcp.guard_stdout()

if kind == "chatty":

    @mcp.tool()
    async def price(item: str, count: int) -> dict[str, Any]:
        """What so many of an item cost."""
        print("looking up", item)
        log.info("looking up %s", item)
        return {"item": item, "total": count * 3, "in_stock": True}

else:

    @mcp.tool()
    async def price(item: str, count: int) -> dict[str, Any]:
        """What so many of an item cost."""
        return {"item": item, "total": count * 3, "in_stock": True}


spans = []


async def timed(ctx, call_next):
    began, worked = time.perf_counter_ns(), time.thread_time_ns()
    try:
        return await call_next(ctx)
    finally:
        if ctx.method == "tools/call":
            spans.append((time.perf_counter_ns() - began, time.thread_time_ns() - worked))


mcp.middleware.insert(0, timed)
try:
    mcp.run("stdio")
finally:
    with open(out, "w") as file:
        json.dump(spans, file)
'''


async def run(place: Path, calls: int) -> dict[str, list[float]]:
    """Ms of each call at the client, by server."""
    took: dict[str, list[float]] = {kind: [] for kind in TITLES}
    clients: dict[str, Client] = {}
    async with AsyncExitStack() as stack:
        for kind in TITLES:
            directory = place / kind
            directory.mkdir()
            (directory / "server.py").write_text(SERVER)
            errors = stack.enter_context((directory / "stderr").open("w"))
            server = StdioServerParameters(
                command=sys.executable, args=["server.py", kind, str(directory / "spans.json")], cwd=directory
            )
            clients[kind] = await stack.enter_async_context(Client(stdio_client(server, errlog=errors)))
        order = list(TITLES)
        numbers = random.Random(1)
        for number in range(WARM + calls):
            numbers.shuffle(order)
            for kind in order:
                began = time.perf_counter()
                result = await clients[kind].call_tool("price", {"item": f"item-{number}", "count": number})
                ended = time.perf_counter()
                assert result.structured_content is not None and result.structured_content["total"] == 3 * number
                if number >= WARM:
                    took[kind].append((ended - began) * 1e3)
    return took


def at(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def recorded(directory: Path) -> dict[str, int]:
    """How many records of each kind a server left."""
    counts = {"tool_call": 0, "stdout": 0, "bench": 0}
    for segment in sorted(directory.glob("calls.jsonl.*[0-9]")):
        for line in segment.read_text().splitlines():
            record: dict[str, Any] = json.loads(line)
            key = record["event"] if record["event"] == "tool_call" else record["logger"]
            if key in counts:
                counts[key] += 1
    return counts


def table(place: Path, took: dict[str, list[float]], calls: int) -> str:
    rows = []
    inside: dict[str, tuple[list[float], list[float]]] = {}
    for kind, title in TITLES.items():
        spans = json.loads((place / kind / "spans.json").read_text())[WARM:]
        wall, cpu = inside[kind] = [ns / 1e6 for ns, _ in spans], [ns / 1e6 for _, ns in spans]
        cells = [at(values, share) for values in (wall, cpu, took[kind]) for share in (0.5, 0.95)]
        rows.append(f"| {title} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")

    def added(which: int, share: float) -> float:
        return at(inside["instrumented"][which], share) - at(inside["plain"][which], share)

    return (
        f"{calls:,} tool calls on each of three MCP servers over stdio, in turn, one at a time, in random order; every call's "
        "record was counted. Inside the server: from the SDK's dispatcher to the finished result, as time and as CPU time of the thread "
        "that serves.\n\n"
        "| server | inside, p50 ms | p95 | CPU, p50 ms | p95 | at the client, p50 ms | p95 |\n|---|---:|---:|---:|---:|---:|---:|\n"
        + "\n".join(rows)
        + "\n\nA record for each tool call, its context and a guarded standard output add "
        f"{added(0, 0.5):.3f} ms to a call in the middle and {added(0, 0.95):.3f} ms at p95, where at most 0.1 ms is wanted; of CPU time "
        f"{added(1, 0.5):.3f} and {added(1, 0.95):.3f} ms."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=3000, help="tool calls of each server (3000)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="logspool-bench-") as name:
        place = Path(name)
        took = asyncio.run(run(place, asked.calls))
        total = asked.calls + WARM
        expected = {
            "plain": {"tool_call": 0, "stdout": 0, "bench": 0},
            "instrumented": {"tool_call": total, "stdout": 0, "bench": 0},
            "chatty": {"tool_call": total, "stdout": total, "bench": total},
        }
        for kind, counts in expected.items():
            if recorded(place / kind) != counts:
                print(f"{kind}: {recorded(place / kind)} records, not {counts}", file=sys.stderr)
                return 1
        text = table(place, took, asked.calls)
    print(text)
    KEPT.mkdir(exist_ok=True)
    (KEPT / "mcpcalls.json").write_text(json.dumps({"markdown": text}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
