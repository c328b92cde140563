"""Runs two MCP servers as they are today and as they are with logspool, and shows the difference.

    python examples/demo.py [DIRECTORY] [--calls 200] [--seed 1]

Drives `examples/before` and `examples/after` with the official MCP client over stdio against a provider on loopback:
the same tool calls on both sides, in alternating blocks, and in the end a few that are cancelled or find nobody there.
Everything is written to DIRECTORY (./demo-logs), which is emptied first if an earlier run made it. Ends with status 1,
and says why, if a call is lost, a server writes anything but JSON-RPC to standard output, a log line is missing or the
costs differ from the provider's ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import textwrap
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import _check as check
from _drive import EXAMPLES, INTERRUPTED, LLM, ROUTING, Outcome, Session, drive, interrupt, serve, workload
from provider import Entry, Provider

BLOCK = 20  # tool calls on one side before it is the other's turn
SIDES = ("before", "after")
PATIENCE = 10.0  # seconds that compression, which runs behind the servers' backs, may take in the end
MARKER = ".made-by-the-logspool-demo"

# Small segments and many of them, so that 200 calls are enough to see rotation and compression.
SETTINGS = {"LOG_ROTATE_SIZE": "16384", "LOG_BACKUPS": "100", "OPENROUTER_TIMEOUT": "0.4"}

# What to try next, in the directory of the logs; tests/python/test_examples.py runs each paragraph.
NEXT = r"""
# follow the log, over rotations too
tail -F llm-inference.jsonl

# read a compressed segment
zcat llm-inference.jsonl.000001.gz | head -n 2

# all warnings and errors, from plain and compressed segments
zcat -f llm-inference.jsonl.[0-9]* | grep -E '"level":"(WARNING|ERROR)"'

# the requests that failed, by what became of them
zcat -f llm-inference.jsonl.[0-9]* | jq -s -c 'map(select(.event == "openrouter_request").fields | select(.outcome != "ok")) |
  group_by([.outcome, .http_status])[] | {outcome: .[0].outcome, http_status: .[0].http_status, requests: length}'

# the ten most expensive requests
zcat -f openrouter-costs.jsonl.[0-9]* |
  jq -s -c 'sort_by(.fields.cost.total // 0) | reverse[:10][] | {request_id, model: .fields.model, usd: .fields.cost.total}'

# all there is about the slowest request
id=$(zcat -f openrouter-costs.jsonl.[0-9]* | jq -r -s 'max_by(.fields.latency_ms).request_id')
zcat -f *.jsonl.[0-9]* | grep "$id" | jq -c '{ts, level, event, fields}'

# each tool: how often, how many failed, the slowest
zcat -f llm-inference.jsonl.[0-9]* routing-metadata.jsonl.[0-9]* | jq -s -c 'map(select(.event == "tool_call")) | group_by(.tool)[] |
  {tool: .[0].tool, calls: length, failed: map(select(.fields.success | not)) | length, slowest_ms: map(.fields.duration_ms) | max}'

