"""What each setting accepts, and where its value comes from: argument > LOGSPOOL_<NAME> > LOG_<NAME> … > default.

Arguments and `LOGSPOOL_*` variables are meant for us: an unusable value raises. A `LOG_*` variable may be meant for another
program: an unusable value is passed over, and the caller is told through `warn`. No state is kept here.
"""

from __future__ import annotations

import codecs
import logging
import os
import re

from logspool import _paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any


class _Unset:
    """The type of `UNSET`: "not given", which is not the same as None."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "..."

    def __reduce__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()

# Patterns are compiled where they are first needed (re keeps them), so that an import does not pay for them.
_SIZE = r"(?i)(\d[\d_]*(?:\.\d+)?)\s*([kmgt]?)i?b?"
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_TRUE = frozenset(("1", "true", "yes", "on", "y", "t"))
_FALSE = frozenset(("0", "false", "no", "off", "n", "f"))
_LEVEL_ALIASES = {"WARN": "WARNING", "TRACE": "DEBUG", "FATAL": "CRITICAL"}
_LEVELS = "DEBUG, INFO, WARNING, ERROR, CRITICAL, NOTSET, a registered level's name or a number"


# -- one parser a kind: returns the value, or raises ValueError / TypeError that says what is allowed -------------------


def level(value: Any) -> int:
    """A level's number from a number or a name; case and the aliases warn, trace and fatal are folded."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"expected {_LEVELS}")
        return value
    if not isinstance(value, str):
        raise TypeError(f"expected {_LEVELS}")
    name = value.strip()
    if name.isascii() and name.isdigit():
        return int(name)
    # An exact, then an upper-cased registered name goes before an alias: a program may have its own TRACE.
    for candidate in (name, name.upper(), _LEVEL_ALIASES.get(name.upper(), "")):
        number = logging.getLevelName(candidate)
        if isinstance(number, int):
            return number
    raise ValueError(f"expected {_LEVELS}")


