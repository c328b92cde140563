"""The real openai client against a provider that keeps its own books: calls, streams, retries, failures, to the last digit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
from logfiles import DEADLINE_SECONDS, lines

import logspool
import logspool.httpx

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from provider import Provider

MODELS = ["meta-llama/llama-3.1-8b-instruct", "anthropic/claude-haiku", "openai/gpt-large"]
FAILURES = (openai.APIError, httpx.HTTPError, httpx2.HTTPError)


@pytest.fixture
def log(tmp_path: Path, root: logging.Logger) -> Iterator[Path]:
    logspool.basicConfig(filename=tmp_path / "a.jsonl", level="INFO", console=False)
    yield tmp_path
    logspool.httpx.uninstrument_all()
    logspool.uninstall()


def parsed(path: Path) -> list[dict[str, Any]]:
    assert logspool.flush(DEADLINE_SECONDS)
    return [json.loads(line, parse_float=Decimal) for line in lines(path)]


def outcome(prompt: str, asked: int) -> str:
    """What becomes of a prompt: it says so itself."""
    kind = prompt.split()[0]
    return "ok" if kind == "limited" and asked else kind


def ask(client: Any, n: int, kind: str, stream: bool) -> Any:
    return client.chat.completions.create(
        model=MODELS[n % 3], messages=[{"role": "user", "content": f"{kind} {n} {stream}"}], stream=stream
    )


@pytest.mark.parametrize(
    "http_client", [None, httpx.AsyncClient, httpx.Client], ids=["own", "httpx-async", "httpx-sync"]
)
def test_the_costs_are_the_providers_own_to_the_last_digit(log: Path, http_client: Any) -> None:  # req 14, 43, 45
    is_async = http_client is not httpx.Client
    of = openai.AsyncOpenAI if is_async else openai.OpenAI
    kinds = ["ok", "ok", "limited", "error", "broken", "timeout"]

    async def one(client: Any, n: int) -> None:
        kind, stream = kinds[n % len(kinds)], n % 2 == 1 or kinds[n % len(kinds)] == "broken"
        with contextlib.nullcontext() if kind in ("ok", "limited") else pytest.raises(FAILURES):
            answer = await ask(client, n, kind, stream) if is_async else ask(client, n, kind, stream)
            if stream and is_async:
                assert [chunk async for chunk in answer]
            elif stream:
                assert list(answer)

    async def whole() -> None:
        own = http_client() if http_client is not None else None
        client = of(base_url=provider.url, api_key="sk-test", max_retries=1, timeout=0.3, http_client=own)
        logspool.httpx.instrument(client, costs=True, hosts={"127.0.0.1": "loopback"})
        if is_async:
            await asyncio.gather(*(one(client, n) for n in range(24)))
            await client.close()
        else:
            for n in range(6):
                await one(client, n)
            client.close()

    # The prompts of each run are its own, and so are the provider's response ids: this process counts each once.
    with Provider(seed=hash(str(log)), outcome=outcome, hang=2.0, latency=(0.0, 0.002)) as provider:
        asyncio.run(whole())
        books = {entry.response_id: entry for entry in provider.ledger}
        made = len(provider.ledger)
    paid = {response_id: entry for response_id, entry in books.items() if entry.cost is not None}
    found = parsed(log / "openrouter-costs.jsonl")
    costs = {
        record["fields"]["response_id"]: record for record in found if record["fields"]["cost"]["total"] is not None
    }
    assert costs.keys() == paid.keys() and paid
    # What a broken stream cost nobody says; it was answered all the same.
    broken = sum(entry.outcome == "broken" for entry in books.values())
    assert len(found) - len(costs) == broken > 0
    for response_id, record in costs.items():
        entry, fields = paid[response_id], record["fields"]
        assert fields["cost"]["total"] == entry.cost
        assert fields["cost"]["source"] == "provider"
        assert (fields["tokens"]["prompt"], fields["tokens"]["completion"]) == (
            entry.prompt_tokens,
            entry.completion_tokens,
        )
        assert (fields["model"], record["request_id"]) == (entry.model, entry.request_id)
    calls = [record for record in parsed(log / "a.jsonl") if record["logger"] == "logspool.http"]
    assert len(calls) == made
    assert {call["fields"].get("retries") for call in calls} == {0, 1}
    outcomes = {call["fields"]["outcome"] for call in calls}
    assert outcomes == {"ok", "http_error", "broken", "timeout"}
    assert not any("sk-test" in line for line in lines(log / "a.jsonl"))


def test_a_cost_that_the_program_logs_itself_is_not_counted_twice(log: Path) -> None:  # req 43
    with Provider(seed=77) as provider:
        provider.outcome = lambda prompt, asked: "ok"
        with openai.OpenAI(base_url=provider.url, api_key="sk-test") as client:
            logspool.httpx.instrument(client, costs=True, hosts=["127.0.0.1"])
            answer = ask(client, 1, "mine", False)
            logspool.log_cost("deep", answer.model, usage=answer.usage, response_id=answer.id)
            raw = client.chat.completions.with_raw_response.create(
                model=MODELS[0], messages=[{"role": "user", "content": "raw"}]
            )
            assert raw.parse().usage is not None
        booked = sorted(entry.cost for entry in provider.ledger if entry.cost is not None)
    costs = parsed(log / "openrouter-costs.jsonl")
    assert sorted(record["fields"]["cost"]["total"] for record in costs) == booked


def test_usage_objects_of_the_client_are_read_as_they_are(log: Path) -> None:  # req 14
    from openai.types import CompletionUsage
    from openai.types.responses import ResponseUsage

    chat = CompletionUsage.model_validate(
        {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 2}}
    )
    logspool.log_cost("t", "m", usage=chat)
    logspool.log_cost(
        "t",
        "m",
        usage=ResponseUsage.model_validate(
            {
                "input_tokens": 9, "output_tokens": 4, "total_tokens": 13,
                "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 3},
            }
        ),
    )  # fmt: skip
    one, two = (record["fields"]["tokens"] for record in parsed(log / "openrouter-costs.jsonl"))
    assert one == {"prompt": 9, "completion": 4, "total": 13, "cached": 2}
    assert {"prompt": 9, "completion": 4, "total": 13, "cached": 2, "reasoning": 3}.items() <= two.items()
