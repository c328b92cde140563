"""Requests of a web application: `app = logspool.asgi.Middleware(app)` around any ASGI application, whatever framework it is made with.

Each request becomes `request.started` and `request.completed`, each WebSocket `websocket.started` and `websocket.closed`; the
request's id comes in and goes out as `X-Request-ID` and stands in every record that is logged while it is served.
`uvicorn_log_config()` and `gunicorn_log_config()` put the servers' own records into the same log. Nothing but the standard
library is imported.
"""

from __future__ import annotations

import contextvars
import logging
import re
import sys
import time

from logspool import context
from logspool._core import Context
from logspool._servers import ServerFields, gunicorn_log_config, routes, uvicorn_log_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping
    from typing import Any

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Any, Any, Any], Awaitable[None]]

__all__ = ["Middleware", "ServerFields", "gunicorn_log_config", "uvicorn_log_config"]

#: What an id from outside may be: it goes into every record and back into a header.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:=+/@-]{0,127}")
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_logger = logging.getLogger("logspool.http")
_DISCONNECTS = ("ClientDisconnect", "WebSocketDisconnect")
#: In a connection's scope while it is served: a second middleware of ours within the first has nothing to add.
_SERVED = "logspool.served"
#: What was bound before the connection that is served here.
_before: contextvars.ContextVar[Context] = contextvars.ContextVar("logspool.asgi.before")


class Middleware:
    """An ASGI application around another one, which logs its requests.

    app         the application: Starlette's, FastAPI's, Django's, or a plain one. Around the whole of it (`app = Middleware(app)`)
                also the answers of its error handling get their `X-Request-ID`; `app.add_middleware(Middleware)` works, too
    skip        routes whose requests are not logged unless they fail: an exact path, a prefix that ends in `*`, or a callable that is
                given the ASGI scope. Failing is an exception or a status of 500 and above
    started     level of `request.started` and `websocket.started` (INFO); None: only the end of a request is logged
    level       level of `request.completed` and `websocket.closed` (INFO); a failure is an ERROR
    traceparent take `trace_id`, `span_id` and `trace_flags` from the header of that name (True), where OpenTelemetry does not

    `request.completed` has `method`, `path` (without the query), `client`, `status_code`, `duration_ms` until the last byte was
    handed to the server, and `bytes` of the body. `disconnected` and `cancelled` are there where a request ended that way. An
    exception of the application is in the record, and is raised again as it is; one that comes after the whole answer (a
    background task) is a `request.failed`.

    An id in `X-Request-ID` of up to 128 letters, digits and `._:=+/@-` is taken on, anything else gives way to a new one.
    """

    def __init__(
        self,
        app: Application,
        *,
        skip: Iterable[str | Callable[[Any], object]] = (),
        started: int | str | None = logging.INFO,
        level: int | str = logging.INFO,
        traceparent: bool = True,
    ) -> None:
        self.app = app
        self._skips = routes(skip)
        self._started = None if started is None else _level("started", started)
        self._level = _level("level", level)
        self._traceparent = traceparent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind not in ("http", "websocket") or scope.get(_SERVED):  # the server's life, what is not known yet
            await self.app(scope, receive, send)
            return
        served: _Served = (_Request if kind == "http" else _WebSocket)(self, scope, receive, send)
        with _Afresh(), context.Bound(served.bound):
            served.begin()
            scope[_SERVED] = True
            try:
                await self.app(scope, served.receive, served.send)
            except BaseException as error:
                served.end(error)
                raise
            finally:
                scope.pop(_SERVED, None)
            served.end(None)


def _level(name: str, value: Any) -> int:
    from logspool import _settings, _values

    level: int = _settings.parse(name, _values.level, value)
    return level


class _Afresh:
    """The context as it was before any connection.

    Servers start a request in the middle of the one before it on the same connection (pipelining), in a copy of that one's
    context: nothing of one belongs into the records of another.
    """

    def __enter__(self) -> None:
        there = context._variable.get(None)
        before = _before.get(None)
        if before is None:
            before = Context(None, {}) if there is None else there
        self._tokens = _before.set(before), context._variable.set(before)

    def __exit__(self, *_: object) -> None:
        before, bound = self._tokens
        try:
            context._variable.reset(bound)
            _before.reset(before)
        except ValueError:  # closed by the event loop, in another context: there nothing of it is bound
            pass


