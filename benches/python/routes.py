"""The routes a record can take: logspool, what the standard library can do, and the floors beneath them. The peers are in `peers.py`.

A route is opened in a directory, gives the expression that logs one record of a workload, is flushed and closed. The expression is
compiled into the measuring loop, as `timeit` does, so that no route pays for a wrapper.
"""

from __future__ import annotations

import gzip
import json
import logging
import logging.handlers
import os
import queue
import shutil
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

import orjson
import workloads

STDLIB_CALLS = {
    "W0": 'info("ready")',
    "W1": 'info("tool %s finished in %d ms", NAME, i)',
    "W2": 'info("tool_call", extra=fields)',
    "W3": 'exception("tool %s failed at %d", NAME, i)',
    "W4": 'info("openrouter_cost", extra=fields)',
}
_RECORD_ATTRIBUTES = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "taskName"}


@dataclass(frozen=True)
class Rotation:
    """When to begin a new file: `max_bytes` a file (0: never), and whether closed ones are compressed."""

    max_bytes: int = 0
    gzip: bool = False
    backups: int = 200  # more than any run makes: nothing may be deleted before it is counted


class Route:
    """One way to log; a subclass says how."""

    label: ClassVar[str]
    #: What the route does less than a complete logger does; empty for a complete one.
    lacks: ClassVar[str] = ""
    #: Whether every record can be found again in the files afterwards.
    keeps: ClassVar[bool] = True
    #: The package on the index that the route needs; empty for the standard library, orjson and logspool itself.
    package: ClassVar[str] = ""
    #: The names of its files, below the directory it is opened in.
    files: ClassVar[str] = "*.jsonl*"
    #: One in so many of a flat-out run's records: what is slow is measured on fewer.
    share: ClassVar[int] = 1
    calls: ClassVar[dict[str, str]] = STDLIB_CALLS

    def __init__(
        self, directory: Path, rotation: Rotation, workload: str, count: int, settings: dict[str, Any]
    ) -> None:
        self.path = directory / "bench.jsonl"
        self.rotation = rotation
        self.workload = workload
        self.count = count
        self.more_settings = settings  # of logspool's routes

    def names(self) -> dict[str, Any]:
        """What the expressions in `calls` refer to."""
        logger = logging.getLogger("bench")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(self.handler())
        return {"info": logger.info, "exception": logger.exception}

    def handler(self) -> logging.Handler:
        raise NotImplementedError

    def flush(self) -> None:
        """Returns when all that was logged is in the files."""

    def close(self) -> None:
        """Returns when nothing is left to do, compression included."""

    def recover(self) -> None:
        """What the next start of the program does after a kill, before the lines are counted."""


class Nothing(Route):
    label = "build: making the fields, calling an empty function"
    lacks = "logs nothing"
    keeps = False
    calls: ClassVar = dict.fromkeys(workloads.WORKLOADS, "nothing(fields)")

    def names(self) -> dict[str, Any]:
        return {"nothing": lambda fields: None}


class Null(Route):
    label = "stdlib logger + NullHandler (the floor)"
    lacks = "writes nothing"
    keeps = False

    def handler(self) -> logging.Handler:
        return logging.NullHandler()


class Dumps(Route):
    label = "orjson.dumps of the fields alone"
    lacks = "writes nothing"
    keeps = False
    calls: ClassVar = {"W2": "dumps(fields)", "W4": "dumps(fields)"}

    def names(self) -> dict[str, Any]:
        return {"dumps": orjson.dumps}


class Write(Route):
    label = "os.write of a finished line"
    lacks = "makes no line"
    keeps = False
    calls: ClassVar = dict.fromkeys(("W0", "W1", "W2", "W4"), "write(fd, line)")

    def names(self) -> dict[str, Any]:
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return {"write": os.write, "fd": fd, "line": orjson.dumps(workloads.tool_call(0)).ljust(400) + b"\n"}


class OpenAndDump(Route):
    label = 'open(path, "a") + json.dumps'
    calls: ClassVar = {"W2": "append(fields)", "W4": "append(fields)"}

    def names(self) -> dict[str, Any]:
        path = str(self.path)

        def append(fields: dict[str, Any]) -> None:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(fields) + "\n")

        return {"append": append}


def as_line(record: logging.LogRecord) -> bytes:
    """A record as a careful user's own formatter makes it: the same keys as logspool's, by orjson."""
    line: dict[str, Any] = {
        "ts": datetime.fromtimestamp(record.created, timezone.utc),
        "level": record.levelname,
        "logger": record.name,
        "event": record.getMessage(),
        "pid": record.process,
        "thread": record.threadName,
        "fields": {k: v for k, v in record.__dict__.items() if k not in _RECORD_ATTRIBUTES},
        "src": {"file": record.pathname, "line": record.lineno, "function": record.funcName},
    }
    if record.exc_info:
        line["exception"] = logging.Formatter().formatException(record.exc_info)
    return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


class OrjsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return as_line(record)[:-1].decode()


class Stdlib(Route):
    label = "stdlib handler + orjson, hand-written"
    lacks = "no rotation"
    share = 5

    def handler(self) -> logging.Handler:
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                os.write(fd, as_line(record))

        return Handler()


def _compress(source: str, target: str) -> None:
    with open(source, "rb") as plain, gzip.open(target, "wb", compresslevel=6) as packed:
        shutil.copyfileobj(plain, packed)
    os.remove(source)


class Rotating(Route):
    label = "RotatingFileHandler + orjson + gzip"

    def handler(self) -> logging.Handler:
        handler = logging.handlers.RotatingFileHandler(
            self.path, maxBytes=self.rotation.max_bytes, backupCount=self.rotation.backups, encoding="utf-8"
        )
        handler.setFormatter(OrjsonFormatter())
        if self.rotation.gzip:
            handler.namer = lambda name: name + ".gz"
            handler.rotator = _compress
        return handler


class OptionA(Rotating):
    label = "QueueHandler + QueueListener + orjson + RotatingFileHandler + gzip (option A)"
    share = 10

    def handler(self) -> logging.Handler:
        records: queue.Queue[logging.LogRecord] = queue.Queue(-1)
        self.listener = logging.handlers.QueueListener(records, super().handler())
        self.listener.start()
        return logging.handlers.QueueHandler(records)

    def flush(self) -> None:
        self.listener.stop()


class Structlog(Route):
    label = "structlog, orjson, BytesLogger"
    lacks = "no rotation, no thread, no source line"
    package = "structlog"
    calls: ClassVar = {
        "W0": 'info("ready")',
        "W1": 'info("tool %s finished in %d ms", NAME, i)',
        "W2": 'info("tool_call", **fields)',
        "W3": 'exception("tool %s failed at %d", NAME, i)',
        "W4": 'info("openrouter_cost", **fields)',
    }

    def names(self) -> dict[str, Any]:
        import structlog

        structlog.configure(
            cache_logger_on_first_use=True,
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.format_exc_info,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            logger_factory=structlog.BytesLoggerFactory(file=self.path.open("wb")),
        )
        logger = structlog.get_logger().bind()
        return {"info": logger.info, "exception": logger.exception}


class Logspool(Route):
    label = "logspool.SpoolHandler under a stock Logger"

    def handler(self) -> logging.Handler:
        import logspool

        return logspool.SpoolHandler(str(self.path), **self.settings())

    def settings(self) -> dict[str, Any]:
        """Nothing may be dropped or deleted before it is counted; everything else is the default."""
        return {
            "maxBytes": self.rotation.max_bytes,
            "backupCount": 0,
            "gzip": self.rotation.gzip,
            "block_timeout": None,
            **self.more_settings,
        }

    def flush(self) -> None:
        import logspool

        if not logspool.flush():
            raise RuntimeError("logspool.flush() gave up")

    def close(self) -> None:
        import logspool

        logspool.shutdown(timeout=120)

    def recover(self) -> None:
        self.names()["info"]("started again", extra={"call_index": -1})
        self.flush()
        self.close()


class LogspoolFast(Logspool):
    label = "logspool.basicConfig"

    def names(self) -> dict[str, Any]:
        import logspool

        logspool.basicConfig(filename=str(self.path), console=False, **self.settings())
        logger = logging.getLogger("bench")
        return {"info": logger.info, "exception": logger.exception, "log_cost": logspool.log_cost}


class NamesOnly(LogspoolFast):
    label = "logspool.basicConfig, redacting by names of keys alone"

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "redact": {"names_only": True}}


class Unredacted(LogspoolFast):
    label = "logspool.basicConfig, redacting nothing"

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "redact": False}


class LogCost(LogspoolFast):
    label = "logspool.log_cost"
    calls: ClassVar = {
        "W4": 'log_cost("standard", "vendor/some-model-large", usage=fields["tokens"], cost=fields["cost"], '
        'latency_ms=fields["latency_ms"], http_status=fields["http_status"])'
    }


ROUTES: dict[str, type[Route]] = {
    "build": Nothing,
    "null": Null,
    "dumps": Dumps,
    "write": Write,
    "open": OpenAndDump,
    "stdlib": Stdlib,
    "rotating": Rotating,
    "option_a": OptionA,
    "structlog": Structlog,
    "logspool": Logspool,
    "fast": LogspoolFast,
    "names_only": NamesOnly,
    "unredacted": Unredacted,
    "log_cost": LogCost,
}
OURS = frozenset(("logspool", "fast", "names_only", "unredacted", "log_cost"))
FLOORS = frozenset(("build", "null", "dumps", "write"))
