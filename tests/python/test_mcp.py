"""`logspool.mcp.instrument`, with the official SDK: its servers, its client, its transports."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp_types
import pytest
import uvicorn
from logfiles import eventually, records
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError

import logspool
from logspool import context
from logspool.mcp import instrument, uninstrument

app = logging.getLogger("app")
Script = Callable[..., subprocess.CompletedProcess[str]]
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def log(tmp_path: Path, root: logging.Logger) -> Path:
    """Everything at INFO goes to this log."""
    root.addHandler(logspool.SpoolHandler(tmp_path / "server.jsonl", service="svc"))
    root.setLevel(logging.INFO)
    return tmp_path / "server.jsonl"


def calls(log: Path) -> list[dict[str, Any]]:
    """The records of tool calls."""
    logspool.flush()
    return [record for record in records(log) if record["event"] == "tool_call"]


def server() -> MCPServer[Any]:
    made = MCPServer("shop")

    @made.tool()
    def price(item: str, count: int = 1) -> dict[str, Any]:
        app.info("looking up %s", item)
        return {"item": item, "total": 3 * count}

    @made.tool()
    async def refuse() -> str:
        raise ToolError("not today")

    @made.tool()
    async def crash() -> str:
        raise KeyError("gone")

    @made.tool()
    async def protocol() -> str:
        raise MCPError(code=-32042, message="ask somebody else")

    @made.tool()
    async def hang(ctx: Context[Any]) -> str:
        await ctx.report_progress(1, 2, "hanging")
        await anyio.sleep_forever()
        return "never"

    @made.resource("shop://hours")
    def hours() -> str:
        app.info("reading hours")
        return "9 to 5"

    return made


def talk(made: Any, *asked: tuple[str, dict[str, Any]], **options: Any) -> list[Any]:
    """The results of tool calls of one client, or the protocol's errors."""
    results: list[Any] = []

    async def run() -> None:
        async with Client(made) as client:
            for tool, arguments in asked:
                try:
                    results.append(await client.call_tool(tool, arguments, **options))
                except MCPError as error:
                    results.append(error)

    asyncio.run(run())
    return results


@contextlib.asynccontextmanager
async def connected(made: Any) -> AsyncIterator[tuple[Any, Any]]:
    """Streams to a server of which both ends are in memory, as a transport has them."""
    from mcp.shared.memory import create_client_server_memory_streams

    low = getattr(made, "_lowlevel_server", made)
    async with create_client_server_memory_streams() as (near, far), anyio.create_task_group() as tasks:
        tasks.start_soon(low.run, far[0], far[1], low.create_initialization_options())
        yield near
        tasks.cancel_scope.cancel()


def test_a_tool_call_leaves_one_record(log: Path) -> None:  # req 13, 18
    plain = talk(server(), ("price", {"item": "tea", "count": 2}))
    assert calls(log) == []
    results = talk(instrument(server()), ("price", {"item": "tea", "count": 2}))
    assert results == plain
    (record,) = calls(log)
    assert (record["logger"], record["level"], record["tool"]) == ("logspool.mcp", "INFO", "price")
    fields = record["fields"]
    assert fields.pop("duration_ms") > 0
    assert fields.pop("result_size") > len('{"item":"tea","total":6}')
    assert fields == {"success": True, "server": "shop", "argument_keys": ["item", "count"]}
    assert record["message"].startswith("tool price ok in ")
    assert record["request_id"]


def test_a_failure_is_an_error_with_its_type_and_the_client_sees_what_it_saw(log: Path) -> None:  # req 14, 21
    asked = [("refuse", {}), ("crash", {}), ("price", {"count": 1}), ("nothing", {})]
    assert talk(instrument(server()), *asked) == talk(server(), *asked)
    found = [(r["tool"], r["level"], r["fields"]["success"], r["fields"]["error_type"]) for r in calls(log)]
    assert found == [
        ("refuse", "ERROR", False, "ToolError"),
        ("crash", "ERROR", False, "KeyError"),
        ("price", "ERROR", False, "ValidationError"),
        ("nothing", "ERROR", False, "ToolError"),
    ]


