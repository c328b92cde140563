"""`budget`: what calls of language models may cost, counted from the cost log, with a callback where it is exceeded."""

from __future__ import annotations

import datetime
import gzip
import json
import os
import re
import threading
import time
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from logspool import _config, _core, context, cost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal

__all__ = ["Budget", "Exceeded", "budget"]

#: Seconds between two looks at what other processes have logged, where nobody asks for `spent`.
REFRESH = 5.0
_SEGMENT = re.compile(r"\.(\d{6,7}|\d{9})(\.gz)?")
_CHUNK = 1 << 20
#: Costs that were read before they were told, remembered.
_EARLY = 10_000
#: Days, sessions, or tools on a day, whose sums are kept.
_MOST = 100_000


class Exceeded(NamedTuple):
    """What `on_exceed` gets: the budget that was exceeded, of which day, session or tool, what was spent, and the limit."""

    budget: Budget
    key: str
    spent: Decimal
    limit: Decimal


class Cost(NamedTuple):
    """What a line of the cost log says, as far as it matters here."""

    seq: str | None
    pid: int | None
    moment: datetime.datetime | None
    session: str | None
    tool: str | None
    amount: Decimal | None
    currency: str


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

    Opens the cost log if it is not open yet: make a budget after `basicConfig`, which says where that is. Raises ValueError for arguments
    that are none, OSError where the log cannot be opened.
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
        amount: Decimal | None = _amount(limit)
        if amount is None or amount < 0:
            raise ValueError(f"budget: limit: {limit!r}: pass a number, 0 or more")
        if per not in ("day", "session", "tool"):
            raise ValueError(f"budget: per: {per!r}: one of day, session, tool")
        if on_exceed is not None and not callable(on_exceed):
            raise ValueError(f"budget: on_exceed: {on_exceed!r}: pass a function")
        self.limit, self.per, self.currency, self.utc = amount, per, currency, utc
        self._on_exceed, self._refresh = on_exceed, float(refresh)
        self._sums: dict[tuple[str, str], Decimal] = {}
        self._told: set[tuple[str, str]] = set()
        self._unknown = 0
        #: Costs of this process by number: told and not read yet, and read but not told yet.
        self._ahead: set[str] = set()
        self._early: dict[str, None] = {}
        self._fresh_locks()
        self._ledger = _Ledger(os.path.abspath(cost.path()))
        _budgets.add(self)
        _core.set_cost_watcher(_watch)
        _core.flush(10)
        self._read()
        if per != "session":
            for key in list(self._sums):
                self._judge(key)

    def _fresh_locks(self) -> None:
        #: Held for a moment only. Python code may run in the middle of it (a signal handler, a finaliser) and log a cost.
        self._lock = threading.RLock()
        #: Held by who reads the files, which may take long: a call of `log_cost` never waits for it.
        self._reading = threading.RLock()
        self._looked = time.monotonic()
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
        return self.limit - self.spent

    @property
    def unknown(self) -> int:
        """Costs of unknown amount, or in another currency, of all that was read: they are not in `spent`."""
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

    def _logged(self, entry: Cost) -> None:
        """A cost of this process."""
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
                self._looked = time.monotonic()
                for entry in self._ledger.new(None if self.per == "session" else self._oldest()):
                    keys |= self._found(entry)
            finally:
                self._within = False
        return keys

    def _found(self, entry: Cost) -> set[tuple[str, str] | None]:
        """A cost that was read."""
        with self._lock:
            if entry.seq is not None and entry.seq in self._ahead:
                self._ahead.discard(entry.seq)
                return set()
            if entry.seq is not None and entry.pid == os.getpid():
                self._early[entry.seq] = None
                if len(self._early) > _EARLY:
                    del self._early[next(iter(self._early))]
            return {self._add(entry)}

    def _add(self, entry: Cost) -> tuple[str, str] | None:
        if entry.amount is None or entry.currency != self.currency:
            self._unknown += 1
            return None
        if self.per == "session":
            key = ("", entry.session or "")
        else:
            day = self._day(entry.moment)
            key = ("", day) if self.per == "day" else (day, entry.tool or "")
        self._sums[key] = self._sums.pop(key, Decimal(0)) + entry.amount
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
        # A long one is cut in the log, and one that looks like a secret is not there at all.
        return key if bound is None or key in self._sums else (of, cost.as_logged(name))

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


