"""`logspool verify`: each promise it proves is broken here by hand, and it must say so; what is no loss, it must not call one."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import NOBODY, clone, edit, found, logspool, problems, report, segments, write
from tests.faults.disks import fill, small_disk
from tests.faults.program import end, read_line, run, start, tell

Lines = list[bytes]
ROTATED = {"maxBytes": 4000, "backupCount": 0}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 200 records in many segments, most of them gzipped."""
    path = tmp_path_factory.mktemp("written") / "logs" / "a.jsonl"
    write(path, 200, **ROTATED)
    answer = report("verify", path.parent)
    assert answer["ok"]
    assert answer["logs"][0]["records"] == 200
    assert answer["logs"][0]["gzipped"] >= 3
    return path


@pytest.fixture
def log(written: Path, tmp_path: Path) -> Path:
    """The same log, to be broken."""
    path = tmp_path / "logs" / written.name
    clone(written, path)
    return path


def test_a_log_that_is_complete_is_said_to_be_so(log: Path) -> None:
    text = logspool("verify", log.parent).stdout
    assert "200 records of 1 ring: nothing missing, doubled, out of order or torn" in text


@pytest.mark.parametrize("index", [1, -2, -1], ids=["gzipped", "plain", "current"])
def test_a_record_that_is_missing_is_named_with_its_neighbours(log: Path, index: int) -> None:
    segment = segments(log)[index]
    kept: list[dict[str, Any]] = []

    def remove(lines: Lines) -> Lines:
        kept.extend(json.loads(line) for line in lines[1:4])
        return [*lines[:2], *lines[3:]]

    edit(segment, remove)
    missing = [p for p in found(log) if p["kind"] == "missing"]
    assert len(missing) == 1
    before, gone, after = kept
    number = int(gone["seq"][9:], 16)
    assert (missing[0]["ring"], missing[0]["first"], missing[0]["last"]) == (gone["seq"][:8], number, number)
    assert missing[0]["after"] == {"file": segment.name, "line": 2, "ts": before["ts"]}
    assert missing[0]["before"] == {"file": segment.name, "line": 3, "ts": after["ts"]}


def test_a_record_that_stands_twice_is_doubled(log: Path) -> None:
    edit(segments(log)[-2], lambda lines: [*lines[:3], lines[2], *lines[3:]])
    (problem,) = found(log)
    assert problem["kind"] == "doubled"
    assert problem["at"]["line"] == 4


def test_a_record_that_stands_twice_in_distant_segments_is_doubled(log: Path) -> None:
    _, first, *_, last = segments(log)[:-1]
    line = gzip.decompress(first.read_bytes()).splitlines(keepends=True)[0]
    edit(last, lambda lines: [*lines, line])
    (problem,) = found(log)
    assert problem["kind"] == "doubled"
    assert problem["at"]["file"] == last.name


def test_records_out_of_order_are_neither_missing_nor_doubled_but_out_of_order(log: Path) -> None:
    edit(segments(log)[-2], lambda lines: [lines[0], lines[2], lines[1], *lines[3:]])
    (problem,) = found(log)
    assert problem["kind"] == "order"


def test_segments_that_changed_places_are_noticed(log: Path) -> None:
    first, second = segments(log)[1:3]
    middle = log.parent / "middle"
    first.rename(middle)
    second.rename(first)
    middle.rename(second)
    assert {p["kind"] for p in found(log)} == {"order"}


