"""`basicConfig`: settings in, one SpoolHandler on the root logger out. The state it changes is `_config.state`."""

from __future__ import annotations

import logging
import os
import sys

from logspool import _config, _paths, _settings, _values, cost, logger
from logspool._settings import UNSET
from logspool.handler import TEXT_FORMAT, SpoolHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, overload

    from typing_extensions import Unpack

    from logspool._options import ConfigOptions

_NOT_OF_A_HANDLER = ("mode",)  # filemode, here
_NAMES = (
    *("filename", "filemode", "format", "datefmt", "style", "level", "stream", "handlers", "force"),
    *("console", "console_level", "cost_filename", "fast"),
    *(name for name in _settings.HANDLER_NAMES if name not in _NOT_OF_A_HANDLER),
)

if TYPE_CHECKING:

    @overload
    def basicConfig(*, force: Literal[False], **arguments: Unpack[ConfigOptions]) -> SpoolHandler | None: ...

    @overload
    def basicConfig(*, force: Literal[True] = ..., **arguments: Unpack[ConfigOptions]) -> SpoolHandler: ...


def basicConfig(**arguments: Any) -> SpoolHandler | None:
    """Configure the root logger: every record becomes a line in a crash-safe, rotating log. Returns the handler.

    Takes the place of `logging.basicConfig`, and all of its keywords. A setting that is not given comes from the environment
    (LOGSPOOL_<NAME>, then LOG_<NAME>), then from the default.

    filename       the log's path, relative to the current directory. Default: LOG_PATH, else `<service>.jsonl` in LOG_DIR,
                   else in `./logs`; where that cannot be written, in `$XDG_STATE_HOME/logspool/<service>`
    level          of the root logger (LOG_LEVEL, INFO), a name or a number; None leaves it as it is
    service        in every record; SERVICE_NAME or OTEL_SERVICE_NAME, else the program's name
    environment, version, static   in every record (ENVIRONMENT, APP_VERSION, a mapping)
    json           False (LOG_JSON, JSON_LOGS): the file holds text lines
    format, datefmt, style   shape the console and text files, never the JSON
    console        mirror to standard error: auto (LOG_CONSOLE; on when it is a terminal), True, False
    console_level  least level that is mirrored (LOG_CONSOLE_LEVEL, WARNING)
    cost_filename  the log of `log_cost`, without a directory: beside this one (openrouter-costs.jsonl). None: costs go
                   into this log
    maxBytes, backupCount, when, interval, utc, gzip, when_full, block_timeout, spool_bytes, spool_dir, queue_max, fsync,
    src, file_mode, dir_mode, max_field, max_record, truncate, sample, collapse   as SpoolHandler has them
    filemode, encoding, errors   checked: only `a` and `utf-8`; a log is never truncated
    stream         `sys.stderr` is console=True. Standard output is refused, and nothing ever writes to it
    handlers       handlers to attach besides, given the formatter if they have none. Of an exact StreamHandler the mirror to
                   standard error takes the place; of an exact FileHandler a SpoolHandler with its path, level and filters
                   (the first one's is the root log's, where no filename is given)
    force          not given: root handlers that are exactly StreamHandler or FileHandler, and the handler of an earlier
                   basicConfig, are replaced, also when an imported module configured logging first; all others stay.
                   True: all are removed and closed. False: nothing is done where the root logger has handlers
    fast           True: loggers get the class `logspool.Logger`, whose calls take a native way wherever the outcome is the same
                   (see `logspool.install`). False: loggers are left as they are
    redact         what must not reach the disk: True; False, "hint", "pii", "hint,pii" or a mapping: see docs/redaction.md

    What was replaced is told by an INFO record of the logger `logspool`, and in the handler's `replaced`.

    With `force=False` on a configured root logger returns the SpoolHandler found there, or None. Raises TypeError for an
    unknown or ill-typed setting, ValueError for a value that is not allowed, OSError where an explicit path cannot be opened.
    Nothing is changed when it raises.
    """
    _settings.reject_unknown("basicConfig", arguments, _NAMES)
    given = {name: value for name, value in arguments.items() if value is not UNSET}
    force = _settings.parse("force", _values.boolean, given["force"]) if "force" in given else None
    root = logging.getLogger()
    with _config.state.lock:
        if force is False and root.handlers:
            return next((handler for handler in root.handlers if isinstance(handler, SpoolHandler)), None)
        plan = _Plan(given)
        handlers = plan.open()
        handler = handlers[0]
        replaced = _swap(root, handlers, plan.attach, force=force is True)
        if plan.fast:
            logger.install()
        if plan.level is not None:
            root.setLevel(plan.level)
        if plan.cost_filename is None:
            cost.configure(None, handler)
        else:
            directory = os.path.dirname(handler.baseFilename)
            cost.configure(cost.settings_beside(plan.settings, directory, plan.cost_filename), None)
    handler.replaced = (*plan.replaced, *replaced)
    if handler.replaced:
        told = list(handler.replaced)
        logging.getLogger("logspool").info("replaced %s", ", ".join(told), extra={"replaced": told})
    return handler


