"""Lines that were meant for standard output, as records."""

from __future__ import annotations

import io
import logging
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, BinaryIO

    from logspool.mcp._stdout import StdoutGuard

#: Characters of a line that are kept.
LINE = 16_384
#: Unfinished lines, of as many threads and tasks, that are held.
UNFINISHED = 256

log = logging.getLogger("stdout")
_here = threading.local()


def record(text: str, cut: int, level: int, source: str, frames: int | None) -> None:
    """One line as a record; `cut` characters of it are missing. `frames`: how far up its `print` stands, None: nobody knows.

    Never raises.
    """
    if not text.strip():
        return
    _here.busy = True
    try:
        if not log.hasHandlers():
            if sys.stderr is not None:
                sys.stderr.write(text + "\n")
            return
        fields: dict[str, Any] = {"source": source}
        if cut:
            fields["cut"] = cut
        if frames is not None:
            log.log(level, text, stacklevel=frames + 1, extra={"fields": fields})
        elif log.isEnabledFor(level):
            made = log.makeRecord(log.name, level, "<stdout>", 0, text, (), None, "", {"fields": fields})
            made.threadName = made.thread = None  # ours is not the one that wrote
            log.handle(made)
    except Exception:  # of somebody's filter or handler: the program only wanted to print
        pass
    finally:
        _here.busy = False


class Line:
    """A line that is not finished yet: its first LINE characters, and how many more there were."""

    __slots__ = ("cut", "kept", "parts")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.kept = self.cut = 0

    def add(self, text: str) -> None:
        room = LINE - self.kept
        if len(text) > room:
            self.cut += len(text) - room
            text = text[:room]
        self.kept += len(text)
        if text:
            self.parts.append(text)

    def take(self) -> tuple[str, int]:
        taken = "".join(self.parts).rstrip("\r"), self.cut
        self.parts, self.kept, self.cut = [], 0, 0
        return taken


def _writer() -> tuple[int, int]:
    """Which thread and which task is running."""
    asyncio = sys.modules.get("asyncio")
    task = None
    if asyncio is not None:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop runs in this thread
            pass
    return threading.get_ident(), id(task)


class Printed(io.TextIOBase):
    """`sys.stdout` while it is guarded: a record for each line, of each thread and task for itself."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True
    write_through = False
    name = "<stdout>"
    mode = "w"

    def __init__(self, guard: StdoutGuard, level: int) -> None:
        self._guard, self._level = guard, level
        self._bytes = PrintedBytes(self)
        # No lock: each thread and task has its own line, and a dict's methods are atomic.
        self._lines: dict[tuple[int, int], Line] = {}

    @property
    def buffer(self) -> BinaryIO | PrintedBytes:
        """The protocol's stream for the SDK's stdio transport; for everybody else one that makes records, too."""
        asks = str(sys._getframe(1).f_globals.get("__name__", "")).partition(".")[0]
        return self._guard.protocol if asks in ("mcp", "fastmcp") else self._bytes

    def write(self, text: str, /, *, frames: int = 2) -> int:
        """Take text; a record for each line that it finishes."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if getattr(_here, "busy", False):  # a handler that prints the very record which is being made of a line
            return len(text)
        key = _writer()
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line()
            while len(self._lines) > UNFINISHED:
                self._end(next(iter(self._lines)))
        at = 0
        while (end := text.find("\n", at)) >= 0:
            line.add(text[at : min(end, at + LINE)] if end - at > LINE else text[at:end])
            line.cut += max(0, end - at - LINE)
            words, cut = line.take()
            record(words, cut, self._level, "print", frames)
            at = end + 1
        if at < len(text):
            line.add(text[at:])
        elif not line.parts:
            self._lines.pop(key, None)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]
        """Take several texts."""
        for line in lines:
            self.write(line, frames=3)

    def _end(self, key: tuple[int, int]) -> None:
        line = self._lines.pop(key, None)
        if line is not None:
            words, cut = line.take()
            record(words, cut, self._level, "print", None)

    def end_lines(self) -> None:
        """A record for each line that has no end yet."""
        for key in list(self._lines):
            self._end(key)

    def flush(self) -> None:
        """Nothing to do: a line is a record when it ends."""

    def close(self) -> None:
        """Not closed: as with the standard stream, others print as well."""

    def writable(self) -> bool:
        """True."""
        return True

    def isatty(self) -> bool:
        """False."""
        return False

    def fileno(self) -> int:
        """1, for child processes; what they write there becomes records, too."""
        return 1

    def reconfigure(self, **_: object) -> None:
        """Accepted, and without effect."""

    def detach(self) -> BinaryIO:
        """Refused: raises io.UnsupportedOperation."""
        raise io.UnsupportedOperation("standard output is guarded (logspool.mcp.guard_stdout)")


class PrintedBytes(io.BufferedIOBase):
    """The bytes' side of it."""

    name = "<stdout>"
    mode = "wb"

    def __init__(self, text: Printed) -> None:
        self._text = text

    def write(self, data: Any, /) -> int:
        """Take bytes, as UTF-8."""
        with memoryview(data) as view:
            size = view.nbytes
            text = bytes(view).decode("utf-8", "backslashreplace")
        self._text.write(text, frames=3)
        return size

    def flush(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Not closed."""

    def writable(self) -> bool:
        """True."""
        return True

    def isatty(self) -> bool:
        """False."""
        return False

    def fileno(self) -> int:
        """1."""
        return 1
