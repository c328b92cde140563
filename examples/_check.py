"""Reads what the servers left behind, and says what is wrong with it.

Every function that checks returns a list of complaints, empty when all is well, so that the demo can show them all
and the tests can assert that there are none.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from _drive import API_KEY, LLM, ROUTING, Outcome, Session
from provider import Entry

COSTS = "openrouter-costs.jsonl"
Record = dict[str, Any]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def parse(line: str) -> Any:
    """One line of strict JSON (no NaN), with numbers that are exact."""
    return json.loads(line, parse_float=Decimal, parse_constant=_refuse)


def segments(logs: Path, name: str) -> list[Path]:
    """The files that hold a log, oldest first: `NAME.000001.gz`, `NAME.000002`, …, or just `NAME` from before."""
    numbered: dict[int, Path] = {}
    for path in sorted(logs.glob(f"{name}.*"), reverse=True):  # the plain one after, and so instead of, its .gz
        if match := re.fullmatch(rf"{re.escape(name)}\.(\d+)(\.gz)?", path.name):
            numbered[int(match[1])] = path
    if numbered:
        return [numbered[number] for number in sorted(numbered)]
    return [logs / name] if (logs / name).exists() else []


def lines(path: Path) -> list[str]:
    """The lines of one segment, compressed or not."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return data.decode().splitlines()


def records(logs: Path, name: str) -> list[Record]:
    """All records of a log, oldest first. Raises ValueError on a line that is not strict JSON."""
    return [parse(line) for segment in segments(logs, name) for line in lines(segment)]


def stdout_complaints(session: Session) -> list[str]:
    """Standard output belongs to the protocol: every line must be a JSON-RPC message."""
    complaints = []
    data = session.stdout.read_bytes()
    if not data.endswith(b"\n"):
        complaints.append(f"{session.stdout}: does not end with a whole line")
    for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            complaints.append(f"{session.stdout}:{number}: not a JSON-RPC message: {line[:80]!r}")
    return complaints


def cost_view(record: Record) -> Record:
    """The part of a cost record that is compared, from the layout before or after."""
    fields = record.get("fields", record)
    return {
        "request_id": record.get("request_id"),
        "tier": fields.get("tier_id", fields.get("tier")),
        "model": fields["model"],
        "http_status": fields["http_status"],
        "prompt_tokens": fields["tokens"]["prompt"],
        "completion_tokens": fields["tokens"]["completion"],
        "cost": fields["cost"]["total"],
        "latency_ms": fields["latency_ms"],
    }


def ledger_complaints(costs: Iterable[Record], ledger: Iterable[Entry]) -> list[str]:
    """Our cost records against the provider's own books, request by request and to the last digit."""
    ours: dict[str, Record] = {}
    complaints = []
    for record in map(cost_view, costs):
        if record["request_id"] in ours:
            complaints.append(f"request {record['request_id']} has two cost records")
        ours[record["request_id"]] = record
    theirs = {entry.request_id: entry for entry in ledger}
    complaints += [f"request {request_id} has no cost record" for request_id in sorted(theirs.keys() - ours.keys())]
    complaints += [
        f"the provider does not know request {request_id}" for request_id in sorted(ours.keys() - theirs.keys())
    ]
    for request_id in sorted(ours.keys() & theirs.keys()):
        for key in ("model", "http_status", "prompt_tokens", "completion_tokens", "cost"):
            mine, booked = ours[request_id][key], getattr(theirs[request_id], key)
            if mine != booked:
                complaints.append(f"request {request_id}: {key} is {mine} here and {booked} in the provider's ledger")
    return complaints


def total(amounts: Iterable[Decimal | int | None]) -> Decimal:
    """The sum of what was billed."""
    return sum((Decimal(amount) for amount in amounts if amount is not None), Decimal(0))


def failure_complaints(outcomes: Iterable[Outcome], ledger: Iterable[Entry]) -> list[str]:
    """As many tool calls failed as were wrong in themselves or failed by the provider in the end."""
    failed, wrong = 0, 0
    for outcome in outcomes:
        failed += outcome.failed
        wrong += outcome.call.fails
    refused = sum(entry.outcome not in ("ok", "limited") for entry in ledger)
    if failed == wrong + refused:
        return []
    return [f"{failed} tool calls failed: {wrong} were wrong in themselves, the provider failed {refused}"]


def log_complaints(logs: Path, outcomes: Iterable[Outcome], ledger: Iterable[Entry]) -> list[str]:
    """Every request and every routing call is in the logs of logspool, once and in order."""
    inference, routing = records(logs, f"{LLM}.jsonl"), records(logs, f"{ROUTING}.jsonl")
    complaints = sequence_complaints(f"{LLM}.jsonl", inference)
    complaints += sequence_complaints(f"{ROUTING}.jsonl", routing)
    complaints += sequence_complaints(COSTS, records(logs, COSTS))
    logged = Counter(str(record.get("request_id")) for record in inference if record["event"] == "openrouter_request")
    made = Counter(entry.request_id for entry in ledger)
    for request_id in sorted({*logged, *made}):
        if logged[request_id] != made[request_id]:
            complaints.append(
                f"{LLM}.jsonl: request {request_id} has {logged[request_id]} records, not {made[request_id]}"
            )
    events = {"validate_routing": "routing_validated", "track_routing": "routing_tracked"}
    wanted = Counter(events.get(outcome.call.tool) for outcome in outcomes if not outcome.failed)
    found = Counter(record["event"] for record in routing)
    for event in events.values():
        if found[event] != wanted[event]:
            complaints.append(f"{ROUTING}.jsonl: {found[event]} records of {event}, not {wanted[event]}")
    return complaints


def tool_call_complaints(logs: Path, outcomes: Iterable[Outcome]) -> list[str]:
    """Every tool call has a record, which says whether the client got an answer or an error."""
    made = Counter((outcome.call.server, outcome.call.tool, not outcome.failed) for outcome in outcomes)
    logged = Counter(
        (name, record.get("tool"), record["fields"]["success"])
        for name in (LLM, ROUTING)
        for record in records(logs, f"{name}.jsonl")
        if record["event"] == "tool_call"
    )
    return [
        f"{server}.jsonl: {logged[server, tool, success]} records of {tool} that {'succeeded' if success else 'failed'}, "
        f"not {made[server, tool, success]}"
        for server, tool, success in sorted({*made, *logged}, key=str)
        if logged[server, tool, success] != made[server, tool, success]
    ]


def sequence_complaints(name: str, written: Iterable[Record]) -> list[str]:
    """`seq` counts up by one for each ring and log: a gap is a lost record, a repetition a doubled one."""
    complaints = []
    last: dict[str, int] = {}
    for record in written:
        ring, _, digits = record["seq"].partition("-")
        number = int(digits, 16)
        if ring in last and number != last[ring] + 1:
            complaints.append(f"{name}: record {record['seq']} follows {ring}-{last[ring]:010x}")
        last[ring] = number
    return complaints


def secret_complaints(directory: Path) -> list[str]:
    """The key of the provider is in no file that was left behind."""
    complaints = []
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        if API_KEY.encode() in data:
            complaints.append(f"{path}: has the key of the provider in it")
    return complaints
