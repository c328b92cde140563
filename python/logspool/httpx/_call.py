"""One HTTP call, from its request to its record."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import re
import secrets
import time

from logspool import _core, context
from logspool.httpx import _providers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from logspool.httpx._body import Look
    from logspool.httpx._send import Settings

_logger = logging.getLogger("logspool.http")

_SENDABLE = re.compile(r"[\x21-\x7e]{1,128}")
#: Headers in which servers tell their own id of a request.
_IDS = ("x-request-id", "request-id", "x-correlation-id", "x-amzn-requestid", "apim-request-id")
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


def clean(url: Any) -> str:
    """The address without user, password and fragment, and with the values of harmless parameters only."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    port = f":{url.port}" if url.port else ""
    if not url.query:
        return f"{url.scheme}://{host}{port}{url.path}"
    query = "&".join(
        f"{name}={value}" if name.lower() in _HARMLESS and len(value) <= 32 else f"{name}=***"
        for name, value in url.params.multi_items()
    )
    return f"{url.scheme}://{host}{port}{url.path}?{query}"


def _now() -> float:
    return time.perf_counter()


def _cut(data: bytes, characters: int) -> str:
    """The beginning of a text, which does not end in the middle of a word: half a secret looks like none."""
    text = data[: characters * 4 + 4].decode(errors="replace")
    if len(text) <= characters and len(data) <= characters * 4:
        return text
    text = text[:characters]
    return re.sub(r"[^\s,;&{}\[\]]*\Z", "", text) + "…"


