"""MCP server over stdio: calls to language models through OpenRouter, by tier.

Tools: `infer`, `list_tiers`. Environment: OPENROUTER_API_KEY, OPENROUTER_BASE_URL, OPENROUTER_TIMEOUT (seconds),
LOG_DIR, LOG_LEVEL.
"""

import asyncio
import json
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

import logspool.httpx
import logspool.mcp

logspool.basicConfig(service="llm-inference")
logger = logging.getLogger("llm-inference")

BASE_URL = os.environ.get("OPENROUTER_BASE_URL", "https://openrouter.ai/api/v1")
TIMEOUT = float(os.environ.get("OPENROUTER_TIMEOUT", "60"))
MAX_RETRY_AFTER = 2.0  # seconds; a longer wait is the caller's decision

# Dollars per million tokens.
TIERS: dict[str, dict[str, Any]] = {
    "fast": {
        "model": "meta-llama/llama-3.1-8b-instruct",
        "pricing": {"input_per_1m": 0.05, "output_per_1m": 0.08},
    },
    "balanced": {
        "model": "anthropic/claude-haiku",
        "pricing": {"input_per_1m": 0.80, "output_per_1m": 4.00},
    },
    "deep": {
        "model": "openai/gpt-large",
        "pricing": {"input_per_1m": 2.50, "output_per_1m": 10.00},
    },
}


@dataclass
class Answer:
    """What came back for one request; `failure` is None when it succeeded."""

    http_status: int | None = None
    response_id: str | None = None
    text: str = ""
    usage: dict[str, Any] | None = None
    failure: str | None = None
    retry_after: float | None = None  # seconds


client: httpx.AsyncClient


@asynccontextmanager
async def lifespan(_: MCPServer[None]) -> AsyncIterator[None]:
    global client
    headers = {"Authorization": f"Bearer {os.environ.get('OPENROUTER_API_KEY', '')}", "X-Title": "llm-inference"}
    async with httpx.AsyncClient(base_url=BASE_URL, timeout=TIMEOUT, headers=headers) as client:
        # A record and its cost for each request, whatever came of it.
        logspool.httpx.instrument(client, costs="all", hosts={client.base_url.host: "openrouter"})
        logger.info("ready: %d tiers, provider %s", len(TIERS), BASE_URL)
        yield
        logger.info("stopped")


mcp = MCPServer("llm-inference", lifespan=lifespan)


async def read_stream(response: httpx.Response, answer: Answer) -> None:
    """Collects a stream of server-sent events; the usage is in the last chunk."""
    pieces: list[str] = []
    async for line in response.aiter_lines():
        if not line.startswith("data: ") or line == "data: [DONE]":
            continue  # blank lines and comments that keep the connection alive
        chunk = json.loads(line[6:])
        answer.response_id = chunk["id"]
        answer.usage = chunk.get("usage") or answer.usage
        pieces += [choice["delta"].get("content") or "" for choice in chunk["choices"]]
    answer.text = "".join(pieces)


async def ask(model: str, prompt: str, stream: bool, request_id: str) -> Answer:
    """One request to the provider. Failures are told in the answer, not raised."""
    answer = Answer()
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream}
    try:
        async with client.stream(
            "POST", "/chat/completions", json=body, headers={"X-Request-ID": request_id}
        ) as response:
            answer.http_status = response.status_code
            if response.status_code != 200:
                await response.aread()
                answer.failure = f"provider answered {response.status_code}"
                if response.status_code == 429:
                    answer.retry_after = float(response.headers.get("Retry-After", "0"))
            elif stream:
                await read_stream(response, answer)
            else:
                data = json.loads(await response.aread())
                answer.response_id, answer.usage = data["id"], data["usage"]
                answer.text = data["choices"][0]["message"]["content"]
    except httpx.TimeoutException:
        answer.failure = f"no answer within {TIMEOUT:g} s"
    except httpx.HTTPError as error:
        answer.failure = f"connection broke: {str(error) or type(error).__name__}"
        logger.exception("connection to the provider failed", extra={"request_id": request_id, "tool": "infer"})
    return answer


@mcp.tool()
async def infer(tier: str, prompt: str, stream: bool = False, session_id: str | None = None) -> dict[str, Any]:
    """Answers a prompt with the model of a tier ("fast", "balanced", "deep")."""
    if tier not in TIERS:
        logger.warning("unknown tier %s", tier, extra={"tool": "infer", "session_id": session_id})
        raise ToolError(f"unknown tier {tier!r}: choose one of {', '.join(TIERS)}")
    model = TIERS[tier]["model"]
    session = {"session_id": session_id} if session_id else {}  # else it is the connection

    for _ in range(2):
        request_id = f"req_{secrets.token_hex(8)}"
        started = time.perf_counter()
        with logspool.bound(request_id=request_id, tier_id=tier, task="chat", **session):
            answer = await ask(model, prompt, stream, request_id)
        latency_ms = round((time.perf_counter() - started) * 1000, 3)
        if answer.retry_after is None or answer.retry_after > MAX_RETRY_AFTER:
            break
        await asyncio.sleep(answer.retry_after)

    if answer.failure:
        raise ToolError(f"{answer.failure} (request {request_id})")
    return {
        "text": answer.text,
        "model": model,
        "request_id": request_id,
        "usage": answer.usage,
        "latency_ms": latency_ms,
    }


@mcp.tool()
def list_tiers() -> dict[str, Any]:
    """The tiers, their models and prices."""
    logger.info("list_tiers", extra={"tool": "list_tiers"})
    return TIERS


def main() -> None:
    logspool.mcp.instrument(mcp)
    logspool.mcp.guard_stdout()
    mcp.run("stdio")


if __name__ == "__main__":
    main()
