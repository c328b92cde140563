"""SpoolHandler is closed, flushed, delayed, duplicated and put behind other handlers as the standard library's are."""

from __future__ import annotations

import copy
import json
import logging
import logging.handlers
import pickle
import queue
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from logfiles import events, records

import logspool


def add(logger: logging.Logger, path: Path, **settings: object) -> logspool.SpoolHandler:
    handler = logspool.SpoolHandler(path, **settings)  # type: ignore[arg-type]
    logger.addHandler(handler)
    return handler


# -- closing, flushing, shutdown -----------------------------------------------------------------------------------------


def test_a_record_after_close_opens_the_log_again(logger: logging.Logger, tmp_path: Path) -> None:
    handler = add(logger, tmp_path / "x.jsonl")
    logger.info("one")
    handler.close()
    assert events(tmp_path / "x.jsonl") == ["one"]
    logger.info("two")
    handler.flush()
    assert events(tmp_path / "x.jsonl") == ["one", "two"]
    handler.close()
    handler.close()


def test_flush_returns_when_all_is_in_the_segments(logger: logging.Logger, tmp_path: Path) -> None:
    handler = add(logger, tmp_path / "x.jsonl", gzip=False)
    for n in range(1000):
        logger.info("%d", n)
    handler.flush()
    assert events(tmp_path / "x.jsonl") == [str(n) for n in range(1000)]


def test_logging_shutdown_flushes_and_closes_unless_told_otherwise(logger: logging.Logger, tmp_path: Path) -> None:
    handler = add(logger, tmp_path / "x.jsonl")
    for flush_on_close in (True, False):
        handler.flushOnClose = flush_on_close
        logger.info("x")
        with mock.patch.object(logspool.SpoolHandler, "_flush", autospec=True) as flush:
            handler.close()
        assert flush.called is flush_on_close
    handler.flushOnClose = True
    logging.shutdown([weakref.ref(handler)])
    assert events(tmp_path / "x.jsonl") == ["x", "x"]


def test_two_handlers_on_one_log_share_it(logger: logging.Logger, tmp_path: Path) -> None:
    one, two = add(logger, tmp_path / "x.jsonl"), add(logger, tmp_path / "." / "x.jsonl")
    logger.info("both")
    one.close()
    logger.removeHandler(one)
    logger.info("one")
    two.flush()
    assert events(tmp_path / "x.jsonl") == ["both", "both", "one"]


def test_delay_opens_with_the_first_record(logger: logging.Logger, tmp_path: Path) -> None:
    handler = add(logger, tmp_path / "x.jsonl", delay=True)
    handler.flush()
    assert list(tmp_path.iterdir()) == []
    assert handler.baseFilename == str(tmp_path / "x.jsonl")
    logger.info("first")
    logger.info("second")
    handler.flush()
    assert events(tmp_path / "x.jsonl") == ["first", "second"]
    never = logspool.SpoolHandler(tmp_path / "never.jsonl", delay=True)
    never.close()
    assert not (tmp_path / "never.jsonl").exists()


def test_delayed_opening_that_fails_does_not_raise_into_the_caller(logger: logging.Logger, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("in the way")
    handler = add(logger, tmp_path / "taken" / "x.jsonl", delay=True)
    with mock.patch.object(handler, "handleError") as handle_error:
        logger.info("x")
    handle_error.assert_called_once()


# -- beside other handlers -----------------------------------------------------------------------------------------------


def test_behind_a_queue_handler_and_listener(logger: logging.Logger, tmp_path: Path) -> None:
    handler = logspool.SpoolHandler(tmp_path / "x.jsonl")
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    logger.addHandler(logging.handlers.QueueHandler(waiting))  # type: ignore[arg-type,unused-ignore]
    listener = logging.handlers.QueueListener(waiting, handler)  # type: ignore[arg-type,unused-ignore]
    listener.start()
    for n in range(100):
        logger.info("record %d", n, extra={"n": n})
    listener.stop()
    handler.close()
    assert [record["fields"]["n"] for record in records(tmp_path / "x.jsonl")] == list(range(100))


def test_as_the_target_of_a_memory_handler(logger: logging.Logger, tmp_path: Path) -> None:
    handler = logspool.SpoolHandler(tmp_path / "x.jsonl")
    memory = logging.handlers.MemoryHandler(10, flushLevel=logging.ERROR, target=handler)
    logger.addHandler(memory)
    logger.info("kept back")
    handler.flush()
    assert events(tmp_path / "x.jsonl") == []
    logger.error("now")
    handler.flush()
    assert events(tmp_path / "x.jsonl") == ["kept back", "now"]
    memory.close()
    handler.close()


def test_caplog_sees_records_beside_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    own = logging.getLogger(f"test.{request.node.name}")
    handler = add(own, tmp_path / "x.jsonl")
    own.warning("twice")
    own.removeHandler(handler)
    handler.close()
    assert caplog.messages == ["twice"]
    assert events(tmp_path / "x.jsonl") == ["twice"]


def test_a_logger_adapter_and_a_record_factory_are_honoured(logger: logging.Logger, tmp_path: Path) -> None:
    handler = add(logger, tmp_path / "x.jsonl")
    factory = logging.getLogRecordFactory()

    def tagged(*args: object, **kwargs: object) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        record.host = "h1"
        return record

    logging.setLogRecordFactory(tagged)
    try:
        logging.LoggerAdapter(logger, {"tenant": "acme"}).info("x")
    finally:
        logging.setLogRecordFactory(factory)
    handler.flush()
    assert records(tmp_path / "x.jsonl")[0]["fields"] == {"tenant": "acme", "host": "h1"}


# -- copy and pickle -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda handler: pickle.loads(pickle.dumps(handler))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_duplicate_writes_to_the_same_log(
    logger: logging.Logger,
    tmp_path: Path,
    duplicate: Callable[[logspool.SpoolHandler], logspool.SpoolHandler],
) -> None:
    handler = add(logger, tmp_path / "x.jsonl", level="INFO", maxBytes=1_000_000)
    handler.name = "original"
    handler.setFormatter(logging.Formatter("<%(message)s>"))
    other = duplicate(handler)
    logger.info("one")
    logger.removeHandler(handler)
    logger.addHandler(other)
    logger.info("two")
    logger.debug("too fine")
    other.flush()
    assert (type(other), other.level, other.maxBytes) == (logspool.SpoolHandler, logging.INFO, 1_000_000)
    assert other.lock is not handler.lock
    assert handler.name == "original"
    assert events(tmp_path / "x.jsonl") == ["<one>", "<two>"]
    handler.close()
    logger.info("three")
    other.flush()
    assert len(events(tmp_path / "x.jsonl")) == 3


def test_import_costs_nothing_it_does_not_need(tmp_path: Path) -> None:
    code = "import logging, sys, json; a = set(sys.modules); import logspool; print(json.dumps(sorted(set(sys.modules) - a)))"
    added = json.loads(subprocess.check_output([sys.executable, "-S", "-c", _with_path(code)], text=True))
    assert {name for name in added if not name.startswith("logspool")} <= {"__future__", "_contextvars", "contextvars"}


def _with_path(code: str) -> str:
    return f"import sys; sys.path[:] = {sys.path!r}; " + code
