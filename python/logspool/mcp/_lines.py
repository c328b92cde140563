"""Lines that were meant for standard output, as records."""

from __future__ import annotations

import contextvars
import io
import logging
import sys
import threading
import weakref

from logspool.mcp import _calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable
    from typing import Any, BinaryIO

    from logspool.mcp._stdout import StdoutGuard

#: Characters of a line that are kept.
LINE = 16_384
#: Unfinished lines, of as many threads and tasks, that are held.
UNFINISHED = 256

log = logging.getLogger("stdout")
_here = threading.local()


def record(text: str, cut: int, level: int, source: str, frames: int | None, thread: str | None = None) -> None:
    """One line as a record; `cut` characters of it are missing. `frames`: how far up its `print` stands, None: nobody knows.

    `thread` is then the name of the one that wrote it, if that is known.

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
            made.threadName, made.thread, made.taskName = thread, None, None  # ours is not the one that wrote
            if source == "descriptor":
                contextvars.Context().run(log.handle, made)  # nor is what is bound here
            else:
                log.handle(made)
    except Exception:  # of somebody's filter or handler: the program only wanted to print
        pass
    finally:
        _here.busy = False


def whole_characters(data: bytes) -> tuple[bytes, bytes]:
    """UTF-8 up to a last character of which there may be more, and the beginning of that: three bytes at most."""
    for back in range(1, min(4, len(data) + 1)):
        if data[-back] >= 0xC0:
            return data[:-back], data[-back:]
        if data[-back] < 0x80:
            break
    return data, b""


class Line:
    """A line that is not finished yet: its first LINE characters, and how many more there were."""

    __slots__ = ("cut", "half", "kept", "parts")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.kept = self.cut = 0
        #: Of bytes: the beginning of a character.
        self.half = b""

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


class PrintedLine(Line):
    """With whoever has begun it: nobody else goes on with it, and its record has what is bound there."""

    __slots__ = ("_call", "_task", "_thread", "context", "thread")

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        super().__init__()
        thread = threading.current_thread()
        self.thread = thread.name
        self.context = contextvars.copy_context()
        self._thread = weakref.ref(thread)
        self._task = None if task is None else weakref.ref(task)
        self._call = _calls._current.get()

    def is_of(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether it is the line of this thread, task and tool call. A pool's thread runs one call after the other, and ids come again."""
        return (
            self._call is _calls._current.get()
            and (None if self._task is None else self._task()) is task
            and self._thread() is threading.current_thread()
        )


def _running_task() -> asyncio.Task[Any] | None:
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        try:
            return asyncio.current_task()  # type: ignore[no-any-return]
        except RuntimeError:  # no loop runs in this thread
            pass
    return None


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
        self._lines: dict[tuple[int, int], PrintedLine] = {}

    @property
    def buffer(self) -> BinaryIO | PrintedBytes:
        """The protocol's stream for the SDK's stdio transport; for everybody else one that makes records, too."""
        frame = sys._getframe(1)
        # Of colorama, rich and others, in front of standard output: who asks them is meant.
        while frame.f_code.co_name in ("__getattr__", "__getattribute__") and frame.f_back is not None:
            frame = frame.f_back
        asks = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        return self._guard.protocol if asks in ("mcp", "fastmcp") else self._bytes

    def write(self, text: str, /, *, frames: int = 2) -> int:
        """Take text; a record for each line that it finishes."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if getattr(_here, "busy", False):  # a handler that prints the very record which is being made of a line
            return len(text)
        key, line = self._line()
        at = 0
        while (end := text.find("\n", at)) >= 0:
            line.add(text[at : min(end, at + LINE)] if end - at > LINE else text[at:end])
            line.cut += max(0, end - at - LINE)
            words, cut = line.take()
            record(words, cut, self._level, "print", frames)
            at = end + 1
        if at < len(text):
            line.add(text[at:])
        elif not line.parts and not line.half:
            self._lines.pop(key, None)
        return len(text)

    def _line(self) -> tuple[tuple[int, int], PrintedLine]:
        """The line of who is running here, and where it is held."""
        task = _running_task()
        key = threading.get_ident(), id(task)
        line = self._lines.get(key)
        if line is not None and not line.is_of(task):
            self._end(key)
            line = None
        if line is None:
            line = self._lines[key] = PrintedLine(task)
            while len(self._lines) > UNFINISHED:
                self._end(next(iter(self._lines)))
        return key, line

    def write_bytes(self, data: bytes) -> None:
        """Take bytes, as UTF-8; a character may come in pieces."""
        if getattr(_here, "busy", False):
            return
        _, line = self._line()
        whole, half = whole_characters(line.half + data)
        line.half = half
        self.write(whole.decode("utf-8", "backslashreplace"), frames=4)

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]
        """Take several texts."""
        for line in lines:
            self.write(line, frames=3)

    def _end(self, key: tuple[int, int]) -> None:
        line = self._lines.pop(key, None)
        if line is not None:
            line.add(line.half.decode("utf-8", "backslashreplace"))
            words, cut = line.take()
            line.context.run(record, words, cut, self._level, "print", None, line.thread)

    def end_lines(self) -> None:
        """A record for each line that has no end yet."""
        for key in list(self._lines):
            self._end(key)

    def forked(self) -> None:
        """In a forked child: what was begun is its parent's."""
        self._lines.clear()

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
            self._text.write_bytes(bytes(view))
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
