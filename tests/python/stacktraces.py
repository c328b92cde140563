"""The stack trace in a record, the standard library's, and whether they agree."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from strict_json import encoded, field, record

from logspool import _core


def ours(error: BaseException, **wanted: Any) -> str:
    """The stack trace of an exception in a record."""
    limits = {"max_field": 1_000_000, "max_record": 50_000_000, **wanted}
    entry = record("m", exc_info=(type(error), error, error.__traceback__))
    return str(encoded(entry, **limits)["exception"]["stacktrace"])


def as_written(text: str) -> str:
    """A text as a record holds it: no newlines at its end, lone surrogates as replacement characters."""
    return text.rstrip("\n").encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def theirs(error: BaseException) -> str:
    """The same from the standard library; where that fails, what the exception says as a value."""
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
    except Exception:
        return str(field(error, max_field=1_000_000))
    return as_written("".join(lines))


def routes() -> tuple[int, int]:
    return _core._stack_traces()


def is_native(function: Callable[[], object]) -> bool:
    """Whether the stack traces written meanwhile were all written natively."""
    native, standard = routes()
    function()
    now = routes()
    assert now != (native, standard)
    return now[1] == standard


#: For tests that need nobody else to have changed `traceback`.
needs_native = pytest.mark.skipif(
    traceback.TracebackException.__init__.__globals__["__name__"] != "traceback",
    reason="another library (exceptiongroup's backport) has changed traceback: tests/python/versions.sh runs it without",
)


def agrees(error: BaseException) -> None:
    """An exception reads the same thrice: when its frames are new, when they are known, and after `traceback` looked."""
    for _ in range(2):
        found = ours(error)
        assert found == theirs(error)
    assert ours(error) == found


def thrown(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught
