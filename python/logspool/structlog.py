"""structlog over the native encoder: `logspool.structlog.configure()`, and its events become records, not text in records.

An event goes to `logging` with its values in `extra`, so that levels, filters, other handlers and the fast path work as for any
call, and nothing is rendered twice. A structlog that others have set up needs nothing from here: see `docs/structlog.md`.
"""

from __future__ import annotations

import logging
import os
import sys

import structlog
from structlog.contextvars import merge_contextvars

from logspool import _basicconfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping
    from typing import Any

    from logspool.handler import SpoolHandler

    Event = MutableMapping[str, Any]

__all__ = ["BoundLogger", "configure", "configure_logging", "format_positional", "render_to_record", "render_to_text"]

#: What a call may not pass in `extra`.
_RESERVED = frozenset((*logging.LogRecord("", 0, "", 0, "", None, None).__dict__, "message", "asctime", "taskName"))
_CALL = ("exc_info", "stack_info", "stacklevel")


def _call(event: Event) -> dict[str, Any]:
    """The arguments of the call of `logging` besides the text."""
    call = {key: event.pop(key) for key in _CALL if key in event}
    # Another one's wrapper class (`structlog.wrap_logger`, `make_filtering_bound_logger`) calls `logging` from frames of structlog's.
    frame = sys._getframe(2).f_back
    if frame is not None and frame.f_code is not _prepared.__code__ and "stacklevel" not in call:
        level = 1
        while frame.f_back is not None and _is_structlogs(frame.f_globals.get("__name__")):
            frame, level = frame.f_back, level + 1
        if level > 1:
            call["stacklevel"] = level
    return call


def _is_structlogs(module: object) -> bool:
    return isinstance(module, str) and (module == "structlog" or module.startswith("structlog."))


def format_positional(logger: Any, name: str, event: Event) -> Event:
    """A processor: puts positional arguments into the event's text, as `logging` does. Where they do not fit they become a field."""
    args = event.pop("positional_args", None)
    if args:
        if len(args) == 1 and isinstance(args[0], dict) and args[0]:
            args = args[0]
        try:
            event["event"] = event["event"] % args
        except Exception:  # the user's text, values and their __str__: no reason to lose the event
            event["positional_args"] = args
    return event


def render_to_record(logger: Any, name: str, event: Event) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The last processor: the event's text becomes the message of a call, its values the call's `extra`."""
    text = event.pop("event", "")
    call = _call(event)
    if event:
        if _RESERVED.isdisjoint(event) and type(event) is dict:
            call["extra"] = event
        else:
            fields = {key: value for key, value in event.items() if key in _RESERVED}
            more = event.pop("fields", None)
            if isinstance(more, dict):
                fields = {**more, **fields}
            elif more is not None:
                fields["fields"] = more
            call["extra"] = {**{key: value for key, value in event.items() if key not in _RESERVED}, "fields": fields}
    if isinstance(text, str) and text.startswith('{"'):
        return ("%s", text), call  # not to be taken for an event that another renderer has made
    return (text,), call


def render_to_text(logger: Any, name: str, event: Event) -> tuple[tuple[Any], dict[str, Any]]:
    """The last processor where the log holds text: `event   key=value`, as structlog's console has it."""
    call = _call(event)
    return (_console(logger, name, event),), call


_console = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
_LAST = (render_to_record, render_to_text)


def _prepared(
    bound: BoundLogger, name: str, event: object, args: tuple[Any, ...], values: dict[str, Any]
) -> tuple[Any, Any] | None:
    """The arguments of the call, by the processors; None for an event that one of them drops."""
    if args:
        values["positional_args"] = args
    try:
        return bound._process_event(name, event, values)  # type: ignore[arg-type]
    except structlog.DropEvent:
        return None


def _is_captured(bound: BoundLogger) -> bool:
    """Whether the processors are not ours: `structlog.testing.capture_logs` wants the events below the level, too."""
    processors = bound._processors
    return not processors or processors[-1] not in _LAST  # type: ignore[index]


class BoundLogger(structlog.stdlib.BoundLogger):
    """`structlog.stdlib.BoundLogger`, which asks for the level first, and whose `ainfo` and the like log at once: nothing ever waits.

    It has everything that one has: `bind`, `unbind`, `new`, positional arguments, `exception`, `log`.
    """


