"""The peers: what else pip can install that logs, each as its own documentation would set it up for the work that logspool does.

All are given the formatter that keeps the most (`as_line`, by orjson) where they take one. What a peer leaves out is in `lacks`; whether
it kept the records and their fields is not said here but counted, line by line, in every run. A peer is imported when it is used.
"""

from __future__ import annotations

import gzip
import logging
import time
from datetime import datetime, timezone
from typing import Any, ClassVar

import orjson
import workloads
from routes import ROUTES, OrjsonFormatter, Rotating, Route

_KEYWORDS = {
    "W0": 'info("ready")',
    "W1": 'info("tool %s finished in %d ms", NAME, i)',
    "W2": 'info("tool_call", **fields)',
    "W3": 'exception("tool %s failed at %d", NAME, i)',
    "W4": 'info("openrouter_cost", **fields)',
}
_BRACES = {
    **_KEYWORDS,
    "W1": 'info("tool {} finished in {} ms", NAME, i)',
    "W3": 'exception("tool {} failed at {}", NAME, i)',
}


class NexusLog(Route):
    label = "nexuslog"
    lacks = "takes a finished message: not JSON, no fields, no traceback, no rotation by size"
    package = "nexuslog"
    files = "bench_*.log"
    calls: ClassVar = {
        "W0": 'info("ready")',
        "W1": 'info(f"tool {NAME} finished in {i} ms")',
        "W2": 'info("tool_call")',
        "W4": 'info("openrouter_cost")',
    }

    def names(self) -> dict[str, Any]:
        import nexuslog

        nexuslog.basicConfig(filename=str(self.path.with_suffix(".log")), level=nexuslog.INFO)
        return {"info": nexuslog.getLogger("bench").info}

    def flush(self) -> None:
        import nexuslog

        nexuslog.shutdown()  # returns before the lines are in the file
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and self.lines() < self.count:
            time.sleep(0.002)

    def lines(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self.path.parent.glob(self.files))


class FastLogging(Route):
    label = "fastlogging, background thread, orjson formatter"
    lacks = "no source line"
    package = "fastlogging"
    calls: ClassVar = _KEYWORDS

    def names(self) -> dict[str, Any]:
        import fastlogging

        class Gzip:
            compress = staticmethod(gzip.compress)

        def as_line(_: Any, entry: tuple[float, str, int, str, dict[str, Any]]) -> str:
            created, domain, level, message, fields = entry
            stacktrace = fields.pop("exc_info", None)
            line: dict[str, Any] = {
                "ts": datetime.fromtimestamp(created, timezone.utc),
                "level": fastlogging.LOG2SYM[level],
                "logger": domain,
                "event": message,
                "fields": fields,
            }
            if stacktrace:
                line["exception"] = stacktrace
            return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()

        fastlogging.fastlogging.Logger.cbFormatter = staticmethod(as_line)
        self.logger = fastlogging.LogInit(
            domain="bench",
            level=fastlogging.INFO,
            pathName=str(self.path),
            maxSize=self.rotation.max_bytes,
            backupCnt=self.rotation.backups if self.rotation.max_bytes else 0,
            compress=(Gzip, ".gz") if self.rotation.gzip else None,
            useThreads=True,
        )
        return {"info": self.logger.info, "exception": self.logger.exception}

    def flush(self) -> None:
        self.logger.stop()
        self.logger.join()


class LogXide(Route):
    label = "logxide, native handler, text template"
    lacks = "a template that escapes nothing: not JSON once a value holds a quote; no compression"
    package = "logxide"

    def handler(self) -> Any:
        import logxide.logxide as native

        if self.rotation.max_bytes:
            handler = native.RotatingFileHandler(str(self.path), self.rotation.max_bytes, self.rotation.backups)
        else:
            handler = native.FileHandler(str(self.path))
        handler.setFormatterSpec(self.template(), "%Y-%m-%dT%H:%M:%S")
        return handler

    def template(self) -> str:
        """A line of JSON as a format string, the fields of this workload in it."""

        def quoted(value: Any) -> str:
            return '"%%(%s)s"' if isinstance(value, str) else "%%(%s)s"

        fields = workloads.FIELDS[self.workload](0) or {}
        inside = ",".join(f'"{name}":' + quoted(value) % name for name, value in fields.items())
        core = '"ts":"%(asctime)s","level":"%(levelname)s","logger":"%(name)s","event":"%(message)s","thread":"%(threadName)s"'
        return "{" + core + (',"fields":{' + inside + "}" if inside else "") + "}"

    def names(self) -> dict[str, Any]:
        from logxide import logging as logxide

        logger = logxide.getLogger("bench")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        self.open = self.handler()
        logger.addHandler(self.open)
        return {"info": logger.info, "exception": logger.exception}

    def flush(self) -> None:
        self.open.flush()


class LogXideJson(LogXide):
    label = "logxide with a JSON Formatter"
    lacks = "its record has no fields for a Formatter; no compression"
    share = 5

    def handler(self) -> Any:
        from logxide import logging as logxide
        from logxide.handlers import FileHandler

        class Formatter(logxide.Formatter):
            def format(self, record: Any) -> str:
                line = {
                    "ts": datetime.fromtimestamp(record.created, timezone.utc),
                    "level": record.levelname,
                    "logger": record.name,
                    "event": record.getMessage(),
                    "fields": record.extra,
                }
                if record.exc_info:
                    line["exception"] = logging.Formatter().formatException(record.exc_info)
                return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()

        handler = FileHandler(str(self.path))
        handler.setFormatter(Formatter())
        return handler