@pytest.mark.parametrize(
    "tear",
    [
        lambda line: line[: len(line) // 2] + b"\n",
        lambda line: line.replace(b'"event"', b'"event', 1),
        lambda line: line.replace(b"record", b"rec\xffrd", 1),
        lambda line: b"\0" * (len(line) - 1) + b"\n",
        lambda line: b"[" + line[:-1] + b"]\n",
        lambda line: line[:-1] + line,
    ],
    ids=["cut", "not JSON", "not UTF-8", "zeros", "not an object", "two in one"],
)
def test_a_line_that_is_not_whole_is_torn(log: Path, tear: Callable[[bytes], bytes]) -> None:
    segment = segments(log)[-2]
    edit(segment, lambda lines: [*lines[:4], tear(lines[4]), *lines[5:]])
    torn = [p for p in found(log) if p["kind"] == "torn"]
    assert [(p["file"], p["line"]) for p in torn] == [(segment.name, 5)]


@pytest.mark.parametrize("index", [1, -2], ids=["gzipped", "plain"])
def test_a_last_line_without_its_end_is_torn(log: Path, index: int) -> None:
    edit(segments(log)[index], lambda lines: [*lines[:-1], lines[-1][:-20]])
    assert "torn" in [p["kind"] for p in found(log)]


def test_a_gzip_file_that_is_cut_off_is_unreadable_and_its_records_are_missing(log: Path) -> None:
    segment = segments(log)[1]
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size // 2)
    kinds = [p["kind"] for p in found(log)]
    assert "unreadable" in kinds
    assert "missing" in kinds


def test_a_gzip_file_with_a_flipped_byte_is_unreadable(log: Path) -> None:
    segment = segments(log)[1]
    with segment.open("r+b") as file:
        file.seek(segment.stat().st_size - 6)  # in the checksum of the last member
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    assert "unreadable" in [p["kind"] for p in found(log)]


def test_a_gzip_file_of_several_members_is_read_to_its_end(log: Path) -> None:
    segment = segments(log)[1]
    lines = gzip.decompress(segment.read_bytes()).splitlines(keepends=True)
    segment.write_bytes(b"".join(gzip.compress(line) for line in lines))
    assert report("verify", log.parent)["logs"][0]["records"] == 200


def test_a_number_that_stands_plain_and_gzipped_counts_once_and_the_plain_one_is_preferred(log: Path) -> None:
    segment = segments(log)[1]
    data = gzip.decompress(segment.read_bytes())
    segment.with_suffix("").write_bytes(data)
    segment.write_bytes(b"not gzip at all")  # a compressor that was killed
    assert report("verify", log.parent)["logs"][0]["records"] == 200


def test_a_segment_missing_in_the_middle_is_a_gap_with_its_number(log: Path) -> None:
    segments(log)[2].unlink()
    text = logspool("verify", log.parent, status=1).stdout
    assert "missing: numbers" in text
    assert "there is no segment 000003" in text


def test_oldest_segments_that_retention_deleted_are_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    write(path, 200, maxBytes=4000, backupCount=2)
    answer = report("verify", path.parent)
    assert answer["ok"]
    assert any("older records are no longer kept" in note for note in answer["logs"][0]["notes"])
    answer = report("verify", "--complete", path.parent, status=1)
    assert [p["kind"] for p in problems(answer)] == ["missing"]


def test_first_records_missing_from_the_first_segment_are_a_gap(log: Path) -> None:
    edit(segments(log)[0], lambda lines: lines[3:])
    (problem,) = found(log)
    assert (problem["kind"], problem["first"], problem["last"]) == ("missing", 0, 2)
    assert problem["after"] is None


def test_a_current_segment_that_was_truncated_is_noticed_though_no_number_follows(log: Path) -> None:
    edit(segments(log)[-1], lambda lines: lines[:-1])
    (problem,) = found(log)
    assert problem["kind"] == "files"
    assert "truncated" in problem["message"]


def test_a_current_segment_that_somebody_deleted_is_noticed(log: Path) -> None:
    segments(log)[-1].unlink()
    assert any("is gone" in p["message"] for p in found(log))


def test_bytes_that_something_else_appended_are_noticed(log: Path) -> None:
    with segments(log)[-1].open("ab") as file:
        file.write(b'{"foreign": true}\n')
    assert any("something else appends" in p["message"] for p in found(log))


def test_a_line_without_number_among_numbered_ones_is_noticed(log: Path) -> None:
    edit(segments(log)[-2], lambda lines: [*lines, b'{"foreign": true}\n'])
    assert ["without a number" in p["message"] for p in found(log)] == [True]


def test_a_plain_name_that_is_not_the_newest_segment_is_noticed(log: Path) -> None:
    log.unlink()
    assert any("is not there" in p["message"] for p in found(log))
    log.write_text("other\n")
    assert any("is not the newest segment" in p["message"] for p in found(log))
    log.unlink()
    log.symlink_to(segments(log)[-1].name)  # where there are no hard links
    assert report("verify", log.parent)["ok"]


def test_a_state_file_of_another_version_or_overwritten_is_noticed(log: Path) -> None:
    state = log.parent / ".logspool" / f"{log.name}.state"
    whole = state.read_bytes()
    state.write_bytes(whole[:8] + (9).to_bytes(8, "little") + whole[16:])
    assert any("format version 9" in p["message"] for p in found(log))
    state.write_bytes(b"x" * len(whole))
    assert any("no state file" in p["message"] for p in found(log))


def test_an_announcement_whose_count_is_not_its_range_is_noticed(log: Path) -> None:
    def announce(lines: Lines) -> Lines:
        last = json.loads(lines[-1])["seq"]
        fields = {"count": 9, "first_seq": last, "last_seq": last}
        record = {"ts": "", "logger": "logspool", "event": "records_dropped", "fields": fields, "seq": last}
        return [*lines[:-1], json.dumps(record, separators=(",", ":")).encode() + b"\n"]

    edit(segments(log)[-2], announce)
    assert any("announces 9 drops" in p["message"] for p in found(log))


def test_a_text_log_is_said_to_be_verifiable_only_as_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    write(path, 100, json=False)
    answer = report("verify", path.parent)
    assert not answer["logs"][0]["numbered"]
    assert any("text log" in note for note in answer["logs"][0]["notes"])
    with segments(path)[0].open("r+b") as file:
        file.truncate(path.stat().st_size - 5)
    assert {p["kind"] for p in found(path)} == {"torn", "files"}


def test_a_file_that_was_there_before_is_named_and_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    path.parent.mkdir()
    path.write_text('{"level":"INFO","text":"of an earlier time"}\n' * 10)
    write(path, 20)
    answer = report("verify", path.parent)
    assert answer["logs"][0]["records"] == 20
    assert any("a.jsonl.000001 is not logspool's (10 lines" in note for note in answer["logs"][0]["notes"])


def test_a_record_holds_what_json_can_hold_and_that_is_not_torn(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    program = r"""
    log = open_log(sys.argv[1])
    log.info("\ud800 lone, \x00 \x1f \x7f \u2028 and \U0001f600", extra={"big": 10**400, "seq": "abcdefgh-0000000000"})
    log.info('","seq":"abcdefgh-0000000000"}', extra={"event": "records_dropped"})
    """
    run(tmp_path, program, path)
    assert report("verify", path.parent)["logs"][0]["records"] == 2


def test_a_log_that_is_being_written_rotated_compressed_and_retired_verifies(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    process = start(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=100_000, backupCount=3, block_timeout=None)
        stop = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
        n = 0
        while not stop.is_set():
            log.info("record %d", n)
            n += 1
            if n == 2000:
                say("going")
        """,
        path,
    )
    assert read_line(process) == "going"
    for _ in range(6):
        answer = report("verify", path.parent)
        assert answer["ok"]
    tell(process, "stop")
    end(process)
    assert report("verify", path.parent)["ok"]


def test_a_copy_of_the_directory_verifies_too(log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(log.parent, copy)
    assert report("verify", copy)["ok"]
    shutil.rmtree(copy / ".logspool")
    assert report("verify", copy)["ok"]


def test_verifying_changes_nothing(log: Path) -> None:
    def everything() -> list[tuple[str, int, int]]:
        return [(str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(log.parent.rglob("*"))]

    before = everything()
    logspool("verify", log.parent)
    logspool("doctor", log.parent)
    assert everything() == before


def test_a_log_that_is_not_there_is_answered_with_those_that_are(log: Path) -> None:
    assert "there are: a.jsonl" in logspool("verify", log.parent, "--log", "b.jsonl", status=2).stderr


def test_what_another_user_may_not_read_is_a_problem_and_not_fine(written: Path, open_directory: Path) -> None:
    path = open_directory / "logs" / written.name
    clone(written, path)
    path.parent.chmod(0o755)
    answer = report("verify", path.parent, status=1, user=NOBODY)
    assert any("Permission denied" in p["message"] for p in problems(answer))
    assert any("cannot be looked into" in text for text in answer["problems"])


FULL = """
log = open_log(sys.argv[1])
log.info("record 0")
assert logspool.flush()
say("open")
sys.stdin.readline()
for n in range(1, 3000):
    log.info("record %d " + "x" * 200, n)
assert not logspool.flush(1)
say("full")
sys.stdin.readline()
assert logspool.flush(30)
"""


def test_what_logspool_says_of_trouble_that_is_over_is_its_own() -> None:
    with small_disk("24m") as disk:
        path = disk / "logs" / "a.jsonl"
        path.parent.mkdir()
        process = start(disk, FULL, path)
        assert read_line(process) == "open"
        filler = fill(disk)
        tell(process, "full")
        assert read_line(process) == "full"
        filler.unlink()
        tell(process, "free")
        _, err = end(process)
        assert process.returncode == 0, err
        assert "log_trouble_ended" in path.read_text()
        (log,) = report("verify", path.parent)["logs"]
        assert (log["records"], log["problems"]) == (3000, [])


def test_records_that_were_lost_with_their_spool_are_lost_by_damage(log: Path) -> None:
    gone: list[dict[str, Any]] = []

    def lose(lines: Lines) -> Lines:
        gone.append(json.loads(lines[2]))
        notice = {
            "ts": gone[0]["ts"],
            "level": "WARNING",
            "logger": "logspool",
            "event": "spool_damaged",
            "message": "1 records were lost with the spool",
            "pid": 1,
            "fields": {"ring": gone[0]["seq"][:8], "records": 1},
        }
        return [*lines[:2], json.dumps(notice, separators=(",", ":")).encode() + b"\n", *lines[3:]]

    edit(segments(log)[-2], lose)
    (problem,) = found(log)
    assert problem["kind"] == "damaged"
    notes = report("verify", log.parent, status=1)["logs"][0]["notes"]
    assert any("(1 record) is announced" in note for note in notes)


def test_another_programs_line_stays_foreign(log: Path) -> None:
    foreign = b'{"ts":"2026-01-01T00:00:00.000000Z","level":"WARNING","logger":"logspool","event":"hello"}\n'
    edit(segments(log)[-2], lambda lines: [*lines, foreign])
    (problem,) = found(log)
    assert "without a number" in problem["message"]
