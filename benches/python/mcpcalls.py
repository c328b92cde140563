"""What everything that logspool can switch on adds to a real tool call over stdio: `logspool.mcp`, a guarded stdout, HTTP capture, costs.

    python benches/python/mcpcalls.py [--calls 3000]

Five stdio servers of the official SDK are called with its client, one call at a time, in random order. Three have the same small tool: one
logs nothing, one has `basicConfig`, `instrument` and `guard_stdout`, whose every call leaves its record, and that one once more with a tool
that also prints and logs. The tool of the other two asks a model by a real httpx call to a provider on loopback, which is a process of its
own: one of them logs nothing, the other has everything on, and each of its calls leaves three records: the tool call's, the HTTP call's and
the cost record. Times are taken at the client, and inside the servers around the whole of a tool call. The records are counted. Leaves its
table for `tables.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client

HERE = Path(__file__).resolve().parent
KEPT = HERE.parents[1] / ".benchmarks"
WARM = 200
#: Records that are counted, by event or by logger.
EVENTS = ("tool_call", "openrouter_request", "openrouter_cost")
KINDS = (*EVENTS, "stdout", "bench")
TITLES = {
    "plain": "no logging",
    "instrumented": "basicConfig, instrument, guard_stdout",
    "chatty": "the same, and the tool prints and logs a line",
    "asking": "no logging; the tool asks a model over HTTP",
    "everything": "basicConfig, instrument, guard_stdout, HTTP capture, costs; the tool asks a model over HTTP",
}
#: What each server adds to which other one.
ADDS = {"instrumented": "plain", "everything": "asking"}

SERVER = """
import json, logging, sys, time
from typing import Any
from mcp.server import MCPServer

kind, out, provider = sys.argv[1:]
mcp = MCPServer("bench")
log = logging.getLogger("bench")
if kind in ("plain", "asking"):
    logging.getLogger("mcp").setLevel(logging.WARNING)
else:
    import logspool
    import logspool.mcp

    logspool.basicConfig(filename="calls.jsonl", level="INFO")
    logspool.mcp.instrument(mcp)
    logspool.mcp.guard_stdout()

if kind in ("asking", "everything"):
    import httpx

    # Its own record of each request would be a second one of the same call: as docs/http.md has it, off. So it is without logging.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    client = httpx.AsyncClient(base_url=provider, trust_env=False)
    if kind == "everything":
        import logspool.httpx

        logspool.httpx.instrument(client, costs="all", hosts={"127.0.0.1": "loopback"})

    @mcp.tool()
    async def price(item: str, count: int) -> dict[str, Any]:
        "What so many of an item cost."
        messages = [{"role": "user", "content": f"What do {count} of {item} cost?"}]
        answer = await client.post("/v1/chat/completions", json={"model": "m/large", "messages": messages})
        asked = answer.json()["usage"]["prompt_tokens"]
        return {"item": item, "total": count * 3, "in_stock": asked > 0}

elif kind == "chatty":

    @mcp.tool()
    async def price(item: str, count: int) -> dict[str, Any]:
        "What so many of an item cost."
        print("looking up", item)
        log.info("looking up %s", item)
        return {"item": item, "total": count * 3, "in_stock": True}

else:

    @mcp.tool()
    async def price(item: str, count: int) -> dict[str, Any]:
        "What so many of an item cost."
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
"""

PROVIDER = """
import asyncio, json, sys

answers = 0


async def serve(reader, writer):
    global answers
    while True:
        try:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return
        length = next(int(line[15:]) for line in head.lower().split(b"\\r\\n") if line.startswith(b"content-length:"))
        asked = json.loads(await reader.readexactly(length))
        answers += 1
        message = {"role": "assistant", "content": "They cost what " + asked["messages"][0]["content"] + " asks. " * 40}
        answer = {
            "id": f"gen-{answers:08}", "object": "chat.completion", "created": 1767225600, "model": asked["model"], "choices": [
                {"index": 0, "finish_reason": "stop", "logprobs": None, "message": message},
            ],
            "usage": {
                "prompt_tokens": 19, "completion_tokens": 87, "total_tokens": 106, "cost": 0.0002325,
                "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0},
            },
        }
        body = json.dumps(answer).encode()
        writer.write(
            b"HTTP/1.1 200 OK\\r\\ndate: Thu, 01 Jan 2026 00:00:00 GMT\\r\\ncontent-type: application/json\\r\\nserver: loopback\\r\\n"
            b"x-request-id: theirs-%d\\r\\ncache-control: no-store\\r\\ncontent-length: %d\\r\\n\\r\\n%s" % (answers, len(body), body)
        )


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
"""


@contextmanager
def provider() -> Iterator[str]:
    """The address of a provider of language models, in a process of its own."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PROVIDER], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


