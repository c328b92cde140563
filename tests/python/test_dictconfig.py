"""SpoolHandler from logging.config: dictConfig and fileConfig."""

from __future__ import annotations

import logging
import logging.config
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from logfiles import events, records

import logspool

Script = Callable[..., CompletedProcess[str]]


@pytest.fixture(autouse=True)
def handlers_by_name_are_put_back(monkeypatch: pytest.MonkeyPatch, root: logging.Logger) -> Iterator[None]:
    """DictConfig empties logging's lists of handlers, pytest's own among them."""
    by_name, every = dict(logging._handlers), logging._handlerList[:]  # type: ignore[attr-defined]
    yield
    for name in ("configured", "configured.child"):
        for handler in logging.getLogger(name).handlers[:]:
            logging.getLogger(name).removeHandler(handler)
            handler.close()
        logging.getLogger(name).propagate = True
    logging._handlers.update(by_name)  # type: ignore[attr-defined]
    logging._handlerList[:] = every  # type: ignore[attr-defined]


def config(handler: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"spool": handler},
        "loggers": {"configured": {"handlers": ["spool"], "level": "DEBUG", "propagate": False}},
        **more,
    }


def spool_handler() -> logspool.SpoolHandler:
    (handler,) = logging.getLogger("configured").handlers
    assert isinstance(handler, logspool.SpoolHandler)
    return handler


def make_handler(path: str) -> logspool.SpoolHandler:
    return logspool.SpoolHandler(path, backupCount=2)


