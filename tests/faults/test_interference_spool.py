"""The spool of a dead process, or a log's state, was damaged by somebody else, or is another version's."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
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
    STATE_CREATING,
    STATE_CURRENT,
    STATE_SEGMENT,
    STATE_VERSION,
    Server,
    dead_ring,
    get_word,
    own,
    put,
)
from tests.faults.program import end, run, start
from tests.faults.reading import events, records, segments

DEAD = [f"dead {n}" for n in range(100)]
EARLIER = [f"earlier {n}" for n in range(50)]
SMALL = 64 << 10


def frames(ring: Path) -> list[tuple[int, int]]:
    """Where the frames of a ring in its first lap stand in the file, and how long their payloads are."""
    data = ring.read_bytes()
    (salt,) = struct.unpack_from("<Q", data, RING_SALT)
    found, at = [], 0
    while RING_DATA + at + 24 <= len(data):
        commit, _, length = struct.unpack_from("<QII", data, RING_DATA + at)
        if commit ^ salt != at:
            break
        found.append((RING_DATA + at, length))
        at += (24 + length + 15) // 16 * 16
    return found


def tree(directory: Path) -> set[str]:
    """All names below a directory."""
    return {str(p.relative_to(directory)) for p in directory.rglob("*")}


def recover(scratch: Path, path: Path) -> str:
    """Start a process, log one record, end; what it said on standard error."""
    process = start(scratch, "open_log(sys.argv[1], backupCount=0).info('next')\nassert logspool.flush(30)", path)
    _, err = end(process)
    assert process.returncode == 0, err
    return err


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of some segments, and the ring of a process that died before it wrote its 100 records."""
    scratch = tmp_path_factory.mktemp("template")
    path = scratch / "logs" / "app.jsonl"
    server = Server(scratch, path, "earlier", maxBytes=3000, gzip=True)
    server.log(len(EARLIER))
    server.end()
    dead_ring(scratch, path, len(DEAD), spool_bytes=SMALL, maxBytes=3000)
    return path.parent


@pytest.fixture
def path(tmp_path: Path, template: Path) -> Path:
    """The log in a copy of that directory."""
    shutil.copytree(template, tmp_path / "logs", symlinks=True)
    return tmp_path / "logs" / "app.jsonl"


@pytest.fixture
def ring(path: Path) -> Path:
    """The ring there."""
    (found,) = own(path).glob("*.ring")
    return found


# ---------------------------------------------------------------------------------------------------------- rings


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
    put(ring, RING_VERSION, 7)
    held = ring.read_bytes()
    err = recover(tmp_path, path)
    assert "format version 7" in err and ring.name in err, err
    assert ring.read_bytes() == held
    assert events(path.parent, path.name) == [*EARLIER, "next"]
    put(ring, RING_VERSION, 2)
    recover(tmp_path, path)
    assert [e for e in events(path.parent, path.name) if e != "next"] == [*EARLIER, *DEAD]


# --------------------------------------------------------------------------------------------------------- states


def state(path: Path) -> Path:
    return own(path) / f"{path.name}.state"


def state_garbage(file: Path) -> None:
    file.write_bytes(os.urandom(file.stat().st_size))


def state_short_garbage(file: Path) -> None:
    file.write_bytes(os.urandom(100))


def state_magic(file: Path) -> None:
    put(file, 0, b"garbage!")


def state_magic_zeroed(file: Path) -> None:
    put(file, 0, 0)


def state_version_garbage(file: Path) -> None:
    put(file, STATE_VERSION, 0x1234_5678_9ABC_DEF0)


def state_number(file: Path) -> None:
    put(file, STATE_SEGMENT, 1 << 60)


def state_creating(file: Path) -> None:
    put(file, STATE_CREATING, 1 << 60)


def state_intent(file: Path) -> None:
    put(file, STATE_CURRENT, 99)


def state_symlink(file: Path) -> None:
    target = file.with_name("elsewhere")
    file.rename(target)
    file.symlink_to(target)


def state_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def state_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


STATE_DAMAGE = (
    state_garbage,
    state_short_garbage,
    state_magic,
    state_magic_zeroed,
    state_version_garbage,
    state_number,
    state_creating,
    state_intent,
    state_symlink,
    state_fifo,
    state_directory,
)


@pytest.mark.parametrize("damage", STATE_DAMAGE, ids=lambda f: f.__name__)
def test_a_damaged_state_is_set_aside_and_made_anew_from_the_directory(
    tmp_path: Path, path: Path, damage: Callable[[Path], None]
) -> None:
    before = segments(path.parent, path.name)[-1].number
    damage(state(path))
    err = recover(tmp_path, path)
    assert events(path.parent, path.name) == [*EARLIER, *DEAD, "next"]
    assert before < segments(path.parent, path.name)[-1].number < before + 100
    assert str(state(path)) in err and "damaged" in err, err
    assert list(own(path).glob("app.jsonl.state.damaged*"))


