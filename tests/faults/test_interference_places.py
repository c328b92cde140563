"""One directory at two paths, on other file systems, copied, put back, or switched while programs log to it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.disks import small_disk
from tests.faults.failpoints import MISSING, failpoints_built
from tests.faults.interference import Server, dead_ring, killed_in_an_append, own
from tests.faults.program import end, run, start
from tests.faults.reading import events, lines, parse, segments

needs_failpoints = pytest.mark.skipif(not failpoints_built(), reason=MISSING)


@contextlib.contextmanager
def mounted(target: Path, *arguments: object) -> Iterator[None]:
    """A mount on `target` while the block lasts; skips the test where that is not permitted."""
    target.mkdir(parents=True, exist_ok=True)
    command = ["mount", *map(str, arguments), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mount is not permitted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(target)], check=True)


@contextlib.contextmanager
def bind_mount(real: Path, other: Path) -> Iterator[None]:
    real.mkdir()
    with mounted(other, "--bind", real):
        yield


@contextlib.contextmanager
def symlinked(real: Path, other: Path) -> Iterator[None]:
    real.mkdir()
    other.symlink_to(real)
    yield


TWO_PATHS = pytest.mark.parametrize("second", [bind_mount, symlinked], ids=["bind-mount", "symlink"])
Second = Callable[[Path, Path], contextlib.AbstractContextManager[None]]


@TWO_PATHS
def test_processes_that_log_through_two_paths_to_one_directory_share_its_logs(tmp_path: Path, second: Second) -> None:
    real, other = tmp_path / "real", tmp_path / "other"
    with second(real, other):
        servers = [
            Server(tmp_path, place / "app.jsonl", tag, maxBytes=4000, gzip=True)
            for place, tag in ((real, "one"), (other, "two"))
        ]
        for _ in range(8):
            for server in servers:
                server.log(20)
        for server in servers:
            assert server.found() == server.expected
        servers[0].kill()
        servers[1].log(5)
        again = Server(tmp_path, other / "app.jsonl", "three")
        again.log(5)
        assert servers[1].found() == servers[1].expected
        assert [p.name for p in real.glob(".logspool*")] == [".logspool"]
        again.end()
        servers[1].end()


@TWO_PATHS
def test_a_process_that_opens_one_log_through_two_paths_has_one_log(tmp_path: Path, second: Second) -> None:
    real, other = tmp_path / "real", tmp_path / "other"
    with second(real, other):
        out = run(
            tmp_path,
            """
            import json
            one = open_log(sys.argv[1] + "/app.jsonl", "one", maxBytes=4000, backupCount=0)
            two = open_log(sys.argv[2] + "/app.jsonl", "two", maxBytes=4000, backupCount=0)
            for n in range(200):
                (one, two)[n % 2].info("record %d", n)
            assert logspool.flush()
            say(json.dumps(logspool.stats()))
            """,
            real,
            other,
        )
        spools = json.loads(out)["spools"]
        assert len(spools) == 1 and len(spools[0]["logs"]) == 1, spools
        assert events(real, "app.jsonl") == [f"record {n}" for n in range(200)]


def one_life(directory: Path, scratch: Path) -> None:
    """All that a log does in its life: rotation, gzip, a kill, recovery."""
    path = directory / "logs" / "app.jsonl"
    server = Server(scratch, path, maxBytes=4000, gzip=True, spool_bytes=65536)
    for _ in range(5):
        server.log(40)
    dead_ring(scratch, path, 30, maxBytes=4000, spool_bytes=65536)
    again = Server(scratch, path, "again", maxBytes=4000, spool_bytes=65536)
    again.log(5)
    server.log(5)
    stats = again.stats()
    for process in (server, again):
        assert process.end() == ""
        assert process.found() == process.expected
    assert [e for e in events(path.parent, path.name) if e.startswith("dead")] == [f"dead {n}" for n in range(30)]
    assert stats["spools"][0]["durable"]  # type: ignore[index]
    assert any(s.compressed for s in segments(path.parent, path.name))
    assert path.stat().st_ino == segments(path.parent, path.name)[-1].path.stat().st_ino


def test_a_log_lives_on_tmpfs_as_anywhere_else(tmp_path: Path) -> None:
    with small_disk("16m") as place:
        one_life(place, tmp_path)


def test_a_log_lives_on_overlayfs_as_anywhere_else(tmp_path: Path) -> None:
    # An overlay cannot stand on an overlay: its upper layer is on a tmpfs of its own.
    with small_disk("32m") as place:
        for name in ("lower", "upper", "work"):
            (place / name).mkdir()
        options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
        with mounted(place / "merged", "-t", "overlay", "overlay", "-o", options):
            one_life(place / "merged", tmp_path)


def test_a_log_of_an_image_is_continued_in_the_layer_above_it(tmp_path: Path) -> None:
    """A container image that was built with logs in it: all files are of the layer below until they are written."""
    with small_disk("64m") as place:
        for name in ("lower", "upper", "work"):
            (place / name).mkdir()
        path = place / "lower" / "logs" / "app.jsonl"
        server = Server(tmp_path, path, "below")
        server.log(20)
        server.end()
        dead_ring(tmp_path, path, 30, spool_bytes=65536)
        options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
        with mounted(place / "merged", "-t", "overlay", "overlay", "-o", options):
            above = place / "merged" / "logs" / "app.jsonl"
            again = Server(tmp_path, above, "above")
            again.log(20)
            assert again.found() == again.expected
            assert events(above.parent, above.name)[:50] == [*server.expected, *(f"dead {n}" for n in range(30))]
            again.end()


def cp(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def cp_without_links(source: Path, target: Path) -> None:
    """As `cp -r` and `rsync -a`: a hard link becomes a second file."""
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)


def tar(source: Path, target: Path) -> None:
    target.mkdir()
    archive = target.with_suffix(".tar")
    made = subprocess.run(["tar", "-C", str(source), "-cf", str(archive), "."], check=False, capture_output=True)
    assert made.returncode <= 1, (
        made.stderr
    )  # 1: a file changed while it was read, as the ring of a living process does
    subprocess.run(["tar", "-C", str(target), "-xf", str(archive)], check=True)


def without_own(source: Path, target: Path) -> None:
    """The logs alone, as a backup with `*.jsonl*` has them, links made files."""
    target.mkdir()
    for file in source.glob("app.jsonl*"):
        shutil.copy2(file, target / file.name)


BACKUPS = (cp, cp_without_links, tar, without_own)


def distinct(path: Path) -> list[str]:
    """The events in order; each stands there once."""
    found = events(path.parent, path.name)
    assert len(found) == len(set(found)), "doubled"
    return found


@pytest.mark.parametrize("backup", BACKUPS, ids=lambda f: f.__name__)
def test_a_copy_of_a_living_directory_is_continued_without_loss_or_double(
    tmp_path: Path, backup: Callable[[Path, Path], None]
) -> None:
    from tests.faults.stall import stalled

    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path, maxBytes=4000, gzip=False)
    server.log(100)
    # Nobody writes while the copy is made, as with a snapshot; some records are in the spool only.
    with stalled(path.parent, path.name):
        server.accept(20)
        backup(path.parent, tmp_path / "copy")
    held = server.count if backup is not without_own else 100
    copy = tmp_path / "copy" / "app.jsonl"
    again = Server(tmp_path, copy, "again", maxBytes=4000, gzip=False)
    again.log(10)
    assert distinct(copy) == [*server.expected[:held], *again.expected]
    assert copy.stat().st_ino == segments(copy.parent, copy.name)[-1].path.stat().st_ino
    server.log(10)
    assert distinct(path) == server.expected, "the original goes on as if there were no copy"
    again.end()
    server.end()


@needs_failpoints
@pytest.mark.parametrize("step", ["intent-stored", "appended", "done-advanced"])
@pytest.mark.parametrize("backup", BACKUPS[:3], ids=lambda f: f.__name__)
def test_a_copy_made_in_the_middle_of_an_append_is_finished_like_the_original(
    tmp_path: Path, backup: Callable[[Path, Path], None], step: str
) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    accepted = killed_in_an_append(tmp_path, path, step)
    backup(path.parent, tmp_path / "copy")
    copy = tmp_path / "copy" / "app.jsonl"
    run(tmp_path, "open_log(sys.argv[1], backupCount=0).info('last')", copy)
    found = distinct(copy)
    assert found[0] == "first" and found[-1] == "last"
    kept = found[1:-1]
    assert kept == [f"record {n}" for n in range(len(kept))]
    assert len(kept) - accepted in (0, 1)


def test_a_copy_made_while_records_pass_loses_none_that_was_in_it(tmp_path: Path) -> None:
    """Copied file by file while a program writes: what passed from the ring to a segment meanwhile may be there twice, and is named by
    its `seq`; what stands in a segment of the copy stays there."""
    path = tmp_path / "logs" / "app.jsonl"
    process = start(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=100_000, backupCount=0, gzip=False, block_timeout=None)
        say("ready")
        for n in range(100_000):
            log.info("record %d", n)
        """,
        path,
    )
    copies = []
    while process.poll() is None and len(copies) < 5:
        copy = tmp_path / f"copy-{len(copies)}"
        # Files that are compressed or retired while they are copied are missed by cp, which says so.
        subprocess.run(["cp", "-a", str(path.parent), str(copy)], check=False, capture_output=True)
        copies.append(copy)
    end(process)
    assert copies
    for copy in copies:
        if not (copy / ".logspool").exists():
            continue
        before = set(whole(copy))
        run(tmp_path, "open_log(sys.argv[1], backupCount=0).info('last')", copy / "app.jsonl")
        found = whole(copy)
        assert found[-1] == "last"
        assert set(found) >= before


