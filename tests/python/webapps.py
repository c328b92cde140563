"""Real servers for the tests of the web: uvicorn in a thread, on a port of the system's choosing."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from logfiles import DEADLINE_SECONDS, eventually


@contextlib.contextmanager
def serving(app: Any, **options: Any) -> Iterator[str]:
    """The address of a server that serves `app` while the block runs."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, **{"log_config": None, "access_log": False, "lifespan": "on", **options})
    # It has named level 5 TRACE for the whole process, which other tests have otherwise.
    logging._levelToName.pop(5, None)
    logging._nameToLevel.pop("TRACE", None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="server")
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive(), "the server has started")
        assert server.started
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()
        listening.close()
