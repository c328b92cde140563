"""The checks of the demo and of the example tests can fail: each notices what it is there for."""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import _check as check  # noqa: E402
from _drive import API_KEY, LLM, ROUTING, Call, Outcome, Session  # noqa: E402
from provider import Entry  # noqa: E402

MODEL = "meta-llama/llama-3.1-8b-instruct"
ENTRY = Entry("req_1", "gen-1", MODEL, False, "ok", 200, 3, 4, Decimal("0.00000361"))
UNBILLED = replace(ENTRY, prompt_tokens=None, completion_tokens=None, cost=None)
ENDLESS = replace(UNBILLED, outcome="endless")


def cost(request_id: str = "req_1", amount: str | None = "3.61e-06", **fields: Any) -> dict[str, Any]:
    """A cost record as it is read back; by default the one that belongs to ENTRY."""
    whole = {
        "tier_id": "fast",
        "model": MODEL,
        "http_status": 200,
        "tokens": {"prompt": 3, "completion": 4, "total": 7},
        "cost": {"total": amount and Decimal(amount), "currency": "USD"},
        "response_id": "gen-1",
        "latency_ms": 1,
    }
    return {
        "ts": "2026-11-21T10:00:00.000000Z",
        "logger": "logspool.cost",
        "event": "openrouter_cost",
        "request_id": request_id,
        "fields": whole | fields,
    }


def unknown(**fields: Any) -> dict[str, Any]:
    """The record of a request that cost nobody knows what."""
    return cost(amount=None, tokens={"prompt": None, "completion": None, "total": None}, response_id=None, **fields)


@pytest.mark.parametrize(
    ("costs", "complaint"),
    [
        ([cost()], None),
        ([], "req_1 has 0 cost records, not 1"),
        ([cost(), cost()], "req_1 has 2 cost records, not 1"),
        ([cost(), cost("req_2")], "req_2 has 1 cost records, not 0"),
        ([cost(amount="0.00000362")], "cost is 0.00000362 in the cost records"),
        ([cost(amount=None)], "cost is None in"),
        ([cost(tier_id="deep")], "tier is deep in"),
        ([cost(http_status=None)], "http_status is None in"),
        ([cost(response_id="gen-2")], "response_id is gen-2 in"),
        ([cost(outcome="ok")], None),
        ([cost(outcome="broken")], "outcome is broken in the cost records and ok in the provider's ledger"),
    ],
)
def test_it_notices_a_cost_that_is_wrong(costs: list[dict[str, Any]], complaint: str | None) -> None:
    found = check.ledger_complaints(costs, [ENTRY])
    assert [complaint is not None and complaint in text for text in found] == ([True] if complaint else [])


@pytest.mark.parametrize(
    ("entry", "outcome", "notices"),
    [
        (replace(UNBILLED, outcome="reset"), "broken", False),
        (replace(UNBILLED, outcome="reset", http_status=None), "error", False),
        (replace(UNBILLED, outcome="broken"), "broken", False),
        (replace(UNBILLED, outcome="broken"), "ok", True),
        (replace(UNBILLED, outcome="error", http_status=500), "http_error", False),
        (replace(UNBILLED, outcome="timeout", http_status=None), "timeout", False),
        (replace(UNBILLED, outcome="timeout", http_status=None), "cancelled", True),
        (ENDLESS, "cancelled", False),
        (ENDLESS, "closed", True),
    ],
)
def test_it_notices_a_failure_that_is_told_as_another(entry: Entry, outcome: str, notices: bool) -> None:
    found = check.ledger_complaints([unknown(http_status=entry.http_status, outcome=outcome)], [entry])
    assert bool(found) is notices


def test_a_cancelled_request_may_not_have_seen_its_status() -> None:
    assert check.ledger_complaints([unknown(http_status=None)], [ENDLESS]) == []
    assert check.ledger_complaints([unknown(http_status=None)], [replace(ENDLESS, outcome="broken")]) != []
    assert check.requests([ENTRY, ENDLESS], [], cancelled=False) == [ENTRY]


def test_a_request_that_found_nobody_there_must_have_a_record_too() -> None:
    call = Call(LLM, "infer", {"tier": "fast", "stream": True}, refused=True)
    made = check.requests([ENTRY], [Outcome(call, True, "Error: connection broke: refused (request req_7)")])
    assert made == [ENTRY, Entry("req_7", "", MODEL, True, "refused")]
    assert check.ledger_complaints([cost()], made) == ["request req_7 has 0 cost records, not 1"]
    refused = unknown(http_status=None, outcome="connect_error") | {"request_id": "req_7"}
    assert check.ledger_complaints([cost(), refused], made) == []


@pytest.mark.parametrize(
    ("costs", "notices"),
    [
        ([cost(), cost("req_2")], False),
        ([cost()], True),
        ([cost(), cost("req_2", amount="0.000003610001")], True),
        ([cost(), cost("req_2", amount=None)], True),
        ([cost(), cost("req_2", tier_id="deep")], True),
        ([cost(), cost("req_2", tokens={"prompt": 3, "completion": 5})], True),
        ([cost(), cost("req_2"), unknown()], True),
    ],
)
def test_it_notices_a_table_that_is_wrong(tmp_path: Path, costs: list[dict[str, Any]], notices: bool) -> None:
    write(tmp_path / check.COSTS, *costs)
    found = check.table_complaints(tmp_path, [ENTRY, replace(ENTRY, request_id="req_2")])
    assert bool(found) is notices


