"""Ten minutes of tool calls at 5 to 10 a second on the example servers: nothing is dropped, and the logs rotate and are compressed.

`make soak`; `LOGSPOOL_SOAK_SECONDS` makes it shorter or longer.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import _check as check  # noqa: E402
from _drive import LLM, ROUTING, Session, serve, workload  # noqa: E402
from provider import Provider  # noqa: E402

SECONDS = float(os.environ.get("LOGSPOOL_SOAK_SECONDS", "600"))
SETTINGS = {"LOG_ROTATE_SIZE": "64KB", "LOG_BACKUPS": "0", "OPENROUTER_TIMEOUT": "0.4"}


def rate(at: float) -> float:
    """Requests a second, up and down between 5 and 10 once a minute."""
    return 7.5 + 2.5 * math.sin(at * math.tau / 60)


async def drive(directory: Path, provider: Provider) -> list[Session]:
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
                calls.create_task(sessions[call.server].call(call))
                due += 1 / rate(due - began)
        return list(sessions.values())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.TaskGroup")
def test_ten_minutes_of_requests_lose_nothing_while_logs_rotate_and_are_compressed(tmp_path: Path) -> None:  # req 87
    with Provider(1) as provider:
        sessions = asyncio.run(drive(tmp_path, provider))
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
    print(f"{len(answered)} tool calls, {len(ledger)} requests, {len(compressed)} compressed segments")
