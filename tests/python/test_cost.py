"""log_cost: which log it writes to, when that is opened, and what a record holds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from logfiles import events, records, segments

Script = Callable[..., CompletedProcess[str]]


def test_a_cost_record_goes_beside_the_main_log(script: Script, tmp_path: Path) -> None:  # req 27, 43
    script(
        """
        import logspool
        logspool.basicConfig(filename="logs/llm-inference.jsonl", level="CRITICAL", service="llm")
        logspool.log_cost(
            "tier2", "openai/gpt-x", prompt_tokens=10, completion_tokens=5, cost=0.0125, latency_ms=321.5,
            http_status=200, request_id="req_1", response_id="gen_1", extra_field="kept",
        )
        """
    )
    (record,) = records(tmp_path / "logs" / "openrouter-costs.jsonl")
    assert (record["event"], record["logger"], record["level"]) == ("openrouter_cost", "logspool.cost", "INFO")
    assert record["service"] == "llm"
    assert record["request_id"] == "req_1"
    fields = record["fields"]
    assert fields["provider"] == "openrouter"
    assert (fields["tier_id"], fields["model"]) == ("tier2", "openai/gpt-x")
    assert {"prompt": 10, "completion": 5, "total": 15}.items() <= fields["tokens"].items()
    assert fields["cost"]["total"] == 0.0125
    assert (fields["latency_ms"], fields["http_status"], fields["response_id"]) == (321.5, 200, "gen_1")
    assert fields["extra_field"] == "kept"
    assert events(tmp_path / "logs" / "llm-inference.jsonl") == []


def test_what_is_missing_is_null_and_never_zero(script: Script, tmp_path: Path) -> None:  # req 14
    script("import logspool; logspool.basicConfig(filename='a.jsonl'); logspool.log_cost(model='m')")
    fields = records(tmp_path / "openrouter-costs.jsonl")[0]["fields"]
    assert fields["tier_id"] is None
    assert fields["latency_ms"] is None
    assert fields["http_status"] is None
    assert fields["cost"] is None or fields["cost"]["total"] is None
    assert fields["tokens"] is None or fields["tokens"]["total"] is None


def test_a_providers_usage_is_taken_as_it_is(script: Script, tmp_path: Path) -> None:  # req 14, 43
    script(
        """
        import logspool
        logspool.basicConfig(filename="a.jsonl")
        logspool.log_cost("t", "m", usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "cost": 0.5})
        logspool.log_cost("t", "m", usage={"prompt": 1, "completion": 2, "total": 3}, cost={"input": 1, "output": 2, "total": 3})
        """
    )
    one, two = (record["fields"] for record in records(tmp_path / "openrouter-costs.jsonl"))
    assert {"prompt": 7, "completion": 3, "total": 10}.items() <= one["tokens"].items()
    assert one["cost"]["total"] == 0.5
    assert {"prompt": 1, "completion": 2, "total": 3}.items() <= two["tokens"].items()
    assert {"input": 1, "output": 2, "total": 3}.items() <= two["cost"].items()


def test_legacy_keys_are_at_top_level_for_scripts_that_know_only_them(script: Script, tmp_path: Path) -> None:  # req 43
    script(
        """
        import logspool
        logspool.basicConfig(filename="a.jsonl")
        logspool.log_cost("t", "m", prompt_tokens=1, completion_tokens=2, cost=0.1, task="summary",
            pricing={"input_per_1m": 1.0, "output_per_1m": 2.0}, legacy_keys=True)
        """
    )
    (record,) = records(tmp_path / "openrouter-costs.jsonl")
    assert {"timestamp", "tier", "model", "task", "tokens", "cost", "pricing"} <= record.keys()
    assert (record["tier"], record["model"], record["task"]) == ("t", "m", "summary")
    assert record["pricing"] == {"input_per_1m": 1.0, "output_per_1m": 2.0}


def test_the_cost_log_is_opened_with_the_first_cost(script: Script, tmp_path: Path) -> None:
    script("import logging, logspool; logspool.basicConfig(filename='a.jsonl'); logging.error('x')")
    assert not (tmp_path / "openrouter-costs.jsonl").exists()


def test_cost_filename_names_it(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logspool
        logspool.basicConfig(filename="logs/a.jsonl", cost_filename="costs.jsonl")
        logspool.log_cost(model="beside")
        logspool.basicConfig(filename="logs/a.jsonl", cost_filename="ledger/costs.jsonl")
        logspool.log_cost(model="elsewhere")
        logspool.basicConfig(filename="logs/a.jsonl", cost_filename=None)
        logspool.log_cost(model="in the log")
        """
    )
    for path, model in (
        ("logs/costs.jsonl", "beside"),
        ("ledger/costs.jsonl", "elsewhere"),
        ("logs/a.jsonl", "in the log"),
    ):
        assert [record["fields"]["model"] for record in records(tmp_path / path)] == [model]


