"""Who may read, write and take the place of what logspool makes, and where it does not log."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import environment
from logfiles import DEADLINE_SECONDS, events, segments
from tests.faults.program import end, read_line, run, start

import logspool

ALICE, MALLORY = 65501, 65502
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what another user made")

#: Every kind of file: segments, plain names, compressed ones, state, users, lock of the compressor, spool, quarantine.
LIFE = """
import os
os.umask(int(sys.argv[2]))
spool = sys.argv[3] or None
log = open_log(sys.argv[1], maxBytes=20_000, backupCount=0, gzip=True, spool_dir=spool)
for n in range(500):
    log.info("record %d", n)
logspool.log_cost(model="m", cost=1.0)
assert logspool.flush(30)
say("logged")
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def exposed(*places: Path) -> dict[Path, str]:
    """What is not for its owner alone, of directories and of everything below them."""
    found = {}
    for path in (path for place in places for path in (place, *place.rglob("*"))):
        with contextlib.suppress(FileNotFoundError):  # a temporary file, renamed or gone meanwhile
            found[path] = path.lstat().st_mode
    return {p: oct(mode) for p, mode in found.items() if stat.S_IMODE(mode) != (0o700 if stat.S_ISDIR(mode) else 0o600)}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
@pytest.mark.parametrize("spool", ["beside", "elsewhere"])
def test_what_is_made_is_for_its_owner_alone_whatever_the_umask(
    tmp_path: Path, umask: int, spool: str
) -> None:  # req 84
    path = tmp_path / "deep" / "logs" / "a.jsonl"
    elsewhere = tmp_path / "fast" / "disk"
    place = "" if spool == "beside" else str(elsewhere)
    process = start(tmp_path, LIFE, path, umask, place)
    assert read_line(process) == "logged"
    own = path.parent / ".logspool"
    places = [tmp_path / "deep", *([tmp_path / "fast"] if place else [])]
    assert [*own.glob("*.ring"), *elsewhere.rglob("*.ring")], "while it lives there is a spool"
    assert exposed(*places) == {}
    process.kill()
    end(process)
    (own / "a.jsonl.state").write_bytes(b"damaged" * 2000)
    for ring in [*own.glob("*.ring"), *elsewhere.rglob("*.ring")]:
        os.truncate(ring, 5000)
    run(
        tmp_path,
        "os.umask(int(sys.argv[2]))\n"
        "log = open_log(sys.argv[1], maxBytes=20_000, gzip=True, backupCount=0, spool_dir=sys.argv[3] or None)\n"
        "log.info('next'); assert logspool.flush(30) and logspool.shutdown(30)",
        path,
        umask,
        place,
    )
    names = " ".join(p.name for place in places for p in place.rglob("*")) + " "
    for kind in ("a.jsonl ", ".000001.gz ", ".state ", ".state.damaged ", ".users ", ".gzlock ", ".damaged "):
        assert kind in names, (kind, names)
    assert exposed(*places) == {}


