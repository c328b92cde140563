"""What a call cost: real shapes of usage, prices, once per response, and the table of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from commands import logspool as command
from logfiles import records
from strict_json import SETTINGS, parse

import logspool
from logspool import _core

Script = Callable[..., CompletedProcess[str]]

# As the providers send them, in full.
USAGES: dict[str, tuple[dict[str, Any], dict[str, int], float | None]] = {
    "openrouter": (
        {
            "prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196, "cost": 0.00014, "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 100, "audio_tokens": 0},
            "cost_details": {"upstream_inference_cost": None, "upstream_inference_prompt_cost": 0.0000776},
            "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 0},
        },
        {"prompt": 194, "completion": 2, "total": 196, "cached": 0, "cache_write": 100, "reasoning": 0},
        0.00014,
    ),
    "openai-chat": (
        {
            "prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 4, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
        },
        {"prompt": 19, "completion": 10, "total": 29, "cached": 5, "reasoning": 4},
        None,
    ),
    "openai-responses": (
        {
            "input_tokens": 36, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 87,
            "output_tokens_details": {"reasoning_tokens": 64}, "total_tokens": 123,
        },
        {"prompt": 36, "completion": 87, "total": 123, "cached": 0, "reasoning": 64},
        None,
    ),
    "anthropic": (
        {
            "input_tokens": 2095, "cache_creation_input_tokens": 2051, "cache_read_input_tokens": 100, "output_tokens": 503,
            "cache_creation": {"ephemeral_5m_input_tokens": 2051, "ephemeral_1h_input_tokens": 0},
            "server_tool_use": {"web_search_requests": 0}, "service_tier": "standard",
        },
        {"prompt": 4246, "completion": 503, "total": 4749, "cached": 100, "cache_write": 2051},
        None,
    ),
    "anthropic-without-cache": (
        {"input_tokens": 10, "cache_creation_input_tokens": None, "cache_read_input_tokens": None, "output_tokens": 3},
        {"prompt": 10, "completion": 3, "total": 13},
        None,
    ),
    # A proxy that counts as OpenAI does and passes Anthropic's numbers on: they are part of the prompt already.
    "litellm": (
        {"prompt_tokens": 120, "completion_tokens": 3, "total_tokens": 123, "cache_read_input_tokens": 100},
        {"prompt": 120, "completion": 3, "total": 123, "cached": 100},
        None,
    ),
}  # fmt: skip


def cost(*args: Any, **kwargs: Any) -> dict[str, Any]:
    fields: dict[str, Any] = parse(_core.encode_cost(SETTINGS, *args, **kwargs))["fields"]
    return fields


@pytest.mark.parametrize("name", USAGES)
def test_usage_as_providers_send_it(name: str) -> None:  # req 14
    usage, tokens, total = USAGES[name]
    fields = cost("t", "m", usage=usage)
    assert fields["tokens"] == tokens
    assert (fields["cost"]["total"], fields["cost"]["source"]) == (total, "provider" if total is not None else None)
    assert json.loads(_core.bill(usage=usage, model="m")) == {"tokens": fields["tokens"], "cost": fields["cost"]}


def test_nothing_spent_is_zero_and_nothing_known_is_null() -> None:  # req 14
    free = cost(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost": 0})
    assert (free["tokens"], free["cost"]["total"]) == ({"prompt": 0, "completion": 0, "total": 0}, 0)
    unknown = cost(usage={"prompt_tokens": None, "cost": None})
    assert (unknown["tokens"], unknown["cost"]["total"]) == ({"prompt": None, "completion": None, "total": None}, None)


def test_a_computed_cost_is_exact_to_the_last_digit() -> None:  # req 14
    for prompt, completion, price_in, price_out in ((123, 7, 0.05, 0.08), (999_983, 31, 0.1, 0.7), (3, 1, 1.1, 2.2)):
        pricing = {"input_per_1m": price_in, "output_per_1m": price_out}
        exact = (prompt * Decimal(str(price_in)) + completion * Decimal(str(price_out))) / 1_000_000
        written = cost(prompt_tokens=prompt, completion_tokens=completion, pricing=pricing)["cost"]["total"]
        assert Decimal(repr(written)) == exact


def test_what_came_from_the_cache_has_its_own_price() -> None:  # req 14
    pricing = {
        "input_per_1m": 3.0, "output_per_1m": 15.0, "cached_per_1m": 0.3, "cache_write_per_1m": 3.75, "currency": "EUR",
    }  # fmt: skip
    computed = cost(usage=USAGES["anthropic"][0], pricing=pricing)["cost"]
    assert computed == {
        "input": (2095 * 3.0 + 100 * 0.3 + 2051 * 3.75) / 1e6, "output": 0.007545,
        "total": 0.02155125, "currency": "EUR", "source": "computed",
    }  # fmt: skip
    without = {"input_per_1m": 3.0, "output_per_1m": 15.0}
    assert cost(usage=USAGES["anthropic"][0], pricing=without)["cost"]["input"] == 0.012738


@pytest.fixture
def price_table() -> Any:
    yield logspool.prices
    logspool.prices(None)


def test_prices_are_those_of_the_longest_name_a_model_begins_with(price_table: Any, tmp_path: Path) -> None:
    table = {
        "gpt-5": {"input_per_1m": 1, "output_per_1m": 10},
        "gpt-5-mini": {"input_per_1m": 0.25, "output_per_1m": 2},
        "openai/gpt-5": {"input_per_1m": 2, "output_per_1m": 20},
    }
    (tmp_path / "prices.json").write_text(json.dumps(table))
    for given in (table, tmp_path / "prices.json", str(tmp_path / "prices.json")):
        price_table(given)

        def total(model: str) -> Any:
            return cost("t", model, prompt_tokens=1_000_000, completion_tokens=0)["cost"]["total"]

        assert total("gpt-5") == total("GPT-5-2026-08-01") == 1
        assert total("gpt-5-mini-2026") == total("azure/gpt-5-mini") == 0.25
        assert total("openai/gpt-5:online") == 2
        assert total("gpt-50") is None and total("llama") is None
        assert total("gpt-5.1") is None and total("gpt-5.1-mini") is None and total("gpt-5.") == 1
    fields = cost("t", "gpt-5", prompt_tokens=1, completion_tokens=1)
    assert fields["pricing"] == table["gpt-5"]
    assert fields["cost"]["source"] == "computed"
    assert cost("t", "gpt-5", usage={"prompt_tokens": 1, "completion_tokens": 1, "cost": 7})["cost"]["total"] == 7
    assert "pricing" not in cost("t", "gpt-5", prompt_tokens=1, cost=2)
    price_table({"*": {"input_per_1m": 4, "output_per_1m": 4}})
    assert cost("t", "whatever", prompt_tokens=1_000_000, completion_tokens=0)["cost"]["total"] == 4
    price_table(None)
    assert cost("t", "gpt-5", prompt_tokens=1, completion_tokens=1)["cost"]["total"] is None


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"m": {"input_per_1m": 1}}, "m: output_per_1m: missing"),
        ({"m": {"input_per_1m": -1, "output_per_1m": 1}}, "m: input_per_1m: -1"),
        ({"m": {"input_per_1m": "x", "output_per_1m": 1}}, "m: input_per_1m: 'x'"),
        ({"m": {"input": 1}}, "m: input: unknown"),
        ({"m": 3}, "m: 3"),
        ({3: {}}, "3: a model's name"),
        ({"m": {"input_per_1m": 10**400, "output_per_1m": 1}}, "m: input_per_1m: 1000"),
        ({"m": {"input_per_1m": 1, "output_per_1m": 1, "currency": 5}}, "m: currency: 5"),
        (
            {"M": {"input_per_1m": 1, "output_per_1m": 1}, "m": {"input_per_1m": 2, "output_per_1m": 1}},
            "m: stands twice",
        ),
        ([], "pass a mapping"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_the_model_named(price_table: Any, table: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        price_table(table)


def test_a_response_is_counted_once(script: Script, tmp_path: Path) -> None:  # req 43
    script(
        """
        import logspool
        logspool.basicConfig(filename="a.jsonl")
        for _ in range(3):
            logspool.log_cost("t", "m", cost=1, response_id="gen-1")
            logspool.log_cost("t", "m", cost=1, response_id="gen-1", provider="another")
        logspool.log_cost("t", "m", cost=1, response_id="gen-2", other="field")
        for _ in range(2):
            logspool.log_cost("t", "m", cost=1)
            logspool.log_cost("t", "m", cost=1, response_id="")
            logspool.log_cost("t", "m", cost=1, response_id=5)
        """
    )
    ids = [record["fields"]["response_id"] for record in records(tmp_path / "openrouter-costs.jsonl")]
    assert ids == ["gen-1", "gen-2", None, "", 5, None, "", 5]


def test_a_record_that_says_nothing_does_not_hide_what_the_response_cost(
    script: Script, tmp_path: Path
) -> None:  # req 43
    script(
        """
        import logspool
        logspool.basicConfig(filename="a.jsonl")
        for _ in range(2):
            logspool.log_cost("t", "m", response_id="gen-1")  # a stream that was closed early
        for _ in range(2):
            logspool.log_cost("t", "m", cost=0.5, response_id="gen-1")  # the provider was asked for it later
            logspool.log_cost("t", "m", response_id="gen-1")
        """
    )
    costs = [record["fields"]["cost"]["total"] for record in records(tmp_path / "openrouter-costs.jsonl")]
    assert costs == [None, 0.5]


OLD_SCRIPT = """
import json, sys
sums = {}
for line in open(sys.argv[1]):
    entry = json.loads(line)
    assert entry["timestamp"][:4] == "2026" or entry["timestamp"]
    key = entry["tier"], entry["model"], entry["task"]
    calls, tokens, usd = sums.get(key, (0, 0, 0))
    usd += entry["tokens"]["prompt"] * entry["pricing"]["input_per_1m"] / 1e6
    sums[key] = calls + 1, tokens + entry["tokens"]["total"], usd + (entry["cost"]["total"] or 0)
