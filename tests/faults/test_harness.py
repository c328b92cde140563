"""The harness itself: it passes where nothing is lost, and fails for each kind of damage, without the library under test."""

from __future__ import annotations

import gzip
import json
import random
import struct
from pathlib import Path

import pytest
from tests.faults.check import LOGS, Calls, check, log_of, message
from tests.faults.foreign import ALIGN, DATA, FRAME, TABLE, WRAP, Meddling, frames
from tests.faults.kill import Plan, run
from tests.faults.ledger import Ledger, Phase
from tests.faults.reading import parse, segments


def line(n: int, *, writer: int = 0, thread: int = 0, padding: str = "x" * 40, seq: int | None = None) -> bytes:
    """One test record as a finished line."""
    number = n // len(LOGS) if seq is None else seq
    return (
        json.dumps({"event": message(writer, thread, n, padding), "seq": f"ring{writer:04}-{number:010x}"}).encode()
        + b"\n"
    )


def write_all(directory: Path, count: int) -> None:
    """The records 0 … count-1 of one thread, each log in two segments, the first compressed."""
    for index, name in enumerate(LOGS):
        found = [line(n) for n in range(count) if log_of(0, n) == index]
        half = len(found) // 2
        (directory / f"{name}.000001.gz").write_bytes(gzip.compress(b"".join(found[:half])))
        (directory / f"{name}.000002").write_bytes(b"".join(found[half:]))


def rewrite(directory: Path, change: dict[bytes, bytes]) -> None:
    """Replace bytes in the first log's plain segment."""
    path = directory / f"{LOGS[0]}.000002"
    data = path.read_bytes()
    for old, new in change.items():
        assert data.count(old) == 1
        data = data.replace(old, new)
    path.write_bytes(data)


LEDGER = {0: [Calls(attempted=60, returned=60)]}


def test_a_complete_log_is_clean(tmp_path: Path) -> None:
    write_all(tmp_path, 60)
    report = check(tmp_path, LEDGER)
    assert report.clean
    assert report.found == report.accepted == 60


def test_the_one_call_in_flight_may_be_there_or_not(tmp_path: Path) -> None:
    write_all(tmp_path, 60)
    report = check(tmp_path, {0: [Calls(attempted=60, returned=59)]})
    assert report.clean
    assert report.in_flight == 1
    assert check(tmp_path, {0: [Calls(attempted=61, returned=60)]}).clean


def test_a_missing_record_is_lost_and_a_gap(tmp_path: Path) -> None:
    write_all(tmp_path, 60)
    rewrite(tmp_path, {line(45): b""})
    report = check(tmp_path, LEDGER)
    assert (report.lost, report.gaps) == (1, 1)
    assert "first 45" in str(report)


def test_a_missing_tail_is_lost_though_it_leaves_no_gap(tmp_path: Path) -> None:
    write_all(tmp_path, 57)
    report = check(tmp_path, LEDGER)
    assert (report.lost, report.gaps) == (3, 0)


def test_where_drops_are_allowed_a_gap_needs_a_record_that_stands_for_it(tmp_path: Path) -> None:
    write_all(tmp_path, 60)
    rewrite(tmp_path, {line(45) + line(48): b""})
    report = check(tmp_path, LEDGER, dropping=True)
    assert (report.lost, report.gaps) == (0, 1)
    dropped = {
        "event": "records_dropped",
        "fields": {"count": 2, "first_seq": f"ring0000-{15:010x}"},
        "seq": f"ring0000-{16:010x}",
    }
    rewrite(tmp_path, {line(51): json.dumps(dropped).encode() + b"\n" + line(51)})
    report = check(tmp_path, LEDGER, dropping=True)
    assert report.clean, report


def test_a_repeated_record_is_doubled(tmp_path: Path) -> None:
    write_all(tmp_path, 60)
    rewrite(tmp_path, {line(45): line(45) * 2})
    assert check(tmp_path, LEDGER).doubled == 1


def test_swapped_records_are_out_of_order(tmp_path: Path) -> None:
    write_all(tmp_path, 60)
    rewrite(tmp_path, {line(45) + line(48): line(48) + line(45)})
    report = check(tmp_path, LEDGER)
    assert report.reordered == 1
    assert report.gaps == 1


