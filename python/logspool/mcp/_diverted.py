"""File descriptor 1, led into memory, and the thread that makes records of what arrives there."""

from __future__ import annotations

import errno
import functools
import os
import tempfile
import threading

from logspool.mcp import _lines

try:
    import fcntl
except ImportError:  # no POSIX: servers can be instrumented there, but not guarded
    fcntl = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What is not recorded yet at most, in bytes: of more the oldest is skipped.
BACKLOG = 8 << 20
#: Memory is given back whenever so many bytes have been recorded.
_RECLAIM = 1 << 20
_CHUNK = 1 << 16
#: Seconds between two looks, when something came and when nothing does.
_SOON, _IDLE = 0.002, 0.1
_KEEP_SIZE_PUNCH_HOLE = 3
_BY_LINE = 1  # setvbuf's _IOLBF


@functools.cache
def _libc() -> Any:
    """The C library's functions that Python has no name for; None where they cannot be had."""
    try:
        import ctypes

        libc: Any = ctypes.CDLL(None)
        fallocate = getattr(libc, "fallocate64", None) or libc.fallocate
        fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
        libc.fflush.argtypes = [ctypes.c_void_p]
        libc.setvbuf.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t]
        libc.logspool_stdout = ctypes.c_void_p.in_dll(libc, "stdout")
        libc.logspool_fallocate = fallocate
        return libc
    except (ImportError, OSError, AttributeError, ValueError):
        return None


def flush_c_stdio() -> None:
    """What C code has printed and the C library still holds."""
    libc = _libc()
    if libc is not None:
        libc.fflush(libc.logspool_stdout)


def _end_c_stdio_by_line() -> None:
    libc = _libc()
    if libc is not None:
        libc.setvbuf(libc.logspool_stdout, None, _BY_LINE, 0)


class Diverted:
    """Descriptor 1 as a file in memory.

    Not a pipe: a pipe is full at some point, and then who writes waits for who reads, which for C code that holds the GIL is for ever.
    Whoever appends to a file waits for nobody, children that outlive us included.
    """

    def __init__(self, level: int) -> None:
        if fcntl is None:
            raise OSError(
                errno.ENOTSUP,
                "guard_stdout: this platform has no fcntl, without which standard output cannot be led aside; run the server without"
                " the guard, and print to standard error: print(..., file=sys.stderr)",
            )
        self._level = level
        #: The real standard output.
        self.private = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
        try:
            self._file = _memory()
        except BaseException:
            os.close(self.private)
            raise
        self._read = self._reclaimed = 0
        self._line = _lines.Line()
        self._half = b""  # a character's first bytes
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        os.dup2(self._file, 1)
        flush_c_stdio()
        _end_c_stdio_by_line()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="logspool-stdout", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause = _IDLE
        stopping = self._stopping
        while not stopping.wait(pause):
            pause = _SOON if self.drain() else min(pause * 2, _IDLE)

    def drain(self) -> bool:
        """Make records of all that is there; whether there was anything."""
        with self._lock:
            size = os.fstat(self._file).st_size
            if size == self._read:
                return False
            if size < self._read:  # somebody opened it anew and truncated it, as `> /dev/stdout` does
                self._read = self._reclaimed = 0
            if size - self._read > BACKLOG:
                self._skip(size - self._read - BACKLOG)
            while self._read < size:
                data = os.pread(self._file, min(_CHUNK, size - self._read), self._read)
                if not data:
                    break
                self._read += len(data)
                self._take(data)
            self._reclaim()
            return True

    def _skip(self, length: int) -> None:
        self._read += length
        self._end_line()
        text = f"{length} bytes written to standard output were skipped: they came faster than they could be recorded"
        _lines.record(text, 0, max(self._level, 30), "descriptor", None)

    def _take(self, data: bytes) -> None:
        first, *more = (self._half + data).split(b"\n")
        self._half = b""
        for words in more:
            self._add(first)
            self._end_line()
            first = words
        first, self._half = _lines.whole_characters(first)  # one may be split between two reads
        self._add(first)

    def _add(self, words: bytes) -> None:
        self._line.add(words.decode("utf-8", "backslashreplace"))

    def _end_line(self) -> None:
        text, cut = self._line.take()
        _lines.record(text, cut, self._level, "descriptor", None)

    def _reclaim(self) -> None:
        libc = _libc()
        if libc is not None and self._read - self._reclaimed >= _RECLAIM:
            if libc.logspool_fallocate(self._file, _KEEP_SIZE_PUNCH_HOLE, 0, self._read) == 0:
                self._reclaimed = self._read

    def stop(self) -> None:
        """End the thread, and make records of the rest."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(5.0)  # it records lines, in a handler that may be somebody's
        self.drain()
        if self._half:
            self._add(self._half)
            self._half = b""
        self._end_line()

    def restore(self) -> None:
        """Put descriptor 1 back. The duplicate stays open: a transport may still hold it. C code still writes line by line."""
        os.dup2(self.private, 1)
        os.close(self._file)

    def to_standard_error(self) -> None:
        try:
            os.dup2(2, 1)
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.close(nowhere)

    def forked(self) -> None:
        self._thread = None
        self._lock = threading.Lock()


def _memory() -> int:
    """A descriptor of an empty file without a name, at whose end everybody writes."""
    if hasattr(os, "memfd_create"):
        try:
            found = os.memfd_create("logspool-stdout")
        except OSError:  # an old kernel, or not allowed in this container
            found = _unnamed()
    else:
        found = _unnamed()
    try:
        fcntl.fcntl(found, fcntl.F_SETFL, fcntl.fcntl(found, fcntl.F_GETFL) | os.O_APPEND)
    except BaseException:
        os.close(found)
        raise
    return found


def _unnamed() -> int:
    with tempfile.TemporaryFile(prefix="logspool-stdout-") as file:
        return fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
