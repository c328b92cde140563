"""Which session and which request a tool call belongs to."""

from __future__ import annotations

import secrets
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: On standard input and output, and in memory, the protocol has no session id: each connection gets one here.
_made: weakref.WeakKeyDictionary[object, str] = weakref.WeakKeyDictionary()


def ids(connection: object, request: Any, rpc_id: object) -> dict[str, object]:
    """`session_id` and `request_id` of a call over `connection`; `request` is the HTTP request it came in, or None.

    The request's `X-Request-ID` is the id where it has one: it is in the logs of whoever sent it. Else the JSON-RPC id.
    """
    known = getattr(connection, "session_id", None)
    headers = getattr(request, "headers", None)
    if headers is None:
        # Version 2 may make a connection for each request; what they share is the way back to the client, where there is one.
        peer = getattr(connection, "outbound", connection)
        lasting = getattr(connection, "has_standalone_channel", True)
        return {"session_id": known or (_made_for(peer) if lasting else None), "request_id": _text(rpc_id)}
    query = getattr(request, "query_params", None)  # of the older transport, HTTP with server-sent events
    session = known or headers.get("mcp-session-id") or (query.get("session_id") if query is not None else None)
    return {"session_id": session, "request_id": headers.get("x-request-id") or _text(rpc_id)}


def _text(rpc_id: object) -> str | None:
    return None if rpc_id is None else str(rpc_id)


def _made_for(connection: object) -> str | None:
    try:
        found = _made.get(connection)
        if found is None:
            found = _made.setdefault(connection, f"mcp_{secrets.token_hex(8)}")
        return found
    except TypeError:  # None, or nothing that a weak reference can be made to
        return None
