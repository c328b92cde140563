"""One server of whichever SDK is installed here, over stdio, and what it must leave behind; run by `mcp_versions.sh`.

    python tests/python/check_mcp.py mcp|mcp-low|fastmcp DIRECTORY

Version 1 of the official SDK and fastmcp cannot be installed beside version 2, with which the other tests run. The oldest one named in
`mcp_versions.sh` is the oldest that is supported.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
app = logging.getLogger("app")


def price(item: str, count: int = 1) -> dict[str, Any]:
    """What an item costs."""
    app.info("looking up %s", item)
    print("printed", item)
    return {"item": item, "total": 3 * count}


async def crash() -> str:
    """Fails."""
    raise KeyError("gone")


async def hang() -> str:
    """Never ends."""
    await asyncio.sleep(3600)
    return "never"


def made(kind: str) -> Any:
    if kind == "mcp-low":
        import mcp.types as types
        from mcp.server.lowlevel import Server

        return Server("shop"), types
    if kind == "mcp":
        from mcp.server.fastmcp import FastMCP
    else:
        from fastmcp import FastMCP
    server: Any = FastMCP("shop")
    for tool in (price, crash, hang):
        server.tool()(tool)
    return server


def register(server: Any, types: Any) -> None:
    @server.list_tools()
    async def list_tools() -> list[Any]:
        schema = {"type": "object"}
        return [types.Tool(name=tool.__name__, inputSchema=schema) for tool in (price, crash, hang)]

    @server.call_tool()
    async def call_tool(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if name == "price":
            return price(**arguments)
        return {"result": await {"crash": crash, "hang": hang}[name]()}


def serve(kind: str) -> None:
    found = made(kind)
    server, types = found if isinstance(found, tuple) else (found, None)
    import logspool
    import logspool.mcp

    logspool.basicConfig(filename="shop.jsonl")
    logspool.mcp.guard_stdout()
    logspool.mcp.instrument(logspool.mcp.instrument(server))
    if types is not None:
        register(server, types)  # later, as decorators in a module may be
        from mcp.server.stdio import stdio_server

        async def run() -> None:
            async with stdio_server() as streams:
                await server.run(*streams, server.create_initialization_options())

        asyncio.run(run())
    else:
        server.run("stdio")
    print("after the server ended")


def of_version_1(types: Any) -> bool:
    """Whether it is version 1's, in which these unions are models."""
    return hasattr(getattr(types, "ClientRequest", None), "model_validate")


async def talk(kind: str, directory: Path) -> list[str]:
    from mcp import ClientSession, StdioServerParameters, types
    from mcp.client.stdio import stdio_client

    tee = Path(__file__).resolve().parents[2] / "examples" / "_stdout_tee.py"
    server = StdioServerParameters(
        command=sys.executable,
        args=[str(tee), "shop.stdout", sys.executable, str(Path(__file__).resolve()), kind, "serve"],
        cwd=directory,
        env={"FASTMCP_CHECK_FOR_UPDATES": "off"},
    )
    answers = []
    with (directory / "shop.stderr").open("w") as errors:
        async with stdio_client(server, errlog=errors) as streams, ClientSession(*streams) as client:
            await client.initialize()
            traced = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
            params = {"name": "price", "arguments": {"item": "tea", "count": 2}, "_meta": traced}
            if of_version_1(types):
                request = types.ClientRequest(types.CallToolRequest(method="tools/call", params=params))
                answers.append((await client.send_request(request, types.CallToolResult)).content[0].text)
            else:
                answers.append((await client.call_tool("price", params["arguments"], meta=traced)).content[0].text)
            answers.append((await client.call_tool("crash", {})).content[0].text)
            try:
                await asyncio.wait_for(client.call_tool("hang", {}), 0.5)
            except (TimeoutError, asyncio.TimeoutError):
                answers.append("cancelled")
                if of_version_1(types):  # that of version 2 says so by itself
                    cancelled = {"method": "notifications/cancelled", "params": {"requestId": client._request_id - 1}}
                    await client.send_notification(types.ClientNotification.model_validate(cancelled))
            answers.append((await client.call_tool("price", {"item": "milk"})).content[0].text)
    return answers


def check(kind: str, directory: Path) -> None:
    answers = asyncio.run(talk(kind, directory))
    stderr = (directory / "shop.stderr").read_text()
    assert json.loads(answers[0]) == {"item": "tea", "total": 6}, (answers, stderr)
    assert "crash" in answers[1] or "gone" in answers[1], answers
    assert json.loads(answers[3]) == {"item": "milk", "total": 3}, answers
    for line in (directory / "shop.stdout").read_text().splitlines():
        assert json.loads(line)["jsonrpc"] == "2.0", line
    found = [json.loads(line) for line in (directory / "shop.jsonl").read_text().splitlines()]
    calls = {r["request_id"]: r for r in found if r["event"] == "tool_call"}
    outcomes = [(r["tool"], r["level"], r["fields"]["success"], r["fields"].get("error_type")) for r in calls.values()]
    assert outcomes == [
        ("price", "INFO", True, None),
        ("crash", "ERROR", False, "KeyError"),
        ("hang", "WARNING", False, "CancelledError"),
        ("price", "INFO", True, None),
    ], outcomes
    assert len({r["session_id"] for r in calls.values()}) == 1
    first = next(iter(calls.values()))
    assert first["fields"]["argument_keys"] == ["item", "count"] and first["fields"]["server"] == "shop"
    assert first["fields"]["result_size"] > 10 and first["fields"]["duration_ms"] > 0
    assert (first["trace_id"], first["span_id"], first["trace_flags"]) == (TRACE, SPAN, "01"), first
    for word in ("looking up tea", "printed tea"):
        (record,) = [r for r in found if r["event"] == word]
        ids = [(r["tool"], r["session_id"], r["request_id"], r["trace_id"]) for r in (record, first)]
        assert ids[0] == ids[1], ids
    # The tool's stack trace is in one record, the SDK's or ours.
    crashes = [r for r in found if r.get("tool") == "crash" and "exception" in r]
    assert len(crashes) == 1 and "gone" in crashes[0]["exception"]["stacktrace"], crashes
    assert [r["event"] for r in found if r["logger"] == "stdout"][-1] == "after the server ended"
    assert "INFO" not in stderr, stderr  # no handler writes there any more what is in the log


if __name__ == "__main__":
    if sys.argv[2] == "serve":
        serve(sys.argv[1])
    else:
        check(sys.argv[1], Path(sys.argv[2]))
