"""No secret reaches the disk: everything planted is logged by real programs, and every byte they left is searched. req 30 33"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from commands import environment
from commands import logspool as command
from logfiles import DEADLINE_SECONDS, eventually
from redaction import SEED
from redaction.corpus import Planted, corpus
from redaction.program import CANARY
from redaction.search import Search, contents, files, report
from tests.faults.stall import stalled

PROGRAM = Path(__file__).parent / "redaction" / "program.py"
# Small segments, so that there are many, and some compressed.
COMMON: dict[str, Any] = {"maxBytes": "32KB", "backupCount": 0, "block_timeout": None, "spool_bytes": "1MB"}
ROUTES: dict[str, dict[str, Any]] = {
    "fast": {"fast": True, "console": False},
    "standard": {"fast": False, "console": True, "console_level": "DEBUG"},
    "text": {"json": False, "console": True, "console_level": "INFO", "spool_dir": "shm"},
}
SHM = Path("/dev/shm") / f"logspool.{os.geteuid()}"


@pytest.fixture(scope="module")
def planted() -> list[Planted]:
    return corpus(SEED)


@pytest.fixture(scope="module")
def search(planted: list[Planted]) -> Search:
    return Search(planted)


class Console:
    """A pipe or terminal for standard error, and what came out of it."""

    def __init__(self, terminal: bool) -> None:
        self.reader, self.writer = pty.openpty() if terminal else os.pipe()
        self.text = b""
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self) -> None:
        with contextlib.suppress(OSError):  # how Linux says that the other end of a terminal is closed
            while chunk := os.read(self.reader, 65536):
                self.text += chunk

    def close(self) -> None:
        os.close(self.writer)
        self.thread.join(DEADLINE_SECONDS)
        os.close(self.reader)


@dataclass
class Left:
    """What a route's programs left: the logs' directory, where rings stood, and consoles' text."""

    directory: Path
    stats: dict[str, Any] = field(default_factory=dict)
    consoles: dict[str, bytes] = field(default_factory=dict)
    after_kill: dict[str, list[bytes]] = field(default_factory=dict)

    @property
    def places(self) -> list[Path]:
        """The logs, and the rings in shared memory where there are any."""
        logs = os.stat(self.directory / "logs")
        return [self.directory / "logs", *SHM.glob(f"{logs.st_dev:x}-{logs.st_ino:x}")]

    def snapshot(self) -> dict[str, list[bytes]]:
        return {str(file): contents(file) for file in files(*self.places)}


