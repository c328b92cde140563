"""`instrument`: puts `ToolCall` around the tool calls of a server, whichever SDK it is made with."""

from __future__ import annotations

import functools

from logspool.mcp import _sessions, _terminal
from logspool.mcp._calls import ToolCall, arguments_of, note_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, TypeVar

    S = TypeVar("S")
    F = TypeVar("F", bound=Callable[..., Any])

_MARK = "_logspool_instrumented"
_SPANS = ("OpenTelemetryMiddleware", "FastMCPServerMiddleware")


def instrument(server: S, *, arguments: bool = False, take_over: bool = True) -> S:
    """Write one record for each tool call of an MCP server, and bind the call's ids to all that is logged within it.

    `server` is the official SDK's `MCPServer` or low-level `Server` (version 2), its `FastMCP` or low-level `Server` (version 1),
    or a `FastMCP` of the package `fastmcp`. Returns it. Handlers, results, exceptions and cancellation are as they were; so are
    resources and prompts.

    The record: logger `logspool.mcp`, event `tool_call`, INFO, or ERROR where the call failed (by an exception or a result that says
    `isError`) and WARNING where it was cancelled; `tool`, `session_id`, `request_id`; in `fields` `duration_ms`, `success`,
    `error_type` of a failure, `argument_keys`, `result_size` (bytes of the result as JSON), `server`. `arguments=True` adds
    the arguments' values. A `traceparent` in the call's `_meta` gives `trace_id`, `span_id` and `trace_flags`, where no
    OpenTelemetry span is active.

    `take_over=True`: handlers for the terminal that the SDKs and uvicorn have put on their loggers and on the root logger are removed
    once a SpoolHandler is on the root logger (now, or with the server's first message), and an INFO record of the logger `logspool`
    says which.

    A second call changes only the settings. Raises TypeError for anything that is no such server.
    """
    low = _low_level(server)
    found: _Instrumented | None = getattr(low, _MARK, None)
    if found is None:
        found = _Instrumented()
        if hasattr(low, "get_request_handler"):
            _version_2(low, found)
        else:
            _version_1(low, found)
        _note_errors(server, low, found)
        setattr(low, _MARK, found)
        found.undo.append(functools.partial(delattr, low, _MARK))
    found.arguments, found.taking_over = arguments, take_over
    found.name = str(getattr(server, "name", None) or type(server).__name__)
    found.settle()
    return server


def uninstrument(server: object) -> None:
    """Undo `instrument`, but for handlers that were removed; of a server that is not instrumented nothing. Raises TypeError as it does."""
    found: _Instrumented | None = getattr(_low_level(server), _MARK, None)
    if found is not None:
        while found.undo:
            found.undo.pop()()


class _Instrumented:
    """What was done to one server, and how to undo it."""

    def __init__(self) -> None:
        self.arguments = False
        self.taking_over = False
        self.traceback = False
        self.name = ""
        self.undo: list[Callable[[], object]] = []

    def settle(self) -> None:
        if self.taking_over:
            _terminal.take_over()

    def first_message(self) -> None:
        # uvicorn puts its handlers up when the server starts, after `instrument`.
        self.taking_over = False
        _terminal.take_over()


def _low_level(server: object) -> Any:
    """The server that dispatches messages: the given one, or the one inside it."""
    for name in ("_lowlevel_server", "_mcp_server"):
        inner = getattr(server, name, None)
        if inner is not None:
            return inner
    if hasattr(server, "get_request_handler") and hasattr(server, "middleware"):
        return server
    if hasattr(server, "request_handlers") and hasattr(server, "create_initialization_options"):
        return server
    raise TypeError(
        f"logspool.mcp: {server!r} is no MCP server; expected an MCPServer, FastMCP or low-level Server of the package mcp, "
        "or a FastMCP of the package fastmcp"
    )


def _size(to_json: Callable[..., bytes], result: object, **options: bool) -> int | None:
    """Bytes of it as JSON; None where it cannot be written as such: a lone surrogate, say."""
    try:
        return len(to_json(result, **options))
    except Exception:
        return None


# -- version 2 of the official SDK, which has middleware ----------------------------------------------------------------


