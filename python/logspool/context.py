"""Context: what is bound once and stands in every record of a request, a session or a task; `bind`, `unbind`, `bound`, `clear`.

It lives in one `contextvars` variable: each asyncio task and each thread has its own, tasks and `asyncio.to_thread` begin with that of
whoever starts them, and `carry` and `executor` take it into plain executors.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import os
import sys

from logspool import _settings, _values
from logspool._core import Context, Tail, _context_variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from concurrent.futures import ThreadPoolExecutor
    from types import TracebackType
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")
    F = TypeVar("F", bound=Callable[..., Any])

__all__ = [
    "Bound",
    "ContextFilter",
    "bind",
    "bound",
    "carry",
    "clear",
    "current",
    "executor",
    "generate_request_id",
    "set_request_context",
    "unbind",
]

#: What `bound(buffer=…)` holds at most, in records and in bytes of finished lines.
BUFFER_RECORDS = 1_000
BUFFER_BYTES = 1 << 20

_variable: contextvars.ContextVar[Context] = _context_variable


def bind(**values: object) -> None:
    """Add values to the context of this task or thread: they stand in each of its records from now on.

    `session_id`, `request_id`, `trace_id`, `span_id`, `trace_flags`, `tool` and `category` stand at the top of the line, everything
    else in `fields`. What a call passes in `extra` goes before; a promoted name bound to None counts as not bound. Values are encoded
    now: what becomes of an object later does not show. Raises ValueError for `event`, which only a call can have.
    """
    _variable.set(Context(_variable.get(None), values))


def unbind(*names: str) -> None:
    """Take values out of the context; a name that is not bound is no error."""
    context = _variable.get(None)
    if context is not None:
        _variable.set(context.without(names))  # type: ignore[arg-type]


def clear() -> None:
    """Take everything out of the context. A block that keeps its records back (`bound(buffer=…)`) still does."""
    context = _variable.get(None)
    if context is not None:
        _variable.set(context.cleared())  # type: ignore[arg-type]


def current() -> dict[str, Any]:
    """What is bound here, in a dict of the caller's own."""
    context = _variable.get(None)
    return {} if context is None else context.values()


def generate_request_id() -> str:
    """A new id for a request: `req_` and 16 hexadecimal digits, at random."""
    return f"req_{os.urandom(8).hex()}"


def set_request_context(request_id: str | None = None, **values: object) -> str:
    """Bind a request's id, a new one if there is none yet, and more `values`; returns the id."""
    if not request_id:
        request_id = generate_request_id()
    bind(request_id=request_id, **values)
    return request_id


def bound(
    *,
    buffer: int | str | None = None,
    buffer_records: int = BUFFER_RECORDS,
    buffer_bytes: int | str = BUFFER_BYTES,
    **values: object,
) -> Bound:
    """Values bound for the length of a `with` block, or of each call of a function it decorates.

        with logspool.bound(request_id="req_1", tool="search"):
            log.info("found %d rows", 3)

    A decorated function may be a coroutine function, a generator or an asynchronous generator: the values are bound while its body runs,
    and not while it is suspended in the caller's hands. What is bound within the block goes with it.

    `buffer=logging.DEBUG` keeps the block's records of that level and below in memory. They are written, in order, before a record
    of ERROR or above, and when the block is left by an exception; after such a record the block's records are written at once.
    If all goes well they are dropped. Of a nested block they then belong to the outer one, if that holds their level, too. At most
    `buffer_records` and `buffer_bytes` (of lines; `"1MB"` is allowed) are held: the oldest go first, and a `records_discarded` record
    says how many when the others are written. `stats()["tail"]` counts. A record that is held does not survive a kill.
    Cost records (`log_cost`) are never held.

    Raises ValueError for `event`, and for a `buffer` that is no level.
    """
    if buffer is None:
        return Bound(values)
    return Bound(
        values,
        _settings.parse("buffer", _values.level, buffer),
        _settings.parse("buffer_records", _values.count_above_zero, buffer_records),
        _settings.parse("buffer_bytes", _values.size_above_zero, buffer_bytes),
    )


class Bound:
    """What `bound` gives: a context manager, to be entered once at a time, and a decorator."""

    __slots__ = ("_buffer", "_bytes", "_records", "_tail", "_token", "_values")

    def __init__(self, values: dict[str, object], buffer: int | None = None, records: int = 0, size: int = 0) -> None:
        self._values, self._buffer, self._records, self._bytes = values, buffer, records, size
        self._token: contextvars.Token[Context] | None = None
        self._tail: Tail | None = None

    def _again(self) -> Bound:
        return Bound(self._values, self._buffer, self._records, self._bytes)

    def _begin(self) -> Context:
        """The context of a block that begins here."""
        outer = _variable.get(None)
        if self._buffer is not None:
            self._tail = Tail(outer, self._buffer, self._records, self._bytes)
        try:
            return Context(outer, self._values, self._tail)
        except BaseException:
            self._end(None)
            raise

    def _end(self, error: type[BaseException] | None) -> None:
        tail, self._tail = self._tail, None
        if tail is not None:
            # A generator that is closed has not failed: its caller wants no more of it.
            tail.end(error is not None and not issubclass(error, GeneratorExit))

    def __enter__(self) -> Bound:
        """Bind the values."""
        if self._token is not None:
            raise RuntimeError("this bound() is entered already; make another for another block")
        self._token = _variable.set(self._begin())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put the context back as it was before the block."""
        token, self._token = self._token, None
        try:
            self._end(kind)
        finally:
            if token is not None:
                _put_back(token)

    async def __aenter__(self) -> Bound:
        """As `with`."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """As `with`."""
        self.__exit__(kind, error, traceback)

    def __call__(self, function: F) -> F:
        """The function, with the values bound while it runs."""
        if not callable(function):
            raise TypeError(f"bound: {function!r}: only a function can be decorated")
        import inspect  # slow to import, and only needed here

        if inspect.isasyncgenfunction(function):
            return _of_async_generator(self, function)  # type: ignore[return-value]
        if inspect.isgeneratorfunction(function):
            return _of_generator(self, function)  # type: ignore[return-value]
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wait(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return wait  # type: ignore[return-value]

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return call  # type: ignore[return-value]


def _put_back(token: contextvars.Token[Context]) -> None:
    try:
        _variable.reset(token)
    except ValueError:
        # Left in another context than it was entered in (a generator that the event loop closes): there nothing of it is bound.
        pass


class _Resumed:
    """The context of a generator, bound while it runs and put aside while it is suspended."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = _variable.set(self._context)

    def __exit__(self, *_: object) -> None:
        # What the body has bound stays bound in it.
        self._context = _variable.get()
        _put_back(self._token)


