"""`logspool.structlog`: events of a real structlog become records, their values fields, on the fast path where that is open."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import structlog
from logfiles import DEADLINE_SECONDS, records

import logspool
import logspool.structlog

Script = Callable[..., CompletedProcess[str]]


class Log:
    """A logger of the test's own, structlog over it, and what was written."""

    def __init__(self, logger: logging.Logger, path: Path) -> None:
        self.logger, self.path = logger, path

    @property
    def get(self) -> Any:
        # pytest gives handlers of its own to loggers that do not propagate: they are in the fast path's way.
        self.logger.handlers[:] = [h for h in self.logger.handlers if isinstance(h, logspool.SpoolHandler)]
        return structlog.get_logger(self.logger.name)

    def records(self) -> list[dict[str, Any]]:
        assert logspool.flush(DEADLINE_SECONDS)
        return records(self.path)


@pytest.fixture(params=["standard", "fast"])
def logged(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    (logspool.install if request.param == "fast" else logspool.uninstall)()
    logger = logging.getLogger(f"structlog.{request.node.name}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    handler = logspool.SpoolHandler(tmp_path / "a.jsonl", service="svc")
    logger.addHandler(handler)
    logspool.structlog.configure()
    yield Log(logger, tmp_path / "a.jsonl")
    logger.removeHandler(handler)
    handler.close()
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logspool.uninstall()


def test_values_are_fields_and_the_caller_is_the_application(logged: Log) -> None:  # req 19
    log = logged.get.bind(user="ada")
    line = inspect.currentframe().f_lineno + 1  # type: ignore[union-attr]
    log.info("task.created", task_id=7, nested={"a": [1, None]}, request_id="req_1")
    (record,) = logged.records()
    assert (record["event"], record["level"], record["logger"]) == ("task.created", "INFO", logged.logger.name)
    assert record["fields"] == {"user": "ada", "task_id": 7, "nested": {"a": [1, None]}}
    assert record["request_id"] == "req_1" and "message" not in record
    assert record["src"] == {"file": __file__, "line": line, "function": inspect.currentframe().f_code.co_name}  # type: ignore[union-attr]


def test_calls_take_the_fast_path_where_it_is_open(logged: Log, request: pytest.FixtureRequest) -> None:
    log = logged.get
    log.info("first")
    before, _ = logspool._core._fast_calls()
    for number in range(5):
        logged.get.info("again", number=number)
    assert logspool._core._fast_calls()[0] - before == (5 if request.node.name.endswith("[fast]") else 0)
    assert [record.get("fields") for record in logged.records()[1:]] == [{"number": n} for n in range(5)]


def test_every_level_its_aliases_and_numbers(logged: Log) -> None:  # req 21
    logged.logger.setLevel(logging.DEBUG)
    log = logged.get
    for name in ("debug", "info", "warning", "warn", "error", "critical", "fatal"):
        getattr(log, name)(name)
    log.log(logging.WARNING, "numbered", n=1)
    log.log(25, "between")
    found = [(record["event"], record["level"]) for record in logged.records()]
    assert found == [
        ("debug", "DEBUG"), ("info", "INFO"), ("warning", "WARNING"), ("warn", "WARNING"), ("error", "ERROR"),
        ("critical", "CRITICAL"), ("fatal", "CRITICAL"), ("numbered", "WARNING"), ("between", "Level 25"),
    ]  # fmt: skip


def test_levels_filters_and_disabled_loggers_count(logged: Log) -> None:
    seen: list[str] = []

    def processor(logger: Any, name: str, event: Any) -> Any:
        seen.append(event["event"])
        return event

    logspool.structlog.configure([processor])
    logged.get.debug("below")
    assert seen == []
    logged.logger.addFilter(lambda record: "secret" not in record.getMessage())
    logged.get.info("a secret")
    logged.get.info("told")
    logged.logger.disabled = True
    logged.get.error("while disabled")
    logged.logger.disabled = False
    logged.logger.filters.clear()
    assert [record["event"] for record in logged.records()] == ["told"]


def test_exceptions_and_stacks_are_the_records_own(logged: Log) -> None:  # req 19
    log = logged.get
    try:
        raise KeyError("k")
    except KeyError as error:
        kept = error
        log.exception("failed", rows=3)
        log.error("failed", exc_info=True)
        log.info("none", exc_info=False)
    log.warning("kept", exc_info=kept)
    log.warning("stack", stack_info=True)
    failed, again, none, by_hand, stack = logged.records()
    for record in (failed, again, by_hand):
        assert record["exception"]["type"] == "KeyError"
        assert record["exception"]["stacktrace"].startswith("Traceback (most recent call last):")
    assert failed["level"] == "ERROR" and failed["fields"] == {"rows": 3}
    assert "exception" not in none and "fields" not in none
    assert "in test_exceptions_and_stacks_are_the_records_own" in stack["stack"]
    assert stack["src"]["function"] == "test_exceptions_and_stacks_are_the_records_own"


def test_positional_arguments_as_in_logging_and_wrong_ones_raise_nothing(logged: Log) -> None:
    log = logged.get
    log.info("%d of %s", 3, "four", k=1)
    log.info("%(a)s", {"a": "mapped"})
    log.info("100 %")
    log.info("%d", "no number")
    first, second, third, fourth = logged.records()
    assert (first["event"], first["fields"]) == ("3 of four", {"k": 1})
    assert (second["event"], third["event"], fourth["event"]) == ("mapped", "100 %", "%d")
    assert fourth["fields"] == {"positional_args": ["no number"]}


def test_names_of_a_records_own_attributes_are_fields(logged: Log) -> None:
    logged.get.info("e", name="n", msg="m", args=[1], message="x", lineno=5, fields={"f": 1}, module="mo", k=2)
    (record,) = logged.records()
    assert record["fields"] == {
        "k": 2, "f": 1, "name": "n", "msg": "m", "args": [1], "message": "x", "lineno": 5, "module": "mo"
    }  # fmt: skip
    assert record["src"]["function"] == "test_names_of_a_records_own_attributes_are_fields"


def test_contextvars_of_structlog_and_our_context_are_both_in(logged: Log) -> None:  # req 18
    structlog.contextvars.bind_contextvars(request_id="req_s", tenant="t")
    with structlog.contextvars.bound_contextvars(step=1), logspool.bound(session_id="s", shard=3, step=2):
        logged.get.info("inside")
    logged.get.info("outside")
    inside, outside = logged.records()
    assert (inside["request_id"], inside["session_id"]) == ("req_s", "s")
    assert inside["fields"] == {"shard": 3, "tenant": "t", "step": 1}
    assert outside["fields"] == {"tenant": "t"} and "session_id" not in outside


def test_the_async_methods_log_at_once_in_their_own_task(logged: Log) -> None:
    async def work(n: int) -> None:
        structlog.contextvars.bind_contextvars(n=n)
        log = logged.get
        await log.ainfo("async", k=n)
        await log.alog(logging.WARNING, "logged")
        try:
            raise ValueError("v")
        except ValueError:
            await log.aexception("failed")

    async def main() -> None:
        await asyncio.gather(*(asyncio.create_task(work(n), name=f"t{n}") for n in range(5)))

    asyncio.run(main())
    found = logged.records()
    assert len(found) == 15
    for record in found:
        assert record["task"] == f"t{record['fields']['n']}" and record["thread"] == "MainThread"
        assert record["src"]["function"] == "work"
    assert {record["exception"]["type"] for record in found if record["event"] == "failed"} == {"ValueError"}


def test_processors_run_drop_and_raise_as_in_structlog(logged: Log) -> None:
    def picky(logger: Any, name: str, event: Any) -> Any:
        if event["event"] == "drop":
            raise structlog.DropEvent
        if event["event"] == "raise":
            raise ZeroDivisionError("a processor's")
        return {**event, "method": name}

    logspool.structlog.configure([picky])
    logged.get.warning("drop")
    logged.get.warning("keep")
    with pytest.raises(ZeroDivisionError):
        logged.get.warning("raise")
    assert [(record["event"], record["fields"]) for record in logged.records()] == [("keep", {"method": "warning"})]


def test_under_a_wrapper_class_of_structlogs_own_the_caller_is_the_application(logged: Log) -> None:
    wrapped = structlog.wrap_logger(logged.logger, wrapper_class=structlog.stdlib.BoundLogger)
    filtering = structlog.wrap_logger(logged.logger, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    generic = structlog.wrap_logger(logged.logger, wrapper_class=structlog.BoundLogger)
    logged.get.info("ours", n=0)
    wrapped.info("wrapped %d", 1, n=1)
    filtering.bind(a=1).info("filtering %d", 2, n=2)
    generic.info("generic", n=3)
    wrapped.info("above", n=4, stacklevel=1)
    *found, _ = logged.records()
    assert [record["fields"]["n"] for record in found] == [0, 1, 2, 3]
    assert {(Path(r["src"]["file"]).name, r["src"]["function"]) for r in found} == {
        (Path(__file__).name, "test_under_a_wrapper_class_of_structlogs_own_the_caller_is_the_application")
    }


def test_a_text_that_somebody_sent_forges_no_record_under_another_wrapper(logged: Log) -> None:
    sent = '{"event": "admin logged in", "level": "info", "category": "security"}'
    filtering = structlog.wrap_logger(logged.logger, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    filtering.info(sent)
    logged.get.info(sent)
    assert [(record["event"], "category" in record) for record in logged.records()] == [(sent, False)] * 2


def test_the_last_processor_can_be_called_by_anybody(script: Script) -> None:
    script("import logspool.structlog as s; assert s.render_to_record(None, 'info', {'event': 'x'}) == (('x',), {})")


def test_structlogs_own_test_helper_sees_the_events(logged: Log) -> None:
    log = logged.get
    with structlog.testing.capture_logs() as captured:
        log.debug("below", k=1)
        log.warning("above")
    assert [(event["event"], event["log_level"]) for event in captured] == [("below", "debug"), ("above", "warning")]
    assert logged.records() == []


def test_an_event_that_looks_like_json_and_odd_values_are_kept(logged: Log) -> None:  # req 16
    log = logged.get
    log.info('{"event": "x", "level": "info"} not quite', v=float("nan"))
    log.info(None, v=b"bytes")
    log.info({"a": 1})
    found = logged.records()
    assert found[0]["fields"] == {"v": None}
    assert found[1]["fields"] == {"v": "bytes"}
    assert found[2]["event"] == "{'a': 1}"


def test_loggers_are_named_after_the_module_and_the_logger_class_is_left_alone(tmp_path: Path, script: Script) -> None:
    script(
        """
        import logging
        import logspool
        import logspool.structlog
        import structlog

        logspool.basicConfig(filename="a.jsonl")
        before = logging.getLoggerClass()
        logspool.structlog.configure()
        assert logging.getLoggerClass() is before is logspool.Logger
        structlog.get_logger().info("unnamed")
        structlog.get_logger("app.x").info("named")
        """
    )
    assert [record["logger"] for record in records(tmp_path / "a.jsonl")] == ["__main__", "app.x"]


def test_under_a_logger_class_of_structlogs_own_the_caller_is_right_too(tmp_path: Path, script: Script) -> None:
    script(
        """
        import structlog
        structlog.stdlib.LoggerFactory()  # sets its class, as another library may have done
        import logging
        logging.getLogger("theirs")
        import logspool
        import logspool.structlog

        logspool.basicConfig(filename="a.jsonl")
        logspool.structlog.configure()

        def work():
            structlog.get_logger("theirs").info("e", k=1)

        work()
        assert type(logging.getLogger("theirs")).__name__ == "_FixedFindCallerLogger"
        """
    )
    (record,) = records(tmp_path / "a.jsonl")
    assert record["src"]["function"] == "work" and record["fields"] == {"k": 1}


DOCUMENT = """
    import logspool.structlog
    import structlog
    import os

    logspool.structlog.configure_logging(
        level=os.getenv("LOG_LEVEL", "INFO"),
        json_logs=os.getenv("JSON_LOGS", "true").lower() == "true",
        service_name=os.getenv("SERVICE_NAME", "octollm"),
    )
    logger = structlog.get_logger("octollm.orchestrator")
    logger.debug("task.routing.evaluation", score=0.85)
    logger.info("task.created", task_id="task-123", user_id="user-456", priority=5)
    logger.error("task.processing.failed", token="hunter2-hunter2")
"""


def test_the_documents_configure_logging_works_as_printed(tmp_path: Path, script: Script) -> None:  # req 40, 17
    script(DOCUMENT)
    created, failed = records(tmp_path / "logs" / "octollm.jsonl")
    assert (created["event"], created["service"]) == ("task.created", "octollm")
    assert (created["environment"], created["version"]) == ("development", "unknown")
    assert created["fields"] == {"task_id": "task-123", "user_id": "user-456", "priority": 5}
    assert failed["fields"] == {"token": "***"}


def test_its_settings_come_from_the_environment(tmp_path: Path, script: Script) -> None:  # req 40
    given = {
        "LOG_LEVEL": "debug", "SERVICE_NAME": "arm", "ENVIRONMENT": "production", "APP_VERSION": "2.1", "JSON_LOGS": "true"
    }  # fmt: skip
    script("import logspool.structlog; logspool.structlog.configure_logging()\n" + "\n".join(
        line.strip() for line in DOCUMENT.splitlines() if line.strip().startswith(("logger", "import structlog"))
    ), env=given)  # fmt: skip
    found = records(tmp_path / "logs" / "arm.jsonl")
    assert found[0]["event"] == "task.routing.evaluation"
    assert {(record["environment"], record["version"]) for record in found} == {("production", "2.1")}


def test_without_json_events_are_text_with_their_values(tmp_path: Path, script: Script) -> None:  # req 20
    shown = script(DOCUMENT, env={"JSON_LOGS": "false"}).stderr
    file = (tmp_path / "logs" / "octollm.jsonl").read_text()
    for text in (shown, file):
        assert "task.created" in text and "task_id=task-123" in text and "INFO" in text
        assert "hunter2" not in text and "\x1b" not in text and "{" not in text
