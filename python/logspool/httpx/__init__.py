"""One record per HTTP call of httpx and httpx2, sync and async, and of the clients that sit on them (`openai`, `anthropic`, `groq`, …).

    client = logspool.httpx.instrument(httpx.AsyncClient())
    logspool.httpx.instrument(openai.OpenAI(), costs=True)
    logspool.httpx.instrument_all()

The logger is `logspool.http`; the event is `http_call`, or `openrouter_request` where the host is a provider of language models. INFO; from
status 400 on WARNING; ERROR where an exception was raised. What the application sees of its calls stays as it was. See docs/http.md.
"""

from __future__ import annotations

import functools
import sys
import types
import weakref

from logspool.httpx._providers import Hosts
from logspool.httpx._send import Settings, async_send, hook, library, sync_send, unhook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any, Literal, TypeVar

    Client = TypeVar("Client")
    Costs = bool | Literal["all"]

__all__ = ["instrument", "instrument_all", "uninstrument", "uninstrument_all"]

#: Characters of a body that are shown with `bodies=True`.
BODY_CHARACTERS = 500
#: The class' own `send`, by the class that `instrument_all` changed.
_replaced: dict[type, Any] = {}
#: The clients that have a `send` of ours, with what stood there before (None: nothing).
_instrumented: weakref.WeakKeyDictionary[Any, tuple[Any, Any]] = weakref.WeakKeyDictionary()


def instrument(
    client: Client,
    *,
    costs: Costs = False,
    bodies: bool = False,
    body_characters: int = BODY_CHARACTERS,
    hosts: Collection[str] | Mapping[str, str] = (),
    tiers: Mapping[str, str] | None = None,
    send_request_id: bool = True,
) -> Client:
    """Log each call of this client: an httpx or httpx2 `Client` or `AsyncClient`, or one that has such a client inside (`openai.OpenAI()`).

    `costs=True` also calls `log_cost` for each answer of a provider of language models (`"all"`: for failed calls too, with null for what
    is not known); a response that the program logs with its `response_id` itself is counted once, whichever comes first. `hosts` adds
    hosts of providers: names, `name:port`, or a mapping of these to the provider's name. `tiers` gives the tier of a model where no
    `tier_id` is bound. `bodies` adds the first `body_characters` characters of request and response, redacted like everything else.
    `send_request_id=False` adds no `X-Request-ID` to requests.

    Returns the client. Instrumenting it again replaces the settings. Raises TypeError for anything else than such a client.
    """
    target, name, is_async = _target(client)
    settings = Settings(costs, bodies, body_characters, Hosts(hosts), dict(tiers or {}), send_request_id)
    uninstrument(client)
    before = target.__dict__.get("send")  # Somebody else's, to be called without the client.
    proceed = None if before is None else lambda _, *args, **keywords: before(*args, **keywords)
    send = (async_send if is_async else sync_send)(settings, proceed, name)
    target.send = types.MethodType(send, target)
    _instrumented[target] = (send, before)
    return client


def uninstrument(client: object) -> None:
    """Leave this client as it was before `instrument`; one that was not instrumented is left alone."""
    target, _, is_async = _target(client)
    send, before = _instrumented.pop(target, (None, None))
    if send is None:
        return
    send.settings.active = False  # Somebody may have wrapped it meanwhile.
    if getattr(target.__dict__.get("send"), "__func__", None) is send:
        if before is None:
            del target.send
        else:
            target.send = before
    unhook(target, is_async)


def instrument_all(
    *,
    costs: Costs = False,
    bodies: bool = False,
    body_characters: int = BODY_CHARACTERS,
    hosts: Collection[str] | Mapping[str, str] = (),
    tiers: Mapping[str, str] | None = None,
    send_request_id: bool = True,
) -> None:
    """Log each call of every client of httpx and httpx2, also of those made later and of `httpx.get(…)`. Arguments as for `instrument`.

    Replaces `Client.send` and `AsyncClient.send` of the libraries that are installed, until `uninstrument_all`. Settings of `instrument`
    go before. Raises ModuleNotFoundError where neither library is installed.
    """
    settings = Settings(costs, bodies, body_characters, Hosts(hosts), dict(tiers or {}), send_request_id)
    classes = _classes()
    uninstrument_all()
    for client_class, name, is_async in classes:
        before = client_class.send
        send = functools.wraps(before)((async_send if is_async else sync_send)(settings, before, name))
        client_class.send = send
        _replaced[client_class] = (send, before)


def uninstrument_all() -> None:
    """Put back what `instrument_all` replaced. Clients that were instrumented one by one stay so."""
    while _replaced:
        client_class, (send, before) = _replaced.popitem()
        send.settings.active = False
        if client_class.__dict__.get("send") is send:
            client_class.send = before  # type: ignore[attr-defined]
    for client, is_async in hook.clients():
        if client not in _instrumented:
            unhook(client, is_async)


def _target(client: object) -> tuple[Any, str, bool]:
    """The client of httpx or httpx2 that is meant, the library's name, whether it is asynchronous."""
    for candidate in (client, getattr(client, "_client", None)):
        found = library(candidate)
        if found is not None:
            return candidate, *found
    raise TypeError(
        f"instrument: {type(client).__name__}: pass a Client or AsyncClient of httpx or httpx2, or a client that sits on one"
    )


def _classes() -> list[tuple[Any, str, bool]]:
    found = []
    for name in ("httpx", "httpx2"):
        try:
            __import__(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            continue
        module = sys.modules[name]
        found += [(module.Client, name, False), (module.AsyncClient, name, True)]
    if not found:
        raise ModuleNotFoundError("neither httpx nor httpx2 is installed: pip install 'logspool[httpx]'")
    return found