@pytest.mark.parametrize(
    ("numbers", "notices"),
    [((0, 1, 2), False), ((0, 2), True), ((0, 1, 1), True), ((1, 0), True), ((5, 6), False)],
)
def test_it_notices_a_gap_and_a_repetition(numbers: tuple[int, ...], notices: bool) -> None:
    written = [{"seq": f"abcdefgh-{number:010x}"} for number in numbers]
    assert bool(check.sequence_complaints("x.jsonl", written)) is notices


def write(path: Path, *records: dict[str, Any]) -> None:
    """A log of these records, each with its place in the sequence."""
    numbered = ({**record, "seq": f"abcdefgh-{number:010x}"} for number, record in enumerate(records))
    path.write_text("".join(f"{json.dumps(record, default=float)}\n" for record in numbered))


REQUEST = {**cost(outcome="ok"), "event": "openrouter_request"}
TRACKED = {"event": "routing_tracked"}


@pytest.mark.parametrize(
    ("inference", "routing", "complaint"),
    [
        ([REQUEST], [TRACKED], None),
        ([], [TRACKED], "request req_1 has 0 records, not 1"),
        ([REQUEST, REQUEST], [TRACKED], "request req_1 has 2 records, not 1"),
        ([REQUEST, {**REQUEST, "request_id": "req_2"}], [TRACKED], "request req_2 has 1 records, not 0"),
        ([{**cost(outcome="closed"), "event": REQUEST["event"]}], [TRACKED], "outcome is closed in the records"),
        ([REQUEST], [], "0 records of routing_tracked, not 1"),
        ([REQUEST], [TRACKED, TRACKED], "2 records of routing_tracked, not 1"),
    ],
)
def test_it_notices_a_log_line_that_is_missing_or_doubled(
    tmp_path: Path, inference: list[dict[str, Any]], routing: list[dict[str, Any]], complaint: str | None
) -> None:
    write(tmp_path / f"{LLM}.jsonl.000001", *inference)
    write(tmp_path / f"{ROUTING}.jsonl.000001", *routing)
    outcomes = [Outcome(Call(LLM, "infer", {}), False, ""), Outcome(Call(ROUTING, "track_routing", {}), False, "")]
    found = check.log_complaints(tmp_path, outcomes, [ENTRY])
    assert [complaint is not None and complaint in text for text in found] == ([True] if complaint else [])


@pytest.mark.parametrize(
    ("failed", "fails", "provider", "notices"),
    [
        (False, False, "ok", False),
        (False, False, "limited", False),
        (True, False, "error", False),
        (True, True, None, False),
        (True, False, "ok", True),
        (False, False, "error", True),
        (False, True, None, True),
    ],
)
def test_it_notices_a_call_that_failed_for_another_reason(
    failed: bool, fails: bool, provider: str | None, notices: bool
) -> None:
    ledger = [Entry("req_1", "gen-1", "m", False, provider)] if provider else []
    outcome = Outcome(Call(LLM, "infer", {}, fails), failed, "")
    assert bool(check.failure_complaints([outcome], ledger)) is notices


@pytest.mark.parametrize(
    ("logged", "notices"),
    [([("infer", True)], False), ([], True), ([("infer", True)] * 2, True), ([("infer", False)], True)],
)
def test_it_notices_a_tool_call_without_its_record(
    tmp_path: Path, logged: list[tuple[str, bool]], notices: bool
) -> None:
    records = [{"event": "tool_call", "tool": tool, "fields": {"success": success}} for tool, success in logged]
    (tmp_path / f"{LLM}.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    outcome = Outcome(Call(LLM, "infer", {}), False, "")
    assert bool(check.tool_call_complaints(tmp_path, [outcome])) is notices


MESSAGE = '{"jsonrpc":"2.0","id":1,"result":{}}\n'


@pytest.mark.parametrize(
    ("text", "complaints"),
    [
        (MESSAGE, 0),
        (f"{MESSAGE}hello\n{MESSAGE}", 1),
        (f"{MESSAGE}{{}}\n", 1),
        (f"{MESSAGE}\n", 1),
        (MESSAGE[:-1], 1),
        ('{"jsonrpc":"2.0"', 2),
    ],
)
def test_it_notices_anything_else_on_standard_output(tmp_path: Path, text: str, complaints: int) -> None:
    session = Session(LLM, tmp_path, client=cast(Any, None))
    session.stdout.write_text(text)
    assert len(check.stdout_complaints(session)) == complaints


@pytest.mark.parametrize("line", ['{"a":NaN}', '{"a":1', "text"])
def test_it_reads_only_strict_json(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.jsonl.000001").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"."):
        check.records(tmp_path, "x.jsonl")


def test_it_reads_every_segment_once_and_in_order(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"x.jsonl.{number:06}.gz").write_bytes(gzip.compress(f"{number}\n".encode()))
    (tmp_path / "x.jsonl.000010").write_text("10\n")  # being compressed: both are there for a moment
    (tmp_path / "x.jsonl.1000011").write_text("1000011\n")
    (tmp_path / "x.jsonl").hardlink_to(tmp_path / "x.jsonl.1000011")
    (tmp_path / "xy.jsonl.000001").write_text("0\n")
    assert [str(record) for record in check.records(tmp_path, "x.jsonl")] == ["1", "2", "10", "1000011"]


def test_it_notices_the_key_of_the_provider_in_a_log(tmp_path: Path) -> None:  # req 30
    (tmp_path / "x.jsonl").write_text("nothing")
    assert check.secret_complaints(tmp_path) == []
    line = f'{{"headers":"Bearer {API_KEY}"}}'
    (tmp_path / "x.jsonl").write_text(line)
    (tmp_path / "x.jsonl.000001.gz").write_bytes(gzip.compress(line.encode()))
    assert len(check.secret_complaints(tmp_path)) == 2
