"""The decorators: one record for each call of a function, which returns and raises what it did before.

Functions, coroutine functions and generators of both kinds; a generator's record is written when it ends.
"""

from __future__ import annotations

import functools
import inspect
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from logspool import _core
from logspool.categories import _files
from logspool.categories._loggers import get_logger
from logspool.categories._timer import PerformanceTimer, said

F = TypeVar("F", bound=Callable[..., Any])
_Arguments = dict[str, Any]
#: Writes a call's record: its arguments, what it returned, the error's text or None, milliseconds, whether it was a generator.
_Writer = Callable[[_Arguments, Any, "str | None", float, bool], None]


def log_user_interaction(function: F) -> F:
    """One record in `user_interactions.log` a call: the argument `user_input` (or its like), and what is returned."""

    def write(arguments: _Arguments, result: Any, error: str | None, duration_ms: float, streaming: bool) -> None:
        user_input = _argument(arguments, "user_input", "message", "prompt", "query", "text", "input")
        if user_input is None:
            user_input = next((value for name, value in arguments.items() if name not in ("self", "cls")), "")
        response = result
        for name in ("content", "response", "text"):
            if isinstance(found := _part(result, name), str):
                response = found
                break
        tool_calls = _part(result, "tool_calls")
        get_logger("user").log_interaction(
            user_input, "" if response is None else response, tool_calls, error is None, error, duration_ms
        )

    return _logged(function, write)


def log_llm_call(function: F) -> F:
    """One record in `llm_calls.log` a call: provider and model from arguments, result or `self`, tokens from its usage."""

    def write(arguments: _Arguments, result: Any, error: str | None, duration_ms: float, streaming: bool) -> None:
        owner = arguments.get("self")

        def name_of(*names: str) -> str:
            for source in (arguments, result, owner):
                for name in names:
                    found = _part(source, name)
                    found = getattr(found, "value", found)  # an Enum
                    if isinstance(found, str) and found:
                        return found
            return ""

        prompt, completion = _tokens(result)
        get_logger("llm").log_call(
            name_of("provider", "provider_name") or (type(owner).__name__ if owner is not None else "unknown"),
            name_of("model", "model_name") or "unknown",
            prompt,
            completion,
            duration_ms,
            error is None,
            error,
            streaming or bool(arguments.get("stream") or arguments.get("streaming")),
        )

    return _logged(function, write)


def log_tool_execution(function: F) -> F:
    """One record in `tool_executions.log` a call: arguments `tool_name`, `tool_server` and `parameters`, and the result.

    A result that says of itself `success=False` or `isError=True` is a failure.
    """
    own_name = getattr(function, "__name__", "tool")

    def write(arguments: _Arguments, result: Any, error: str | None, duration_ms: float, streaming: bool) -> None:
        tool = _argument(arguments, "tool_name", "name", "tool")
        server = _argument(arguments, "tool_server", "server_name", "server")
        if server is None:
            server = _part(arguments.get("self"), "server_name")
        parameters = _argument(arguments, "parameters", "arguments", "params")
        if parameters is None:
            known = ("self", "cls", "tool_name", "name", "tool", "tool_server", "server_name", "server")
            parameters = {name: value for name, value in arguments.items() if name not in known}
        if error is None and (_part(result, "success") is False or _part(result, "isError") is True):
            told = _part(result, "error")
            error = told if isinstance(told, str) and told else "the tool reported an error"
        get_logger("tool").log_execution(
            tool if isinstance(tool, str) else own_name,
            server if isinstance(server, str) else "",
            parameters,
            result,
            error is None,
            error,
            duration_ms,
        )

    return _logged(function, write)


def log_performance(operation: str) -> Callable[[F], F]:
    """One record in `performance.log` a call: how long it took, and what the process used. As PerformanceTimer."""

    def decorate(function: F) -> F:
        return _wrapped(function, lambda args, kwargs, streaming: _Timed(operation))

    return decorate


def _logged(function: F, write: _Writer) -> F:
    try:
        # Of what is called: below @classmethod and @staticmethod that is the function itself.
        signature: inspect.Signature | None = inspect.signature(getattr(function, "__func__", function))
    except (TypeError, ValueError):
        signature = None
    return _wrapped(function, lambda args, kwargs, streaming: _Call(write, signature, args, kwargs, streaming))