def test_a_result_that_cannot_be_written_and_a_tool_that_exits_are_recorded(log: Path) -> None:  # req 13
    made = MCPServer("odd")

    @made.tool()
    def name() -> str:
        return "\ud800"

    @made.tool()
    async def leave() -> str:
        raise SystemExit(3)

    instrument(made)
    talk(made, ("name", {}))
    with contextlib.suppress(BaseException):  # Perhaps in a group: it ends the client, too.
        talk(made, ("leave", {}))
    named, left = calls(log)
    assert (named["level"], named["fields"]["success"]) == ("INFO", True)
    assert "result_size" not in named["fields"]
    assert (left["level"], left["fields"]["error_type"]) == ("ERROR", "SystemExit")


def test_a_protocol_error_reaches_the_client_unchanged(log: Path) -> None:
    (error,) = talk(instrument(server()), ("protocol", {}))
    assert isinstance(error, MCPError) and (error.error.code, error.error.message) == (-32042, "ask somebody else")
    (record,) = calls(log)
    assert (record["level"], record["fields"]["error_type"]) == ("ERROR", "MCPError")


def test_a_cancelled_call_is_cancelled_and_says_so(log: Path) -> None:
    made, heard = instrument(server()), []

    async def run() -> None:
        async with connected(made) as streams:
            from mcp import ClientSession

            async with ClientSession(*streams) as client:
                await client.initialize()
                with anyio.CancelScope() as scope:

                    async def progress(done: float, total: float | None, message: str | None) -> None:
                        heard.append((done, total, message))
                        scope.cancel()

                    await client.call_tool("hang", {}, progress_callback=progress)
                assert scope.cancelled_caught

    asyncio.run(run())
    assert heard == [(1, 2, "hanging")]
    (record,) = calls(log)
    assert (record["level"], record["fields"]["error_type"]) == ("WARNING", "CancelledError")
    assert record["fields"]["success"] is False


def test_values_of_arguments_only_on_request_and_secrets_never(log: Path) -> None:  # req 30, 31
    made = MCPServer("login")

    @made.tool()
    def login(user: str, password: str) -> str:
        return "in"

    talk(instrument(made), ("login", {"user": "ada", "password": "hunter2-never"}))
    assert "ada" not in log.read_text()
    talk(instrument(made, arguments=True), ("login", {"user": "ada", "password": "hunter2-never"}))
    keys, values = calls(log)
    assert keys["fields"]["argument_keys"] == ["user", "password"] and "arguments" not in keys["fields"]
    assert values["fields"]["arguments"]["user"] == "ada"
    assert "hunter2-never" not in log.read_text()


@pytest.mark.parametrize(
    ("sent", "ids"),
    [
        (f"00-{TRACE}-{SPAN}-01", (TRACE, SPAN, "01")),
        (f"cc-{TRACE}-{SPAN}-01-later", (TRACE, SPAN, "01")),
        (f"00-{TRACE}-{SPAN}-01-later", (None, None, None)),
        (f"00-{'0' * 32}-{SPAN}-01", (None, None, None)),
        (f"00-{TRACE}-{'0' * 16}-01", (None, None, None)),
        (f"ff-{TRACE}-{SPAN}-01", (None, None, None)),
        ("nonsense", (None, None, None)),
    ],
)
def test_a_traceparent_of_the_call_is_in_all_its_records(log: Path, sent: str, ids: tuple[Any, ...]) -> None:
    made = instrument(server())
    low = made._lowlevel_server
    low.middleware[:] = [one for one in low.middleware if type(one).__name__ != "OpenTelemetryMiddleware"]
    talk(made, ("price", {"item": "tea"}), meta={"traceparent": sent})
    logspool.flush()
    mine = [r for r in records(log) if r["logger"] in ("app", "logspool.mcp")]
    assert len(mine) == 2
    assert {tuple(r.get(key) for key in ("trace_id", "span_id", "trace_flags")) for r in mine} == {ids}


