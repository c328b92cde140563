"""logspool.budget: what the ledger holds and what is logged, by this process and others, counted once."""

from __future__ import annotations

import datetime
import gzip
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine
from logfiles import DEADLINE_SECONDS, eventually

import logspool
from logspool import _budget

TODAY = datetime.datetime.now(datetime.timezone.utc)


def line(amount: object, at: datetime.datetime = TODAY, currency: str = "USD", **top: object) -> str:
    """A line as another process would have left it."""
    record = {"ts": at.isoformat().replace("+00:00", "Z"), "logger": "logspool.cost", "pid": 1, **top}
    return json.dumps({**record, "fields": {"cost": {"total": amount, "currency": currency}}}) + "\n"


@pytest.fixture
def log(tmp_path: Path, root: logging.Logger) -> Iterator[Path]:
    """The cost log of this process."""
    logspool.basicConfig(filename=tmp_path / "a.jsonl", console=False)
    yield tmp_path / "openrouter-costs.jsonl"
    for budget in list(_budget._budgets):
        budget.close()
    logspool.clear()
    logspool.uninstall()


def test_what_the_ledger_holds_counts_plain_and_gzipped(log: Path) -> None:  # req 43
    yesterday = TODAY - datetime.timedelta(days=1)
    first = line(5, yesterday) + line(0.1) + line(None) + line(3, currency="EUR") + '{"logger":"app"}\nnot json\n'
    log.with_name(f"{log.name}.000001.gz").write_bytes(gzip.compress(first.encode()))
    log.with_name(f"{log.name}.000002").write_text(line(0.2))
    logspool.log_cost("t", "m", cost=0.3)
    budget = logspool.budget(1, per="day")
    logspool.log_cost("t", "m", cost=0.05)
    assert budget.spent == Decimal("0.65")
    assert budget.left == Decimal("0.35")
    assert budget.unknown == 2
    assert budget.spent_by() == {yesterday.date().isoformat(): 5, TODAY.date().isoformat(): Decimal("0.65")}


def test_a_callback_once_for_each_day(log: Path) -> None:
    told: list[Any] = []
    budget = logspool.budget("0.3", on_exceed=told.append)
    for _ in range(3):
        logspool.log_cost("t", "m", cost=0.1)
    assert told == []  # 0.3 is not more than 0.3
    for _ in range(5):
        logspool.log_cost("t", "m", cost=0.1)
    (over,) = told
    assert (over.budget, over.spent, over.limit) == (budget, Decimal("0.4"), Decimal("0.3"))
    assert over.key == datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def test_a_ledger_that_was_moved_is_followed(log: Path) -> None:
    told: list[Any] = []
    budget = logspool.budget(3, on_exceed=lambda over: told.append(over.spent))
    logspool.log_cost("t", "m", cost=1)
    assert budget.spent == 1
    moved = log.parent / "moved"
    moved.mkdir()
    (moved / f"{log.name}.000001").write_text(line(2) + line(None))
    for _ in range(2):  # the second time it stays where it is
        logspool.basicConfig(filename=moved / "a.jsonl", console=False)
        assert (budget.spent, budget.unknown) == (2, 1)
    logspool.log_cost("t", "m", cost=0.5)
    logspool.log_cost("t", "m", cost=0.25)
    assert budget.spent == Decimal("2.75")
    logspool.flush()
    assert (budget.spent, told) == (Decimal("2.75"), [])
    logspool.basicConfig(filename=moved / "a.jsonl", console=False, cost_filename="other.jsonl")
    logspool.log_cost("t", "m", cost=0.125)
    assert budget.spent == Decimal("0.125")
    logspool.basicConfig(filename=log.with_name("a.jsonl"), console=False)  # back to the first
    assert budget.spent == 1
    logspool.log_cost("t", "m", cost=5)
    assert (budget.spent, told) == (6, [6])


def test_a_moved_ledger_is_read_when_this_process_logs(log: Path) -> None:
    told: list[Any] = []
    logspool.budget(3, on_exceed=lambda over: told.append(over.spent), refresh=3600)
    moved = log.parent / "moved"
    moved.mkdir()
    (moved / f"{log.name}.000001").write_text(line(7))
    logspool.basicConfig(filename=moved / "a.jsonl", console=False)
    logspool.log_cost("t", "m", cost=1)
    eventually(lambda: told == [8], "the look")


