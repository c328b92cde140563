"""What the programs are about: names, levels, handlers, filters, formatters, and what may be patched."""

from __future__ import annotations

import copy
import logging
import os
import threading
import types
from collections.abc import Callable
from typing import Any

from tests.fastpath import values
from tests.fastpath.world import without_number

import logspool

NAMES = ("a", "", "a.b", "a.b.c", "x.y", "root", 'o"d\n.ä')
LEVELS = (0, 10, 20, 30, 40, 50, 15, 25, 1, 60)
METHODS = ("debug", "info", "warning", "error", "critical", "exception", "log", "fatal", "warn")
OWN_LEVEL = {
    "debug": 10,
    "info": 20,
    "warning": 30,
    "error": 40,
    "critical": 50,
    "exception": 40,
    "fatal": 50,
    "warn": 30,
}
LOG_LEVELS: dict[str, Any] = {
    **{str(level): level for level in LEVELS},
    "true": True,
    "enum": values.Levels.NOTE,
    "number": values.Number(33),
    "negative": -5,
    "huge": 10**20,
    "text": "INFO",
    "float": 20.0,
    "none": None,
}
STATIC = {"region": "eu", "zone": 1}


class _Subclass(logspool.SpoolHandler):
    """A handler of the user's, with nothing of its own."""


class Recording(logging.Handler):
    """A foreign handler: it notes all that is in the record."""

    def __init__(self, run: values.Run) -> None:
        super().__init__()
        self.run = run

    def emit(self, record: logging.LogRecord) -> None:
        self.run.seen.append(("record", snapshot(record)))


class Changing(logging.Handler):
    """A foreign handler that leaves its marks in the record."""

    def emit(self, record: logging.LogRecord) -> None:
        record.marked = True
        record.msg = f"changed {record.msg!s}"


def snapshot(record: logging.LogRecord) -> list[Any]:
    """A record's attributes, in their order, without what differs between two runs."""
    moving = ("created", "msecs", "relativeCreated", "thread")
    found: list[Any] = []
    for key, value in record.__dict__.items():
        if key in moving or isinstance(value, BaseException | types.TracebackType) or key == "exc_info":
            found.append((key, type(value).__name__))
        else:
            found.append(
                # As text: a NaN is not equal to itself.
                (
                    str(key),
                    repr(without_number(value)) if isinstance(value, str | int | float) else type(value).__name__,
                )
            )
    return found


HANDLERS: dict[str, Callable[[values.Run], logging.Handler]] = {
    "a": lambda run: run.logs.handler("a"),
    "a without source": lambda run: run.logs.handler("a", src=False),
    "b": lambda run: run.logs.handler("b", environment="test", version="1", static=STATIC),
    "c at warning": lambda run: run.logs.handler("c", level="WARNING", max_field=200, max_record=2048),
    "text": lambda run: run.logs.handler("text", json=False),
    "late": lambda run: run.logs.handler("late", delay=True),
    "subclass": lambda run: run.logs.handler("c", _Subclass),
    "recording": Recording,
    "changing": lambda run: Changing(),
    "stream": lambda run: logging.StreamHandler(),
    "null": lambda run: logging.NullHandler(),
}


def _raising(record: logging.LogRecord) -> bool:
    raise RuntimeError("filter")


def _replacing(record: logging.LogRecord) -> Any:
    other = copy.copy(record)
    other.msg, other.args = "another", ()
    return other


def filters(run: values.Run, name: str) -> Any:
    def noting(record: logging.LogRecord) -> bool:
        run.seen.append(("filtered", snapshot(record)))
        return True

    def enriching(record: logging.LogRecord) -> int:
        record.enriched = {"by": "filter"}
        return 1

    return {
        "noting": noting,
        "rejecting": lambda record: False,
        "enriching": enriching,
        "replacing": _replacing,
        "raising": _raising,
        "by name": logging.Filter("a.b"),
    }[name]


class _RaisingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        raise RuntimeError("format")


FORMATTERS: dict[str, Callable[[], logging.Formatter | None]] = {
    "none": lambda: None,
    "default": logging.Formatter,
    "own": lambda: logging.Formatter("F %(levelname)s %(message)s"),
    "basic": lambda: logging.Formatter(logging.BASIC_FORMAT),
    "raising": _RaisingFormatter,
}

#: What may be patched on a class or a module, and whether it exists in this version.
PATCHES: dict[str, tuple[Any, str]] = {
    f"{getattr(owner, '__name__', owner)}.{name}": (owner, name)
    for owner, names in (
        (logging.Logger, ("callHandlers", "handle", "findCaller", "_log", "makeRecord", "isEnabledFor", "filter")),
        (
            logging.Logger,
            ("getEffectiveLevel", "info", "error", "log", "critical", "warning", "exception", "fatal", "warn"),
        ),
        (logging.Filterer, ("filter",)),
        (logging.Handler, ("handle",)),
        (logspool.SpoolHandler, ("handle", "emit", "filter", "format", "acquire")),
        (logging.LogRecord, ("getMessage", "__init__")),
        (logging, ("currentframe", "_is_internal_frame", "getLevelName")),
        (os, ("getpid",)),
        (threading, ("current_thread",)),
    )
    for name in names
    if hasattr(owner, name)
}
BOUND_NAMES = (
    *("session_id", "request_id", "trace_id", "span_id", "trace_flags", "tool", "category", "event"),
    *("k", "a", "b", "m", "n", "u", "tool_name", "region", "zone", "fields", "level", "stack", "format_error"),
    *('q"\n', "", "a\ud800", "name", "1"),
)
INSTANCE_PATCHES = (
    *("handle", "makeRecord", "callHandlers", "findCaller", "_log", "isEnabledFor", "filter"),
    *("info", "error", "critical", "warning", "getEffectiveLevel", "log"),
)
HANDLER_PATCHES = ("handle", "emit", "filter", "format", "acquire")
FACTORIES = ("noting", "enriching", "subclass", "standard")


class RecordOfTheUsers(logging.LogRecord):
    def getMessage(self) -> str:
        return f"<{super().getMessage()}>"