def test_with_opentelemetry_the_records_have_the_servers_span(script: Script, tmp_path: Path) -> None:
    script(
        f"""
        import asyncio, logging, logspool, logspool.mcp
        from mcp import Client
        from mcp.server import MCPServer
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        trace.set_tracer_provider(TracerProvider())
        logspool.basicConfig(filename="out.jsonl")
        made = logspool.mcp.instrument(MCPServer("traced"))

        @made.tool()
        async def work() -> str:
            logging.getLogger("app").info("in the server's span")
            with trace.get_tracer("app").start_as_current_span("inner"):
                logging.getLogger("app").info("in an inner one")
            return "done"

        async def run():
            async with Client(made) as client:
                await client.call_tool("work", {{}}, meta={{"traceparent": "00-{TRACE}-{SPAN}-01"}})

        asyncio.run(run())
        """
    )
    found = {r["event"]: r for r in records(tmp_path / "out.jsonl") if r["logger"] in ("app", "logspool.mcp")}
    assert {r["trace_id"] for r in found.values()} == {TRACE}
    assert found["tool_call"]["span_id"] == found["in the server's span"]["span_id"]
    assert len({SPAN, found["tool_call"]["span_id"], found["in an inner one"]["span_id"]}) == 3


def test_what_a_tool_starts_logs_with_the_ids_of_its_call(log: Path) -> None:  # req 18
    made = MCPServer("deep")

    @made.tool()
    async def deep() -> str:
        async def task() -> None:
            app.info("in a task")

        await asyncio.gather(task(), asyncio.to_thread(app.info, "in a worker"), anyio.to_thread.run_sync(shallow))
        thread = threading.Thread(target=context.carry(lambda: app.info("in a thread")))
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        return "done"

    def shallow() -> None:
        app.info("in anyio's worker")

    app.info("before")
    talk(instrument(made), ("deep", {}))
    app.info("after")
    (call,) = calls(log)
    mine = {r["event"]: (r.get("tool"), r.get("request_id")) for r in records(log) if r["logger"] == "app"}
    assert mine.pop("before") == mine.pop("after") == (None, None)
    assert set(mine) == {"in a task", "in a worker", "in anyio's worker", "in a thread"}
    assert set(mine.values()) == {("deep", call["request_id"])}
    assert context.current() == {}


def test_what_a_tool_binds_ends_with_its_call_and_does_not_change_its_record(log: Path) -> None:  # req 18
    made = MCPServer("binding")

    @made.tool()
    async def binding() -> str:
        logspool.bind(request_id="req_of_the_tool", tool="other", user="ada")
        app.info("bound")
        return "done"

    talk(instrument(made), ("binding", {}))
    (call,) = calls(log)
    (bound,) = [r for r in records(log) if r["logger"] == "app"]
    assert (bound["request_id"], bound["tool"], bound["fields"]) == ("req_of_the_tool", "other", {"user": "ada"})
    assert call["tool"] == "binding" and call["request_id"] != "req_of_the_tool" and "user" not in call["fields"]
    assert context.current() == {}


def test_a_low_level_server_and_what_is_no_tool_call(log: Path) -> None:
    async def call_tool(_: Any, params: mcp_types.CallToolRequestParams) -> mcp_types.CallToolResult:
        if params.name == "crash":
            raise RuntimeError("boom")
        return mcp_types.CallToolResult(content=[], is_error=params.name == "wrong")

    async def list_tools(*_: Any) -> mcp_types.ListToolsResult:
        return mcp_types.ListToolsResult(tools=[])

    made = instrument(Server("low", on_call_tool=call_tool, on_list_tools=list_tools))
    assert isinstance(talk(made, ("right", {}), ("wrong", {}), ("crash", {}))[2], MCPError)
    found = [(r["tool"], r["level"], r["fields"].get("error_type"), r["fields"]["server"]) for r in calls(log)]
    assert found == [
        ("right", "INFO", None, "low"),
        ("wrong", "ERROR", "ToolError", "low"),
        ("crash", "ERROR", "RuntimeError", "low"),
    ]

    async def read() -> Any:
        async with Client(instrument(server())) as client:
            return await client.read_resource("shop://hours")

    assert asyncio.run(read()).contents[0].text == "9 to 5"
    assert len(calls(log)) == 3
    assert not [r for r in records(log) if r["event"] == "reading hours" and "tool" in r]


