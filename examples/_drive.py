"""Starts the example servers and calls their tools with the official MCP client over stdio.

A `Session` is one server process; `workload` is the list of calls, the same for every side that is compared.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client
from provider import AT_LENGTH, Provider

EXAMPLES = Path(__file__).resolve().parent
LLM, ROUTING = "llm-inference", "routing-metadata"
API_KEY = "sk-or-v1-6b1c0ffee-never-in-a-log"
CALL_TIMEOUT = 60.0  # seconds until a tool call counts as lost

# The tiers of the model server.
MODELS = {
    "fast": "meta-llama/llama-3.1-8b-instruct",
    "balanced": "anthropic/claude-haiku",
    "deep": "openai/gpt-large",
}


@dataclass(frozen=True)
class Call:
    """One tool call; one that `fails` is wrong in itself, whatever the provider does; one that is `refused` finds nobody there."""

    server: str
    tool: str
    arguments: dict[str, Any]
    fails: bool = False
    refused: bool = False


@dataclass(frozen=True)
class Outcome:
    """What the client got for a call: `failed` is the protocol's `isError`."""

    call: Call
    failed: bool
    text: str


@dataclass
class Session:
    """A server process, the client that talks to it, what it got, and why calls that `drive` made got no answer."""

    name: str
    directory: Path
    client: Client
    outcomes: list[Outcome] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def stdout(self) -> Path:
        """Everything the server wrote to standard output."""
        return self.directory / f"{self.name}.stdout"

    @property
    def pid(self) -> int:
        return int((self.directory / f"{self.name}.stdout.pid").read_text())

    @property
    def exit_status(self) -> int:
        """How the server ended; only once the session is over."""
        return int((self.directory / f"{self.name}.stdout.exit").read_text())

    async def call(self, call: Call) -> Outcome:
        result = await asyncio.wait_for(self.client.call_tool(call.tool, call.arguments), CALL_TIMEOUT)
        text = " ".join(part.text for part in result.content if part.type == "text")
        outcome = Outcome(call, bool(result.is_error), text)
        self.outcomes.append(outcome)
        return outcome

    async def give_up(self, call: Call, provider: Provider) -> None:
        """Makes a call and cancels it when its request is with the provider, which must not answer it."""
        known = len(provider.ledger)
        task = asyncio.create_task(asyncio.wait_for(self.client.call_tool(call.tool, call.arguments), CALL_TIMEOUT))
        while len(provider.ledger) == known and not task.done():
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            self.outcomes.append(Outcome(call, True, "cancelled"))
        else:
            self.lost.append(f"{call.tool} was to be cancelled, and ended with {task.exception() or task.result()!r}")


@asynccontextmanager
async def serve(
    script: Path, directory: Path, environment: dict[str, str], *, timing: bool = False
) -> AsyncIterator[Session]:
    """One server of `examples/before` or `examples/after`, its logs in `directory`/logs, the rest beside them."""
    directory.mkdir(parents=True, exist_ok=True)
    name = script.name.removesuffix("-mcp.py")
    command = [sys.executable, str(script)]
    if timing:
        command[1:1] = [str(EXAMPLES / "_timing.py"), str(directory / f"{name}.timing.json")]
    tee = [str(EXAMPLES / "_stdout_tee.py"), str(directory / f"{name}.stdout")]
    server = StdioServerParameters(
        command=sys.executable,
        args=[*tee, *command],
        env={"LOG_DIR": str(directory / "logs"), "OPENROUTER_API_KEY": API_KEY, **environment},
        cwd=directory,
    )
    with (directory / f"{name}.stderr").open("a") as errors:
        async with Client(stdio_client(server, errlog=errors)) as client:
            yield Session(name, directory, client)


async def drive(sessions: Iterable[Session], calls: Iterable[Call], *, at_once: int = 4) -> None:
    """Makes the calls, `at_once` of them at a time, each on the server it is for; one without an answer is `lost`."""
    by_name = {session.name: session for session in sessions}
    turn = asyncio.Semaphore(at_once)

    async def one(call: Call) -> None:
        session = by_name[call.server]
        async with turn:
            try:
                await session.call(call)
            except Exception as error:  # a broken connection, a protocol error, no answer in time
                session.lost.append(f"{call.tool} got no answer: {error!r}")

    await asyncio.gather(*(one(call) for call in calls))


SUBJECTS = (
    "the commit on this branch",
    "the file in that folder",
    "the website behind this url",
    "a page to translate",
)
STARTS = ("summarize", "explain", "merge", "download", "draft an answer about", "list")
ROUTED = ("git-mcp", "filesystem-mcp", "fetch-mcp", "llm-inference")


def workload(count: int, seed: int = 1) -> list[Call]:
    """`count` tool calls, six in ten of them to a model, with a few that are wrong in themselves."""
    numbers = random.Random(seed)
    calls = []
    for number in range(count):
        session = f"s-{number % 5}"
        task = f"{numbers.choice(STARTS)} {numbers.choice(SUBJECTS)}"
        if number % 40 == 17:
            calls.append(Call(LLM, "infer", {"tier": "gigantic", "prompt": task, "session_id": session}, True))
        elif number % 40 == 38:
            arguments = {"task": task, "selected_tool": "telepathy-mcp", "session_id": session}
            calls.append(Call(ROUTING, "validate_routing", arguments, True))
        elif number % 10 < 6:
            tier = numbers.choice(("fast", "fast", "balanced", "deep"))
            arguments = {"tier": tier, "prompt": f"{task}, number {number}", "session_id": session}
            calls.append(Call(LLM, "infer", {**arguments, "stream": numbers.random() < 0.4}))
        else:
            arguments = {"task": task, "selected_tool": numbers.choice(ROUTED), "session_id": session}
            if number % 10 < 8:
                calls.append(Call(ROUTING, "validate_routing", arguments))
            else:
                status = "success" if numbers.random() < 0.9 else "failure"
                calls.append(Call(ROUTING, "track_routing", {**arguments, "status": status}))
    return calls


INTERRUPTED = 7  # calls that `interrupt` makes


async def interrupt(session: Session, provider: Provider) -> None:
    """Trouble that is not of the provider's making, a call of each tier: cancelled, then with nobody there; the last is answered."""

    def infer(tier: str, prompt: str, *, stream: bool, refused: bool = False) -> Call:
        arguments = {"tier": tier, "prompt": prompt, "stream": stream, "session_id": "s-1"}
        return Call(LLM, "infer", arguments, refused=refused)

    for tier in MODELS:
        await session.give_up(infer(tier, f"explain {tier} models {AT_LENGTH}", stream=True), provider)
    with provider.away():
        for number, tier in enumerate(MODELS):
            await session.call(infer(tier, "is anybody there", stream=number % 2 == 0, refused=True))
    await session.call(infer("fast", "explain what happened", stream=True))
