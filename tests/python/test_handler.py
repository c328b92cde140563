"""SpoolHandler keeps the contract of logging.Handler."""

from __future__ import annotations

import copy
import io
import logging
import logging.handlers
import sys
import threading
from pathlib import Path
from unittest import mock

import pytest
from logfiles import events, lines, records

import logspool


def add(logger: logging.Logger, path: Path, **settings: object) -> logspool.SpoolHandler:
    handler = logspool.SpoolHandler(path, **settings)  # type: ignore[arg-type]
    logger.addHandler(handler)
    return handler


def test_takes_the_place_of_a_file_handler_at_a_module_logger(logger: logging.Logger, tmp_path: Path) -> None:  # req 7
    handler = add(logger, tmp_path / "module.jsonl")
    logger.info("started %s", "now")
    handler.flush()
    (record,) = records(tmp_path / "module.jsonl")
    assert (record["logger"], record["event"]) == (logger.name, "started now")


def test_takes_the_settings_of_the_rotating_handlers(logger: logging.Logger, tmp_path: Path) -> None:  # req 24, 26, 29
    handler = add(
        logger,
        tmp_path / "health.jsonl",
        maxBytes=10 * 1024 * 1024,
        backupCount=5,
        when="midnight",
        interval=1,
        utc=True,
        mode="a",
        encoding="utf-8",
        errors=None,
        delay=False,
    )
    assert (handler.maxBytes, handler.backupCount, handler.mode, handler.encoding) == (10485760, 5, "a", "utf-8")


def test_every_setting_may_be_text(logger: logging.Logger, tmp_path: Path) -> None:
    handler = add(
        logger,
        tmp_path / "x.jsonl",
        maxBytes="10MB",
        backupCount="7",
        when="MIDNIGHT",
        interval="2",
        utc="no",
        gzip="off",
        block_timeout="none",
        file_mode="640",
        level="error",
        src="0",
    )
    assert (handler.maxBytes, handler.backupCount, handler.level) == (10 * 1024**2, 7, logging.ERROR)


def test_an_unknown_setting_is_refused_and_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"SpoolHandler\(\) has no setting backup_count; did you mean backupCount\?"):
        logspool.SpoolHandler(tmp_path / "x.jsonl", backup_count=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"when='fortnight': expected S, M, H"):
        logspool.SpoolHandler(tmp_path / "x.jsonl", when="fortnight")
    with pytest.raises(ValueError, match=r"level='loud': expected DEBUG"):
        logspool.SpoolHandler(tmp_path / "x.jsonl", level="loud")
    with pytest.raises(ValueError, match=r"maxBytes='a': expected a size"):
        logspool.SpoolHandler(tmp_path / "x.jsonl", "a")  # RotatingFileHandler's second parameter is the mode
    assert list(tmp_path.iterdir()) == []


