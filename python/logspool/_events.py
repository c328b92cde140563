"""Events of a structlog that others have set up, which it hands to `logging` as a dict or as JSON: called by the native encoder.

Three shapes are known. `ProcessorFormatter.wrap_for_formatter` leaves the event as a dict in the record's message, and `_logger`
and `_name` beside it; a `ProcessorFormatter` on our handler makes text of it; a `JSONRenderer` at the end of the processors makes
the message itself JSON.
"""

from __future__ import annotations

import json
import logging
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What `ProcessorFormatter` has put into a record.
_MARKS = ("_logger", "_name", "_from_structlog", "_record")
#: One of these beside `event` tells a rendered event from other JSON.
_SIGNS = ("level", "log_level", "timestamp", "logger")
#: Between structlog and us: logging, and whoever has put something around its functions.
_FRAMES = 40
#: These stand at the top of the line, and are no fields.
_AT_THE_TOP = ("session_id", "request_id", "trace_id", "span_id", "trace_flags", "tool", "category")


def adopt(record: logging.LogRecord, text: object) -> logging.LogRecord | None:
    """A record with the event's text as its message and the rest of it as fields, or None where `record` carries no event.

    `text` is what a `ProcessorFormatter` made of the record, None where there is none.
    """
    event = _event_of(record, text)
    if event is None:
        return None
    adopted = logging.LogRecord.__new__(logging.LogRecord)
    attributes = adopted.__dict__
    attributes.update((name, value) for name, value in record.__dict__.items() if name not in _MARKS)
    adopted.msg, adopted.args = event.pop("event", ""), ()
    for name in _MARKS:
        event.pop(name, None)
    _take_standard(record, adopted, event)
    for name in _AT_THE_TOP:
        if event.get(name) is not None:
            attributes[name] = event.pop(name)
    nested = attributes.get("fields")
    if isinstance(nested, dict):
        event = {**nested, **event}
    for name in event.keys() - _STANDARD:
        attributes.pop(name, None)
    attributes["fields"] = event
    return adopted


_STANDARD = frozenset((*logging.LogRecord("", 0, "", 0, "", None, None).__dict__, "message", "asctime", "taskName"))


def _event_of(record: logging.LogRecord, text: object) -> dict[str, Any] | None:
    if text is not None:
        event = _parsed(text)
        return event if event is not None and "event" in event else None
    if type(record.msg) is dict:
        return dict(record.msg) if "_logger" in record.__dict__ and "_name" in record.__dict__ else None
    event = None if record.args else _parsed(record.msg)
    if event is None or not isinstance(event.get("event"), str) or not any(sign in event for sign in _SIGNS):
        return None
    return event if _is_structlogs(record) else None


def _is_structlogs(record: logging.LogRecord) -> bool:
    """Whether structlog logs this: what somebody sent, and a program logs as it is, may pass for an event with ids of its own.

    A record that comes from another thread, by a queue, cannot be told apart.
    """
    if record.thread not in (None, threading.get_ident()):
        return True
    frame = sys._getframe(1)
    for _ in range(_FRAMES):
        if frame.f_globals.get("__name__", "").partition(".")[0] == "structlog":
            return True
        if frame.f_back is None:
            break
        frame = frame.f_back
    return False


def _parsed(text: object) -> dict[str, Any] | None:
    if not isinstance(text, str) or not text.startswith("{") or not text.endswith("}"):
        return None
    try:
        event = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice: as fields one of them would be lost")
    return found


def _take_standard(record: logging.LogRecord, adopted: logging.LogRecord, event: dict[str, Any]) -> None:
    """What the record says itself leaves the event; what logging has attributes for goes there."""
    level = record.levelname.lower()
    for name in ("level", "log_level"):
        if isinstance(event.get(name), str) and event[name].lower() in (level, "warn" if level == "warning" else level):
            del event[name]
    if event.get("level_number") == record.levelno:
        del event["level_number"]
    if event.get("logger") == record.name:
        del event["logger"]
    if isinstance(event.get("timestamp"), str):
        del event["timestamp"]
    raised = event.pop("exc_info", None)
    if adopted.exc_info is None and raised:
        adopted.exc_info = _exc_info(raised)
    if isinstance(event.get("exception"), str) and not adopted.exc_info and not adopted.exc_text:
        adopted.exc_text = event.pop("exception")
    elif adopted.exc_info and isinstance(event.get("exception"), str):
        del event["exception"]
    if event.pop("stack_info", None) is None and isinstance(event.get("stack"), str) and not adopted.stack_info:
        adopted.stack_info = event.pop("stack")


def _exc_info(raised: Any) -> Any:
    if isinstance(raised, BaseException):
        return type(raised), raised, raised.__traceback__
    if isinstance(raised, tuple):
        return raised
    found = sys.exc_info()
    return found if found[0] is not None else None
