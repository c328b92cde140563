"""The loggers of the six categories: each method writes one record."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Literal, overload

from logspool import _core
from logspool.categories import _files, _measure
from logspool.categories._line import OWN

#: Milliseconds from which an operation is slow: its metric is a WARNING.
SLOW_MS = 5000.0
_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class CategoryLogger:
    """A category's logger; `logger` is the `logging.Logger` it writes to, for other records and other handlers."""

    category = ""

    def __init__(self) -> None:
        self.logger = logging.getLogger(f"llm_os.{self.category}")

    def _write(self, level: int, event: str, message: str, arguments: tuple[object, ...], own: dict[str, Any]) -> None:
        _files.ensure()
        if not self.logger.isEnabledFor(level):
            return
        extra = {"category": self.category, "event": event, "fields": {OWN: own}}
        self.logger.log(level, message, *arguments, extra=extra, stacklevel=_frames())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.logger.name}>"


def _frames() -> int:
    """The `stacklevel` of the first caller outside of this package."""
    count = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
        count += 1
    return count


class UserLogger(CategoryLogger):
    """`user_interactions.log`: what users asked for and got."""

    category = "user"

    def log_interaction(
        self,
        user_input: object,
        response: object,
        tool_calls: object = None,
        success: bool = True,
        error: object = None,
        duration_ms: float = 0.0,
    ) -> None:
        """An interaction; `response` is kept to 500 characters (`response_summary`). ERROR where it failed."""
        own = {
            "user_input": user_input,
            "response_summary": response,
            "tool_calls": [] if tool_calls is None else tool_calls,
            "success": success,
            "error": error,
            "duration_ms": duration_ms,
        }
        self._write(*_outcome("user_interaction", success, error, "User interaction"), own)


class SystemLogger(CategoryLogger):
    """`system_health.log`: components that start, stop, fail or change."""

    category = "system"

    def log_startup(self, component: str, details: object = None) -> None:
        """A component has started."""
        self._component(logging.INFO, "startup", "Component started: %s", component, details)

    def log_shutdown(self, component: str, details: object = None) -> None:
        """A component has stopped."""
        self._component(logging.INFO, "shutdown", "Component stopped: %s", component, details)

    def log_error(self, component: str, error: object, details: object = None) -> None:
        """Something failed: an ERROR."""
        own = {"success": False, "error": error}
        self._component(logging.ERROR, "error", "%s: %s", component, details, own, error)

    def log_warning(self, component: str, warning: object, details: object = None) -> None:
        """Something may become an error: a WARNING."""
        self._component(logging.WARNING, "warning", "%s: %s", component, details, {"warning": warning}, warning)

    def log_config_change(self, component: str, setting: str, old: object, new: object) -> None:
        """A setting has another value; values of settings with a secret's name are not written."""
        if _is_secret(setting):
            old = new = "***"
        own = {"setting": setting, "old": old, "new": new}
        self._component(logging.INFO, "config_change", "%s: %s changed", component, None, own, setting)

    def log_status(self, component: str, status: object, details: object = None) -> None:
        """What a component is doing."""
        self._component(logging.INFO, "status", "%s: %s", component, details, {"status": status}, status)

    def log_resource(self, resource: str, available: bool, details: object = None) -> None:
        """A resource can be had, or cannot: a WARNING."""
        level = logging.INFO if available else logging.WARNING
        own = {
            "event_type": "resource",
            "resource": resource,
            "available": available,
            "details": {} if details is None else details,
        }
        self._write(level, "resource", f"Resource {'' if available else 'not '}available: %s", (resource,), own)

    def _component(
        self,
        level: int,
        event: str,
        message: str,
        component: str,
        details: object,
        own: dict[str, Any] | None = None,
        *arguments: object,
    ) -> None:
        fields = {
            "event_type": event,
            "component": component,
            **(own or {}),
            "details": {} if details is None else details,
        }
        self._write(level, event, message, (component, *arguments), fields)


class ToolLogger(CategoryLogger):
    """`tool_executions.log`: calls of MCP tools."""

    category = "tool"

    def log_execution(
        self,
        tool_name: str,
        tool_server: str,
        parameters: object,
        result: object = None,
        success: bool = True,
        error: object = None,
        duration_ms: float = 0.0,
    ) -> None:
        """A call; `parameters` are kept to 1,000 characters, the result to 500 (`result_summary`). ERROR where it failed."""
        own = {
            "tool_name": tool_name,
            "tool_server": tool_server,
            "parameters": {} if parameters is None else parameters,
            "result_summary": result,
            "success": success,
            "error": error,
            "duration_ms": duration_ms,
        }
        self._write(*_outcome("tool_execution", success, error, "Tool %s", tool_name), own)


