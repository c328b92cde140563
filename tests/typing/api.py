"""The public API as a type checker sees it: `mypy --strict` on this file must find nothing, and every ignore must be needed.

Run by the type check, never imported.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import loguru
import structlog
from typing_extensions import assert_type

import logspool
import logspool.loguru
import logspool.mcp
import logspool.structlog
from logspool import asgi, categories, llm_audit, sessions, summaries
from logspool.configuration import ConfigurationError

assert_type(logspool.__version__, str)

# basicConfig: a handler, except where the standard library's rule may leave everything as it is.
assert_type(logspool.basicConfig(), logspool.SpoolHandler)
assert_type(logspool.basicConfig(force=True), logspool.SpoolHandler)
assert_type(logspool.basicConfig(force=False), logspool.SpoolHandler | None)
assert_type(
    logspool.basicConfig(
        filename=Path("logs/a.jsonl"),
        filemode="a",
        format="%(message)s",
        datefmt=None,
        style="%",
        level=logging.INFO,
        stream=sys.stderr,
        handlers=[logging.NullHandler()],
        encoding="utf-8",
        errors=None,
        maxBytes="10MB",
        backupCount=5,
        when="midnight",
        interval=1,
        utc=True,
        gzip=True,
        json=True,
        console="auto",
        console_level="WARNING",
        when_full="block",
        block_timeout=None,
        spool_bytes="8MB",
        spool_dir="shm",
        queue_max=None,
        fsync="none",
        redact=True,
        sample={"http": 10, "app.db": "5/s"},
        collapse=5,
        truncate={"response": 500},
        src=True,
        file_mode=0o600,
        dir_mode="700",
        cost_filename=None,
        fast=True,
        service="llm",
        environment=None,
        version="1.0",
        static={"region": "eu", "zone": 1},
        max_field="16KB",
        max_record=262_144,
    ),
    logspool.SpoolHandler,
)
logspool.basicConfig(max_bytes=1)  # type: ignore[call-overload]
logspool.basicConfig(filemode="w")  # type: ignore[call-overload]
logspool.basicConfig(style="x")  # type: ignore[call-overload]
logspool.basicConfig(when_full=1)  # type: ignore[call-overload]

# SpoolHandler is a logging.Handler.
handler = logspool.SpoolHandler(
    "logs/a.jsonl", 10_485_760, 5, when="H", interval=2, utc=False, level="INFO", delay=True
)
as_handler: logging.Handler = handler
logging.getLogger().addHandler(handler)
handler.setFormatter(logging.Formatter("%(message)s"))
handler.addFilter(lambda record: True)
assert_type(handler.baseFilename, str)
assert_type(handler.maxBytes, int)
assert_type(handler.backupCount, int)
assert_type(handler.replaced, tuple[str, ...])
assert_type(handler.handle(logging.makeLogRecord({})), bool)
assert_type(handler.flush(), None)
assert_type(handler.close(), None)
logspool.SpoolHandler()  # type: ignore[call-arg]
logspool.SpoolHandler("a.jsonl", backup_count=1)  # type: ignore[call-arg]
logspool.SpoolHandler("a.jsonl", mode="w")  # type: ignore[arg-type]


class Subclass(logspool.SpoolHandler):
    """A subclass may take part in handling."""

    def emit(self, record: logging.LogRecord) -> None:
        """Emit it twice."""
        super().emit(record)
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """Shout."""
        return super().format(record).upper()


# The functions.
assert_type(logspool.flush(), bool)
assert_type(logspool.flush(1.5), bool)
assert_type(logspool.shutdown(timeout=None), bool)
assert_type(logspool.stats(), dict[str, Any])
assert_type(logspool.log_cost("tier2", "model"), None)
logspool.log_cost(
    model="model",
    usage={"prompt_tokens": 1},
    prompt_tokens=1,
    completion_tokens=2,
    cost={"input": 0.1, "output": 0.2, "total": 0.3},
    pricing={"input_per_1m": 1.0, "output_per_1m": 2.0},
    latency_ms=12.5,
    http_status=200,
    request_id="req_1",
    response_id="gen_1",
    provider="openrouter",
    task="summary",
    event="openrouter_cost",
    legacy_keys=True,
    anything=object(),
)
logspool.log_cost("tier2", "model", 3)  # type: ignore[call-arg]
logspool.log_cost(prompt_tokens="many")  # type: ignore[arg-type]

# The fast path: a class of loggers like any other.
assert_type(logspool.install(), None)
assert_type(logspool.uninstall(), None)
logger = logspool.Logger("app", logging.INFO)
as_logger: logging.Logger = logger
as_class: type[logging.Logger] = logspool.Logger
logging.setLoggerClass(logspool.Logger)
assert_type(logger.info("%s rows", 3, extra={"tool": "search"}, stacklevel=2), None)
assert_type(logger.log(25, "odd"), None)
assert_type(logger.error("failed", exc_info=ValueError()), None)
assert_type(logging.getLogger("app"), logging.Logger)
adapter: logging.LoggerAdapter[logspool.Logger] = logging.LoggerAdapter(logger, {"request_id": "req_1"})
logger.info()  # type: ignore[call-arg]
logger.info("text", unknown=1)  # type: ignore[call-arg]
logger.log("INFO", "text")  # type: ignore[arg-type]
logspool.install(logging.Logger)  # type: ignore[call-arg]


class OwnLogger(logspool.Logger):
    """A logger that makes its own records."""

    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        """Mark them."""
        record = super().makeRecord(*args, **kwargs)
        record.__dict__["own"] = True
        return record


# Context.
assert_type(logspool.bind(session_id="s", user=object()), None)
assert_type(logspool.unbind("session_id", "user"), None)
assert_type(logspool.clear(), None)
assert_type(logspool.context.current(), dict[str, Any])
with logspool.bound(request_id="req_1", buffer=logging.DEBUG, buffer_records=10, buffer_bytes="1MB") as block:
    assert_type(block, logspool.context.Bound)
logspool.bound(buffer=1.5)  # type: ignore[arg-type]
logspool.bind("session_id")  # type: ignore[call-arg]


@logspool.bound(job="count")
def count(upto: int) -> list[int]:
    """Keeps its signature."""
    return list(range(upto))


@logspool.bound(job="feed")
async def feed(upto: int) -> AsyncIterator[int]:
    """Keeps its signature."""
    async with logspool.bound(buffer="DEBUG"):
        yield upto


assert_type(count(3), list[int])
assert_type(feed(3), AsyncIterator[int])
assert_type(logspool.context.carry(count)(3), list[int])
with logspool.context.executor(4, "tools") as pool:
    assert_type(pool.submit(count, 3).result(), list[int])
handler.addFilter(logspool.context.ContextFilter())

# What would go: the module is imported where it is first asked for.
assert_type(logspool.redact.explain("password=x"), list[logspool.redact.Finding])
assert_type(logspool.redact.apply("password=x", "hint,pii"), str)
assert_type(logspool.redact.explain("x", {"pii": ["email"], "functions": {"own": str.lower}})[0].start, int)

# MCP servers.
assert_type(logspool.mcp.instrument(OwnLogger("any"), arguments=True, take_over=False), OwnLogger)
assert_type(logspool.mcp.uninstrument(object()), None)
with logspool.mcp.guard_stdout(level=logging.DEBUG, fatal=False) as guard:
    assert_type(guard, logspool.mcp.StdoutGuard)
    assert_type(guard.protocol.write(b"{}\n"), int)
assert_type(guard.closed, bool)
logspool.mcp.instrument()  # type: ignore[call-arg]

# Configuration files: basicConfig's handler, and an error with its place.
assert_type(logspool.configure("cipher.yml"), logspool.SpoolHandler)
assert_type(logspool.configure(Path("cipher.toml"), server="llm-inference", maxBytes="10MB"), logspool.SpoolHandler)
logspool.configure()  # type: ignore[call-arg]


def configuration_errors(error: ConfigurationError) -> None:
    assert_type(error.line, int)
    assert_type(error.path, str)
    as_value_error: ValueError = error
    raise as_value_error


# Web applications.
async def application(scope: Any, receive: Any, send: Any) -> None: ...


asgi.Middleware(application)
asgi.Middleware(
    asgi.Middleware(application),
    skip=["/health", "/static/*", lambda scope: scope["path"] == "/"],
    started=None,
    level="DEBUG",
)
asgi.Middleware(application, skip=5)  # type: ignore[arg-type]
assert_type(asgi.uvicorn_log_config(), dict[str, Any])
assert_type(asgi.gunicorn_log_config("logs/api.jsonl", skip=["/health"], level="INFO", backupCount=3), dict[str, Any])
access_filter: logging.Filter = asgi.ServerFields(skip=["/health"])
assert_type(logspool.context.generate_request_id(), str)
assert_type(logspool.context.set_request_context(None, user="ada"), str)

# structlog and loguru.
logspool.structlog.configure([structlog.processors.UnicodeDecoder()], json=False)
assert_type(logspool.structlog.configure_logging("INFO", True, "octollm", filename="a.jsonl"), logspool.SpoolHandler)
structlog.configure(processors=[logspool.structlog.render_to_record], wrapper_class=logspool.structlog.BoundLogger)
loguru.logger.add(logspool.loguru.sink(), format=logspool.loguru.plain)
loguru.logger.add(logspool.loguru.sink("a.jsonl", backupCount=3))

# Categories.
categories.setup_logging("logs", "DEBUG", console=False, backupCount=3, redact="pii")
categories.get_logger("user").log_interaction("list", "files", ["ls"], success=True, duration_ms=1.5)
categories.get_logger("user").log_call("groq", "llama")  # type: ignore[attr-defined]
assert_type(categories.get_logger("llm"), categories.LLMLogger)
assert_type(categories.get_logging_helper(), categories.LoggingHelper)
with categories.PerformanceTimer(categories.get_logger("performance"), "index") as timer:
    assert_type(timer.duration_ms, float)


@categories.log_tool_execution
async def execute_tool(tool_name: str, parameters: dict[str, Any]) -> int:
    return 1


@categories.log_performance("index")
def build_index(size: int) -> str:
    return ""


assert_type(build_index(1), str)
build_index("1")  # type: ignore[arg-type]

# The audit of LLM calls.
audit = llm_audit.Audit("logs", mode="raw", max_chars="500")
assert_type(llm_audit.from_environment(), llm_audit.Audit)
assert_type(audit.path, str | None)
audit.record("llm_call", request=[{"role": "user"}], error=ValueError("no"), prompt_tokens=1)
audit.record(tokens=5)  # type: ignore[call-arg]

# Files a session, debug files, summaries.
session_handler: logging.Handler = sessions.SessionHandler("logs", open_logs=3, level="INFO", gzip=False)
sessions.SessionHandler("logs", maxBytes="1MB", backupCount=3, when="midnight", interval=1, utc=True, mode="a")
sessions.SessionHandler("logs", delay=True)  # type: ignore[call-arg]
sessions.SessionHandler("logs", maxbytes=1)  # type: ignore[call-arg]
assert_type(sessions.debug_file("app.part", Path("debug.jsonl"), gzip=False), sessions.DebugFile)
sessions.debug_file("app.part", "debug.jsonl", maxBytes=10_000, backupCount="3", when=None, delay=True)
summary_filter: logging.Filter = summaries.Summarise("framework", every="30")