# `logging` passes over the frames of its own file when it looks for the caller, on each route and in every version. The methods
# that an application calls are compiled as if they were part of it, so that the caller is the application, without a `stacklevel`,
# with which a call is not fast.
_METHOD = """
def {name}(self, event=None, *args, **values):
    logger = self._logger
    if logger.isEnabledFor({level}) or is_captured(self):
        {default}
        call = prepared(self, "{name}", event, args, values)
        if call is not None:
            logger.{method}(*call[0], **call[1])

async def a{name}(self, event=None, *args, **values):
    self.{name}(event, *args, **values)
"""
_LOG = """
def log(self, level, event=None, *args, **values):
    logger = self._logger
    if logger.isEnabledFor(level) or is_captured(self):
        call = prepared(self, level_name(level), event, args, values)
        if call is not None:
            logger.log(level, *call[0], **call[1])

async def alog(self, level, event=None, *args, **values):
    self.log(level, event, *args, **values)
"""
_METHODS = {
    "debug": ("debug", 10),
    "info": ("info", 20),
    "warning": ("warning", 30),
    "warn": ("warning", 30),
    "error": ("error", 40),
    "exception": ("error", 40),
    "critical": ("critical", 50),
    "fatal": ("critical", 50),
}


def _level_name(level: int) -> str:
    return logging.getLevelName(level).lower()


def _add_methods() -> None:
    # structlog's own loggers, where others have set them, ask for the module's name.
    namespace: dict[str, Any] = {
        "__name__": "logging",
        "prepared": _prepared,
        "is_captured": _is_captured,
        "level_name": _level_name,
    }
    source = _LOG
    for name, (method, level) in _METHODS.items():
        default = 'values.setdefault("exc_info", True)' if name == "exception" else "pass"
        source += _METHOD.format(name=name, method=method, level=level, default=default)
    exec(compile(source, str(logging._srcfile), "exec"), namespace)
    for name in (*_METHODS, "log"):
        for method in (name, f"a{name}"):
            function = namespace[method]
            function.__module__, function.__qualname__ = __name__, f"BoundLogger.{method}"
            setattr(BoundLogger, method, function)


_add_methods()


class _LoggerFactory(structlog.stdlib.LoggerFactory):
    """structlog's, which finds out the caller's module, without the logger class that it sets: ours name the right caller."""

    def __init__(self) -> None:
        before = logging.getLoggerClass()
        super().__init__(["logspool"])
        logging.setLoggerClass(before)


def configure(processors: Iterable[Any] = (), *, json: bool = True, cache_logger_on_first_use: bool = True) -> None:
    """Configure structlog: every event becomes a record of the logger of that name, `structlog.get_logger("app")`'s of `app`.

    `processors` are yours, and run between the merging of `structlog.contextvars` and the call of `logging`. They need not add level,
    logger, time, exception or stack: the record has them. `json=False` makes one text of event and values, for a log that
    holds text. `logspool.basicConfig` says where records go; `configure_logging` does both.
    """
    last = render_to_record if json else render_to_text
    structlog.configure(
        processors=[merge_contextvars, format_positional, *processors, last],
        wrapper_class=BoundLogger,
        context_class=dict,
        logger_factory=_LoggerFactory(),
        cache_logger_on_first_use=cache_logger_on_first_use,
    )


def configure_logging(
    level: int | str | None = None,
    json_logs: bool | str | None = None,
    service_name: str | None = None,
    *,
    processors: Iterable[Any] = (),
    **settings: Any,
) -> SpoolHandler:
    """`logspool.basicConfig` and `configure` in one, with what is not given from the environment. Returns the handler.

    level         LOG_LEVEL, else INFO
    json_logs     JSON_LOGS, else True; False: text, in the file and, from `level` on, on standard error
    service_name  SERVICE_NAME, else the program's name

    ENVIRONMENT (`development`) and APP_VERSION (`unknown`) stand in every record. `settings` are basicConfig's: `filename`, `maxBytes`, …
    """
    from logspool import _config, _settings, _values

    def chosen(name: str, given: Any) -> Any:
        if given is not None:
            return given
        found = _settings.from_environment(_settings._HANDLER[name][3], _settings._HANDLER[name][1], _config.say_once)
        return settings.pop(name, _settings.UNSET) if found is _settings.UNSET else found

    json = _settings.parse(
        "json_logs", _values.boolean, True if (it := chosen("json", json_logs)) is _settings.UNSET else it
    )
    settings["json"] = json
    if service_name is not None:
        settings["service"] = service_name
    if level is not None:
        settings["level"] = level
    for name, variable, default in (
        ("environment", "ENVIRONMENT", "development"),
        ("version", "APP_VERSION", "unknown"),
    ):
        if not (os.environ.get(f"LOGSPOOL_{variable}", "").strip() or os.environ.get(variable, "").strip()):
            settings.setdefault(name, default)
    if not json:
        settings.setdefault("console", True)
        settings.setdefault(
            "console_level", _settings.config_value("level", settings.get("level", _settings.UNSET), _config.say_once)
        )
    handler: SpoolHandler = _basicconfig.basicConfig(**settings)
    configure(processors, json=json)
    return handler
