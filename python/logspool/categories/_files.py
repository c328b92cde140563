"""The six files, and `setup_logging`, which opens them."""

from __future__ import annotations

import logging
import os

from logspool import _config, _core, _settings, _values
from logspool.categories._line import ConsoleFormatter, LineFormatter
from logspool.handler import TEXT_DATE_FORMAT, TEXT_FORMAT, SpoolHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Unpack

    from logspool._options import HandlerOptions

#: The file of each category.
FILES = {
    "user": "user_interactions.log",
    "system": "system_health.log",
    "tool": "tool_executions.log",
    "llm": "llm_calls.log",
    "security": "security.log",
    "performance": "performance.log",
}
DEFAULT_DIRECTORY = "~/.llm_os/logs"
#: Bytes a segment.
MAX_LOG_SIZE = 10 * 1024 * 1024
#: Closed segments kept of each file.
BACKUP_COUNT = 5
# The line is made twice, and once more for characters that are escaped: it must fit into the spool of a forked child, too.
_LONGEST_RECORD = 64 * 1024
#: What would write lines of its own, and these are no JSON in a log of text lines; or has no meaning here.
_FIXED = ("json", "sample", "collapse")

_open: list[SpoolHandler] = []
_tried = False


def setup_logging(
    log_dir: str | os.PathLike[str] | None = None,
    level: int | str = logging.INFO,
    *,
    console: bool = True,
    maxBytes: int | str = MAX_LOG_SIZE,
    backupCount: int | str = BACKUP_COUNT,
    **options: Unpack[HandlerOptions],
) -> None:
    """Open the six files in `log_dir` (`~/.llm_os/logs`), in place of those of an earlier call.

    `level` is the threshold of the six loggers; `console` shows WARNING and above on standard error, as text. The files
    rotate at `maxBytes` (10 MiB), `backupCount` (5) closed segments are kept, gzipped; mode 0600 in a directory of 0700.
    `options` are SpoolHandler's, without `json`, `sample` and `collapse`.

    Their records do not go on to the root logger's handlers. Raises TypeError or ValueError for a setting that is not
    allowed, OSError if a file cannot be opened; what was open before stays open then.
    """
    global _tried
    given: dict[str, Any] = dict(options)
    for name in _FIXED:
        if name in given:
            raise TypeError(f"setup_logging: {name}: not an option of the category logs")
    _settings.reject_unknown("setup_logging", given, _settings.HANDLER_NAMES)
    given.update(maxBytes=maxBytes, backupCount=backupCount)
    settings = _settings.handler_settings(given, _config.say_once)
    settings["max_record"] = min(settings["max_record"], _LONGEST_RECORD)
    threshold = _settings.parse("level", _values.level, level)
    directory = os.path.abspath(os.path.expanduser(os.fspath(DEFAULT_DIRECTORY if log_dir is None else log_dir)))
    # The rules are made here, once: a user's own cost milliseconds, and a line is made with each record.
    encoder = _core.LineEncoder(settings)
    shown = ConsoleFormatter(TEXT_FORMAT, TEXT_DATE_FORMAT, _core.TextRedactor(settings["redact"])) if console else None
    made: dict[str, SpoolHandler] = {}
    try:
        for category, filename in FILES.items():
            path = os.path.join(directory, filename)
            made[category] = _opened(path, settings, LineFormatter(category, encoder), shown)
    except BaseException:
        for handler in made.values():
            handler.close()
        raise
    with _config.state.lock:
        _tried = True
        gone = list(_open)
        _open[:] = made.values()
        for category, handler in made.items():
            logger = logging.getLogger(f"llm_os.{category}")
            logger.setLevel(threshold)
            logger.propagate = False
            for old in gone:
                logger.removeHandler(old)
            logger.addHandler(handler)
    for old in gone:
        old.close()


def _opened(path: str, settings: dict[str, Any], line: LineFormatter, shown: ConsoleFormatter | None) -> SpoolHandler:
    # The line is finished when it comes to the log: redacting or cutting it again as text could only break its JSON.
    text = {
        **settings,
        "filename": path,
        "json": False,
        "redact": False,
        "truncate": {},
        "sample": {},
        "collapse": None,
    }
    if shown is not None:
        text["console_level"] = logging.WARNING
        text["console_format"] = shown
    handler = SpoolHandler._from_settings(text)
    handler.setFormatter(line)
    return handler


def ensure() -> None:
    """Open the files where nobody has: with the first record. What goes wrong is said once, on standard error."""
    global _tried
    if _tried:
        return
    with _config.state.lock:
        try:
            if not _tried:
                _tried = True
                setup_logging()
        except (OSError, TypeError, ValueError) as error:
            _config.say_once(f"category logs: {error}; their records go to the root logger's handlers")


def close() -> None:
    """Close the files; the next record opens those of the default directory."""
    global _tried
    with _config.state.lock:
        gone, _tried = list(_open), False
        _open.clear()
        for category in FILES:
            logger = logging.getLogger(f"llm_os.{category}")
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
            for handler in gone:
                logger.removeHandler(handler)
    for handler in gone:
        handler.close()


def say(trouble: Exception) -> None:
    """Say once that a record could not be made: the program's call goes on."""
    _config.say_once(f"category logs: a record was not written: {type(trouble).__name__}: {trouble}")