class PicoLogging(Route):
    label = "picologging"
    lacks = "its Formatter knows no extra: not JSON, no fields; no compression"
    package = "picologging"
    share = 5
    files = "*.log"

    def names(self) -> dict[str, Any]:
        import picologging

        logger = picologging.getLogger("bench")
        logger.setLevel(picologging.INFO)
        logger.propagate = False
        self.open = picologging.FileHandler(str(self.path.with_suffix(".log")))
        self.open.setFormatter(
            picologging.Formatter("%(created)f %(levelname)s %(name)s %(threadName)s %(lineno)d %(message)s")
        )
        logger.addHandler(self.open)
        return {"info": logger.info, "exception": logger.exception}

    def flush(self) -> None:
        self.open.close()


class PythonJsonLogger(Rotating):
    label = "python-json-logger with orjson, RotatingFileHandler"
    package = "python-json-logger"
    share = 10

    def handler(self) -> logging.Handler:
        from pythonjsonlogger.orjson import OrjsonFormatter as Formatter

        handler = super().handler()
        handler.setFormatter(
            Formatter(
                "%(asctime)s %(levelname)s %(name)s %(message)s %(process)d %(threadName)s %(pathname)s %(lineno)d %(funcName)s"
            )
        )
        return handler


class OpenTelemetry(Route):
    label = "OpenTelemetry SDK handler, batch processor, exporter that does nothing"
    lacks = "writes nothing"
    keeps = False
    package = "opentelemetry-sdk"
    share = 10

    def handler(self) -> logging.Handler:
        import warnings

        from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult

        class Nowhere(LogRecordExporter):
            def export(self, batch: Any) -> Any:
                return LogRecordExportResult.SUCCESS

            def force_flush(self, timeout_millis: int = 0) -> bool:
                return True

            def shutdown(self) -> None: ...

        self.provider = LoggerProvider()
        self.provider.add_log_record_processor(BatchLogRecordProcessor(Nowhere()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return LoggingHandler(logger_provider=self.provider)

    def flush(self) -> None:
        self.provider.force_flush()

    def close(self) -> None:
        logging.getLogger("bench").handlers.clear()
        self.provider.shutdown()


class Loguru(Route):
    label = "loguru, enqueue=True, serialize=True"
    package = "loguru"
    share = 20
    calls: ClassVar = _BRACES

    def names(self) -> dict[str, Any]:
        from loguru import logger

        logger.remove()
        logger.add(
            str(self.path),
            serialize=True,
            enqueue=True,
            level="INFO",
            rotation=self.rotation.max_bytes or None,
            compression="gz" if self.rotation.gzip else None,
        )
        return {"info": logger.info, "exception": logger.exception}

    def flush(self) -> None:
        from loguru import logger

        logger.complete()

    def close(self) -> None:
        from loguru import logger

        logger.remove()


class ConcurrentLogHandler(Route):
    label = "concurrent-log-handler + orjson"
    package = "concurrent-log-handler"
    share = 10

    def handler(self) -> logging.Handler:
        from concurrent_log_handler import ConcurrentRotatingFileHandler

        self.open = ConcurrentRotatingFileHandler(
            str(self.path),
            maxBytes=self.rotation.max_bytes,
            backupCount=self.rotation.backups,
            use_gzip=self.rotation.gzip,
        )
        self.open.setFormatter(OrjsonFormatter())
        return self.open

    def close(self) -> None:
        self.open.close()


class HplLogger(Route):
    label = "py-hpl-logger"
    lacks = "JSON only where there are fields, no level or time otherwise; no compression"
    package = "py_hpl_logger"
    files = "*.log*"
    share = 10

    def handler(self) -> logging.Handler:
        import os

        from py_hpl_logger import LoggerBuilder, RustLogHandler

        os.chdir(self.path.parent)  # it writes to ./log_records, whatever one says
        builder = LoggerBuilder().with_stdout(False).with_file_output("bench").with_channel_size(1_000_000)
        if self.rotation.max_bytes:
            builder = builder.with_file_rotation(self.rotation.max_bytes, self.rotation.backups)
        else:
            builder = builder.without_file_rotation()
        self.backend = builder.build()
        return RustLogHandler(self.backend)

    def flush(self) -> None:
        self.backend.flush()

    def close(self) -> None:
        self.backend.close()


class Logly(Route):
    label = "logly, serialize=True"
    lacks = "writes every field as a string"
    package = "logly"
    share = 10
    calls: ClassVar = {
        **_BRACES,
        "W2": 'bind(**fields).info("tool_call")',
        "W4": 'bind(**fields).info("openrouter_cost")',
    }

    def names(self) -> dict[str, Any]:
        from logly import logger

        logger.remove()
        logger.add(
            str(self.path),
            serialize=True,
            level="INFO",
            rotation=self.rotation.max_bytes or None,
            compression="gzip" if self.rotation.gzip else None,
        )
        return {"info": logger.info, "exception": logger.exception, "bind": logger.bind}

    def flush(self) -> None:
        from logly import logger

        logger.complete()

    def close(self) -> None:
        from logly import logger

        logger.remove()


PEERS: dict[str, type[Route]] = {
    "nexuslog": NexusLog,
    "fastlogging": FastLogging,
    "logxide": LogXide,
    "logxide_json": LogXideJson,
    "picologging": PicoLogging,
    "json_logger": PythonJsonLogger,
    "otel": OpenTelemetry,
    "loguru": Loguru,
    "clh": ConcurrentLogHandler,
    "hpl": HplLogger,
    "logly": Logly,
}
ALL_ROUTES: dict[str, type[Route]] = {**ROUTES, **PEERS}
