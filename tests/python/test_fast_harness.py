"""The differential test finds a fast path that is wrong: each logger class here has one deliberate defect."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample
from tests.fastpath import programs as machine
from tests.fastpath.compare import check
from tests.fastpath.programs import programs
from tests.fastpath.world import Logs

import logspool

pytestmark = pytest.mark.skipif(not hasattr(logspool, "install"), reason="this build has no fast path")


class KeepsNoLevel(logging.Logger):
    def callHandlers(self, record: logging.LogRecord) -> None:
        at: Any = self
        while at:
            for handler in at.handlers:
                handler.handle(record)
            at = at.parent if at.propagate else None


class AlwaysPropagates(logging.Logger):
    def callHandlers(self, record: logging.LogRecord) -> None:
        at: Any = self
        while at:
            for handler in at.handlers:
                if record.levelno >= handler.level:
                    handler.handle(record)
            at = at.parent


class HasNoFilters(logging.Logger):
    def filter(self, record: logging.LogRecord) -> bool:
        return True


class KnowsNoDisable(logging.Logger):
    def isEnabledFor(self, level: int) -> bool:
        return not self.disabled and level >= self.getEffectiveLevel()


class KeepsTheFirstAnswer(logging.Logger):
    """A cache that no change empties."""

    answers: dict[Any, bool] | None = None

    def isEnabledFor(self, level: int) -> bool:
        if self.answers is None:
            self.answers = {}
        return self.answers.setdefault(level, super().isEnabledFor(level))


class OverwritesTheRecord(logging.Logger):
    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        extra = args[8]
        record = super().makeRecord(*args[:8], None, *args[9:], **kwargs)
        if extra is not None:
            record.__dict__.update({key: extra[key] for key in extra})
        return record


class SortsExtras(logging.Logger):
    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        extra = args[8]
        if isinstance(extra, dict):
            extra = {key: extra[key] for key in sorted(extra, key=str)}
        return super().makeRecord(*args[:8], extra, *args[9:], **kwargs)


class NamesNoThread(logging.Logger):
    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = super().makeRecord(*args, **kwargs)
        record.threadName = "MainThread"
        return record


class KnowsNoMappingArgument(logging.Logger):
    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = super().makeRecord(*args, **kwargs)
        if isinstance(record.args, Mapping):
            record.args = (record.args,)
        return record


class LosesTheTraceback(logging.Logger):
    def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = super().makeRecord(*args, **kwargs)
        if isinstance(record.exc_info, tuple) and len(record.exc_info) == 3:
            record.exc_info = (*record.exc_info[:2], None)  # type: ignore[assignment]
        return record


class AsksTwice(logging.Logger):
    """Renders the message once more than `logging` does."""

    def handle(self, record: logging.LogRecord) -> None:
        try:
            record.getMessage()
        except Exception:
            pass
        super().handle(record)


DEFECTS = [
    *(KeepsNoLevel, AlwaysPropagates, HasNoFilters, KnowsNoDisable, KeepsTheFirstAnswer, OverwritesTheRecord),
    *(SortsExtras, NamesNoThread, KnowsNoMappingArgument, LosesTheTraceback, AsksTwice),
]


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Logs, Logs]]:
    both = Logs(tmp_path_factory.mktemp("standard")), Logs(tmp_path_factory.mktemp("fast"))
    yield both
    for logs in both:
        logs.close()


def is_found(routes: tuple[Logs, Logs]) -> bool:
    """Whether some program shows the defect."""

    def shows(program: list[tuple[Any, ...]]) -> bool:
        try:
            check(program, *routes)
        except AssertionError:
            return True
        return False

    try:
        find(
            programs(),
            shows,
            settings=settings(
                max_examples=1000,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    except NoSuchExample:
        return False
    return True


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_logger_with_a_defect_is_found(
    defect: type[logging.Logger], routes: tuple[Logs, Logs], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = type("RootLogger", (defect, logging.RootLogger), {})
    defect = type("Logger", (defect,), {})

    def exchange(classes: dict[type, type]) -> None:
        for logger in (logging.root, *logging.root.manager.loggerDict.values()):
            if type(logger) in classes:
                logger.__class__ = classes[type(logger)]

    def install() -> None:
        if logging.getLoggerClass() is logging.Logger:
            logging.setLoggerClass(defect)
        exchange({logging.Logger: defect, logging.RootLogger: root})

    def uninstall() -> None:
        if logging.getLoggerClass() is defect:
            logging.setLoggerClass(logging.Logger)
        exchange({defect: logging.Logger, root: logging.RootLogger})

    logspool.uninstall()
    monkeypatch.setattr(logspool, "install", install)
    monkeypatch.setattr(logspool, "uninstall", uninstall)
    assert is_found(routes)


def test_a_fast_path_that_is_never_taken_is_found(routes: tuple[Logs, Logs], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "fast_calls", lambda: (0, 0))
    assert is_found(routes)


def test_a_fast_path_that_is_always_taken_is_found(routes: tuple[Logs, Logs], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1_000_000))
    monkeypatch.setattr(machine, "fast_calls", lambda: (next(calls), 0))
    assert is_found(routes)
