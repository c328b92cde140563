"""The system's clock is set forward and back while a log rotates by time."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from tests.faults.interference import Server
from tests.faults.reading import records, segments

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="needs Debian's faketime")

MINUTE, HOUR, DAY = 60, 3600, 86400


class Clock:
    """A wall clock that a test sets; the monotonic one goes on as it does for a process whose machine's clock is set."""

    def __init__(self, scratch: Path) -> None:
        self._file = scratch / "clock"
        # From ten in the morning on, so that an hour more or less is the same day.
        now = datetime.datetime.now(datetime.timezone.utc)
        self._base = int((now.replace(hour=10, minute=10, second=0) - now).total_seconds())
        self.set(0)

    def set(self, seconds: int) -> None:
        """`seconds` from ten past ten today."""
        temporary = self._file.with_suffix(".new")
        temporary.write_text(f"{self._base + seconds:+d}\n")
        temporary.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """What puts a process under this clock."""
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


def opened(tmp_path: Path, clock: Clock, **settings: object) -> Server:
    """A process under that clock."""
    settings = {"maxBytes": 0, "gzip": False, "utc": True, **settings}
    return Server(tmp_path, tmp_path / "logs" / "app.jsonl", env=clock.environment, **settings)


def count(server: Server) -> int:
    """How many segments the log has."""
    return len(segments(server.path.parent, server.path.name))


UNITS = [
    ("S", 600, 600),
    ("M", 10, 10 * MINUTE),
    ("H", 1, HOUR),
    ("D", 1, DAY),
    ("midnight", 1, DAY),
    ("W0", 1, 7 * DAY),
]


@pytest.mark.parametrize(("when", "interval", "length"), UNITS, ids=[u[0] for u in UNITS])
def test_a_clock_set_forward_rotates_once_and_one_set_back_delays_no_rotation(
    tmp_path: Path, clock: Clock, when: str, interval: int, length: int
) -> None:
    server = opened(tmp_path, clock, when=when, interval=interval)
    server.log(5)
    assert count(server) == 1
    clock.set(30 * DAY)
    for _ in range(5):
        server.log(5)
    assert count(server) == 2, "once, however far it was set"
    clock.set(0)
    for _ in range(5):
        server.log(5)
    assert count(server) == 2, "set back is no reason to rotate"
    clock.set(length + 5)
    for _ in range(5):
        server.log(5)
    assert count(server) == 3, "the time of a segment counts from when the clock was set back, not to a date far ahead"
    clock.set(2 * length + 10)
    server.log(5)
    assert count(server) == 4
    found = records(server.path.parent, server.path.name)
    assert [r["event"] for r in found] == server.expected
    assert [r["seq"] for r in found] == sorted(r["seq"] for r in found)
    days = [r["ts"][:10] for r in found]
    assert len(set(days[5:30])) == 1 and days[5] > days[0] and days[30] == days[0], "the clock was really set"
    server.end()


def test_a_clock_that_is_set_to_and_fro_rotates_once_each_time_at_most(tmp_path: Path, clock: Clock) -> None:
    server = opened(tmp_path, clock, when="midnight")
    for jump in range(1, 11):
        clock.set(jump % 2 * DAY)
        for _ in range(4):
            server.log(3)
        assert count(server) <= 1 + jump
    assert server.found() == server.expected
    server.end()


@pytest.mark.parametrize(("when", "length"), [("H", HOUR), ("midnight", DAY)])
def test_a_process_that_starts_after_the_clock_was_set_back_does_not_wait_for_the_old_date(
    tmp_path: Path, clock: Clock, when: str, length: int
) -> None:
    clock.set(20 * DAY)
    server = opened(tmp_path, clock, when=when)
    server.log(5)
    server.end()
    clock.set(0)
    server = opened(tmp_path, clock, when=when)
    server.log(5)
    assert count(server) == 1
    clock.set(length + 5)
    server.log(5)
    assert count(server) == 2
    server.end()


def test_waits_do_not_go_by_the_clock(tmp_path: Path, clock: Clock) -> None:
    from tests.faults.stall import stalled

    server = opened(tmp_path, clock)
    server.log(5)
    with stalled(server.path.parent, server.path.name):
        server.accept(10)
        clock.set(-365 * DAY)
        server.accept(10)
    server.flush()
    clock.set(365 * DAY)
    server.log(10)
    assert server.found() == server.expected
    server.end()
