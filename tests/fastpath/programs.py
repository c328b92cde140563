"""Random programs of log calls and of changes between them, and the machine that runs them."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import sys
import threading
import time
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

import logspool
from tests.fastpath import oracle, values
from tests.fastpath.callers import ORDINARY_PLACES, PLACES
from tests.fastpath.world import fast_calls

NAMES = ("a", "", "a.b", "a.b.c", "x.y", "root", 'o"d\n.ä')
LEVELS = (0, 10, 20, 30, 40, 50, 15, 25, 1, 60)
METHODS = ("debug", "info", "warning", "error", "critical", "exception", "log", "fatal", "warn")
OWN_LEVEL = {
    "debug": 10,
    "info": 20,
    "warning": 30,
    "error": 40,
    "critical": 50,
    "exception": 40,
    "fatal": 50,
    "warn": 30,
}
LOG_LEVELS: dict[str, Any] = {
    **{str(level): level for level in LEVELS},
    "true": True,
    "enum": values.Levels.NOTE,
    "number": values.Number(33),
    "negative": -5,
    "huge": 10**20,
    "text": "INFO",
    "float": 20.0,
    "none": None,
}
STATIC = {"region": "eu", "zone": 1}


class _Subclass(logspool.SpoolHandler):
    """A handler of the user's, with nothing of its own."""


class Recording(logging.Handler):
    """A foreign handler: it notes all that is in the record."""

    def __init__(self, run: values.Run) -> None:
        super().__init__()
        self.run = run

    def emit(self, record: logging.LogRecord) -> None:
        self.run.seen.append(("record", snapshot(record)))


class Changing(logging.Handler):
    """A foreign handler that leaves its marks in the record."""

    def emit(self, record: logging.LogRecord) -> None:
        record.marked = True
        record.msg = f"changed {record.msg!s}"


def snapshot(record: logging.LogRecord) -> list[Any]:
    """A record's attributes, in their order, without what differs between two runs."""
    moving = ("created", "msecs", "relativeCreated", "thread")
    found: list[Any] = []
    for key, value in record.__dict__.items():
        if key in moving:
            found.append((key, type(value).__name__))
        elif isinstance(value, BaseException | types.TracebackType) or key == "exc_info":
            found.append((key, type(value).__name__))
        else:
            found.append((str(key), value if isinstance(value, str | int | float) else type(value).__name__))
    return found


HANDLERS: dict[str, Callable[[values.Run], logging.Handler]] = {
    "a": lambda run: run.logs.handler("a"),
    "a without source": lambda run: run.logs.handler("a", src=False),
    "b": lambda run: run.logs.handler("b", environment="test", version="1", static=STATIC),
    "c at warning": lambda run: run.logs.handler("c", level="WARNING", max_field=200, max_record=2048),
    "text": lambda run: run.logs.handler("text", json=False),
    "late": lambda run: run.logs.handler("late", delay=True),
    "subclass": lambda run: run.logs.handler("c", _Subclass),
    "recording": Recording,
    "changing": lambda run: Changing(),
    "stream": lambda run: logging.StreamHandler(),
    "null": lambda run: logging.NullHandler(),
}


def _raising(record: logging.LogRecord) -> bool:
    raise RuntimeError("filter")


def _replacing(record: logging.LogRecord) -> Any:
    other = copy.copy(record)
    other.msg, other.args = "another", ()
    return other


def filters(run: values.Run, name: str) -> Any:
    def noting(record: logging.LogRecord) -> bool:
        run.seen.append(("filtered", snapshot(record)))
        return True

    def enriching(record: logging.LogRecord) -> int:
        record.enriched = {"by": "filter"}
        return 1

    return {
        "noting": noting,
        "rejecting": lambda record: False,
        "enriching": enriching,
        "replacing": _replacing,
        "raising": _raising,
        "by name": logging.Filter("a.b"),
    }[name]


class _RaisingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        raise RuntimeError("format")