class _Plan:
    """Checked arguments of basicConfig. Making one changes nothing; `open()` opens the logs."""

    def __init__(self, given: dict[str, Any]) -> None:
        def parsed(name: str, parser: Any, default: Any) -> Any:
            return _settings.parse(name, parser, given[name]) if name in given else default

        parsed("filemode", _values.filemode, "a")
        self.fast: bool = parsed("fast", _values.boolean, True)
        parsed("stream", _standard_error, None)
        self.cost_filename: str | None = parsed("cost_filename", _optional_filename, cost.COST_FILENAME)
        self.formatter = _formatter(given)
        self.settings = _settings.handler_settings(given, _config.say_once)
        self.level: int | None = None
        if given.get("level", UNSET) is not None:
            self.level = _settings.config_value("level", given.get("level", UNSET), _config.say_once)
        self.attach: list[logging.Handler] = []
        self.files: list[logging.FileHandler] = []
        self.streams: list[logging.Handler] = []
        self._sort(parsed("handlers", _handlers, []))
        self.replaced = [repr(handler) for handler in (*self.files, *self.streams)]
        self.settings["console_level"] = self._console_level(given)
        self.settings["console_format"] = self.formatter
        self.filename: str | None = parsed("filename", _optional_filename, None)

    def _sort(self, handlers: list[logging.Handler]) -> None:
        for handler in handlers:
            if type(handler) is logging.FileHandler:
                self.files.append(handler)
            elif type(handler) is logging.StreamHandler:
                self.streams.append(handler)
            else:
                self.attach.append(handler)

    def _console_level(self, given: dict[str, Any]) -> int | None:
        """The mirror's level, or None: no mirror."""
        asked = given.get("console", UNSET)
        if asked is UNSET and (self.streams or given.get("stream") is not None):
            asked = True
        on: bool | None = _settings.config_value("console", asked, _config.say_once)
        level = given.get("console_level", UNSET)
        if level is UNSET:
            levels = [handler.level for handler in self.streams]
            level = min(levels) if levels and all(levels) else UNSET  # one without a level: the mirror's own
        number: int = _settings.config_value("console_level", level, _config.say_once)
        return number if (_is_terminal() if on is None else on) else None

    def open(self) -> list[SpoolHandler]:
        """The root log's handler, then those in place of further FileHandlers of `handlers=`. Raises OSError, ValueError."""
        for file in self.files:
            file.close()
        opened: list[SpoolHandler] = []
        try:
            if self.filename is None and not self.files:
                stem = _paths.file_stem(self.settings["service"] or _paths.app_name())
                found = _paths.candidates(stem, _config.say_once)
                opened.append(_paths.open_first(found, self._spool_handler, _config.say_once))
            elif self.filename is not None:
                opened.append(self._spool_handler(self.filename))
            for file in self.files:
                if all(file.baseFilename != handler.baseFilename for handler in opened):
                    opened.append(self._spool_handler(file.baseFilename))
                    opened[-1].setLevel(file.level)
                    opened[-1].filters.extend(file.filters)
                    # One mirror is enough.
                    self.settings["console_level"] = None
        except BaseException:
            for handler in opened:
                handler.close()
            raise
        for attached in self.attach:
            if attached.formatter is None and not (isinstance(attached, SpoolHandler) and attached.writes_json):
                attached.setFormatter(self.formatter or logging.Formatter(logging.BASIC_FORMAT))
        return opened

    def _spool_handler(self, path: str) -> SpoolHandler:
        handler = SpoolHandler._from_settings({**self.settings, "filename": path})
        if self.formatter is not None and not handler.writes_json:
            handler.setFormatter(self.formatter)
        return handler


