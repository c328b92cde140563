"""One tool call: what is bound while it runs, and the record it leaves."""

from __future__ import annotations

import contextvars
import logging
import re
import time

from logspool._core import Context
from logspool.context import _span_ids, _variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Any, Protocol

    class Instrumented(Protocol):
        """What `instrument` was given of a server, and what it found there."""

        name: str
        #: Whether the values of arguments are recorded.
        arguments: bool
        #: Whether a crash is shown with its stack trace.
        traceback: bool


log = logging.getLogger("logspool.mcp")

#: The client chooses the names of arguments; so many of them are recorded.
ARGUMENT_KEYS = 64

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_current: contextvars.ContextVar[ToolCall | None] = contextvars.ContextVar("logspool_tool_call", default=None)


def trace_ids(traceparent: object) -> dict[str, str]:
    """`trace_id`, `span_id` and `trace_flags` of a W3C `traceparent`; nothing of one that is not valid."""
    found = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    if found is None or found[1] == "ff" or not found[2].strip("0") or not found[3].strip("0"):
        return {}
    if found[1] == "00" and found.end(4) != len(found[0]):
        return {}  # version 00 has these four parts and no more
    return {"trace_id": found[2], "span_id": found[3], "trace_flags": found[4]}


def note_error(error: BaseException) -> None:
    """An exception on its way out of a tool: the SDKs make a result of it, in which its type is lost."""
    call = _current.get()
    if call is not None:
        call.noted = error


class ToolCall:
    """A context manager around one call; `result` is set in it, and then read by `outcome`.

    `outcome(result)` gives whether the result says that the tool failed, and the result's size in bytes.
    """

    __slots__ = (
        "_began",
        "_call",
        "_context",
        "_fields",
        "_ids",
        "_outcome",
        "_token",
        "_traceback",
        "noted",
        "result",
    )

    def __init__(
        self,
        server: Instrumented,
        tool: object,
        arguments: object,
        ids: dict[str, object],
        traceparent: object,
        outcome: Callable[[Any], tuple[bool, int | None]],
    ) -> None:
        # A tool call is rare, and finds the processor's caches cold: each function and object that is touched here counts.
        if isinstance(tool, str):
            ids["tool"] = tool
        if (
            traceparent is not None and not _span_ids()
        ):  # the active span is the nearer one, and the core reads it itself
            ids.update(trace_ids(traceparent))
        self._ids = ids
        fields: dict[str, Any] = {"server": server.name}
        self._fields = fields
        if isinstance(arguments, dict):
            names = list(arguments)
            fields["argument_keys"] = names if len(names) <= ARGUMENT_KEYS else names[:ARGUMENT_KEYS]
            if server.arguments:
                fields["arguments"] = arguments
        self._outcome, self._traceback = outcome, server.traceback
        self.noted: BaseException | None = None
        self.result: Any = None

    def __enter__(self) -> ToolCall:
        self._context = Context(_variable.get(None), self._ids)
        self._token = _variable.set(self._context)
        self._call = _current.set(self)
        self._began = time.perf_counter_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        took = time.perf_counter_ns() - self._began
        _variable.set(self._context)  # what the tool has bound is not the call's
        try:
            failed, size = (True, None) if error is not None else self._outcome(self.result)
            fields = self._fields
            fields["event"] = "tool_call"
            fields["duration_ms"] = took // 1000 / 1000
            fields["success"] = not failed
            if size is not None:
                fields["result_size"] = size
            if failed:
                self._failed(took, error)
            else:
                log.info("tool %s ok in %.1f ms", self._ids.get("tool"), took / 1e6, extra=fields)
        except Exception:  # of somebody's filter or handler: it is not the tool's
            pass
        finally:
            try:
                _current.reset(self._call)
                _variable.reset(self._token)
            except ValueError:  # closed in another context than it was entered in: nothing of it is bound there
                pass
            self.noted = self.result = None

    def _failed(self, took: int, error: BaseException | None) -> None:
        # A call that was cancelled did not fail by itself.
        cancelled = error is not None and not isinstance(error, (Exception, SystemExit, KeyboardInterrupt))
        cause = _cause(error if error is not None else self.noted)
        name = type(cause).__name__ if cause is not None else "ToolError"
        log.log(
            logging.WARNING if cancelled else logging.ERROR,
            "tool %s %s in %.1f ms",
            self._ids.get("tool"),
            "cancelled" if cancelled else f"failed ({name})",
            took / 1e6,
            exc_info=cause if self._traceback and error is None and _is_crash(cause) else None,
            extra={**self._fields, "error_type": name},
        )


def _cause(error: BaseException | None) -> BaseException | None:
    """What the tool raised; the SDKs wrap it in a ToolError."""
    while error is not None and _is_wrapper(error) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_wrapper(error: BaseException) -> bool:
    return type(error).__name__ in ("ToolError", "UnexpectedToolError")


def _is_crash(error: BaseException | None) -> bool:
    """Whether nobody meant it: a ToolError is an answer, and arguments that do not fit are the caller's."""
    return error is not None and not _is_wrapper(error) and type(error).__name__ not in ("ValidationError", "McpError")


def arguments_of(params: Mapping[str, Any] | None) -> tuple[object, object]:
    """Tool name and arguments of a `tools/call` message's parameters, which nobody has checked yet."""
    if params is None:
        return None, None
    return params.get("name"), params.get("arguments")