FORMATTERS: dict[str, Callable[[], logging.Formatter | None]] = {
    "none": lambda: None,
    "default": logging.Formatter,
    "own": lambda: logging.Formatter("F %(levelname)s %(message)s"),
    "basic": lambda: logging.Formatter(logging.BASIC_FORMAT),
    "raising": _RaisingFormatter,
}

#: What may be patched on a class or a module, and whether it exists in this version.
PATCHES: dict[str, tuple[Any, str]] = {
    f"{getattr(owner, '__name__', owner)}.{name}": (owner, name)
    for owner, names in (
        (logging.Logger, ("callHandlers", "handle", "findCaller", "_log", "makeRecord", "isEnabledFor", "filter")),
        (
            logging.Logger,
            ("getEffectiveLevel", "info", "error", "log", "critical", "warning", "exception", "fatal", "warn"),
        ),
        (logging.Filterer, ("filter",)),
        (logging.Handler, ("handle",)),
        (logspool.SpoolHandler, ("handle", "emit", "filter", "format", "acquire")),
        (logging.LogRecord, ("getMessage", "__init__")),
        (logging, ("currentframe", "_is_internal_frame", "getLevelName")),
        (os, ("getpid",)),
        (threading, ("current_thread",)),
    )
    for name in names
    if hasattr(owner, name)
}
INSTANCE_PATCHES = (
    *("handle", "makeRecord", "callHandlers", "findCaller", "_log", "isEnabledFor", "filter"),
    *("info", "error", "critical", "warning", "getEffectiveLevel", "log"),
)
HANDLER_PATCHES = ("handle", "emit", "filter", "format", "acquire")
FACTORIES = ("noting", "enriching", "subclass", "standard")


class _Record(logging.LogRecord):
    def getMessage(self) -> str:
        return f"<{super().getMessage()}>"


class Machine:
    """Runs one program on one route."""

    def __init__(self, run: values.Run, *, fast: bool) -> None:
        self.run, self.fast = run, fast
        self.handlers: dict[str, logging.Handler] = {}
        self.held: dict[str, Callable[..., Any]] = {}
        self.undo: dict[Any, Callable[[], None]] = {}
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
            self.handlers[name] = HANDLERS[name](self.run)
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

    # -- what others do to the logging module --------------------------------------------------------------------------

    def do_patch(self, label: str) -> None:
        owner, name = PATCHES[label]
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
            "subclass": _Record,
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
        """Whether something is patched that all loggers share."""
        return any(key == "time" or not isinstance(key[0], logging.Logger | logging.Handler) for key in self.undo)

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


# -- programs ----------------------------------------------------------------------------------------------------------

_names = st.sampled_from(NAMES)
_levels = st.sampled_from(LEVELS)
_handlers = st.sampled_from(tuple(HANDLERS))
_spool_handlers = st.sampled_from(("a", "b", "a without source", "c at warning"))
_flags = st.sampled_from(("true", "false", "one", "zero", "none", "noting true", "noting false"))
_filters = st.sampled_from(("noting", "rejecting", "enriching", "replacing", "raising", "by name"))


def _often(usual: Any, *rare: Any) -> st.SearchStrategy[Any]:
    """Mostly the first, so that a program does not stand in its own way all the time."""
    return st.one_of(usual, usual, usual, *rare)