def _of_generator(
    what: Bound, function: Callable[P, Generator[Any, Any, Any]]
) -> Callable[P, Generator[Any, Any, Any]]:
    @functools.wraps(function)
    def generate(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
        block = what._again()
        running = _Resumed(block._begin())
        failure: type[BaseException] | None = None
        with running:
            generator = function(*args, **kwargs)
        try:
            resume: Callable[[], Any] = functools.partial(next, generator)
            while True:
                try:
                    with running:
                        value = resume()
                except StopIteration as end:
                    return end.value
                try:
                    resume = functools.partial(generator.send, (yield value))
                except GeneratorExit:
                    with running:
                        generator.close()
                    raise
                except BaseException as thrown:
                    resume = functools.partial(generator.throw, thrown)
        except BaseException as error:
            failure = type(error)
            raise
        finally:
            with running:
                block._end(failure)

    return generate


def _of_async_generator(
    what: Bound, function: Callable[P, AsyncGenerator[Any, Any]]
) -> Callable[P, AsyncGenerator[Any, Any]]:
    @functools.wraps(function)
    async def generate(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, Any]:
        block = what._again()
        running = _Resumed(block._begin())
        failure: type[BaseException] | None = None
        with running:
            generator = function(*args, **kwargs)
        try:
            resume: Callable[[], Any] = generator.__anext__
            while True:
                try:
                    with running:
                        value = await resume()
                except StopAsyncIteration:
                    return
                try:
                    resume = functools.partial(generator.asend, (yield value))
                except GeneratorExit:
                    with running:
                        await generator.aclose()
                    raise
                except BaseException as thrown:
                    resume = functools.partial(generator.athrow, thrown)
        except BaseException as error:
            failure = type(error)
            raise
        finally:
            with running:
                block._end(failure)

    return generate


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """The function, to be called elsewhere with all context variables as they are here: `pool.submit(carry(work), item)`.

    Each call gets a copy of its own, so that several threads may call it at once. Coroutine functions need none: a task takes the
    context of whoever starts it.
    """
    context = contextvars.copy_context()

    @functools.wraps(function)
    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return carried


@functools.cache
def _executor_class() -> type[ThreadPoolExecutor]:
    from concurrent.futures import Future, ThreadPoolExecutor

    class CarryingExecutor(ThreadPoolExecutor):
        """A pool of threads whose work runs with the context variables of whoever submits it."""

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            return super().submit(contextvars.copy_context().run, fn, *args, **kwargs)

    return CarryingExecutor


def executor(
    max_workers: int | None = None,
    thread_name_prefix: str = "",
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] = (),
) -> ThreadPoolExecutor:
    """A `ThreadPoolExecutor` whose work (`submit`, `map`, `loop.run_in_executor`) runs with the context of whoever submits it.

    For a pool that somebody else makes, submit `carry(function)`. Processes share no context: give a `ProcessPoolExecutor` the
    `initializer=functools.partial(logspool.bind, **logspool.context.current())`.
    """
    return _executor_class()(max_workers, thread_name_prefix, initializer, initargs)


class ContextFilter(logging.Filter):
    """Writes the context into records: for a `QueueHandler`, whose records are handled in another thread.

    A record has the context of the thread in which it is *handled*. `queue_handler.addFilter(ContextFilter())` puts the values, and
    the ids of the active OpenTelemetry span, into it where it is made, as `extra` would. A name that the call has given is left alone;
    one that every record has (`name`, `module`, `message`, …) goes into `fields`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add to the record; always True."""
        values = {name: value for name, value in current().items() if value is not None}
        attributes = record.__dict__
        if not any(values.get(name) or attributes.get(name) for name in ("trace_id", "span_id")):
            values = {**_span_ids(), **values}
        taken: dict[str, Any] = {}
        for name, value in values.items():
            if name in _OF_RECORDS:
                taken[name] = value
            else:
                attributes.setdefault(name, value)
        if taken:
            given = attributes.get("fields")
            if given is None or isinstance(given, dict):
                attributes["fields"] = {**taken, **(given or {})}
        return True


#: Names that a record has of its own: in `logging`, `extra` may not have them.
_OF_RECORDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def _span_ids() -> dict[str, object]:
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None or not hasattr(trace, "get_current_span"):
        return {}
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    return {
        "trace_id": format(span.trace_id, "032x"),
        "span_id": format(span.span_id, "016x"),
        "trace_flags": format(span.trace_flags, "02x"),
    }
