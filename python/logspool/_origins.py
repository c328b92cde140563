"""What `basicConfig()` would do here, and where each setting comes from: for `logspool doctor`. Nothing is opened or created."""

from __future__ import annotations

import logging
import os

from logspool import _paths, _settings
from logspool._settings import UNSET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: A program's own name is not known here.
PROGRAM = "<program>"


def configured() -> dict[str, Any]:
    """The log's path and every setting with its value and origin, as text; `warnings` and `errors` are sentences."""
    warnings: list[str] = []
    errors: list[str] = []
    settings: list[dict[str, str]] = []
    service = None
    for name, (key, parser, preset, names) in {**_settings._CONFIG, **_settings._HANDLER}.items():
        if not key and name not in _settings._CONFIG:
            continue  # checked only: there is nothing to tell of it
        try:
            value, variable = _settings.look_up(names, parser, warnings.append)
        except ValueError as error:
            errors.append(f"basicConfig fails: {error}")
            continue
        if name == "service":
            service = None if value is UNSET else value
        if value is UNSET:
            value = "the program's name" if name == "service" else preset
        settings.append({"name": name, "value": _shown(name, value), "origin": variable or "default"})
    found: dict[str, Any] = {"path": None, "origin": None, "settings": settings, "warnings": warnings, "errors": errors}
    try:
        chosen = _choose(
            _paths.candidates(_paths.file_stem(service) if service else PROGRAM, warnings.append), warnings
        )
        found["path"], found["origin"] = os.path.abspath(chosen.path), chosen.origin
    except ValueError as error:
        errors.append(f"basicConfig fails: {error}")
    return found


def _choose(candidates: list[_paths.Candidate], warnings: list[str]) -> _paths.Candidate:
    """The first candidate whose directory is there and writable, or can be made; else the last."""
    for candidate in candidates:
        directory = os.path.dirname(os.path.abspath(candidate.path))
        standing = directory
        while not os.path.lexists(standing) and os.path.dirname(standing) != standing:
            standing = os.path.dirname(standing)
        if os.path.isdir(standing) and os.access(standing, os.W_OK | os.X_OK):
            return candidate
        more = "basicConfig fails" if candidate.final else "basicConfig passes it over"
        warnings.append(f"{standing} cannot be written by this user: {more} ({candidate.origin}).")
    return candidates[-1]


def _shown(name: str, value: Any) -> str:
    if name.endswith("_mode") and isinstance(value, int):
        return f"{value:#o}"
    if name in ("level", "console_level"):
        return logging.getLevelName(value)  # type: ignore[no-any-return]
    if name == "console" and value is None:
        return "auto"
    if name == "sample":
        return ", ".join(f"{logger}={rate}" for logger, rate in value.items()) or "none"
    return "none" if value is None else str(value)
