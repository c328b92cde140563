"""What is logged: W0 to W4, and what a line must hold for the record to count as kept.

W0 is a constant message, W1 a message with `%` arguments, W2 an event with ten fields of which three are nested dicts, W3 an exception
of five frames, W4 the cost of one LLM call (seven fields, two nested dicts). Every record but W0's carries its index, so that a lost or
doubled one shows.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "search_documents"
WORKLOADS = ("W0", "W1", "W2", "W3", "W4")
FRAMES = 5
_FINISHED = re.compile(rf"tool {NAME} (?:finished in|failed at) (\d+)")
_INDEX = {"W2": re.compile(r"call_index\W{1,4}(\d+)"), "W4": re.compile(r"prompt\W{1,4}(\d+)")}
_CONSTANT = {"W0": b"ready", "W2": b"tool_call", "W4": b"openrouter_cost"}
_EXACT_EVERY = 64


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


FIELDS = {"W0": no_fields, "W1": no_fields, "W2": tool_call, "W3": no_fields, "W4": llm_cost}


def level_5(i: int) -> None:
    """The innermost of the five frames."""
    raise ValueError(f"row {i} is not a number")


def level_4(i: int) -> None:
    level_5(i)


def level_3(i: int) -> None:
    level_4(i)


def level_2(i: int) -> None:
    level_3(i)


def lines_in(directory: Path, files: str = "*.jsonl*") -> Iterator[bytes]:
    """Every line of every log file in a directory, compressed ones too, each file once however many names it has."""
    seen: set[int] = set()
    for path in sorted(directory.rglob(files)):
        inode = path.stat().st_ino
        if ".logspool" in path.parts or path.suffix == ".lock" or inode in seen:
            continue
        seen.add(inode)
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield from file


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse).decode


def _fields(record: dict[str, Any]) -> Any:
    """Where the fields stand: in `fields`, in `record.extra` (loguru), in `extra` (logly), or between the other keys."""
    if "fields" in record:
        return record["fields"]
    inner = record.get("record", record)
    return inner.get("extra", inner)


def _message(record: dict[str, Any]) -> str:
    inner = record.get("record", record)
    return str(inner.get("event", inner.get("message", "")))


def _index(workload: str, record: dict[str, Any] | None, line: bytes) -> int | None:
    """The number of the record that a line stands for; None where it bears none."""
    if record is None:
        pattern = _INDEX.get(workload, _FINISHED)
        found = pattern.search(line.decode(errors="replace"))
        return int(found[1]) if found else None
    try:
        if workload == "W2":
            return int(_fields(record)["call_index"])
        if workload == "W4":
            return int(_fields(record)["tokens"]["prompt"])
    except (KeyError, TypeError, ValueError):
        return None
    found = _FINISHED.search(_message(record))
    return int(found[1]) if found else None


def _holds(record: Any, wanted: Any) -> bool:
    """Whether everything in `wanted` is at its place in `record`, of the same type; `record` may hold more."""
    if isinstance(wanted, dict):
        return isinstance(record, dict) and all(k in record and _holds(record[k], v) for k, v in wanted.items())
    return type(record) is type(wanted) and record == wanted


def check(workload: str, directory: Path, count: int, files: str = "*.jsonl*") -> dict[str, int]:
    """Counts what became of records 0 … count-1, every line parsed by the standard library's strict parser.

    `lines`; `lost`; `doubled`; `text`: lines that are not JSON; `wrong`: lines without the fields, or with other values.
    """
    seen = bytearray(count)
    lines = doubled = wrong = text = unnumbered = 0
    for line in lines_in(directory, files):
        record: dict[str, Any] | None
        try:
            record = _decode(line.decode())
        except ValueError:
            record = None
        index = _index(workload, record, line)
        if index is None:
            if _CONSTANT.get(workload, b"\0") not in line:
                text += record is None  # a line of a traceback, or none of ours
                wrong += record is not None
                continue
            unnumbered += 1
        elif not 0 <= index < count:
            wrong += index != -1  # what was logged after a recovery
            continue
        else:
            doubled += seen[index]
            seen[index] = 1
        lines += 1
        text += record is None
        if workload in ("W2", "W4"):
            good = index is not None and record is not None and _same(_fields(record), FIELDS[workload](index), lines)
        elif workload == "W3":
            good = all(f"level_{n}".encode() in line for n in range(2, FRAMES + 1)) and b"ValueError" in line
        else:
            good = True
        wrong += not good
    numbered = count - seen.count(0)
    doubled += max(0, numbered + unnumbered - count)
    return {
        "lines": lines,
        "lost": max(0, count - numbered - unnumbered),
        "doubled": doubled,
        "wrong": wrong,
        "text": text,
    }


def _same(found: Any, wanted: dict[str, Any], number: int) -> bool:
    """All values compared in every line; their types (1 is not true) too in every 64th, which is slower."""
    if number % _EXACT_EVERY == 1 or type(found) is not dict:
        return _holds(found, wanted)
    return all(found.get(key) == value for key, value in wanted.items()) or _holds(found, wanted)
