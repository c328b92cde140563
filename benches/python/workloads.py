"""What is logged: W1 to W4, and what a line must hold for the record to count as kept.

W1 is a message with `%` arguments, W2 an event with ten fields of which three are nested dicts, W3 an exception of five frames, W4 the
cost of one LLM call (seven fields, two nested dicts). Every record carries its index, so that a lost or doubled one shows.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

NAME = "search_documents"
WORKLOADS = ("W1", "W2", "W3", "W4")
FRAMES = 5
_FINISHED = re.compile(rf"tool {NAME} (?:finished in|failed at) (\d+)")


def no_fields(i: int) -> None:
    """W1 and W3 have none: everything is in the message."""


def tool_call(i: int) -> dict[str, Any]:
    """The ten fields of record `i` of W2."""
    return {
        "call_index": i,
        "tool_name": NAME,
        "user": "u-48151623",
        "attempt": 1,
        "ok": True,
        "cache_hit": False,
        "latency_ms": 12.75,
        "tokens": {"prompt": 1200, "completion": 345, "total": 1545},
        "cost": {"input": 0.0006, "output": 0.00069, "total": 0.00129},
        "http": {"method": "POST", "status": 200, "host": "api.example.com", "retries": 0},
    }


def llm_cost(i: int) -> dict[str, Any]:
    """The seven fields of record `i` of W4."""
    return {
        "provider": "openrouter",
        "model": "vendor/some-model-large",
        "tier_id": "standard",
        "tokens": {"prompt": i, "completion": 345, "total": i + 345},
        "cost": {"input": 0.0006, "output": 0.00069, "total": 0.00129},
        "latency_ms": 812.5,
        "http_status": 200,
    }


FIELDS = {"W1": no_fields, "W2": tool_call, "W3": no_fields, "W4": llm_cost}


def level_5(i: int) -> None:
    """The innermost of the five frames."""
    raise ValueError(f"row {i} is not a number")


def level_4(i: int) -> None:
    level_5(i)


def level_3(i: int) -> None:
    level_4(i)


def level_2(i: int) -> None:
    level_3(i)


def lines_in(directory: Path) -> Iterator[bytes]:
    """Every line of every log file in a directory, compressed ones too, each file once however many names it has."""
    seen: set[int] = set()
    for path in sorted(directory.rglob("*.jsonl*")):
        inode = path.stat().st_ino
        if ".logspool" in path.parts or inode in seen:
            continue
        seen.add(inode)
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield from file


def _index(workload: str, record: dict[str, Any]) -> int:
    fields = record.get("fields") or record
    if workload == "W2":
        return int(fields["call_index"])
    if workload == "W4":
        return int(fields["tokens"]["prompt"])
    found = _FINISHED.search(str(record.get("event", "")))
    return int(found[1]) if found else -1


def _holds(record: Any, wanted: Any) -> bool:
    """Whether everything in `wanted` is somewhere at its place in `record`, which may hold more."""
    if isinstance(wanted, dict):
        return isinstance(record, dict) and all(k in record and _holds(record[k], v) for k, v in wanted.items())
    return bool(record == wanted)


def check(workload: str, directory: Path, count: int) -> dict[str, int]:
    """Counts what became of records 0 … count-1: `lines`, `lost`, `doubled`, and `wrong` for lines that lack a field."""
    seen = bytearray(count)
    lines = doubled = wrong = 0
    for line in lines_in(directory):
        lines += 1
        record = orjson.loads(line)
        index = _index(workload, record)
        if not 0 <= index < count:
            wrong += 1
            continue
        doubled += seen[index]
        seen[index] = 1
        if workload in ("W2", "W4"):
            wanted = FIELDS[workload](index)
            good = _holds(record.get("fields") or record, wanted)
        elif workload == "W3":
            good = all(f"level_{n}".encode() in line for n in range(2, FRAMES + 1)) and b"ValueError" in line
        else:
            good = True
        wrong += not good
    return {"lines": lines, "lost": seen.count(0), "doubled": doubled, "wrong": wrong}
