"""The comparison of what was found in the segments with what the ledgers say was accepted.

A test record's message is `k <writer> <thread> <n> <crc> <padding>`; `n` counts the thread's calls and goes round the logs, so
that `n`, writer and thread tell where the record belongs, and the checksum tells whether its bytes are its own.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import reading

LOGS = ("llm-inference.jsonl", "openrouter-costs.jsonl", "routing-metadata.jsonl")
_MESSAGE = re.compile(r"k (\d+) (\d+) (\d+) ([0-9a-f]{8}) (.*)", re.DOTALL)
_SEQ = re.compile(r"(.{8})-([0-9a-f]{10})")
EXAMPLES = 10


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
        for name in (
            "rounds",
            "accepted",
            "found",
            "in_flight",
            "lost",
            "doubled",
            "torn",
            "reordered",
            "foreign",
            "gaps",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for text in other.examples:
            self.note(text)

    def __str__(self) -> str:
        counts = (
            f"rounds {self.rounds}, accepted {self.accepted}, found {self.found} (of which in flight at a kill {self.in_flight}): "
            f"lost {self.lost}, doubled {self.doubled}, torn {self.torn}, out of order {self.reordered}, "
            f"not ours {self.foreign}, gaps in seq {self.gaps}"
        )
        return "\n  ".join([counts, *self.examples])


def check(
    directory: Path, ledgers: Mapping[int, Sequence[Calls]], *, numbered: bool = True, dropping: bool = False
) -> Report:
    """Compare every log under `directory` with the calls of each writer.

    `numbered` also checks the records' `seq`. With `dropping` records may be missing, but only those that a record in the
    log stands for.
    """
    report = Report(
        rounds=len(ledgers), accepted=sum(calls.returned for threads in ledgers.values() for calls in threads)
    )
    seen: dict[tuple[int, int], set[int]] = defaultdict(set)
    for index, name in enumerate(LOGS):
        newest: dict[tuple[int, int], int] = {}
        seqs: dict[str, list[int]] = defaultdict(list)
        for segment, line in reading.lines(directory, name):
            where = f"{segment.path.name}: {line[:160]!r}"
            try:
                record = reading.parse(line)
            except ValueError as error:
                report.torn += 1
                report.note(f"torn ({error}) {where}")
                continue
            if numbered:
                _collect_seq(record, seqs, report, where)
            if dropping and record.get("event") == "records_dropped":
                continue
            match = _MESSAGE.fullmatch(str(record.get("event", "")))
            if match is None:
                report.foreign += 1
                report.note(f"not ours {where}")
                continue
            writer, thread, n = int(match[1]), int(match[2]), int(match[3])
            report.found += 1
            if int(match[4], 16) != checksum(writer, thread, n, match[5]):
                report.torn += 1
                report.note(f"torn (checksum) {where}")
                continue
            _place(report, ledgers, seen, newest, (writer, thread, n), log_of(thread, n) == index, where)
        _check_seqs(name, seqs, report)
    for writer, threads in ledgers.items() if not dropping else ():
        for thread, calls in enumerate(threads):
            missing = calls.returned - len([n for n in seen[writer, thread] if n < calls.returned])
            if missing:
                report.lost += missing
                first = min(set(range(calls.returned)) - seen[writer, thread])
                report.note(f"lost: writer {writer} thread {thread}: {missing} of {calls.returned}, first {first}")
    return report


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


def _check_seqs(name: str, seqs: Mapping[str, Iterable[int]], report: Report) -> None:
    """Each ring numbers the records of each log without a gap, in order, from 0 or 1."""
    for ring, found in seqs.items():
        numbers = list(found)
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or numbers[0] > 1:
            report.gaps += 1
            report.note(f"seq of ring {ring} in {name}: {len(numbers)} numbers, first {numbers[0]}, last {numbers[-1]}")