_plain_keywords = st.fixed_dictionaries({}, optional={"extra": st.sampled_from(tuple(values.PLAIN_EXTRAS))})
_odd_keywords = st.fixed_dictionaries(
    {},
    optional={
        "extra": st.sampled_from(tuple(values.EXTRAS)),
        "exc_info": st.sampled_from(tuple(values.EXC_INFOS)),
        "stacklevel": st.sampled_from(tuple(values.STACKLEVELS)),
        "stack_info": st.sampled_from(tuple(values.STACK_INFOS)),
    },
)
_wrong_keywords = st.fixed_dictionaries(
    {
        "wrong": st.sampled_from(("unknown", "level", "args", "msg", "self", "subclass of str", "no str")),
    },
    optional={"extra": st.sampled_from(tuple(values.EXTRAS))},
)
_plain_call = st.tuples(
    st.just("call"),
    _names,
    st.sampled_from(METHODS[:7]),
    st.sampled_from(("20", "10", "30", "40", "50")),
    st.just("logger"),
    st.sampled_from(ORDINARY_PLACES[:4]),
    st.sampled_from(("constant", "one", "two", "number", "named", "unicode")),
    st.lists(st.sampled_from(tuple(values.PLAIN)), max_size=2).map(tuple),
    _plain_keywords,
)
_any_call = st.tuples(
    st.just("call"),
    _names,
    st.sampled_from(METHODS),
    st.sampled_from(tuple(LOG_LEVELS)),
    _often(
        st.just("logger"),
        st.sampled_from(
            (
                "held",
                "unbound",
                "type",
                "module",
                "adapter",
                "adapter without extra",
                "adapter merging",
                "adapter of adapter",
            )
        ),
    ),
    _often(st.just("direct"), st.sampled_from(tuple(PLACES))),
    _often(
        st.sampled_from(tuple(values.MESSAGES)),
        st.sampled_from(("nothing", *(f"value {name}" for name in values.VALUES))),
    ),
    st.lists(st.sampled_from(tuple(values.VALUES)), max_size=3).map(tuple),
    _often(_odd_keywords, _wrong_keywords),
)
_tree = st.one_of(
    st.tuples(st.just("level"), _names, _levels),
    st.tuples(st.just("propagate"), _names, _flags),
    st.tuples(st.just("disabled"), _names, _flags),
    st.tuples(st.just("disable"), _levels),
    st.tuples(st.just("raw_level"), _names, _levels),
    st.tuples(st.just("parent"), _names, st.sampled_from((*NAMES, "none", "foreign"))),
    st.tuples(st.just("rename"), _names, st.sampled_from(("renamed", 'q"uote', ""))),
    st.tuples(st.just("add"), _names, _spool_handlers),
    st.tuples(st.just("add"), _names, _handlers),
    st.tuples(st.just("remove"), _names, _handlers),
    st.tuples(
        st.just("list"), _names, st.sampled_from(("append", "clear", "new", "tuple", "subclass", "junk")), _handlers
    ),
    st.tuples(st.just("handler_level"), _handlers, _levels),
    st.tuples(st.just("handler_raw_level"), _handlers, st.sampled_from(tuple(LOG_LEVELS))),
    st.tuples(st.just("formatter"), _handlers, st.sampled_from(tuple(FORMATTERS))),
    st.tuples(st.just("close"), _handlers),
    st.tuples(st.just("filter"), _names, _filters),
    st.tuples(st.just("unfilter"), _names),
    st.tuples(st.just("handler_filter"), _handlers, _filters),
    st.tuples(st.just("handler_unfilter"), _handlers),
)
_others = st.one_of(
    st.tuples(st.just("patch"), st.sampled_from(tuple(PATCHES))),
    st.tuples(st.just("patch_instance"), _names, st.sampled_from(INSTANCE_PATCHES)),
    st.tuples(st.just("patch_handler"), _handlers, st.sampled_from(HANDLER_PATCHES)),
    st.tuples(st.just("factory"), st.sampled_from(FACTORIES)),
    st.tuples(
        st.just("flag"),
        st.sampled_from(("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks")),
        st.booleans(),
    ),
    st.tuples(st.just("source")),
    st.tuples(st.just("raise_exceptions"), st.booleans()),
    st.tuples(st.just("last_resort"), st.sampled_from(("none", "a", "recording"))),
    st.tuples(st.just("level_name"), _levels, st.sampled_from(("NOTICE", "", 'L"ä\n'))),
    st.tuples(st.just("time"), st.sampled_from((1_700_000_000.25, 0, 1_700_000_000, -1.5, 4e9, 1e300))),
    st.tuples(st.just("thread_name"), st.sampled_from(("renamed", 'ä"\n', ""))),
    st.tuples(st.just("capture_warnings"), st.booleans()),
    st.tuples(st.just("warn"), st.sampled_from(("careful %s", "ä"))),
    st.tuples(st.just("install")),
    st.tuples(st.just("uninstall")),
    st.tuples(st.just("identity"), _names),
    st.tuples(st.just("hold"), _names, st.sampled_from(METHODS[:8])),
    st.tuples(st.just("subclass"), _names),
    st.tuples(st.just("handle"), _names, _levels),
    st.tuples(st.just("log_directly"), _names, _levels),
)
_opening = st.tuples(
    st.lists(st.tuples(st.just("add"), _names, _spool_handlers), min_size=1, max_size=3),
    st.lists(st.tuples(st.just("level"), _names, st.sampled_from((10, 20, 30))), max_size=2),
    st.booleans(),
)


