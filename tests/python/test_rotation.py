"""Rotation: names that never change, a plain name that is always the newest segment, valid gzip, retention, modes."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from tests.faults.program import end, read_line, run, start, tell
from tests.faults.reading import events, records, segments

RECOVER = "open_log(sys.argv[1], backupCount=0)"
LOG = """
log = open_log(sys.argv[1], **eval(sys.argv[2]))
for n in range(int(sys.argv[3])):
    log.info("record %d %s", n, "x" * 100)
assert logspool.shutdown()
"""


def log_path(tmp_path: Path) -> Path:
    """Where the programs log."""
    return tmp_path / "logs" / "a.jsonl"


def log(tmp_path: Path, count: int, **settings: object) -> Path:
    """Log `count` records with the handler's settings; returns the plain path."""
    path = log_path(tmp_path)
    run(tmp_path, LOG, path, repr(settings), count)
    return path


def numbers(path: Path) -> list[int]:
    """The numbers of the test records in the log."""
    return [int(e.split()[1]) for e in events(path.parent, path.name) if e.startswith("record ")]


def test_segments_are_numbered_and_none_is_larger_than_allowed(tmp_path: Path) -> None:  # req 24
    path = log(tmp_path, 2000, maxBytes=50_000, backupCount=0, gzip=False)
    found = segments(path.parent, path.name)
    assert [segment.path.name for segment in found] == [f"a.jsonl.{n:06}" for n in range(1, len(found) + 1)]
    assert len(found) > 8
    assert all(0 < segment.path.stat().st_size <= 50_000 for segment in found)
    assert numbers(path) == list(range(2000))


def test_the_plain_name_is_a_hard_link_to_the_newest_segment(tmp_path: Path) -> None:  # req 27
    path = log(tmp_path, 1000, maxBytes=50_000, backupCount=0)
    assert not path.is_symlink()
    assert path.samefile(segments(path.parent, path.name)[-1].path)
    assert path.stat().st_nlink == 2


def test_a_segment_keeps_its_name_and_content_for_life(tmp_path: Path) -> None:  # req 28
    path = log(tmp_path, 500, maxBytes=20_000, backupCount=0, gzip=False)
    before = {segment.path: segment.read() for segment in segments(path.parent, path.name)[:-1]}
    log(tmp_path, 500, maxBytes=20_000, backupCount=0, gzip=False)
    assert {path: path.read_bytes() for path in before} == before


def test_a_missing_or_wrong_plain_name_is_repaired_by_the_next_open(tmp_path: Path) -> None:
    path = log(tmp_path, 500, maxBytes=20_000, backupCount=0, gzip=False)
    path.unlink()
    log(tmp_path, 10, maxBytes=20_000, backupCount=0, gzip=False)
    assert path.samefile(segments(path.parent, path.name)[-1].path)
    path.unlink()
    os.link(segments(path.parent, path.name)[0].path, path)
    log(tmp_path, 10, maxBytes=20_000, backupCount=0, gzip=False)
    assert path.samefile(segments(path.parent, path.name)[-1].path)
    assert len(numbers(path)) == 520


def test_nothing_but_segments_and_the_plain_name_stands_beside_them(tmp_path: Path) -> None:
    """No temporary name that a shipper's glob would match."""
    path = log(tmp_path, 1000, maxBytes=50_000, backupCount=0)
    expected = {segment.path.name for segment in segments(path.parent, path.name)} | {"a.jsonl", ".logspool"}
    assert set(os.listdir(path.parent)) == expected


def test_closed_segments_are_gzipped_but_for_the_newest(tmp_path: Path) -> None:  # req 25
    path = log(tmp_path, 2000, maxBytes=50_000, backupCount=0, gzip=True)
    found = segments(path.parent, path.name)
    assert [segment.compressed for segment in found] == [True] * (len(found) - 2) + [False, False]
    assert numbers(path) == list(range(2000))


def test_every_gzip_tool_reads_the_compressed_segments(tmp_path: Path) -> None:  # req 25
    path = log(tmp_path, 2000, maxBytes=50_000, backupCount=0, gzip=True)
    for segment in segments(path.parent, path.name):
        if segment.compressed:
            with gzip.open(segment.path) as file:
                content = file.read()
            assert content.endswith(b"}\n")
            assert 0 < len(content) <= 50_000
            for tool in ("zcat", "gzip"):
                if shutil.which(tool) is None:
                    pytest.skip(f"no {tool} here")
            assert subprocess.run(["zcat", segment.path], capture_output=True, check=True).stdout == content
            subprocess.run(["gzip", "-t", segment.path], check=True)


