"""Processes of different users log to one name in one directory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.interference import GROUP, STATE_CREATING, Server, put
from tests.faults.program import run
from tests.faults.reading import events, lines, parse, segments

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of other users")

ALICE, BOB = 65501, 65502


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that all of a group may write to; its parents let everybody through, as pytest's own do not."""
    with tempfile.TemporaryDirectory(prefix="logspool-users-") as place:
        Path(place).chmod(0o755)
        logs = Path(place) / "logs"
        logs.mkdir()
        os.chown(logs, 0, GROUP)
        logs.chmod(0o775)
        yield logs


def owner(path: Path) -> int:
    """The user whose file it is."""
    return path.lstat().st_uid


@pytest.mark.parametrize("mode", [0o775, 0o1777], ids=["of-a-group", "sticky"])
@pytest.mark.parametrize("second", [BOB, 0], ids=["another-user", "root"])
def test_two_users_logging_to_one_name_lose_and_double_nothing(
    tmp_path: Path, shared: Path, mode: int, second: int
) -> None:
    shared.chmod(mode)
    path = shared / "app.jsonl"
    users = {"alice": ALICE, "second": second}
    servers = {tag: Server(tmp_path, path, tag, uid=uid, maxBytes=5000, gzip=True) for tag, uid in users.items()}
    for _ in range(10):
        for server in servers.values():
            server.log(20)
    for server in servers.values():
        server.end()
    for tag, server in servers.items():
        assert server.found() == server.expected, tag
    assert {owner(s.path) for s in segments(shared, path.name)} == set(users.values())
    for segment, line in lines(shared, path.name):
        assert users[parse(line)["event"].split()[0]] == owner(segment.path), (
            "a segment has the lines of its owner alone"
        )


@pytest.mark.parametrize("tidy", [BOB, 0], ids=["another-user", "root"])
def test_nobody_compresses_or_retires_the_segments_of_another_user(tmp_path: Path, shared: Path, tidy: int) -> None:
    path = shared / "app.jsonl"
    keeper = Server(tmp_path, path, "alice", uid=ALICE, maxBytes=2000, backupCount=0, gzip=False)
    keeper.log(100)
    before = {s.path.name for s in segments(shared, path.name)}
    other = Server(tmp_path, path, "other", uid=tidy, maxBytes=2000, backupCount=2, gzip=True)
    other.log(100)
    other.end()
    assert {s.path.name for s in segments(shared, path.name) if owner(s.path) == ALICE} == before
    assert len([s for s in segments(shared, path.name) if owner(s.path) == tidy]) == 3, "its own are retired"
    keeper.log(10)
    assert keeper.found() == keeper.expected
    keeper.end()


def test_the_plain_name_is_not_taken_back_and_forth_between_two_users(tmp_path: Path, shared: Path) -> None:
    path = shared / "app.jsonl"
    alice = Server(tmp_path, path, "alice", uid=ALICE)
    bob = Server(tmp_path, path, "bob", uid=BOB)
    alice.log()
    bob.log()
    seen = set()
    for _ in range(5):
        for server in (alice, bob):
            server.log()
            seen.add(path.stat().st_ino)
    assert len(seen) == 1
    # Once its owner has been quiet for a minute, whoever still logs has it.
    quiet = segments(shared, path.name)[-1].path
    assert quiet.stat().st_ino in seen
    living = alice if owner(quiet) == BOB else bob
    long_ago = quiet.stat().st_mtime - 120
    os.utime(quiet, (long_ago, long_ago))
    living.log()
    assert path.stat().st_ino not in seen
    alice.end()
    bob.end()


def test_an_empty_file_of_another_user_is_not_taken_for_a_segment_that_was_being_made(
    tmp_path: Path, shared: Path
) -> None:
    path = shared / "app.jsonl"
    Server(tmp_path, path, "root", uid=0).end()
    foreign = shared / "app.jsonl.000002"
    foreign.touch()
    os.chown(foreign, ALICE, ALICE)
    put(shared / ".logspool" / "app.jsonl.state", STATE_CREATING, 2)
    segments(shared, path.name)[0].path.unlink()
    path.unlink()
    server = Server(tmp_path, path, "root", uid=0)
    server.log(10)
    assert foreign.read_bytes() == b""
    assert server.found() == server.expected
    server.end()


def test_a_process_that_gives_up_its_rights_logs_on_through_what_it_has_open(tmp_path: Path, shared: Path) -> None:
    path = shared / "app.jsonl"
    shared.chmod(0o700)
    run(
        tmp_path,
        """
        log = open_log(sys.argv[1], backupCount=0)
        log.info("root's")
        assert logspool.flush(10)
        os.setgroups([])
        os.setgid(65501)
        os.setuid(65501)
        for n in range(5):
            log.info("alice's %d", n)
            assert logspool.flush(10), logspool.stats()
        """,
        path,
    )
    assert events(shared, path.name) == ["root's", *(f"alice's {n}" for n in range(5))]
