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
    """`session_id` and `request_id` of a call over `connection`, where there are any; `request` is its HTTP request, or None.

    The request's `X-Request-ID` is the id where it has one: it is in the logs of whoever sent it. Else the JSON-RPC id.
    """
    session = getattr(connection, "session_id", None)
    headers = getattr(request, "headers", None)
    caller = None
    if headers is not None:
        query = getattr(request, "query_params", None)  # of the older transport, HTTP with server-sent events
        session = session or headers.get("mcp-session-id") or (query.get("session_id") if query is not None else None)
        caller = headers.get("x-request-id")
    elif session is None and getattr(connection, "has_standalone_channel", True):
        # Version 2 may make a connection for each request; what they share is the way back to the client, where there is one.
        session = _made_for(getattr(connection, "outbound", connection))
    found: dict[str, object] = {}
    if session is not None:
        found["session_id"] = session
    if caller or rpc_id is not None:
        found["request_id"] = caller or str(rpc_id)
    return found


def _made_for(connection: object) -> str | None:
    try:
        found = _made.get(connection)
        if found is None:
            found = _made.setdefault(connection, f"mcp_{secrets.token_hex(8)}")
        return found
    except TypeError:  # None, or nothing that a weak reference can be made to
        return None