class LLMLogger(CategoryLogger):
    """`llm_calls.log`: calls of language models."""

    category = "llm"

    def log_call(
        self,
        provider: str,
        model: str,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
        duration_ms: float = 0.0,
        success: bool = True,
        error: object = None,
        streaming: bool = False,
    ) -> None:
        """A call, with `total_tokens`, the sum. ERROR where it failed."""
        try:
            total = int(prompt_tokens or 0) + int(completion_tokens or 0)
        except Exception:  # user data never makes logging raise
            total = 0
        own = {
            "provider": provider,
            "model": model,
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": total,
            "duration_ms": duration_ms,
            "success": success,
            "error": error,
            "streaming": streaming,
        }
        self._write(*_outcome("llm_call", success, error, "LLM call %s/%s", provider, model), own)


class SecurityLogger(CategoryLogger):
    """`security.log`: what was allowed, and what was not."""

    category = "security"

    def log_event(self, event_type: str, resource: str, action: str, allowed: bool, reason: object = "") -> None:
        """A decision; a WARNING where it was no."""
        level = logging.INFO if allowed else logging.WARNING
        own = {
            "event_type": event_type,
            "resource": resource,
            "action": action,
            "allowed": allowed,
            "success": allowed,
            "reason": reason,
        }
        message = f"{'Allowed' if allowed else 'Denied'}: %s %s"
        self._write(level, "security_event", message, (action, resource), own)


class PerformanceLogger(CategoryLogger):
    """`performance.log`: how long operations took, and what the process used."""

    category = "performance"

    def log_metric(
        self,
        operation: str,
        duration_ms: float,
        memory_mb: float = 0,
        cpu_percent: float = 0,
        details: object = None,
    ) -> None:
        """An operation's milliseconds; a WARNING above 5,000.

        `memory_mb` (MiB) and `cpu_percent` (100 is one processor) that are 0 are measured: what the process holds in memory
        now, and its processor time since the metric before, or its start.
        """
        self._metric(operation, duration_ms, memory_mb, cpu_percent, details, None)

    def _metric(
        self,
        operation: str,
        duration_ms: float,
        memory_mb: float,
        cpu_percent: float,
        details: object,
        error: object,
    ) -> None:
        slow = _is_slow(duration_ms)
        own = {
            "operation": operation,
            "duration_ms": duration_ms,
            "memory_mb": memory_mb or _measure.memory_mb(),
            "cpu_percent": cpu_percent or _measure.cpu_percent(),
            "details": {} if details is None else details,
        }
        if error is not None:
            own.update(success=False, error=error)
            self._write(logging.ERROR, "performance", "%s failed: %s", (operation, error), own)
        elif slow:
            self._write(logging.WARNING, "performance", "%s was slow: %s ms", (operation, duration_ms), own)
        else:
            self._write(logging.INFO, "performance", "%s took %s ms", (operation, duration_ms), own)


def _outcome(
    event: str, success: bool, error: object, message: str, *arguments: object
) -> tuple[int, str, str, tuple[object, ...]]:
    if success:
        return logging.INFO, event, message, arguments
    return logging.ERROR, event, f"{message} failed: %s", (*arguments, error)


def _is_slow(duration_ms: object) -> bool:
    return isinstance(duration_ms, (int, float)) and duration_ms > SLOW_MS


def _is_secret(setting: object) -> bool:
    # The redactor itself says whether a value under that name would go.
    try:
        name = str(setting).encode("ascii", "replace").decode().replace('"', "")
    except Exception:  # a name that cannot be read: its values are not shown
        return True
    return "***" in (_core.redact_apply(f'{{"{name}": "value"}}', True) or "")


_LOGGERS: dict[str, CategoryLogger] = {
    kind.category: kind()
    for kind in (UserLogger, SystemLogger, ToolLogger, LLMLogger, SecurityLogger, PerformanceLogger)
}


@overload
def get_logger(category: Literal["user"]) -> UserLogger: ...
@overload
def get_logger(category: Literal["system"]) -> SystemLogger: ...
@overload
def get_logger(category: Literal["tool"]) -> ToolLogger: ...
@overload
def get_logger(category: Literal["llm"]) -> LLMLogger: ...
@overload
def get_logger(category: Literal["security"]) -> SecurityLogger: ...
@overload
def get_logger(category: Literal["performance"]) -> PerformanceLogger: ...
def get_logger(category: str) -> CategoryLogger:
    """The logger of a category: user, system, tool, llm, security or performance. Raises ValueError for another name.

    Where `setup_logging` was not called, its first record calls it.
    """
    try:
        return _LOGGERS[category]
    except (KeyError, TypeError):
        raise ValueError(f"{category!r}: there are {', '.join(_LOGGERS)}") from None