def test_twice_is_once_and_undone_is_as_before(log: Path) -> None:
    made = server()
    chain, attributes = list(made.middleware), dict(vars(made._tool_manager))
    assert instrument(instrument(made)) is made
    talk(made, ("price", {"item": "tea"}))
    assert len(calls(log)) == 1
    uninstrument(made)
    uninstrument(made)
    assert made.middleware == chain and vars(made._tool_manager) == attributes
    talk(made, ("price", {"item": "tea"}))
    assert len(calls(log)) == 1
    instrument(made)
    talk(made, ("price", {"item": "tea"}))
    assert len(calls(log)) == 2


def test_what_is_not_used_is_not_imported() -> None:  # req 9
    code = """
import sys
import logspool
assert not [name for name in sys.modules if name.startswith("logspool.mcp")]
import logspool.mcp
assert not {"mcp", "fastmcp", "ctypes", "rich", "uvicorn", "pydantic_core"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_no_server_is_refused() -> None:
    with pytest.raises(TypeError, match="is no MCP server; expected an MCPServer"):
        instrument(object())
    with pytest.raises(TypeError, match="is no MCP server"):
        uninstrument("shop")


def test_a_broken_handler_breaks_no_tool(log: Path, root: logging.Logger) -> None:
    def broken(_: logging.LogRecord) -> bool:
        raise RuntimeError("a filter of somebody's")

    own = logging.getLogger("logspool.mcp")
    own.addFilter(broken)
    try:
        (result,) = talk(instrument(server()), ("price", {"item": "tea"}))
    finally:
        own.removeFilter(broken)
    assert result.structured_content == {"item": "tea", "total": 3}
    assert calls(log) == []


def test_handlers_for_the_terminal_are_taken_over(log: Path, root: logging.Logger) -> None:  # req 7, 8
    made = server()
    names = ("uvicorn", "uvicorn.error", "uvicorn.access")
    before = {name: (logging.getLogger(name).handlers[:], logging.getLogger(name).propagate) for name in names}
    console, kept = logging.StreamHandler(), logging.FileHandler(log.parent / "kept.txt", delay=True)
    root.addHandler(console)
    root.addHandler(kept)
    try:
        instrument(made)
        assert console not in root.handlers and kept in root.handlers
        uvicorn.Config(made.streamable_http_app())  # puts its handlers up when it is made, later than we were
        assert logging.getLogger("uvicorn").handlers and logging.getLogger("uvicorn.access").handlers
        talk(made, ("price", {"item": "tea"}))
        assert not logging.getLogger("uvicorn").handlers and not logging.getLogger("uvicorn.access").handlers
        logging.getLogger("uvicorn.error").info("started")
        logging.getLogger("uvicorn.access").info("GET /")
    finally:
        for name, (handlers, propagate) in before.items():
            logging.getLogger(name).handlers[:] = handlers
            logging.getLogger(name).propagate = propagate
    logspool.flush()
    found = records(log)
    assert Counter(r["event"] for r in found if r["logger"].startswith("uvicorn")) == {"started": 1, "GET /": 1}
    told = [r for r in found if r["event"].startswith("replaced ")]
    assert "StreamHandler" in told[0]["event"] and "of uvicorn.access" in told[1]["event"]


def test_without_a_log_no_handler_is_taken(root: logging.Logger) -> None:
    console = logging.StreamHandler()
    root.addHandler(console)
    instrument(server())
    assert console in root.handlers
    root.removeHandler(console)


@contextlib.contextmanager
def over_http(made: MCPServer[Any]) -> Iterator[str]:
    """The server on a port of the system's choice."""
    listening = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(made.streamable_http_app(), log_config=None))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        eventually(lambda: running.started, "uvicorn listens")
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    finally:
        running.should_exit = True
        thread.join()
        listening.close()


