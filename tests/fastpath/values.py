"""Values for log calls, by name: ordinary ones, and those that break careless code. Made anew for each route."""

from __future__ import annotations

import collections
import collections.abc
import enum
import logging
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from tests.fastpath.world import Logs

logger_of: Callable[[str], logging.Logger] = logging.getLogger


class Run:
    """What values and operations share within one run of a program."""

    def __init__(self, logs: Logs) -> None:
        self.logs = logs
        #: What filters, foreign handlers, patched functions and values saw.
        self.seen: list[Any] = []
        self.depth = 0
        self.user_code = False


class Text(str):
    """A str of the user's: what is shown is not what is inside."""

    def __str__(self) -> str:
        return "shown:" + str.__str__(self)

    def __mod__(self, args: Any) -> str:
        return "mod:" + str.__mod__(str(self), args)


class Number(int):
    def __str__(self) -> str:
        return "number"


class Levels(enum.IntEnum):
    NOTE = 22


class Counts:
    """Tells by its text how often it was asked."""

    def __init__(self, run: Run) -> None:
        self.run, self.times = run, 0

    def __str__(self) -> str:
        self.times += 1
        self.run.seen.append(("counted", self.times))
        return f"asked {self.times}"

    __repr__ = __str__


class Raises:
    def __init__(self, error: type[BaseException] = ValueError) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error("no text")

    __repr__ = __str__


class Logs_:
    """Logs while its text is made."""

    def __init__(self, run: Run, name: str) -> None:
        self.run, self.name = run, name

    def __str__(self) -> str:
        if self.run.depth >= 2:
            return "deep"
        self.run.depth += 1
        try:
            logging.getLogger(self.name).warning("from within %d", self.run.depth, extra={"within": True})
        finally:
            self.run.depth -= 1
        return "logged"

    __repr__ = __str__


class Does:
    """Does something while its text is made."""

    def __init__(self, text: str, action: Callable[[], object]) -> None:
        self.text, self.action = text, action

    def __str__(self) -> str:
        self.action()
        return self.text

    __repr__ = __str__


class Mapping(collections.abc.Mapping[Any, Any]):
    """A mapping that is no dict."""

    def __init__(self, run: Run, inside: dict[Any, Any]) -> None:
        self.run, self.inside = run, inside

    def __getitem__(self, key: Any) -> Any:
        self.run.seen.append(("get", repr(key)))
        return self.inside[key]

    def __iter__(self) -> Iterator[Any]:
        self.run.seen.append("iter")
        return iter(self.inside)

    def __len__(self) -> int:
        return len(self.inside)

    def __repr__(self) -> str:
        return f"Mapping({self.inside})"


class Upper(dict[Any, Any]):
    """A dict subclass with its own idea of what is in it."""

    def __getitem__(self, key: Any) -> Any:
        return f"got {key}"

    def __iter__(self) -> Iterator[Any]:
        return iter([*dict.keys(self), "added"])


class Missing(dict[Any, Any]):
    def __missing__(self, key: Any) -> Any:
        return f"no {key}"


class Meets:
    """A key that says it is another."""

    def __init__(self, run: Run, other: str) -> None:
        self.run, self.other = run, other

    def __hash__(self) -> int:
        return hash(self.other)

    def __eq__(self, other: object) -> bool:
        self.run.seen.append(("met", str(other)))
        return self is other

    def __repr__(self) -> str:
        return "Meets()"

    __str__ = __repr__


class Broken:
    """An `extra` that raises when it is walked."""

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("not walkable")


class KeysOnly:
    """Walkable, but nothing can be got from it."""

    def __iter__(self) -> Iterator[str]:
        return iter(["k"])

    def __repr__(self) -> str:
        return "KeysOnly()"


class False_(Exception):
    def __bool__(self) -> bool:
        return False


class Truth:
    """A flag with an opinion, which it notes when asked."""

    def __init__(self, run: Run, value: bool) -> None:
        self.run, self.value = run, value

    def __bool__(self) -> bool:
        self.run.seen.append(("asked for truth", self.value))
        return self.value

    def __repr__(self) -> str:
        return "Truth()"


def _raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def _chained() -> BaseException:
    try:
        try:
            {}["missing"]
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as caught:
        caught.__dict__["__notes__"] = ["a note"]
        return caught


def _triple(error: BaseException) -> tuple[Any, ...]:
    caught = _raised(error)
    return (type(caught), caught, caught.__traceback__)