def test_a_large_segment_becomes_independent_gzip_members(tmp_path: Path) -> None:
    path = log(tmp_path, 14_000, maxBytes=4_000_000, backupCount=0, gzip=True)
    log(tmp_path, 14_000, maxBytes=4_000_000, backupCount=0, gzip=True)
    first = segments(path.parent, path.name)[0]
    assert first.compressed
    data = first.path.read_bytes()
    members = []
    while data:
        import zlib

        member = zlib.decompressobj(wbits=31)
        members.append(member.decompress(data) + member.flush())
        data = member.unused_data
    assert len(members) >= 3
    assert b"".join(members) == first.read()
    assert all(member.endswith(b"}\n") for member in members), "a line is cut between two members"


def test_the_oldest_segments_go_past_the_backup_count(tmp_path: Path) -> None:  # req 24, 28
    path = log(tmp_path, 3000, maxBytes=50_000, backupCount=3, gzip=True)
    found = segments(path.parent, path.name)
    assert len(found) == 4
    assert [s.number for s in found] == list(range(found[0].number, found[0].number + 4))
    kept = numbers(path)
    assert kept == list(range(kept[0], 3000))
    assert kept[0] > 0


def test_gzip_off_leaves_plain_segments(tmp_path: Path) -> None:
    path = log(tmp_path, 1000, maxBytes=50_000, backupCount=0, gzip=False)
    assert not any(segment.compressed for segment in segments(path.parent, path.name))


def test_segments_left_uncompressed_are_compressed_by_the_next_process(tmp_path: Path) -> None:
    path = log(tmp_path, 1000, maxBytes=50_000, backupCount=0, gzip=False)
    count = len(segments(path.parent, path.name))
    path = log(tmp_path, 1000, maxBytes=50_000, backupCount=0, gzip=True)
    assert sum(s.compressed for s in segments(path.parent, path.name)) >= count - 1
    assert numbers(path) == [*range(1000), *range(1000)]


def test_max_bytes_of_zero_never_rotates_by_size(tmp_path: Path) -> None:
    path = log(tmp_path, 2000, maxBytes=0)
    assert len(segments(path.parent, path.name)) == 1


def test_a_record_larger_than_a_segment_gets_one_of_its_own(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=1000, backupCount=0, gzip=False)
        for n in range(20):
            log.info("record %d %s", n, "x" * (n % 2 * 5000))
        """,
        path,
    )
    assert numbers(path) == list(range(20))


def test_rotation_by_time_starts_a_new_segment(tmp_path: Path) -> None:  # req 26
    path = log_path(tmp_path)
    out = run(
        tmp_path,
        """
        path = Path(sys.argv[1])
        log = open_log(path, when="S", interval=1, backupCount=0, gzip=False)
        n = 0
        def three_segments():
            global n
            log.info("record %d", n)
            n += 1
            return len(list(path.parent.glob(path.name + ".*"))) >= 3
        wait_until(three_segments, "two rotations")
        say(n)
        """,
        path,
    )
    assert numbers(path) == list(range(int(out)))
    seconds = [{r["ts"][:19] for r in map_segment} for map_segment in by_segment(path)]
    assert len(seconds) >= 3


def by_segment(path: Path) -> list[list[dict[str, str]]]:
    """The records of each segment."""
    from tests.faults.reading import parse

    return [[parse(line) for line in s.read().splitlines(keepends=True)] for s in segments(path.parent, path.name)]


def test_time_rotation_leaves_no_empty_segments_when_nothing_is_logged(tmp_path: Path) -> None:  # req 26
    path = log_path(tmp_path)
    process = start(tmp_path, "open_log(sys.argv[1], when='S', backupCount=0)\nsay('open')\nsys.stdin.readline()", path)
    assert read_line(process) == "open"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2.5)  # not a wait for anything: two and a half periods in which nothing may happen
    tell(process, "end")
    end(process)
    assert len(segments(path.parent, path.name)) <= 1


def test_a_log_of_the_predecessor_is_adopted_as_a_segment_and_never_truncated(tmp_path: Path) -> None:  # req 7, 27
    path = log_path(tmp_path)
    path.parent.mkdir()
    path.write_text("an old plain line\nand one without its newline")
    old = path.stat().st_ino
    log(tmp_path, 10)
    found = segments(path.parent, path.name)
    assert found[0].path.stat().st_ino == old
    assert found[0].read().startswith(b"an old plain line\nand one without its newline")
    whole = [line for s in found for line in s.read().splitlines() if line.startswith(b"{")]
    assert len(whole) == 10
    assert path.samefile(found[-1].path)


def test_two_processes_that_adopt_the_same_file_at_once_agree(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    path.parent.mkdir()
    path.write_text("old\n")
    program = """
    say("ready")
    sys.stdin.readline()
    log = open_log(sys.argv[1])
    for n in range(100):
        log.info("%s %d", sys.argv[2], n)
    """
    processes = [start(tmp_path, program, path, who) for who in "abcd"]
    for process in processes:
        assert read_line(process) == "ready"
    for process in processes:
        tell(process, "go")
    for process in processes:
        _, err = end(process)
        assert process.returncode == 0, err
    found = b"".join(s.read() for s in segments(path.parent, path.name))
    assert found.count(b"old\n") == 1
    assert found.count(b"\n") == 401


def test_a_segment_truncated_by_someone_else_is_left_and_a_new_one_opened(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        path = Path(sys.argv[1])
        log = open_log(path, backupCount=0)
        for n in range(100):
            log.info("record %d", n)
        assert logspool.flush()
        os.truncate(path, 0)  # what logrotate's copytruncate does
        for n in range(100, 200):
            log.info("record %d", n)
        assert logspool.flush()
        """,
        path,
    )
    assert numbers(path) == list(range(100, 200))
    assert path.samefile(segments(path.parent, path.name)[-1].path)


