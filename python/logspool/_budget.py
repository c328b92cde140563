"""`budget`: what calls of language models may cost, counted from the cost log, with a callback where it is exceeded."""

from __future__ import annotations

import datetime
import os
import threading
import time
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import NamedTuple

from logspool import _config, _core, _ledger, context, cost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

__all__ = ["Budget", "Exceeded", "budget"]

#: Seconds between two looks at what other processes have logged, where nobody asks for `spent`.
REFRESH = 5.0
#: Costs that were read before they were told, remembered.
_EARLY = 10_000
#: Sums are the same whatever precision the program has set for its own decimals.
_EXACT = Context(prec=200, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
#: Days, sessions, or tools on a day, whose sums are kept.
_MOST = 100_000


class Exceeded(NamedTuple):
    """What `on_exceed` gets: the budget that was exceeded, of which day, session or tool, what was spent, and the limit."""

    budget: Budget
    key: str
    spent: Decimal
    limit: Decimal


def budget(
    limit: float | str | Decimal,
    per: Literal["day", "session", "tool"] = "day",
    on_exceed: Callable[[Exceeded], object] | None = None,
    *,
    currency: str = "USD",
    utc: bool = True,
    refresh: float = REFRESH,
) -> Budget:
    """A budget for what is logged with `log_cost`, in `currency`: per calendar day, per session, or per tool and day.

        budget = logspool.budget(5.00, per="day", on_exceed=lambda over: alarm(f"{over.spent} USD on {over.key}"))
        if budget.left <= 0: ...

    What the cost log holds already counts: its segments are read at the start, plain and gzipped, and from then on what this process logs
    is counted as it is logged. What other processes log is seen when `spent` or `left` is asked for, and otherwise with the next cost of
    this process that is logged `refresh` seconds after the last look: a thread then looks.

    `on_exceed` is called once for each day (session; tool and day) in which the limit is exceeded, in the thread that logs the cost, asks
    or looks; what it raises is said on standard error and stops nothing. Days are those of UTC, or of the local zone with `utc=False`.
    Costs of other currencies and of unknown amount do not count; `unknown` says how many there were. `close()` ends the counting.

    The cost log is the one in force: where a later `basicConfig` or `configure` moves it, only what that one holds counts from then on.
    It is opened if it is not open yet. Raises ValueError for arguments that are none, OSError where the log cannot be opened.
    """
    return Budget(limit, per, on_exceed, currency=currency, utc=utc, refresh=refresh)


class Budget:
    """See `budget`."""

    def __init__(
        self,
        limit: float | str | Decimal,
        per: str,
        on_exceed: Callable[[Exceeded], object] | None,
        *,
        currency: str,
        utc: bool,
        refresh: float,
    ) -> None:
        amount: Decimal | None = _ledger.amount(limit)
        if amount is None or amount < 0:
            raise ValueError(f"budget: limit: {limit!r}: pass a number, 0 or more")
        if per not in ("day", "session", "tool"):
            raise ValueError(f"budget: per: {per!r}: one of day, session, tool")
        if on_exceed is not None and not callable(on_exceed):
            raise ValueError(f"budget: on_exceed: {on_exceed!r}: pass a function")
        self.limit, self.per, self.currency, self.utc = amount, per, currency, utc
        self._on_exceed, self._refresh = on_exceed, float(refresh)
        self._told: set[tuple[str, str]] = set()
        self._fresh_locks()
        self._configured = _config.state.cost_configured
        self._begin(os.path.abspath(cost.path()))
        _budgets.add(self)
        _core.set_cost_watcher(_watch)
        _core.flush(10)
        self._read()
        if per != "session":
            for key in list(self._sums):
                self._judge(key)

    def _begin(self, path: str) -> None:
        """Of this ledger nothing is counted yet."""
        self._ledger = _ledger.Ledger(path)
        self._sums: dict[tuple[str, str], Decimal] = {}
        self._unknown = 0
        #: Costs of this process by number: told and not read yet, and read but not told yet.
        self._ahead: set[str] = set()
        self._early: dict[str, None] = {}
        self._looked = float("-inf")

    def _follow(self) -> None:
        """Count what the ledger that is in force holds, where that is another now."""
        configured = _config.state.cost_configured
        if configured == self._configured:
            return
        try:
            path = os.path.abspath(cost.path())
        except (OSError, ValueError):
            return  # `log_cost` says so; the next cost, or who asks, tries again.
        with self._lock:
            self._configured = configured
            if path != self._ledger.path:
                self._begin(path)

    def _fresh_locks(self) -> None:
        #: Held for a moment only. Python code may run in the middle of it (a signal handler, a finaliser) and log a cost.
        self._lock = threading.RLock()
        #: Held by who reads the files, which may take long: a call of `log_cost` never waits for it.
        self._reading = threading.RLock()
        self._looking = self._within = False

    @property
    def spent(self) -> Decimal:
        """What was spent today; per session or tool: by the one that is bound here."""
        key = self._current()
        self.refresh()
        with self._lock:
            return self._spent(key)

    @property
    def left(self) -> Decimal:
        """What is left of the limit; below 0 where it is exceeded."""
        return _EXACT.subtract(self.limit, self.spent)

    @property
    def unknown(self) -> int:
        """Costs of unknown amount or day, or in another currency, of all that was read: they are not in `spent`."""
        self.refresh()
        with self._lock:
            return self._unknown

    def spent_by(self) -> dict[str, Decimal]:
        """What was spent by each session or tool (today), or on each day."""
        self.refresh()
        day = self._day(None)
        with self._lock:
            return {key: spent for (of, key), spent in self._sums.items() if self.per != "tool" or of == day}

    def refresh(self) -> None:
        """Read what other processes have logged since the last look."""
        for key in self._read():
            self._judge(key)

    def close(self) -> None:
        """Count no more."""
        _budgets.discard(self)
        if not _budgets:
            _core.set_cost_watcher(None)

    def _logged(self, entry: _ledger.Cost) -> None:
        """A cost of this process."""
        self._follow()
        with self._lock:
            if entry.seq is not None:
                if entry.seq in self._early:
                    del self._early[entry.seq]
                    return
                self._ahead.add(entry.seq)
            key = self._add(entry)
            due = not self._looking and time.monotonic() - self._looked >= self._refresh
            if due:
                self._looking = True
        self._judge(key)
        if due:
            # Not here: who logs a cost does not wait for a disk.
            threading.Thread(target=self._look, name="logspool-budget", daemon=True).start()

    def _look(self) -> None:
        try:
            self.refresh()
        finally:
            self._looking = False

    def _read(self) -> set[tuple[str, str] | None]:
        """Count the lines that were added to the log; those that this process told are counted already."""
        keys: set[tuple[str, str] | None] = set()
        with self._reading:
            if self._within:
                return keys  # A signal handler asks in the middle of a look.
            self._within = True
            try:
                self._follow()
                ledger, self._looked = self._ledger, time.monotonic()
                for entry in ledger.new(None if self.per == "session" else self._oldest()):
                    keys |= self._found(ledger, entry)
                    if ledger is not self._ledger:  # It was moved meanwhile; the next look reads the other.
                        break
            finally:
                self._within = False
        return keys

    def _found(self, ledger: _ledger.Ledger, entry: _ledger.Cost) -> set[tuple[str, str] | None]:
        """A cost that was read in it."""
        with self._lock:
            if ledger is not self._ledger:
                return set()
            if entry.seq is not None and entry.seq in self._ahead:
                self._ahead.discard(entry.seq)
                return set()
            if entry.seq is not None and entry.pid == os.getpid():
                self._early[entry.seq] = None
                if len(self._early) > _EARLY:
                    del self._early[next(iter(self._early))]
            return {self._add(entry)}

    def _add(self, entry: _ledger.Cost) -> tuple[str, str] | None:
        undated = entry.moment is None and self.per != "session"
        if entry.amount is None or entry.currency != self.currency or undated:
            self._unknown += 1
            return None
        if self.per == "session":
            key = ("", entry.session or "")
        else:
            day = self._day(entry.moment)
            key = ("", day) if self.per == "day" else (day, entry.tool or "")
        self._sums[key] = _EXACT.add(self._sums.pop(key, Decimal(0)), entry.amount)
        if len(self._sums) > _MOST:
            # Of a server that runs for years: the day, the tool's day or the session whose last cost is the oldest.
            first = next(iter(self._sums))
            del self._sums[first]
            self._told.discard(first)
        return key

    def _judge(self, key: tuple[str, str] | None) -> None:
        if key is None:
            return
        with self._lock:
            spent = self._spent(key)
            if spent <= self.limit or key in self._told:
                return
            self._told.add(key)
        if self._on_exceed is not None and (self.per == "session" or self._day(None) in key):
            try:
                self._on_exceed(Exceeded(self, key[1], spent, self.limit))
            except Exception as error:
                _config.say_once(f"on_exceed of a budget raised {type(error).__name__}: {error}")

    def _spent(self, key: tuple[str, str]) -> Decimal:
        return self._sums.get(key, Decimal(0))

    def _current(self) -> tuple[str, str]:
        if self.per == "day":
            return self._today()
        name = "session_id" if self.per == "session" else "tool"
        of = "" if self.per == "session" else self._day(None)
        bound = context.current().get(name)
        key = (of, "" if bound is None else str(bound))
        if bound is None or key in self._sums:
            return key
        try:
            # A long one is cut in the log, and one that looks like a secret is not there at all.
            return of, cost.as_logged(name)
        except (OSError, ValueError):
            return key  # There is no log, for the time being.

    def _today(self) -> tuple[str, str]:
        return ("", self._day(None))

    def _day(self, moment: datetime.datetime | None) -> str:
        zone = datetime.timezone.utc if self.utc else None
        at = datetime.datetime.now(datetime.timezone.utc) if moment is None else moment
        return at.astimezone(zone).date().isoformat()

    def _oldest(self) -> float:
        """When the day began: what was written before does not count."""
        today = datetime.date.fromisoformat(self._day(None))
        zone = datetime.timezone.utc if self.utc else None
        midnight = datetime.datetime(today.year, today.month, today.day)
        return (midnight.replace(tzinfo=zone) if zone is not None else midnight).timestamp()


#: Those that count; kept here, as a callback may be all that its owner wants. The native watcher is set as long as there is one.
_budgets: set[Budget] = set()


def _after_fork() -> None:
    """Another thread may have held a lock when the process was forked."""
    for each in list(_budgets):
        each._fresh_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _watch(line: bytes) -> None:
    """A line of the cost log, as this process appended it."""
    budgets = list(_budgets)
    if not budgets:
        _core.set_cost_watcher(None)
        return
    entry = _ledger.parse(line)
    if entry is not None:
        for each in budgets:
            each._logged(entry)
