"""Reads what the servers left behind, and says what is wrong with it.

Every function that checks returns a list of complaints, empty when all is well, so that the demo can show them all
and the tests can assert that there are none.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from _drive import API_KEY, LLM, MODELS, ROUTING, Outcome, Session
from provider import Entry

COSTS = "openrouter-costs.jsonl"
TIERS = {model: tier for tier, model in MODELS.items()}
# What the record of a request says of it, by what became of it at the provider; of one that was reset see `told`.
TOLD = {
    "ok": "ok",
    "limited": "http_error",
    "exhausted": "http_error",
    "error": "http_error",
    "timeout": "timeout",
    "broken": "broken",
    "unfinished": "broken",
    "endless": "cancelled",
    "refused": "connect_error",
}
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
    view = {
        "request_id": record.get("request_id"),
        "tier": fields.get("tier_id", fields.get("tier")),
        "model": fields["model"],
        "http_status": fields["http_status"],
        "prompt_tokens": fields["tokens"]["prompt"],
        "completion_tokens": fields["tokens"]["completion"],
        "cost": fields["cost"]["total"],
        "response_id": fields["response_id"],
        "latency_ms": fields["latency_ms"],
    }
    return {**view, "outcome": fields["outcome"]} if "outcome" in fields else view


def told(entry: Entry) -> str:
    """The `outcome` in the record of a request."""
    if entry.outcome == "reset":
        return "error" if entry.http_status is None else "broken"  # before the answer, or within it
    return TOLD[entry.outcome]


def requests(ledger: Iterable[Entry], outcomes: Iterable[Outcome], *, cancelled: bool = True) -> list[Entry]:
    """All requests that were made: those in the provider's ledger, and those of calls that found nobody there.

    Those that were `cancelled` are left out on request: programs that write their costs after each call write none of these.
    """
    made = [entry for entry in ledger if cancelled or entry.outcome != "endless"]
    for outcome in outcomes:
        if outcome.call.refused:
            (request_id,) = re.findall(r"\(request (\w+)\)", outcome.text)
            arguments = outcome.call.arguments
            made.append(Entry(request_id, "", MODELS[arguments["tier"]], arguments["stream"], "refused"))
    return made


def ledger_complaints(written: Iterable[Record], made: Iterable[Entry], what: str = "cost records") -> list[str]:
    """Our records of requests against the provider's own books, request by request and to the last digit."""
    ours: dict[str, list[Record]] = defaultdict(list)
    for record in map(cost_view, written):
        ours[str(record["request_id"])].append(record)
    theirs = {entry.request_id: entry for entry in made}
    complaints = [
        f"request {request_id} has {len(ours[request_id])} {what}, not {int(request_id in theirs)}"
        for request_id in sorted({*ours, *theirs})
        if len(ours[request_id]) != (request_id in theirs)
    ]
    for request_id in sorted(ours.keys() & theirs.keys()):
        entry = theirs[request_id]
        booked: Record = {**vars(entry), "tier": TIERS[entry.model], "outcome": told(entry)}
        if entry.cost is None:
            del booked["response_id"]  # it was told in an answer, or was not
        for record in ours[request_id]:
            if entry.outcome == "endless" and record["http_status"] is None:
                booked["http_status"] = None  # cancelled before the head of the answer was read
            complaints += [
                f"request {request_id}: {key} is {mine} in the {what} and {booked[key]} in the provider's ledger"
                for key, mine in record.items()
                if key in booked and mine != booked[key]
            ]
    return complaints


def cost_table(made: Iterable[Entry]) -> dict[tuple[str, str], tuple[int, int, int, int, Decimal]]:
    """Calls, those of unknown cost, prompt and completion tokens, and dollars, by tier and model: as the provider has them."""
    rows: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in made:
        rows[TIERS[entry.model], entry.model].append(entry)
    return {
        key: (
            len(row),
            sum(entry.cost is None for entry in row),
            sum(entry.prompt_tokens or 0 for entry in row),
            sum(entry.completion_tokens or 0 for entry in row),
            total(entry.cost for entry in row),
        )
        for key, row in rows.items()
    }


def costs_command(logs: Path, *arguments: str) -> str:
    """What `logspool costs` says of the logs, by tier and model."""
    command = [sys.executable, "-m", "logspool", "costs", "--by", "tier,model", *arguments, str(logs)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def table_complaints(logs: Path, made: Iterable[Entry]) -> list[str]:
    """The table of `logspool costs` against the provider's own, row by row and to the last digit."""
    ours = {
        (row["tier"], row["model"]): (
            row["calls"],
            row["unknown"],
            row["tokens"]["prompt"],
            row["tokens"]["completion"],
            Decimal(row["cost"]),
        )
        for row in json.loads(costs_command(logs, "--json"))["rows"]
    }
    theirs = cost_table(made)
    return [
        f"{' '.join(key)}: {ours.get(key)} in the table and {theirs.get(key)} in the provider's ledger"
        for key in sorted({*ours, *theirs})
        if ours.get(key) != theirs.get(key)
    ]


def total(amounts: Iterable[Decimal | int | None]) -> Decimal:
    """The sum of what was billed."""
    return sum((Decimal(amount) for amount in amounts if amount is not None), Decimal(0))


def failure_complaints(outcomes: Iterable[Outcome], made: Iterable[Entry]) -> list[str]:
    """As many tool calls failed as were wrong in themselves or whose request failed in the end."""
    failed, wrong = 0, 0
    for outcome in outcomes:
        failed += outcome.failed
        wrong += outcome.call.fails
    refused = sum(entry.outcome not in ("ok", "limited") for entry in made)
    if failed == wrong + refused:
        return []
    return [f"{failed} tool calls failed: {wrong} were wrong in themselves, the request of {refused} failed"]


def log_complaints(logs: Path, outcomes: Iterable[Outcome], made: Iterable[Entry]) -> list[str]:
    """Every request, with what became of it, and every routing call is in the logs of logspool, once and in order."""
    inference, routing = records(logs, f"{LLM}.jsonl"), records(logs, f"{ROUTING}.jsonl")
    complaints = sequence_complaints(f"{LLM}.jsonl", inference)
    complaints += sequence_complaints(f"{ROUTING}.jsonl", routing)
    complaints += sequence_complaints(COSTS, records(logs, COSTS))
    written = (record for record in inference if record["event"] == "openrouter_request")
    complaints += [f"{LLM}.jsonl: {complaint}" for complaint in ledger_complaints(written, made, "records")]
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
