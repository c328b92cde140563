"""An independent reader of a log's segments: names, numbers and gzip only, nothing of the library's own code.

A log `name` in a directory is the files `name.000001`, `name.000002.gz`, … in the order of their numbers, which have six, seven or
nine digits (eight are a date's). Where a number stands both plain and compressed (a compressor was killed before it removed the
source) the plain one counts.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SEQ = re.compile(r"(.{8})-([0-9a-f]{10})")


@dataclass(frozen=True)
class Segment:
    """One segment file."""

    number: int
    path: Path

    @property
    def compressed(self) -> bool:
        """Whether the file is gzip."""
        return self.path.suffix == ".gz"

    def read(self) -> bytes:
        """The whole content, decompressed; raises if the gzip stream is damaged or cut."""
        try:
            data, compressed = self.path.read_bytes(), self.compressed
        except FileNotFoundError:  # compressed since it was listed, by a process that lives
            data, compressed = self.path.with_name(f"{self.path.name}.gz").read_bytes(), True
        return gzip.decompress(data) if compressed else data


def segments(directory: Path, name: str) -> list[Segment]:
    """The log's segments, oldest first, each number once."""
    pattern = re.compile(re.escape(name) + r"\.(\d{6,7}|\d{9})(\.gz)?")
    found: dict[int, Path] = {}
    for path in directory.iterdir():
        match = pattern.fullmatch(path.name)
        if match and not (match[2] and int(match[1]) in found):
            found[int(match[1])] = path
    return [Segment(number, found[number]) for number in sorted(found)]


def lines(directory: Path, name: str) -> Iterator[tuple[Segment, bytes]]:
    """Every line of the log in order, with its newline; the last line of a segment may lack it if it was torn."""
    for segment in segments(directory, name):
        for line in segment.read().splitlines(keepends=True):
            yield segment, line


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def parse(line: bytes) -> dict[str, Any]:
    """A line as an object; raises ValueError for anything but one whole line of strict JSON."""
    if not line.endswith(b"\n"):
        raise ValueError("no newline at the end")
    value = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def records(directory: Path, name: str) -> list[dict[str, Any]]:
    """Every record of the log in order; raises ValueError at the first line that is not whole."""
    return [parse(line) for _, line in lines(directory, name)]


def events(directory: Path, name: str) -> list[str]:
    """The `event` of every record in order."""
    return [record["event"] for record in records(directory, name)]


def announced(found: list[dict[str, Any]]) -> int:
    """How many records the announcements of drops among a log's records stand for; fails if they leave a gap or overlap."""
    total = 0
    numbers: dict[str, list[int]] = defaultdict(list)
    for record in found:
        if record["event"] == "log_trouble_ended":  # logspool's own, beside the numbers
            continue
        match = _SEQ.fullmatch(str(record.get("seq")))
        assert match is not None, record
        if record["event"] == "records_dropped":
            first, count = record["fields"]["first_seq"].partition("-")[2], record["fields"]["count"]
            numbers[match[1]].extend(range(int(first, 16), int(first, 16) + count))
            total += count
        else:
            numbers[match[1]].append(int(match[2], 16))
    for ring, taken in numbers.items():
        whole = range(min(taken[0], 1), min(taken[0], 1) + len(taken))
        wrong = [pair for pair in zip(taken, whole, strict=True) if pair[0] != pair[1]]
        assert not wrong, (
            f"the numbers of ring {ring} have a gap or go back: {wrong[0][0]} for {wrong[0][1]} of {len(taken)}"
        )
    return total
