"""A strict reader of encoded lines, and the shortest way from a log call to one."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from logspool import _core

SETTINGS: dict[str, Any] = {
    "service": None,
    "environment": None,
    "version": None,
    "static": {},
    "src": True,
    "max_field": 16_384,
    "max_record": 262_144,
}

FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"a key stands twice: {names}"
    return dict(pairs)


def _constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def parse(line: bytes) -> dict[str, Any]:
    """The object of one line: UTF-8, one newline at the end, no control character or surrogate inside, no NaN, no key twice."""
    text = line.decode("utf-8")
    assert text.endswith("\n")
    assert not FORBIDDEN.search(text[:-1]), text
    record = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant)
    assert isinstance(record, dict)
    assert text.endswith(',"seq":"-------------------"}\n')
    return record


def record(
    msg: Any, *args: Any, extra: dict[Any, Any] | None = None, exc_info: Any = None, **known: Any
) -> logging.LogRecord:
    """A record as `logging.Logger` makes it."""
    logger = logging.getLogger(known.pop("name", "app.tools"))
    level = known.pop("level", logging.INFO)
    return logger.makeRecord(logger.name, level, "/srv/app.py", 7, msg, args, exc_info, "handler", extra, **known)


def line(entry: object, formatter: object = None, **settings: Any) -> bytes:
    """The line of one record."""
    encoded: bytes = _core.encode_record(entry, {**SETTINGS, **settings}, formatter)
    return encoded


def encoded(entry: object, formatter: object = None, **settings: Any) -> dict[str, Any]:
    """The parsed line of one record."""
    return parse(line(entry, formatter, **settings))


def field(value: Any, **settings: Any) -> Any:
    """What a value becomes inside `fields`."""
    return encoded(record("m", extra={"value": value}), **settings)["fields"]["value"]