def test_a_directory_of_ours_that_others_were_let_into_is_closed_again(tmp_path: Path) -> None:  # req 84
    path = tmp_path / "a.jsonl"
    run(tmp_path, "open_log(sys.argv[1]).info('one')", path)
    own = tmp_path / ".logspool"
    tmp_path.chmod(0o755)
    for file in (own, *own.iterdir()):
        file.chmod(0o777)
    run(tmp_path, "open_log(sys.argv[1]).info('two')", path)
    assert events(path) == ["one", "two"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755, "a directory that was there keeps its mode"
    assert exposed(own) == {}


# -- where no log may stand ----------------------------------------------------------------------------------------------


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory under the real /tmp, as pytest's own belong to directories of its own."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="logspool-permissions-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def refused(path: Path) -> OSError:
    """Why a log is not opened there; nothing was made or changed by the try."""
    before = {p: p.lstat() for p in (path.parent, *path.parent.iterdir())}
    with pytest.raises(OSError) as raised:
        logspool.SpoolHandler(path)
    after = {p: p.lstat() for p in (path.parent, *path.parent.iterdir())}
    assert {p: (s.st_ino, s.st_mode, s.st_mtime_ns) for p, s in before.items()} == {
        p: (s.st_ino, s.st_mode, s.st_mtime_ns) for p, s in after.items()
    }
    message = str(raised.value)
    assert str(path.parent) in message
    assert "\n" not in message
    return raised.value


def put(path: Path, what: str) -> None:
    """Something that is no log, under a log's name."""
    match what:
        case "symlink":
            target = path.with_name("precious")
            target.write_text("precious\n")
            path.symlink_to(target)
        case "dangling":
            path.symlink_to("/nowhere/at/all")
        case "stdout":
            path.symlink_to("/dev/stdout")
        case "other-log":
            path.symlink_to("other.jsonl.000001")
        case "fifo":
            os.mkfifo(path)
        case "device":
            os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        case "socket":
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(str(path))
        case "directory":
            path.mkdir()


@pytest.mark.parametrize(
    ("what", "number", "says"),
    [
        ("symlink", errno.ELOOP, "it is a symbolic link to"),
        ("dangling", errno.ELOOP, "it is a symbolic link to /nowhere/at/all; give the path of the log itself"),
        ("stdout", errno.ELOOP, "it is a symbolic link to /dev/stdout"),
        ("other-log", errno.ELOOP, "it is a symbolic link to other.jsonl.000001"),
        ("fifo", errno.EINVAL, "it is a fifo; a log needs a regular file"),
        ("socket", errno.EINVAL, "it is a socket; a log needs a regular file"),
        ("device", errno.EINVAL, "it is a device; a log needs a regular file"),
        ("directory", errno.EISDIR, "it is a directory; give a file name in it"),
    ],
)
def test_a_path_at_which_something_else_stands_is_refused(place: Path, what: str, number: int, says: str) -> None:
    if what == "device" and os.geteuid() != 0:
        pytest.skip("only root can make a device")
    path = place / "a.jsonl"
    put(path, what)
    error = refused(path)
    assert error.errno == number
    assert str(path) in str(error)
    assert says in str(error)
    assert what != "symlink" or (place / "precious").read_text() == "precious\n"


def test_our_own_symbolic_link_is_a_plain_name(place: Path) -> None:
    path = place / "a.jsonl"
    run(place, "open_log(sys.argv[1]).info('one')", path)
    path.unlink()
    path.symlink_to(segments(path)[-1].name)  # as it is made where there are no hard links
    run(place, "open_log(sys.argv[1]).info('two')", path)
    assert events(path) == ["one", "two"]


def test_a_directory_that_everybody_may_change_is_refused(place: Path) -> None:
    logs = place / "logs"
    logs.mkdir()
    logs.chmod(0o777)
    error = refused(logs / "a.jsonl")
    assert isinstance(error, PermissionError)
    assert "every user may write to it" in str(error)
    assert f"chmod +t {logs}" in str(error) and f"chmod o-w {logs}" in str(error)
    logs.chmod(0o1777)
    run(place, "open_log(sys.argv[1]).info('sticky')", logs / "a.jsonl")
    assert events(logs / "a.jsonl") == ["sticky"]
    logs.chmod(0o777)
    run(place, "open_log(sys.argv[1]).info('its own')", logs / "deeper" / "a.jsonl")
    assert events(logs / "deeper" / "a.jsonl") == ["its own"]


def test_the_default_directory_gives_way_to_the_next_and_says_why(place: Path) -> None:
    (place / "logs").mkdir()
    (place / "logs").chmod(0o777)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import logging, logspool; print(logspool.basicConfig(level='INFO').baseFilename); logging.info('kept')",
        ],
        cwd=place,
        env=environment({"XDG_STATE_HOME": str(place / "state"), "SERVICE_NAME": "server"}),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=True,
    )
    path = Path(done.stdout.strip())
    assert path.is_relative_to(place / "state")
    assert events(path) == ["kept"]
    assert "every user may write to it" in done.stderr
    assert "logging to" in done.stderr
    assert list((place / "logs").iterdir()) == []


# -- other users ---------------------------------------------------------------------------------------------------------

AS = """
import os, sys, logging, logspool
os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
os.umask(0)
try:
    handler = logspool.SpoolHandler(sys.argv[1], spool_dir=sys.argv[3] or None)
except OSError as error:
    print(type(error).__name__, error)
else:
    handler.handle(logging.makeLogRecord({"msg": f"of {sys.argv[2]}", "levelno": 20}))
    handler.close()
    print("opened")
"""


def opens(path: Path, user: int, spool_dir: str = "") -> str:
    """What comes of a log that a user opens and writes one record to: `opened`, or the error."""
    done = subprocess.run(
        [sys.executable, "-c", AS, str(path), str(user), spool_dir],
        env=environment(),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=True,
    )
    return done.stdout.strip()


def by(user: int, code: str, *arguments: object) -> None:
    """Runs code as another user."""
    drop = f"import os, sys\nos.setgroups([]), os.setgid({user}), os.setuid({user})\nos.umask(0)\n"
    subprocess.run([sys.executable, "-c", drop + code, *map(str, arguments)], check=True, timeout=DEADLINE_SECONDS)


@pytest.fixture
def sticky(place: Path) -> Path:
    """As /tmp is."""
    tmp = place / "tmp"
    tmp.mkdir()
    tmp.chmod(0o1777)
    return tmp


@needs_root
@pytest.mark.parametrize("victim", [ALICE, 0], ids=["user", "root"])
def test_a_name_that_another_user_put_into_tmp_is_refused(sticky: Path, victim: int) -> None:
    path = sticky / "a.jsonl"
    by(MALLORY, "open(sys.argv[1], 'w').write('forged\\n')", path)
    error = opens(path, victim)
    assert error.startswith("PermissionError"), error
    assert f"{path}: the file belongs to user {MALLORY}" in error
    assert path.read_text() == "forged\n"
    assert [p.name for p in sticky.iterdir()] == ["a.jsonl"]
    path.unlink()
    by(MALLORY, "os.symlink('a.jsonl.000001', sys.argv[1])", path)
    assert "it is a symbolic link" in opens(path, victim)
    path.unlink()
    assert opens(path, victim) == "opened"
    assert opens(path, victim) == "opened"
    assert events(path) == [f"of {victim}"] * 2


@needs_root
@pytest.mark.parametrize("victim", [ALICE, 0], ids=["user", "root"])
def test_a_name_put_into_tmp_while_the_log_is_open_is_neither_taken_nor_written(sticky: Path, victim: int) -> None:
    path = sticky / "a.jsonl"
    process = start(
        sticky.parent,
        """
        os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
        log = open_log(sys.argv[1], maxBytes=1000, backupCount=0, gzip=False)
        for n, line in enumerate(sys.stdin):
            log.info("record %d", n)
            assert logspool.flush(30)
            say("done")
        """,
        path,
        victim,
    )
    assert process.stdin is not None

    def log(times: int) -> None:
        for _ in range(times):
            process.stdin.write("go\n")
            process.stdin.flush()
            assert read_line(process) == "done"

    log(1)
    path.unlink()
    by(MALLORY, "open(sys.argv[1], 'w').write('forged\\n')", path)
    log(20)
    assert path.read_text() == "forged\n"
    assert path.stat().st_uid == MALLORY
    _, err = end(process)
    assert f"{path} belongs to another user" in err, err
    assert events(path) == [f"record {n}" for n in range(21)]
    assert {p.stat().st_uid for p in segments(path)} == {victim}


@needs_root
@pytest.mark.parametrize("victim", [ALICE, 0], ids=["user", "root"])
def test_a_directory_or_link_that_another_user_put_into_tmp_is_refused(sticky: Path, victim: int) -> None:
    made = "for name in sys.argv[1:]:\n    os.mkdir(name)\n    os.chmod(name, 0o1777)"
    by(MALLORY, made, sticky / "logs", sticky / "logs" / "deep")
    for path in (sticky / "logs" / "a.jsonl", sticky / "logs" / "deep" / "a.jsonl"):
        error = opens(path, victim)
        assert error.startswith("PermissionError") and f"user {MALLORY} made" in error, error
    real = sticky.parent / "alices"
    real.mkdir()
    os.chown(real, victim, victim)
    by(MALLORY, "os.symlink(sys.argv[2], sys.argv[1])", sticky / "link", real)
    error = opens(sticky / "link" / "a.jsonl", victim)
    assert f"link is a symbolic link that user {MALLORY} made" in error, error
    assert list(real.iterdir()) == []
    by(victim, "os.symlink(sys.argv[2], sys.argv[1])", sticky / "own-link", real)
    assert opens(sticky / "own-link" / "a.jsonl", victim) == "opened"


@needs_root
def test_another_users_directory_is_used_where_that_is_the_arrangement(place: Path) -> None:
    logs = place / "logs"
    logs.mkdir()
    os.chown(logs, MALLORY, MALLORY)
    logs.chmod(0o700)
    assert opens(logs / "a.jsonl", 0) == "opened"
    assert {oct(stat.S_IMODE(p.stat().st_mode)) for p in logs.rglob("*") if p.is_file()} == {"0o600"}
    assert {p.stat().st_uid for p in logs.rglob("*")} == {0}