async def run(place: Path, calls: int) -> dict[str, list[float]]:
    """Ms of each call at the client, by server."""
    took: dict[str, list[float]] = {kind: [] for kind in TITLES}
    clients: dict[str, Client] = {}
    async with AsyncExitStack() as stack:
        url = stack.enter_context(provider())
        for kind in TITLES:
            directory = place / kind
            directory.mkdir()
            (directory / "server.py").write_text(SERVER)
            errors = stack.enter_context((directory / "stderr").open("w"))
            server = StdioServerParameters(
                command=sys.executable, args=["server.py", kind, str(directory / "spans.json"), url], cwd=directory
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
                assert result.structured_content["in_stock"]
                if number >= WARM:
                    took[kind].append((ended - began) * 1e3)
    return took


def at(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def recorded(directory: Path) -> dict[str, int]:
    """How many records of each kind a server left."""
    counts = dict.fromkeys(KINDS, 0)
    for path in sorted(directory.glob("*.jsonl.*[0-9]")):
        for line in path.read_text().splitlines():
            record: dict[str, Any] = json.loads(line)
            key = record["event"] if record["event"] in EVENTS else record["logger"]
            if key in counts:
                counts[key] += 1
    return counts


def expected(calls: int) -> dict[str, dict[str, int]]:
    """The records of so many calls, by server."""
    none = dict.fromkeys(KINDS, 0)
    return {
        "plain": none,
        "instrumented": {**none, "tool_call": calls},
        "chatty": {**none, "tool_call": calls, "stdout": calls, "bench": calls},
        "asking": none,
        "everything": {**none, **dict.fromkeys(EVENTS, calls)},
    }


def table(place: Path, took: dict[str, list[float]], calls: int) -> str:
    rows = []
    inside: dict[str, tuple[list[float], list[float]]] = {}
    for kind, title in TITLES.items():
        spans = json.loads((place / kind / "spans.json").read_text())[WARM:]
        wall, cpu = inside[kind] = [ns / 1e6 for ns, _ in spans], [ns / 1e6 for _, ns in spans]
        cells = [at(values, share) for values in (wall, cpu, took[kind]) for share in (0.5, 0.95)]
        rows.append(f"| {title} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")

    def added(kind: str) -> str:
        cells = []
        for mine, others in zip((*inside[kind], took[kind]), (*inside[ADDS[kind]], took[ADDS[kind]]), strict=True):
            pairs = [one - other for one, other in zip(mine, others, strict=True)]
            cells += [at(mine, 0.5) - at(others, 0.5), statistics.median(pairs), at(mine, 0.95) - at(others, 0.95)]
        return " | ".join(f"{cell:.3f}" for cell in cells)

    return (
        f"{calls:,} tool calls on each of five MCP servers over stdio, in turn, one at a time, in random order; every record (of tool "
        "calls, HTTP calls, costs, prints) was counted. Inside the server: from the SDK's dispatcher to the finished result, as time "
        "and as CPU time of the thread that serves. The HTTP calls go through one `httpx.AsyncClient` to a provider on loopback, which "
        "is a process of its own.\n\n"
        "| server | inside, p50 ms | p95 | CPU, p50 ms | p95 | at the client, p50 ms | p95 |\n|---|---:|---:|---:|---:|---:|---:|\n"
        + "\n".join(rows)
        + "\n\nWhat is added, in ms: the difference of the medians, the median of the differences between calls of the same number, and "
        "the difference of the 95th percentiles.\n\n"
        "| added by | inside, p50 | pairs | p95 | CPU, p50 | pairs | p95 | at the client, p50 | pairs | p95 |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
        f"| a record for each tool call, its context, a guarded standard output | {added('instrumented')} |\n"
        f"| everything: these, and a record and a cost record for each HTTP call | {added('everything')} |\n\n"
        "At most 0.1 ms is wanted at p95 inside the server with everything on."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=3000, help="tool calls of each server (3000)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="logspool-bench-") as name:
        place = Path(name)
        took = asyncio.run(run(place, asked.calls))
        for kind, counts in expected(asked.calls + WARM).items():
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
