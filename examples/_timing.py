"""Runs one of the example servers and measures the time that it spends in logging.

    python examples/_timing.py OUT.json SERVER.py

What is measured: from the moment a call of a logging function begins until it returns to the code that made it, on
the thread that made it. The clock stands around the same call sites in every server: `log_cost(...)` of the server
itself, and `debug`, `info`, `warning`, `error`, `critical`, `exception` and `log` of every logger that exists once the server
is imported, the libraries' own loggers (httpx, mcp) included. Whatever happens inside counts: making the record,
formatting or encoding it, every handler, a write or flush of a file, waiting for the GIL. What is done later on
another thread does not count; `cpu_ns` (all threads of the process, from the first to the last of these calls)
shows it. Where `logspool.httpx` makes the records of requests and their costs, the clock stands around all that it
does for a request, looking at each piece of its answer included: one span, the sum.

How: the methods are shadowed by attributes of the logger objects, so that neither `logging.Logger` nor
`logging.Handler` is patched, and the wrapper's frames carry the file name by which `logging` leaves its own frames
out when it looks for the caller. Both clock readings cost about 0.1 µs together, on both sides. Calls below the
logger's level are not measured: they make no record.

OUT.json: `{"spans": [[call, kind, ns], …], "cpu_ns": …}`, where `call` is the number of the tool call during which the
span fell (-1: during none) and `kind` is "log", "cost" or "http".
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import importlib.util
import itertools
import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

METHODS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
    "log": logging.CRITICAL,
}


# Which tool call the running code belongs to; it follows asyncio tasks and the worker threads of synchronous tools.
tool_call: contextvars.ContextVar[int] = contextvars.ContextVar("tool_call", default=-1)


class Spans:
    """The spans so far; `timed` wraps a function so that each of its calls adds one."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, str, int]] = []
        self.cpu: list[int] = []
        self.here = threading.local()

    def book(self, kind: str, ns: int) -> None:
        self.spans.append((tool_call.get(), kind, ns))
        self.cpu = [*self.cpu[:1], time.process_time_ns()]

    def timed(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        book, clock, here = self.book, time.perf_counter_ns, self.here

        def call(*args: Any, **kwargs: Any) -> Any:
            if getattr(here, "timing", False):  # exception() calls error(): one span
                return function(*args, **kwargs)
            here.timing = True
            began = clock()
            try:
                return function(*args, **kwargs)
            finally:
                ended = clock()
                here.timing = False
                book(kind, ended - began)

        # The caller that a record names is the first frame outside of this file; see findCaller() in `logging`.
        code = call.__code__.replace(co_filename=logging._srcfile or __file__)
        return FunctionType(code, call.__globals__, function.__name__, closure=call.__closure__)

    def part(self, function: Callable[..., Any], request: Callable[[tuple[Any, ...], Any], Any]) -> Callable[..., Any]:
        """Wraps a function of HTTP capture, so that its time is added to that of its request; the last one adds a span."""
        book, clock, here = self.book, time.perf_counter_ns, self.here

        def call(*args: Any) -> Any:
            if getattr(here, "timing", False):  # one of them calls another
                return function(*args)
            here.timing = True
            began = clock()
            result = None
            try:
                result = function(*args)
                return result
            finally:
                ended = clock()
                here.timing = False
                state = request(args, result)
                if state is not None:  # a request of which nothing is recorded
                    state.spent_ns = getattr(state, "spent_ns", 0) + ended - began
                    if state.finished and not getattr(state, "booked", False):
                        state.booked = True
                        book("http", state.spent_ns)

        return call

    def watch_capture(self) -> None:
        """Puts the clock around what HTTP capture does: when a request begins, is answered, with each piece of its body, at its end."""
        from logspool.httpx import _body, _call, _send

        begin: Any = self.part(_send._begin, lambda args, result: result)
        _send._begin = begin
        of_call = [(_call.Call, name) for name in ("answered", "failed", "ended")]
        for owner, name in (*of_call, (_body.Look, "feed")):
            of_look = owner is _body.Look
            function = getattr(owner, name)
            setattr(owner, name, self.part(function, lambda args, _, look=of_look: args[0]._call if look else args[0]))

    def watch(self, server: ModuleType) -> None:
        """Puts the clock around `log_cost` of the server and the methods of all loggers, and numbers the tool calls."""
        numbers = itertools.count()

        async def number(context: Any, call_next: Callable[[Any], Any]) -> Any:
            if context.method == "tools/call":
                tool_call.set(next(numbers))
            return await call_next(context)

        server.mcp.middleware.append(number)
        if hasattr(server, "log_cost"):
            server.log_cost = self.timed("cost", server.log_cost)  # type: ignore[attr-defined]
        if "logspool.httpx" in sys.modules:
            self.watch_capture()
        # httpx imports it with its first request; its loggers, which write most of what there is at DEBUG, have to exist by now.
        with contextlib.suppress(ImportError):
            importlib.import_module("httpcore")
        loggers = [logging.root, *logging.root.manager.loggerDict.values()]
        for logger in loggers:
            if isinstance(logger, logging.Logger):
                for name, level in METHODS.items():
                    if logger.isEnabledFor(level):
                        setattr(logger, name, self.timed("log", getattr(logger, name)))

    def write(self, path: str) -> None:
        cpu_ns = self.cpu[-1] - self.cpu[0] if self.cpu else 0
        with open(path, "w") as file:
            json.dump({"spans": self.spans, "cpu_ns": cpu_ns}, file)


def load(path: str) -> ModuleType:
    """Imports a server by its path; its name has a hyphen, so that `import` cannot."""
    spec = importlib.util.spec_from_file_location("server", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["server"] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    out, path = sys.argv[1:3]
    server = load(path)
    spans = Spans()
    spans.watch(server)
    try:
        server.main()
    finally:
        spans.write(out)


if __name__ == "__main__":
    main()