@needs_root
@pytest.mark.parametrize("victim", [ALICE, 0], ids=["user", "root"])
def test_directories_of_ours_that_another_user_made_beforehand_are_not_used(sticky: Path, victim: int) -> None:
    path = sticky / "a.jsonl"
    by(MALLORY, "os.mkdir(sys.argv[1])", sticky / ".logspool")
    assert opens(path, victim) == "opened"
    assert list((sticky / ".logspool").iterdir()) == []
    assert (sticky / f".logspool.{victim}").stat().st_uid == victim
    other = sticky.parent / "tmp2"
    other.mkdir()
    other.chmod(0o1777)
    for name in (".logspool", f".logspool.{victim}"):
        by(MALLORY, "os.mkdir(sys.argv[1])", other / name)
    error = opens(other / "a.jsonl", victim)
    assert f"belongs to user {MALLORY}" in error, error
    assert [list(p.iterdir()) for p in other.iterdir()] == [[], []]
    spools = sticky.parent / "spools"
    spools.mkdir()
    spools.chmod(0o1777)
    by(MALLORY, "os.mkdir(sys.argv[1])", spools / "logspool")
    assert opens(sticky.parent / "tmp3" / "a.jsonl" if victim == 0 else path, victim, str(spools)) == "opened"
    assert list((spools / "logspool").iterdir()) == []
    assert (spools / f"logspool.{victim}").stat().st_uid == victim


@needs_root
def test_a_place_in_shared_memory_that_another_user_made_beforehand_is_not_used(sticky: Path) -> None:
    place = Path(f"/dev/shm/logspool.{ALICE}")
    by(MALLORY, "os.mkdir(sys.argv[1])", place)
    try:
        error = opens(sticky / "a.jsonl", ALICE, "shm")
        assert f"the directory logspool.{ALICE} belongs to user {MALLORY}" in error, error
        assert list(place.iterdir()) == []
    finally:
        place.rmdir()


# -- what dead processes left --------------------------------------------------------------------------------------------

KILLED = """
log = open_log(sys.argv[1])
for n in range(5):
    log.info("dead %d", n)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666], ids=oct)
def test_a_spool_that_others_may_write_to_is_left_until_somebody_looked_at_it(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    run(tmp_path, KILLED, path, status=-9)
    (ring,) = (path.parent / ".logspool").glob("*.ring")
    ring.chmod(mode)
    process = start(tmp_path, "open_log(sys.argv[1]).info('next'); logspool.flush(30)", path)
    _, err = end(process)
    assert events(path)[-1] == "next"
    assert ring.exists() and not [e for e in events(path) if e.startswith("dead")]
    assert f"`chmod 600 {ring}`" in err, err
    done = subprocess.run(
        [str(Path(sys.executable).with_name("logspool")), "recover", str(path.parent)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 1 and "chmod 600" in done.stdout, done.stdout
    ring.chmod(0o600)
    run(tmp_path, "open_log(sys.argv[1])", path)
    assert [e for e in events(path) if e.startswith("dead")] == [f"dead {n}" for n in range(5)]
    assert not ring.exists()


def test_a_state_that_is_another_files_second_name_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious" * 200_000)
    run(tmp_path, "open_log(sys.argv[1]).info('one')", path)
    own = path.parent / ".logspool"
    for name in ("a.jsonl.state", "a.jsonl.users"):
        (own / name).unlink()
        os.link(precious, own / name)
    (own / "a.jsonl.users").unlink()
    run(tmp_path, "open_log(sys.argv[1]).info('two')", path)
    assert precious.read_bytes() == b"precious" * 200_000
    assert stat.S_IMODE(precious.stat().st_mode) == 0o644
    assert events(path) == ["one", "two"]
    assert list(own.glob("a.jsonl.state.damaged*"))


@needs_root
def test_a_state_of_another_user_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    run(tmp_path, "open_log(sys.argv[1]).info('one')", path)
    state = path.parent / ".logspool" / "a.jsonl.state"
    os.chown(state, MALLORY, MALLORY)
    process: Any = start(tmp_path, "open_log(sys.argv[1]).info('two')", path)
    _, err = end(process)
    assert events(path) == ["one", "two"]
    assert f"it belongs to user {MALLORY}" in err, err
    assert state.stat().st_uid == os.geteuid()
