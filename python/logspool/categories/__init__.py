"""The logs of LLM-OS: six categories, a logger and a file each, over the same spool as every other log. See docs/categories.md.

from logspool.categories import get_logger, setup_logging

setup_logging()                      # ~/.llm_os/logs
get_logger("system").log_startup("llm_router", details={"default_provider": "groq"})
"""

from __future__ import annotations

from logspool.categories._files import BACKUP_COUNT, FILES, MAX_LOG_SIZE, setup_logging
from logspool.categories._loggers import (
    CategoryLogger,
    LLMLogger,
    PerformanceLogger,
    SecurityLogger,
    SystemLogger,
    ToolLogger,
    UserLogger,
    get_logger,
)
from logspool.categories._timer import PerformanceTimer
from logspool.categories.decorators import log_llm_call, log_performance, log_tool_execution, log_user_interaction
from logspool.categories.facade import LoggingHelper, get_logging_helper

__all__ = [
    "BACKUP_COUNT",
    "FILES",
    "MAX_LOG_SIZE",
    "CategoryLogger",
    "LLMLogger",
    "LoggingHelper",
    "PerformanceLogger",
    "PerformanceTimer",
    "SecurityLogger",
    "SystemLogger",
    "ToolLogger",
    "UserLogger",
    "get_logger",
    "get_logging_helper",
    "log_llm_call",
    "log_performance",
    "log_tool_execution",
    "log_user_interaction",
    "setup_logging",
]
