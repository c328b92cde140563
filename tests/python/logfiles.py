"""Reading what a test logged, over all segments of a log."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEADLINE_SECONDS = 60.0


def segments(path: Path) -> list[Path]:
    """The segments of a log, oldest first; of a plain and a compressed one with the same number the plain one."""
    found: dict[int, Path] = {}
    for file in path.parent.glob(f"{path.name}.*"):
        number = re.fullmatch(re.escape(path.name) + r"\.(\d{6,7}|\d{9})(\.gz)?", file.name)
        if number and (int(number[1]) not in found or not number[2]):
            found[int(number[1])] = file
    return [found[number] for number in sorted(found)]


def lines(path: Path) -> list[str]:
    """Every line of a log, over all of its segments."""
    text = ""
    for file in segments(path):
        data = file.read_bytes()
        text += (gzip.decompress(data) if file.suffix == ".gz" else data).decode("utf-8")
    assert text == "" or text.endswith("\n"), f"{path}: the last line is torn"
    return text.splitlines()


def records(path: Path) -> list[dict[str, Any]]:
    """Every record of a log, over all of its segments."""
    return [json.loads(line) for line in lines(path)]


def events(path: Path) -> list[str]:
    """The event of every record of a log."""
    return [record["event"] for record in records(path)]


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Poll until `condition()` holds; fail the test at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.01)
