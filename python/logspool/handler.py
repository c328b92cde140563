"""SpoolHandler: the `logging.Handler` in front of the native log."""

from __future__ import annotations

import logging

from logspool import _config, _core, _paths, _settings, _values
from logspool._settings import UNSET

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Any

    from typing_extensions import Unpack

    from logspool._options import SpoolOptions

# Methods that take part in handling a record. Where one of them is replaced, by a subclass or on the instance, records take
# `logging.Handler.handle`, which calls them all; otherwise the native `handle` does their work without Python calls.
_HANDLING = ("handle", "filter", "acquire", "release", "createLock", "format", "emit")
# What logging.basicConfig gives to every handler without a formatter. It says nothing that a JSON record does not already
# say, and would only repeat level and logger in the message.
_STDLIB_DEFAULTS = (logging.BASIC_FORMAT, "{levelname}:{name}:{message}", "${levelname}:${name}:${message}")
TEXT_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s"
TEXT_DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
_PARAMETERS = ("filename", "maxBytes", "backupCount", "when", "interval", "utc", "level", "delay")


class SpoolHandler(_core.NativeHandler, logging.Handler):
    """A handler that commits each record to a crash-safe spool and returns; native threads write the segments.

    The logging call does no file I/O. A record that was accepted survives SIGKILL, exactly once and in order. Use it wherever
    a `FileHandler`, `RotatingFileHandler` or `TimedRotatingFileHandler` stood, in code, `dictConfig` or `fileConfig`; every
    setting may be given as text::

        logging.getLogger("audit").addHandler(logspool.SpoolHandler("logs/audit.jsonl", maxBytes="10MB", backupCount=5))

    Settings that are not given come from the environment (LOGSPOOL_<NAME>, then LOG_<NAME>), then from the default:

    filename         the log's plain path, a hard link to the newest segment; relative to the current directory
    maxBytes         bytes a segment (10 MiB); 0 never rotates by size
    backupCount      closed segments kept (5); 0 keeps all
    when             rotate by time: S, M, H, D, midnight, W0 to W6 as TimedRotatingFileHandler (None: not by time)
    interval         every so many of `when` (1)
    utc              `when` is counted in UTC (True), else in local time
    level            the handler's level (NOTSET)
    gzip             compress closed segments (True)
    json             False: the file holds text lines made by the formatter
    when_full        a full spool: block, drop_newest or drop_oldest
    block_timeout    seconds a call waits at most for room, once per stall (0.1); None for ever
    spool_bytes      size of the process' spool (8 MiB)
    spool_dir        None: beside the logs; shm: in memory; else a directory
    queue_max        records in flight, beside spool_bytes (None: no limit)
    fsync            none, interval or record
    file_mode, dir_mode   permission bits of what is created (0o600, 0o700); text is octal
    service, environment, version, static   in every record; service is the program's name by default, static a mapping
    src              file, line and function in every record (True)
    max_field, max_record   longest value in characters (16 KiB), longest record in bytes (256 KiB)
    truncate         limits of single keys in characters: {"response": 500} adds to those of summaries, False: none
    delay            True opens the log with the first record
    mode, encoding, errors  as FileHandler's, checked: only `a` and `utf-8`; a log is never truncated
    redact           what must not reach the disk: True; False, "hint", "pii", "hint,pii" or a mapping: see docs/redaction.md
    sample           keep 1 in N of the HTTP clients' DEBUG records, or {"logger": N or "N/s", "http": …}; WARNING and above stay
    collapse         seconds within which identical records become one with a count (None: each is written)

    A formatter's text becomes the record's message (`json=False`: the line). The formatter that the standard
    `logging.basicConfig` gives to every handler by default is not set on a JSON log.

    After `close()` a later record opens the log again, as with FileHandler. Copying or unpickling a handler opens the same
    log. Raises TypeError or ValueError for a setting that is not allowed, OSError if the log cannot be opened; handling a
    record never raises.
    """

    #: False: `logging.shutdown()` and `close()` do not wait until the segments hold everything; the spool does.
    flushOnClose = True
    mode = "a"
    encoding = "utf-8"
    #: What basicConfig replaced with this handler, one text each.
    replaced: tuple[str, ...] = ()

    def __init__(
        self,
        filename: str | os.PathLike[str],
        maxBytes: int | str = UNSET,
        backupCount: int | str = UNSET,
        when: str | None = UNSET,
        interval: int | str = UNSET,
        utc: bool | str = UNSET,
        *,
        level: int | str = logging.NOTSET,
        **options: Unpack[SpoolOptions],
    ) -> None:
        given: dict[str, Any] = dict(options)
        delay = given.pop("delay", False)
        _settings.reject_unknown(type(self).__name__, given, (*_PARAMETERS, *_settings.HANDLER_NAMES))
        given.update(maxBytes=maxBytes, backupCount=backupCount, when=when, interval=interval, utc=utc)
        settings = _settings.handler_settings(given, _config.say_once)
        settings["filename"] = _settings.parse("filename", _paths.filename, filename)
        self._start(
            settings,
            _settings.parse("level", _values.level, level),
            delay=_settings.parse("delay", _values.boolean, delay),
        )

    def _start(self, settings: dict[str, Any], level: int, *, delay: bool = False) -> None:
        """Open the log (unless delayed), then become a handler: a log that cannot be opened leaves nothing behind."""
        self._settings = settings
        self._opened = False
        if not delay:
            self._open(settings)
            self._opened = True
        logging.Handler.__init__(self, level)
        if not settings["json"]:
            self.formatter = logging.Formatter(TEXT_FORMAT, TEXT_DATE_FORMAT)
        if delay:
            # In the instance, so that the open handler does not pay for the question.
            self.__dict__["handle"] = self._open_and_handle
            self.__dict__["emit"] = self._open_and_emit
        self._choose_path()

    @classmethod
    def _from_settings(cls, settings: dict[str, Any]) -> SpoolHandler:
        """A handler from finished settings, `filename` included."""
        handler = cls.__new__(cls)
        handler._start(settings, logging.NOTSET)
        return handler

    def _choose_path(self) -> None:
        """Tell the native half which of the handling methods it has to call."""

        def replaced(name: str) -> bool:
            ours = getattr(SpoolHandler, name)
            # Not by a look into __dict__: that would make one, and CPython finds attributes faster in objects without.
            return getattr(type(self), name) is not ours or bool(getattr(self, name) != ours.__get__(self))

        self._set_plain(not any(map(replaced, _HANDLING)), replaced("format"))

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _HANDLING:  # a test's mock, say
            self._choose_path()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name in _HANDLING:
            self._choose_path()

    # -- delay=True ----------------------------------------------------------------------------------------------------

    def _open_delayed(self, record: logging.LogRecord) -> bool:
        with _config.state.lock:
            if not self._opened:
                try:
                    self._open(self._settings)
                except Exception:
                    self.handleError(record)
                    return False
                self._opened = True
                self.__dict__.pop("handle", None)
                self.__dict__.pop("emit", None)
                self._choose_path()
        return True

    def _open_and_handle(self, record: logging.LogRecord) -> bool:
        return self._open_delayed(record) and self.handle(record)

    def _open_and_emit(self, record: logging.LogRecord) -> None:
        if self._open_delayed(record):
            self.emit(record)

    # -- logging.Handler -----------------------------------------------------------------------------------------------

    def setFormatter(self, fmt: logging.Formatter | None) -> None:
        """Set the formatter whose text becomes the message (`json=False`: the line); None for none.

        The standard library's default formatter is not set on a JSON log: see the class.
        """
        if fmt is None and not self._settings["json"]:
            fmt = logging.Formatter(TEXT_FORMAT, TEXT_DATE_FORMAT)
        elif (
            type(fmt) is logging.Formatter
            and self._settings["json"]
            and fmt.datefmt is None
            and fmt._fmt in _STDLIB_DEFAULTS
        ):
            fmt = None
        self.formatter = fmt

    def flush(self) -> None:
        """Wait until every record accepted before the call is in the segments. Ctrl-C works; a stuck disk is waited for.

        `logspool.flush(timeout)` flushes all logs and can give up.
        """
        if self._opened:
            self._flush(_config.flush_timeout())

    def close(self) -> None:
        """Flush, release the log and leave logging's list of handlers. A later record opens the log again.

        With the last log of a directory its spool and files are let go, with the last of all the threads.
        """
        try:
            if self._opened and self.flushOnClose:
                self._flush(_config.close_timeout(), True)
        finally:
            if self._opened and not _config.state.exiting:
                self._close()
            logging.Handler.close(self)

    @property
    def baseFilename(self) -> str:
        """Absolute path of the plain name, as FileHandler's."""
        import os

        return self._path() if self._opened else os.path.abspath(self._settings["filename"])

    @property
    def writes_json(self) -> bool:
        """Whether the log holds JSON; otherwise it holds text lines."""
        return bool(self._settings["json"])

    @property
    def maxBytes(self) -> int:
        """Bytes a segment, 0 for no limit."""
        return int(self._settings["max_bytes"])

    @property
    def backupCount(self) -> int:
        """Closed segments kept, 0 for all."""
        return int(self._settings["backup_count"])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.baseFilename} ({logging.getLevelName(self.level)})>"

    # -- copy and pickle: the same log, opened again ---------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        state = {key: value for key, value in self.__dict__.items() if key not in ("lock", "_name", "handle", "emit")}
        # Absolute: the other process may stand elsewhere.
        state["_settings"] = {
            **self._settings,
            "filename": self.baseFilename,
            "console_level": None,
            "console_format": None,
        }
        state["filters"], state["formatter"], state["level"] = list(self.filters), self.formatter, self.level
        return _rebuild, (type(self),), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        settings, opened = state.pop("_settings"), state.pop("_opened")
        self._start(settings, state.pop("level"), delay=not opened)
        self.__dict__.update({key: value for key, value in state.items() if key not in ("filters", "formatter")})
        self.filters, self.formatter = state["filters"], state["formatter"]


def _rebuild(cls: type[SpoolHandler]) -> SpoolHandler:
    return cls.__new__(cls)
