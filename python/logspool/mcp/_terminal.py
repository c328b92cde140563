"""Handlers that the SDKs, uvicorn and rich put up for the terminal: where there is a SpoolHandler, they are one too many."""

from __future__ import annotations

import logging

from logspool.handler import SpoolHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: Loggers that the SDKs and their HTTP server give handlers of their own.
_NAMES = ("uvicorn", "uvicorn.error", "uvicorn.access", "mcp", "fastmcp", "FastMCP")


def take_over() -> list[str]:
    """Remove them, and let their loggers' records go to the root logger, if a SpoolHandler is there. Returns what was removed."""
    root = logging.getLogger()
    spool = next((handler for handler in root.handlers if isinstance(handler, SpoolHandler)), None)
    if spool is None:
        return []
    gone: list[str] = []
    for logger in _loggers(root):
        mine = [handler for handler in logger.handlers if _is_for_the_terminal(handler)]
        if not mine:
            continue
        if not logger.propagate:
            logger.propagate = True
        for handler in mine:
            logger.removeHandler(handler)
            gone.append(f"{handler!r} of {logger.name}")
    if gone:
        spool.replaced = (*spool.replaced, *gone)
        logging.getLogger("logspool").info("replaced %s", ", ".join(gone), extra={"replaced": gone})
    return gone


def _loggers(root: logging.Logger) -> Iterator[logging.Logger]:
    yield root
    known = logging.Logger.manager.loggerDict
    for name in _NAMES:
        logger = known.get(name)
        if isinstance(logger, logging.Logger):
            yield logger


def _is_for_the_terminal(handler: logging.Handler) -> bool:
    kind = type(handler)
    # By name: rich is not a dependency, and nobody derives from its handler by accident.
    return kind is logging.StreamHandler or (kind.__module__, kind.__name__) == ("rich.logging", "RichHandler")
