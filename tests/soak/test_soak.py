"""Ten minutes of tool calls at 5 to 10 a second on the example servers: nothing is dropped, and the logs rotate and are compressed.

`make soak`; `LOGSPOOL_SOAK_SECONDS` makes it shorter or longer. A run of ten minutes leaves its figures in .benchmarks/soak.json, from
where `make bench-docs` puts them into docs/benchmarks.md.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
sys.path.insert(0, str(EXAMPLES))

import _check as check  # noqa: E402
from _drive import LLM, ROUTING, Call, Session, serve, workload  # noqa: E402
from provider import Provider  # noqa: E402

SECONDS = float(os.environ.get("LOGSPOOL_SOAK_SECONDS", "600"))
WARM = 200  # calls after which a server has all that it needs
SETTINGS = {"LOG_ROTATE_SIZE": "64KB", "LOG_BACKUPS": "0", "OPENROUTER_TIMEOUT": "0.4"}


def rate(at: float) -> float:
    """Requests a second, up and down between 5 and 10 once a minute."""
    return 7.5 + 2.5 * math.sin(at * math.tau / 60)


class Observed:
    """How long the calls took at the client, in ms, and what the servers' memory was at the start and at the end, in bytes."""

    def __init__(self) -> None:
        self.took: list[float] = []
        self.memory: dict[str, list[int]] = {LLM: [], ROUTING: []}

    async def call(self, session: Session, call: Call) -> None:
        start = time.perf_counter()
        await session.call(call)
        self.took.append((time.perf_counter() - start) * 1e3)

    def weigh(self, sessions: dict[str, Session]) -> None:
        for name, session in sessions.items():
            status = Path(f"/proc/{session.pid}/status").read_text()
            resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
            self.memory[name].append(int(resident.split()[1]) * 1024)


async def drive(directory: Path, provider: Provider, observed: Observed) -> list[Session]:
    """Calls the tools at that rate, whether or not earlier calls have been answered."""
    environment = {**SETTINGS, "OPENROUTER_BASE_URL": provider.url}
    async with AsyncExitStack() as stack:
        sessions = {
            name: await stack.enter_async_context(serve(EXAMPLES / "after" / f"{name}-mcp.py", directory, environment))
            for name in (LLM, ROUTING)
        }
        clock = asyncio.get_running_loop().time
        began = due = clock()
        async with asyncio.TaskGroup() as calls:
            for call in workload(math.ceil(SECONDS * 10)):
                if due - began >= SECONDS:
                    break
                await asyncio.sleep(due - clock())
                calls.create_task(observed.call(sessions[call.server], call))
                due += 1 / rate(due - began)
                if len(observed.took) == WARM and not observed.memory[LLM]:
                    observed.weigh(sessions)
        observed.weigh(sessions)
        return list(sessions.values())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.TaskGroup")
def test_ten_minutes_of_requests_lose_nothing_while_logs_rotate_and_are_compressed(tmp_path: Path) -> None:  # req 87
    observed = Observed()
    with Provider(1) as provider:
        sessions = asyncio.run(drive(tmp_path, provider, observed))
        ledger = provider.ledger
    answered = [outcome for session in sessions for outcome in session.outcomes]
    assert len(answered) >= 0.95 * 7.5 * SECONDS * (SECONDS >= 60)

    logs = tmp_path / "logs"
    complaints = [
        *(complaint for session in sessions for complaint in check.stdout_complaints(session)),
        *check.failure_complaints(answered, ledger),
        *check.ledger_complaints(check.records(logs, check.COSTS), ledger),
        *check.log_complaints(logs, answered, ledger),
    ]
    assert not complaints, "\n".join(complaints[:20])
    for name in (f"{LLM}.jsonl", check.COSTS, f"{ROUTING}.jsonl"):
        dropped = [record for record in check.records(logs, name) if record["event"] == "records_dropped"]
        assert not dropped, f"{name}: {dropped}"
    compressed = [segment for segment in check.segments(logs, f"{LLM}.jsonl") if segment.suffix == ".gz"]
    assert compressed, "nothing was rotated and compressed: make the run longer or LOG_ROTATE_SIZE smaller"
    errors = {path.name: path.read_text() for path in tmp_path.glob("*.stderr")}
    assert not any("logspool: cannot" in text for text in errors.values()), errors
    text = report(observed, logs, len(answered), len(ledger))
    print(text)
    if SECONDS >= 600:
        (ROOT / ".benchmarks").mkdir(exist_ok=True)
        (ROOT / ".benchmarks" / "soak.json").write_text(json.dumps({"markdown": text}, indent=1), encoding="utf-8")


def report(observed: Observed, logs: Path, answered: int, requests: int) -> str:
    """What the run showed, for docs/benchmarks.md."""
    took = sorted(observed.took)
    p50, p95, p99 = (took[int(len(took) * share)] for share in (0.5, 0.95, 0.99))
    rows = []
    for name in (f"{LLM}.jsonl", check.COSTS, f"{ROUTING}.jsonl"):
        segments = check.segments(logs, name)
        packed = sum(segment.suffix == ".gz" for segment in segments)
        size = sum(segment.stat().st_size for segment in segments)
        rows.append(
            f"| {name} | {len(check.records(logs, name)):,} | 0 | {len(segments)} | {packed} | {size / 1024:,.0f} |"
        )
    memory = "; ".join(
        f"{name} {sizes[0] / 1e6:.1f} MB after {WARM} calls, {sizes[-1] / 1e6:.1f} MB at the end"
        for name, sizes in observed.memory.items()
        if len(sizes) > 1
    )
    return (
        f"{answered:,} tool calls in {SECONDS:,.0f} s, between 5 and 10 a second, {requests:,} of them requests to the provider; "
        f"{SETTINGS['LOG_ROTATE_SIZE']} a segment. Every record was compared with the calls and the provider's ledger: none lost, none "
        f"doubled, none dropped. A call took {p50:.1f} ms at the client at p50, {p95:.0f} ms at p95, {p99:.0f} ms at p99 (some are "
        f"answered slowly or not at all). The servers' memory: {memory or 'not taken'}.\n\n"
        "| log | records | dropped | segments | of them compressed | KiB on disk |\n|---|---:|---:|---:|---:|---:|\n"
        + "\n".join(rows)
    )
