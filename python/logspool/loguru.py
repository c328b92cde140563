"""loguru into our log: `logger.add(logspool.loguru.sink(), format=logspool.loguru.plain)`.

loguru is not imported here: it hands each message over with its own record, which becomes ours without being formatted in between.
"""

from __future__ import annotations

import logging

from logspool import _config, handler

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Any

    from logspool.handler import SpoolHandler

__all__ = ["Sink", "plain", "sink"]

_STANDARD = frozenset((*logging.LogRecord("", 0, "", 0, "", None, None).__dict__, "message", "asctime", "taskName"))


def plain(record: Any) -> str:
    """For `logger.add(format=…)`: no text at all, since a `Sink` takes none. An exception is not rendered by loguru either."""
    return ""


class Sink:
    """Writes loguru's messages into a log: a callable for `logger.add`.

    `extra` (what was bound, contextualized or patched in) becomes fields, `session_id`, `request_id` and the like at the top of the
    line; time, level name (TRACE, SUCCESS, and a program's own), file, line, function, thread and process are loguru's; an exception
    is rendered natively.
    """

    def __init__(self, handler: SpoolHandler | None = None) -> None:
        """Into the log of `handler`; without one, into that of `logspool.basicConfig`, also after another call of it."""
        self._own = handler
        self._last = _log_of_all() if handler is None else handler

    @property
    def handler(self) -> SpoolHandler:
        """The handler of the log it writes to."""
        if self._own is None and _config.state.handlers:
            self._last = _config.state.handlers[0]
        return self._last

    def __call__(self, message: Any) -> None:
        """Write one message."""
        self.handler.handle(as_record(message.record))


def _log_of_all() -> SpoolHandler:
    handlers = _config.state.handlers
    if not handlers:
        raise RuntimeError("no log to write to: call logspool.basicConfig(...) before, or give sink() a filename")
    return handlers[0]


def _raised(kind: Any, error: Any, traceback: Any) -> tuple[Any, Any, Any]:
    """What was raised. With `enqueue=True` loguru keeps only the type of an exception that cannot be pickled: better than nothing."""
    if error is None and isinstance(kind, type) and issubclass(kind, BaseException):
        try:
            error = kind.__new__(kind)
        except Exception:  # its own
            pass
    return kind, error, traceback


def as_record(said: dict[str, Any]) -> logging.LogRecord:
    """What loguru calls a record, as one of the standard library."""
    level, file, thread, process = said["level"], said["file"], said["thread"], said["process"]
    raised = said["exception"]
    record = logging.LogRecord(
        said["name"] or "root",
        level.no,
        file.path,
        said["line"],
        said["message"],
        None,
        None if raised is None else _raised(*raised),
        said["function"],
    )
    created = said["time"].timestamp()
    attributes = record.__dict__
    attributes["levelname"] = level.name
    attributes["created"], attributes["msecs"] = created, created % 1 * 1000
    attributes["thread"], attributes["threadName"] = thread.id, thread.name
    attributes["process"], attributes["processName"] = process.id, process.name
    extra = said["extra"]
    if extra:
        clashes = {}
        for name, value in extra.items():
            if name in _STANDARD:
                clashes[name] = value
            else:
                attributes[name] = value
        if clashes:
            nested = attributes.get("fields")
            attributes["fields"] = {**nested, **clashes} if isinstance(nested, dict) else clashes
    return record


def sink(filename: str | os.PathLike[str] | None = None, **settings: Any) -> Callable[[Any], None]:
    """A sink for `logger.add`: into the log that `logspool.basicConfig` opened, or into one of its own at `filename`.

    `settings` are SpoolHandler's. With loguru's `format=logspool.loguru.plain` nothing is formatted that nobody reads. Raises RuntimeError
    where there is neither a `filename` nor a log of basicConfig's.
    """
    if filename is not None:
        return Sink(handler.SpoolHandler(filename, **settings))
    if settings:
        raise TypeError(f"{next(iter(settings))}: a setting of the log at `filename`, and there is none")
    return Sink()