def test_a_relative_filename_is_resolved_once(
    logger: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    handler = add(logger, Path("x.jsonl"))
    assert handler.baseFilename == str(tmp_path / "x.jsonl")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    logger.info("one")
    handler.close()
    logger.info("two")
    handler.flush()
    assert handler.baseFilename == str(tmp_path / "x.jsonl")
    assert events(tmp_path / "x.jsonl") == ["one", "two"]


def test_repr_names_path_and_level(logger: logging.Logger, tmp_path: Path) -> None:
    handler = add(logger, tmp_path / "x.jsonl", level="WARNING")
    assert repr(handler) == f"<SpoolHandler {tmp_path / 'x.jsonl'} (WARNING)>"


def test_levels_hold(logger: logging.Logger, tmp_path: Path) -> None:  # req 21
    handler = add(logger, tmp_path / "x.jsonl", level=logging.WARNING)
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(logger, level)(level)
    handler.setLevel("DEBUG")
    logger.debug("after")
    logger.disabled = True
    logger.critical("never")
    logger.disabled = False
    handler.flush()
    assert events(tmp_path / "x.jsonl") == ["warning", "error", "critical", "after"]


# -- filters and formatters ----------------------------------------------------------------------------------------------


def test_filters_of_the_handler_reject_and_enrich(logger: logging.Logger, tmp_path: Path) -> None:
    class Enrich(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            record.tenant = "acme"
            return "secret" not in record.getMessage()

    handler = add(logger, tmp_path / "x.jsonl")
    enrich = Enrich()
    handler.addFilter(enrich)
    handler.addFilter(lambda record: record.levelno != logging.ERROR)
    logger.info("open")
    logger.info("secret")
    logger.error("filtered by the function")
    handler.removeFilter(enrich)
    logger.info("secret again")
    handler.flush()
    written = records(tmp_path / "x.jsonl")
    assert [record["event"] for record in written] == ["open", "secret again"]
    assert written[0]["fields"] == {"tenant": "acme"}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="filters replace records since Python 3.12")
def test_a_filter_of_the_handler_may_replace_the_record(logger: logging.Logger, tmp_path: Path) -> None:
    def replace(record: logging.LogRecord) -> logging.LogRecord:
        other = copy.copy(record)
        other.msg, other.args = "replaced", ()
        return other

    handler = add(logger, tmp_path / "x.jsonl")
    other = logging.StreamHandler(io.StringIO())
    logger.addHandler(other)
    handler.addFilter(replace)  # type: ignore[arg-type,unused-ignore]
    logger.info("original")
    handler.flush()
    assert events(tmp_path / "x.jsonl") == ["replaced"]
    assert other.stream.getvalue() == "original\n"


def test_filters_of_the_logger_hold(logger: logging.Logger, tmp_path: Path) -> None:
    handler = add(logger, tmp_path / "x.jsonl")
    logger.addFilter(lambda record: record.args != (1,))
    logger.info("%d", 1)
    logger.info("%d", 2)
    handler.flush()
    assert events(tmp_path / "x.jsonl") == ["2"]


def test_handle_tells_whether_the_record_passed(logger: logging.Logger, tmp_path: Path) -> None:
    handler = add(logger, tmp_path / "x.jsonl")
    record = logging.makeLogRecord({"msg": "made", "name": "maker"})
    assert handler.handle(record)
    handler.addFilter(lambda record: False)
    assert not handler.handle(record)
    handler.flush()
    assert events(tmp_path / "x.jsonl") == ["made"]


def test_a_formatters_text_becomes_the_message(logger: logging.Logger, tmp_path: Path) -> None:
    class Shout(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return super().format(record).upper()

    handler = add(logger, tmp_path / "x.jsonl")
    handler.setFormatter(Shout("%(name)s: %(message)s"))
    logger.info("quiet %d", 1)
    handler.setFormatter(None)
    logger.info("as it is")
    handler.flush()
    assert events(tmp_path / "x.jsonl") == [f"{logger.name}: quiet 1".upper(), "as it is"]


def test_the_formatter_the_standard_librarys_basicconfig_gives_everybody_is_not_set(
    root: logging.Logger, tmp_path: Path
) -> None:
    handler = logspool.SpoolHandler(tmp_path / "x.jsonl")
    logging.basicConfig(handlers=[handler], force=True)
    assert handler.formatter is None
    logging.error("clean")
    handler.flush()
    assert events(tmp_path / "x.jsonl") == ["clean"]


def test_a_text_log_is_made_by_the_formatter(logger: logging.Logger, tmp_path: Path) -> None:  # req 20
    handler = add(logger, tmp_path / "x.log", json=False)
    logger.info("default")
    handler.setFormatter(logging.Formatter("%(levelname)s|%(message)s"))
    logger.info("mine")
    handler.flush()
    default, mine = lines(tmp_path / "x.log")
    assert default.endswith(f" INFO {logger.name}: default")
    assert mine == "INFO|mine"


# -- subclasses, locks, errors -------------------------------------------------------------------------------------------


def test_a_subclass_that_replaces_nothing_of_the_handling_works(logger: logging.Logger, tmp_path: Path) -> None:
    class Named(logspool.SpoolHandler):
        def __init__(self, path: Path) -> None:
            super().__init__(path, backupCount=1)
            self.tag = "named"

    handler = Named(tmp_path / "x.jsonl")
    logger.addHandler(handler)
    logger.info("x")
    handler.flush()
    assert events(tmp_path / "x.jsonl") == ["x"]


def test_a_subclass_takes_part_in_handling_as_in_the_standard_library(logger: logging.Logger, tmp_path: Path) -> None:
    called: list[str] = []

    class Part(logging.Handler):
        def filter(self, record: logging.LogRecord) -> bool:  # type: ignore[override,unused-ignore]
            called.append("filter")
            return super().filter(record)  # type: ignore[return-value,unused-ignore]

        def acquire(self) -> None:
            called.append("acquire")
            super().acquire()

        def release(self) -> None:
            called.append("release")
            super().release()

        def emit(self, record: logging.LogRecord) -> None:
            called.append("emit")
            super().emit(record)

    class Ours(Part, logspool.SpoolHandler):
        pass

    class Theirs(Part, logging.NullHandler):
        def handle(self, record: logging.LogRecord) -> bool:
            return logging.Handler.handle(self, record)

        def createLock(self) -> None:
            logging.Handler.createLock(self)

    handler = Ours(tmp_path / "x.jsonl")
    seen = []
    for each in (Theirs(), handler):
        logger.addHandler(each)
        called.clear()
        logger.info("x")
        seen.append(called[:])
        logger.removeHandler(each)
    assert seen[0] == seen[1]
    assert "emit" in seen[1]
    handler.flush()
    assert events(tmp_path / "x.jsonl") == ["x"]
    handler.close()


def test_a_subclass_that_replaces_handle_or_format_is_asked(logger: logging.Logger, tmp_path: Path) -> None:
    class Once(logspool.SpoolHandler):
        def handle(self, record: logging.LogRecord) -> bool:
            return record.msg != "drop" and super().handle(record)

    class Formats(logspool.SpoolHandler):
        def format(self, record: logging.LogRecord) -> str:
            return f"<{record.getMessage()}>"

    for kind, expected in ((Once, ["keep"]), (Formats, ["<drop>", "<keep>"])):
        handler = kind(tmp_path / f"{kind.__name__}.jsonl")
        logger.addHandler(handler)
        logger.info("drop")
        logger.info("keep")
        handler.flush()
        assert events(tmp_path / f"{kind.__name__}.jsonl") == expected
        logger.removeHandler(handler)


def test_a_mocked_emit_is_called_and_can_be_taken_back(logger: logging.Logger, tmp_path: Path) -> None:
    handler = add(logger, tmp_path / "x.jsonl")
    with mock.patch.object(handler, "emit") as emit:
        logger.info("mocked")
    emit.assert_called_once()
    logger.info("real")
    handler.flush()
    assert events(tmp_path / "x.jsonl") == ["real"]


def test_the_lock_is_a_real_one(logger: logging.Logger, tmp_path: Path) -> None:
    handler = add(logger, tmp_path / "x.jsonl")
    assert handler.lock is not None
    handler.acquire()
    taken: list[bool] = []

    def try_lock() -> None:
        assert handler.lock is not None
        taken.append(handler.lock.acquire(blocking=False))

    thread = threading.Thread(target=try_lock)
    thread.start()
    thread.join()
    handler.release()
    assert taken == [False]


class Broken(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        raise RuntimeError("no formatting today")


def test_a_formatter_that_fails_does_not_cost_the_record(
    logger: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # req 16
    handler = add(logger, tmp_path / "x.jsonl")
    handler.setFormatter(Broken())
    logger.info("kept %d", 1)
    handler.flush()
    (record,) = records(tmp_path / "x.jsonl")
    assert "kept" in record["event"]
    assert "no formatting today" in str(record["fields"])
    assert capsys.readouterr().err == ""


def test_a_text_line_that_cannot_be_made_goes_to_handle_error_and_not_to_the_caller(
    logger: logging.Logger, tmp_path: Path
) -> None:
    handler = add(logger, tmp_path / "x.log", json=False)
    handler.setFormatter(Broken())
    with mock.patch.object(handler, "handleError") as handle_error:
        logger.info("x")
    ((record,), _) = handle_error.call_args
    assert record.msg == "x"


def test_raise_exceptions_says_whether_an_error_is_shown(
    logger: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = add(logger, tmp_path / "x.log", json=False)
    handler.setFormatter(Broken())
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger.info("silent")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(logging, "raiseExceptions", True)
    logger.info("shown")
    assert "no formatting today" in capsys.readouterr().err


def test_the_record_is_not_changed(logger: logging.Logger, tmp_path: Path) -> None:
    handler = add(logger, tmp_path / "x.jsonl")
    record = logger.makeRecord(logger.name, logging.INFO, __file__, 1, "%s", ("x",), None, extra={"key": {"a": 1}})
    before = dict(record.__dict__)
    handler.handle(record)
    assert record.__dict__ == before