_mapping_call = st.tuples(
    st.just("call"),
    _names,
    st.sampled_from(METHODS[:5]),
    st.just("20"),
    st.just("logger"),
    st.just("direct"),
    st.sampled_from(("named", "one", "constant", "two")),
    st.sampled_from(("dict", "empty dict", "mapping", "missing", "ordered", "proxy")).map(lambda value: (value,)),
    _plain_keywords,
)
_failing_call = st.tuples(
    st.just("call"),
    _names,
    st.sampled_from(("exception", "error", "info")),
    st.just("20"),
    st.just("logger"),
    st.sampled_from(("except", "direct", "finally", "after except", "thread")),
    st.sampled_from(("constant", "one")),
    st.lists(st.sampled_from(tuple(values.PLAIN)), max_size=1).map(tuple),
    st.fixed_dictionaries({"exc_info": st.sampled_from(tuple(values.EXC_INFOS))}, optional={"extra": st.just("one")}),
)


@st.composite
def _sandwich(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Something gets in the way of a logger's calls and goes again."""
    name = draw(st.sampled_from(("a", "a.b", "")))
    handler = draw(_spool_handlers)
    patch = draw(st.sampled_from(tuple(PATCHES)))
    attribute = draw(st.sampled_from(INSTANCE_PATCHES))
    spoiled, mended = draw(
        st.sampled_from(
            (
                (("filter", name, draw(_filters)), ("unfilter", name)),
                (("handler_filter", handler, draw(_filters)), ("handler_unfilter", handler)),
                (("formatter", handler, "own"), ("formatter", handler, "none")),
                (("add", name, "recording"), ("remove", name, "recording")),
                (("add", "", "subclass"), ("remove", "", "subclass")),
                (("patch", patch), ("patch", patch)),
                (("patch_instance", name, attribute), ("patch_instance", name, attribute)),
                (("patch_handler", handler, "handle"), ("patch_handler", handler, "handle")),
                (("factory", draw(st.sampled_from(FACTORIES))), ("factory", "standard")),
                (("flag", "logThreads", False), ("flag", "logThreads", True)),
                (("source",), ("source",)),
                (("disable", 50), ("disable", 0)),
                (("disabled", name, "true"), ("disabled", name, "false")),
                (("uninstall",), ("install",)),
                (("level", name, 50), ("level", name, 10)),
            )
        )
    )

    def calls() -> list[tuple[Any, ...]]:
        call = ("call", name, "info", "20", "logger", "direct", "one", ("text",), draw(_plain_keywords))
        return [call, call]

    return [("add", name, handler), *calls(), spoiled, *calls(), mended, *calls()]


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Loggers and handlers first, then calls with changes between them; installed at the beginning or after the loggers."""
    added, levels, early = draw(_opening)
    built = [("level", "", 10), *added, *levels]
    program = [("install",), *built] if early else [*built, ("install",)]
    single = st.one_of(
        _plain_call, _plain_call, _any_call, _any_call, _mapping_call, _failing_call, _tree, _tree, _others
    )
    for part in draw(
        st.lists(st.one_of(*[single.map(lambda operation: [operation])] * 8, _sandwich()), min_size=3, max_size=14)
    ):
        program += part
    return program