class Call:
    """What is known of a call so far."""

    def __init__(self, request: Any, settings: Settings) -> None:
        self.request, self.settings = request, settings
        self.started = _now()
        self.first_byte: float | None = None
        bound = context.current()
        url = request.url
        self.provider = settings.hosts.provider(url.host, url.port)
        self.answer = _providers.Answer() if self.provider is not None else None
        content = _content(request)
        self.asked = _providers.asked_model(content, url.path) if self.answer is not None else None
        self.tier, self.task = bound.get("tier_id"), bound.get("task")
        self.request_id = self._identify(bound.get("request_id"))
        self.wants_body = settings.bodies
        self.request_body = _cut(content, settings.body_characters) if self.wants_body and content else None
        self._response_body = bytearray()
        self.response: Any = None
        #: The last response whose head has come, of several where there are redirects.
        self.head: Any = None
        self.streamed = False
        self.exhausted = self.broken = False
        self.error: BaseException | None = None
        self.finished = False
        self._context: contextvars.Context | None = None

    def _identify(self, bound: object) -> str | None:
        headers, extensions = self.request.headers, self.request.extensions
        given: str | None = headers.get("X-Request-ID")
        # Unless it is ours, from an earlier sending of the same request.
        if given is not None and given != extensions.get(_OURS):
            return given
        usable = isinstance(bound, str) and _SENDABLE.fullmatch(bound) is not None
        if not self.settings.send_request_id:
            return bound if isinstance(bound, str) else None
        made = str(bound) if usable else f"req_{secrets.token_hex(8)}"
        headers["X-Request-ID"] = extensions[_OURS] = made
        return made

    def excerpt(self, data: bytes) -> None:
        """A piece of the response's body, of which the beginning is kept."""
        room = self.settings.body_characters * 4 + 8 - len(self._response_body)
        if room > 0:
            self._response_body += data[:room]

    def answered(self, response: Any) -> None:
        """The response has come; its body perhaps not yet."""
        self.response = response
        if self.first_byte is None:
            self.first_byte = _now()
        self.streamed = _is_stream(response)

    def read(self, content: bytes) -> None:
        """The response's body was read as a whole."""
        self.exhausted = True
        if self.wants_body:
            self.excerpt(content)
        if self.answer is not None:
            if self.streamed:
                from logspool.httpx._body import Events

                for event in Events().feed(content + b"\n\n"):
                    self.answer.event(event)
            else:
                self.answer.body(content)

    def streams(self) -> None:
        """The caller reads the body by itself: the record is made when that ends, with what is bound now."""
        self._context = contextvars.copy_context()

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
            head = self.head
            if head is not None:
                whole = _is_whole(head)
                # After one that was read to its end another request may have been sent: of a redirect, or with a password.
                if not whole or getattr(error, "response", None) is head:
                    self.response, self.streamed = head, _is_stream(head)
                    self.broken = head.is_stream_consumed and not whole
        except Exception:
            pass  # A response unlike any other.
        self.finish()

    def finish(self) -> None:
        """Make the record, once; trouble with that does not reach the caller."""
        if self.finished:
            return
        self.finished = True
        try:
            self._record()
        except Exception as error:
            try:
                _logger.error("an HTTP call could not be recorded: %r", error)
            except Exception:
                pass  # A filter or handler that raises; the standard library would have let it through to the caller.

    def _outcome(self) -> str:
        error, answer = self.error, self.answer
        if error is not None:
            names = {cls.__name__ for cls in type(error).__mro__}
            if isinstance(error, asyncio.CancelledError) or "Cancelled" in names:
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
        if self.exhausted or (answer is not None and (answer.done or (answer.usage is not None and self.streamed))):
            return "ok"
        return "closed"

    def _record(self) -> None:
        latency = round((_now() - self.started) * 1000, 3)
        outcome, response, request = self._outcome(), self.response, self.request
        status = None if response is None else response.status_code
        url = clean(request.url)
        fields: dict[str, Any] = {
            "event": "http_call" if self.provider is None else "openrouter_request",
            "request_id": self.request_id,
            "method": request.method,
            "url": url,
            "http_status": status,
            "outcome": outcome,
            "latency_ms": latency,
            "ttfb_ms": None if self.first_byte is None else round((self.first_byte - self.started) * 1000, 3),
            "streamed": self.streamed,
        }
        retries = request.headers.get("x-stainless-retry-count")
        if retries is not None and retries.isdigit():
            fields["retries"] = int(retries)
        if response is not None:
            redirects = sum(one.has_redirect_location for one in response.history)
            if redirects:
                fields["redirects"] = redirects
            theirs = next((response.headers[name] for name in _IDS if name in response.headers), None)
            if theirs and theirs != self.request_id:
                fields["upstream_request_id"] = theirs
        self._tell_error(fields)
        if self.request_body is not None:
            fields["request_body"] = self.request_body
        if self._response_body:
            fields["response_body"] = _cut(bytes(self._response_body), self.settings.body_characters)
        if self.answer is not None:
            self._tell_model(fields, self.answer)
        if self.error is not None:
            level = logging.ERROR
        else:
            level = logging.WARNING if outcome in ("http_error", "provider_error") else logging.INFO
        try:
            said = outcome if status is None or outcome not in ("ok", "http_error") else status
            _logger.log(level, "%s %s: %s in %.1f ms", request.method, url, said, latency, extra=fields)
        finally:
            if self.answer is not None:
                self._bill(fields, outcome)

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
        of = (self.request, getattr(self.head, "request", None), getattr(self.error, "_request", None))
        for url in {str(request.url): request.url for request in of if request is not None}.values():
            said = said.replace(str(url), clean(url))
        return said

    def _tell_model(self, fields: dict[str, Any], answer: _providers.Answer) -> None:
        model = self.asked or answer.model
        if self.tier is None and model is not None:
            self.tier = self.settings.tiers.get(model)
        if answer.response_id is None and self.response is not None:
            answer.response_id = self.response.headers.get("x-generation-id")
        fields.update(
            provider=self.provider,
            model=model,
            tier_id=self.tier,
            **json.loads(_core.bill(usage=answer.usage, model=model)),
            response_id=answer.response_id,
        )

    def _bill(self, fields: dict[str, Any], outcome: str) -> None:
        answer, costs = self.answer, self.settings.costs
        if answer is None or not costs:
            return
        # What was answered is paid for, also where nobody waited for the end.
        begun = fields["http_status"] is not None and fields["http_status"] < 400
        paid = begun and outcome != "provider_error"
        asks = fields["model"] is not None and fields["method"] == "POST" and (self.streamed or not answer.pending)
        if answer.usage is not None or (asks and (paid or costs == "all")):
            _core.log_cost(
                self.tier,
                fields["model"],
                usage=answer.usage,
                latency_ms=fields["latency_ms"],
                http_status=fields["http_status"],
                request_id=self.request_id,
                response_id=answer.response_id,
                provider=self.provider,
                task=self.task,
            )


def _is_stream(response: Any) -> bool:
    return "event-stream" in response.headers.get("content-type", "")


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
