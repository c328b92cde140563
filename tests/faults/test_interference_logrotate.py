"""External logrotate, and files of other programs that look like segments."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.faults.interference import Server, own
from tests.faults.program import end, read_line, run, start
from tests.faults.reading import events, segments
from tests.faults.stall import stalled

pytestmark = pytest.mark.skipif(shutil.which("logrotate") is None, reason="needs Debian's logrotate")


def logrotate(scratch: Path, glob: Path, *options: str) -> None:
    """Rotate now, whatever the dates, as the system's timer would."""
    config = scratch / "logrotate.conf"
    # The test's directory may be writable by its group, which logrotate refuses without `su`.
    config.write_text("\n".join([f"{glob} {{", "su root root", "rotate 50", "missingok", *options, "}"]) + "\n")
    command = ["logrotate", "--force", "--state", str(scratch / "logrotate.state"), str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def all_events(directory: Path) -> set[str]:
    """The event of every line of every file of the directory: what a human with `zcat` finds, logrotate's copies included."""
    found = set()
    for path in directory.iterdir():
        if path.is_file():
            text = path.read_bytes()
            while text.startswith(
                b"\x1f\x8b"
            ):  # with a glob that matches everything logrotate compresses what it has compressed
                text = gzip.decompress(text)
            assert text == b"" or text.endswith(b"\n"), f"{path.name} ends in a torn line"
            found |= {json.loads(line)["event"] for line in text.splitlines()}
    return found


WAYS = {
    "create": ("create",),
    "nocreate": ("nocreate",),
    "copytruncate": ("copytruncate",),
    "compress": ("create", "compress"),
    "copytruncate-compress": ("copytruncate", "compress"),
    "dateext": ("create", "dateext", "dateformat .%Y%m0{round}"),
}


@pytest.mark.parametrize("glob", ["app.jsonl", "app.jsonl*"], ids=["plain", "segments-too"])
@pytest.mark.parametrize("way", WAYS)
def test_logrotate_between_records_loses_none_and_logging_goes_on(tmp_path: Path, way: str, glob: str) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path, maxBytes=20_000, gzip=False)
    for number in range(4):
        server.log(40)
        logrotate(tmp_path, path.parent / glob, *(option.format(round=number + 1) for option in WAYS[way]))
    server.log(40)
    assert all_events(path.parent) >= set(server.expected)
    assert path.stat().st_ino == segments(path.parent, path.name)[-1].path.stat().st_ino, "the plain name is the newest"
    found = server.found()
    assert found[-40:] == server.expected[-40:]
    assert len(found) == len(set(found)), "no segment repeats another"
    server.end()


@pytest.mark.parametrize("way", ["create", "copytruncate"])
def test_records_accepted_while_logrotate_works_go_to_a_new_segment_and_none_is_lost(tmp_path: Path, way: str) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path, gzip=False)
    server.log(50)
    # Nobody appends while the log's lock is held: what is accepted meanwhile is written after logrotate has come and gone.
    with stalled(path.parent, path.name):
        server.accept(50)
        logrotate(tmp_path, path.parent / "app.jsonl*", *WAYS[way])
        server.accept(50)
    server.flush()
    assert all_events(path.parent) >= set(server.expected)
    assert server.found()[-100:] == server.expected[-100:]
    server.end()


@pytest.mark.parametrize("way", ["create", "copytruncate"])
def test_logrotate_again_and_again_under_load_tears_and_doubles_no_line(tmp_path: Path, way: str) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    process = start(
        tmp_path,
        """
        log = open_log(sys.argv[1], maxBytes=50_000, backupCount=0, gzip=False, block_timeout=None)
        threading.Thread(target=sys.stdin.readline, daemon=True).start()
        say("ready")
        for n in range(20_000):
            log.info("record %d", n)
            if n % 200 == 0:
                assert logspool.flush(30)
        say("over")
        """,
        path,
    )
    assert read_line(process) == "ready"
    rounds = 0
    while process.poll() is None and rounds < 20:
        logrotate(tmp_path, path.parent / "app.jsonl", way, "rotate 1000")
        rounds += 1
    assert read_line(process) == "over"
    _, err = end(process)
    assert process.returncode == 0, err
    assert rounds > 3
    found = events(path.parent, path.name)
    if way == "create":  # with copytruncate logrotate itself loses what is written between its copy and its truncation
        assert all_events(path.parent) >= {f"record {n}" for n in range(20_000)}
    assert found[-1] == "record 19999"
    assert found == sorted(set(found), key=lambda e: int(e.split()[1])), "in order, none twice"


FOREIGN = (
    "app.jsonl.20261121",
    "app.jsonl.20261121.gz",
    "app.jsonl-20261121.gz",
    "app.jsonl.2026112104",
    "app.jsonl.202611210437",
    "app.jsonl.1795235871",
    "app.jsonl.1",
    "app.jsonl.2.gz",
)


def test_a_dated_file_of_another_program_is_no_segment(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    path.parent.mkdir()
    for name in FOREIGN:
        (path.parent / name).write_text("another program's\n")
    server = Server(tmp_path, path, maxBytes=2000, backupCount=2, gzip=True)
    for _ in range(6):
        server.log(10)
    server.end()
    assert [s.number for s in segments(path.parent, path.name)][-1] < 20
    for name in FOREIGN:
        assert (path.parent / name).read_text() == "another program's\n", name


def test_a_dated_file_whose_date_has_six_digits_does_not_lead_the_numbers_astray(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path, maxBytes=2000, backupCount=2, gzip=False)
    server.log(10)
    for name in ("app.jsonl.261121", "app.jsonl.202611"):
        (path.parent / name).write_text("another program's\n")
    for _ in range(4):
        server.log(10)
    server.end()
    numbers = sorted(s.number for s in segments(path.parent, path.name))
    assert numbers[-2:] == [202611, 261121]
    assert max(numbers[:-2]) < 20
    assert len(numbers[:-2]) == 3, "retention counts its own segments"


def test_a_segment_that_somebody_renamed_is_written_no_more(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path)
    server.log(10)
    first = segments(path.parent, path.name)[0].path
    path.unlink()
    first.rename(path.parent / "taken.away")
    held = (path.parent / "taken.away").read_bytes()
    server.log(10)
    assert (path.parent / "taken.away").read_bytes() == held
    assert server.found() == server.expected[10:]
    server.end()


def test_a_segment_name_that_somebody_removed_comes_back_from_the_plain_name(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path)
    server.log(10)
    segments(path.parent, path.name)[0].path.unlink()
    server.log(10)
    assert server.found() == server.expected, "the records that only the plain name still had are in a segment again"
    server.end()


def test_nothing_of_logrotate_disturbs_a_start(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "app.jsonl"
    server = Server(tmp_path, path)
    server.log(10)
    server.kill()
    logrotate(tmp_path, path.parent / "app.jsonl*", "create", "compress")
    run(tmp_path, "open_log(sys.argv[1]).info('later')", path)
    assert all_events(path.parent) >= {*server.expected, "later"}
    assert not list(own(path).glob("*.damaged"))