class _Served:
    """What is known of one connection while it is served."""

    kind = ""

    def __init__(self, middleware: Middleware, scope: Scope, receive: Receive, send: Send) -> None:
        self._middleware, self._receive, self._send = middleware, receive, send
        self._at = time.perf_counter()
        self._ended: float | None = None
        self._told = False
        self.bytes = 0
        self.status: int | None = None
        self.disconnected = False
        self._gone: OSError | None = None
        headers = scope.get("headers") or ()
        request_id = _request_id(headers)
        self._header = (b"x-request-id", request_id.encode("ascii"))
        self.bound: dict[str, object] = {"request_id": request_id}
        if middleware._traceparent:
            self.bound.update(_trace(headers))
        client = scope.get("client")
        self.fields: dict[str, object] = {"path": scope.get("path"), "client": client[0] if client else None}
        self.skipped = middleware._skips(scope)

    async def receive(self) -> Message:
        raise NotImplementedError

    async def send(self, message: Message) -> None:
        raise NotImplementedError

    def end(self, error: BaseException | None) -> None:
        raise NotImplementedError

    def begin(self) -> None:
        if self._middleware._started is not None and not self.skipped:
            self.tell(self._middleware._started, f"{self.kind}.started", {})

    def tell(self, level: int, event: str, fields: dict[str, object], error: BaseException | None = None) -> None:
        # The connection's ids, whatever is bound where the application sends the last part of its answer.
        extra = {**self.bound, "fields": {**self.fields, **fields}}
        try:
            _logger.log(level, event, extra=extra, exc_info=error)
        except Exception:  # another one's handler or filter: the application has not asked for it
            pass

    def duration(self) -> float:
        """Milliseconds from the first to the last thing said."""
        ended = time.perf_counter() if self._ended is None else self._ended
        return round((ended - self._at) * 1000, 3)

    def add_header(self, message: Message) -> Message:
        """The message with the id in its headers, unless the application has one there."""
        headers = list(message.get("headers") or ())
        try:
            own = any(bytes(name).lower() == b"x-request-id" for name, _ in headers)
        except (TypeError, ValueError):  # no headers: the server says so
            own = True
        return {**message, "headers": headers if own else [*headers, self._header]}

    async def hand_over(self, message: Message) -> None:
        """Send it. A server says by an OSError that the client is gone (ASGI 2.4), and applications let that pass."""
        try:
            await self._send(message)
        except OSError as error:
            if self._ended is None and message["type"] != "http.response.pathsend":
                self.disconnected, self._gone = True, error
            raise

    def failure(self, error: BaseException | None) -> BaseException | None:
        """What went wrong, None where the application has only let pass that the client is gone."""
        if error is None or (self._gone is not None and self._gone in (error, error.__cause__, error.__context__)):
            return None
        # What Starlette makes of the message that says so, for whoever goes on reading.
        told = self.disconnected and any(kind.__name__ in _DISCONNECTS for kind in type(error).__mro__)
        return None if told else error