# What runs the program's own code: which route such a call takes is the fast path's to choose.
Factory = Callable[[Run, str], Any]

PLAIN: dict[str, Factory] = {
    "text": lambda run, name: "plain",
    "none": lambda run, name: None,
    "int": lambda run, name: 7,
    "float": lambda run, name: 2.5,
    "true": lambda run, name: True,
    "unicode": lambda run, name: 'ä€🦀 "quoted" \\ \n\x00\x85\u2028',
    "surrogate": lambda run, name: "a\ud800b",
    "empty": lambda run, name: "",
    "long": lambda run, name: "x" * 20_000,
    "bytes": lambda run, name: b"raw\xff",
    "list": lambda run, name: [1, "two", [3.0, None]],
    "tuple": lambda run, name: (1, (2,)),
    "dict": lambda run, name: {"k": 1, "n": {"deep": [True]}},
    "empty dict": lambda run, name: {},
    "nan": lambda run, name: float("nan"),
    "huge": lambda run, name: 10**60,
}
ODD: dict[str, Factory] = {
    "str subclass": lambda run, name: Text("inner"),
    "int subclass": lambda run, name: Number(3),
    "enum": lambda run, name: Levels.NOTE,
    "counts": lambda run, name: Counts(run),
    "raises": lambda run, name: Raises(),
    "raises strange": lambda run, name: Raises(type("Strange", (Exception,), {})),
    "logs": lambda run, name: Logs_(run, name),
    "logs at root": lambda run, name: Logs_(run, ""),
    "disables": lambda run, name: Does("disabled", lambda: setattr(logging.getLogger(name), "disabled", True)),
    "renames": lambda run, name: Does("renamed", lambda: setattr(logging.getLogger(name), "name", "renamed")),
    "exception": lambda run, name: _raised(OSError(2, "gone")),
    "mapping": lambda run, name: Mapping(run, {"k": 1}),
    "missing": lambda run, name: Missing(),
    "ordered": lambda run, name: collections.OrderedDict(b=1, a=2),
    "proxy": lambda run, name: types.MappingProxyType({"k": "proxied"}),
    "object": lambda run, name: types.SimpleNamespace(a=1),
    "class": lambda run, name: ValueError,
}
VALUES = {**PLAIN, **ODD}

MESSAGES = {
    "constant": "ready",
    "one": "got %s",
    "two": "%s and %r",
    "number": "%d of %05.1f",
    "named": "%(k)s is it",
    "percent": "100% sure",
    "escaped": "100%% sure",
    "bad": "%q",
    "unicode": 'ä€🦀 "q" \\ \n\x1b\u2028 %s',
    "surrogate": "a\udc80 %s",
    "empty": "",
    "width": "%*d|%-8s|%c",
    "event": '{"event": "rendered", "level": "info", "k": 1}',
    "json": '{"k": 1}',
}

