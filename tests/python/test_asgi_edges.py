"""The ASGI middleware where servers, frameworks and clients do what they seldom do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import logging.config
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from logfiles import DEADLINE_SECONDS, eventually, records
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from webapps import serving

import logspool
from logspool import asgi

log = logging.getLogger("app.edges")


class Log:
    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[dict[str, Any]]:
        assert logspool.flush(DEADLINE_SECONDS)
        return records(self.path)

    def of(self, *events: str) -> list[dict[str, Any]]:
        return [record for record in self.all() if record["event"] in events]


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Log]:
    path = tmp_path / "web.jsonl"
    handler = logspool.SpoolHandler(path, service="web")
    loggers = [logging.getLogger(name) for name in ("logspool.http", "app")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
    yield Log(path)
    for logger in loggers:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    handler.close()


def called(app: Any, scope: dict[str, Any], send: Any = None) -> list[Any]:
    """What a plain server would get from the application."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def keep(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"type": "http", "method": "GET", "path": "/", "headers": [], **scope}, receive, send or keep))
    return sent


def test_nothing_of_a_request_is_in_the_next_one_of_the_same_connection(logged: Log) -> None:  # req 18
    async def binds(request: Request) -> Response:
        log.info("begins")
        logspool.bind(user=request.query_params["user"])
        return PlainTextResponse("done")

    app = asgi.Middleware(Starlette(routes=[Route("/binds", binds)]))
    first = (
        b"GET /binds?user=ada HTTP/1.1\r\nHost: a\r\ntraceparent: 00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01\r\n\r\n"
    )
    second = b"GET /binds?user=bob HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with serving(app, http="h11") as address:
        host, _, port = address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), DEADLINE_SECONDS) as connection:
            connection.sendall(first + second)
            while connection.recv(65536):
                pass
        eventually(lambda: len(logged.of("request.completed")) == 2, "both were served")
    ada, bob = (
        [record for record in logged.all() if record["request_id"] == completed["request_id"]]
        for completed in logged.of("request.completed")
    )
    assert {record["trace_id"] for record in ada} == {"a" * 32}
    assert [record["event"] for record in bob] == ["request.started", "begins", "request.completed"]
    assert not [record for record in bob if "trace_id" in record]
    assert [record.get("fields", {}).get("user") for record in bob] == [None, None, "bob"]


def test_what_was_bound_before_any_connection_stays(logged: Log) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        inner = asgi.Middleware(answering)  # another application, in the same process
        await inner({"type": "http", "method": "GET", "path": "/inner", "headers": []}, receive, send)

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    with logspool.bound(worker="w1"):
        called(asgi.Middleware(app), {"path": "/outer"})
        assert logspool.context.current() == {"worker": "w1"}
    assert {(record["fields"]["worker"], record["fields"]["path"]) for record in logged.all()} == {
        ("w1", "/outer"),
        ("w1", "/inner"),
    }
    outer, inner = (
        {record["request_id"] for record in logged.all() if record["fields"]["path"] == path}
        for path in ("/outer", "/inner")
    )
    assert len(outer) == len(inner) == 1 and outer != inner


def test_one_middleware_within_another_changes_nothing(logged: Log) -> None:  # req 47
    part = asgi.Middleware(Starlette(routes=[Route("/item", lambda request: PlainTextResponse("x"))]))
    app = asgi.Middleware(Starlette(routes=[Mount("/part", app=part)]))
    answer = TestClient(app).get("/part/item")
    assert [record["event"] for record in logged.all()] == ["request.started", "request.completed"]
    assert {record["request_id"] for record in logged.all()} == {answer.headers["x-request-id"]}


def test_a_scope_that_is_served_again_is_logged_again_and_left_as_it_was(logged: Log) -> None:
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    before = dict(scope)

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("once more")

    async def retrying(*connection: Any) -> None:
        for _ in range(2):
            with pytest.raises(ValueError):
                await asgi.Middleware(fails)(scope, *connection[1:])

    called(retrying, scope)
    assert len(logged.of("request.completed")) == 2
    assert scope == before


@pytest.mark.parametrize("let_through", [True, False])
def test_a_send_that_says_that_the_client_is_gone_is_no_failure(logged: Log, let_through: bool) -> None:
    class Gone(Exception):
        pass

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        try:
            await send({"type": "http.response.body", "body": b"x"})
        except OSError:
            if let_through:
                raise
            raise Gone from None  # as Starlette has it

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise BrokenPipeError("the client is gone")

    with pytest.raises(BrokenPipeError if let_through else Gone):
        called(asgi.Middleware(app), {}, send)
    (completed,) = logged.of("request.completed")
    assert (completed["level"], completed["fields"]["disconnected"]) == ("INFO", True)
    assert "exception" not in completed


@pytest.mark.parametrize("fails", [False, True])
def test_a_client_that_closes_a_websocket_is_no_failure_where_nobody_catches_that(logged: Log, fails: bool) -> None:
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text(await socket.receive_text())
        finally:
            if fails:
                raise LookupError("of the application's own")

    app = asgi.Middleware(Starlette(routes=[WebSocketRoute("/talk", talk)]))
    with contextlib.suppress(WebSocketDisconnect, LookupError), TestClient(app).websocket_connect("/talk") as client:
        client.send_text("hi")
        assert client.receive_text() == "hi"
    (closed,) = logged.of("websocket.closed")
    assert (closed["level"], "exception" in closed) == (("ERROR", True) if fails else ("INFO", False))
    assert (closed["fields"]["code"], closed["fields"]["received"]) == (1000, 1)