def whole(directory: Path) -> list[str]:
    """The events of all whole lines: cp may cut the one that is being written."""
    found = []
    for _, line in lines(directory, "app.jsonl"):
        with contextlib.suppress(ValueError):
            found.append(parse(line)["event"])
    return found


def test_a_directory_link_that_is_switched_is_followed_by_the_next_process_not_by_a_running_one(tmp_path: Path) -> None:
    for name in ("blue", "green"):
        (tmp_path / name).mkdir()
    link = tmp_path / "logs"
    link.symlink_to("blue")
    server = Server(tmp_path, link / "app.jsonl", maxBytes=4000, gzip=False)
    server.log(20)
    (tmp_path / "switch").symlink_to("green")
    (tmp_path / "switch").rename(link)
    server.log(100)
    later = Server(tmp_path, link / "app.jsonl", "later")
    later.log(5)
    assert events(tmp_path / "blue", "app.jsonl") == server.expected
    assert events(tmp_path / "green", "app.jsonl") == later.expected
    server.end()
    later.end()


def test_two_processes_with_different_settings_keep_to_the_first_ones_until_they_end(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    first = Server(tmp_path, path, "first", maxBytes=4000, backupCount=3, gzip=False)
    second = Server(tmp_path, path, "second", maxBytes=50_000, backupCount=6, gzip=True)
    for _ in range(20):
        second.log(20)
        first.log(20)
    third = Server(tmp_path, path, "third", maxBytes=50_000, backupCount=5, gzip=True)
    third.log(200)
    err = second.end()
    assert err.count("other rotation settings") == 1 and str(path) in err, err
    assert third.end().count("other rotation settings") == 1
    assert first.end() == "", "whose settings stand hears nothing"
    found = segments(path.parent, path.name)
    assert all(s.path.stat().st_size <= 4000 and not s.compressed for s in found), "the first one's size and gzip"
    assert len(found) == 7, "the largest count"
    alone = Server(tmp_path, path, "alone", maxBytes=20_000, backupCount=2, gzip=True)
    alone.log(400)
    assert alone.end() == ""
    found = segments(path.parent, path.name)
    assert len(found) == 3 and found[0].compressed, "its own, once it is alone"
    assert found[1].path.stat().st_size > 10_000


def test_a_log_directory_with_a_name_no_message_should_trip_over(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="log spool\n{}%s'") as place:
        path = Path(place) / "a b {}.jsonl"
        server = Server(tmp_path, path, maxBytes=3000)
        server.log(50)
        os.truncate(own(path) / f"{path.name}.state", 8)
        server.end()
        again = Server(tmp_path, path, "again")
        again.log(1)
        assert again.found() == again.expected and server.found() == server.expected
        again.end()
