"""`log_cost`, and the cost log it opens with its first record."""

from __future__ import annotations

import os

from logspool import _config, _core, _paths, _settings
from logspool._core import log_cost
from logspool.handler import SpoolHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["COST_BACKUPS", "COST_FILENAME", "log_cost"]

COST_FILENAME = "openrouter-costs.jsonl"
#: Closed segments of the cost log kept: a ledger is kept longer than a log.
COST_BACKUPS = 100


def settings_beside(main: dict[str, Any], directory: str, filename: str) -> dict[str, Any]:
    """The cost log's settings from the main log's: JSON whatever that is, no console, its own retention.

    A `filename` without a directory is put into `directory`.
    """
    path = filename if os.path.dirname(filename) else os.path.join(directory, filename)
    return {
        **main,
        "filename": path,
        "json": True,
        "backup_count": COST_BACKUPS,
        "console_level": None,
        "console_format": None,
    }


def configure(settings: dict[str, Any] | None, handler: SpoolHandler | None) -> None:
    """Take over a new configuration: costs go to `handler`, or to a log opened from `settings` with the next `log_cost`."""
    state = _config.state
    with state.lock:
        old, state.cost_handler, state.cost_settings = state.cost_handler, None, settings
        _core.set_cost_handler(handler)
    if old is not None:
        old.close()


def open_default() -> SpoolHandler:
    """Called by the native `log_cost` when there is no cost log yet. Raises OSError if none can be opened."""
    state = _config.state
    with state.lock:
        if state.cost_handler is None:
            state.cost_handler = _open()
        return state.cost_handler


def _open() -> SpoolHandler:
    settings = _config.state.cost_settings
    if settings is not None:
        return SpoolHandler._from_settings(dict(settings))
    main = _settings.handler_settings({}, _config.say_once)
    stem = _paths.file_stem(main["service"] or _paths.app_name())
    return _paths.open_first(
        _paths.candidates(stem, _config.say_once),
        lambda path: SpoolHandler._from_settings(settings_beside(main, os.path.dirname(path), COST_FILENAME)),
        _config.say_once,
    )
