"""The package's only global state: the configured handlers, what was already said, and the hooks for exit and fork."""

from __future__ import annotations

import atexit
import os
import sys
import threading

from logspool import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from logspool.handler import SpoolHandler

#: At exit, how long to wait for a disk that does not answer. What is not in the segments by then stays in the spool, from
#: where the next process takes it: waiting longer would only keep the program from ending.
EXIT_FLUSH_SECONDS = 10.0
EXIT_COMPRESSION_SECONDS = 1.0


class _State:
    """One instance, `state`. Change it only while holding `state.lock`, except for `exiting` and `said`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        #: The handlers the last basicConfig made, the root log's first.
        self.handlers: list[SpoolHandler] = []
        #: The cost log: its handler once open, and the settings basicConfig made for it (None: there are none).
        self.cost_handler: SpoolHandler | None = None
        self.cost_settings: dict[str, Any] | None = None
        #: How often it was said where costs go: who reads the cost log looks whether it is still the same.
        self.cost_configured = 0
        #: The main log, where costs go into it.
        self.cost_in_log: SpoolHandler | None = None
        self.exiting = False
        self.said: set[str] = set()


state = _State()


def say_once(message: str) -> None:
    """One line on standard error, the first time this message comes up in this process. Never raises."""
    if message in state.said:
        return
    state.said.add(message)
    try:
        if sys.stderr is not None:
            sys.stderr.write(f"logspool: {_core.one_line(message)}\n")
            sys.stderr.flush()
    except (OSError, ValueError):  # closed, or a broken pipe: there is nobody to tell
        pass


def flush_timeout() -> float | None:
    """How long a handler's `flush()` may wait, in seconds: for ever, except after our exit hook has already waited."""
    return 0.1 if state.exiting else None


def close_timeout() -> float:
    """How long a handler's `close()` may wait, in seconds. `logging.shutdown()` closes them all one after the other."""
    return 0.1 if state.exiting else EXIT_FLUSH_SECONDS


def _at_exit() -> None:
    # Runs before logging.shutdown (hooks run last in, first out), and does not depend on logging's list of handlers,
    # which dictConfig empties. Records of later hooks and finalisers are written by the thread that makes them.
    state.exiting = True
    _core.write_kept()
    flushed = _core.flush(EXIT_FLUSH_SECONDS)
    _core.shutdown(EXIT_COMPRESSION_SECONDS if flushed else 0.0)


def _after_fork_in_child() -> None:
    state.lock = threading.RLock()  # another thread may have held it
    _core.fork_child()


def install_hooks() -> None:
    """Register the exit and fork hooks; called once, when the package is imported."""
    atexit.register(_at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_core.fork_before, after_in_parent=_core.fork_parent, after_in_child=_after_fork_in_child
        )
