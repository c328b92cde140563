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
    from logspool import redact as redact
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

#: Names that are imported where they are first asked for, so that an import of logspool does not pay for them: the module, and the
#: name in it, "" for the module itself.
_LATER = {"configure": ("logspool.configuration", "configure"), "redact": ("logspool.redact", "")}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, attribute = _LATER[name]
    value: object = importlib.import_module(module)
    if attribute:
        value = globals()[name] = getattr(value, attribute)
    return value


_core.set_cost_opener(cost.open_default)
_config.install_hooks()