def run(left: Left, route: dict[str, Any], **settings: Any) -> str:
    """Run the program to its end, or to where it waits and is killed; returns what it says."""
    console = Console(terminal=route.get("fast") is False)
    process = subprocess.Popen(
        [
            sys.executable,
            PROGRAM,
            left.directory,
            json.dumps({"seed": SEED, "config": {**COMMON, **route}, **settings}),
        ],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=console.writer,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        if settings.get("wait"):
            eventually(
                lambda: CANARY.encode() in console.text or not route["console"], "the console has shown something"
            )
            process.kill()
        process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
        process.wait()
        console.close()
    left.consoles[f"console {len(left.consoles)}"] = console.text
    assert said, console.text.decode("utf-8", "replace")
    assert process.returncode == (-9 if settings.get("wait") else 0), console.text.decode("utf-8", "replace")
    return said


def damage(ring: Path) -> None:
    """Overwrite the middle of what a ring holds: recovery keeps such a ring aside."""
    data = ring.read_bytes()
    at = data.index(CANARY.encode(), len(data.rstrip(b"\0")) // 2)
    with ring.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 24)


@pytest.fixture(scope="module", params=ROUTES)
def left(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    """What is left after a program that ended, one that was killed with its records in the spool, and the recovery."""
    route = ROUTES[request.param]
    left = Left(tmp_path_factory.mktemp(request.param))
    left.stats = json.loads(run(left, route))
    with stalled(left.directory / "logs", "app.jsonl"):
        assert run(left, route, wait=True) == "logged\n"
        left.after_kill = left.snapshot()
        if "spool_dir" not in route:
            damage(max((left.directory / "logs" / ".logspool").glob("*.ring"), key=lambda ring: ring.stat().st_size))
    command("recover", left.directory / "logs")
    yield left
    for place in left.places[1:]:
        shutil.rmtree(place)


def route_of(left: Left) -> dict[str, Any]:
    return ROUTES[left.directory.name.rstrip("0123456789")]


def found(search: Search, left: Left) -> dict[int, tuple[Planted, str]]:
    """What is found in anything that is left."""
    seen: set[bytes] = set()
    leaks: dict[int, tuple[Planted, str]] = {}
    for name, parts in [
        *left.after_kill.items(),
        *left.snapshot().items(),
        *((n, [t]) for n, t in left.consoles.items()),
    ]:
        for data in parts:
            if data not in seen:
                seen.add(data)
                for number, (one, around) in search.in_bytes(Path(name).name.encode() + b"\n" + data).items():
                    leaks.setdefault(number, (one, f"{name}: {around}"))
    return leaks


def test_at_least_four_hundred_secrets_of_every_kind_are_planted_in_every_place(planted: list[Planted]) -> None:
    from redaction.carriers import ALONE, BARE, QUOTING
    from redaction.kinds import PLAIN, QUOTED, SHAPES
    from redaction.places import TEXT
    from redaction.structures import HEADERS, NAMED

    assert len(planted) >= 400
    assert {one.carrier for one in planted} >= {*QUOTING, *BARE, *ALONE}
    places = {*(f"text:{p}" for p in TEXT), *(f"named:{p}" for p in NAMED), *(f"header:{p}" for p in HEADERS)}
    assert {one.place for one in planted} == places
    kinds = {one.kind for one in planted}
    for kind in (*SHAPES, *PLAIN, *QUOTED):
        family = kind.removesuffix("-project")
        assert any(made == kind or made.startswith(family) for made in kinds), kind


def test_the_search_finds_every_secret_that_is_not_redacted(
    planted: list[Planted], search: Search, tmp_path: Path
) -> None:
    """That the search can fail, and that everything planted does reach the disk where nothing stops it."""
    left = Left(tmp_path)
    run(left, {**ROUTES["fast"], "redact": False})
    leaks = found(search, left)
    assert [str(one) for one in planted if one.number not in leaks] == []


def test_no_secret_is_in_any_file_ring_or_console_after_kills_rotation_and_recovery(search: Search, left: Left) -> None:
    leaks = found(search, left)
    assert not leaks, report(leaks)


def test_everything_that_was_searched_had_been_written(planted: list[Planted], left: Left) -> None:
    """Rings, segments, compressed ones, consoles and what was set aside: each held lines when it was searched."""
    stats = left.stats
    # A text log has no line for arguments that do not fit their message: that is said as the standard library says it.
    unfit = 0 if route_of(left).get("json", True) else sum(one.place == "text:args-wrong" for one in planted)
    assert stats["emitted"] == stats["written"] == len(planted) - unfit + (len(planted) + 99) // 100
    assert stats["dropped"] == 0
    canary = CANARY.encode()

    def holding(ending: str, among: dict[str, list[bytes]]) -> list[str]:
        return [name for name, parts in among.items() if ending in name and any(canary in data for data in parts)]

    now = left.snapshot()
    assert holding(".ring", left.after_kill), "no ring held lines"
    assert holding(".gz", now), "no segment was compressed"
    assert holding("app.jsonl.", now)
    assert not holding(".ring", {name: parts for name, parts in now.items() if name.endswith(".ring")}), "not recovered"
    assert len(left.places) == (2 if "spool_dir" in route_of(left) else 1), "rings in shared memory"
    if len(left.places) == 1:
        assert holding(".damaged", now), "no ring was set aside"
    for name, text in left.consoles.items():
        assert (canary in text) == route_of(left)["console"], name