print(sorted(sums.items()))
"""


def test_a_script_that_knows_only_the_old_keys_reads_the_log(script: Script, tmp_path: Path) -> None:  # req 43
    script(
        """
        import logspool
        logspool.basicConfig(filename="a.jsonl")
        pricing = {"input_per_1m": 0, "output_per_1m": 2.0}
        for n in (1, 2, 3):
            logspool.log_cost("deep", "m", usage={"prompt_tokens": n, "completion_tokens": 1, "total_tokens": n + 1},
                              cost=0.5, pricing=pricing, task="chat", legacy_keys=True, tool="x")
        logspool.log_cost("fast", "n", prompt_tokens=1, completion_tokens=1, pricing=pricing, task=None, legacy_keys=True)
        """
    )
    done = script(OLD_SCRIPT, str(tmp_path / "openrouter-costs.jsonl"), name="old.py")
    assert done.stdout == "[(('deep', 'm', 'chat'), (3, 9, 1.5)), (('fast', 'n', None), (1, 2, 2e-06))]\n"


# ------------------------------------------------------------------------------------------------------ logspool costs

LEDGER = """
import logspool, time
logspool.basicConfig(filename="logs/a.jsonl", maxBytes=4096, gzip=True)
for n in range(300):
    logspool.log_cost(("deep", "fast")[n % 2], "m-%d" % (n % 3), prompt_tokens=n, completion_tokens=1, cost=0.0000011,
                      tool="infer" if n % 5 else None, latency_ms=1.5)
