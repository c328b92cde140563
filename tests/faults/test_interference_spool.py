"""The spool of a dead process was damaged by somebody else, or is another version's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.dead import DEAD, EARLIER, SMALL, frames, recover, tree
from tests.faults.interference import (
    ENTRY_DONE,
    ENTRY_NAME,
    ENTRY_NAME_LENGTH,
    RING_CAPACITY,
    RING_DATA,
    RING_ENTRY,
    RING_ID,
    RING_SALT,
    RING_TABLE,
    RING_TAIL,
    RING_VERSION,
    Server,
    get_word,
    own,
    put,
)
from tests.faults.program import run
from tests.faults.reading import events


def cut_in_half(ring: Path) -> set[int]:
    """The file ends in the middle of the frames."""
    middle = frames(ring)[50][0]
    os.truncate(ring, middle + 8)
    return set(range(50, 100))


def cut_to_its_header(ring: Path) -> set[int]:
    os.truncate(ring, RING_DATA)
    return set(range(100))


def cut_in_its_header(ring: Path) -> set[int]:
    os.truncate(ring, 1000)
    return set(range(100))


def cut_to_nothing(ring: Path) -> set[int]:
    os.truncate(ring, 0)
    return set(range(100))


def magic(ring: Path) -> set[int]:
    put(ring, 0, b"garbage!")
    return set()


def all_garbage(ring: Path) -> set[int]:
    ring.write_bytes(os.urandom(ring.stat().st_size))
    return set(range(100))


def all_zeros(ring: Path) -> set[int]:
    ring.write_bytes(bytes(ring.stat().st_size))
    return set(range(100))


def version_is_garbage(ring: Path) -> set[int]:
    put(ring, RING_VERSION, 0x5EED_0000_1234_5678)
    return set()


def capacity_is_garbage(ring: Path) -> set[int]:
    put(ring, RING_CAPACITY, 4096)
    return set()


def capacity_is_too_large(ring: Path) -> set[int]:
    put(ring, RING_CAPACITY, 1 << 50)
    return set()


def salt_is_garbage(ring: Path) -> set[int]:
    put(ring, RING_SALT, 0x1234)
    return set(range(100))


def id_is_garbage(ring: Path) -> set[int]:
    put(ring, RING_ID, b"../../\0\xff")
    return set()


def one_frame(ring: Path) -> set[int]:
    at, _ = frames(ring)[30]
    put(ring, at + 40, b"#")
    return {30}


def several_frames(ring: Path) -> set[int]:
    where = frames(ring)
    for n in (10, 40, 41, 42, 70):
        put(ring, where[n][0], b"\xff" * 64)
    return {10, 40, 41, 42, 70}


def first_frame(ring: Path) -> set[int]:
    put(ring, frames(ring)[0][0] + 30, b"#")
    return {0}


def last_frame(ring: Path) -> set[int]:
    put(ring, frames(ring)[99][0] + 30, b"#")
    return {99}


def length_of_a_frame(ring: Path) -> set[int]:
    put(ring, frames(ring)[30][0] + 12, b"\xf0\xff\xff\x7f")
    return {30}


def log_of_a_frame(ring: Path) -> set[int]:
    put(ring, frames(ring)[30][0] + 16, b"\xff\xff\xff\xff")
    return {30}


def tail_beyond_the_end(ring: Path) -> set[int]:
    put(ring, RING_TAIL, 1 << 20)
    return set()


def tail_far_beyond(ring: Path) -> set[int]:
    put(ring, RING_TAIL, (1 << 64) - 16)
    return set()


def tail_unaligned(ring: Path) -> set[int]:
    put(ring, RING_TAIL, 7)
    return set()


def done_beyond_the_end(ring: Path) -> set[int]:
    put(ring, RING_TABLE + ENTRY_DONE, 1 << 40)
    return set()


def lost_is_garbage(ring: Path) -> set[int]:
    put(ring, RING_TABLE + 32, (1 << 64) - 1)
    put(ring, RING_TABLE + 40, (1 << 64) - 1)
    return set()


def data_is_zeroed(ring: Path) -> set[int]:
    """As after a loss of power: the file system had the header only."""
    put(ring, RING_TAIL, 4096)
    put(ring, RING_DATA, bytes(ring.stat().st_size - RING_DATA))
    return set(range(100))


DAMAGE = (
    cut_in_half,
    cut_to_its_header,
    cut_in_its_header,
    cut_to_nothing,
    magic,
    all_garbage,
    all_zeros,
    version_is_garbage,
    capacity_is_garbage,
    capacity_is_too_large,
    salt_is_garbage,
    id_is_garbage,
    one_frame,
    several_frames,
    first_frame,
    last_frame,
    length_of_a_frame,
    log_of_a_frame,
    tail_beyond_the_end,
    tail_far_beyond,
    tail_unaligned,
    done_beyond_the_end,
    lost_is_garbage,
    data_is_zeroed,
)
# Nothing in the file says any more which log it was: standard error must do.
NAMELESS = (cut_in_its_header, cut_to_nothing, all_garbage, all_zeros, cut_to_its_header)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
def test_a_damaged_ring_is_recovered_as_far_as_it_goes_kept_and_announced(
    tmp_path: Path, path: Path, ring: Path, damage: Callable[[Path], set[int]]
) -> None:
    lost = damage(ring)
    err = recover(tmp_path, path)
    found = events(path.parent, path.name)
    assert [e for e in found if e.startswith("dead")] == [e for n, e in enumerate(DEAD) if n not in lost]
    assert found[-1] == "next"
    assert "damaged" in err and ring.name in err, err
    if damage not in NAMELESS:
        assert "spool_damaged" in found
    assert not list(own(path).glob("*.ring*")), "what was damaged is not looked at again"
    assert len(list(own(path).glob("*.damaged"))) == 1, "it is kept"
    if damage in AGAIN:
        assert recover(tmp_path, path) == "", "said once"
        assert events(path.parent, path.name) == [*found, "next"]


# A second start after these; one start is much like another.
AGAIN = (one_frame, all_garbage, tail_beyond_the_end, cut_in_half)


NAMES = (
    b"../escaped.jsonl",
    b"/tmp/escaped.jsonl",
    b"..",
    b".",
    b".logspool",
    b".logspool/x",
    b"a\0b.jsonl",
    b"\xff\xfe.jsonl",
    b"n" * 300,
    b"app.jsonl.000001",
)


@pytest.mark.parametrize("name", NAMES, ids=lambda n: repr(n)[2:20])
def test_a_log_name_in_a_damaged_ring_leads_nowhere(tmp_path: Path, path: Path, ring: Path, name: bytes) -> None:
    put(ring, RING_TABLE + ENTRY_NAME, name)
    put(ring, RING_TABLE + ENTRY_NAME_LENGTH, len(name))
    before = tree(tmp_path)
    err = recover(tmp_path, path)
    assert events(path.parent, path.name)[-1] == "next"
    made = {
        n
        for n in tree(tmp_path) - before
        if not n.startswith(("program-", "logs/app.jsonl", "logs/.logspool/app.jsonl"))
    }
    assert made == {f"logs/.logspool/{ring.stem}.damaged"}, "its records have nowhere to go and are kept"
    assert not Path("/tmp/escaped.jsonl").exists()
    assert ring.name in err and "damaged" in err, err


def test_the_other_logs_of_a_ring_are_recovered_when_one_of_them_is_damaged(tmp_path: Path) -> None:
    from tests.faults.stall import stalled

    path = tmp_path / "logs" / "app.jsonl"
    run(tmp_path, "[open_log(sys.argv[1] + s) for s in ('', '2')]", path)
    with stalled(path.parent, "app.jsonl"), stalled(path.parent, "app.jsonl2"):
        run(
            tmp_path,
            """
            one, two = (open_log(sys.argv[1] + s, block_timeout=None) for s in ("", "2"))
            for n in range(50):
                one.info("dead %d", n)
                two.info("dead %d", n)
            os.kill(os.getpid(), signal.SIGKILL)
            """,
            path,
            status=-9,
        )
    (ring,) = own(path).glob("*.ring")
    put(ring, RING_TABLE + ENTRY_NAME, b"../../xxx")
    err = recover(tmp_path, path)
    found = events(path.parent, "app.jsonl2")
    assert [e for e in found if e.startswith("dead")] == DEAD[:50]
    assert "spool_damaged" in found
    assert "damaged" in err, err
    assert list(own(path).glob("*.damaged"))


FOREIGN = ("symlink", "dangling", "fifo", "directory", "hard-link", "another-users", "copy", "socket")


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_called_a_ring_and_is_none_of_ours_is_left_alone(
    tmp_path: Path, path: Path, ring: Path, kind: str
) -> None:
    other = own(path) / "foreign.ring"
    outside = tmp_path / "outside"
    shutil.copy(ring, outside)
    match kind:
        case "symlink":
            other.symlink_to(outside)
        case "dangling":
            other.symlink_to(tmp_path / "nowhere")
        case "fifo":
            os.mkfifo(other)
        case "directory":
            other.mkdir()
        case "hard-link":
            os.link(outside, other)
        case "another-users":
            if os.geteuid() != 0:
                pytest.skip("only root can make another user's file")
            shutil.copy(ring, other)
            os.chown(other, 65501, 65501)
        case "socket":
            import socket

            with socket.socket(socket.AF_UNIX) as s:
                s.bind(os.path.relpath(other))
        case _:
            shutil.copy(ring, other)
    held = (other.lstat().st_ino, outside.read_bytes())
    server = Server(tmp_path, path)
    server.log(5)
    assert (other.lstat().st_ino, outside.read_bytes()) == held
    assert not (tmp_path / "nowhere").exists()
    assert [e for e in events(path.parent, path.name) if e.startswith("dead")] == DEAD, (
        "once, from the ring that is ours"
    )
    err = server.end()
    if kind in ("hard-link", "copy"):
        assert other.name in err, err
    assert "cannot recover" not in err, err


def test_a_ring_of_another_version_is_left_for_the_logspool_that_wrote_it(
    tmp_path: Path, path: Path, ring: Path
) -> None:
    version = get_word(ring, RING_VERSION)
    put(ring, RING_VERSION, 7)
    held = ring.read_bytes()
    err = recover(tmp_path, path)
    assert "format version 7" in err and ring.name in err, err
    assert ring.read_bytes() == held
    assert events(path.parent, path.name) == [*EARLIER, "next"]
    put(ring, RING_VERSION, version)
    recover(tmp_path, path)
    assert [e for e in events(path.parent, path.name) if e != "next"] == [*EARLIER, *DEAD]


def test_the_formats_are_what_these_tests_think(path: Path, ring: Path) -> None:
    assert get_word(ring, RING_TABLE + ENTRY_NAME_LENGTH) == len(path.name)
    assert get_word(ring, RING_TABLE + RING_ENTRY + ENTRY_NAME_LENGTH) == 0
    assert get_word(ring, RING_CAPACITY) == SMALL
    assert len(frames(ring)) == 100
