"""Summaries of noisy events: `Summarise`, a filter that lets a count through in place of a framework's records."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
import weakref
from datetime import datetime, timezone

from logspool import _periods, _settings, _values

__all__ = ["Summarise"]

_MAX_KINDS = 50
_OTHERS = "(others)"


class Summarise(logging.Filter):
    """A filter for handlers: of the records of `prefix` and the loggers below it, below WARNING, only a count is written.

        handler.addFilter(logspool.summaries.Summarise("autogen_core.events", every=60))

    There is one record a period of `every` seconds that had any, of the logger `prefix` and of the highest level counted, with `count`,
    `kinds` (counts by event: the class of an object that is logged, else the message before its arguments are put in; 50 at most),
    `first` and `last`. A period begins with the first record that is counted. Its count is written when it ends, whether anything else is
    logged or not, by `flush()`, `logspool.flush()` or a handler's, and at exit; nothing that is bound where that happens is in it.
    WARNING and above, and records of other loggers, pass as they are. Give one filter to several handlers, and each record counts once.

    While a period lasts there is one daemon thread, for all filters. Counts that were not written yet are lost with a process that is
    killed; each forked child counts for itself. Raises TypeError or ValueError for a setting that is not allowed.
    """

    def __init__(self, prefix: str, *, every: float | str = 60.0) -> None:
        if not prefix:
            raise ValueError(f"prefix={prefix!r}: expected the name of a logger, such as autogen_core.events")
        super().__init__(prefix)
        period = _settings.parse("every", _values.seconds, every)
        if not period:
            raise ValueError(f"every={every!r}: expected seconds above 0")
        self._every: float = period
        self._seen = threading.local()
        self._reset()
        _periods.watch(self)

    def _reset(self) -> None:
        """Also in a forked child: what was counted is the parent's, and another thread may have held the lock."""
        # Python code may run in the middle of it (a signal handler, a finaliser) and log.
        self._lock = threading.RLock()
        self._kinds: dict[str, int] = {}
        self._level, self._first, self._last = 0, 0.0, 0.0
        self.due = float("inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if getattr(self._seen, "writing", False):
            return True
        noisy = record.levelno < logging.WARNING and super().filter(record)
        last = getattr(self._seen, "last", None)
        if last is None or last() is not record:
            self._seen.last = weakref.ref(record)
            if self._kinds and time.monotonic() >= self.due:  # the thread is late, or there is none
                self.end(time.monotonic())
            if noisy:
                self._seen.counted = self._count(record)
        return not (noisy and self._seen.counted)

    def _count(self, record: logging.LogRecord) -> bool:
        """False at exit, when no count would be written any more."""
        kind = record.msg[:80] if isinstance(record.msg, str) else type(record.msg).__name__
        with self._lock:
            begins = not self._kinds
            if begins:
                if _periods.exiting():
                    return False
                self._first, self.due = record.created, time.monotonic() + self._every
            if kind not in self._kinds and len(self._kinds) >= _MAX_KINDS:
                kind = _OTHERS
            self._kinds[kind] = self._kinds.get(kind, 0) + 1
            self._level, self._last = max(self._level, record.levelno), record.created
            if begins or _periods.unattended():
                _periods.begin(self)
        return True

    def flush(self) -> None:
        """Write what was counted so far, if anything."""
        self.end(float("inf"))

    def end(self, now: float) -> None:
        """The same if the period has ended at `now` (seconds of `time.monotonic`)."""
        if now < self.due or not self._kinds:
            return
        with self._lock:
            if now < self.due or not self._kinds:
                return
            kinds, level, first, last = self._kinds, self._level, self._first, self._last
            self._kinds, self._level, self.due = {}, 0, float("inf")
            _periods.ended(self)
        count = sum(kinds.values())
        logger = logging.getLogger(self.name)
        extra = {"count": count, "kinds": kinds, "first": _time(first), "last": _time(last)}
        record = logger.makeRecord(
            self.name, level, __file__, 0, "%d records summarised", (count,), None, "flush", extra
        )
        self._seen.writing = True
        try:
            # Who happens to come by is not whom the count is about: no thread or task stands in it, and no session has it.
            record.threadName = record.thread = record.taskName = None
            contextvars.Context().run(logger.handle, record)
        finally:
            self._seen.writing = False


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
