"""The thread that ends the periods of `summaries`: one for all filters, and there only while one of them counts."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref

from logspool import _config, _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logspool.summaries import Summarise

#: Seconds to wait at most for the thread, which a handler may keep: before a fork, and at exit.
_FORK, _EXIT = 0.1, 1.0
_LONGEST = 3600.0
# Releases of Python 3.13 count threads after the hooks of a fork, and would warn of one that has started again there.
_RESTARTS = sys.version_info[:2] != (3, 13)

#: All filters, and those in which a period lasts: these are kept, for what they have counted is to be written.
_filters: weakref.WeakSet[Summarise] = weakref.WeakSet()
_counting: set[Summarise] = set()

# Guards what follows and `_counting`, for a moment only. One that this thread may hold already: a signal handler may log.
_changed = threading.Condition(threading.RLock())
_thread: threading.Thread | None = None
_forking = _exiting = False


def watch(each: Summarise) -> None:
    """A filter that a forked child has to make new."""
    with _changed:
        _filters.add(each)


def exiting() -> bool:
    """Whether it is too late to begin a period: nobody would end it."""
    return _exiting


def unattended() -> bool:
    """Whether the thread is not there: see `_RESTARTS`."""
    return _thread is None


def begin(each: Summarise) -> None:
    """A period has begun, or lasts, which ends when it is `each.due`."""
    with _changed:
        _counting.add(each)
        _start()
        _changed.notify()


def ended(each: Summarise) -> None:
    """It has ended."""
    with _changed:
        _counting.discard(each)
        if not _counting:
            _changed.notify()  # the thread can go


def _start() -> None:
    global _thread
    if _thread is None and _counting and not (_forking or _exiting):
        thread = threading.Thread(target=_run, name="logspool-summaries", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # none can be had: the next record ends the period, or a flush
            return
        _thread = thread


def _run() -> None:
    global _thread
    me = threading.current_thread()
    try:
        while (late := _wait()) is not None:
            _end(late)
    finally:
        with _changed:
            if _thread is me:
                _thread = None
                _start()  # what began meanwhile


def _wait() -> list[Summarise] | None:
    """Those whose period has ended; None if nobody counts any more, or the thread has to go."""
    with _changed:
        while _counting and not (_forking or _exiting):
            now = time.monotonic()
            late = [each for each in _counting if each.due <= now]
            if late:
                return late
            _changed.wait(min(_LONGEST, min(each.due for each in _counting) - now))
    return None


def _end(those: list[Summarise], now: float | None = None) -> None:
    for each in those:
        try:
            each.end(time.monotonic() if now is None else now)
        except Exception as error:  # of somebody's filter or handler
            _config.say_once(f"a summary of {each.name} was not written: {type(error).__name__}: {error}")


def _flush() -> None:
    with _changed:
        those = list(_counting)
    _end(those, float("inf"))


def _stop(seconds: float) -> None:
    with _changed:
        thread = _thread
        _changed.notify_all()
    if thread is not None and thread is not threading.current_thread():
        thread.join(seconds)


def _before_fork() -> None:
    # CPython warns of threads that are there when a process forks.
    global _forking
    _forking = True
    _stop(_FORK)


def _in_parent() -> None:
    global _forking
    _forking = False
    if _RESTARTS:
        with _changed:
            _start()


def _in_child() -> None:
    global _changed, _thread, _forking
    _changed = threading.Condition(threading.RLock())
    _thread, _forking = None, False
    _counting.clear()
    for each in list(_filters):
        each._reset()


def _at_exit() -> None:
    global _exiting
    _exiting = True
    _stop(_EXIT)
    _flush()


_core.set_flush_watcher(_flush)
atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
