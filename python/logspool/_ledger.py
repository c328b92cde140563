"""The cost log as `budget` reads it: what a line says, and the segments from where the last look ended."""

from __future__ import annotations

import datetime
import gzip
import json
import os
import re
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SEGMENT = re.compile(r"\.(\d{6,7}|\d{9})(\.gz)?")
_CHUNK = 1 << 20


class Cost(NamedTuple):
    """What a line of the cost log says, as far as it matters here."""

    seq: str | None
    pid: int | None
    moment: datetime.datetime | None
    session: str | None
    tool: str | None
    amount: Decimal | None
    currency: str


def parse(line: bytes) -> Cost | None:
    """What a line says; None where it is none of a cost log. Also reads lines of the predecessor of `log_cost`."""
    if b'"cost"' not in line:
        return None
    try:
        record = json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError, ArithmeticError):
        return None
    if not isinstance(record, dict):
        return None
    fields = record.get("fields", record)
    ours = record.get("logger") == "logspool.cost" or ("logger" not in record and "cost" in record)
    if not ours or not isinstance(fields, dict):
        return None
    told = fields.get("cost")
    total, currency = (told.get("total"), told.get("currency")) if isinstance(told, dict) else (told, None)
    moment = record.get("ts") or record.get("timestamp")
    return Cost(
        _text(record.get("seq")),
        record["pid"] if isinstance(record.get("pid"), int) else None,
        _moment(moment),
        _text(record.get("session_id")),
        _text(record.get("tool")),
        amount(total),
        _text(currency) or "USD",
    )


def _moment(value: object) -> datetime.datetime | None:
    """With its zone, without one in UTC, or in seconds since the epoch: as `logspool costs` reads it."""
    utc = datetime.timezone.utc
    try:
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            return datetime.datetime.fromtimestamp(float(value), utc)
        found = datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        return found.astimezone(utc) if found.tzinfo else found.replace(tzinfo=utc)
    except (ValueError, OverflowError, OSError):
        return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def amount(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


class Ledger:
    """The segments of a log, read from where the last look ended."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._directory, self._name = os.path.split(path)
        #: How many bytes of each segment's text were read, by number; 0 is a file from before logspool.
        self._read: dict[int, int] = {}
        self._legacy: tuple[int, int] | None = None

    def new(self, oldest: float | None) -> Iterator[Cost]:
        """What was added; of segments that were last written before `oldest` (seconds since the epoch) nothing."""
        for number, path in self._segments():
            for line in self._lines(number, path, oldest):
                entry = parse(line)
                if entry is not None:
                    yield entry

    def _segments(self) -> list[tuple[int, str]]:
        try:
            names = os.listdir(self._directory)
        except OSError:
            return []
        found: dict[int, str] = {}
        for name in sorted(names, reverse=True):  # the plain one after its .gz, and so instead of it
            match = _SEGMENT.fullmatch(name, len(self._name)) if name.startswith(self._name) else None
            if match:
                found[int(match[1])] = os.path.join(self._directory, name)
        if not found and self._name in names:
            found[0] = os.path.join(self._directory, self._name)
        return sorted(found.items())

    def _lines(self, number: int, path: str, oldest: float | None) -> Iterator[bytes]:
        try:
            state = os.stat(path)
        except OSError:
            return  # Compressed or deleted meanwhile: the next look finds what is left of it.
        identity = (state.st_dev, state.st_ino)
        if number == 0:
            self._legacy = identity
        elif self._legacy == identity:
            self._legacy = None
            self._read[number] = self._read.pop(0, 0)  # It became the first segment.
        start = self._read.get(number, 0)
        packed = path.endswith(".gz")
        if oldest is not None and state.st_mtime < oldest and start == 0:
            return
        if packed and self._read.get(-number) == state.st_size:
            return  # Read to its end.
        if not packed and state.st_size <= start:
            return
        try:
            with gzip.open(path) if packed else open(path, "rb") as file:
                file.seek(start)
                rest = b""
                while chunk := file.read(_CHUNK):
                    lines = (rest + chunk).split(b"\n")
                    rest = lines.pop()
                    for line in lines:
                        start += len(line) + 1
                        self._read[number] = start
                        yield line
            if packed:
                self._read[-number] = state.st_size
        except (OSError, EOFError, ValueError):
            return  # What cannot be read now is tried again.