class _Request(_Served):
    kind = "request"

    def __init__(self, middleware: Middleware, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(middleware, scope, receive, send)
        self.fields = {"method": scope.get("method"), **self.fields}

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and self._ended is None:
            self.disconnected = True
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            message = self.add_header(message)
            await self.hand_over(message)
            self.status = message["status"]
            return
        await self.hand_over(message)
        if kind == "http.response.body":
            self.bytes += len(message.get("body") or b"")
            if not message.get("more_body", False):
                self.answered()
        elif kind == "http.response.pathsend":
            self.bytes += _size(message.get("path"))
            self.answered()
        elif kind == "http.response.zerocopysend":
            self.bytes += message.get("count") or 0
            if not message.get("more_body", False):
                self.answered()

    def answered(self) -> None:
        if self._ended is not None:
            return
        self._ended = time.perf_counter()
        # A failure that was answered is mostly raised again, and belongs into the same record.
        if (self.status or 0) < 500:
            self.complete(None)

    def complete(self, error: BaseException | None) -> None:
        """The answer is out, or there will be none."""
        self._told = True
        cancelled = error is not None and not isinstance(error, Exception)
        status = self.status
        if status is None and error is not None and not cancelled and not self.disconnected:
            status = 500  # what the server says for an application that says nothing
        # To HEAD no body is sent, whatever the application says.
        size = 0 if self.fields["method"] == "HEAD" else self.bytes
        fields: dict[str, object] = {"status_code": status, "duration_ms": self.duration(), "bytes": size}
        level = self._middleware._level
        if self.disconnected:
            fields["disconnected"] = True
        if cancelled:
            fields["cancelled"] = True
        gone = self.disconnected or cancelled
        if (error is not None and not gone) or (status or 0) >= 500 or (status is None and not gone):
            level = max(level, logging.ERROR)
        elif error is not None:
            level = max(level, logging.WARNING)
        elif self.skipped:
            return
        self.tell(level, "request.completed", fields, error)

    def end(self, error: BaseException | None) -> None:
        error = self.failure(error)
        if not self._told:
            self.complete(error)
        elif error is not None:
            cancelled = not isinstance(error, Exception)
            fields: dict[str, object] = {"status_code": self.status, "duration_ms": self.duration()}
            if cancelled:
                fields["cancelled"] = True
            self.tell(logging.WARNING if cancelled else logging.ERROR, "request.failed", fields, error)


class _WebSocket(_Served):
    kind = "websocket"

    def __init__(self, middleware: Middleware, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(middleware, scope, receive, send)
        self.code: int | None = None
        self.accepted = False
        self.received = self.sent = 0

    async def receive(self) -> Message:
        message = await self._receive()
        kind = message["type"]
        if kind == "websocket.receive":
            self.received += 1
        elif kind == "websocket.disconnect":
            self.disconnected = True
            self._over(message.get("code"))
        return message

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("websocket.accept", "websocket.http.response.start"):
            message = self.add_header(message)
        await self.hand_over(message)
        if kind == "websocket.accept":
            self.accepted = True
        elif kind == "websocket.send":
            self.sent += 1
            self.bytes += len(message.get("bytes") or (message.get("text") or "").encode("utf-8", "surrogatepass"))
        elif kind == "websocket.close":
            self._over(message.get("code", 1000))
        elif kind == "websocket.http.response.start":
            self.status = message["status"]

    def _over(self, code: int | None) -> None:
        if self._ended is None:
            self._ended, self.code = time.perf_counter(), code

    def end(self, error: BaseException | None) -> None:
        error = self.failure(error)
        fields: dict[str, object] = {
            "accepted": self.accepted,
            "code": self.code,
            "duration_ms": self.duration(),
            "received": self.received,
            "sent": self.sent,
            "bytes": self.bytes,
        }
        if self.status is not None:
            fields["status_code"] = self.status
        level = self._middleware._level
        if error is not None:
            if isinstance(error, Exception):
                level = max(level, logging.ERROR)
            else:
                fields["cancelled"] = True
                level = max(level, logging.WARNING)
        elif (self.status or 0) >= 500:
            level = max(level, logging.ERROR)
        elif self.skipped:
            return
        self.tell(level, "websocket.closed", fields, error)


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The id that was sent along, if it is one, and one only; else a new one."""
    given = [value for name, value in headers if name == b"x-request-id"]
    if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
        return given[0].decode("ascii")
    return context.generate_request_id()


def _trace(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, object]:
    """The ids in `traceparent` (W3C Trace Context), where nobody else sees to them."""
    if "opentelemetry.instrumentation.asgi" in sys.modules:
        return {}  # its spans come after us, and are nearer to what is logged
    given = [value for name, value in headers if name == b"traceparent"]
    found = _TRACEPARENT.fullmatch(given[0]) if len(given) == 1 else None
    if found is None or context._span_ids():
        return {}
    version, trace, span, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more) or not trace.strip(b"0") or not span.strip(b"0"):
        return {}
    return {"trace_id": trace.decode(), "span_id": span.decode(), "trace_flags": flags.decode()}


def _size(path: Any) -> int:
    import os

    try:
        return os.stat(path).st_size
    except (OSError, TypeError, ValueError):
        return 0