# calls that went to another tool than the recommended one
zcat -f routing-metadata.jsonl.[0-9]* | jq -c 'select(.fields.is_compliant == false) | .fields'
"""


@dataclass
class Side:
    """What one side did: its sessions, the provider that it paid, and the measured times."""

    name: str
    directory: Path
    provider: Provider
    sessions: list[Session] = field(default_factory=list)

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for session in self.sessions for outcome in session.outcomes]

    @property
    def requests(self) -> list[Entry]:
        """What must have a record."""
        return check.requests(self.provider.ledger, self.outcomes)

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def spans(self) -> tuple[dict[str, list[float]], float]:
        """Microseconds of each span by kind, with "call" for the sums over a tool call; and CPU ms of a tool call."""
        found: dict[str, list[float]] = defaultdict(list)
        cpu = calls = 0
        for session in self.sessions:
            timing = json.loads((self.directory / f"{session.name}.timing.json").read_text())
            sums: dict[int, float] = defaultdict(float)
            for call, kind, ns in timing["spans"]:
                found[kind].append(ns / 1000)
                if call >= 0:
                    sums[call] += ns / 1000
            found["call"] += sums.values()
            cpu += timing["cpu_ns"]
            calls += len(session.outcomes)
        return found, cpu / 1e6 / max(calls, 1)


def prepare(directory: Path) -> None:
    """An empty directory; what an earlier run left in it goes, anything else is refused."""
    if directory.exists() and any(directory.iterdir()):
        if not (directory / MARKER).exists():
            raise SystemExit(f"{directory}: not empty, and not made by this demo; name another directory")
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARKER).touch()


async def run(directory: Path, calls: int, seed: int) -> list[Side]:
    """Both sides, block by block; which one goes first changes with each block."""
    # A provider each, with the same seed: both sides are asked to pay the same.
    sides = [Side(name, directory / name, Provider(seed)) for name in SIDES]
    work = workload(calls, seed)
    async with AsyncExitStack() as stack:
        for side in sides:
            stack.enter_context(side.provider)
            environment = {**SETTINGS, "OPENROUTER_BASE_URL": side.provider.url}
            for name in (LLM, ROUTING):
                script = EXAMPLES / side.name / f"{name}-mcp.py"
                session = await stack.enter_async_context(serve(script, side.directory, environment, timing=True))
                await session.client.list_tools()  # up and answering before the clock matters
                side.sessions.append(session)
        for start in range(0, len(work), BLOCK):
            for side in sides if start // BLOCK % 2 == 0 else reversed(sides):
                await drive(side.sessions, work[start : start + BLOCK])
        for side in sides:
            await interrupt(side.sessions[0], side.provider)
        await compression(sides[1])
    return sides


async def compression(side: Side) -> None:
    """Waits until the first segment is compressed, if it is due: the newest closed one stays plain for a while."""
    deadline = time.monotonic() + PATIENCE
    while first_compressed(side) is False and time.monotonic() < deadline:
        await asyncio.sleep(0.05)


def first_compressed(side: Side) -> bool | None:
    """Whether the first segment is compressed; None while it need not be."""
    found = check.segments(side.logs, f"{LLM}.jsonl")
    return found[0].suffix == ".gz" if len(found) > 2 else None


def complaints_of(side: Side, calls: int) -> list[str]:
    """All that is wrong with one side."""
    answered = side.outcomes
    found = [reason for session in side.sessions for reason in session.lost]
    if len(answered) != calls:
        found.append(f"{calls - len(answered)} of {calls} tool calls got no answer")
    try:
        for session in side.sessions:
            found += check.stdout_complaints(session)
            if session.exit_status != 0:
                found.append(f"the {session.name} server ended with status {session.exit_status}")
        found += check.failure_complaints(answered, side.requests)
        found += check.secret_complaints(side.directory)
        costs = check.records(side.logs, check.COSTS)
        if side.name == "before":
            found += check.ledger_complaints(costs, check.requests(side.provider.ledger, answered, cancelled=False))
        else:
            found += check.ledger_complaints(costs, side.requests)
            found += check.table_complaints(side.logs, side.requests)
            found += check.log_complaints(side.logs, answered, side.requests)
            found += check.tool_call_complaints(side.logs, answered)
            if first_compressed(side) is False:
                found.append("no segment was compressed")
    except (OSError, ValueError, KeyError) as error:
        found.append(f"a file cannot be read: {error!r}")
    return [f"{side.name}: {complaint}" for complaint in found]


def show_costs(before: Side, after: Side) -> None:
    print("\nWhat the tool calls cost: logspool costs --by tier,model\n")
    print(textwrap.indent(check.costs_command(after.logs), "  "))
    billed = check.total(entry.cost for entry in after.requests)
    print(f"  The provider's own ledger has {billed:.8f} USD: the same, request by request, to the last digit.")
    print("  Requests of unknown cost are those that failed before their usage came:")
    failed = Counter((check.told(entry), entry.http_status) for entry in after.requests if entry.cost is None)
    for (outcome, status), count in sorted(failed.items(), key=str):
        print(f"    {count:4}  {outcome}{f' {status}' if status else ''}")
    unfinished = sum(entry.outcome == "unfinished" for entry in after.requests)
    print(f"  Streams that broke when it had come: {unfinished}. The provider bills them, and they are in the table.")
    missing = len(before.requests) - len(check.records(before.logs, check.COSTS))
    print(f"  Before, {missing} of them have no cost record: those that were cancelled.")


def show_files(after: Side) -> None:
    print(f"\nThe files in {after.logs}\n")
    for name in (f"{LLM}.jsonl", check.COSTS, f"{ROUTING}.jsonl"):
        found = check.segments(after.logs, name)
        print(f"  {name}  (the newest segment under its plain name)")
        for path in found if len(found) <= 6 else [*found[:3], *found[-3:]]:
            print(f"    {path.name:<38} {path.stat().st_size:>7,} bytes {len(check.lines(path)):>5,} records")
            if len(found) > 6 and path == found[2]:
                print(f"    … {len(found) - 6} more")
    print("\nA few lines of each\n")
    samples = (
        (f"{LLM}.jsonl", '"event":"openrouter_request"'),
        (f"{LLM}.jsonl", '"outcome":"cancelled"'),
        (f"{LLM}.jsonl", '"level":"ERROR"'),
        (check.COSTS, '"http_status":200'),
        (check.COSTS, '"http_status":429'),
        (f"{ROUTING}.jsonl", '"event":"routing_validated"'),
        (f"{ROUTING}.jsonl", '"event":"routing_tracked"'),
        (f"{ROUTING}.jsonl", '"event":"tool_call"'),
    )
    for name, mark in samples:
        written = (line for path in check.segments(after.logs, name) for line in check.lines(path))
        line = next((line for line in written if mark in line), "(none)")
        print(f"  {name}\n    {line if len(line) <= 900 else line[:900] + ' …'}")


def show_times(sides: list[Side]) -> None:
    def percentile(values: list[float], part: float) -> float:
        return sorted(values)[min(int(len(values) * part), len(values) - 1)] if values else float("nan")

    print("\nTime spent in logging, inside the servers, µs\n")
    print(f"  {'':<34}{'before':>16}{'after':>20}\n  {'':<34}{'p50':>9}{'p95':>9}{'p50':>11}{'p95':>9}")
    (before, cpu_before), (after, cpu_after) = (side.spans() for side in sides)
    rows = (
        ("a log_cost() call", "cost"),
        ("HTTP capture of one request", "http"),
        ("a logger.info() … call", "log"),
        ("all logging of one tool call", "call"),
    )
    for title, kind in rows:
        cells = [
            f"{percentile(spans[kind], part):.1f}" if spans[kind] else "–"
            for spans in (before, after)
            for part in (0.50, 0.95)
        ]
        print("  {:<34}{:>9}{:>9}{:>11}{:>9}".format(title, *cells))
    print(f"  CPU of the server per tool call, all its threads: {cpu_before:.2f} ms before, {cpu_after:.2f} ms after")
    print(
        "\n  Measured from the start of each call of log_cost, info, warning, error, exception and log (the servers' own and\n"
        "  their libraries') to its return, on the calling thread. HTTP capture, which makes the record of a request and of its\n"
        "  cost where the servers before log both themselves, counts with all that it does: examples/_timing.py."
    )


def show_next(after: Side) -> None:
    print(f"\nWhat to try next\n\n  cd {after.logs}")
    print("\n".join(f"  {line}" if line else "" for line in NEXT.rstrip().splitlines()))


def main() -> int:
    parser = argparse.ArgumentParser(description="Two MCP servers, before and after logspool.")
    parser.add_argument("directory", nargs="?", type=Path, default=Path("demo-logs"))
    parser.add_argument(
        "--calls", type=int, default=200, help=f"tool calls on each side, beside {INTERRUPTED} in the end"
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    directory = arguments.directory.resolve()
    prepare(directory)
    sides = asyncio.run(run(directory, arguments.calls, arguments.seed))

    calls = arguments.calls + INTERRUPTED
    complaints = [complaint for side in sides for complaint in complaints_of(side, calls)]
    if complaints:
        print(f"{len(complaints)} things are wrong:", *complaints[:20], sep="\n  ", file=sys.stderr)
        print(f"The logs and what the servers wrote are in {directory}", file=sys.stderr)
        return 1
    failed = sum(outcome.failed for side in sides for outcome in side.outcomes)
    print(f"{2 * calls} tool calls, {calls} on each side; {failed} of them failed.")
    show_costs(*sides)
    show_files(sides[1])
    show_times(sides)
    show_next(sides[1])
    print(
        "\nChecked: every call answered, none failed unplanned, nothing but JSON-RPC on standard output, every log record\n"
        "there once and in order, a record for each tool call and each request, costs equal to the provider's ledger."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