def test_a_client_that_goes_while_its_request_is_read_is_no_failure(logged: Log) -> None:
    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def app(*connection: Any) -> None:
        await Request(*connection).body()

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    with pytest.raises(ClientDisconnect):
        asyncio.run(asgi.Middleware(app)(scope, receive, receive))  # type: ignore[arg-type]
    (completed,) = logged.of("request.completed")
    assert (completed["level"], completed["fields"]["disconnected"]) == ("INFO", True)
    assert "exception" not in completed


def test_an_applications_own_oserror_is_a_failure(logged: Log) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise BrokenPipeError("a database, not the client")

    with pytest.raises(BrokenPipeError):
        called(asgi.Middleware(app), {})
    (completed,) = logged.of("request.completed")
    assert (completed["level"], completed["exception"]["type"]) == ("ERROR", "BrokenPipeError")
    assert "disconnected" not in completed["fields"]


def test_headers_and_bodies_as_seldom_as_the_specification_allows_reach_the_server(logged: Log) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        own = iter([(b"X-Request-Id", b"mine"), (b"a", b"b")])
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": None})

    start, body = called(asgi.Middleware(app), {})
    assert list(start["headers"]) == [(b"X-Request-Id", b"mine"), (b"a", b"b")]
    assert body["body"] is None
    assert logged.of("request.completed")[0]["fields"]["bytes"] == 0

    async def wrong(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [("text", "no bytes")]})

    start, *_ = called(asgi.Middleware(wrong), {})
    assert start["headers"] == [("text", "no bytes")]  # whether that is an error is the server's business


def test_an_answer_to_head_has_no_bytes(logged: Log) -> None:
    app = asgi.Middleware(Starlette(routes=[Route("/", lambda request: StreamingResponse(iter(["hello"])))]))
    assert TestClient(app).head("/").status_code == 200
    assert logged.of("request.completed")[0]["fields"]["bytes"] == 0


def test_routes_are_named_without_the_root_path_that_a_server_puts_before_them(logged: Log) -> None:
    app = Starlette(routes=[Route("/health", lambda request: PlainTextResponse("ok"))])
    with serving(asgi.Middleware(app, skip=["/health", "/static/*"]), root_path="/api") as address:
        import httpx

        assert httpx.get(f"{address}/health").status_code == 200
        assert httpx.get(f"{address}/static/x").status_code == 404
        assert httpx.get(f"{address}/other").status_code == 404
        eventually(lambda: logged.of("request.completed"), "the other one is logged")
    assert {record["fields"]["path"] for record in logged.all()} == {"/api/other"}


@pytest.mark.parametrize(("given", "meant"), [("info", "INFO"), ("warn", "WARNING"), (15, 15), ("10", "DEBUG")])
def test_a_servers_level_is_folded_as_everywhere(given: Any, meant: Any) -> None:
    for configuration in (asgi.uvicorn_log_config, asgi.gunicorn_log_config):
        made = configuration(level=given)
        assert {logger["level"] for name, logger in made["loggers"].items() if "corn" in name} == {meant}
        json.dumps(made)
        with pytest.raises(ValueError, match="level='loud': expected"):
            configuration(level="loud")


def test_no_query_is_in_an_access_line(tmp_path: Path, root: logging.Logger) -> None:  # req 30
    path = tmp_path / "access.jsonl"
    logging.config.dictConfig(asgi.uvicorn_log_config(path))
    logging.config.dictConfig({**asgi.gunicorn_log_config(path), "incremental": False})
    access = '%s - "%s %s HTTP/%s" %d'
    logging.getLogger("uvicorn.access").info(access, "::1:5", "GET", "/back?code=4711&q=ill", "1.1", 200)
    logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" [accepted]', "::1:5", "/ws?ticket=4711")
    atoms = {"h": "::1", "m": "GET", "r": "GET /back?code=4711 HTTP/1.1", "s": "200", "U": "/back", "q": "code=4711"}
    atoms.update({"H": "HTTP/1.1", "B": 5, "D": 1500, "f": "http://a/there?code=4711", "{raw_uri}e": "/back?code=4711"})
    form = '%(h)s "%(r)s" %(q)s %(s)s "%(f)s" %({raw_uri}e)s'
    logging.getLogger("gunicorn.access").info(form, atoms)
    assert logspool.flush(DEADLINE_SECONDS)
    text = path.read_text()
    assert "4711" not in text and "ill" not in text
    assert '::1:5 - "WebSocket /ws" [accepted]' in [record["event"] for record in records(path)]
    uvicorn, gunicorn = [record for record in records(path) if record["event"] == "http.access"]
    assert uvicorn["message"] == '::1:5 - "GET /back HTTP/1.1" 200'
    assert gunicorn["message"] == '::1 "GET /back HTTP/1.1" - 200 "http://a/there" /back'


def test_what_reloads_uvicorn_does_not_log_each_line_that_is_logged(tmp_path: Path, root: logging.Logger) -> None:
    logging.config.dictConfig(asgi.uvicorn_log_config(tmp_path / "api.jsonl", level="DEBUG"))
    try:
        assert not logging.getLogger("watchfiles.main").isEnabledFor(logging.INFO)
        assert logging.getLogger("uvicorn.error").isEnabledFor(logging.DEBUG)
    finally:
        logging.getLogger("watchfiles").setLevel(logging.NOTSET)