def test_a_foreign_line_appended_to_the_segment_is_kept(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        path = Path(sys.argv[1])
        log = open_log(path, backupCount=0, gzip=False)
        log.info("record 0")
        assert logspool.flush()
        with path.open("a") as file:
            file.write('{"event": "foreign"}\\n')
        log.info("record 1")
        assert logspool.flush()
        """,
        path,
    )
    assert events(path.parent, path.name) == ["record 0", "foreign", "record 1"]


def test_a_log_moved_away_by_someone_else_is_replaced(tmp_path: Path) -> None:
    path = log_path(tmp_path)
    run(
        tmp_path,
        """
        path = Path(sys.argv[1])
        log = open_log(path, backupCount=0)
        log.info("record 0")
        assert logspool.flush()
        path.rename(path.with_name("moved"))
        log.info("record 1")
        """,
        path,
    )
    run(tmp_path, RECOVER, path)
    assert numbers(path) == [0, 1]
    assert path.samefile(segments(path.parent, path.name)[-1].path)


@pytest.mark.parametrize("umask", [0o022, 0o000, 0o077])
def test_files_are_0600_and_directories_0700_whatever_the_umask(tmp_path: Path, umask: int) -> None:  # req 84
    path = tmp_path / "deep" / "logs" / "a.jsonl"
    run(
        tmp_path,
        f"""
        os.umask({umask})
        log = open_log(sys.argv[1], maxBytes=20_000, backupCount=0, gzip=True)
        for n in range(1000):
            log.info("record %d", n)
        logspool.flush()
        here = Path(sys.argv[1]).parent
        for place in (here.parent, here, here / ".logspool"):
            assert place.stat().st_mode & 0o777 == 0o700, (place, oct(place.stat().st_mode))
        rings = list((here / ".logspool").glob("*.ring"))
        assert len(rings) == 1
        for file in [*rings, *(here / ".logspool").iterdir()]:
            assert file.stat().st_mode & 0o777 == 0o600, (file, oct(file.stat().st_mode))
        assert logspool.shutdown()
        """,
        path,
    )
    files = [p for p in path.parent.rglob("*") if p.is_file()]
    assert any(p.suffix == ".gz" for p in files)
    assert {p.name: oct(stat.S_IMODE(p.stat().st_mode)) for p in files} == {p.name: "0o600" for p in files}


def test_modes_are_settings_and_an_existing_directory_keeps_its_own(tmp_path: Path) -> None:  # req 84
    path = log_path(tmp_path)
    path.parent.mkdir()
    path.parent.chmod(0o755)
    log(tmp_path, 500, maxBytes=20_000, backupCount=0, gzip=True, file_mode=0o640, dir_mode=0o750)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert {stat.S_IMODE(s.path.stat().st_mode) for s in segments(path.parent, path.name)} == {0o640}
    assert stat.S_IMODE((path.parent / ".logspool").stat().st_mode) == 0o700
    run(tmp_path, RECOVER.replace("[1]", "[1], dir_mode=0o750"), tmp_path / "new" / "b.jsonl")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o750


def test_three_logs_of_one_directory_rotate_each_by_itself(tmp_path: Path) -> None:  # req 24, 27
    names = ["llm-inference.jsonl", "openrouter-costs.jsonl", "routing-metadata.jsonl"]
    run(
        tmp_path,
        f"""
        logs = [open_log(Path(sys.argv[1]) / name, maxBytes=20_000, backupCount=0) for name in {names}]
        for n in range(900):
            logs[n % 3].info("record %d %s", n, "x" * (100 * (n % 3)))
        """,
        tmp_path / "logs",
    )
    counts = [len(segments(tmp_path / "logs", name)) for name in names]
    assert counts == sorted(counts)
    assert counts[0] < counts[2]
    for index, name in enumerate(names):
        assert [r["event"].split()[1] for r in records(tmp_path / "logs", name)] == [
            str(n) for n in range(index, 900, 3)
        ]
