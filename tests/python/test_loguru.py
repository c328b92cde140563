"""A real loguru writing into our log."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from logfiles import DEADLINE_SECONDS, records
from loguru import logger as loguru

import logspool
import logspool.loguru

Script = Callable[..., CompletedProcess[str]]


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What loguru, which has our sink alone, has written."""
    sink = logspool.loguru.Sink(logspool.SpoolHandler(tmp_path / "a.jsonl", service="svc"))
    loguru.remove()
    number = loguru.add(sink, format=logspool.loguru.plain, level=0, catch=False)

    def read() -> list[dict[str, Any]]:
        loguru.complete()
        assert logspool.flush(DEADLINE_SECONDS)
        return records(tmp_path / "a.jsonl")

    yield read
    loguru.remove(number)
    sink.handler.close()


def test_message_extra_and_caller_are_where_a_record_has_them(written: Any) -> None:
    bound = loguru.bind(user="ada", request_id="req_1", password="hunter2")
    bound.info("found {} rows of {table}", 3, table="books")
    (record,) = written()
    assert (record["event"], record["level"], record["logger"]) == ("found 3 rows of books", "INFO", __name__)
    assert record["request_id"] == "req_1"
    assert record["fields"] == {"user": "ada", "password": "***", "table": "books"}
    assert record["src"]["file"] == __file__
    assert record["src"]["function"] == "test_message_extra_and_caller_are_where_a_record_has_them"
    assert record["thread"] == "MainThread"


def test_levels_keep_their_names_and_the_handlers_level_counts(written: Any) -> None:
    for name in ("trace", "debug", "info", "success", "warning", "error", "critical"):
        getattr(loguru, name)(name)
    loguru.log(33, "numbered")
    levels = [record["level"] for record in written()]
    assert levels == ["TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL", "Level 33"]


def test_exceptions_are_rendered_natively_and_leak_no_variables(written: Any) -> None:
    def fails(token: str) -> None:
        raise KeyError("k")

    try:
        fails("-".join(("a", "very", "secret", "local")))  # in no line of the source
    except KeyError:
        loguru.exception("failed")
        loguru.opt(exception=True).warning("again")

    @loguru.catch(message="caught")
    def caught() -> None:
        raise ValueError("v")

    caught()
    failed, again, third = written()
    for record, kind in ((failed, "KeyError"), (again, "KeyError"), (third, "ValueError")):
        assert record["exception"]["type"] == kind
        assert record["exception"]["stacktrace"].startswith("Traceback (most recent call last):")
    assert "a-very-secret-local" not in str(written())
    assert failed["exception"]["stacktrace"].rstrip().endswith("KeyError: 'k'")


def test_threads_tasks_and_both_contexts(written: Any) -> None:
    with loguru.contextualize(tenant="t"), logspool.bound(session_id="s", shard=1):
        loguru.info("inside")
    thread = threading.Thread(target=lambda: loguru.info("threaded"), name="worker-7")
    thread.start()
    thread.join()

    async def work() -> None:
        loguru.info("in a task")

    async def main() -> None:
        await asyncio.create_task(work(), name="t-1")

    asyncio.run(main())
    inside, threaded, task = written()
    assert inside["session_id"] == "s" and inside["fields"] == {"tenant": "t", "shard": 1}
    assert threaded["thread"] == "worker-7" and task["task"] == "t-1"


def test_enqueued_records_keep_their_thread_time_and_process(written: Any, tmp_path: Path) -> None:
    handler = logspool.SpoolHandler(tmp_path / "queued.jsonl")
    number = loguru.add(logspool.loguru.Sink(handler), format=logspool.loguru.plain, level=0, enqueue=True)
    loguru.bind(k=1).info("queued")
    loguru.remove(number)
    (direct,) = written()
    (queued,) = records(tmp_path / "queued.jsonl")
    handler.close()
    for key in ("ts", "event", "pid", "thread", "fields", "src"):
        assert direct[key] == queued[key]