SESSIONS, TASKS = 10, 100


def test_ten_sessions_at_once_and_no_id_on_anothers_record(log: Path) -> None:  # req 13, 18
    made = instrument(MCPServer("busy"))

    @made.tool()
    async def work(who: int, task: int) -> str:
        async def step(number: int) -> None:
            await anyio.lowlevel.checkpoint()
            app.info("step", extra={"who": who, "number": number, "call": task})

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(step, 1)
            tasks.start_soon(anyio.to_thread.run_sync, lambda: app.info("step", extra={"who": who, "call": task}))
        return f"{who}/{task}"

    async def session(url: str, who: int) -> None:
        async with Client(url, mode="legacy") as client:  # the protocol's 2026 version has no sessions

            async def one(task: int) -> None:
                result = await client.call_tool("work", {"who": who, "task": task})
                assert result.structured_content == {"result": f"{who}/{task}"}

            for start in range(0, TASKS, 10):
                async with anyio.create_task_group() as tasks:
                    for task in range(start, start + 10):
                        tasks.start_soon(one, task)

    async def run(url: str) -> None:
        async with anyio.create_task_group() as tasks:
            for who in range(SESSIONS):
                tasks.start_soon(session, url, who)

    with over_http(made) as url:
        asyncio.run(run(url))
    done = calls(log)
    assert Counter(r["session_id"] for r in done).most_common() == [
        (r, TASKS) for r in Counter(r["session_id"] for r in done)
    ]
    assert len({r["session_id"] for r in done}) == SESSIONS and all(r["fields"]["success"] for r in done)
    assert len({(r["session_id"], r["request_id"]) for r in done}) == SESSIONS * TASKS
    steps = [r for r in records(log) if r["logger"] == "app"]
    assert len(steps) == 2 * SESSIONS * TASKS and all(r["tool"] == "work" for r in steps)
    # One session is one `who`, one request is one call of it: both ways.
    assert len({(r["session_id"], r["fields"]["who"]) for r in steps}) == SESSIONS
    asked = {(r["session_id"], r["request_id"], r["fields"]["who"], r["fields"]["call"]) for r in steps}
    assert len(asked) == len({a[:2] for a in asked}) == len({a[2:] for a in asked}) == SESSIONS * TASKS
    assert {a[:2] for a in asked} == {(r["session_id"], r["request_id"]) for r in done}


def test_the_request_id_of_an_http_call_is_the_callers(log: Path) -> None:  # req 13
    async def run(url: str) -> None:
        async with httpx2.AsyncClient(headers={"X-Request-ID": "req_0123456789abcdef"}) as http:
            async with Client(streamable_http_client(url, http_client=http)) as client:
                await client.call_tool("price", {"item": "tea"})

    with over_http(instrument(server())) as url:
        asyncio.run(run(url))
    (record,) = calls(log)
    assert record["request_id"] == "req_0123456789abcdef"


def test_a_connection_over_streams_is_one_session(log: Path) -> None:
    made = instrument(server())

    async def run() -> None:
        for mode in ("legacy", "auto"):

            @contextlib.asynccontextmanager
            async def transport() -> AsyncIterator[tuple[Any, Any]]:
                async with connected(made) as streams:
                    yield streams

            async with Client(transport(), mode=mode) as client:
                for item in ("tea", "milk", "jam"):
                    await client.call_tool("price", {"item": item})

    asyncio.run(run())
    found: Callable[[str], Counter[str]] = lambda key: Counter(r[key] for r in calls(log))  # noqa: E731
    assert list(found("session_id").values()) == [3, 3]
    assert all(name.startswith("mcp_") for name in found("session_id"))