def boolean(value: Any) -> bool:
    """True or False, also as 0/1 or text (true/false, yes/no, on/off)."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, (str, int)) else None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    kind = TypeError if text is None else ValueError
    raise kind("expected true or false (also 1/0, yes/no, on/off)")


def size(value: Any) -> int:
    """Bytes, or characters: an int, or text such as `10_485_760`, `10MB`, `1.5 GB` (1 KB = 1024)."""
    allowed = "expected a size: a number of 0 or more, or text such as 10_485_760, 512KB, 10MB, 1GB (1 KB = 1024)"
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(allowed)
        return value
    if not isinstance(value, str):
        raise TypeError(allowed)
    found = re.fullmatch(_SIZE, value.strip())
    if found is None:
        raise ValueError(allowed)
    number, unit = found[1].replace("_", ""), 1024 ** _UNITS[found[2].upper()]
    return int(float(number) * unit) if "." in number else int(number) * unit


def size_above_zero(value: Any) -> int:
    """As `size`, without 0."""
    number = size(value)
    if number == 0:
        raise ValueError("expected a size above 0, such as 8388608 or 8MB")
    return number


def _whole(value: Any, least: int, allowed: str) -> int:
    if isinstance(value, str):
        text = value.strip().replace("_", "")
        if not (text.isascii() and text.isdigit()):
            raise ValueError(allowed)
        value = int(text)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(allowed)
    if value < least:
        raise ValueError(allowed)
    return value


def count(value: Any) -> int:
    """A whole number of 0 or more."""
    return _whole(value, 0, "expected a whole number of 0 or more")


def count_above_zero(value: Any) -> int:
    """A whole number of 1 or more."""
    return _whole(value, 1, "expected a whole number of 1 or more")


def _is_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() == "none")


def optional_count(value: Any) -> int | None:
    """A whole number of 1 or more, or None for no limit."""
    return None if _is_none(value) else _whole(value, 1, "expected a whole number of 1 or more, or none for no limit")


def seconds(value: Any) -> float | None:
    """Seconds of 0 or more, or None for ever."""
    allowed = "expected seconds, 0 or more, or none to wait for ever"
    if _is_none(value):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(allowed)
    try:
        number = float(value)
    except ValueError:
        raise ValueError(allowed) from None
    if not 0 <= number < float("inf"):  # NaN fails both
        raise ValueError(allowed)
    return number


def when(value: Any) -> str | None:
    """When a segment is closed by time, spelled as `TimedRotatingFileHandler` does; None: never by time."""
    allowed = "expected S, M, H, D, midnight, W0 (Monday) to W6, or none"
    if _is_none(value):
        return None
    if not isinstance(value, str):
        raise TypeError(allowed)
    name = value.strip().upper()
    if name == "MIDNIGHT":
        return "midnight"
    if name in ("S", "M", "H", "D") or re.fullmatch("W[0-6]", name):
        return name
    raise ValueError(allowed)


def _choice(*names: str) -> Callable[[Any], str]:
    allowed = f"expected one of {', '.join(names)}"

    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(allowed)
        name = value.strip().lower().replace("-", "_")
        if name not in names:
            raise ValueError(f"{allowed}{did_you_mean(name, names)}")
        return name

    return parse


def console(value: Any) -> bool | None:
    """True, False (also None), or `auto`, which is returned as None: on when standard error is a terminal."""
    if value is None:
        return False
    if isinstance(value, str) and value.strip().lower() == "auto":
        return None
    try:
        return boolean(value)
    except (ValueError, TypeError) as error:
        raise type(error)("expected auto, true or false") from None


def mode(value: Any) -> int:
    """Permission bits: an int (0o600) or octal text (`600`, `0600`, `0o600`)."""
    allowed = "expected permission bits that let the owner write, such as 0o600 (text is read as octal: 600)"
    if isinstance(value, str):
        try:
            value = int(value.strip().removeprefix("0o"), 8)
        except ValueError:
            raise ValueError(allowed) from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(allowed)
    if not 0 <= value <= 0o777 or not value & 0o200:
        raise ValueError(allowed)
    return value


def optional_text(value: Any) -> str | None:
    """Text that is not empty, or None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError("expected text or None")
    if not value.strip():
        raise ValueError("expected text that is not empty, or None")
    return value


def spool_dir(value: Any) -> str | None:
    """A directory, `shm` (memory, under /dev/shm), or None: beside the logs."""
    if _is_none(value):
        return None
    allowed = "expected a directory, shm, or none (beside the logs)"
    text = _paths.as_path(value)
    if text is None:
        raise TypeError(allowed)
    if not text.strip():
        raise ValueError(allowed)
    return text


def mapping(value: Any) -> dict[str, Any]:
    """A mapping with text keys, copied."""
    if not (hasattr(value, "keys") and hasattr(value, "__getitem__")):
        raise TypeError("expected a mapping of names to values")
    copied = dict(value)
    if not all(isinstance(key, str) for key in copied):
        raise TypeError("expected a mapping whose names are text")
    return copied


def encoding(value: Any) -> str:
    """UTF-8 is the only encoding of a log."""
    if value is None:
        return "utf-8"
    try:
        if isinstance(value, str) and codecs.lookup(value).name == "utf-8":
            return "utf-8"
    except LookupError:
        pass
    raise (ValueError if isinstance(value, str) else TypeError)("expected utf-8, the only encoding a log is written in")


