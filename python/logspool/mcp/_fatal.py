"""What ends a program or a thread, as a record: uncaught exceptions, and what `faulthandler` writes when the process crashes."""

from __future__ import annotations

import faulthandler
import logging
import os
import secrets
import signal
import sys
import threading

from logspool.handler import SpoolHandler

try:
    import fcntl
except ImportError:  # there is no guard then
    fcntl = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import IO, Any

log = logging.getLogger("logspool.mcp")

#: Bytes of a crash's stack trace that are read.
TRACE = 1 << 18


class Hooks:
    """Ours in front of `sys.excepthook` and `threading.excepthook`, which are called as before; and the crash file."""

    def __init__(self) -> None:
        self._main, self._thread = sys.excepthook, threading.excepthook
        # Kept, since each look at a method makes another object.
        self._ours = (self._uncaught, self._uncaught_in_thread)
        sys.excepthook, threading.excepthook = self._ours
        self._crash = _CrashFile.open()

    def _uncaught(self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, Exception):
            _record("uncaught_exception", "uncaught exception ends the program", (kind, error, traceback), {})
        self._main(kind, error, traceback)

    def _uncaught_in_thread(self, args: threading.ExceptHookArgs) -> None:
        if issubclass(args.exc_type, Exception):
            name = None if args.thread is None else args.thread.name
            what = (args.exc_type, args.exc_value, args.exc_traceback)
            _record("uncaught_exception", "uncaught exception ends a thread", what, {"of_thread": name})
        self._thread(args)

    def close(self) -> None:
        """Put the hooks back where ours are the last, and remove the crash file."""
        if sys.excepthook == self._ours[0]:
            sys.excepthook = self._main
        if threading.excepthook == self._ours[1]:
            threading.excepthook = self._thread
        if self._crash is not None:
            self._crash.close()
            self._crash = None


def _record(event: str, message: str, exc_info: Any, fields: dict[str, Any]) -> None:
    if not log.hasHandlers():  # it is printed anyway
        return
    try:
        log.critical(message, exc_info=exc_info, extra={"event": event, "fields": fields})
    except Exception:  # of somebody's filter or handler: the exception is still to be shown
        pass


class _CrashFile:
    """Where `faulthandler` writes: a file beside the log, locked while its process lives, gone when it ends well."""

    def __init__(self, path: str, file: IO[bytes]) -> None:
        self._path, self._file, self._pid = path, file, os.getpid()

    @classmethod
    def open(cls) -> _CrashFile | None:
        """None where nothing is logged to a spool, somebody else has enabled faulthandler, or no file can be made."""
        handlers = logging.getLogger().handlers
        spool = next((handler for handler in handlers if isinstance(handler, SpoolHandler)), None)
        if spool is None:
            return None
        directory, name = os.path.split(spool.baseFilename)
        prefix = f".{name}.crash-"
        try:
            _record_crashes(directory, prefix)
            if faulthandler.is_enabled():
                return None
            number = secrets.token_hex(8)
            # Under its name only once it is locked, or another start would take it for a dead process'.
            unlocked, path = (os.path.join(directory, f"{start}{number}") for start in (f".{name}.starting-", prefix))
            descriptor = os.open(unlocked, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            file = os.fdopen(descriptor, "wb", buffering=0)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(unlocked, path)
            if not _enable(file):
                file.close()
                os.unlink(path)
                return None
        except OSError:  # no room, no right: the log says so itself
            return None
        return cls(path, file)

    def close(self) -> None:
        if os.getpid() != self._pid:  # a forked child: it is its parent's
            return
        faulthandler.disable()
        try:
            os.unlink(self._path)
        except OSError:
            pass
        self._file.close()


def _enable(file: IO[bytes]) -> bool:
    """Enable faulthandler, but for SIGBUS, with which the spool notices that a file was cut short under it."""
    try:
        import ctypes

        sigaction = ctypes.CDLL(None).sigaction
    except (ImportError, OSError, AttributeError):
        return False
    kept = ctypes.create_string_buffer(1024)  # a `struct sigaction`, which is smaller everywhere
    if sigaction(int(signal.SIGBUS), None, kept) != 0:
        return False
    faulthandler.enable(file)
    return bool(sigaction(int(signal.SIGBUS), kept, None) == 0)


def _record_crashes(directory: str, prefix: str) -> None:
    """A record for each file that a process which is no more has left, and the file is gone."""
    for name in sorted(os.listdir(directory)):
        if not name.startswith(prefix):
            continue
        path = os.path.join(directory, name)
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                text = file.read(TRACE).decode("utf-8", "backslashreplace").strip()
                os.unlink(path)
        except OSError:  # its process lives, or another start was quicker
            continue
        if text:
            first = text.partition("\n")[0]
            log.critical(
                "an earlier process crashed: %s", first, extra={"event": "crashed", "fields": {"stacktrace": text}}
            )