def test_a_budget_made_before_the_configuration_counts_what_that_says(tmp_path: Path, script: Any) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "openrouter-costs.jsonl.000001").write_text(line(2))
    done = script(
        """
        import logspool
        budget = logspool.budget(10)
        logspool.log_cost("t", "m", cost=1)
        print(budget.spent)
        logspool.basicConfig(filename="conf/a.jsonl", console=False)
        print(budget.spent)
        """
    )
    assert done.stdout.split() == ["1", "2"]


def test_a_ledger_that_cannot_be_opened_is_tried_again(log: Path) -> None:
    budget, sessions = logspool.budget(3), logspool.budget(3, per="session")
    logspool.log_cost("t", "m", cost=1)
    blocked = log.parent / "blocked"
    blocked.write_text("")
    logspool.basicConfig(filename=log.with_name("a.jsonl"), console=False, cost_filename=str(blocked / "costs.jsonl"))
    assert budget.spent == 1
    with logspool.bound(session_id="S"):
        assert sessions.spent == 0
    blocked.unlink()
    logspool.log_cost("t", "m", cost=2)
    assert budget.spent == 2


def test_midnight_begins_anew(log: Path) -> None:
    told: list[Any] = []

    def leave(number: int, *costs: tuple[object, str]) -> None:
        """A segment of another process, last written at the time of its last line."""
        segment = log.with_name(f"{log.name}.{number:06}")
        times = [datetime.datetime.fromisoformat(f"2027-03-{at}+00:00") for _, at in costs]
        segment.write_text("".join(line(cost, at) for (cost, _), at in zip(costs, times, strict=True)))
        os.utime(segment, (times[-1].timestamp(), times[-1].timestamp()))

    with time_machine.travel("2027-03-01T23:59:00Z", tick=False) as now:
        budget = logspool.budget(1, on_exceed=lambda over: told.append(over.key))
        leave(7, (2, "01T23:00:00"), (0.5, "02T00:00:01"))
        assert budget.spent == 2
        now.shift(datetime.timedelta(minutes=2))
        assert budget.spent == Decimal("0.5")
        leave(8, (1, "02T00:00:30"))
        assert budget.left == Decimal("-0.5")
    assert told == ["2027-03-01", "2027-03-02"]


def test_what_was_exceeded_before_the_start_is_told_at_the_start(log: Path) -> None:
    log.with_name(f"{log.name}.000001").write_text(line(7))
    told: list[Any] = []
    logspool.budget(5, on_exceed=told.append)
    assert [over.spent for over in told] == [7]


def test_a_budget_for_each_session_and_each_tool(log: Path) -> None:
    log.with_name(f"{log.name}.000001").write_text(
        line(1, TODAY - datetime.timedelta(days=3), session_id="old", tool="search")
    )
    told: list[tuple[str, Decimal]] = []
    sessions = logspool.budget(2, per="session", on_exceed=lambda over: told.append((over.key, over.spent)))
    tools = logspool.budget(100, per="tool")
    for session in ("old", "new"):
        with logspool.bound(session_id=session, tool="search"):
            logspool.log_cost("t", "m", cost=1.5)
            assert sessions.spent == (Decimal("2.5") if session == "old" else Decimal("1.5"))
            assert tools.spent == (Decimal("1.5") if session == "old" else Decimal(3))
    assert told == [("old", Decimal("2.5"))]
    assert sessions.spent == 0  # none is bound
    assert tools.spent_by() == {"search": 3}


OTHER = """
import sys, logspool
logspool.basicConfig(filename=sys.argv[1], console=False)
for _ in range(int(sys.argv[2])):
    logspool.log_cost("t", "m", cost=0.01)
"""


def test_other_processes_and_this_one_are_counted_once_over_rotation_and_compression(
    tmp_path: Path, root: logging.Logger
) -> None:
    logspool.basicConfig(filename=tmp_path / "a.jsonl", console=False, maxBytes=4096)
    budget = logspool.budget(1_000_000)
    others = [subprocess.Popen([sys.executable, "-c", OTHER, str(tmp_path / "a.jsonl"), "100"]) for _ in range(2)]

    def work() -> None:
        for _ in range(100):
            logspool.log_cost("t", "m", cost=0.01)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    seen = Decimal(0)
    while any(thread.is_alive() for thread in threads) or any(other.poll() is None for other in others):
        now = budget.spent
        assert seen <= now <= 5
        seen = now
    for thread in threads:
        thread.join()
    assert [other.wait(DEADLINE_SECONDS) for other in others] == [0, 0]
    assert logspool.shutdown(DEADLINE_SECONDS)
    assert budget.spent == 5
    assert budget.spent == 5
    budget.close()