os.register_at_fork(after_in_child=_after_fork)


def _watch(line: bytes) -> None:
    """A line of the cost log, as this process appended it."""
    budgets = list(_budgets)
    if not budgets:
        _core.set_cost_watcher(None)
        return
    entry = parse(line)
    if entry is not None:
        for each in budgets:
            each._logged(entry)


def parse(line: bytes) -> Cost | None:
    """What a line says; None where it is none of a cost log. Also reads lines of the predecessor of `log_cost`."""
    if b'"cost"' not in line:
        return None
    try:
        record = json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    fields = record.get("fields", record)
    ours = record.get("logger") == "logspool.cost" or ("logger" not in record and "cost" in record)
    if not ours or not isinstance(fields, dict):
        return None
    told = fields.get("cost")
    total, currency = (told.get("total"), told.get("currency")) if isinstance(told, dict) else (told, None)
    moment = record.get("ts") or record.get("timestamp")
    return Cost(
        _text(record.get("seq")),
        record["pid"] if isinstance(record.get("pid"), int) else None,
        _moment(moment),
        _text(record.get("session_id")),
        _text(record.get("tool")),
        _amount(total),
        _text(currency) or "USD",
    )


def _moment(value: object) -> datetime.datetime | None:
    try:
        found = datetime.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.astimezone()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _amount(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


class _Ledger:
    """The segments of a log, read from where the last look ended."""

    def __init__(self, path: str) -> None:
        self._directory, self._name = os.path.split(path)
        #: How many bytes of each segment's text were read, by number; 0 is a file from before logspool.
        self._read: dict[int, int] = {}
        self._legacy: tuple[int, int] | None = None

    def new(self, oldest: float | None) -> Iterator[Cost]:
        """What was added; of segments that were last written before `oldest` (seconds since the epoch) nothing."""
        for number, path in self._segments():
            for line in self._lines(number, path, oldest):
                entry = parse(line)
                if entry is not None:
                    yield entry

    def _segments(self) -> list[tuple[int, str]]:
        try:
            names = os.listdir(self._directory)
        except OSError:
            return []
        found: dict[int, str] = {}
        for name in sorted(names, reverse=True):  # the plain one after its .gz, and so instead of it
            match = _SEGMENT.fullmatch(name, len(self._name)) if name.startswith(self._name) else None
            if match:
                found[int(match[1])] = os.path.join(self._directory, name)
        if not found and self._name in names:
            found[0] = os.path.join(self._directory, self._name)
        return sorted(found.items())

    def _lines(self, number: int, path: str, oldest: float | None) -> Iterator[bytes]:
        try:
            state = os.stat(path)
        except OSError:
            return  # Compressed or deleted meanwhile: the next look finds what is left of it.
        identity = (state.st_dev, state.st_ino)
        if number == 0:
            self._legacy = identity
        elif self._legacy == identity:
            self._legacy = None
            self._read[number] = self._read.pop(0, 0)  # It became the first segment.
        start = self._read.get(number, 0)
        packed = path.endswith(".gz")
        if oldest is not None and state.st_mtime < oldest and start == 0:
            return
        if packed and self._read.get(-number) == state.st_size:
            return  # Read to its end.
        if not packed and state.st_size <= start:
            return
        try:
            with gzip.open(path) if packed else open(path, "rb") as file:
                file.seek(start)
                rest = b""
                while chunk := file.read(_CHUNK):
                    lines = (rest + chunk).split(b"\n")
                    rest = lines.pop()
                    for line in lines:
                        start += len(line) + 1
                        self._read[number] = start
                        yield line
            if packed:
                self._read[-number] = state.st_size
        except (OSError, EOFError, ValueError):
            return  # What cannot be read now is tried again.