@pytest.mark.parametrize(
    "damaged", [line(45)[:-1], line(45)[:30], line(45).replace(b"xxxx", b"xxyx", 1), b'{"event": NaN}\n']
)
def test_a_cut_or_mixed_record_is_torn(tmp_path: Path, damaged: bytes) -> None:
    write_all(tmp_path, 60)
    rewrite(tmp_path, {line(45): damaged})
    assert check(tmp_path, LEDGER).torn >= 1


def test_a_record_that_nobody_wrote_is_reported(tmp_path: Path) -> None:
    write_all(tmp_path, 60)
    rewrite(tmp_path, {line(45): line(45) + line(72, seq=99)})
    report = check(tmp_path, LEDGER)
    assert report.foreign == 1
    assert not report.clean


def test_a_damaged_gzip_segment_is_an_error(tmp_path: Path) -> None:
    write_all(tmp_path, 60)
    path = tmp_path / f"{LOGS[0]}.000001.gz"
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(EOFError):
        check(tmp_path, LEDGER)


def test_a_segment_standing_twice_is_read_once(tmp_path: Path) -> None:
    write_all(tmp_path, 60)
    first = segments(tmp_path, LOGS[0])[0]
    (tmp_path / first.path.stem).write_bytes(first.read())
    assert check(tmp_path, LEDGER).clean


def test_the_parser_is_strict() -> None:
    for bad in (b'{"a":NaN}\n', b'{"a":1}', b"[1]\n", b'{"a":"\xff"}\n'):
        with pytest.raises(ValueError):
            parse(bad)


def test_the_ledger_is_shared_through_its_file(tmp_path: Path) -> None:
    mine = Ledger(tmp_path / "ledger", create=True)
    theirs = Ledger(tmp_path / "ledger")
    theirs.phase = Phase.LOGGING
    theirs.attempt(3, 2**40)
    theirs.accept(3, 2**40 - 1)
    assert (mine.phase, mine.attempted(3), mine.returned(3), mine.returned(2)) == (Phase.LOGGING, 2**40, 2**40 - 1, 0)


def test_a_writer_that_writes_before_it_returns_passes(tmp_path: Path) -> None:
    report = run(6, Plan(backend="unbuffered", while_opening=0.0, logging_ms=20), seed=1, scratch=tmp_path)
    assert report.clean, report
    assert report.accepted > 100, report


def test_a_writer_that_buffers_fails(tmp_path: Path) -> None:
    report = run(6, Plan(backend="buffered", while_opening=0.0, logging_ms=20), seed=1, scratch=tmp_path)
    assert report.lost > 0, report


@pytest.mark.parametrize("content", [None, b""], ids=["missing", "empty"])
def test_a_log_that_was_never_opened_is_not_meddled_with(tmp_path: Path, content: bytes | None) -> None:
    own = tmp_path / ".logspool"
    own.mkdir()
    if content is not None:  # killed between making the file and filling it in
        (own / f"{LOGS[0]}.state").write_bytes(content)
    meddling = Meddling()
    assert not meddling.interfere(tmp_path, LOGS[0], random.Random(1))
    assert not meddling.damage(own, random.Random(1))
    assert not meddling.before


def test_the_frames_of_a_ring_are_found_where_its_end_has_no_room_for_a_header() -> None:
    """16 bytes, the least there can be, hold the mark that it goes on at the beginning, and no more."""
    salt, line, capacity = 1 << 63 | 12345, b"x" * (3 * ALIGN - FRAME), 10 * ALIGN
    ring = bytearray(DATA + capacity)
    struct.pack_into("=QQ", ring, 16, capacity, salt)
    struct.pack_into("=Q", ring, 64, 6 * ALIGN)  # the tail
    struct.pack_into("=Q", ring, TABLE, len(LOGS[0]))
    ring[TABLE + 128 : TABLE + 128 + len(LOGS[0])] = LOGS[0].encode()

    def put(position: int, length: int, rest: bytes) -> None:
        struct.pack_into("=QII", ring, DATA + position % capacity, position ^ salt, 0, length)
        ring[DATA + position % capacity + 16 : DATA + position % capacity + 16 + len(rest)] = rest

    for position in (6 * ALIGN, 10 * ALIGN):
        put(position, len(line), bytes(8) + line)
    put(9 * ALIGN, WRAP, b"")
    assert [(frame.log, frame.begin) for frame in frames(bytes(ring))] == [(LOGS[0], DATA + 6 * ALIGN), (LOGS[0], DATA)]
