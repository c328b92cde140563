"""Places a log call may come from. Each is one line of one function, so that both routes log from the very same place."""

from __future__ import annotations

import _thread
import asyncio
import functools
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

Call = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


def direct(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return f(*args, **kwargs)


def through_one(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return direct(f, args, kwargs)


def through_two(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return through_one(f, args, kwargs)


def through_three(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return through_two(f, args, kwargs)


def in_a_lambda(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return (lambda: f(*args, **kwargs))()


def in_a_comprehension(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return [f(*args, **kwargs) for _ in (1,)][0]


def in_a_generator(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    def generate() -> Iterator[Any]:
        yield f(*args, **kwargs)

    return next(generate())


def in_a_class_body(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    class Body:
        result = f(*args, **kwargs)

    return Body.result


def over_lines(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return f(
        *args,
        **kwargs,
    )


def by_partial(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return functools.partial(f, *args)(**kwargs)


def by_map(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return next(map(functools.partial(f, **kwargs), *([arg] for arg in args))) if args else f(**kwargs)


def in_an_except(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        raise LookupError("in hand")
    except LookupError:
        return f(*args, **kwargs)


def in_a_finally(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        try:
            raise LookupError("passing")
        finally:
            f(*args, **kwargs)
    except LookupError:
        return None


def after_an_except(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        raise LookupError("done with")
    except LookupError:
        pass
    return f(*args, **kwargs)


def in_a_task(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    async def job() -> Any:
        return f(*args, **kwargs)

    async def main() -> Any:
        return await asyncio.create_task(job(), name="job-é")

    return asyncio.run(main())


def in_a_callback(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """In a running loop, but in no task."""
    loop = asyncio.new_event_loop()
    outcome: list[Any] = []

    def call() -> None:
        outcome.append(_caught(f, args, kwargs))
        loop.stop()

    loop.call_soon(call)
    loop.run_forever()
    loop.close()
    return _result(outcome)


def in_a_thread(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(_caught(f, args, kwargs)), name='worker "ß"')
    thread.start()
    thread.join()
    return _result(outcome)


def in_a_foreign_thread(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """In a thread that `threading` did not start."""
    outcome: list[Any] = []
    done = threading.Lock()
    done.acquire()

    def call() -> None:
        outcome.append(_caught(f, args, kwargs))
        done.release()

    _thread.start_new_thread(call, ())
    done.acquire()
    return _result(outcome)


def in_a_destructor(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    outcome: list[Any] = []

    class Dies:
        def __del__(self) -> None:
            outcome.append(_caught(f, args, kwargs))

    Dies()
    return _result(outcome)


def _caught(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Exception | None]:
    try:
        return f(*args, **kwargs), None
    except Exception as error:
        return None, error


def _result(outcome: list[Any]) -> Any:
    ((result, error),) = outcome
    if error is not None:
        raise error
    return result


_SOURCE = "def call(f, args, kwargs):\n    return f(*args, **kwargs)\n"


def _compiled(filename: str) -> Call:
    names: dict[str, Any] = {}
    exec(compile(_SOURCE, filename, "exec"), names)
    return names["call"]  # type: ignore[no-any-return]


PLACES: dict[str, Call] = {
    "direct": direct,
    "through one": through_one,
    "through two": through_two,
    "through three": through_three,
    "lambda": in_a_lambda,
    "comprehension": in_a_comprehension,
    "generator": in_a_generator,
    "class body": in_a_class_body,
    "over lines": over_lines,
    "partial": by_partial,
    "map": by_map,
    "except": in_an_except,
    "finally": in_a_finally,
    "after except": after_an_except,
    "task": in_a_task,
    "callback": in_a_callback,
    "thread": in_a_thread,
    "foreign thread": in_a_foreign_thread,
    "destructor": in_a_destructor,
    "no file": _compiled("<string>"),
    "odd file": _compiled('ünï"\ncode\udc80.py'),
    "inside logging": _compiled(logging._srcfile),
    "inside import": _compiled("<frozen importlib._bootstrap>"),
    "relative file": _compiled(os.path.join("sub", "..", "x.py")),
}
#: From these an ordinary call is the fast path's.
ORDINARY_PLACES = ("direct", "through one", "through two", "lambda", "comprehension", "over lines", "except", "thread")
