"""`get_logging_helper`: the six loggers behind one object, as LLM-OS has it."""

from __future__ import annotations

from logspool.categories._loggers import get_logger


class LoggingHelper:
    """Writes records of all categories."""

    def log_user_message(
        self,
        user_input: object,
        response: object,
        tool_calls: object = None,
        success: bool = True,
        error: object = None,
        duration_ms: float = 0.0,
    ) -> None:
        """As `get_logger("user").log_interaction`."""
        get_logger("user").log_interaction(user_input, response, tool_calls, success, error, duration_ms)

    def log_llm_request(
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
        """As `get_logger("llm").log_call`."""
        get_logger("llm").log_call(
            provider, model, prompt_tokens, completion_tokens, duration_ms, success, error, streaming
        )

    def log_tool_call(
        self,
        tool_name: str,
        tool_server: str,
        parameters: object,
        result: object = None,
        success: bool = True,
        error: object = None,
        duration_ms: float = 0.0,
    ) -> None:
        """As `get_logger("tool").log_execution`."""
        get_logger("tool").log_execution(tool_name, tool_server, parameters, result, success, error, duration_ms)

    def log_startup(self, component: str, details: object = None) -> None:
        """As `get_logger("system").log_startup`."""
        get_logger("system").log_startup(component, details)

    def log_shutdown(self, component: str, details: object = None) -> None:
        """As `get_logger("system").log_shutdown`."""
        get_logger("system").log_shutdown(component, details)

    def log_error(self, component: str, error: object, details: object = None) -> None:
        """As `get_logger("system").log_error`."""
        get_logger("system").log_error(component, error, details)

    def log_warning(self, component: str, warning: object, details: object = None) -> None:
        """As `get_logger("system").log_warning`."""
        get_logger("system").log_warning(component, warning, details)

    def log_security_event(
        self, event_type: str, resource: str, action: str, allowed: bool, reason: object = ""
    ) -> None:
        """As `get_logger("security").log_event`."""
        get_logger("security").log_event(event_type, resource, action, allowed, reason)


_HELPER = LoggingHelper()


def get_logging_helper() -> LoggingHelper:
    """The one LoggingHelper."""
    return _HELPER
