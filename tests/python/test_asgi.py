"""The ASGI middleware, around real Starlette applications on a real uvicorn, asked by a real httpx."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from logfiles import DEADLINE_SECONDS, eventually, records
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket
from webapps import serving

import logspool
from logspool import asgi, context

OURS = re.compile(r"req_[0-9a-f]{16}")
log = logging.getLogger("app.views")


class Log:
    """The log of a test: what was written of which requests."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[dict[str, Any]]:
        assert logspool.flush(DEADLINE_SECONDS)
        return records(self.path)

    def of(self, *events: str) -> list[dict[str, Any]]:
        return [record for record in self.all() if record["event"] in events]

    def when(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The records of an event, once there are so many: the end of a request is logged after the client has its answer."""
        eventually(lambda: len(self.of(event)) >= count, f"{count} of {event}")
        found = self.of(event)
        assert len(found) == count
        return found


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


def hello(request: Request) -> Response:
    log.info("said hello", extra={"name_given": request.query_params.get("name")})
    return PlainTextResponse("hello")


async def fail(request: Request) -> Response:
    raise KeyError("the views' own")


async def unavailable(request: Request) -> Response:
    return PlainTextResponse("later", status_code=503)


async def stream(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            log.info("piece %d", number)
            yield b"x" * 10

    return StreamingResponse(pieces())


async def endless(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.001)

    return StreamingResponse(pieces())


async def background(request: Request) -> Response:
    async def later() -> None:
        log.info("later")
        raise OSError("in the background")

    return PlainTextResponse("done", background=BackgroundTask(later))


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        if text == "fail":
            raise ValueError("no such word")
        log.info("heard")
        await socket.send_text(text)


def application() -> Starlette:
    return Starlette(
        routes=[
            Route("/hello", hello),
            Route("/fail", fail),
            Route("/health", hello),
            Route("/health/deep", unavailable),
            Route("/static/{name}", hello),
            Route("/stream", stream),
            Route("/endless", endless),
            Route("/background", background),
            Route("/own-id", lambda request: PlainTextResponse("x", headers={"x-request-id": "mine"})),
            Route("/file", lambda request: FileResponse(__file__)),
            WebSocketRoute("/echo", echo),
        ]
    )


def test_a_request_is_a_started_and_a_completed_record_with_one_id_in_and_out(logged: Log) -> None:  # req 47
    with serving(asgi.Middleware(application())) as url:
        answer = httpx.get(f"{url}/hello?name=ada&token=s3cr3t", headers={"X-Request-ID": "caller-17"})
        fresh = httpx.get(f"{url}/hello")
    assert answer.headers["x-request-id"] == "caller-17"
    assert OURS.fullmatch(fresh.headers["x-request-id"])  # req 48
    one = [record for record in logged.all() if record.get("request_id") == "caller-17"]
    assert [record["event"] for record in one] == ["request.started", "said hello", "request.completed"]
    assert one[0]["fields"] == {"method": "GET", "path": "/hello", "client": "127.0.0.1"}
    assert one[1]["fields"] == {"name_given": "ada"}
    completed = one[2]["fields"]
    assert list(completed) == ["method", "path", "client", "status_code", "duration_ms", "bytes"]
    assert (completed["status_code"], completed["bytes"]) == (200, 5)
    assert isinstance(completed["duration_ms"], float) and completed["duration_ms"] > 0
    assert [record["level"] for record in one] == ["INFO"] * 3
    other = [record for record in logged.all() if record.get("request_id") == fresh.headers["x-request-id"]]
    assert len(other) == 3
    assert "s3cr3t" not in logged.path.read_text()


@pytest.mark.parametrize(
    "sent",
    ["", "x" * 129, "a b", "a\x1b[31m", 'a"b', "a,b", "-a", "é"],
    ids=["empty", "long", "space", "escape", "quote", "comma", "dash first", "not ASCII"],
)
def test_an_id_that_is_none_gives_way_to_a_new_one(logged: Log, sent: str) -> None:  # req 48
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    answers: list[Any] = []
    run_one(asgi.Middleware(app), answers, headers=[(b"x-request-id", sent.encode("latin-1"))])
    (header,) = answers[0]["headers"]
    assert OURS.fullmatch(header[1].decode())
    assert {record["request_id"] for record in logged.all()} == {header[1].decode()}


def run_one(app: Any, answers: list[Any], *, headers: Any = (), received: Any = None, **scope: Any) -> None:
    """One request, given as a server would."""

    async def receive() -> Any:
        return received or {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        answers.append(message)

    whole = {"type": "http", "method": "GET", "path": "/", "headers": list(headers), "client": ("10.0.0.1", 5), **scope}
    asyncio.run(app(whole, receive, send))


def test_two_ids_are_none_and_the_applications_own_header_stays(logged: Log) -> None:
    with serving(asgi.Middleware(application())) as url:
        answer = httpx.get(f"{url}/hello", headers=[("X-Request-ID", "a"), ("X-Request-ID", "b")])
        own = httpx.get(f"{url}/own-id", headers={"X-Request-ID": "a"})
    assert OURS.fullmatch(answer.headers["x-request-id"])
    assert own.headers.get_list("x-request-id") == ["mine"]


def test_an_exception_is_recorded_and_raised_again_as_it_is(logged: Log) -> None:  # req 72
    raised: list[BaseException] = []

    async def outside(scope: Any, receive: Any, send: Any) -> None:
        try:
            await inside(scope, receive, send)
        except Exception as error:
            raised.append(error)
            raise

    inside = asgi.Middleware(application())
    with serving(outside) as url:
        answer = httpx.get(f"{url}/fail")
    assert answer.status_code == 500 and OURS.fullmatch(answer.headers["x-request-id"])
    (completed,) = logged.of("request.completed")
    assert completed["level"] == "ERROR" and completed["fields"]["status_code"] == 500
    assert completed["exception"]["type"] == "KeyError" and "in fail" in completed["exception"]["stacktrace"]
    (error,) = raised
    assert type(error) is KeyError and error.args == ("the views' own",) and error.__context__ is None
    # One frame of ours, between the caller's and the application's.
    assert not logged.of("request.failed")
    frames = traceback.extract_tb(error.__traceback__)
    assert len([frame for frame in frames if frame.filename == asgi.__file__]) == 1


def test_it_can_be_one_of_the_frameworks_middlewares(logged: Log) -> None:
    app = application()
    app.add_middleware(asgi.Middleware, skip=["/health"])
    with serving(app) as url:
        assert OURS.fullmatch(httpx.get(f"{url}/hello").headers["x-request-id"])
        assert httpx.get(f"{url}/fail").status_code == 500
    hello, failed = logged.of("request.completed")
    assert (hello["fields"]["status_code"], failed["fields"]["status_code"]) == (200, 500)
    assert failed["exception"]["type"] == "KeyError"


def test_an_application_that_fails_without_an_answer_is_a_500(logged: Log) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("before anything was said")

    with serving(asgi.Middleware(app), lifespan="off") as url:
        assert httpx.get(url).status_code == 500
    (completed,) = logged.of("request.completed")
    assert (completed["level"], completed["fields"]["status_code"]) == ("ERROR", 500)


def test_streamed_answers_are_counted_to_their_end_and_files_too(logged: Log) -> None:
    with serving(asgi.Middleware(application())) as url:
        assert len(httpx.get(f"{url}/stream").content) == 50
        length = len(httpx.get(f"{url}/file").content)
    streamed, file = logged.of("request.completed")
    assert streamed["fields"]["bytes"] == 50 and file["fields"]["bytes"] == length
    pieces = [record for record in logged.all() if record["event"].startswith("piece")]
    assert len(pieces) == 5 and {record["request_id"] for record in pieces} == {streamed["request_id"]}
    assert [record["event"] for record in logged.all()].index("request.completed") > 5


@pytest.mark.parametrize(
    ("messages", "size"),
    [
        ([{"type": "http.response.body", "body": b"ab", "more_body": True}, {"type": "http.response.body"}], 2),
        ([{"type": "http.response.pathsend", "path": __file__}], Path(__file__).stat().st_size),
        ([{"type": "http.response.zerocopysend", "file": 0, "count": 7}], 7),
        ([{"type": "http.response.body"}, {"type": "http.response.body", "body": b"too late"}], 0),
    ],
    ids=["body", "path", "zero copy", "twice"],
)
def test_every_way_to_send_an_answer_completes_it_once(logged: Log, messages: list[Any], size: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        for message in messages:
            await send(message)
        log.info("sent")

    answers: list[Any] = []
    run_one(asgi.Middleware(app), answers)
    assert answers[1:] == messages
    assert [record["event"] for record in logged.all()] == ["request.started", "request.completed", "sent"]
    assert logged.of("request.completed")[0]["fields"]["bytes"] == size


def test_an_application_that_says_nothing_is_an_error(logged: Log) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    run_one(asgi.Middleware(app, skip=["/"]), [])
    (completed,) = logged.all()
    assert completed["level"] == "ERROR" and completed["fields"]["status_code"] is None


def test_a_client_that_goes_away_is_no_failure_of_ours(logged: Log) -> None:
    with serving(asgi.Middleware(application())) as url:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
            client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        (completed,) = logged.when("request.completed")
    assert completed["fields"]["disconnected"] is True and completed["fields"]["status_code"] == 200
    assert completed["level"] in ("INFO", "WARNING")


def test_a_cancelled_request_says_so_and_stays_cancelled(logged: Log) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(asgi.Middleware(app)({"type": "http", "path": "/", "method": "GET"}, None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert context.current() == {}

    asyncio.run(main())
    (completed,) = logged.of("request.completed")
    assert completed["fields"]["cancelled"] is True and completed["fields"]["status_code"] is None
    assert completed["level"] == "WARNING"


def test_what_fails_after_the_answer_is_told_beside_it(logged: Log) -> None:
    with serving(asgi.Middleware(application())) as url:
        assert httpx.get(f"{url}/background").text == "done"
        (failed,) = logged.when("request.failed")
    (completed,) = logged.of("request.completed")
    assert completed["level"] == "INFO" and "exception" not in completed
    assert failed["level"] == "ERROR" and failed["exception"]["type"] == "OSError"
    (later,) = logged.of("later")
    assert later["request_id"] == completed["request_id"] == failed["request_id"]


def test_routes_are_left_out_by_path_prefix_and_callable_unless_they_fail(logged: Log) -> None:
    def probes(scope: Any) -> bool:
        return any(value == b"probe" for name, value in scope["headers"] if name == b"user-agent")

    def broken(scope: Any) -> bool:
        raise LookupError

    skip = ["/health", "/static/*", "/health/*", probes, broken]
    with serving(asgi.Middleware(application(), skip=skip)) as url:
        for path in ("/health", "/static/a.css", "/health/deep", "/hello", "/health?x=1"):
            httpx.get(f"{url}{path}")
        assert OURS.fullmatch(httpx.get(f"{url}/hello", headers={"User-Agent": "probe"}).headers["x-request-id"])
        httpx.get(f"{url}/healthy")
    told = [(record["event"], record["fields"]["path"]) for record in logged.of("request.started", "request.completed")]
    assert told == [
        ("request.completed", "/health/deep"),
        *((event, path) for path in ("/hello", "/healthy") for event in ("request.started", "request.completed")),
    ]
    assert logged.of("request.completed")[0]["level"] == "ERROR"


def test_levels_are_chosen_and_wrong_arguments_are_told_at_once(logged: Log) -> None:
    quiet = asgi.Middleware(application(), started=None, level="DEBUG")
    with serving(asgi.Middleware(application(), started=logging.DEBUG)) as url:
        httpx.get(f"{url}/hello")
    assert [record["level"] for record in logged.of("request.started", "request.completed")] == ["DEBUG", "INFO"]
    with serving(quiet) as url:
        httpx.get(f"{url}/hello")
    assert [record["level"] for record in logged.of("request.started", "request.completed")][2:] == ["DEBUG"]
    for arguments, message in (
        ({"skip": "/health"}, "skip='/health': expected a list"),
        ({"skip": ["health"]}, "begins with /"),
        ({"skip": [7]}, "skip: 7: expected a path"),
        ({"level": "loud"}, "level='loud': expected DEBUG"),
    ):
        with pytest.raises((TypeError, ValueError), match=re.escape(message)):
            asgi.Middleware(application(), **arguments)  # type: ignore[arg-type]


def test_a_websocket_is_a_started_and_a_closed_record(logged: Log) -> None:
    client = TestClient(asgi.Middleware(application()))
    with client.websocket_connect("/echo", headers={"X-Request-ID": "ws-1"}) as session:
        assert dict(session.extra_headers or [])[b"x-request-id"] == b"ws-1"
        for text in ("one", "zwei", "drei"):
            session.send_text(text)
            assert session.receive_text() == text
        session.close(4001)
    started, closed = logged.of("websocket.started", "websocket.closed")
    assert started["fields"] == {"path": "/echo", "client": "testclient"}
    assert {**closed["fields"], "duration_ms": 0} == {
        **started["fields"], "accepted": True, "code": 4001, "duration_ms": 0, "received": 3, "sent": 3, "bytes": 11
    }  # fmt: skip
    assert {record.get("request_id") for record in logged.of("heard", "websocket.closed")} == {"ws-1"}
    with pytest.raises(ValueError, match="no such word"), client.websocket_connect("/echo") as session:  # noqa: PT012
        session.send_text("fail")
        session.receive_text()  # what it raises is raised when the block is left
    closed = logged.of("websocket.closed")[1]
    assert closed["level"] == "ERROR" and closed["exception"]["type"] == "ValueError"


def test_the_servers_life_is_not_touched(logged: Log) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["type"], receive, send))

    async def receive() -> Any: ...

    async def send(message: Any) -> None: ...

    asyncio.run(asgi.Middleware(app)({"type": "lifespan"}, receive, send))
    assert seen == [("lifespan", receive, send)]
    assert logged.all() == []


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"01-{TRACE}-{SPAN}-00-more", True),
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        ("00-1-2-3", False),
    ],
)
def test_traceparent_is_taken_in_where_it_is_one(logged: Log, header: str, taken: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        log.info("inside")

    run_one(asgi.Middleware(app), [], headers=[(b"traceparent", header.encode())])
    run_one(asgi.Middleware(app, traceparent=False), [], headers=[(b"traceparent", header.encode())])
    first, second = logged.of("inside")
    ids = {name: first[name] for name in ("trace_id", "span_id") if name in first}
    assert ids == ({"trace_id": TRACE, "span_id": SPAN} if taken else {})
    assert "trace_id" not in second


def test_an_active_span_goes_before_the_header(logged: Log) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    async def app(scope: Any, receive: Any, send: Any) -> None:
        log.info("inside")

    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("served") as span:
        run_one(asgi.Middleware(app), [], headers=[(b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())])
    (inside,) = logged.of("inside")
    assert inside["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id) != TRACE


def test_many_requests_at_once_never_mix_their_ids(logged: Log) -> None:  # req 18
    async def ask(url: str) -> None:
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=40)) as client:
            answers = await asyncio.gather(
                *(client.get(f"{url}/hello?name=n{n}", headers={"X-Request-ID": f"id-n{n}"}) for n in range(200))
            )
        assert [answer.headers["x-request-id"] for answer in answers] == [f"id-n{n}" for n in range(200)]

    with serving(asgi.Middleware(application(), started=None)) as url:
        asyncio.run(ask(url))
    said = logged.of("said hello")
    assert len(said) == 200
    assert all(record["request_id"] == f"id-{record['fields']['name_given']}" for record in said)
    assert len({record["request_id"] for record in logged.of("request.completed")}) == 200


def test_another_ones_broken_filter_does_not_reach_the_application(logged: Log) -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter's")

    logger = logging.getLogger("logspool.http")
    logger.addFilter(broken)
    try:
        with serving(asgi.Middleware(application())) as url:
            assert httpx.get(f"{url}/hello").text == "hello"
    finally:
        logger.removeFilter(broken)


def test_set_request_context_binds_an_id_for_what_follows() -> None:  # req 48
    assert OURS.fullmatch(context.generate_request_id())
    assert len({context.generate_request_id() for _ in range(1000)}) == 1000
    with logspool.bound():
        given = context.set_request_context(user="ada")
        assert OURS.fullmatch(given)
        assert context.current() == {"request_id": given, "user": "ada"}
        assert context.set_request_context("r-1") == "r-1"
        assert context.current()["request_id"] == "r-1"
    assert json.dumps(context.current()) == "{}"