logspool.log_cost("deep", "m-0", cost={"total": 2, "currency": "EUR"})
logspool.log_cost("deep", "m-\\x1b[31mred\\n")
logspool.shutdown()
"""


@pytest.fixture
def ledger(script: Script, tmp_path: Path) -> Path:
    script(LEDGER)
    assert list((tmp_path / "logs").glob("openrouter-costs.jsonl.*.gz"))
    return tmp_path / "logs"


def test_the_table_adds_up_to_the_last_digit_over_plain_and_gzipped_segments(ledger: Path) -> None:  # req 43
    answer = json.loads(command("costs", "--json", ledger).stdout)
    rows = {(row["model"], row["currency"]): row for row in answer["rows"]}
    assert rows["m-0", "USD"] == {
        "model": "m-0", "calls": 100, "unknown": 0, "tokens": {"prompt": sum(range(0, 300, 3)), "completion": 100},
        "cost": "0.00011", "currency": "USD",
    }  # fmt: skip
    totals = {total["currency"]: total for total in answer["totals"]}
    assert (totals["USD"]["cost"], totals["USD"]["calls"], totals["USD"]["unknown"]) == ("0.00033", 301, 1)
    assert totals["EUR"]["cost"] == "2"
    assert answer["rows"][0]["cost"] == "2"


def test_the_table_is_by_model_tier_tool_and_day_and_sorted(ledger: Path) -> None:
    def rows(*arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(command("costs", "--json", *arguments, ledger).stdout)["rows"]
        return found

    assert [(row["tool"], row["cost"]) for row in rows("--by", "tool") if row["currency"] == "USD"] == [
        ("infer", "0.000264"),
        (None, "0.000066"),
    ]
    both = rows("--by", "day,tier")
    assert {row["tier"] for row in both} == {"deep", "fast"}
    assert [row["day"] for row in both] == sorted(row["day"] for row in both)
    assert rows("--by", "day", "--by", "tier") == both
    assert rows("--until", "2020-01-01") == []
    assert rows("--since", "1d") == rows()
    text = command("costs", ledger).stdout
    assert "\x1b" not in text and "\\x1b[31mred" in text
    assert text.splitlines()[0].split() == ["model", "calls", "unknown", "prompt", "completion", "cost"]
    assert command("costs", ledger, "--until", "2020-01-01").stdout == "no costs\n"


def test_days_and_times_are_those_of_the_records(tmp_path: Path) -> None:
    def line(ts: str, amount: str) -> str:
        return f'{{"ts":"{ts}","logger":"logspool.cost","fields":{{"model":"m","cost":{{"total":{amount}}}}}}}\n'

    old = '{"timestamp":"2026-01-01T12:00:00+00:00","tier":"t","model":"m","cost":{"total":0.5},"tokens":{}}\n'
    first = old + line("2026-01-01T23:59:59.999999Z", "0.1") + "not JSON\n"
    (tmp_path / "c.jsonl.000001.gz").write_bytes(gzip.compress(first.encode()))
    second = line("2026-01-02T00:00:00.000000Z", "0.2") + line(
        "2026-01-03T00:00:00.000000Z", "0.30000000000000000000001"
    )
    (tmp_path / "c.jsonl.000002").write_text(second + line("2026-01-03T00:00:00.000000Z", "9")[:-1])
    (tmp_path / "c.jsonl").hardlink_to(tmp_path / "c.jsonl.000002")
    (tmp_path / "c.jsonl.20260101").write_text(line("2026-01-01T00:00:00.000000Z", "5"))

    def days(*arguments: str) -> dict[str, str]:
        answer = json.loads(command("costs", "--json", "--by", "day", tmp_path / "c.jsonl", *arguments).stdout)
        assert answer["other_lines"] == 1
        return {row["day"]: row["cost"] for row in answer["rows"]}

    assert days() == {"2026-01-01": "0.6", "2026-01-02": "0.2", "2026-01-03": "0.30000000000000000000001"}
    assert days("--since", "2026-01-02", "--until", "2026-01-03T00:00:00Z") == {"2026-01-02": "0.2"}
    assert days("--since", "2026-01-01T23:59") == {**days(), "2026-01-01": "0.1"}


def test_a_damaged_segment_is_named_and_the_rest_is_counted(ledger: Path) -> None:
    packed = min(ledger.glob("openrouter-costs.jsonl.*.gz"))
    packed.write_bytes(packed.read_bytes()[:-200])
    done = command("costs", ledger, status=1)
    assert packed.name.removesuffix(".gz") in done.stderr
    assert "total" in done.stdout


def test_wrong_questions_are_refused_with_what_can_be_asked(ledger: Path, tmp_path: Path) -> None:
    assert "2026-11-21" in command("costs", ledger, "--since", "soon", status=2).stderr
    assert "model" in command("costs", ledger, "--by", "colour", status=2).stderr
    (tmp_path / "empty").mkdir()
    assert "openrouter-costs.jsonl" in command("costs", tmp_path / "empty", status=2).stderr


PRICING = {"input_per_1m": 1, "output_per_1m": 2}


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": 1_000_000},
        {"prompt_tokens": True, "completion_tokens": 1_000_000},
        {"prompt_tokens": "5", "completion_tokens": 1_000_000},
    ],
)
def test_what_is_no_number_of_tokens_has_no_price(usage: dict[str, Any]) -> None:  # req 14
    found = cost("t", "m", usage=usage, pricing=PRICING)["cost"]
    assert (found["input"], found["output"], found["total"]) == (None, 2, None)


def test_prices_may_be_text_and_are_never_below_zero() -> None:  # req 14
    usage = {"prompt_tokens": 3, "completion_tokens": 3}
    assert cost(usage=usage, pricing={"input_per_1m": "1.1", "output_per_1m": "2.2"})["cost"]["total"] == 9.9e-06
    assert cost(usage=usage, pricing={"input_per_1m": -1, "output_per_1m": 2})["cost"]["total"] is None
    assert cost(cost={"input": "0.1", "output": "0.2"})["cost"]["total"] == 0.3


def test_an_embedding_has_no_answer_to_be_paid_for() -> None:  # req 14
    for usage, pricing in (
        ({"prompt_tokens": 1_000_000, "total_tokens": 1_000_000}, PRICING),
        ({"prompt_tokens": 1_000_000}, {"input_per_1m": 1, "output_per_1m": 0}),
    ):
        fields = cost("t", "m", usage=usage, pricing=pricing)
        assert (fields["cost"]["total"], fields["tokens"]["completion"]) == (1, None)
    assert cost("t", "m", usage={"prompt_tokens": 1_000_000}, pricing=PRICING)["cost"]["total"] is None
    assert cost("t", "m", pricing={"input_per_1m": 0, "output_per_1m": 0})["cost"]["total"] is None


def test_a_providers_cost_that_says_nothing_leaves_it_to_the_prices() -> None:  # req 14
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    for nothing in (True, "free", [1], {}, {"total": None}, float("nan")):
        found = cost("t", "m", usage={**usage, "cost": nothing}, pricing=PRICING)["cost"]
        assert (found["total"], found["source"]) == (1, "computed"), nothing
    parts = {"input_tokens_cost": 0.25, "output_tokens_cost": 0.5, "request_cost": 0.25, "total_cost": 1.0}
    found = cost("t", "m", usage={**usage, "cost": parts}, pricing=PRICING)["cost"]
    assert (found["input"], found["output"], found["total"], found["source"]) == (0.25, 0.5, 1.0, "provider")
