"""logspool.httpx over HTTP/2, where many calls share a connection, and of calls that become WebSockets."""

from __future__ import annotations

import asyncio
import base64
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import httpx_ws
import pytest
import wsproto
import wsproto.events
from logfiles import DEADLINE_SECONDS, records
from loopback_h2 import Http2, http2, served, websocket

import logspool
import logspool.httpx

LIBRARIES = {"httpx": httpx, "httpx2": httpx2}
TOGETHER = 12
numbers = itertools.count(100)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http2]:
    with http2(tmp_path_factory.mktemp("http2")) as here:
        yield here


@pytest.fixture(autouse=True)
def anew(server: Http2) -> None:
    server.together, server.connections = 1, 0
    server.ids.clear()


@pytest.fixture(scope="module")
def websockets() -> Iterator[str]:
    with served(websocket) as port:
        yield f"http://127.0.0.1:{port}/ws?token=abc"


class Log:
    """The records of the calls, and of the costs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def calls(self) -> list[dict[str, Any]]:
        assert logspool.flush(DEADLINE_SECONDS)
        found = [r for r in records(self._directory / "a.jsonl") if r["logger"] == "logspool.http"]
        return [{**record, **record["fields"]} for record in found]

    def costs(self) -> list[dict[str, Any]]:
        assert logspool.flush(DEADLINE_SECONDS)
        return records(self._directory / "openrouter-costs.jsonl")


@pytest.fixture
def log(tmp_path: Path, root: logging.Logger) -> Iterator[Log]:
    logspool.basicConfig(filename=tmp_path / "a.jsonl", level="INFO", console=False)
    yield Log(tmp_path)
    logspool.clear()
    logspool.uninstall()


def calls_of(
    server: Http2, name: str, is_async: bool, call: Callable[[Any, int], Any], paths: list[str], **settings: Any
) -> list[Any]:
    """`call(client, number)` for each number on one instrumented client, over one connection.

    Asynchronous, the first connects, and the others are under way at once: of those it answers (`json`, `stream`), the server answers none
    before it has as many as there can be. Synchronous, one after the other: of several threads that send at once, these libraries put
    frames on the wire out of order now and then, also without us.
    """
    library: Any = LIBRARIES[name]
    made: dict[str, Any] = {"http2": True, "verify": False, "timeout": DEADLINE_SECONDS}
    count = len(paths)
    answered = sum(path.startswith(("/json", "/stream")) for path in paths[1:])
    results: list[Any] = [None] * count
    if is_async:

        async def run() -> None:
            async with library.AsyncClient(**made) as client:
                logspool.httpx.instrument(client, **settings)

                async def one(number: int) -> None:
                    with logspool.bound(number=number):
                        results[number] = await call(client, number)

                await one(0)
                server.together = answered
                await asyncio.gather(*map(one, range(1, count)))

        asyncio.run(run())
        return results
    with library.Client(**made) as client:
        logspool.httpx.instrument(client, **settings)
        for number in range(count):
            with logspool.bound(number=number):
                results[number] = call(client, number)
    return results


both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
each_library = pytest.mark.parametrize("name", LIBRARIES)


@each_library
@both
def test_a_call_over_http2_is_one_record(server: Http2, log: Log, name: str, is_async: bool) -> None:  # req 45
    path = "/json/7?page=2&key=abc"
    (response,) = calls_of(server, name, is_async, lambda client, _: client.get(server.url + path), [path])
    assert (response.http_version, response.json()["id"]) == ("HTTP/2", "gen-7")
    (call,) = log.calls()
    assert (call["event"], call["method"], call["http_status"]) == ("http_call", "GET", 200)
    assert (call["url"], call["outcome"]) == (f"{server.url}/json/7?page=2&key=***", "ok")
    assert call["request_id"] == server.ids[path] != ""
    assert call["upstream_request_id"] == f"theirs{path}"
    assert 0 < call["ttfb_ms"] <= call["latency_ms"]


def read(client: Any, url: str, is_async: bool) -> Any:
    """The text of a streamed response: of a coroutine, or at once."""

    async def later() -> str:
        async with client.stream("POST", url, json={"model": f"asked/{url[-1]}"}) as response:
            return "".join([text async for text in response.aiter_text()])

    if is_async:
        return later()
    with client.stream("POST", url, json={"model": f"asked/{url[-1]}"}) as response:
        return "".join(response.iter_text())


@each_library
@both
@pytest.mark.parametrize("how", ["json", "stream"])
def test_calls_that_share_a_connection_are_not_mixed(
    server: Http2, log: Log, name: str, is_async: bool, how: str
) -> None:  # req 45
    # A response that was billed once is not again.
    ids = [next(numbers) for _ in range(TOGETHER)]
    paths = [f"/{how}/{number}" for number in ids]

    def call(client: Any, number: int) -> Any:
        url = f"{server.url}{paths[number]}"
        return client.post(url, json={"model": f"asked/{url[-1]}"}) if how == "json" else read(client, url, is_async)

    texts = calls_of(server, name, is_async, call, paths, hosts={server.host: "loopback"}, costs=True)
    assert server.connections == 1
    for number, text in enumerate(texts):
        assert f"gen-{ids[number]}" in (text if isinstance(text, str) else text.text)
    calls = {call["url"].removeprefix(server.url): call for call in log.calls()}
    assert calls.keys() == set(paths) and len(log.calls()) == TOGETHER
    for number, path in enumerate(paths):
        call_of = calls[path]
        assert (call_of["event"], call_of["outcome"], call_of["number"]) == ("openrouter_request", "ok", number)
        assert (call_of["request_id"], call_of["upstream_request_id"]) == (server.ids[path], f"theirs{path}")
        assert (call_of["response_id"], call_of["model"]) == (f"gen-{ids[number]}", f"asked/{path[-1]}")
        assert (call_of["tokens"]["prompt"], call_of["tokens"]["total"]) == (ids[number], ids[number] + 1)
        assert call_of["streamed"] == (how == "stream")
    costs = {cost["fields"]["response_id"]: cost["fields"]["tokens"]["prompt"] for cost in log.costs()}
    assert costs == {f"gen-{number}": number for number in ids}


@each_library
@both
def test_a_stream_that_is_reset_fails_alone(server: Http2, log: Log, name: str, is_async: bool) -> None:  # req 45
    library: Any = LIBRARIES[name]
    paths = ["/json/1", "/reset/2", "/cut/3", "/status/503", "/json/5", "/json/6"]

    def call(client: Any, number: int) -> Any:
        url = f"{server.url}{paths[number]}"

        async def later() -> Any:
            try:
                return await client.get(url)
            except library.HTTPError as error:
                return error

        if is_async:
            return later()
        try:
            return client.get(url)
        except library.HTTPError as error:
            return error

    results = calls_of(server, name, is_async, call, paths)
    assert [type(result).__name__ for result in results] == [
        "Response", "RemoteProtocolError", "RemoteProtocolError", "Response", "Response", "Response",
    ]  # fmt: skip
    calls = {call["url"].removeprefix(server.url): call for call in log.calls()}
    assert len(log.calls()) == len(paths)
    told = [(calls[path]["outcome"], calls[path]["http_status"], calls[path]["level"]) for path in paths]
    assert told[0] == told[4] == told[5] == ("ok", 200, "INFO")
    assert told[3] == ("http_error", 503, "WARNING")
    assert [each[2] for each in told[1:3]] == ["ERROR", "ERROR"]
    assert {calls[path]["error"] for path in paths[1:3]} == {"RemoteProtocolError"}
    assert server.connections == 1


# -- WebSockets ------------------------------------------------------------------------------------------------------------


def upgrade() -> dict[str, str]:
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }


def one_event(log: Log, url: str) -> None:
    (call,) = log.calls()
    assert (call["event"], call["method"], call["http_status"]) == ("http_call", "GET", 101)
    assert call["url"] == f"{url.partition('?')[0]}?token=***"
    assert (call["level"], call["upstream_request_id"]) == ("INFO", "theirs-ws")
    assert "error" not in call
    assert 0 < call["ttfb_ms"] <= call["latency_ms"]


@each_library
@both
def test_an_upgraded_call_keeps_its_connection_and_leaves_one_record(
    websockets: str, log: Log, name: str, is_async: bool
) -> None:  # req 45
    library: Any = LIBRARIES[name]
    connection = wsproto.connection.Connection(wsproto.ConnectionType.CLIENT)
    said: list[Any] = []

    def feed(data: bytes) -> None:
        connection.receive_data(data)
        said.extend(event.data for event in connection.events() if isinstance(event, wsproto.events.TextMessage))

    if is_async:

        async def run() -> None:
            async with library.AsyncClient() as client:
                logspool.httpx.instrument(client)
                async with client.stream("GET", websockets, headers=upgrade()) as response:
                    stream = response.extensions["network_stream"]
                    await stream.write(connection.send(wsproto.events.TextMessage("and back")))
                    while said != ["hello", "and back"]:
                        feed(await stream.read(4096, timeout=DEADLINE_SECONDS))
                    assert log.calls() == []  # it lasts

        asyncio.run(run())
    else:
        with library.Client() as client:
            logspool.httpx.instrument(client)
            with client.stream("GET", websockets, headers=upgrade()) as response:
                stream = response.extensions["network_stream"]
                stream.write(connection.send(wsproto.events.TextMessage("and back")))
                while said != ["hello", "and back"]:
                    feed(stream.read(4096, timeout=DEADLINE_SECONDS))
                assert log.calls() == []  # it lasts
    one_event(log, websockets)


@both
def test_httpx_ws_works_over_an_instrumented_client(websockets: str, log: Log, is_async: bool) -> None:  # req 45
    url = websockets.replace("http:", "ws:")
    if is_async:

        async def run() -> None:
            async with httpx.AsyncClient() as client:
                logspool.httpx.instrument(client)
                async with httpx_ws.aconnect_ws(url, client) as session:
                    assert await session.receive_text(DEADLINE_SECONDS) == "hello"
                    await session.send_text("and back")
                    assert await session.receive_text(DEADLINE_SECONDS) == "and back"

        asyncio.run(run())
    else:
        with httpx.Client() as client:
            logspool.httpx.instrument(client)
            with httpx_ws.connect_ws(url, client) as session:
                assert session.receive_text(DEADLINE_SECONDS) == "hello"
                session.send_text("and back")
                assert session.receive_text(DEADLINE_SECONDS) == "and back"
    one_event(log, url)