def errors(value: Any) -> str | None:
    """The name of a codec error handler; checked, and without effect: what UTF-8 cannot hold is escaped."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError("expected the name of a codec error handler, such as backslashreplace")
    try:
        codecs.lookup_error(value)
    except LookupError:
        raise ValueError("expected the name of a codec error handler, such as strict or backslashreplace") from None
    return value


def filemode(value: Any) -> str:
    """Only appending: a log that may be shared, and may hold what another process wrote, is never truncated."""
    if value in ("a", "at", "a+"):
        return "a"
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind("expected 'a': a log is never truncated (delete the old files, or choose another filename)")


# Shapes only: redaction, sampling by logger and truncation by key come later.


def redact(value: Any) -> Any:
    """A bool, names of keys, a mapping of rules, or a callable."""
    if value is None or callable(value) or hasattr(value, "keys"):
        return value
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(key, str) for key in value):
        return value
    try:
        return boolean(value)
    except (ValueError, TypeError):
        raise TypeError("expected true, false, names of keys, a mapping of rules or a callable") from None


def sample(value: Any) -> Any:
    """1 in N (N of 1 or more), or a mapping of logger names to N."""
    if value is None or callable(value):
        return value
    allowed = "expected a whole number N of 1 or more (keep 1 in N), or a mapping of logger names to N"
    if hasattr(value, "keys"):
        return {str(name): _whole(value[name], 1, allowed) for name in value}
    return _whole(value, 1, allowed)


def truncate(value: Any) -> Any:
    """A bool, a number of characters, or a mapping of keys to characters."""
    if value is None or isinstance(value, bool):
        return value
    if hasattr(value, "keys"):
        return {str(name): size(value[name]) for name in value}
    return size(value)


# -- the table: argument -> (key of the core, parser, default, variables besides LOGSPOOL_<NAME>) ------------------------

_NO_CORE = ""
_when_full = _choice("block", "drop_newest", "drop_oldest")
_fsync = _choice("none", "interval", "record")

_HANDLER: dict[str, tuple[str, Callable[[Any], Any], Any, tuple[str, ...]]] = {
    "maxBytes": ("max_bytes", size, 10_485_760, ("LOG_ROTATE_SIZE",)),
    "backupCount": ("backup_count", count, 5, ("LOG_BACKUPS",)),
    "when": ("when", when, None, ("LOG_ROTATE_WHEN",)),
    "interval": ("interval", count_above_zero, 1, ()),
    "utc": ("utc", boolean, True, ()),
    "gzip": ("gzip", boolean, True, ("LOG_GZIP",)),
    "json": ("json", boolean, True, ("LOG_JSON", "JSON_LOGS")),
    "when_full": ("when_full", _when_full, "block", ("LOG_WHEN_FULL",)),
    "block_timeout": ("block_timeout", seconds, 0.1, ("LOG_BLOCK_TIMEOUT",)),
    "spool_bytes": ("spool_bytes", size_above_zero, 8 * 1024 * 1024, ("LOG_SPOOL_BYTES",)),
    "spool_dir": ("spool_dir", spool_dir, None, ("LOG_SPOOL_DIR",)),
    "queue_max": ("queue_max", optional_count, None, ("LOG_QUEUE_MAX",)),
    "fsync": ("fsync", _fsync, "none", ("LOG_FSYNC",)),
    "file_mode": ("file_mode", mode, 0o600, ()),
    "dir_mode": ("dir_mode", mode, 0o700, ()),
    "service": ("service", optional_text, UNSET, ("LOG_SERVICE_NAME", "SERVICE_NAME", "OTEL_SERVICE_NAME")),
    "environment": ("environment", optional_text, None, ("LOG_ENVIRONMENT", "ENVIRONMENT")),
    "version": ("version", optional_text, None, ("LOG_APP_VERSION", "APP_VERSION")),
    "static": ("static", mapping, {}, ()),
    "src": ("src", boolean, True, ()),
    "max_field": ("max_field", size_above_zero, 16 * 1024, ("LOG_MAX_FIELD",)),
    "max_record": ("max_record", size_above_zero, 256 * 1024, ("LOG_MAX_RECORD",)),
    # Checked, and without effect until redaction, sampling and truncation by key are there.
    "redact": (_NO_CORE, redact, True, ("LOG_REDACT",)),
    "sample": (_NO_CORE, sample, 1, ("LOG_SAMPLE_HTTP",)),
    "truncate": (_NO_CORE, truncate, None, ()),
    # What FileHandler and RotatingFileHandler take besides.
    "mode": (_NO_CORE, filemode, "a", ()),
    "encoding": (_NO_CORE, encoding, "utf-8", ()),
    "errors": (_NO_CORE, errors, None, ()),
}
HANDLER_NAMES = tuple(_HANDLER)
_CONFIG = {
    "level": (level, logging.INFO, ("LOG_LEVEL",)),
    "console": (console, None, ("LOG_CONSOLE",)),
    "console_level": (level, logging.WARNING, ("LOG_CONSOLE_LEVEL",)),
}


def parse(origin: str, parser: Callable[[Any], Any], value: Any) -> Any:
    """`parser(value)`; what it raises is given the setting's name and the value. Raises ValueError or TypeError."""
    try:
        return parser(value)
    except (ValueError, TypeError) as error:
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        raise type(error)(f"{origin}={shown}: {error}") from None


