"""The fast path: loggers of the class `logspool.Logger`, in the place of plain ones."""

from __future__ import annotations

import logging

from logspool import _core
from logspool.handler import SpoolHandler


def install() -> None:
    """Give plain loggers the class `logspool.Logger`: those there are, and those made from now on.

    Its `debug`, `info`, `warning`, `error`, `critical`, `exception` and `log` write what `logging` would have written, without a
    `LogRecord` in between, where only SpoolHandlers would see it. Anything else in the way (another handler, a filter, a formatter, a
    record factory, a patched method) makes a call take the standard way; without it calls are fast again.

    Loggers of other classes are left alone, and so is `logging.getLoggerClass()` where another library set one. `basicConfig` does
    this unless it is told `fast=False`. Doing it twice is no error.
    """
    _core._install(_core.Logger, _core.RootLogger, SpoolHandler)
    if logging.getLoggerClass() is logging.Logger:
        logging.setLoggerClass(_core.Logger)
    _exchange({logging.Logger: _core.Logger, logging.RootLogger: _core.RootLogger})


def uninstall() -> None:
    """Undo `install`: loggers get the standard library's classes back."""
    if logging.getLoggerClass() is _core.Logger:
        logging.setLoggerClass(logging.Logger)
    _exchange({_core.Logger: logging.Logger, _core.RootLogger: logging.RootLogger})


def _exchange(classes: dict[type[logging.Logger], type[logging.Logger]]) -> None:
    manager = logging.Logger.manager
    with logging._lock:  # type: ignore[attr-defined]
        # A copy: `getLogger` in another thread waits for the lock, but not everything that changes the dict takes it.
        for logger in (logging.root, manager.root, *list(manager.loggerDict.values())):
            if isinstance(logger, logging.Logger) and type(logger) in classes:
                logger.__class__ = classes[type(logger)]
