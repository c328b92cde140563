"""The machine that runs a program of log calls and of changes between them on one route."""

from __future__ import annotations

import copy
import logging
import pickle
import sys
import threading
import time
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.context import attach, detach
from tests.fastpath import oracle, values
from tests.fastpath.callers import ORDINARY_PLACES, PLACES
from tests.fastpath.furniture import (
    FORMATTERS,
    HANDLERS,
    LOG_LEVELS,
    NAMES,
    OWN_LEVEL,
    PATCHES,
    RecordOfTheUsers,
    filters,
)
from tests.fastpath.world import fast_calls

import logspool


class Machine:
    """Runs one program on one route."""

    def __init__(self, run: values.Run, *, fast: bool) -> None:
        self.run, self.fast = run, fast
        self.handlers: dict[str, logging.Handler] = {}
        self.held: dict[str, Callable[..., Any]] = {}
        self.undo: dict[Any, Callable[[], None]] = {}
        self.blocks: list[logspool.context.Bound] = []
        self.spans: list[Any] = []
        self.closed = False
        #: What became of each operation.
        self.outcomes: list[Any] = []
        #: Where the oracle knew the route: the operation, the route, and what was counted.
        self.routes: list[tuple[Any, str, tuple[int, int]]] = []

    def __call__(self, program: list[tuple[Any, ...]]) -> None:
        try:
            for operation in program:
                name, *arguments = operation
                self.outcomes.append(self._outcome(operation, getattr(self, f"do_{name}"), arguments))
            self.outcomes.append(self._outcome(("loggers",), lambda: [*map(repr, map(logging.getLogger, NAMES))], []))
        finally:
            for undo in self.undo.values():
                undo()
            while self.blocks:
                self.do_block_end(False)
            while self.spans:
                self.do_span_end()
            logspool.clear()
            for handler in self.handlers.values():
                handler.close()

    def _outcome(self, operation: tuple[Any, ...], do: Callable[..., Any], arguments: list[Any]) -> Any:
        try:
            result = do(*arguments)
        except Exception as error:
            return [operation[0], type(error).__name__, str(error)]
        return [operation[0], result]

    def handler(self, name: str) -> logging.Handler:
        """The program's own handler of that name."""
        if name not in self.handlers:
            made = self.handlers[name] = HANDLERS[name](self.run)
            if isinstance(made, logspool.SpoolHandler):
                made.flushOnClose = False  # the logs are flushed once for all
        return self.handlers[name]

    def patch(self, owner: Any, name: str, label: str, *, once: bool = False) -> None:
        """Put a function that notes its calls in the place of an attribute; at the second time take it away again."""
        if (owner, name) in self.undo:
            self.undo.pop((owner, name))()
            return
        original, own = getattr(owner, name), vars(owner).get(name) if hasattr(owner, "__dict__") else None

        def patched(*args: Any, **kwargs: Any) -> Any:
            self.run.seen.append(("patched", label))
            return original(*args, **kwargs)

        setattr(owner, name, patched)
        self.undo[owner, name] = (
            (lambda: setattr(owner, name, own)) if own is not None else (lambda: delattr(owner, name))
        )

    # -- the tree ------------------------------------------------------------------------------------------------------

    def do_level(self, name: str, level: int) -> None:
        logging.getLogger(name).setLevel(level)

    def do_raw_level(self, name: str, level: int) -> None:
        logging.getLogger(name).level = level  # what was asked before stays in the logger's cache

    def do_propagate(self, name: str, value: str) -> None:
        logging.getLogger(name).propagate = self._flag(value)

    def do_disabled(self, name: str, value: str) -> None:
        logging.getLogger(name).disabled = self._flag(value)

    def _flag(self, value: str) -> Any:
        return {
            "true": True,
            "false": False,
            "one": 1,
            "zero": 0,
            "none": None,
            "noting true": values.Truth(self.run, True),
            "noting false": values.Truth(self.run, False),
        }[value]

    def do_disable(self, level: int) -> None:
        logging.disable(level)

    def do_parent(self, name: str, parent: str) -> None:
        if parent == "foreign":
            other: Any = types.SimpleNamespace(
                handlers=[self.handler("recording")], propagate=True, parent=logging.root, level=0, filters=[]
            )
        else:
            other = None if parent == "none" else logging.getLogger(parent)
        at = other
        while at is not None:  # no circles: they are for ever
            if at is logging.getLogger(name):
                return
            at = at.parent
        logging.getLogger(name).parent = other

    def do_rename(self, name: str, new: str) -> None:
        logging.getLogger(name).name = new

    def do_add(self, name: str, handler: str) -> None:
        logging.getLogger(name).addHandler(self.handler(handler))

    def do_remove(self, name: str, handler: str) -> None:
        logging.getLogger(name).removeHandler(self.handler(handler))

    def do_list(self, name: str, how: str, handler: str) -> None:
        logger = logging.getLogger(name)
        if how == "append":
            logger.handlers = list(logger.handlers)
            logger.handlers.append(self.handler(handler))  # a second time, too
        elif how == "clear":
            logger.handlers = list(logger.handlers)
            logger.handlers.clear()
        elif how == "new":
            logger.handlers = [self.handler(handler)]
        elif how == "tuple":
            logger.handlers = (self.handler(handler),)  # type: ignore[assignment]
        elif how == "subclass":
            logger.handlers = type("Reversed", (list,), {"__iter__": lambda own: reversed(own)})(
                [*logger.handlers, self.handler(handler)]
            )
        elif how == "junk":
            logger.handlers = [None]  # type: ignore[list-item]

    # -- handlers ------------------------------------------------------------------------------------------------------

    def do_handler_level(self, handler: str, level: int) -> None:
        self.handler(handler).setLevel(level)

    def do_handler_raw_level(self, handler: str, level: str) -> None:
        self.handler(handler).level = LOG_LEVELS[level]

    def do_formatter(self, handler: str, formatter: str) -> None:
        self.handler(handler).setFormatter(FORMATTERS[formatter]())

    def do_close(self, handler: str) -> None:
        self.closed = True
        self.handler(handler).close()

    # -- filters -------------------------------------------------------------------------------------------------------

    def do_filter(self, name: str, filter_: str) -> None:
        logging.getLogger(name).filters.append(filters(self.run, filter_))

    def do_unfilter(self, name: str) -> None:
        logging.getLogger(name).filters.clear()

    def do_handler_filter(self, handler: str, filter_: str) -> None:
        self.handler(handler).filters.append(filters(self.run, filter_))

    def do_handler_unfilter(self, handler: str) -> None:
        self.handler(handler).filters.clear()

    # -- what is bound -------------------------------------------------------------------------------------------------

    def _values(self, name: str, bindings: dict[str, str]) -> dict[str, Any]:
        return {key: values.VALUES[value](self.run, name) for key, value in bindings.items()}

    def do_bind(self, name: str, bindings: dict[str, str]) -> None:
        logspool.bind(**self._values(name, bindings))

    def do_unbind(self, names: tuple[str, ...]) -> None:
        logspool.unbind(*names)

    def do_clear(self) -> None:
        logspool.clear()

    def do_block(self, name: str, bindings: dict[str, str], buffer: int | None, records: int) -> None:
        block = logspool.bound(buffer=buffer, buffer_records=records, **self._values(name, bindings))
        block.__enter__()
        self.blocks.append(block)

    def do_block_end(self, fails: bool) -> Any:
        if self.blocks:
            block = self.blocks.pop()
            block.__exit__(*((LookupError, LookupError(), None) if fails else (None, None, None)))
        return sorted(map(repr, logspool.context.current()))

    def do_span(self, number: int) -> None:
        span = trace.NonRecordingSpan(trace.SpanContext(number, number, is_remote=False))  # 0 is not valid
        self.spans.append(attach(trace.set_span_in_context(span)))

    def do_span_end(self) -> None:
        if self.spans:
            detach(self.spans.pop())

    # -- what others do to the logging module --------------------------------------------------------------------------

    def do_patch(self, label: str) -> None:
        owner, name = PATCHES[label]
        if any(isinstance(key[0], logging.Logger) and key[1] == name for key in self.undo):
            return  # what stands in a logger calls the method that it found there: of each route another one
        self.patch(owner, name, label)

    def do_patch_instance(self, name: str, attribute: str) -> None:
        logger = logging.getLogger(name)
        if (logger, attribute) not in self.undo and attribute in logger.__dict__:
            return
        self.patch(logger, attribute, f"{name}.{attribute}")

    def do_patch_handler(self, handler: str, attribute: str) -> None:
        self.patch(self.handler(handler), attribute, f"handler {handler}.{attribute}")

    def do_factory(self, kind: str) -> None:
        def noting(*args: Any, **kwargs: Any) -> logging.LogRecord:
            self.run.seen.append(("made", len(args), sorted(kwargs)))
            return logging.LogRecord(*args, **kwargs)

        def enriching(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = logging.LogRecord(*args, **kwargs)
            record.trace_id, record.made = "from the factory", True
            return record

        made: dict[str, Any] = {
            "noting": noting,
            "enriching": enriching,
            "subclass": RecordOfTheUsers,
            "standard": logging.LogRecord,
        }
        logging.setLogRecordFactory(made[kind])

    def do_flag(self, flag: str, value: bool) -> None:
        if hasattr(logging, flag):
            setattr(logging, flag, value)

    def do_source(self) -> None:
        logging._srcfile = None if logging._srcfile else logging.__file__  # type: ignore[attr-defined]

    def do_raise_exceptions(self, value: bool) -> None:
        logging.raiseExceptions = value

    def do_last_resort(self, handler: str) -> None:
        logging.lastResort = None if handler == "none" else self.handler(handler)  # type: ignore[assignment]

    def do_level_name(self, level: int, name: str) -> None:
        logging.addLevelName(level, name)

    def do_time(self, seconds: float) -> None:
        original = time.time, time.time_ns

        def undo() -> None:
            time.time, time.time_ns = original

        if "time" not in self.undo:
            self.undo["time"] = undo
        time.time, time.time_ns = lambda: seconds, lambda: int(seconds * 1e9)

    def do_thread_name(self, name: str) -> None:
        threading.current_thread().name = name

    def do_capture_warnings(self, on: bool) -> None:
        logging.captureWarnings(on)
        self.undo["warnings"] = lambda: logging.captureWarnings(False)

    def do_warn(self, text: str) -> None:
        warnings.warn(text, UserWarning, stacklevel=1)

    # -- install -------------------------------------------------------------------------------------------------------

    def do_install(self) -> None:
        if self.fast:
            logspool.install()

    def do_uninstall(self) -> None:
        if self.fast:
            logspool.uninstall()

    # -- the loggers themselves ----------------------------------------------------------------------------------------

    def do_identity(self, name: str) -> Any:
        logger = logging.getLogger(name)
        return [
            pickle.loads(pickle.dumps(logger)) is logger,
            copy.copy(logger) is logger,
            copy.deepcopy(logger) is logger,
            weakref.ref(logger)() is logger,
            logger.getChild("kid") is logging.getLogger(f"{name}.kid" if logger is not logging.root else "kid"),
            isinstance(logger, logging.Logger),
            isinstance(logger, logging.RootLogger),
            type(logger).__name__,
            repr(logger),
            list(logger.__dict__),
            logger.hasHandlers(),
            logger.getEffectiveLevel(),
            logger.isEnabledFor(20),
            sys.version_info < (3, 12) or sorted(map(repr, logger.getChildren())),
        ]

    def do_hold(self, name: str, method: str) -> None:
        """Keep a bound method for a later call, as `info = logger.info` at the top of a module does."""
        self.held[method] = getattr(logging.getLogger(name), method)

    def do_subclass(self, name: str) -> None:
        """A logger class of the user's for new loggers, which makes its records in its own way."""
        run = self.run

        class Own(logging.getLoggerClass()):  # type: ignore[misc]
            def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
                run.seen.append("made by a subclass")
                record: logging.LogRecord = super().makeRecord(*args, **kwargs)
                record.own = True
                return record

        before = logging.getLoggerClass()
        logging.setLoggerClass(Own)
        logging.getLogger(f"{name}.own").info("of a subclass %d", 1, extra={"k": 1})
        logging.setLoggerClass(before)

    # -- calls ---------------------------------------------------------------------------------------------------------

    def do_call(
        self,
        name: str,
        method: str,
        level: str,
        target: str,
        place: str,
        message: str,
        arguments: tuple[str, ...],
        keywords: dict[str, str],
    ) -> Any:
        made: dict[str, Any] = {}
        for keyword, value in keywords.items():
            made.update(self._keyword(name, keyword, value))
        args: list[Any] = [values.VALUES[argument](self.run, name) for argument in arguments]
        if message != "nothing":
            args.insert(0, values.MESSAGES[message] if message in values.MESSAGES else self._value(name, message))
        if method == "log":
            args.insert(0, LOG_LEVELS[level])
        f, logger = self._target(name, method, target)
        expected = None
        if self.fast and self._ordinary(method, level, target, place, message, arguments, keywords):
            number = LOG_LEVELS[level] if method == "log" else OWN_LEVEL[method]
            expected = oracle.route(logger, number) if oracle.enabled(logger, number) else None
            if expected == oracle.FAST and self._patched():
                expected = None  # what else is patched may be in the way or not
        before = fast_calls() if self.fast else (0, 0)
        try:
            return repr(PLACES[place](f, tuple(args), made))
        finally:
            if expected is not None:
                after = fast_calls()
                counted = (after[0] - before[0], after[1] - before[1])
                self.routes.append(((name, method, level, message, arguments, keywords), expected, counted))

    def _patched(self) -> bool:
        """Whether something is patched that all loggers share, or a log was closed: the next call opens it again."""
        return self.closed or any(
            key == "time" or not isinstance(key[0], logging.Logger | logging.Handler) for key in self.undo
        )

    def _value(self, name: str, message: str) -> Any:
        return values.VALUES[message.removeprefix("value ")](self.run, name)

    def _keyword(self, name: str, keyword: str, value: str) -> dict[str, Any]:
        if keyword == "extra":
            return {"extra": values.EXTRAS[value](self.run, name)}
        if keyword == "exc_info":
            return {"exc_info": values.EXC_INFOS[value](self.run, name)}
        if keyword == "stacklevel":
            return {"stacklevel": values.STACKLEVELS[value]}
        if keyword == "stack_info":
            return {"stack_info": values.STACK_INFOS[value]}
        return {
            "unknown": {"foo": 1},
            "level": {"level": 10},
            "args": {"args": (1,)},
            "msg": {"msg": "by keyword"},
            "self": {"self": 1},
            "subclass of str": {values.Text("extra"): {"k": "odd"}},
            "no str": {1: 2},
        }[value]  # type: ignore[return-value]

    def _target(self, name: str, method: str, target: str) -> tuple[Callable[..., Any], logging.Logger]:
        logger = logging.getLogger(name)
        if target == "held":
            return self.held.get(method, getattr(logger, method)), logger
        if target == "unbound":
            unbound = getattr(logging.Logger, method)
            return (lambda *args, **kwargs: unbound(logger, *args, **kwargs)), logger
        if target == "type":
            of_type = getattr(type(logger), method)
            return (lambda *args, **kwargs: of_type(logger, *args, **kwargs)), logger
        if target == "module":
            return getattr(logging, method), logging.root
        if target.startswith("adapter"):
            return getattr(self._adapter(logger, target), method), logger
        return getattr(logger, method), logger

    def _adapter(self, logger: logging.Logger, target: str) -> Any:
        if target == "adapter without extra":
            return logging.LoggerAdapter(logger, None)
        if target == "adapter merging" and sys.version_info >= (3, 13):
            return logging.LoggerAdapter(logger, {"adapted": 1}, merge_extra=True)
        adapter = logging.LoggerAdapter(logger, {"adapted": 1, "request_id": "req_9"})
        return logging.LoggerAdapter(adapter, {"outer": True}) if target == "adapter of adapter" else adapter

    @staticmethod
    def _ordinary(
        method: str,
        level: str,
        target: str,
        place: str,
        message: str,
        arguments: tuple[str, ...],
        keywords: dict[str, str],
    ) -> bool:
        """Whether the call is as programs have it, so that only what stands in the way decides on its route."""
        return (
            target == "logger"
            and place in ORDINARY_PLACES
            and method in ("debug", "info", "warning", "error", "critical", "log", "fatal")
            and (method != "log" or level in ("10", "20", "30", "40", "50"))
            and message in ("constant", "one", "two", "number", "named", "unicode")
            and all(argument in values.PLAIN for argument in arguments)
            and all(
                (keyword == "extra" and value in values.PLAIN_EXTRAS)
                or (keyword == "exc_info" and value in ("none", "false", "instance"))
                or (keyword == "stacklevel" and value == "1")
                for keyword, value in keywords.items()
            )
        )

    def do_handle(self, name: str, level: int) -> None:
        """What a socket server or a QueueListener does."""
        logger = logging.getLogger(name)
        logger.handle(logger.makeRecord(logger.name, level, "made.py", 3, "made %s", ("here",), None, extra={"k": 1}))

    def do_log_directly(self, name: str, level: int) -> None:
        logging.getLogger(name)._log(level, "directly %s", ("x",), extra={"k": 1})