def from_environment(names: tuple[str, ...], parser: Callable[[Any], Any], warn: Callable[[str], None]) -> Any:
    """The first usable value among LOGSPOOL_<NAME> and `names`, or UNSET. A variable that is set and empty counts as not set.

    Raises ValueError for an unusable LOGSPOOL_ variable; `warn(message)` is called for an unusable one of another name.
    """
    for strict, name in ((True, strict_name(names[0])), *((False, name) for name in names)) if names else ():
        text = os.environ.get(name, "").strip()
        if not text:
            continue
        try:
            return parse(name, parser, text)
        except (ValueError, TypeError) as error:
            if strict:
                raise ValueError(str(error)) from None
            warn(f"{error}; the variable is ignored (it may be meant for another program; {strict_name(name)} is ours)")
    return UNSET


def strict_name(name: str) -> str:
    """LOG_LEVEL -> LOGSPOOL_LEVEL, SERVICE_NAME -> LOGSPOOL_SERVICE_NAME."""
    return f"LOGSPOOL_{name.removeprefix('LOG_')}"


def config_value(name: str, argument: Any, warn: Callable[[str], None]) -> Any:
    """`level`, `console` or `console_level` of basicConfig: argument, environment or default."""
    parser, default, names = _CONFIG[name]
    found = parse(name, parser, argument) if argument is not UNSET else from_environment(names, parser, warn)
    return default if found is UNSET else found


def handler_settings(arguments: Mapping[str, Any], warn: Callable[[str], None]) -> dict[str, Any]:
    """What the core needs to open a log, without `filename`; the console mirror is off.

    `arguments` holds names of the table only. Raises ValueError or TypeError with the setting, the value and what is allowed.
    """
    settings: dict[str, Any] = {"console_level": None, "console_format": None}
    for name, (key, parser, default, names) in _HANDLER.items():
        argument = arguments.get(name, UNSET)
        found = parse(name, parser, argument) if argument is not UNSET else from_environment(names, parser, warn)
        if key:
            settings[key] = default if found is UNSET else found
    if settings["service"] is UNSET:
        settings["service"] = _paths.app_name()
    return settings


def reject_unknown(function: str, arguments: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError for the first name that is not a setting, with the nearest one that is."""
    allowed = tuple(known)
    for name in arguments:
        if name not in allowed:
            # No quotes around the name: dictConfig takes "'stream'" in a TypeError as a call to try again differently.
            hint = did_you_mean(name, allowed) or f"; the settings are {', '.join(allowed)}"
            raise TypeError(f"{function}() has no setting {name}{hint}")


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """`; did you mean 'maxBytes'?` or an empty text."""
    import difflib  # only ever needed to word an error

    folded = {known.replace("_", "").lower(): known for known in allowed}
    near = difflib.get_close_matches(name.replace("_", "").lower(), folded, n=1, cutoff=0.7)
    return f"; did you mean {folded[near[0]]}?" if near else ""