def test_others_are_looked_at_by_a_thread_when_this_one_logs(log: Path) -> None:
    told: list[str] = []
    logspool.budget(1, on_exceed=lambda over: told.append(threading.current_thread().name), refresh=0)
    log.with_name(f"{log.name}.000009").write_text(line(5))
    logspool.log_cost("t", "m", cost=0.01)
    eventually(lambda: told == ["logspool-budget"], "the look")


def test_a_callback_that_raises_is_said_and_stops_nothing(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("no such bell")

    budget = logspool.budget(0, on_exceed=fails)
    logspool.log_cost("t", "m", cost=1)
    logspool.log_cost("t", "m", cost=1)
    assert budget.spent == 2
    assert "no such bell" in capfd.readouterr().err


def test_a_callback_may_log_costs_and_ask(log: Path) -> None:
    seen: list[Decimal] = []

    def ask(over: Any) -> None:
        logspool.log_cost("t", "m", cost=0.25)
        seen.append(over.budget.spent)

    budget = logspool.budget(1, on_exceed=ask)
    logspool.log_cost("t", "m", cost=2)
    assert (seen, budget.spent) == ([Decimal("2.25")], Decimal("2.25"))


def test_a_forked_child_counts_on(log: Path) -> None:
    budget = logspool.budget(10)
    logspool.log_cost("t", "m", cost=1)
    with budget._lock:  # as another thread may
        child = os.fork()
    if child == 0:
        try:
            logspool.log_cost("t", "m", cost=2)
            status = 0 if budget.spent == 3 and logspool.flush(DEADLINE_SECONDS) else 1
        except BaseException:
            status = 2
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert budget.spent == 3


def test_closed_it_counts_no_more_and_the_native_side_forgets_it(log: Path) -> None:
    budget = logspool.budget(1)
    budget.close()
    budget.close()
    logspool.log_cost("t", "m", cost=1)
    assert budget not in _budget._budgets


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((-1,), "limit"), (("much",), "limit"), ((1, "week"), "one of day, session, tool"), ((1, "day", 3), "on_exceed")],
)
def test_wrong_arguments_are_refused(log: Path, arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        logspool.budget(*arguments)


def test_costs_in_the_main_log_are_read_there(tmp_path: Path, root: logging.Logger) -> None:
    logspool.basicConfig(filename=tmp_path / "a.jsonl", cost_filename=None, console=False, level="INFO")
    logspool.log_cost("t", "m", cost=1)
    logging.getLogger("app").info("cost", extra={"cost": 5})
    budget = logspool.budget(10)
    assert budget.spent == 1
    assert not (tmp_path / "openrouter-costs.jsonl").exists()
    budget.close()


@pytest.mark.parametrize("session", ["s" * 300, "sk-proj-" + "aB3dE5fG7hJ9" * 4, 12, "a\u2028b"])
def test_a_sessions_costs_are_found_whatever_the_log_makes_of_its_id(log: Path, session: object) -> None:  # req 30, 43
    budget = logspool.budget(1, per="session")
    with logspool.bound(session_id=session):
        logspool.log_cost("t", "m", cost=0.25)
        assert budget.spent == Decimal("0.25")
    assert budget.spent == 0


def test_sums_are_exact_whatever_the_program_has_set_for_its_own_decimals(log: Path) -> None:  # req 14, 43
    from decimal import Inexact, localcontext

    with localcontext() as own:
        own.prec, own.traps[Inexact] = 3, True
        budget = logspool.budget("100")
        for _ in range(3):
            logspool.log_cost("t", "m", cost=33.33333)
        assert str(budget.spent) == "99.99999" and str(budget.left) == "0.00001"


def test_times_of_the_predecessor_are_read_and_no_time_is_not_today(log: Path) -> None:  # req 43
    def old(timestamp: object, cost: str = "0.25") -> str:
        return f'{{"timestamp": {json.dumps(timestamp)}, "tier": "t", "model": "m", "cost": {{"total": {cost}}}}}\n'

    naive = TODAY.replace(tzinfo=None).isoformat()
    lines = [
        old(naive),
        old(TODAY.timestamp()),
        old("2020-01-01T00:00:00"),
        old(1_500_000_000),
        old("yesterday"),
        old(None),
    ]
    lines += [old("0001-01-01T00:00:00+14:00"), old(1e300), old(naive, "1e99999999999999999999")]
    log.write_text("".join(lines))
    budget = logspool.budget(10)
    assert (budget.spent, budget.unknown) == (Decimal("0.5"), 4)
