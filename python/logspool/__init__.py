"""Crash-safe, non-blocking structured logging: `logspool.basicConfig(...)` in place of `logging.basicConfig(...)`.

Every `logging.getLogger(...)` call stays as it is. Records become lines of JSON in a memory-mapped spool that survives
SIGKILL, and native threads write them to rotating, gzipped segments.
"""

from __future__ import annotations

from logspool import _config, _core, context, cost
from logspool._basicconfig import basicConfig
from logspool._core import Logger, __version__, flush, log_cost, shutdown, stats
from logspool.context import bind, bound, clear, unbind
from logspool.handler import SpoolHandler
from logspool.logger import install, uninstall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logspool import httpx as httpx
    from logspool import redact as redact
    from logspool._budget import budget as budget
    from logspool.configuration import configure as configure
    from logspool.cost import prices as prices

__all__ = [
    "Logger",
    "SpoolHandler",
    "__version__",
    "basicConfig",
    "bind",
    "bound",
    "clear",
    "configure",
    "context",
    "flush",
    "install",
    "log_cost",
    "shutdown",
    "stats",
    "unbind",
    "uninstall",
]

#: Names that are imported when they are first asked for, and where they stand: in a module of ours, or a module itself.
_LATER = {"budget": "_budget", "configure": "configuration", "httpx": "", "prices": "cost", "redact": ""}


def __getattr__(name: str) -> object:
    """What is imported where it is first asked for: an import of logspool does not pay for it."""
    if name not in _LATER:
        raise AttributeError(f"module 'logspool' has no attribute {name!r}")
    from importlib import import_module

    where = _LATER[name]
    module = import_module(f"logspool.{where or name}")
    value = getattr(module, name) if where else module
    globals()[name] = value
    return value


_core.set_cost_opener(cost.open_default)
_config.install_hooks()
