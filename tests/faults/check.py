"""The comparison of what was found in the segments with what the ledgers say was accepted.

A test record's message is `k <writer> <thread> <n> <crc> <padding>`; `n` counts the thread's calls and goes round the logs, so
that `n`, writer and thread tell where the record belongs, and the checksum tells whether its bytes are its own.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import reading
from .foreign import Meddling

LOGS = ("llm-inference.jsonl", "openrouter-costs.jsonl", "routing-metadata.jsonl")
_MESSAGE = re.compile(r"k (\d+) (\d+) (\d+) ([0-9a-f]{8}) (.*)", re.DOTALL)
_SEQ = re.compile(r"(.{8})-([0-9a-f]{10})")
EXAMPLES = 10
COUNTED = ("rounds", "accepted", "found", "in_flight", "lost", "doubled", "torn", "reordered", "foreign", "gaps")
COUNTED += ("damaged", "meddled", "recoverers")


def log_of(thread: int, n: int) -> int:
    """Which of the logs call `n` of `thread` goes to."""
    return (thread + n) % len(LOGS)


def checksum(writer: int, thread: int, n: int, padding: str) -> int:
    """What ties a record's padding to its name."""
    return zlib.crc32(f"{writer} {thread} {n} {padding}".encode())


def message(writer: int, thread: int, n: int, padding: str) -> str:
    """The text of a test record."""
    return f"k {writer} {thread} {n} {checksum(writer, thread, n, padding):08x} {padding}"


@dataclass(frozen=True)
class Calls:
    """What the ledger says of one thread of one writer."""

    attempted: int
    returned: int


