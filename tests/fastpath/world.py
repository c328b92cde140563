"""The logging module as a fresh process has it, for the length of a `with`; and the logs that a program of calls writes to."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import logspool

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_MODULE_STATE = (
    "_loggerClass",
    "_logRecordFactory",
    "_srcfile",
    "raiseExceptions",
    "lastResort",
    "logThreads",
    "logProcesses",
    "logMultiprocessing",
    "logAsyncioTasks",
    "_warnings_showwarning",
)
_MANAGER_STATE = ("loggerDict", "loggerClass", "logRecordFactory", "emittedNoHandlerWarning", "_disable")


@contextmanager
def fresh_logging() -> Iterator[tuple[io.StringIO, list[warnings.WarningMessage]]]:
    """A logging module without loggers, handlers and settings of anybody else's.

    Yields what is written to standard error, and the warnings.
    """
    root, manager = logging.root, logging.root.manager
    module = {name: getattr(logging, name) for name in _MODULE_STATE if hasattr(logging, name)}
    of_manager = {name: getattr(manager, name) for name in _MANAGER_STATE}
    levels, names = dict(logging._levelToName), dict(logging._nameToLevel)
    stderr, thread = sys.stderr, threading.current_thread().name
    installed = logging.getLoggerClass() is not logging.Logger and hasattr(logspool, "uninstall")
    if installed:
        logspool.uninstall()
        module["_loggerClass"] = logging.getLoggerClass()
    of_root, root_class = dict(root.__dict__), root.__class__
    caught = io.StringIO()
    try:
        manager.loggerDict = {}
        manager.loggerClass = manager.logRecordFactory = None
        manager.emittedNoHandlerWarning = False
        root.__dict__.update(
            handlers=[], filters=[], level=logging.WARNING, disabled=False, propagate=True, _cache={}, parent=None
        )
        manager.disable = 0
        sys.stderr = caught
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield caught, warned
    finally:
        if hasattr(logspool, "uninstall"):
            logspool.uninstall()
        sys.stderr = stderr
        threading.current_thread().name = thread
        for name, value in module.items():
            setattr(logging, name, value)
        for name, value in of_manager.items():
            setattr(manager, name, value)
        root.__class__ = root_class
        root.__dict__.clear()
        root.__dict__.update(of_root)
        root._cache.clear()
        logging._levelToName.clear()
        logging._levelToName.update(levels)
        logging._nameToLevel.clear()
        logging._nameToLevel.update(names)
        if installed:
            logspool.install()


class Logs:
    """The log files of one route. They stay open, so that a program of calls costs no new spool."""

    NAMES = ("a", "b", "c", "text", "late")

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._read = dict.fromkeys(self.NAMES, 0)
        self._open = [self.handler(name, json=name != "text") for name in self.NAMES]

    def handler(
        self, name: str, cls: type[logspool.SpoolHandler] = logspool.SpoolHandler, **settings: Any
    ) -> logspool.SpoolHandler:
        """Another handler on one of the logs."""
        settings = {"service": "svc", "maxBytes": 0, "spool_bytes": "1MB", **settings}
        return cls(self.directory / f"{name}.jsonl", **settings)

    def read(self) -> dict[str, list[str]]:
        """The lines written to each log since the last call."""
        found = {}
        for name in self.NAMES:
            path = self.directory / f"{name}.jsonl"
            with path.open("rb") as file:
                file.seek(self._read[name])
                data = file.read()
            self._read[name] += len(data)
            assert not data or data.endswith(b"\n"), f"{path}: a torn line"
            # What was sampled out is said when a handler goes, which is nobody's doing.
            told = ('"event":"records_sampled"', " INFO logspool: ")
            found[name] = [line for line in data.decode("utf-8").splitlines() if not any(text in line for text in told)]
        return found

    def close(self) -> None:
        """Close the logs."""
        for handler in self._open:
            handler.close()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), f"a key stands twice: {pairs}"
    return dict(pairs)


def comparable(line: str) -> list[Any]:
    """A line as key and value in their order, without what differs between two runs: `seq`, and a `ts` of today.

    A program that lets time stand lets it stand on another day.
    """
    record = json.loads(line, object_pairs_hook=_pairs)
    assert TIME.fullmatch(record["ts"]), line
    assert re.fullmatch(r"[a-z0-9]{8}-[0-9a-f]{10}", record["seq"]), line
    record["seq"] = "…"
    record["ts"] = without_today(record["ts"])
    return _ordered(record)


def without_today(text: str) -> str:
    """A text without times of yesterday, today and tomorrow."""
    now = time.time()
    days = "|".join(time.strftime("%Y-%m-%d", time.gmtime(now + 86_400 * n)) for n in (-1, 0, 1))
    return re.sub(rf"({days})[T ]\d\d:\d\d:\d\d\.\d{{3,6}}Z?", "…", text)


def _ordered(value: Any) -> Any:
    # A list of pairs, because dicts in another order are equal.
    if isinstance(value, dict):
        return [[key, _ordered(inner)] for key, inner in value.items()]
    if isinstance(value, list):
        return [_ordered(inner) for inner in value]
    return without_number(value)


def without_number(value: Any) -> Any:
    """A text without the number of a thread that `threading` did not start: they are numbered as they are met."""
    return re.sub(r"\bDummy-\d+\b", "Dummy-…", value) if isinstance(value, str) else value


def fast_calls() -> tuple[int, int]:
    """How many calls took the fast path and how many the standard one since the start of the process."""
    fast, standard = logspool._core._fast_calls()
    return fast, standard
