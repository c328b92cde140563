"""Which route a call has to take, decided from the state of `logging` alone: an implementation of its own, in Python."""

from __future__ import annotations

import logging
from typing import Any

import logspool

FAST, STANDARD = "fast", "standard"

_METHODS = ("callHandlers", "handle", "makeRecord", "findCaller", "_log", "isEnabledFor", "filter")
_CALLS = ("debug", "info", "warning", "error", "critical", "exception", "log", "fatal")
_FLAGS = ("logThreads", "logProcesses", "logAsyncioTasks", "_srcfile")

_STOOD = {
    **{(logging.Logger, name): getattr(logging.Logger, name) for name in (*_METHODS, *_CALLS)},
    (logging.Handler, "handle"): logging.Handler.handle,
    (logging.LogRecord, "getMessage"): logging.LogRecord.getMessage,
    (logging.LogRecord, "__init__"): logging.LogRecord.__init__,
    **{
        (logspool.SpoolHandler, name): getattr(logspool.SpoolHandler, name)
        for name in ("handle", "emit", "filter", "format")
    },
}
_FLAGS_STOOD = {name: getattr(logging, name) for name in _FLAGS if hasattr(logging, name)}


def enabled(logger: logging.Logger, level: int) -> bool:
    """Whether `isEnabledFor` was asked before and said yes."""
    # Where it was not asked yet, the standard path is free to ask, and to keep the answer.
    return logger.disabled is False and bool(logger._cache.get(level))


def route(logger: logging.Logger, level: int) -> str | None:
    """FAST or STANDARD for an ordinary enabled call; None where it is the fast path's to choose."""
    if type(logger) not in (logspool.Logger, logspool._core.RootLogger):
        return STANDARD
    if any(getattr(cls, name) is not stood for (cls, name), stood in _STOOD.items()):
        return STANDARD
    if logging.getLogRecordFactory() is not logging.LogRecord:
        return STANDARD
    if any(getattr(logging, name) != value for name, value in _FLAGS_STOOD.items()):
        return STANDARD
    if not logging.logMultiprocessing:
        return None  # it shows in no line
    if any(name in logger.__dict__ for name in (*_METHODS, *_CALLS)):
        return STANDARD
    return _of_handlers(logger, level)


def _of_handlers(logger: logging.Logger, level: int) -> str | None:
    answer: str | None = None
    if type(logger.filters) is not list or logger.filters:
        return STANDARD
    at: Any = logger
    while at:
        if not isinstance(at, logging.Logger) or type(at.handlers) is not list:
            return None
        for handler in at.handlers:
            met = _of_handler(handler, level)
            if met == STANDARD:
                return STANDARD
            if met is None:
                return None
            answer = FAST
        if type(at.propagate) is not bool:
            return None
        at = at.parent if at.propagate else None
    return answer


def _of_handler(handler: logging.Handler, level: int) -> str | None:
    if not isinstance(handler, logging.Handler) or type(handler.level) is not int or level < handler.level:
        return None  # no handler, not reached, or not comparable
    if type(handler) is not logspool.SpoolHandler or handler.filters or handler.formatter is not None:
        return STANDARD
    if any(name in handler.__dict__ for name in ("handle", "filter", "emit", "format", "acquire", "release")):
        return None if not handler._opened else STANDARD
    return FAST
