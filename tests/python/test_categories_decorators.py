"""The decorators of the category logs change nothing that a caller sees, and write one record a call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from logfiles import DEADLINE_SECONDS, records

import logspool
from logspool.categories import (
    FILES,
    _files,
    log_llm_call,
    log_performance,
    log_tool_execution,
    log_user_interaction,
    setup_logging,
)


class Logs:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def only(self, category: str) -> dict[str, Any]:
        assert logspool.flush(DEADLINE_SECONDS)
        (record,) = records(self.directory / FILES[category])
        return record


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    setup_logging(tmp_path / "logs", console=False)
    yield Logs(tmp_path / "logs")
    _files.close()


DECORATORS = {
    "user": log_user_interaction,
    "llm": log_llm_call,
    "tool": log_tool_execution,
    "performance": log_performance("operation"),
}
every_decorator = pytest.mark.parametrize("category", DECORATORS)


@every_decorator
def test_a_function_returns_and_raises_as_before(category: str, logs: Logs) -> None:  # req 54
    answer = object()

    def function(user_input: str, *, fail: bool = False) -> object:
        """Its own words."""
        return answer

    decorated = DECORATORS[category](function)
    assert decorated("hello", fail=True) is answer
    assert (decorated.__name__, decorated.__doc__) == ("function", "Its own words.")
    assert inspect.signature(decorated) == inspect.signature(function)
    record = logs.only(category)
    assert record["level"] == "INFO" and record["duration_ms"] > 0


@every_decorator
def test_an_exception_goes_on_unchanged(category: str, logs: Logs) -> None:  # req 50, 54
    error = LookupError("nothing there")

    def function(user_input: str) -> None:
        raise error

    with pytest.raises(LookupError) as caught:
        DECORATORS[category](function)("hello")
    assert caught.value is error and error.__cause__ is None and error.__context__ is None
    assert [entry.name for entry in caught.traceback][1:] == ["called", "function"]
    record = logs.only(category)
    assert (record["level"], record["success"]) == ("ERROR", False)
    assert record["error"] == "LookupError: nothing there"


@every_decorator
def test_a_coroutine_function_stays_one(category: str, logs: Logs) -> None:  # req 54
    async def function(user_input: str) -> str:
        await asyncio.sleep(0)
        return user_input.upper()

    decorated = DECORATORS[category](function)
    assert inspect.iscoroutinefunction(decorated)
    assert asyncio.run(decorated("hello")) == "HELLO"
    assert logs.only(category)["duration_ms"] > 0


@every_decorator
def test_cancellation_is_passed_on_and_recorded(category: str, logs: Logs) -> None:  # req 54
    async def main() -> asyncio.Task[None]:
        entered = asyncio.Event()

        async def function(user_input: str) -> None:
            entered.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(DECORATORS[category](function)("hello"))
        await entered.wait()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        return task

    assert asyncio.run(main()).cancelled()
    record = logs.only(category)
    assert (record["success"], record["error"].partition(":")[0]) == (False, "CancelledError")


@every_decorator
def test_generators_stay_generators(category: str, logs: Logs) -> None:  # req 54
    def function(user_input: str) -> Any:
        got = yield 1
        try:
            yield got
        except KeyError:
            yield "caught"
        return "done"

    stream = DECORATORS[category](function)("hello")
    assert (next(stream), stream.send("sent"), stream.throw(KeyError())) == (1, "sent", "caught")
    with pytest.raises(StopIteration) as ended:
        next(stream)
    assert ended.value.value == "done"
    assert logs.only(category)["level"] == "INFO"


@every_decorator
def test_asynchronous_generators_stay_generators(category: str, logs: Logs) -> None:  # req 54
    closed = []

    async def function(user_input: str) -> AsyncIterator[Any]:
        try:
            got: Any = yield 1  # type: ignore[misc]
            try:
                yield got
            except KeyError:
                yield "caught"
        finally:
            closed.append(True)

    async def main() -> None:
        stream: Any = DECORATORS[category](function)("hello")
        assert inspect.isasyncgen(stream)
        assert await stream.__anext__() == 1
        assert await stream.asend("sent") == "sent"
        assert await stream.athrow(KeyError()) == "caught"
        await stream.aclose()
        assert closed == [True]

    asyncio.run(main())
    record = logs.only(category)
    assert record["level"] == "INFO"
    assert record.get("streaming", True) is True


def test_a_user_interaction_has_input_response_and_tools(logs: Logs) -> None:  # req 54
    class App:
        @log_user_interaction
        async def process_message(self, user_input: str) -> Any:
            return SimpleNamespace(content="r" * 600, tool_calls=["ls"])

    asyncio.run(App().process_message("list files"))
    record = logs.only("user")
    assert (record["user_input"], record["tool_calls"]) == ("list files", ["ls"])
    assert record["response_summary"] == "r" * 500 + "…(truncated, 600 chars)"


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 150, "completion_tokens": 80, "total_tokens": 230},
        SimpleNamespace(input_tokens=150, output_tokens=80),
    ],
)
def test_an_llm_call_has_the_tokens_of_its_usage(usage: Any, logs: Logs) -> None:  # req 44, 54
    class Groq:
        provider_name = "groq"

        @log_llm_call
        async def complete(self, messages: list[str], stream: bool = False) -> Any:
            return SimpleNamespace(model="llama3-70b", usage=usage, content="x")

    asyncio.run(Groq().complete([]))
    record = logs.only("llm")
    assert (record["provider"], record["model"]) == ("groq", "llama3-70b")
    tokens = record["prompt_tokens"], record["completion_tokens"], record["total_tokens"]
    assert tokens == (150, 80, 230)


def test_a_tool_execution_has_name_server_parameters_and_result(logs: Logs) -> None:  # req 54
    class Files:
        server_name = "filesystem"

        @log_tool_execution
        async def execute_tool(self, tool_name: str, parameters: dict[str, Any]) -> Any:
            return {"success": False, "error": "denied"}

    asyncio.run(Files().execute_tool("list_directory", {"path": "/", "password": "hunter2"}))
    record = logs.only("tool")
    assert (record["tool_name"], record["tool_server"]) == ("list_directory", "filesystem")
    assert record["parameters"] == {"path": "/", "password": "***"}
    assert (record["level"], record["error"]) == ("ERROR", "denied")


@every_decorator
def test_a_result_that_cannot_be_looked_at_is_returned_all_the_same(category: str, logs: Logs) -> None:
    class Hostile:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("not yours to see")

    answer = Hostile()

    def function(user_input: str) -> Hostile:
        return answer

    assert DECORATORS[category](function)("hello") is answer
    logs.only(category)  # and the call is recorded


@every_decorator
def test_arguments_that_cannot_be_looked_at_cost_no_record(category: str, logs: Logs) -> None:
    class Hostile:
        def __bool__(self) -> bool:
            raise RuntimeError("neither true nor false")

        __str__ = __repr__ = __eq__ = __bool__  # type: ignore[assignment]

    def function(user_input: Any, stream: Any, parameters: Any = None) -> str:
        return "done"

    assert DECORATORS[category](function)(Hostile(), Hostile(), parameters=Hostile()) == "done"
    assert logs.only(category)["level"] == "INFO"


@every_decorator
def test_class_and_static_methods_in_either_order(category: str, logs: Logs) -> None:  # req 54
    decorate = DECORATORS[category]

    class App:
        @classmethod
        @decorate
        def inside(cls, user_input: str) -> object:
            return cls, user_input

        @decorate
        @classmethod
        def outside(cls, user_input: str) -> object:
            return cls, user_input

        @decorate
        @staticmethod
        async def static(user_input: str) -> object:
            return user_input

    assert App.inside("a") == App.outside("a") == App().outside("a") == (App, "a")
    assert asyncio.run(App.static("a")) == asyncio.run(App().static("a")) == "a"
    assert logspool.flush(DEADLINE_SECONDS)
    found = records(logs.directory / FILES[category])
    assert len(found) == 5
    assert {record["level"] for record in found} == {"INFO"}
    if category == "user":
        assert {record["user_input"] for record in found} == {"a"}
