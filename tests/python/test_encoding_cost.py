"""One `log_cost` call to one line."""

from __future__ import annotations

import types
from typing import Any

import pytest
from strict_json import SETTINGS, parse

from logspool import _core


def cost(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return parse(_core.encode_cost(SETTINGS, *args, **kwargs))


def test_a_cost_record_has_the_schema_of_the_ledger_and_missing_is_null() -> None:  # req 14, 43
    parsed = cost("fast", "gpt", request_id="req_1", provider="openrouter")
    assert list(parsed) == ["ts", "level", "logger", "event", "pid", "thread", "request_id", "fields", "seq"]
    assert (parsed["level"], parsed["logger"], parsed["event"]) == ("INFO", "logspool.cost", "openrouter_cost")
    assert parsed["fields"] == {
        "provider": "openrouter",
        "model": "gpt",
        "tier_id": "fast",
        "tokens": {"prompt": None, "completion": None, "total": None},
        "cost": {"input": None, "output": None, "total": None, "currency": "USD", "source": None},
        "latency_ms": None,
        "http_status": None,
        "response_id": None,
        "task": None,
    }


OPENAI = {
    "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": 0.25,
    "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2},
}  # fmt: skip


def namespace(value: Any) -> Any:
    return types.SimpleNamespace(**{k: namespace(v) for k, v in value.items()}) if isinstance(value, dict) else value


@pytest.mark.parametrize(
    "usage", [OPENAI, types.MappingProxyType(OPENAI), namespace(OPENAI)], ids=["dict", "mapping", "object"]
)
def test_openrouters_usage_is_read_with_its_details_and_cost(usage: Any) -> None:  # req 14
    fields = cost(usage=usage)["fields"]
    assert fields["tokens"] == {"prompt": 10, "completion": 5, "total": 15, "cached": 3, "reasoning": 2}
    assert fields["cost"] == {"input": None, "output": None, "total": 0.25, "currency": "USD", "source": "provider"}


@pytest.mark.parametrize(
    "usage", [{"input_tokens": 10, "output_tokens": 5}, {"prompt": 10, "completion": 5, "total": 15}]
)
def test_other_shapes_of_usage_are_read(usage: dict[str, int]) -> None:  # req 14
    assert cost(usage=usage)["fields"]["tokens"] == {"prompt": 10, "completion": 5, "total": 15}


def test_explicit_tokens_override_usage() -> None:
    assert cost(usage=OPENAI, prompt_tokens=100)["fields"]["tokens"]["total"] == 105
    assert cost(prompt_tokens=7)["fields"]["tokens"] == {"prompt": 7, "completion": None, "total": None}


def test_cost_is_the_callers_then_the_providers_then_computed() -> None:  # req 14
    pricing = {"input_per_1m": 1.0, "output_per_1m": 4.0}
    assert cost(usage=OPENAI, cost=0.5, pricing=pricing)["fields"]["cost"]["source"] == "caller"
    assert cost(usage=OPENAI, pricing=pricing)["fields"]["cost"]["source"] == "provider"
    assert cost(prompt_tokens=1_000_000, completion_tokens=500_000, pricing=pricing)["fields"]["cost"] == {
        "input": 1.0, "output": 2.0, "total": 3.0, "currency": "USD", "source": "computed",
    }  # fmt: skip
    assert cost(prompt_tokens=1_000_000, pricing=pricing)["fields"]["cost"]["total"] is None
    assert cost(cost={"input": 0.5, "output": 0.25, "currency": "EUR"})["fields"]["cost"] == {
        "input": 0.5, "output": 0.25, "total": 0.75, "currency": "EUR", "source": "caller",
    }  # fmt: skip
    assert cost(cost=0)["fields"]["cost"]["total"] == 0


def test_legacy_keys_stand_at_the_top_as_the_predecessor_wrote_them() -> None:  # req 43
    pricing = {"input_per_1m": 1.0, "output_per_1m": 4.0}
    parsed = cost("fast", "gpt", usage=OPENAI, pricing=pricing, task="route", legacy_keys=True)
    assert parsed["timestamp"] == parsed["ts"]
    assert (parsed["tier"], parsed["model"], parsed["task"], parsed["pricing"]) == ("fast", "gpt", "route", pricing)
    assert parsed["tokens"] == {"prompt": 10, "completion": 5, "total": 15}
    assert parsed["cost"] == {"input": None, "output": None, "total": 0.25}
    assert "timestamp" not in cost()


def test_other_keywords_are_fields_and_ids_are_promoted() -> None:
    parsed = cost(session_id="s", category="llm", name="n", tokens={"x": 1}, fields={"more": 1}, event="llm.cost")
    assert next(iter(parsed)) == "category"
    assert parsed["session_id"] == "s"
    assert parsed["event"] == "llm.cost"
    assert parsed["fields"]["name"] == "n"
    assert parsed["fields"]["tokens#2"] == {"x": 1}
    assert parsed["fields"]["more"] == 1


def test_hostile_usage_keeps_the_record() -> None:  # req 16
    class Hostile:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __str__(self) -> str:
            raise RuntimeError

    for odd in (Hostile(), 5, "text", [], float("nan"), {"prompt_tokens": "many", "completion_tokens": -1}):
        assert cost(usage=odd, cost=odd, pricing=odd, latency_ms=odd, extra=odd)["event"] == "openrouter_cost"


def test_a_cost_record_too_large_keeps_what_it_costs() -> None:
    huge = {f"key{i}": "v" * 100 for i in range(5000)}
    raw = _core.encode_cost({**SETTINGS, "max_record": 4096}, "fast", cost=1.5, **huge)
    assert len(raw) <= 4096
    assert parse(raw)["fields"]["cost"]["total"] == 1.5
