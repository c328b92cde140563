"""One HTTP call, from its request to its record."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import re
import time

from logspool._core import Answer, asked_model, bill_http_call, header_values
from logspool.context import _variable
from logspool.httpx._body import MOST_BODY, Look, stream_of
from logspool.httpx._providers import model_in_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from logspool.httpx._send import Settings

_logger = logging.getLogger("logspool.http")

#: Characters of a bound request id that is sent.
MOST_ID = 128
#: What is read of a request's headers.
_SENT = (b"x-request-id", b"x-stainless-retry-count")
#: What is read of a response's: at the end those in which servers tell their own id of a request.
_ANSWERED = (
    *(b"content-type", b"content-encoding", b"x-generation-id"),
    *(b"x-request-id", b"request-id", b"x-correlation-id", b"x-amzn-requestid", b"apim-request-id"),
)
#: Parameters whose values say nothing of anybody; of others only the name is kept.
_HARMLESS = frozenset(
    {
        "alt",
        "api-version",
        "count",
        "first",
        "format",
        "lang",
        "limit",
        "offset",
        "order",
        "page",
        "page_size",
        "sort",
        "stream",
    }
)
_ERROR_CHARACTERS = 500
#: Where a request keeps the id that we gave it.
_OURS = "logspool.request_id"


def clean(url: Any, beginning: str) -> str:
    """The address without user, password and fragment, and with the values of harmless parameters only."""
    if not url.query:
        return f"{beginning}{url.path}"
    query = "&".join(
        f"{name}={value}" if name.lower() in _HARMLESS and len(value) <= 32 else f"{name}=***"
        for name, value in url.params.multi_items()
    )
    return f"{beginning}{url.path}?{query}"


#: Nanoseconds.
now = time.perf_counter_ns


def _cut(data: bytes, characters: int) -> str:
    """The beginning of a text, which does not end in the middle of a word: half a secret looks like none."""
    text = data[: characters * 4 + 4].decode(errors="replace")
    if len(text) <= characters and len(data) <= characters * 4:
        return text
    text = text[:characters]
    return re.sub(r"[^\s,;&{}\[\]]*\Z", "", text) + "…"


class Call:
    """What is known of a call so far."""

    # What most calls never have stands here.
    first_byte: int | None = None
    response: Any = None
    #: Its headers of interest, as `_ANSWERED` has them.
    head: tuple[str | None, ...] = (None,) * len(_ANSWERED)
    #: The last response whose head has come, of several where there are redirects.
    seen: Any = None
    error: BaseException | None = None
    streamed = exhausted = broken = finished = False
    answer: Answer | None = None
    _response_body: bytearray | None = None
    _context: contextvars.Context | None = None

    def __init__(self, request: Any, settings: Settings) -> None:
        self.request, self.settings = request, settings
        context = _variable.get(None)
        if context is None:
            self.tier = self.task = bound = None
        else:
            values = context.values()
            self.tier, self.task, bound = values.get("tier_id"), values.get("task"), values.get("request_id")
        self.request_id, self.retries = identify(request, settings, bound)
        self.beginning, self.provider = settings.hosts.place(request.url)
        if self.provider is not None:
            self.answer = Answer()
        self.started = now()

    def excerpt(self, data: bytes) -> None:
        """A piece of the response's body, of which the beginning is kept."""
        if self._response_body is None:
            self._response_body = bytearray()
        room = self.settings.body_characters * 4 + 8 - len(self._response_body)
        if room > 0:
            self._response_body += data[:room]

    def answered(self, response: Any, name: str, is_async: bool) -> None:
        """The response has come: read, or with a body that is still to come. `name` is the library's."""
        try:
            if self.first_byte is None:
                self.first_byte = now()
            self._headed(response)
            if response.is_stream_consumed or response.is_closed:
                self.exhausted = True
                if self.answer is not None or self.settings.bodies:
                    self._read(response)
                self.finish()
            else:
                # The caller reads the body: the record is made when that ends, with what is bound now.
                self._context = contextvars.copy_context()
                response.stream = stream_of(name, is_async)(response.stream, self, Look(self, self.head[1] or "", name))
        except Exception:
            self.finish()

    def _headed(self, response: Any) -> None:
        self.response = response
        self.head = header_values(response.headers.raw, _ANSWERED)
        self.streamed = self.head[0] is not None and "event-stream" in self.head[0]

    def _read(self, response: Any) -> None:
        try:
            content: bytes = response.content
        except Exception:
            return  # It was read as a stream, by a hook.
        if self.settings.bodies:
            self.excerpt(content)
        if self.answer is not None:
            if self.streamed:
                self.answer.feed(content + b"\n\n")
            else:
                self.answer.body(content, MOST_BODY)

    def broke(self, error: BaseException) -> None:
        """The body ended in an exception."""
        self.error, self.broken = error, True

    def ended(self, look: Look) -> None:
        """The response was closed, or given up."""
        if self.finished:
            return
        try:
            look.end()
        except Exception:
            look.wanted = False
        if self._context is None:
            self.finish()
        else:
            self._context.run(self.finish)

    def failed(self, error: BaseException) -> None:
        """There is no response, or its body ended in an exception, or a hook of the client's refused it."""
        self.error = error
        try:
            seen = self.seen
            if seen is not None:
                whole = _is_whole(seen)
                # After one that was read to its end another request may have been sent: of a redirect, or with a password.
                if not whole or getattr(error, "response", None) is seen:
                    self._headed(seen)
                    self.broken = seen.is_stream_consumed and not whole
        except Exception:
            pass  # A response unlike any other.
        self.finish()

    def finish(self) -> None:
        """Make the record, once; trouble with that does not reach the caller."""
        if self.finished:
            return
        self.finished = True
        try:
            self._record(now())
        except Exception as error:
            try:
                _logger.error("an HTTP call could not be recorded: %r", error)
            except Exception:
                pass  # A filter or handler that raises; the standard library would have let it through to the caller.

    def _outcome(self) -> str:
        error, answer = self.error, self.answer
        if error is not None:
            names = {cls.__name__ for cls in type(error).__mro__}
            if isinstance(error, (asyncio.CancelledError, GeneratorExit)) or "Cancelled" in names:
                return "cancelled"
            if "TimeoutException" in names or isinstance(error, TimeoutError):
                return "timeout"
            if self.broken:
                return "broken"
            if self.response is not None and self.response.status_code >= 400:
                return "http_error"  # A hook that calls `raise_for_status`.
            return "connect_error" if "ConnectError" in names else "error"
        if self.response.status_code >= 400:
            return "http_error"
        if answer is not None and answer.error is not None:
            return "provider_error"
        if answer is not None and (answer.done or (answer.usage is not None and self.streamed)):
            return "ok"
        return "closed"

    def _record(self, ended: int) -> None:
        # A call is rare, and finds the processor's caches cold: each function and object that is touched on the usual way counts.
        request, response, answer, error = self.request, self.response, self.answer, self.error
        status = None if response is None else response.status_code
        outcome, level = "ok", logging.INFO
        if (
            error is not None
            or status is None
            or status >= 400
            or not self.exhausted
            or (answer is not None and answer.error is not None)
        ):
            outcome = self._outcome()
            if error is not None:
                level = logging.ERROR
            elif outcome in ("http_error", "provider_error"):
                level = logging.WARNING
        if (answer is None or not self.settings.costs) and not _logger.isEnabledFor(level):
            return
        path: bytes = request.url.raw_path
        if b"%" in path or b"?" in path:
            url = clean(request.url, self.beginning)
        else:
            url = self.beginning + path.decode("ascii", "replace")
        took = ended - self.started
        fields: dict[str, Any] = {
            "event": "http_call" if answer is None else "openrouter_request",
            "request_id": self.request_id,
            "method": request.method,
            "url": url,
            "http_status": status,
            "outcome": outcome,
            "latency_ms": took // 1000 / 1000,
            "ttfb_ms": None if self.first_byte is None else (self.first_byte - self.started) // 1000 / 1000,
            "streamed": self.streamed,
        }
        if self.retries is not None and self.retries.isascii() and self.retries.isdigit():
            fields["retries"] = int(self.retries)
        if response is not None:
            redirects = sum(one.has_redirect_location for one in response.history) if response.history else 0
            if redirects:
                fields["redirects"] = redirects
            _, _, _, one, two, three, four, five = self.head
            theirs = one or two or three or four or five
            if theirs and theirs != self.request_id:
                fields["upstream_request_id"] = theirs
        if level != logging.INFO:
            self._tell_error(fields)
        if self.settings.bodies:
            self._tell_bodies(fields)
        if answer is not None:
            self._tell_model(fields, answer, path)
        said = outcome if status is None or outcome not in ("ok", "http_error") else status
        _logger.log(level, "%s %s: %s in %.1f ms", fields["method"], url, said, took / 1e6, extra=fields)

    def _tell_error(self, fields: dict[str, Any]) -> None:
        if self.error is not None:
            fields["error"] = type(self.error).__name__
            said = self._without_addresses(str(self.error))[:_ERROR_CHARACTERS]
            if said:
                fields["error_message"] = said
        elif self.answer is not None and self.answer.error is not None:
            fields["error"] = self.answer.error

    def _without_addresses(self, said: str) -> str:
        """The text with the request's address as we write it, which `raise_for_status` has in full; after a redirect another one."""
        of = (self.request, getattr(self.seen, "request", None), getattr(self.error, "_request", None))
        for url in {str(request.url): request.url for request in of if request is not None}.values():
            said = said.replace(str(url), clean(url, self.settings.hosts.place(url)[0]))
        return said

    def _tell_bodies(self, fields: dict[str, Any]) -> None:
        sent = _content(self.request)
        if sent:
            fields["request_body"] = _cut(sent, self.settings.body_characters)
        if self._response_body:
            fields["response_body"] = _cut(bytes(self._response_body), self.settings.body_characters)

    def _tell_model(self, fields: dict[str, Any], answer: Answer, path: bytes) -> None:
        """What is known of the answer; and its cost record, where one is wanted."""
        usage, costs = answer.usage, self.settings.costs
        model = model_in_path(self.request.url.path) if b":" in path else None
        if model is None:
            content = _content(self.request)
            model = (asked_model(content) if content else None) or answer.model
        if self.tier is None and model is not None:
            self.tier = self.settings.tiers.get(model)
        fields["provider"], fields["model"], fields["tier_id"] = self.provider, model, self.tier
        fields["response_id"] = answer.response_id or self.head[2]
        if usage is None and costs:
            # What was answered is paid for, also where nobody waited for the end.
            status = fields["http_status"]
            paid = status is not None and status < 400 and fields["outcome"] != "provider_error"
            asks = model is not None and fields["method"] == "POST" and (self.streamed or not answer.pending)
            costs = asks and (paid or costs == "all")
        bill_http_call(fields, usage, self.task, bool(costs))


def identify(request: Any, settings: Settings, bound: object) -> tuple[str | None, str | None]:
    """The id of a request, which from now on it has as a header, and the number of the attempt where its client says it."""
    headers, extensions = request.headers, request.extensions
    given, retries = header_values(headers.raw, _SENT)
    # Unless it is ours, from an earlier sending of the same request.
    if given is not None and given != extensions.get(_OURS):
        return given, retries
    if not settings.send_request_id:
        return bound if isinstance(bound, str) else None, retries
    # What can stand in a header: visible characters.
    usable = (
        isinstance(bound, str)
        and bound.isascii()
        and bound.isprintable()
        and 0 < len(bound) <= MOST_ID
        and " " not in bound
    )
    made = str(bound) if usable else f"req_{os.urandom(8).hex()}"
    headers["X-Request-ID"] = extensions[_OURS] = made
    return made, retries


def _is_whole(response: Any) -> bool:
    """Whether its body was read to its end."""
    try:
        return response.content is not None
    except Exception:
        return False


def _content(request: Any) -> bytes | None:
    try:
        content = request.content
    except Exception:
        return None  # A body that is made while it is sent.
    return content if isinstance(content, bytes) else None
