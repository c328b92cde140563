"""A program run as two processes, one on each route: what they logged must not differ."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from tests.fastpath.world import comparable
from tests.faults import program

PRELUDE = '''
ON_FAST_ROUTE = sys.argv[1] == "fast"
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50, "exception": 40}


def configure(**settings):
    """Logging to a.jsonl at DEBUG, on the route that this process is for."""
    return logspool.basicConfig(
        **{
            "filename": "a.jsonl",
            "level": "DEBUG",
            "service": "svc",
            "console": False,
            "cost_filename": None,
            "fast": ON_FAST_ROUTE,
            **settings,
        }
    )


def _call(log, method, args, kwargs):
    log.isEnabledFor(LEVELS[method])  # what is not asked yet is asked on the standard path
    before = logspool._core._fast_calls()
    getattr(log, method)(*args, **kwargs)
    after = logspool._core._fast_calls()
    return after[0] - before[0], after[1] - before[1]


def fast(log, method, *args, **kwargs):
    """A call with nothing in its way."""
    counted = _call(log, method, args, kwargs)
    assert not ON_FAST_ROUTE or counted == (1, 0), (method, args, counted)


def standard(log, method, *args, **kwargs):
    """A call with something in its way."""
    counted = _call(log, method, args, kwargs)
    assert counted[0] == 0, (method, args, counted)
'''


def both(
    directory: Path, source: str, *, log: str = "a.jsonl", same: bool = True
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Run the program on both routes; what it logged, and what each wrote to standard output and standard error.

    With `same`, asserts that the lines are the same but for time, process and number.
    """
    processes, found, output = {}, {}, {}
    for route in ("standard", "fast"):
        (directory / route).mkdir(parents=True)
        processes[route] = program.start(directory / route, PRELUDE + textwrap.dedent(source), route)
    for route, process in processes.items():
        out, err = program.end(process)
        assert process.returncode == 0, f"{route}: exit {process.returncode}\n{out}\n{err}"
        found[route] = (directory / route / log).read_text("utf-8").splitlines()
        output[route] = out + err
    if same:
        assert [_without_place(line, directory) for line in found["fast"]] == [
            _without_place(line, directory) for line in found["standard"]
        ]
    return [_record(line) for line in found["fast"]], output


def _without_place(line: str, directory: Path) -> list[Any]:
    """A line as it is compared: which directory it ran in, which process and when say nothing."""
    line = re.sub(r'"pid":\d+', '"pid":0', line)
    line = re.sub(re.escape(str(directory)) + "/(standard|fast)", "…", line)
    return comparable(line)


def _record(line: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(line)
    return record