@dataclass
class Report:
    """The counts of one comparison; `clean` is the promise."""

    rounds: int = 0
    accepted: int = 0
    found: int = 0
    in_flight: int = 0
    lost: int = 0
    doubled: int = 0
    torn: int = 0
    reordered: int = 0
    foreign: int = 0
    gaps: int = 0
    damaged: int = 0  # records missing because their bytes in the spool were damaged
    meddled: int = 0  # rounds in which another program changed files
    recoverers: int = 0  # kills during recovery, and the longest row of them
    row: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Nothing lost, doubled, torn, out of order, invented, and no gap in the records' own numbering."""
        return not (self.lost or self.doubled or self.torn or self.reordered or self.foreign or self.gaps)

    def note(self, text: str) -> None:
        """Keep the first few findings in words."""
        if len(self.examples) < EXAMPLES:
            self.examples.append(text)

    def add(self, other: Report) -> None:
        """Sum another batch into this one."""
        for name in (*COUNTED, "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.row = max(self.row, other.row)
        for text in other.examples:
            self.note(text)

    def __str__(self) -> str:
        counts = (
            f"rounds {self.rounds}, accepted {self.accepted}, found {self.found} (of which in flight at a kill {self.in_flight}): "
            f"lost {self.lost}, doubled {self.doubled}, torn {self.torn}, out of order {self.reordered}, "
            f"not ours {self.foreign}, gaps in seq {self.gaps}, missing as damaged {self.damaged}; "
            f"recoverers killed {self.recoverers}, up to {self.row} in a row; meddled with in {self.meddled}"
        )
        return "\n  ".join([counts, *self.examples])


def check(
    directory: Path,
    ledgers: Mapping[int, Sequence[Calls]],
    *,
    numbered: bool = True,
    dropping: bool = False,
    meddling: Meddling | None = None,
) -> Report:
    """Compare every log under `directory` with the calls of each writer.

    `numbered` also checks the records' `seq`. With `dropping` records may be missing, but only those that a record in the
    log stands for. `meddling` is what other programs did.
    """
    report = Report(
        rounds=len(ledgers), accepted=sum(calls.returned for threads in ledgers.values() for calls in threads)
    )
    meddling = meddling or Meddling()
    excused, excused_seqs = _excused(meddling)
    seen: dict[tuple[int, int], set[int]] = defaultdict(set)
    for index, name in enumerate(LOGS):
        newest: dict[tuple[int, int], int] = {}
        seqs: dict[str, list[int]] = defaultdict(list)
        for where, line in _lines(directory, name, meddling, report):
            try:
                record = reading.parse(line)
            except ValueError as error:
                report.torn += 1
                report.note(f"torn ({error}) {where}: {line[:160]!r}")
                continue
            if record.get("event") == "spool_damaged" and meddling.excused:
                continue
            if record.get("event") == "log_trouble_ended":  # logspool's own, beside the numbers
                continue
            if numbered:
                _collect_seq(record, seqs, report, where)
            if dropping and record.get("event") == "records_dropped":
                continue
            match = _MESSAGE.fullmatch(str(record.get("event", "")))
            if match is None:
                report.foreign += 1
                report.note(f"not ours {where}: {line[:160]!r}")
                continue
            writer, thread, n = int(match[1]), int(match[2]), int(match[3])
            report.found += 1
            if int(match[4], 16) != checksum(writer, thread, n, match[5]):
                report.torn += 1
                report.note(f"torn (checksum) {where}: {line[:160]!r}")
                continue
            place = f"{where}: {writer} {thread} {n}"
            _place(report, ledgers, seen, newest, (writer, thread, n), log_of(thread, n) == index, place)
        _check_seqs(name, seqs, excused_seqs, report)
    for writer, threads in ledgers.items() if not dropping else ():
        for thread, calls in enumerate(threads):
            missing = set(range(calls.returned)) - seen[writer, thread]
            known = {n for n in missing if (writer, thread, n) in excused}
            report.damaged += len(known)
            missing -= known
            if missing:
                report.lost += len(missing)
                report.note(
                    f"lost: writer {writer} thread {thread}: {len(missing)} of {calls.returned}, first {min(missing)}"
                )
    return report


def _lines(directory: Path, name: str, meddling: Meddling, report: Report) -> Iterator[tuple[str, bytes]]:
    """Every line of a log with where it stands; in a segment that was taken away, those it held before."""
    standing = {segment.number: segment for segment in reading.segments(directory, name)}
    taken = {number for log, number in meddling.before if log == name}
    for number in sorted({*standing, *taken}):
        content = standing[number].read() if number in standing else b""
        if number in taken:
            own = meddling.content(name, number, content if number in standing else None)
            if own is None:
                report.foreign += 1
                report.note(f"{name}.{number:06d} is not what another program left there: {len(content)} bytes")
            content = meddling.before[name, number] if own is None else own
        for line in content.splitlines(keepends=True):
            yield f"{name}.{number:06d}", line


def _excused(meddling: Meddling) -> tuple[set[tuple[int, int, int]], dict[tuple[str, str], set[int]]]:
    """The records whose bytes in a ring were damaged, and their numbers by log and ring."""
    records, seqs = set(), defaultdict(set)
    for name, line in meddling.excused:
        record = reading.parse(line)
        match, seq = _MESSAGE.fullmatch(str(record["event"])), _SEQ.fullmatch(str(record["seq"]))
        if match is not None and seq is not None:
            records.add((int(match[1]), int(match[2]), int(match[3])))
            seqs[name, seq[1]].add(int(seq[2], 16))
    return records, seqs


def _place(
    report: Report,
    ledgers: Mapping[int, Sequence[Calls]],
    seen: dict[tuple[int, int], set[int]],
    newest: dict[tuple[int, int], int],
    name: tuple[int, int, int],
    right_log: bool,
    where: str,
) -> None:
    """File one good record under its thread and judge number, order and log."""
    writer, thread, n = name
    threads = ledgers.get(writer, ())
    if thread >= len(threads) or n >= threads[thread].attempted or not right_log:
        report.foreign += 1
        report.note(f"never written here {where}")
        return
    if n in seen[writer, thread]:
        report.doubled += 1
        report.note(f"doubled {where}")
        return
    seen[writer, thread].add(n)
    if n >= threads[thread].returned:
        report.in_flight += 1
    if n < newest.get((writer, thread), -1):
        report.reordered += 1
        report.note(f"out of order {where}")
    newest[writer, thread] = n


def _collect_seq(record: Mapping[str, Any], seqs: dict[str, list[int]], report: Report, where: str) -> None:
    match = _SEQ.fullmatch(str(record.get("seq", "")))
    if match is None:
        report.gaps += 1
        report.note(f"no seq {where}")
        return
    number = int(match[2], 16)
    fields = record.get("fields", {})
    if record.get("event") == "records_dropped":  # it stands for a range, and bears the number of its end
        number = int(fields["first_seq"].partition("-")[2], 16)
        seqs[match[1]].extend(range(number, number + fields["count"]))
    else:
        seqs[match[1]].append(number)


def _check_seqs(
    name: str,
    seqs: Mapping[str, Iterable[int]],
    excused: Mapping[tuple[str, str], set[int]],
    report: Report,
) -> None:
    """Each ring numbers the records of each log without a gap, in order, from 0 or 1; damaged ones may be missing."""
    for ring, found in seqs.items():
        numbers = list(found)
        missing = excused.get((name, ring), set()) - set(numbers)
        whole = [n for n in range(min(numbers[0], 1), numbers[-1] + 1) if n not in missing]
        if numbers != whole:
            report.gaps += 1
            report.note(f"seq of ring {ring} in {name}: {len(numbers)} numbers, first {numbers[0]}, last {numbers[-1]}")
