"""`guard_stdout`: file descriptor 1 belongs to the protocol, whatever prints."""

from __future__ import annotations

import atexit
import io
import logging
import os
import sys

from logspool.mcp import _fatal
from logspool.mcp._diverted import Diverted, flush_c_stdio
from logspool.mcp._lines import Printed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, BinaryIO

_active: StdoutGuard | None = None
_fork_hook = False


def guard_stdout(*, level: int = logging.INFO, fatal: bool = True) -> StdoutGuard:
    """Keep standard output for the protocol: what else is written there becomes records of the logger `stdout`.

    Call it before the server runs, best after `logspool.basicConfig`, and as a `with` block or for good::

        with logspool.mcp.guard_stdout():
            mcp.run("stdio")

    File descriptor 1 leads into memory from now on, and the SDK's stdio transport, which asks for `sys.stdout.buffer`, gets a duplicate
    of the real one. A `print` is a record with the line as its event, the thread and task that printed it, what is bound there and the
    file and line in `src`; so is a line that C code or a child process writes to descriptor 1, of which only the text is known. Lines are
    cut at 16,384 characters, blank ones are left out. No writer ever waits: the memory takes what comes; of a backlog of more than 8 MiB
    the oldest is skipped, and that is a record, too. What is there when the guard is closed, or at exit, is recorded then; what C code
    wrote in the last 0.1 s before a SIGKILL or a crash is lost.

    `fatal=True`: exceptions that end the program or a thread become records of `logspool.mcp` with their stack trace, before they
    are printed to standard error as ever; where nobody has enabled `faulthandler`, it is, into a file beside the log, of which the
    next start makes a record.

    Where no handler takes the records, the lines go to standard error. While one guard is open, a further call returns it, and it takes as
    many `close()`. Raises OSError where there is no descriptor 1, and where the platform has no `fcntl`.
    """
    global _active, _fork_hook
    if _active is not None:
        _active._users += 1
        return _active
    guard = StdoutGuard(level, fatal=fatal)
    _active = guard
    if not _fork_hook and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork_in_child)
        _fork_hook = True
    return guard


def _after_fork_in_child() -> None:
    if _active is not None:
        _active._forked()


class StdoutGuard:
    """What `guard_stdout` gives: a context manager, with `close()`."""

    #: The stream of the protocol, for a transport that is not the SDK's: bytes written and flushed here reach the client.
    protocol: BinaryIO

    def __init__(self, level: int, *, fatal: bool) -> None:
        self._users = 1
        self._ours = True
        self._diverted = Diverted(level)
        self._earlier: tuple[Any, Any] = (sys.stdout, sys.__stdout__)
        self._printed = Printed(self, level)
        self._adopt(sys.stdout)
        _set_stdout(self._printed, self._printed)  # handlers and debuggers keep to the second one
        self._diverted.start()
        self._fatal = _fatal.Hooks() if fatal else None
        atexit.register(self._at_exit)

    def _adopt(self, earlier: Any) -> None:
        """What was standard output until now: where it is descriptor 1, it goes where that goes; else the protocol is there."""
        self._line_buffering: bool | None = None
        on_descriptor = False
        try:
            on_descriptor = earlier is None or earlier.fileno() == 1
        except (AttributeError, OSError, ValueError):
            pass
        inner = getattr(earlier, "buffer", None)
        self.protocol = _Protocol(self._diverted.private) if on_descriptor or inner is None else inner
        if on_descriptor and isinstance(earlier, io.TextIOWrapper):
            # What it still holds was printed before, and whoever kept a reference prints to it later.
            self._line_buffering = earlier.line_buffering
            earlier.flush()
            earlier.reconfigure(line_buffering=True)
        self._handlers: list[logging.StreamHandler[Any]] = []
        for reference in list(logging._handlerList):  # type: ignore[attr-defined]
            handler = reference()
            if isinstance(handler, logging.StreamHandler) and earlier is not None and handler.stream is earlier:
                handler.setStream(self._printed)
                self._handlers.append(handler)

    @property
    def closed(self) -> bool:
        """Whether standard output is as it was."""
        return self._users <= 0

    def close(self) -> None:
        """Record what there still is, and put standard output back as it was."""
        global _active
        if self._users <= 0 or not self._ours:
            return
        self._users -= 1
        if self._users:
            return
        _active = None
        atexit.unregister(self._at_exit)
        self._finish()
        out, kept = self._earlier
        now: tuple[Any, Any] = (sys.stdout, sys.__stdout__)
        _set_stdout(*(a if b is self._printed else b for a, b in zip((out, kept), now, strict=True)))
        for handler in self._handlers:
            if handler.stream is self._printed:
                handler.setStream(out)
        if self._line_buffering is not None and isinstance(out, io.TextIOWrapper) and not out.closed:
            out.reconfigure(line_buffering=self._line_buffering)
        self._diverted.restore()

    def _finish(self) -> None:
        """Everything that was written up to now becomes records."""
        earlier = self._earlier[0]
        if self._line_buffering is not None and not earlier.closed:
            earlier.flush()
        flush_c_stdio()
        self._diverted.stop()
        self._printed.end_lines()
        if not self.protocol.closed:
            try:
                self.protocol.flush()
            except OSError:  # the client is gone
                pass
        if self._fatal is not None:
            self._fatal.close()

    def _at_exit(self) -> None:
        if self._ours:
            self._finish()
            # Not to the client, where C code's last words would still break the protocol.
            self._diverted.to_standard_error()
        else:
            flush_c_stdio()
            self._printed.end_lines()

    def _forked(self) -> None:
        """In a forked child: descriptor 1 still leads to the parent, which records it; prints are the child's own."""
        self._ours = False
        self._diverted.forked()
        self._printed.forked()

    def __enter__(self) -> StdoutGuard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _set_stdout(out: Any, kept: Any) -> None:
    sys.stdout, sys.__stdout__ = out, kept  # type: ignore[misc]


class _Protocol(io.BufferedWriter):
    """The protocol's stream. Version 1 of the SDK wraps it, and the wrapper closes it when it is collected: not this one."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(io.FileIO(descriptor, "w", closefd=False))

    def close(self) -> None:
        try:
            self.flush()
        except (OSError, ValueError):
            pass
