"""What each setting accepts, and where its value comes from: argument > LOGSPOOL_<NAME> > LOG_<NAME> … > default.

Arguments and `LOGSPOOL_*` variables are meant for us: an unusable value raises. A `LOG_*` variable may be meant for another
program: an unusable value is passed over, and the caller is told through `warn`. No state is kept here.
"""

from __future__ import annotations

import logging
import os

from logspool import _paths, _values
from logspool._values import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    _Row = tuple[str, Callable[[Any], Any], Any, tuple[str, ...]]


class _Unset:
    """The type of `UNSET`: "not given", which is not the same as None."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "..."

    def __reduce__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()


# -- the table: argument -> (key of the core, parser, default, variables besides LOGSPOOL_<NAME>) ------------------------

_NO_CORE = ""
_when_full = _values.choice("block", "drop_newest", "drop_oldest")
_fsync = _values.choice("none", "interval", "record")

_HANDLER: dict[str, _Row] = {
    "maxBytes": ("max_bytes", _values.size, 10_485_760, ("LOG_ROTATE_SIZE",)),
    "backupCount": ("backup_count", _values.count, 5, ("LOG_BACKUPS",)),
    "when": ("when", _values.when, None, ("LOG_ROTATE_WHEN",)),
    "interval": ("interval", _values.count_above_zero, 1, ()),
    "utc": ("utc", _values.boolean, True, ()),
    "gzip": ("gzip", _values.boolean, True, ("LOG_GZIP",)),
    "json": ("json", _values.boolean, True, ("LOG_JSON", "JSON_LOGS")),
    "when_full": ("when_full", _when_full, "block", ("LOG_WHEN_FULL",)),
    "block_timeout": ("block_timeout", _values.seconds, 0.1, ("LOG_BLOCK_TIMEOUT",)),
    "spool_bytes": ("spool_bytes", _values.spool_bytes, 8 * 1024 * 1024, ("LOG_SPOOL_BYTES",)),
    "spool_dir": ("spool_dir", _values.spool_dir, None, ("LOG_SPOOL_DIR",)),
    "queue_max": ("queue_max", _values.optional_count, None, ("LOG_QUEUE_MAX",)),
    "fsync": ("fsync", _fsync, "none", ("LOG_FSYNC",)),
    "file_mode": ("file_mode", _values.mode, 0o600, ()),
    "dir_mode": ("dir_mode", _values.directory_mode, 0o700, ()),
    "service": ("service", _values.optional_text, UNSET, ("SERVICE_NAME", "OTEL_SERVICE_NAME")),
    "environment": ("environment", _values.optional_text, None, ("ENVIRONMENT",)),
    "version": ("version", _values.optional_text, None, ("APP_VERSION",)),
    "static": ("static", _values.mapping, {}, ()),
    "src": ("src", _values.boolean, True, ()),
    "max_field": ("max_field", _values.size_above_zero, 16 * 1024, ("LOG_MAX_FIELD",)),
    "max_record": ("max_record", _values.record_size, 256 * 1024, ("LOG_MAX_RECORD",)),
    "redact": ("redact", _values.redact, True, ("LOG_REDACT",)),
    "sample": ("sample", _values.sample, {}, ("LOG_SAMPLE_HTTP",)),
    "collapse": ("collapse", _values.collapse, None, ("LOG_COLLAPSE",)),
    "truncate": ("truncate", _values.truncate, _values.TRUNCATED, ()),
    # What FileHandler and RotatingFileHandler take besides.
    "mode": (_NO_CORE, _values.filemode, "a", ()),
    "encoding": (_NO_CORE, _values.encoding, "utf-8", ()),
    "errors": (_NO_CORE, _values.errors, None, ()),
}
HANDLER_NAMES = tuple(_HANDLER)
_CONFIG: dict[str, _Row] = {
    "level": (_NO_CORE, _values.level, logging.INFO, ("LOG_LEVEL",)),
    "console": (_NO_CORE, _values.console, None, ("LOG_CONSOLE",)),
    "console_level": (_NO_CORE, _values.level, logging.WARNING, ("LOG_CONSOLE_LEVEL",)),
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
    return look_up(names, parser, warn)[0]


def look_up(
    names: tuple[str, ...], parser: Callable[[Any], Any], warn: Callable[[str], None]
) -> tuple[Any, str | None]:
    """As `from_environment`, and the name of the variable."""
    for strict, name in ((True, strict_name(names[0])), *((False, name) for name in names)) if names else ():
        text = os.environ.get(name, "").strip()
        if not text:
            continue
        try:
            return parse(name, parser, text), name
        except (ValueError, TypeError) as error:
            if strict:
                raise ValueError(str(error)) from None
            warn(
                f"{error}; the variable is ignored (it may be meant for another program; {strict_name(names[0])} is ours)"
            )
    return UNSET, None


def strict_name(name: str) -> str:
    """LOG_LEVEL -> LOGSPOOL_LEVEL, SERVICE_NAME -> LOGSPOOL_SERVICE_NAME."""
    return f"LOGSPOOL_{name.removeprefix('LOG_')}"


def config_value(name: str, argument: Any, warn: Callable[[str], None]) -> Any:
    """`level`, `console` or `console_level` of basicConfig: argument, environment or default."""
    _, parser, default, names = _CONFIG[name]
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
            if name == "sample" and hasattr(argument, "keys") and _values.HTTP not in found:
                # The variable is about HTTP clients only, and stands beside rules for others.
                of_http = from_environment(names, parser, warn)
                settings[key] = {**({} if of_http is UNSET else of_http), **found}
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