@pytest.mark.parametrize("length", [0, 8, 100, 140, 5000])
def test_an_emptied_or_cut_state_costs_no_record(tmp_path: Path, path: Path, length: int) -> None:
    os.truncate(state(path), length)
    recover(tmp_path, path)
    assert events(path.parent, path.name) == [*EARLIER, *DEAD, "next"]


@pytest.mark.parametrize(
    "damage",
    [f for f in STATE_DAMAGE if f not in (state_symlink, state_fifo, state_directory, state_short_garbage)],
    ids=lambda f: f.__name__,
)
def test_a_state_that_is_damaged_while_two_processes_write_costs_no_record(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    servers = [Server(tmp_path, path, tag, maxBytes=3000, gzip=False) for tag in ("one", "two")]
    for _ in range(3):
        for server in servers:
            server.log(20)
        garbage = (
            tmp_path / "garbage"
        )  # in place: another file of that name would be no damage to those who have it open
        shutil.copy(state(path), garbage)
        damage(garbage)
        put(state(path), 0, garbage.read_bytes()[:4096])
        for server in servers:
            server.log(20)
    for server in servers:
        assert server.found() == server.expected
        server.end()


def test_a_state_of_another_version_is_refused_at_start_and_nothing_is_lost(
    tmp_path: Path, path: Path, ring: Path
) -> None:
    put(state(path), STATE_VERSION, 7)
    held = state(path).read_bytes()
    process = start(tmp_path, "open_log(sys.argv[1])", path)
    _, err = end(process)
    assert process.returncode == 1
    assert "format version 7" in err and str(state(path)) in err and "another directory" in err, err
    assert ring.exists() and state(path).read_bytes() == held
    assert len(list(own(path).glob("*.ring"))) == 1, "the refused process leaves no ring of its own"
    put(state(path), STATE_VERSION, 1)
    recover(tmp_path, path)
    assert events(path.parent, path.name) == [*EARLIER, *DEAD, "next"]


def test_a_process_that_runs_when_another_version_takes_over_keeps_its_records_in_the_spool(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path)
    server.log(10)
    put(state(path), STATE_VERSION, 7)
    server.accept(50)
    heard = hear(server, "format version 7")
    assert "kept in the spool" in heard
    assert len(server.found()) == 10, "nothing is written under another version's rules"
    assert get_word(state(path), STATE_VERSION) == 7
    put(state(path), STATE_VERSION, 1)
    server.flush()
    assert server.found() == server.expected
    assert "again" in server.end()


def hear(server: Server, words: str) -> str:
    """What the program says on standard error, up to these words."""
    assert server.process.stderr is not None
    text = ""
    while words not in text:
        line = server.process.stderr.readline()
        assert line, f"the program ended without saying {words!r}: {text}"
        text += line
    return text


def test_a_ring_whose_log_is_of_another_version_is_left_until_it_can_be_written(
    tmp_path: Path, path: Path, ring: Path
) -> None:
    put(state(path), STATE_VERSION, 7)
    run(tmp_path, "open_log(sys.argv[1]).info('other log')", path.with_name("other.jsonl"))
    assert ring.exists()
    put(state(path), STATE_VERSION, 1)
    recover(tmp_path, path)
    assert events(path.parent, path.name) == [*EARLIER, *DEAD, "next"]
    assert records(path.parent, "other.jsonl")


def test_an_intent_that_names_a_ring_outside_leads_nowhere(tmp_path: Path, path: Path, ring: Path) -> None:
    outside = tmp_path / "logs" / "outside.ring"
    shutil.copy(ring, outside)
    held = outside.read_bytes()
    # An intent of no bytes, whose checksum is right, of the ring "../outside"[3:] one directory up.
    for offset, value in enumerate((b"../outsi", 0, 1 << 30, 0, 1, 0, 0, 0)):
        put(state(path), 320 + 8 * offset, value)
    outside.rename(tmp_path / "logs" / "outsi.ring")
    put(state(path), STATE_CURRENT, 1)
    recover(tmp_path, path)
    assert (tmp_path / "logs" / "outsi.ring").read_bytes() == held
    assert [e for e in events(path.parent, path.name) if e.startswith("dead")] == DEAD


def test_the_formats_are_what_these_tests_think(path: Path, ring: Path) -> None:
    assert get_word(ring, RING_TABLE + ENTRY_NAME_LENGTH) == len(path.name)
    assert get_word(ring, RING_TABLE + RING_ENTRY + ENTRY_NAME_LENGTH) == 0
    assert get_word(ring, RING_CAPACITY) == SMALL
    assert len(frames(ring)) == 100
