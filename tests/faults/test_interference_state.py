"""The state of a log was damaged by somebody else, or is another version's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.dead import DEAD, EARLIER, recover
from tests.faults.interference import (
    STATE_CREATING,
    STATE_CURRENT,
    STATE_SEGMENT,
    STATE_VERSION,
    Server,
    get_word,
    own,
    put,
)
from tests.faults.program import end, run, start
from tests.faults.reading import events, records, segments


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
