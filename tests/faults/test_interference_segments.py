"""Somebody else meddles with a log's files, while it is written and while nobody is there."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.failpoints import MISSING, failpoints_built
from tests.faults.interference import STATE_CREATING, Server, killed_in_an_append, own, put
from tests.faults.program import end, read_line, run, start
from tests.faults.reading import events, parse, segments

needs_failpoints = pytest.mark.skipif(not failpoints_built(), reason=MISSING)


def truncate(segment: Path) -> None:
    os.truncate(segment, 100)


def empty(segment: Path) -> None:
    os.truncate(segment, 0)


def append(segment: Path) -> None:
    with segment.open("ab") as file:
        file.write(b"another program's\n")


def replace(segment: Path) -> None:
    other = segment.parent / "other"
    other.write_text("another program's\n")
    other.replace(segment)


def replace_by_a_copy(segment: Path) -> None:
    """As an editor or `sed -i` does: the same bytes, another file."""
    other = segment.parent / "other"
    other.write_bytes(segment.read_bytes())
    other.replace(segment)


def delete(segment: Path) -> None:
    segment.unlink()


def overwrite(segment: Path) -> None:
    put(segment, 10, b"#" * 50)


def overwrite_and_restore_times(segment: Path) -> None:
    stat = segment.stat()
    put(segment, 10, b"#" * 50)
    os.utime(segment, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def symlink(segment: Path) -> None:
    segment.unlink()
    segment.symlink_to("/etc/hostname")


def directory(segment: Path) -> None:
    segment.unlink()
    segment.mkdir()


def fifo(segment: Path) -> None:
    segment.unlink()
    os.mkfifo(segment)


MEDDLING = (truncate, empty, append, replace, replace_by_a_copy, delete, overwrite, symlink, directory, fifo)


def whole(path: Path) -> list[str]:
    """The events of all lines that are whole records, in all regular segments; what others made of the files is skipped."""
    found = []
    for segment in segments(path.parent, path.name):
        if segment.path.is_file() and not segment.path.is_symlink():
            for line in segment.read().splitlines(keepends=True):
                try:
                    found.append(parse(line)["event"])
                except ValueError:
                    continue
    return found


@pytest.mark.parametrize("away", [False, True], ids=["while-we-write", "while-we-are-away"])
@pytest.mark.parametrize("meddle", MEDDLING, ids=lambda f: f.__name__)
def test_logging_goes_on_in_whole_lines_whatever_is_done_to_the_current_segment(
    tmp_path: Path, meddle: Callable[[Path], None], away: bool
) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path)
    server.log(20)
    if away:
        server.end()
    segment = segments(path.parent, path.name)[-1].path
    path.unlink()  # else a deleted segment is made again from it
    meddle(segment)
    left = segment.read_bytes() if segment.is_file() else None
    if away:
        server = Server(tmp_path, path, "later")
    for _ in range(5):
        server.log(20)
    expected = server.expected if away else server.expected[20:]
    assert [e for e in whole(path) if e in set(expected)] == expected, "none lost, none doubled, in order"
    if meddle is overwrite:
        assert segment.read_bytes().startswith(left or b"?"), "what was overwritten is left as it is"
    elif left is not None:
        assert segment.read_bytes() == left, "nobody writes to a file that is not what was left"
    assert path.read_text().splitlines(keepends=True)[-1].endswith("}\n")
    assert len(segments(path.parent, path.name)) <= 3, "one new segment, not one after the other"
    server.end()


@pytest.mark.parametrize("what", ["directory", "symlink", "dangling", "fifo", "file", "socket"])
@pytest.mark.parametrize("announced", [False, True], ids=["by-chance", "announced"])
def test_what_stands_under_the_next_segments_name_is_left_alone(tmp_path: Path, what: str, announced: bool) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path, maxBytes=2000, gzip=False)
    server.log(1)
    following = path.parent / "app.jsonl.000002"
    other = tmp_path / "other"
    other.write_text("another program's\n")
    match what:
        case "directory":
            following.mkdir()
        case "symlink":
            following.symlink_to(other)
        case "dangling":
            following.symlink_to(tmp_path / "nowhere")
        case "fifo":
            os.mkfifo(following)
        case "socket":
            import socket

            with socket.socket(socket.AF_UNIX) as s:
                s.bind(os.path.relpath(following))
        case _:
            following.write_text("another program's\n")
    if announced:  # as a process leaves it that is killed before it makes the segment
        put(own(path) / "app.jsonl.state", STATE_CREATING, 2)
    kind = following.lstat()
    server.log(100)
    server.log(100)
    err = server.end()
    assert (following.lstat().st_ino, following.lstat().st_mode) == (kind.st_ino, kind.st_mode)
    assert other.read_text() == "another program's\n"
    assert not (tmp_path / "nowhere").exists()
    assert whole(path)[-201:] == server.expected
    assert "cannot write" not in err, err


@pytest.mark.parametrize("what", ["directory", "symlink", "fifo", "file", "empty"])
def test_what_is_put_under_the_plain_name_stops_nothing(tmp_path: Path, what: str) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path, maxBytes=5000, gzip=False, backupCount=3)
    server.log(10)
    path.unlink()
    match what:
        case "directory":
            path.mkdir()
        case "symlink":
            path.symlink_to("/etc/hostname")
        case "fifo":
            os.mkfifo(path)
        case "file":
            path.write_text('{"event":"another program\'s"}\n')
        case _:
            path.touch()
    for _ in range(20):
        server.log(10)
    err = server.end()
    found = whole(path)
    ours = [e for e in found if e.startswith("record")]
    assert ours == server.expected[-len(ours) :]
    assert len(segments(path.parent, path.name)) == 4, "rotation and retention go on"
    if what == "directory":
        assert path.is_dir()
        assert "cannot point" in err and str(path) in err, err
        assert "cannot rotate" not in err, err
    else:
        assert path.stat().st_ino == segments(path.parent, path.name)[-1].path.stat().st_ino


def test_a_file_put_under_the_plain_name_is_kept_as_a_segment(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path)
    server.log(10)
    path.unlink()
    path.write_text('{"event":"another program\'s"}\n')
    server.log(10)
    found = events(path.parent, path.name)
    assert found == [*server.expected[:10], "another program's", *server.expected[10:]]
    server.end()


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "foreign"])
def test_a_damaged_gz_costs_nothing_but_itself(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path, maxBytes=4000, gzip=True)
    server.log(100)
    server.end()
    gz = [s.path for s in segments(path.parent, path.name) if s.compressed]
    assert len(gz) > 3
    victim, data = gz[1], gz[1].read_bytes()
    match damage:
        case "cut":
            victim.write_bytes(data[: len(data) // 2])
        case "flipped":
            put(victim, len(data) // 2, bytes([data[len(data) // 2] ^ 0xFF]))
        case "emptied":
            victim.write_bytes(b"")
        case _:
            victim.write_bytes(gzip.compress(b"another program's\n"))
    held = victim.read_bytes()
    again = Server(tmp_path, path, "later", maxBytes=4000, gzip=True)
    again.log(100)
    again.end()
    assert victim.read_bytes() == held, "it is left for examination"
    victim.unlink()
    assert again.found() == again.expected


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_damaged_gz_beside_its_plain_segment_does_not_take_its_place(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path, maxBytes=4000, gzip=False)
    server.log(100)
    server.end()
    plain = segments(path.parent, path.name)[0].path
    gz = plain.with_name(plain.name + ".gz")
    data = gzip.compress(plain.read_bytes())
    gz.write_bytes(data[: len(data) // 2] if damage == "cut" else gzip.compress(b"another program's\n"))
    again = Server(tmp_path, path, maxBytes=4000, gzip=True)
    again.log(1)
    err = again.end()
    found = events(path.parent, path.name)
    assert found[: len(server.expected)] == server.expected
    if damage == "foreign":
        assert "holds something else" in err, err
        assert plain.exists()


@needs_failpoints
@pytest.mark.parametrize("step", ["intent-stored", "appended", "done-advanced"])
@pytest.mark.parametrize("meddle", [truncate, empty, append, replace, delete, overwrite_and_restore_times])
def test_an_append_that_was_cut_off_is_finished_in_a_new_segment_if_the_old_one_was_meddled_with(
    tmp_path: Path, step: str, meddle: Callable[[Path], None]
) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    accepted = killed_in_an_append(tmp_path, path, step)
    segment = segments(path.parent, path.name)[-1].path
    path.unlink(missing_ok=True)
    meddle(segment)
    run(tmp_path, "open_log(sys.argv[1], backupCount=0).info('last')", path)
    found = [e for e in whole(path) if e.startswith("record")]
    assert found == [f"record {n}" for n in range(len(found))], "none lost, none doubled, in order"
    assert len(found) - accepted in (0, 1)
    assert whole(path)[-1] == "last"


def test_a_program_that_appends_to_the_plain_name_all_the_time_tears_no_line(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path, gzip=False)
    server.log(1)
    shell = start(
        tmp_path,
        """
        say("ready")
        for n in range(300):
            with open(sys.argv[1], "a") as file:
                file.write('{"event":"shell %d"}\\n' % n)
            time.sleep(0)
        """,
        path,
    )
    assert read_line(shell) == "ready"
    while shell.poll() is None:
        server.log(20)
    assert end(shell)[1] == ""
    server.log(1)
    found = events(path.parent, path.name)
    assert [e for e in found if e.startswith("record")] == server.expected
    assert [e for e in found if e.startswith("shell")] == [f"shell {n}" for n in range(300)]
    server.end()