def test_extra_with_a_records_names_event_and_odd_values(written: Any) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError

    loguru.bind(name="n", msg="m", event="db.opened", fields={"f": 1}, odd=Odd(), nan=float("nan")).info("opened")
    (record,) = written()
    assert (record["event"], record["message"]) == ("db.opened", "opened")
    fields = record["fields"]
    assert {key: fields[key] for key in ("name", "msg", "f", "nan")} == {"name": "n", "msg": "m", "f": 1, "nan": None}


def test_nothing_is_formatted_by_loguru(written: Any) -> None:
    messages: list[str] = []
    number = loguru.add(lambda message: messages.append(str(message)), format=logspool.loguru.plain)
    try:
        raise ValueError("v")
    except ValueError:
        loguru.exception("failed")
    loguru.remove(number)
    assert messages == [""]


def test_the_sink_goes_where_basicconfig_says_and_intercepted_records_are_not_doubled(
    tmp_path: Path, script: Script
) -> None:
    script(
        """
        import inspect
        import logging
        import logspool
        import logspool.loguru
        from loguru import logger

        try:
            logspool.loguru.sink()
        except RuntimeError as error:
            assert "basicConfig" in str(error)
        handler = logspool.basicConfig(filename="a.jsonl", service="svc")

        class InterceptHandler(logging.Handler):  # loguru's own recipe
            def emit(self, record):
                try:
                    level = logger.level(record.levelname).name
                except ValueError:
                    level = record.levelno
                frame, depth = inspect.currentframe(), 0
                while frame and (depth == 0 or frame.f_code.co_filename == logging.__file__):
                    frame = frame.f_back
                    depth += 1
                logger.opt(depth=depth, exception=record.exc_info).log(level, record.getMessage())

        logging.getLogger().handlers = [InterceptHandler()]
        logger.remove()
        logger.add(logspool.loguru.sink(), format=logspool.loguru.plain)

        def work():
            logger.info("by loguru")
            logging.getLogger("lib").warning("by logging %d", 1)

        work()
        """
    )
    one, two = records(tmp_path / "a.jsonl")
    assert (one["event"], two["event"], two["level"]) == ("by loguru", "by logging 1", "WARNING")
    assert one["src"]["function"] == two["src"]["function"] == "work"


def test_a_sink_of_its_own_and_wrong_arguments(tmp_path: Path) -> None:
    sink: Any = logspool.loguru.sink(tmp_path / "own.jsonl", service="own")
    number = loguru.add(sink, format=logspool.loguru.plain)
    loguru.info("x")
    loguru.remove(number)
    sink.handler.close()
    assert [record["service"] for record in records(tmp_path / "own.jsonl")] == ["own"]
    with pytest.raises(TypeError, match="service: a setting of the log at `filename`"):
        logspool.loguru.sink(service="x")
    assert isinstance(sink.handler, logging.Handler)


def test_the_sink_follows_basicconfig_to_another_log(tmp_path: Path, script: Script) -> None:
    script(
        """
        import logspool
        import logspool.loguru
        from loguru import logger

        logspool.basicConfig(filename="a.jsonl")
        logger.remove()
        logger.add(logspool.loguru.sink(), format=logspool.loguru.plain)
        logger.info("one")
        logspool.basicConfig(filename="b.jsonl")
        logger.info("two")
        """
    )
    assert [[record["event"] for record in records(tmp_path / f"{name}.jsonl")] for name in "ab"] == [["one"], ["two"]]


class Unpicklable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)


def test_of_an_exception_that_cannot_go_through_loguru_s_queue_the_type_stays(tmp_path: Path) -> None:
    sink: Any = logspool.loguru.sink(tmp_path / "a.jsonl")
    number = loguru.add(sink, format=logspool.loguru.plain, enqueue=True)
    try:
        raise Unpicklable(1, 2)
    except Unpicklable:
        loguru.exception("failed")
    loguru.complete()
    loguru.remove(number)
    sink.handler.close()
    (record,) = records(tmp_path / "a.jsonl")
    assert (record["event"], record["exception"]["type"]) == ("failed", f"{__name__}.Unpicklable")