@pytest.mark.parametrize(
    "handler",
    [
        {"class": "logspool.SpoolHandler", "filename": "x.jsonl", "maxBytes": "10MB", "backupCount": 3},
        {"class": "logspool.handler.SpoolHandler", "filename": "x.jsonl", "when": "midnight", "utc": False},
        {"()": "logspool.SpoolHandler", "filename": "x.jsonl", "gzip": False},
        {"()": "ext://logspool.SpoolHandler", "filename": "x.jsonl"},
        {"()": logspool.SpoolHandler, "filename": "x.jsonl"},
        {"()": make_handler, "path": "x.jsonl"},
        {"class": "logspool.SpoolHandler", "filename": "cfg://paths.main"},
        # What is left in a configuration when only the class is changed.
        {
            "class": "logspool.SpoolHandler",
            "filename": "x.jsonl",
            "mode": "a",
            "maxBytes": 10485760,
            "backupCount": 5,
            "encoding": "utf8",
            "delay": True,
        },
    ],
)
def test_dictconfig_makes_a_handler(
    handler: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # req 7
    monkeypatch.chdir(tmp_path)
    logging.config.dictConfig(config(handler, paths={"main": "x.jsonl"}))
    logging.getLogger("configured").info("from %s", "dictConfig")
    spool_handler().flush()
    assert events(tmp_path / "x.jsonl") == ["from dictConfig"]


def test_dictconfig_sets_level_formatter_filters_and_attributes(tmp_path: Path) -> None:
    logging.config.dictConfig(
        config(
            {
                "class": "logspool.SpoolHandler",
                "filename": str(tmp_path / "x.jsonl"),
                "level": "WARNING",
                "formatter": "short",
                "filters": ["child"],
                ".": {"flushOnClose": False},
            },
            formatters={"short": {"format": "[%(levelname)s] %(message)s"}},
            filters={"child": {"name": "configured.child"}},
        )
    )
    handler = spool_handler()
    assert handler.flushOnClose is False
    assert handler.name == "spool"
    logging.getLogger("configured").error("not the child")
    logging.getLogger("configured.child").info("too fine")
    logging.getLogger("configured.child").error("the child")
    handler.flush()
    assert events(tmp_path / "x.jsonl") == ["[ERROR] the child"]


def test_incremental_dictconfig_changes_the_level(tmp_path: Path) -> None:
    logging.config.dictConfig(config({"class": "logspool.SpoolHandler", "filename": str(tmp_path / "x.jsonl")}))
    handler = spool_handler()
    logging.config.dictConfig(
        {
            "version": 1,
            "incremental": True,
            "handlers": {"spool": {"level": "ERROR"}},
            "loggers": {"configured": {"level": "INFO"}},
        }
    )
    assert spool_handler() is handler
    logging.getLogger("configured").info("too fine")
    logging.getLogger("configured").error("passes")
    handler.flush()
    assert events(tmp_path / "x.jsonl") == ["passes"]


def test_a_second_dictconfig_opens_the_log_again(tmp_path: Path) -> None:
    for event in ("one", "two"):
        logging.config.dictConfig(config({"class": "logspool.SpoolHandler", "filename": str(tmp_path / "x.jsonl")}))
        logging.getLogger("configured").info(event)
    spool_handler().flush()
    assert events(tmp_path / "x.jsonl") == ["one", "two"]


def test_dictconfig_says_what_is_not_allowed(tmp_path: Path) -> None:
    for key, value, message in (
        ("maxBytes", "10 apples", "maxBytes='10 apples': expected a size"),
        ("max_bytes", 1, "has no setting max_bytes; did you mean maxBytes?"),
        ("stream", "ext://sys.stdout", "has no setting stream"),
    ):
        handler = {"class": "logspool.SpoolHandler", "filename": str(tmp_path / "x.jsonl"), key: value}
        with pytest.raises(ValueError, match="Unable to configure handler 'spool'") as raised:
            logging.config.dictConfig(config(handler))
        assert message in str(raised.value.__cause__)
    assert list(tmp_path.iterdir()) == []


def test_dictconfig_puts_it_behind_a_memory_handler(tmp_path: Path) -> None:
    document = config({"class": "logspool.SpoolHandler", "filename": str(tmp_path / "x.jsonl")})
    document["handlers"]["memory"] = {
        "class": "logging.handlers.MemoryHandler",
        "capacity": 100,
        "flushLevel": logging.ERROR,
        "target": "spool",
    }
    document["loggers"]["configured"]["handlers"] = ["memory"]
    logging.config.dictConfig(document)
    logging.getLogger("configured").info("first")
    logging.getLogger("configured").error("second")
    logspool.flush()
    assert events(tmp_path / "x.jsonl") == ["first", "second"]


def test_a_handler_that_dictconfig_unlisted_still_has_everything_on_disk_at_exit(
    script: Script, tmp_path: Path
) -> None:
    script(
        """
        import logging, logging.config, logspool
        log = logging.getLogger("early")
        log.addHandler(logspool.SpoolHandler("x.jsonl"))
        log.error("before")
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        log.error("after")
        """
    )
    assert events(tmp_path / "x.jsonl") == ["before", "after"]


def test_fileconfig_makes_a_handler(script: Script, tmp_path: Path) -> None:
    (tmp_path / "logging.ini").write_text(
        textwrap.dedent(
            """
            [loggers]
            keys=root
            [handlers]
            keys=spool,audit
            [formatters]
            keys=
            [logger_root]
            level=INFO
            handlers=spool,audit
            [handler_spool]
            class=logspool.SpoolHandler
            level=INFO
            args=('logs/app.jsonl',)
            kwargs={'maxBytes': '10MB', 'backupCount': 5, 'when': 'midnight'}
            [handler_audit]
            class=logspool.SpoolHandler
            level=ERROR
            args=('logs/audit.jsonl', 1048576, 100)
            """
        )
    )
    script(
        """
        import logging, logging.config
        logging.config.fileConfig("logging.ini")
        logging.info("fine", extra={"n": 1})
        logging.error("broken")
        """
    )
    assert [record["event"] for record in records(tmp_path / "logs" / "app.jsonl")] == ["fine", "broken"]
    assert events(tmp_path / "logs" / "audit.jsonl") == ["broken"]
