"""A thousand tool calls on the example servers, with and without logspool, at INFO and DEBUG: what logging adds to a call.

    python benches/python/toolcalls.py [--calls 1000]

Five arms make the same calls in alternating blocks, each on two MCP servers of its own over stdio against a provider on loopback: the
servers as they were (`logging.basicConfig` to a file, `open(path, "a")` for every cost) and with logspool (tool calls and HTTP requests
instrumented), both at INFO and at DEBUG, and the servers with logspool at CRITICAL, where only costs are logged. Times inside the
servers are taken by `examples/_timing.py`. Every line of logspool's logs is checked against the calls and the provider's ledger. Leaves
its table for `tables.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import _check as check  # noqa: E402
from _drive import LLM, ROUTING, Call, Session, serve, workload  # noqa: E402
from provider import Provider  # noqa: E402

BLOCK = 20
AT_ONCE = 4
KEPT = HERE.parents[1] / ".benchmarks"


@dataclass
class Arm:
    """One set of servers: which, at what level, where, and how long its calls took at the client, in ms."""

    title: str
    side: str
    level: str
    directory: Path
    provider: Provider
    sessions: dict[str, Session] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)

    async def call(self, call: Call, turn: asyncio.Semaphore) -> None:
        async with turn:
            start = time.perf_counter()
            await self.sessions[call.server].call(call)
            self.took.append((time.perf_counter() - start) * 1e3)

    def spans(self) -> tuple[dict[str, list[float]], float]:
        """µs of each span by kind, "call" for all of one tool call's together, and CPU ms of a tool call."""
        found: dict[str, list[float]] = defaultdict(list)
        cpu = 0.0
        for name in self.sessions:
            timing = json.loads((self.directory / f"{name}.timing.json").read_text())
            sums: dict[int, float] = defaultdict(float)
            for call, kind, ns in timing["spans"]:
                found[kind].append(ns / 1000)
                if call >= 0:
                    sums[call] += ns / 1000
            found["call"] += sums.values()
            cpu += timing["cpu_ns"] / 1e6
        # A tool call that logs nothing takes no time in logging, and is a call all the same.
        found["call"] += [0.0] * max(0, len(self.took) - len(found["call"]))
        return found, cpu / len(self.took)

    def complaints(self) -> list[str]:
        """What is wrong with what the arm left behind; of the records themselves where they are logspool's at INFO or DEBUG."""
        answered = [outcome for session in self.sessions.values() for outcome in session.outcomes]
        found = [c for session in self.sessions.values() for c in check.stdout_complaints(session)]
        found += check.failure_complaints(answered, self.provider.ledger)
        found += check.ledger_complaints(check.records(self.directory / "logs", check.COSTS), self.provider.ledger)
        if self.side == "after" and self.level != "CRITICAL":
            found += check.log_complaints(self.directory / "logs", answered, self.provider.ledger)
            found += check.tool_call_complaints(self.directory / "logs", answered)
        return [f"{self.title}: {complaint}" for complaint in found]


def arms_in(place: Path) -> list[Arm]:
    wanted = (
        ("logspool, CRITICAL (only costs logged)", "after", "CRITICAL"),
        ("before: basicConfig + open(), INFO", "before", "INFO"),
        ("logspool, INFO", "after", "INFO"),
        ("before: basicConfig + open(), DEBUG", "before", "DEBUG"),
        ("logspool, DEBUG", "after", "DEBUG"),
    )
    # A provider each, with the same seed: all are asked to pay the same.
    return [Arm(title, side, level, place / f"{side}-{level}", Provider(1)) for title, side, level in wanted]


async def run(arms: list[Arm], calls: int) -> None:
    """All calls on every arm, block by block; the order of the arms rotates."""
    work = workload(calls)
    async with AsyncExitStack() as stack:
        for arm in arms:
            stack.enter_context(arm.provider)
            settings = {
                "LOG_LEVEL": arm.level,
                "LOG_BACKUPS": "0",
                "OPENROUTER_TIMEOUT": "0.4",
                "OPENROUTER_BASE_URL": arm.provider.url,
            }
            for name in (LLM, ROUTING):
                script = EXAMPLES / arm.side / f"{name}-mcp.py"
                session = await stack.enter_async_context(serve(script, arm.directory, settings, timing=True))
                await session.client.list_tools()  # up and answering before the clock matters
                arm.sessions[name] = session
        turn = asyncio.Semaphore(AT_ONCE)
        for start in range(0, len(work), BLOCK):
            first = start // BLOCK % len(arms)
            for arm in arms[first:] + arms[:first]:
                await asyncio.gather(*(arm.call(call, turn) for call in work[start : start + BLOCK]))


def at(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def table(arms: list[Arm], calls: int) -> str:
    head = (
        "| | logging calls | one logging call, p50 µs | p95 | all logging of a tool call, p50 µs | p95 | tool call at the client, p50 ms "
        "| p95 | CPU of the server a call, ms |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    rows = []
    for arm in arms:
        spans, cpu = arm.spans()
        single = spans["log"] + spans["cost"] + spans["http"]
        rows.append(
            f"| {arm.title} | {len(single):,} | {at(single, 0.5):.1f} | {at(single, 0.95):.1f} | {at(spans['call'], 0.5):.0f} "
            f"| {at(spans['call'], 0.95):.0f} | {statistics.median(arm.took):.2f} | {at(arm.took, 0.95):.2f} | {cpu:.2f} |"
        )
    added = at(arms[2].spans()[0]["call"], 0.95) / 1000
    return (
        f"{calls:,} tool calls an arm on two MCP servers over stdio, {AT_ONCE} at a time, the same calls everywhere, in alternating blocks "
        "against a provider on loopback (which answers some of them with errors, slowly or not at all). Times inside the servers, around "
        "every logging call of the servers' and their libraries', and around all that HTTP capture, which with logspool makes the records "
        f"of requests and costs, does for a request (`examples/_timing.py`).\n\n{head}\n" + "\n".join(rows) + "\n\n"
        f"At INFO all logging takes {added:.3f} ms of a tool call at p95, where at most 1 ms is wanted. Every record of logspool's logs "
        "was compared with the calls made and with the provider's ledger: none lost, none doubled, none wrong."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000, help="tool calls of each arm (1000)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="logspool-bench-") as place:
        arms = arms_in(Path(place))
        asyncio.run(run(arms, asked.calls))
        complaints = [complaint for arm in arms for complaint in arm.complaints()]
        if complaints:
            print(*complaints[:20], sep="\n", file=sys.stderr)
            return 1
        text = table(arms, asked.calls)
    print(text)
    KEPT.mkdir(exist_ok=True)
    (KEPT / "toolcalls.json").write_text(json.dumps({"markdown": text}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
