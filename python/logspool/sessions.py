"""Files beside the log: one for each session (`SessionHandler`), and one component's debug file (`debug_file`)."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import OrderedDict

from logspool import _paths, _settings, _values, context
from logspool.handler import SpoolHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Unpack

    from logspool._options import FileOptions, RotatingOptions

_HASHED = re.compile("-[0-9a-f]{12}$")

__all__ = ["DebugFile", "SessionHandler", "debug_file"]


#: One process can have 64 logs open in a directory, and those of others may stand there.
_MOST = 48


def _few(value: object) -> int:
    count = _values.count_above_zero(value)
    if count > _MOST:
        raise ValueError(f"expected a whole number from 1 to {_MOST}")
    return count


class SessionHandler(logging.Handler):
    """A handler that writes each record to the file of its session, `session_<key>.jsonl` in `directory`.

    The session is the record's `session_key` (another name with `key`): what the call passes in `extra`, else what is bound in the
    context. Records without one are not written here. At most `open_logs` files (1 to 48) are open; the one not used for longest is let
    go, and opened again with its next record. `options` are SpoolHandler's, those of rotation included, but for `delay`: each file is
    opened with its first record. A key that is no file name is made one, with a hash behind it.

    A record does no file I/O unless it opens its session's file. What was accepted survives SIGKILL. Raises TypeError or ValueError for a
    setting that is not allowed; a file that cannot be opened is reported by `handleError`, as logging does.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        key: str = "session_key",
        open_logs: int | str = 32,
        level: int | str = logging.NOTSET,
        **options: Unpack[RotatingOptions],
    ) -> None:
        _settings.reject_unknown(type(self).__name__, options, _settings.HANDLER_NAMES)
        # Checked now, not with the first session.
        _settings.handler_settings(options, lambda message: None)
        self._open_logs: int = _settings.parse("open_logs", _few, open_logs)
        self._directory = os.path.abspath(_settings.parse("directory", _paths.filename, directory))
        self._key, self._options = key, options
        self._open: OrderedDict[str, SpoolHandler] = OrderedDict()
        super().__init__(_settings.parse("level", _values.level, level))

    def path(self, session: str) -> str:
        """The file of a session."""
        stem = _paths.file_stem(session)
        # A key that looks like another one's name with its hash gets one, too: no session writes to another's file.
        if stem != session or _HASHED.search(session):
            stem = f"{stem}-{hashlib.sha256(session.encode('utf-8', 'replace')).hexdigest()[:12]}"
        return os.path.join(self._directory, f"session_{stem}.jsonl")

    @property
    def open_logs(self) -> list[str]:
        """The files that are open, the one not used for longest first."""
        with self._held():
            return [handler.baseFilename for handler in self._open.values()]

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record to its session's file."""
        try:
            session = record.__dict__.get(self._key)
            if session is None:
                session = context.current().get(self._key)
            if session is not None:
                self._of(str(session)).handle(record)
        except Exception:
            self.handleError(record)

    def _of(self, session: str) -> SpoolHandler:
        handler = self._open.get(session)
        if handler is None:
            handler = SpoolHandler(self.path(session), **self._options)
            # Letting a file go does not wait for the disk: the spool keeps what is not written yet.
            handler.flushOnClose = False
            self._open[session] = handler
            if self.formatter is not None:
                handler.setFormatter(self.formatter)
            while len(self._open) > self._open_logs:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(session)
        return handler

    def _held(self) -> _Held:
        return _Held(self)

    def flush(self) -> None:
        """Wait until every record so far is in its file."""
        with self._held():
            handlers = list(self._open.values())
        for handler in handlers:
            handler.flush()

    def close(self) -> None:
        """Flush and let all files go. A later record opens its file again."""
        with self._held():
            handlers = list(self._open.values())
            self._open.clear()
        for handler in handlers:
            handler.flushOnClose = True
            handler.close()
        super().close()


class _Held:
    """The handler's own lock, which logging makes new in a forked child."""

    def __init__(self, handler: logging.Handler) -> None:
        self._handler = handler

    def __enter__(self) -> None:
        self._handler.acquire()

    def __exit__(self, *_: object) -> None:
        self._handler.release()


_active: dict[logging.Logger, DebugFile] = {}


class DebugFile:
    """One component's debug file, until it is closed; see `debug_file`."""

    def __init__(self, prefix: str, handler: SpoolHandler, level: int) -> None:
        self.handler = handler
        """The handler that writes it."""
        self._logger = logging.getLogger(prefix)
        self._before, self._propagated = self._logger.level, self._logger.propagate
        self._forward = _Forward(self._logger)
        _active[self._logger] = self
        self._logger.addHandler(handler)
        self._logger.addHandler(self._forward)
        self._logger.propagate = False
        self._logger.setLevel(min(level, self._logger.getEffectiveLevel()))

    def close(self) -> None:
        """Close the file; the component logs as before. Calling it again does nothing."""
        if _active.get(self._logger) is not self:
            return
        del _active[self._logger]
        self._logger.removeHandler(self._forward)
        self._logger.removeHandler(self.handler)
        self._logger.propagate = self._propagated
        self._logger.setLevel(self._before)
        self.handler.close()

    def __enter__(self) -> DebugFile:
        """The debug file itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


class _Forward(logging.Handler):
    """Hands on, to the handlers above, what the component would have logged without its debug file."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger = logger

    def handle(self, record: logging.LogRecord) -> bool:
        above = self._logger.parent
        debug = _active.get(self._logger)
        if above is not None and debug is not None and debug._propagated and record.levelno >= self._threshold(record):
            above.callHandlers(record)
        return True

    def _threshold(self, record: logging.LogRecord) -> int:
        logger: logging.Logger | None = logging.getLogger(record.name)
        within = True
        while logger is not None:
            debug = _active.get(logger) if within else None
            level = logger.level if debug is None else debug._before
            if level:
                return level
            within = within and logger is not self._logger
            logger = logger.parent
        return logging.NOTSET


def debug_file(
    prefix: str,
    path: str | os.PathLike[str],
    *,
    level: int | str = logging.DEBUG,
    **options: Unpack[FileOptions],
) -> DebugFile:
    """Write everything that the loggers `prefix` and below log, from `level` on, to a file of its own.

        debug = logspool.sessions.debug_file("app.patcher", "logs/patcher-debug.jsonl")

    The other logs hold what they held before: records that the component logs only for this file do not go on to them. A logger below
    `prefix` that has a level of its own keeps it. `close()`, or leaving it as a context manager, puts everything back.

    Raises ValueError for the root logger and for a component that has a debug file, TypeError or ValueError for a setting that is not
    allowed, OSError if the file cannot be opened.
    """
    if prefix in ("", "root"):
        raise ValueError(f"prefix={prefix!r}: expected the name of a logger, such as app.patcher")
    there = _active.get(logging.getLogger(prefix))
    if there is not None:
        raise ValueError(f"prefix={prefix!r}: it has a debug file, {there.handler.baseFilename}; close that first")
    number = _settings.parse("level", _values.level, level)
    return DebugFile(prefix, SpoolHandler(path, level=number, **options), number)
