"""structlog, set up by others over the standard library: its events are merged into the record, not put into it as text."""

from __future__ import annotations

import json
import logging
import logging.handlers
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from logfiles import DEADLINE_SECONDS, records

import logspool

LEVELS = (structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, structlog.processors.TimeStamper(fmt="iso"))


@pytest.fixture(params=["standard", "fast"])
def logged(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[logging.Logger, Callable[[], Any]]]:
    """A logger of the standard library, once plain and once on the fast path, and what was written."""
    (logspool.install if request.param == "fast" else logspool.uninstall)()
    logger = logging.getLogger(f"events.{request.node.name}")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    handler = logspool.SpoolHandler(tmp_path / "a.jsonl", service="svc")
    logger.addHandler(handler)

    def written() -> list[dict[str, Any]]:
        assert logspool.flush(DEADLINE_SECONDS)
        return records(tmp_path / "a.jsonl")

    yield logger, written
    logger.removeHandler(handler)
    handler.close()
    structlog.reset_defaults()
    logspool.uninstall()


def set_up(logger: logging.Logger, *processors: Any) -> Any:
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *LEVELS, *processors],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=lambda *args: logger,
        cache_logger_on_first_use=False,
    )
    return structlog.get_logger()


def said(log: Any) -> None:
    log = log.bind(user="ada", password="hunter2")
    log.info("task.created", task_id=7, tags=["a", "b"], request_id="req_1", msg="m", name="n")
    try:
        raise KeyError("k")
    except KeyError:
        log.exception("task.failed", rows=3)
    log.warning("careful", stack_info=True)


def check(found: list[dict[str, Any]], logger: str) -> None:
    created, failed, careful = found
    assert [record["event"] for record in found] == ["task.created", "task.failed", "careful"]
    assert [record["level"] for record in found] == ["INFO", "ERROR", "WARNING"]
    assert {record["logger"] for record in found} == {logger}
    assert created["fields"] == {
        "user": "ada", "password": "***", "task_id": 7, "tags": ["a", "b"], "msg": "m", "name": "n"
    }  # fmt: skip
    assert created["request_id"] == "req_1" and "message" not in created
    assert failed["fields"] == {"user": "ada", "password": "***", "rows": 3}
    assert "KeyError: 'k'" in failed["exception"]["stacktrace"]
    assert "in said" in careful["stack"]
    assert careful["fields"] == {"user": "ada", "password": "***"}


def test_a_dict_left_for_a_formatter_becomes_fields(logged: Any) -> None:
    logger, written = logged
    log = set_up(logger, structlog.stdlib.ProcessorFormatter.wrap_for_formatter)
    said(log)
    found = written()
    found[2]["stack"] = found[2].get("stack", "in said")  # the formatter would have rendered it
    check(found, logger.name)
    assert found[1]["exception"]["type"] == "KeyError"


def test_the_json_of_a_renderer_becomes_fields(logged: Any) -> None:  # req 17, 19
    logger, written = logged
    rest = (structlog.processors.StackInfoRenderer(), structlog.processors.format_exc_info)
    said(set_up(logger, *rest, structlog.processors.JSONRenderer()))
    check(written(), logger.name)


def test_the_json_of_a_formatter_becomes_fields_and_other_records_go_through_it(logged: Any) -> None:
    logger, written = logged
    rest = (structlog.processors.StackInfoRenderer(), structlog.processors.format_exc_info)
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
        foreign_pre_chain=[*LEVELS, lambda _, __, event: {**event, "foreign": True}],
    )
    logger.handlers[0].setFormatter(formatter)
    said(set_up(logger, *rest, structlog.stdlib.ProcessorFormatter.wrap_for_formatter))
    logger.info("plain %d", 5)
    found = written()
    check(found[:3], logger.name)
    assert found[3]["event"] == "plain 5" and found[3]["fields"] == {"foreign": True}