class _Call:
    """One call under way."""

    def __init__(
        self, write: _Writer, signature: inspect.Signature | None, args: Any, kwargs: Any, streaming: bool
    ) -> None:
        self._write, self._signature, self._args, self._kwargs = write, signature, args, kwargs
        self._streaming = streaming
        self._start = time.perf_counter()

    def end(self, result: Any, error: BaseException | None) -> None:
        """Write the record. Never raises an Exception: what it reads are the program's own objects."""
        duration_ms = round((time.perf_counter() - self._start) * 1000, 3)
        closed = isinstance(error, GeneratorExit)
        failure = None if error is None or closed else said(error)
        try:
            self._write(self._arguments(), result, failure, duration_ms, self._streaming)
        except Exception:
            try:  # the call was made, whatever its arguments and its result are
                self._write({}, None, failure, duration_ms, self._streaming)
            except Exception as trouble:
                _files.say(trouble)

    def _arguments(self) -> _Arguments:
        if self._signature is None:
            return dict(self._kwargs)
        try:
            bound = self._signature.bind(*self._args, **self._kwargs)
        except TypeError:  # the call itself has raised that
            return dict(self._kwargs)
        arguments = dict(bound.arguments)
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments.update(arguments.pop(name, {}))
        return arguments


class _Timed:
    def __init__(self, operation: str) -> None:
        from logspool.categories._loggers import get_logger

        self._timer = PerformanceTimer(get_logger("performance"), operation).__enter__()

    def end(self, result: Any, error: BaseException | None) -> None:
        try:
            self._timer.__exit__(None if error is None else type(error), error, None)
        except Exception as trouble:
            _files.say(trouble)


def _wrapped(function: F, begin: Callable[[Any, Any, bool], _Call | _Timed]) -> F:
    """The function with a record written at the end of each call."""
    if isinstance(function, (classmethod, staticmethod)):  # the decorator stands above that one
        return cast("F", type(function)(_wrapped(function.__func__, begin)))

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            call = begin(args, kwargs, False)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                call.end(None, error)
                raise
            call.end(result, None)
            return result

        return cast("F", awaited)

    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def streamed(*args: Any, **kwargs: Any) -> Any:
            call = begin(args, kwargs, True)
            stream = function(*args, **kwargs)
            try:
                sent = None
                item = await stream.__anext__()
                while True:
                    try:
                        sent = yield item
                    except GeneratorExit:
                        await stream.aclose()
                        raise
                    except BaseException as thrown:
                        item = await stream.athrow(thrown)
                    else:
                        item = await stream.asend(sent)
            except StopAsyncIteration:
                call.end(None, None)
            except BaseException as error:
                call.end(None, error)
                raise

        return cast("F", streamed)

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generated(*args: Any, **kwargs: Any) -> Any:
            call = begin(args, kwargs, True)
            try:
                result = yield from function(*args, **kwargs)
            except BaseException as error:
                call.end(None, error)
                raise
            call.end(result, None)
            return result

        return cast("F", generated)

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        call = begin(args, kwargs, False)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            call.end(None, error)
            raise
        call.end(result, None)
        return result

    return cast("F", called)


def _argument(arguments: _Arguments, *names: str) -> Any:
    return next((arguments[name] for name in names if arguments.get(name) is not None), None)


def _part(source: Any, name: str) -> Any:
    """A member of a mapping or an attribute, None where there is none, or none that can be had."""
    if isinstance(source, dict):
        return source.get(name)
    try:
        return getattr(source, name, None)
    except Exception:  # a property, or a __getattr__, of the program's own
        return None


def _tokens(result: Any) -> tuple[int, int]:
    """Prompt's and completion's tokens by the result's usage, in any provider's shape; 0 where it does not say."""
    usage = _part(result, "usage")
    if usage is None:
        found = {"prompt": _part(result, "prompt_tokens"), "completion": _part(result, "completion_tokens")}
    else:
        found = json.loads(_core.bill(usage=usage))["tokens"] or {}
    prompt, completion = found.get("prompt"), found.get("completion")
    return prompt if isinstance(prompt, int) else 0, completion if isinstance(completion, int) else 0
