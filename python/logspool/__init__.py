"""Crash-safe, non-blocking structured logging: `logspool.basicConfig(...)` in place of `logging.basicConfig(...)`.

Every `logging.getLogger(...)` call stays as it is. Records become lines of JSON in a memory-mapped spool that survives
SIGKILL, and native threads write them to rotating, gzipped segments.
"""

from logspool import _config, _core, context, cost
from logspool._basicconfig import basicConfig
from logspool._core import Logger, __version__, flush, log_cost, shutdown, stats
from logspool.context import bind, bound, clear, unbind
from logspool.handler import SpoolHandler
from logspool.logger import install, uninstall

__all__ = [
    "Logger",
    "SpoolHandler",
    "__version__",
    "basicConfig",
    "bind",
    "bound",
    "clear",
    "context",
    "flush",
    "install",
    "log_cost",
    "shutdown",
    "stats",
    "unbind",
    "uninstall",
]

_core.set_cost_opener(cost.open_default)
_config.install_hooks()