def test_before_basicconfig_costs_go_where_the_log_would(script: Script, tmp_path: Path) -> None:
    code = "import logspool; logspool.log_cost(model='early'); logspool.log_cost(model='second')"
    for env, path in (
        ({}, tmp_path / "logs"),
        ({"LOG_DIR": "var"}, tmp_path / "var"),
        ({"LOG_DIR": "var", "LOGSPOOL_DIR": "ours"}, tmp_path / "ours"),
    ):
        script(code, env=env)
        assert len(records(path / "openrouter-costs.jsonl")) == 2


def test_basicconfig_moves_the_costs_to_its_own_directory(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logspool
        logspool.log_cost(model="before")
        logspool.basicConfig(filename="main/a.jsonl")
        logspool.log_cost(model="after")
        """
    )
    for directory, model in (("logs", "before"), ("main", "after")):
        (record,) = records(tmp_path / directory / "openrouter-costs.jsonl")
        assert record["fields"]["model"] == model


def test_the_cost_log_keeps_its_own_number_of_segments(script: Script, tmp_path: Path) -> None:  # req 24
    script(
        """
        import logspool
        logspool.basicConfig(filename="a.jsonl", maxBytes=4096, backupCount=1, gzip=False)
        for n in range(200):
            logspool.log_cost("tier", "model", prompt_tokens=n, note="x" * 100)
        """
    )
    path = tmp_path / "openrouter-costs.jsonl"
    assert len(segments(path)) > 5
    assert [record["fields"]["tokens"]["prompt"] for record in records(path)] == list(range(200))


def test_a_cost_log_that_cannot_be_opened_does_not_raise_into_the_program(script: Script, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("in the way")
    result = script(
        """
        import logspool
        logspool.basicConfig(filename="a.jsonl", cost_filename="taken/costs.jsonl")
        logspool.log_cost(model="lost")
        logspool.log_cost(model="lost too")
        print("went on")
        """
    )
    assert result.stdout == "went on\n"
    assert "taken" in result.stderr


def test_odd_values_do_not_raise(script: Script, tmp_path: Path) -> None:  # req 16
    script(
        """
        import logspool
        logspool.basicConfig(filename="a.jsonl")
        class Odd:
            def __getattr__(self, name):
                raise RuntimeError(name)
            def __repr__(self):
                raise RuntimeError("repr")
        for value in (Odd(), float("nan"), 10 ** 40, "text", b"bytes", [1], {1: 2}, object()):
            logspool.log_cost(value, value, usage=value, prompt_tokens=value, cost=value, pricing=value, latency_ms=value,
                http_status=value, request_id=value, task=value, more=value)
        """
    )
    assert len(records(tmp_path / "openrouter-costs.jsonl")) == 8


def test_the_documents_grep_finds_costs(script: Script, tmp_path: Path) -> None:  # req 43
    script("import logspool; logspool.basicConfig(filename='a.jsonl'); logspool.log_cost('t', 'm', cost=0.1)")
    (segment,) = segments(tmp_path / "openrouter-costs.jsonl")
    text = segment.read_text()
    assert '"event":"openrouter_cost"' in text
    assert re.fullmatch(r"\{.*\}\n", text)
    assert json.loads(text)["ts"].endswith("Z")


def test_keywords_made_at_run_time_and_mistakes_read_as_in_any_call(
    script: Script, tmp_path: Path
) -> None:  # req 14, 43
    script(
        """
        import logspool
        logspool.basicConfig(filename="a.jsonl")
        made = {"".join(["mo", "del"]): "m", "".join(["latency", "_ms"]): 5, "".join(["provider"]): None}
        logspool.log_cost(model="m", latency_ms=5, provider=None)
        logspool.log_cost(**made)
        for args, keywords in (((1, 2, 3), {}), ((1, 2), {"model": 3}), ((), {"legacy_keys": "yes"})):
            try:
                logspool.log_cost(*args, **keywords)
            except TypeError:
                logspool.log_cost("wrong")
        """
    )
    plain, made, *wrong = (record["fields"] for record in records(tmp_path / "openrouter-costs.jsonl"))
    assert plain == made
    assert plain["provider"] is None
    assert [fields["tier_id"] for fields in wrong] == ["wrong"] * 3