def _swap(root: logging.Logger, new: list[SpoolHandler], attach: list[logging.Handler], *, force: bool) -> list[str]:
    """Put the new handlers on the root logger in place of those they replace; tells which of others' were replaced."""
    state = _config.state
    earlier, state.handlers = state.handlers, new
    paths = {handler.baseFilename for handler in new}

    def ours(handler: logging.Handler) -> bool:
        return handler in earlier or (isinstance(handler, SpoolHandler) and handler.baseFilename in paths)

    # One list in place of the other, so that a record logged meanwhile goes to the old handlers or to the new ones, not to
    # both. The lock is the one that addHandler takes.
    with logging._lock:  # type: ignore[attr-defined]
        gone = [
            handler
            for handler in root.handlers
            if handler not in attach
            and (force or ours(handler) or type(handler) in (logging.StreamHandler, logging.FileHandler))
        ]
        kept = [handler for handler in root.handlers if handler not in gone and handler not in attach]
        root.handlers = [*kept, *new, *attach]
    for handler in gone:
        try:
            handler.close()
        except (OSError, ValueError):  # as logging.shutdown has it: nothing more can be done for that one
            pass
    return [repr(handler) for handler in gone if not ours(handler)]


# -- arguments that only basicConfig takes -------------------------------------------------------------------------------


def _optional_filename(value: Any) -> str | None:
    return None if value is None else _paths.filename(value)


def _is_terminal() -> bool:
    try:
        return os.isatty(2)
    except OSError:
        return False


def _is_descriptor(stream: Any, number: int) -> bool:
    try:
        return bool(stream.fileno() == number)
    except (AttributeError, OSError, ValueError):  # not a file: io.UnsupportedOperation is an OSError
        return False


def _standard_error(stream: Any) -> Any:
    if stream is None or stream in (sys.stderr, sys.__stderr__) or _is_descriptor(stream, 2):
        return stream
    if stream in (sys.stdout, sys.__stdout__) or _is_descriptor(stream, 1):
        raise ValueError(
            "standard output is never written, it belongs to the program (an MCP server speaks its protocol there); "
            "expected sys.stderr, or console=True"
        )
    raise ValueError(
        "expected sys.stderr: logs go to a file; for another stream, after basicConfig, add a handler: "
        "logging.getLogger().addHandler(logging.StreamHandler(stream))"
    )


def _formatter(given: dict[str, Any]) -> logging.Formatter | None:
    """The Formatter of `format`, `datefmt` and `style`, or None where none of them is given."""
    style, datefmt, text = given.get("style", "%"), given.get("datefmt"), given.get("format")
    if style not in ("%", "{", "$"):
        raise ValueError(f"style={style!r}: expected %, {{ or $")
    if datefmt is not None and not isinstance(datefmt, str):
        raise TypeError(f"datefmt={datefmt!r}: expected a format of time.strftime, or None")
    if text is None:
        return None if datefmt is None else logging.Formatter(TEXT_FORMAT.replace(".%(msecs)03d", ""), datefmt)
    if not isinstance(text, str):
        raise TypeError(f"format={text!r}: expected a format of logging.Formatter")
    try:
        return logging.Formatter(text, datefmt, style)
    except ValueError as error:
        raise ValueError(f"format={text!r}: {error} (style={style!r})") from None


def _handlers(value: Any) -> list[logging.Handler]:
    if value is None:
        return []
    try:
        handlers = list(value)
    except TypeError:
        handlers = [None]
    if not all(isinstance(handler, logging.Handler) for handler in handlers):
        raise TypeError("expected a list of logging.Handler")
    return handlers
