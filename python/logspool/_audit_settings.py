"""The values that settings of `llm_audit` may have."""

from __future__ import annotations

import os

from logspool import _paths, _values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

mode = _values.choice("off", "sanitized", "raw")
_known_sink = _values.choice("file", "off")


def sink(value: Any) -> str:
    """`file` or `off`. Others have sinks that send rows over the network, which here is a shipper's task."""
    if isinstance(value, str) and value.strip().lower() in ("loki", "both"):
        raise ValueError(
            "rows are written to files, from where a shipper (Promtail, Fluent Bit) takes them to Loki; set file, and have it follow"
            " llm_io_*.jsonl; expected one of file, off"
        )
    return _known_sink(value)


def max_chars(value: Any) -> int:
    allowed = "expected a whole number from 1 to 50000"
    try:
        number = _values.count_above_zero(value)
    except (ValueError, TypeError) as error:
        raise type(error)(allowed) from None
    if number > 50_000:
        raise ValueError(allowed)
    return number


def directory(value: Any) -> str:
    try:
        path = os.fspath(value)
    except TypeError:
        path = b""
    if not isinstance(path, str):
        raise TypeError("expected the path of a directory")
    if not path.strip() or "\0" in path or path.startswith(("/proc/", "/dev/fd/")):
        raise ValueError("expected the path of a directory")
    if os.path.exists(path) and not os.path.isdir(path):
        raise ValueError("expected the path of a directory; this is a file")
    return path


def index_file(value: Any) -> str:
    allowed = "expected the name of a file in the audit's directory, or a path"
    try:
        path = os.fspath(value)
    except TypeError:
        path = b""
    if not isinstance(path, str):
        raise TypeError(allowed)
    if not path.strip() or "\0" in path or not os.path.basename(path) or os.path.isdir(path):
        raise ValueError(allowed)
    if os.path.dirname(path):
        _paths.filename(path)
    return path