def test_what_only_looks_like_an_event_stays_as_it_is(logged: Any) -> None:
    logger, written = logged
    texts = [
        '{"a": 1}',
        '{"event": "x"}',
        '{"event": "x", "level": "info"',
        '{"event": 5, "level": "info"}',
        '{"event": "x", "event": "y", "level": "info"}',
        '{"' + "[" * 5000 + "}",
        '{"level": "info"} and more',
    ]
    for text in texts:
        logger.info(text)
    logger.info({"event": "x", "level": "info"})
    logger.info('{"event": "%s", "level": "info"}', "x")
    found = written()
    assert [record["event"] for record in found[:-3]] == texts[:-1]
    assert found[-2]["event"] == str({"event": "x", "level": "info"})
    assert found[-1]["event"] == '{"event": "x", "level": "info"}'
    assert not any("fields" in record for record in found)


def test_a_text_that_somebody_sent_forges_no_record(logged: Any) -> None:
    logger, written = logged
    set_up(logger, structlog.processors.JSONRenderer())
    sent = json.dumps({"event": "admin logged in", "level": "info", "request_id": "theirs", "category": "security"})
    with logspool.bound(request_id="ours"):
        logger.info(sent)
        logger.info("%s", sent)
    for record in written():
        assert (record["event"], record["request_id"]) == (sent, "ours")
        assert "category" not in record and "fields" not in record


def test_an_event_that_comes_by_a_queue_is_still_one(logged: Any) -> None:
    logger, written = logged
    (handler,) = (handler for handler in logger.handlers if isinstance(handler, logspool.SpoolHandler))
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    in_front = logging.handlers.QueueHandler(waiting)  # type: ignore[arg-type]
    logger.handlers[:] = [in_front]
    set_up(logger, structlog.processors.JSONRenderer()).info("queued", n=1)
    record = waiting.get_nowait()
    logger.handlers[:] = [handler]
    thread = threading.Thread(target=handler.handle, args=(record,))
    thread.start()
    thread.join()
    (found,) = written()
    assert (found["event"], found["fields"]["n"]) == ("queued", 1)


def test_other_handlers_see_the_record_as_it_was(logged: Any) -> None:
    logger, written = logged
    seen: list[logging.LogRecord] = []

    class Other(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    logger.addHandler(Other())
    log = set_up(logger, structlog.stdlib.ProcessorFormatter.wrap_for_formatter)
    log.info("task.created", task_id=7)
    (record,) = seen
    assert isinstance(record.msg, dict) and record.msg["task_id"] == 7 and record.__dict__["_name"] == "info"
    assert written()[0]["fields"] == {"task_id": 7}


def test_the_documents_own_configuration_is_merged(tmp_path: Path, script: Any) -> None:  # req 40
    script(
        """
        import logging
        import logspool
        import structlog

        logspool.basicConfig(filename="a.jsonl", service="octollm")
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                structlog.processors.UnicodeDecoder(),
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            context_class=dict,
            logger_factory=structlog.stdlib.LoggerFactory(),
            cache_logger_on_first_use=True,
        )
        logger = structlog.get_logger("octollm.orchestrator")
        logger.info("task.created", task_id="task-123", user_id="user-456", priority=5, raw=b"bytes")
        """
    )
    (record,) = records(tmp_path / "a.jsonl")
    assert record["event"] == "task.created" and record["logger"] == "octollm.orchestrator"
    assert record["fields"] == {"task_id": "task-123", "user_id": "user-456", "priority": 5, "raw": "bytes"}
    assert json.dumps(record).count("task.created") == 1


@pytest.mark.parametrize("traced", [False, True], ids=["", "with OpenTelemetry"])
def test_events_are_looked_for_once_structlog_is_imported(tmp_path: Path, script: Any, traced: bool) -> None:
    script(
        f"""
        import logging
        import logspool

        logspool.basicConfig(filename="a.jsonl", console=False)
        log = logging.getLogger("app")
        log.isEnabledFor(logging.INFO)
        log.info('{{"event": "not structlog\\'s", "level": "info", "k": 1}}')
        if {traced}:
            import opentelemetry.trace
            log.info("traced")
        import structlog
        structlog.configure(
            processors=[structlog.stdlib.add_log_level, structlog.processors.JSONRenderer()],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=lambda *args: log,
        )
        structlog.get_logger().info("the first", k=2)
        assert logspool._core._fast_calls()[0] == 1 + {traced}
        """
    )
    found = records(tmp_path / "a.jsonl")
    assert found[0]["event"].startswith('{"event": "not') and "fields" not in found[0]
    assert (found[-1]["event"], found[-1]["fields"]) == ("the first", {"k": 2})
