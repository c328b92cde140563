"""Where text can get into a log call: the message, its arguments, values of every type, exceptions, names, formatters."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import linecache
import logging
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import attrs
import pydantic

import logspool


class Session:
    """What the places log with: a logger of the configured log, and a directory for logs of their own."""

    def __init__(self, directory: Path, rng: Random, settings: dict[str, Any], *, closes: bool = True) -> None:
        self.directory = directory
        self.rng = rng
        self.settings = settings
        self.closes = closes
        self.log = logging.getLogger("planted")
        self.number = itertools.count()

    @contextlib.contextmanager
    def apart(self, formatter: logging.Formatter | None = None, **settings: Any) -> Iterator[logging.Logger]:
        """A logger with a log of its own; a directory takes 64 logs."""
        number = next(self.number)
        log = logging.getLogger(f"apart{number}")
        log.propagate = False
        path = self.directory / f"apart{number // 60}" / f"{log.name}.jsonl"
        handler = logspool.SpoolHandler(path, **{**self.settings, **settings})
        handler.setFormatter(formatter)
        log.addHandler(handler)
        try:
            yield log
        finally:
            log.removeHandler(handler)
            if self.closes:
                handler.close()


class Speaking:
    """An object whose text is somebody's."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Speaking {self.text}>"


class Refused(Exception):
    """An exception that speaks for itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def __str__(self) -> str:
        return f"refused: {self.text}"


@dataclasses.dataclass
class Note:
    note: Any
    number: int = 1


@attrs.define
class AttrsNote:
    note: Any
    number: int = 1


class ModelNote(pydantic.BaseModel):
    note: Any
    number: int = 1


class TupleNote(NamedTuple):
    note: Any
    number: int = 1


def nested(rng: Random, value: Any, depth: int = 30) -> Any:
    """The value below `depth` containers of many kinds."""
    for _ in range(depth):
        value = rng.choice(
            (
                lambda v: {"inner": v, "n": 1},
                lambda v: [1, v, None],
                lambda v: (v, "x"),
                lambda v: Note(v),
                lambda v: AttrsNote(v),
                lambda v: TupleNote(v),
                lambda v: ModelNote(note=v),
                lambda v: collections.OrderedDict(inner=v),
                lambda v: types.MappingProxyType({"inner": v}),
                lambda v: collections.deque([v]),
            )
        )(value)
    return value


def raised(log: Callable[..., None], make: Callable[[], BaseException]) -> None:
    try:
        raise make()
    except BaseException:
        log("it failed", exc_info=True)


def noted(text: str) -> BaseException:
    error = ValueError("plain")
    if sys.version_info >= (3, 11):
        error.add_note(text)
        return error
    return ValueError(text)


def caused(s: Session, text: str, *, quietly: bool) -> None:
    try:
        try:
            raise OSError(text)
        except OSError as error:
            if quietly:
                raise RuntimeError("outer")  # noqa: B904 - the context is what is wanted
            raise RuntimeError("outer") from error
    except RuntimeError:
        s.log.exception("it failed")


def grouped(s: Session, text: str) -> None:
    if sys.version_info < (3, 11):
        raised(s.log.error, lambda: ValueError(text))
        return
    group = ExceptionGroup("several", [ValueError("one"), ExceptionGroup("inner", [KeyError(text)])])  # noqa: F821
    raised(s.log.error, lambda: group)


def source(s: Session, text: str, body: str) -> None:
    """Run a function that stands in a file of its own, with the text in one of its lines."""
    name = str(s.directory.parent / f"program{next(s.number)}.py")
    code = "def run(log):\n    " + body.replace("TEXT", text.replace("\n", " ").replace("\r", " ")) + "\n"
    Path(name).write_text(code, encoding="utf-8")
    linecache.checkcache(name)
    names: dict[str, Any] = {}
    exec(compile(code, name, "exec"), names)
    try:
        names["run"](s.log)
    except RuntimeError:
        s.log.exception("it failed")


def bad_source(s: Session, text: str) -> None:
    """A SyntaxError shows the line it is about."""
    try:
        compile("x = (1 2)  # " + text.replace("\n", " ").replace("\r", " "), "config.py", "exec")
    except SyntaxError:
        s.log.exception("it failed")


def in_thread(s: Session, text: str) -> None:
    thread = threading.Thread(target=s.log.info, args=("in a thread",), name=text)
    thread.start()
    thread.join()


def in_task(s: Session, text: str) -> None:
    async def speak() -> None:
        s.log.info("in a task")

    async def main() -> None:
        await asyncio.create_task(speak(), name=text)

    asyncio.run(main())


def warned(s: Session, text: str) -> None:
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(text, stacklevel=1)
    finally:
        logging.captureWarnings(False)


def filtered(s: Session, text: str) -> None:
    def add(record: logging.LogRecord) -> bool:
        record.note = text
        return True

    s.log.addFilter(add)
    s.log.info("a filter adds to it")
    s.log.removeFilter(add)


class Prefixed(logging.LoggerAdapter):
    """An adapter that puts what it knows before the message."""

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        return f"[{self.extra['note']}] {msg}", kwargs


def apart(s: Session, message: str, *args: Any, formatter: logging.Formatter | None = None, **settings: Any) -> None:
    with s.apart(formatter, **settings) as log:
        log.warning(message, *args)


def text_log_exception(s: Session, text: str) -> None:
    with s.apart(json=False) as log:
        raised(log.error, lambda: ValueError(text))


def bound(s: Session, text: str) -> None:
    with logspool.bound(note=text):
        s.log.info("bound")


def refused_model(s: Session, text: str) -> None:
    try:
        ModelNote(note=1, number=text)
    except pydantic.ValidationError:
        s.log.exception("it failed")


Place = Callable[[Session, str], None]
TEXT: dict[str, Place] = {
    "message": lambda s, t: s.log.info(t),
    "message-debug": lambda s, t: s.log.debug(t),
    "message-f-string": lambda s, t: s.log.warning(f"got {t} now"),
    "message-object": lambda s, t: s.log.info(Speaking(t)),
    "message-dict": lambda s, t: s.log.info({"note": t}),
    "args-s": lambda s, t: s.log.info("got %s now", t),
    "args-r": lambda s, t: s.log.info("got %r", t),
    "args-a": lambda s, t: s.log.info("got %a", t),
    "args-mapping": lambda s, t: s.log.info("got %(what)s", {"what": t}),
    "args-object": lambda s, t: s.log.info("%s and %s", 1, Speaking(t)),
    "args-list": lambda s, t: s.log.info("%s", [t, 1]),
    "args-dict": lambda s, t: s.log.info("payload %s", {"note": [t]}),
    "args-bytes": lambda s, t: s.log.info("raw %s", t.encode()),
    "args-wrong": lambda s, t: s.log.info("no place for it", t),  # noqa: PLE1205 - on purpose
    "extra": lambda s, t: s.log.info("m", extra={"note": t}),
    "extra-fast-kinds": lambda s, t: s.log.info("m %d", 3, extra={"a": 1, "note": t, "b": 2.5}),
    "extra-list": lambda s, t: s.log.info("m", extra={"notes": ["a", t]}),
    "extra-tuple": lambda s, t: s.log.info("m", extra={"notes": ("a", t)}),
    "extra-dict": lambda s, t: s.log.info("m", extra={"a": {"b": {"note": t}}}),
    "extra-set": lambda s, t: s.log.info("m", extra={"notes": {t}}),
    "extra-deque": lambda s, t: s.log.info("m", extra={"notes": collections.deque([t])}),
    "extra-nested": lambda s, t: s.log.info("m", extra={"note": nested(s.rng, t)}),
    "extra-dataclass": lambda s, t: s.log.info("m", extra={"o": Note(t)}),
    "extra-attrs": lambda s, t: s.log.info("m", extra={"o": AttrsNote(t)}),
    "extra-pydantic": lambda s, t: s.log.info("m", extra={"o": ModelNote(note=t)}),
    "extra-namedtuple": lambda s, t: s.log.info("m", extra={"o": TupleNote(t)}),
    "extra-namespace": lambda s, t: s.log.info("m", extra={"o": types.SimpleNamespace(note=t)}),
    "extra-object": lambda s, t: s.log.info("m", extra={"o": Speaking(t)}),
    "extra-enum": lambda s, t: s.log.info("m", extra={"o": Enum("Kind", {"A": t}).A}),
    "extra-path": lambda s, t: s.log.info("m", extra={"o": Path(t)}),
    "extra-str-subclass": lambda s, t: s.log.info("m", extra={"o": type("Text", (str,), {})(t)}),
    "extra-exception": lambda s, t: s.log.info("m", extra={"error": ValueError(t)}),
    "extra-bytes": lambda s, t: s.log.info("m", extra={"raw": t.encode()}),
    "extra-bytearray": lambda s, t: s.log.info("m", extra={"raw": bytearray(t.encode())}),
    "extra-memoryview": lambda s, t: s.log.info("m", extra={"raw": memoryview(t.encode())}),
    "extra-bytes-not-utf8": lambda s, t: s.log.info("m", extra={"raw": b"\xff\xfe " + t.encode() + b" \xff"}),
    "extra-mapping-key": lambda s, t: s.log.info("m", extra={"seen": {t: 1}}),
    "extra-mapping-bytes-key": lambda s, t: s.log.info("m", extra={"seen": {t.encode(): 1}}),
    "extra-name": lambda s, t: s.log.info("m", extra={t: 1}),
    "extra-fields": lambda s, t: s.log.info("m", extra={"fields": {"note": t}}),
    "extra-event": lambda s, t: s.log.info("m", extra={"event": t}),
    "extra-tool": lambda s, t: s.log.info("m", extra={"tool": t}),
    "extra-request-id": lambda s, t: s.log.info("m", extra={"request_id": t}),
    "exception": lambda s, t: raised(s.log.error, lambda: ValueError(t)),
    "exception-own": lambda s, t: raised(s.log.error, lambda: Refused(t)),
    "exception-key-error": lambda s, t: raised(s.log.error, lambda: KeyError(t)),
    "exception-arguments": lambda s, t: raised(s.log.error, lambda: RuntimeError("bad", {"note": t})),
    "exception-command": lambda s, t: raised(
        s.log.error, lambda: subprocess.CalledProcessError(1, ["tool", "--verbose", t])
    ),
    "exception-given": lambda s, t: s.log.error("m", exc_info=ValueError(t)),
    "exception-note": lambda s, t: raised(s.log.error, lambda: noted(t)),
    "exception-cause": lambda s, t: caused(s, t, quietly=False),
    "exception-context": lambda s, t: caused(s, t, quietly=True),
    "exception-group": grouped,
    "exception-source-line": lambda s, t: source(s, t, "raise RuntimeError('x')  # TEXT"),
    "exception-syntax": bad_source,
    "stack-source-line": lambda s, t: source(s, t, "log.info('m', stack_info=True)  # TEXT"),
    "logger-name": lambda s, t: logging.getLogger("planted." + t).info("m"),
    "thread-name": in_thread,
    "task-name": in_task,
    "warning": warned,
    "filter": filtered,
    "adapter": lambda s, t: logging.LoggerAdapter(s.log, {"note": t}).info("m"),
    "adapter-prefix": lambda s, t: Prefixed(s.log, {"note": t}).info("m"),
    "record": lambda s, t: logging.getLogger().handle(
        logging.makeLogRecord({"name": "planted", "levelno": 20, "levelname": "INFO", "msg": t, "note": t})
    ),
    "static": lambda s, t: apart(s, t, static={"note": t}),
    "service": lambda s, t: apart(s, t, service=t),
    "formatter": lambda s, t: apart(s, "got %s", t, formatter=logging.Formatter("%(levelname)s <%(message)s>")),
    "formatter-format": lambda s, t: apart(s, "m", formatter=logging.Formatter(t.replace("%", "%%") + " %(message)s")),
    "text-log": lambda s, t: apart(s, "got %s", t, json=False),
    "text-log-exception": text_log_exception,
    "cost-field": lambda s, t: logspool.log_cost("small", "m-1", note=t),
    "cost-nested": lambda s, t: logspool.log_cost("small", "m-1", request={"messages": [{"content": t}]}),
    "cost-model": lambda s, t: logspool.log_cost("small", t),
    "cost-task": lambda s, t: logspool.log_cost("small", "m-1", task=t, legacy_keys=True),
    "cost-usage": lambda s, t: logspool.log_cost(
        "small", "m-1", usage={"prompt": 1, "completion": 2}, raw={"usage": t}
    ),
    "cost-response-id": lambda s, t: logspool.log_cost("small", "m-1", response_id=t, request_id=t),
}
if hasattr(logspool, "bound"):
    TEXT["bound"] = bound