def _version_2(low: Any, here: _Instrumented) -> None:
    from pydantic_core import to_json  # the SDK needs pydantic itself

    def outcome(result: Any) -> tuple[bool, int | None]:
        failed = isinstance(result, dict) and result.get("isError") is True
        return failed, _size(to_json, result, by_alias=True)

    async def tool_calls(ctx: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        if here.taking_over:
            here.first_message()
        if ctx.method != "tools/call" or ctx.request_id is None:
            return await call_next(ctx)
        tool, arguments = arguments_of(ctx.params)
        ids = _sessions.ids(getattr(ctx.session, "_connection", None), ctx.request, ctx.request_id)
        meta = ctx.meta
        with ToolCall(here, tool, arguments, ids, meta.get("traceparent") if meta else None, outcome) as call:
            call.result = result = await call_next(ctx)
        return result

    # Within the OpenTelemetry span that the SDK (fastmcp: its own middleware) begins, around everything else.
    chain = low.middleware
    spans = [at for at, one in enumerate(chain) if type(one).__name__ in _SPANS]
    chain.insert(spans[-1] + 1 if spans else 0, tool_calls)
    here.undo.append(functools.partial(_remove, chain, tool_calls))


def _remove(chain: list[Any], one: object) -> None:
    if one in chain:
        chain.remove(one)


# -- version 1 ------------------------------------------------------------------------------------------------------------


def _version_1(low: Any, here: _Instrumented) -> None:
    from mcp import types
    from mcp.server.lowlevel import server as sdk
    from pydantic_core import to_json

    request_type: Any = types.CallToolRequest
    request_context: Any = sdk.request_ctx  # type: ignore[attr-defined]  # version 2 has none

    def outcome(result: Any) -> tuple[bool, int | None]:
        body = getattr(result, "root", result)
        return getattr(body, "isError", False) is True, _size(to_json, body, by_alias=True, exclude_none=True)

    def watched(handler: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        async def call_tool(request: Any) -> Any:
            if here.taking_over:
                here.first_message()
            context = request_context.get(None)
            ids: dict[str, object] = {}
            meta = None
            if context is not None:
                ids = _sessions.ids(context.session, getattr(context, "request", None), context.request_id)
                meta = context.meta
            params = request.params
            traceparent = getattr(meta, "traceparent", None)
            with ToolCall(here, params.name, params.arguments, ids, traceparent, outcome) as call:
                call.result = result = await handler(request)
            return result

        return call_tool

    class Handlers(dict):  # type: ignore[type-arg]
        """The handlers as they are registered; the one of tool calls is given out with a record around it."""

        def __getitem__(self, key: Any) -> Any:
            handler = super().__getitem__(key)
            return watched(handler) if key is request_type else handler

        def get(self, key: Any, default: Any = None) -> Any:
            return self[key] if key in self else default  # noqa: SIM401 (it would be this very method)

    low.request_handlers = Handlers(low.request_handlers)

    def back() -> None:
        if isinstance(low.request_handlers, Handlers):
            low.request_handlers = dict(low.request_handlers.items())

    here.undo.append(back)


# -- the exception behind a result that says isError -----------------------------------------------------------------------


def _note_errors(server: Any, low: Any, here: _Instrumented) -> None:
    tools = getattr(server, "_tool_manager", None)
    if tools is not None and hasattr(tools, "call_tool"):
        _replace(tools, "call_tool", _noting(tools.call_tool), here)
        # Version 1 tells nobody of a tool that crashed; version 2 and fastmcp log its traceback themselves.
        here.traceback = not hasattr(low, "get_request_handler")
    elif server is not low and hasattr(server, "call_tool"):
        _replace(server, "call_tool", _noting(server.call_tool), here)
    elif hasattr(low, "call_tool"):
        register = low.call_tool

        @functools.wraps(register)
        def call_tool(*args: Any, **kwargs: Any) -> Callable[[F], F]:
            decorate = register(*args, **kwargs)

            def decorated(handler: F) -> F:
                decorate(_noting(handler))
                return handler

            return decorated

        _replace(low, "call_tool", call_tool, here)
        here.traceback = True


def _noting(function: F) -> F:
    @functools.wraps(function)
    async def call_tool(*args: Any, **kwargs: Any) -> Any:
        try:
            return await function(*args, **kwargs)
        except Exception as error:
            note_error(error)
            raise

    return call_tool  # type: ignore[return-value]


def _replace(owner: Any, name: str, value: object, here: _Instrumented) -> None:
    setattr(owner, name, value)  # in the instance: the class is everybody's
    here.undo.append(functools.partial(vars(owner).pop, name, None))
