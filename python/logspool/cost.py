"""`log_cost`, the cost log it opens with its first record, and `prices`, the table it asks what a model costs."""

from __future__ import annotations

import os

from logspool import _config, _core, _paths, _settings
from logspool._core import log_cost
from logspool.handler import SpoolHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["COST_BACKUPS", "COST_FILENAME", "log_cost", "prices"]

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
        state.cost_in_log = handler
        state.cost_configured += 1
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


def path() -> str:
    """Where costs go; the log is opened if it is not yet. Raises OSError if it cannot be."""
    return (_config.state.cost_in_log or open_default())._path()


def as_logged(name: str) -> str:
    """A bound `session_id` or `tool` as a cost record made here would have it; empty where it would have none."""
    import json

    handler = _config.state.cost_in_log or open_default()
    found: object = json.loads(_core.encode_cost(handler._settings)).get(name)
    return found if isinstance(found, str) else ""


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


_PRICES = ("input_per_1m", "output_per_1m", "cached_per_1m", "cache_write_per_1m")


def prices(table: Mapping[str, Mapping[str, Any]] | str | os.PathLike[str] | None) -> None:
    """Say what models cost, for calls whose provider does not.

        logspool.prices({"gpt-5": {"input_per_1m": 1.25, "cached_per_1m": 0.125, "output_per_1m": 10}})

    By model, in dollars (or the `currency` named) per million tokens: `input_per_1m`, `output_per_1m`, and optionally `cached_per_1m` and
    `cache_write_per_1m` for the part of the prompt that came from, or went to, the provider's cache. A model takes the longest name in the
    table that it begins with (`gpt-5` for `gpt-5-2026-08`, not for `gpt-50` or `gpt-5.1`), with its vendor (`openai/gpt-5`) or without;
    `*` stands for all others. A path is that of a JSON file with such a table. Replaces the table before; None removes it.

    Raises ValueError for a table that is none, naming the model, and OSError where the file cannot be read.
    """
    if table is None:
        _core.set_prices(None)
        return
    if isinstance(table, (str, os.PathLike)):
        table = _read_prices(os.fspath(table))
    if not hasattr(table, "items"):
        raise ValueError(f"prices: {table!r}: pass a mapping of models to their prices, a file's path, or None")
    checked: dict[str, dict[str, Any]] = {}
    for model, entry in table.items():
        name = _price_name(model)
        if name in checked:
            raise ValueError(f"prices: {model}: stands twice; upper and lower case do not count")
        checked[name] = _check_prices(model, entry)
    known: dict[object, dict[str, Any] | None] = {}

    def lookup(model: object) -> dict[str, Any] | None:
        if not isinstance(model, str):
            return None
        if model not in known:
            if len(known) >= 1000:
                known.clear()
            known[model] = _longest(checked, model.lower())
        return known[model]

    _core.set_prices(lookup)


def _price_name(model: object) -> str:
    if not isinstance(model, str) or not model:
        raise ValueError(f"prices: {model!r}: a model's name must be text")
    return model.lower()


def _check_prices(model: str, entry: object) -> dict[str, Any]:
    if not hasattr(entry, "keys"):
        raise ValueError(f"prices: {model}: {entry!r}: pass a mapping with {', '.join(_PRICES)}")
    checked: dict[str, Any] = dict(entry)  # type: ignore[call-overload]
    unknown = checked.keys() - {*_PRICES, "currency"}
    if unknown:
        raise ValueError(
            f"prices: {model}: {min(map(str, unknown))}: unknown; there are {', '.join(_PRICES)}, currency"
        )
    for name in _PRICES:
        price = checked.get(name)
        if price is None and name in _PRICES[:2]:
            raise ValueError(f"prices: {model}: {name}: missing; 0 is a price, too")
        if price is not None:
            try:
                wrong = isinstance(price, bool) or not 0 <= float(price) < float("inf")
            except (TypeError, ValueError, OverflowError):
                wrong = True
            if wrong:
                raise ValueError(f"prices: {model}: {name}: {price!r}: pass a number, 0 or more")
            checked[name] = price if isinstance(price, (int, float)) else float(price)
    currency = checked.get("currency", "USD")
    if not isinstance(currency, str) or not currency:
        raise ValueError(f"prices: {model}: currency: {currency!r}: pass its name, such as EUR")
    return checked


def _longest(table: dict[str, dict[str, Any]], model: str) -> dict[str, Any] | None:
    """The entry with the longest name that the model begins with, at a boundary of names."""
    best: str | None = None
    for candidate in (model, model.rpartition("/")[2]):
        for name in table:
            whole = candidate == name or (candidate.startswith(name) and not _goes_on(candidate[len(name) :]))
            if whole and (best is None or len(name) > len(best)):
                best = name
    return table.get("*") if best is None else table[best]


def _goes_on(rest: str) -> bool:
    """Whether a name's word, or its number, goes on: `gpt-4.1` and `gpt-4o` are no `gpt-4`."""
    return rest[0].isalnum() or (rest[0] == "." and rest[1:2].isdigit())


def _read_prices(path: str) -> dict[str, Any]:
    import json

    with open(path, encoding="utf-8") as file:
        try:
            table = json.load(file)
        except ValueError as error:
            raise ValueError(f"prices: {path}: {error}") from None
    if not isinstance(table, dict):
        raise ValueError(f"prices: {path}: it holds no table of models")
    return table