PLAIN_EXTRAS: dict[str, Factory] = {
    "one": lambda run, name: {"k": 1},
    "many": lambda run, name: {"tool": "search", "rows": 3, "latency_ms": 12.5, "request_id": "req_1", "ok": True},
    "empty": lambda run, name: {},
    "event": lambda run, name: {"event": "tool_call", "category": "tool"},
    "ids": lambda run, name: {"trace_id": "0af7", "span_id": "b7ad", "session_id": 5, "trace_flags": None},
    "fields": lambda run, name: {"fields": {"inner": 1, "k": 2}, "k": 3},
    "fields odd": lambda run, name: {"fields": [1, 2]},
    "values": lambda run, name: {"a": None, "b": [1, {"c": "d"}], "n": float("inf"), "u": "ä\n"},
    "static": lambda run, name: {"region": "own", "svc": 1},
    "core keys": lambda run, name: {"level": "mine", "ts": 0, "logger": "me", "seq": 9, "src": {}, "pid": 1},
    "task": lambda run, name: {"task": "mine", "stack": 1, "exception": "e"},
}
ODD_EXTRAS: dict[str, Factory] = {
    "none": lambda run, name: None,
    "message": lambda run, name: {"message": "mine"},
    "asctime": lambda run, name: {"asctime": "mine"},
    "name": lambda run, name: {"k": 1, "name": "mine"},
    "msg": lambda run, name: {"msg": "mine"},
    "args": lambda run, name: {"args": (1,)},
    "process": lambda run, name: {"process": 1},
    "thread": lambda run, name: {"k": 1, "thread": 2},
    "taskName": lambda run, name: {"taskName": "mine"},  # reserved since 3.12
    "exc_text": lambda run, name: {"exc_text": "mine"},
    "stack_info": lambda run, name: {"stack_info": "mine"},
    "exception": lambda run, name: {"exception": "mine", "stack": "mine"},
    "service": lambda run, name: {"service": "mine", "environment": "e"},
    "subclass": lambda run, name: Upper(k=1),
    "ordered": lambda run, name: collections.OrderedDict(b=1, a=2),
    "default": lambda run, name: collections.defaultdict(list, k=1),
    "mapping": lambda run, name: Mapping(run, {"k": 1, "m": "n"}),
    "proxy": lambda run, name: types.MappingProxyType({"k": 1}),
    "chain": lambda run, name: collections.ChainMap({"k": 1}, {"l": 2}),
    "int keys": lambda run, name: {1: "one", None: 2, ("t",): 3},
    "str subclass keys": lambda run, name: {Text("k"): 1, Text("name"): 2},
    "unequal key": lambda run, name: {Meets(run, "k"): 1},
    "meets name": lambda run, name: {Meets(run, "name"): 1},
    "surrogate key": lambda run, name: {"a\ud800": 1, "": 2, 'q"\n': 3},
    "list": lambda run, name: ["k"],
    "empty list": lambda run, name: [],
    "text": lambda run, name: "k",
    "empty text": lambda run, name: "",
    "int": lambda run, name: 5,
    "false": lambda run, name: False,
    "broken": lambda run, name: Broken(),
    "keys only": lambda run, name: KeysOnly(),
    "values counted": lambda run, name: {"c": Counts(run), "event": Counts(run)},
    "values raise": lambda run, name: {"r": Raises(), "request_id": Raises()},
    "values log": lambda run, name: {"l": Logs_(run, name)},
    "values odd": lambda run, name: {
        "t": Text("x"),
        "e": Levels.NOTE,
        "m": Mapping(run, {"a": 1}),
        "x": ValueError("v"),
    },
    "fields mapping": lambda run, name: {"fields": Mapping(run, {"a": 1})},
    "clears itself": lambda run, name: _clearing(),
    "method": lambda run, name: {"getMessage": 1, "__dict__": 2},
}
EXTRAS = {**PLAIN_EXTRAS, **ODD_EXTRAS}


def _clearing() -> dict[str, Any]:
    extra: dict[str, Any] = {}
    extra.update(first=Does("first", extra.clear), second=2)
    return extra


def _malformed() -> tuple[Any, ...]:
    return ("only one",)


EXC_INFOS: dict[str, Factory] = {
    "none": lambda run, name: None,
    "false": lambda run, name: False,
    "zero": lambda run, name: 0,
    "true": lambda run, name: True,
    "one": lambda run, name: 1,
    "instance": lambda run, name: _raised(ValueError("boom")),
    "never raised": lambda run, name: ValueError("calm"),
    "chained": lambda run, name: _chained(),
    "triple": lambda run, name: _triple(KeyError("k")),
    "nothing": lambda run, name: (None, None, None),
    "empty": lambda run, name: (),
    "malformed": lambda run, name: _malformed(),
    "text": lambda run, name: "yes",
    "falsy error": lambda run, name: _raised(False_("falsy")),
    "unprintable": lambda run, name: _raised(
        type("Bad", (Exception,), {"__str__": Raises.__str__, "error": ValueError})()
    ),
    "exit": lambda run, name: _raised(SystemExit(3)),
    "class": lambda run, name: ValueError,
    "truth": lambda run, name: Truth(run, True),
    "group": lambda run, name: (
        _raised(ExceptionGroup("many", [ValueError(1), KeyError(2)])) if sys.version_info >= (3, 11) else ValueError(1)  # type: ignore[name-defined]  # noqa: F821
    ),
}

STACKLEVELS: dict[str, Any] = {
    **{str(level): level for level in range(1, 6)},
    "0": 0,
    "-1": -1,
    "true": True,
    "float": 2.5,
    "100": 100,
    "huge": 10**30,
    "text": "2",
    "none": None,
    "number": Number(2),
}
STACK_INFOS: dict[str, Any] = {"true": True, "false": False, "none": None, "one": 1, "text": "yes"}
