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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logspool.configuration import configure

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

#: Names that are imported when they are first asked for, and from where.
_LATER = {"configure": "logspool.configuration"}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(_LATER[name]), name)
    globals()[name] = value
    return value


_core.set_cost_opener(cost.open_default)
_config.install_hooks()
