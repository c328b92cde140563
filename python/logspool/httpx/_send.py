"""What stands in the place of a client's `send`: every call goes through it, whatever it was made with."""

from __future__ import annotations

import contextvars
import logging
import weakref

from logspool.context import current
from logspool.httpx._call import Call, _logger, identify, now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from logspool.httpx._providers import Hosts

#: The call under way, for the hook that sees its response first, and so that nothing is recorded twice.
_under_way: contextvars.ContextVar[Call | None] = contextvars.ContextVar("logspool_http_call", default=None)


class Settings:
    """What `instrument` was given."""

    def __init__(
        self,
        costs: object,
        bodies: bool,
        body_characters: int,
        hosts: Hosts,
        tiers: dict[str, str],
        send_request_id: bool,
    ) -> None:
        if costs not in (True, False, "all"):
            raise ValueError(f'costs: {costs!r}: one of True, False, "all"')
        if body_characters < 1:
            raise ValueError(f"body_characters: {body_characters!r}: a number above 0")
        self.costs, self.bodies, self.body_characters = costs, bodies, body_characters
        self.hosts, self.tiers, self.send_request_id = hosts, tiers, send_request_id
        self.active = True


def library(client: object) -> tuple[str, bool] | None:
    """`("httpx", False)` for a `Client` of httpx, True for an `AsyncClient`; None for what is neither."""
    for cls in type(client).__mro__:
        name = cls.__module__.partition(".")[0]
        if name in ("httpx", "httpx2") and cls.__name__ in ("Client", "AsyncClient"):
            return name, cls.__name__ == "AsyncClient"
    return None


class _Hook:
    """Notes when the response's head has come: the first of the client's hooks, so that no other one's time counts."""

    def __init__(self) -> None:
        self._clients: weakref.WeakSet[Any] = weakref.WeakSet()

    def clients(self) -> list[tuple[Any, bool]]:
        """Those that have it, and whether they are asynchronous."""
        return [(client, found[1]) for client in list(self._clients) if (found := library(client)) is not None]

    def add(self, client: Any, is_async: bool) -> None:
        """Put it first, if it is not there; a new list, as the old one may be in use."""
        ours: Any = _note_async if is_async else _note
        hooks = client.event_hooks
        if ours not in hooks["response"]:
            client.event_hooks = {**hooks, "response": [ours, *hooks["response"]]}
            self._clients.add(client)

    def remove(self, client: Any, is_async: bool) -> None:
        """Take it away."""
        ours: Any = _note_async if is_async else _note
        hooks = client.event_hooks
        if ours in hooks["response"]:
            client.event_hooks = {**hooks, "response": [other for other in hooks["response"] if other is not ours]}
        self._clients.discard(client)


hook = _Hook()


def unhook(client: Any, is_async: bool) -> None:
    """Take our hook away from a client."""
    hook.remove(client, is_async)


def _note(response: object) -> None:
    call = _under_way.get()
    if call is not None:
        call.first_byte, call.seen = now(), response


async def _note_async(response: object) -> None:
    call = _under_way.get()
    if call is not None:
        call.first_byte, call.seen = now(), response


def _put_back(token: contextvars.Token[Call | None]) -> None:
    try:
        _under_way.reset(token)
    except ValueError:
        pass  # A coroutine that is closed in another context than it ran in: there nothing is under way.


def _begin(settings: Settings, client: Any, request: Any, is_async: bool) -> Call | None:
    """The call that begins; None where it is seen already, or cannot be."""
    outer = _under_way.get()
    if not settings.active or (outer is not None and outer.request is request):
        return None
    try:
        if not settings.costs and not _logger.isEnabledFor(logging.ERROR):
            identify(request, settings, current().get("request_id"))  # Of this call nothing would be recorded.
            return None
        if (_note_async if is_async else _note) not in client.event_hooks["response"]:
            hook.add(client, is_async)
    except Exception:
        pass  # A client that hides its hooks: the first byte is then the whole response.
    try:
        return Call(request, settings)
    except Exception:
        return None  # A request unlike any other; it is sent all the same.


def sync_send(settings: Settings, before: Any, name: str) -> Any:
    """A `send` that gets its client first. It goes on with `before(client, …)`, or without one with what the client's class has."""

    def send(client: Any, request: Any, *args: Any, **keywords: Any) -> Any:
        proceed = before or type(client).send
        call = _begin(settings, client, request, False)
        if call is None:
            return proceed(client, request, *args, **keywords)
        token = _under_way.set(call)
        try:
            response = proceed(client, request, *args, **keywords)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            _put_back(token)
        call.answered(response, name, False)
        return response

    send.settings = settings  # type: ignore[attr-defined]
    return send


def async_send(settings: Settings, before: Any, name: str) -> Any:
    """As `sync_send`."""

    async def send(client: Any, request: Any, *args: Any, **keywords: Any) -> Any:
        proceed = before or type(client).send
        call = _begin(settings, client, request, True)
        if call is None:
            return await proceed(client, request, *args, **keywords)
        token = _under_way.set(call)
        try:
            response = await proceed(client, request, *args, **keywords)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            _put_back(token)
        call.answered(response, name, True)
        return response

    send.settings = settings  # type: ignore[attr-defined]
    return send
