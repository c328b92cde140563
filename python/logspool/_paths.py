"""Where a log goes when nobody says, and which paths are no place for one. No state is kept here."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Opened = TypeVar("Opened")

_SCRIPT_ENDINGS = (".py", ".pyw", ".pyc", ".pyz", ".exe", "-script")
_STREAMS = ("-", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/console")


def app_name() -> str:
    """The program's name: the module run with `-m`, else the script's file name without its ending, else `python`."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name:
        name = str(spec.name).removesuffix(".__main__")
        if name != "__main__":
            return name
    argv = getattr(sys, "argv", None) or [""]
    name = os.path.basename(str(argv[0]))
    if name in ("", "-", "-c", "-m"):
        return "python"
    for ending in _SCRIPT_ENDINGS:
        if name.endswith(ending) and name != ending:
            name = name[: -len(ending)]
    return name


def file_stem(name: str) -> str:
    """`name` as a file name: other than letters, digits, `.`, `_` and `-` becomes `-`; at most 100 characters, and 180 bytes."""
    stem = "".join(char if char.isalnum() or char in "._-" else "-" for char in name).strip(".-")[:100]
    return stem.encode()[:180].decode(errors="ignore") or "python"


def state_directory(stem: str) -> str:
    """`$XDG_STATE_HOME/logspool/<stem>`, by default under `~/.local/state`."""
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):  # the specification: a relative value is to be ignored
        base = os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "logspool", stem)


def as_path(value: Any) -> str | None:
    """The text of a path, or None if it is not one (bytes neither)."""
    try:
        text = os.fspath(value)
    except TypeError:
        return None
    return text if isinstance(text, str) else None


def filename(value: Any) -> str:
    """A log's path as text. Raises TypeError or ValueError: not a path, empty, or a standard stream."""
    text = as_path(value)
    if text is None:
        raise TypeError("expected a path (text or os.PathLike)")
    if not text.strip():
        raise ValueError("expected a path that is not empty")
    if text in _STREAMS or text.startswith(("/dev/fd/", "/proc/")):
        raise ValueError("expected a file; for standard error use console=True; standard output is never written")
    if text.endswith(os.sep):
        raise ValueError("expected a file, not a directory (LOG_DIR names a directory)")
    return text


def from_variable(value: str, stem: str) -> str:
    """The path in LOG_PATH or LOGSPOOL_PATH: `~` is expanded; a directory is given the default file name."""
    text = os.path.expanduser(value)
    if text.endswith(os.sep) or os.path.isdir(text):
        return os.path.join(text, f"{stem}.jsonl")
    return filename(text)


def in_directory(value: str, stem: str) -> str:
    """The default file name in the directory of LOG_DIR or LOGSPOOL_DIR; `~` is expanded."""
    return os.path.join(os.path.expanduser(value), f"{stem}.jsonl")


class Candidate:
    """A place to try: its path, where it comes from (for messages), and whether failing there is final."""

    __slots__ = ("final", "origin", "path")

    def __init__(self, path: str, origin: str, *, final: bool) -> None:
        self.path, self.origin, self.final = path, origin, final


def candidates(stem: str, say: Callable[[str], None]) -> list[Candidate]:
    """Where a log may go when no `filename` was given, best first; the last one is final.

    LOGSPOOL_PATH or LOGSPOOL_DIR is the only candidate; then LOG_PATH, LOG_DIR, `./logs` and, because a server may be started
    in a directory it cannot write, the user's state directory.
    """
    found: list[Candidate] = []
    for name, place in (
        ("LOGSPOOL_PATH", from_variable),
        ("LOGSPOOL_DIR", in_directory),
        ("LOG_PATH", from_variable),
        ("LOG_DIR", in_directory),
    ):
        text = os.environ.get(name, "").strip()
        if not text:
            continue
        strict = name.startswith("LOGSPOOL_")
        try:
            found.append(Candidate(place(text, stem), f"{name}={text!r}", final=strict))
        except (TypeError, ValueError) as error:
            if strict:
                raise ValueError(f"{name}={text!r}: {error}") from None
            say(f"{name}={text!r}: {error}; the variable is ignored (it may be meant for another program)")
        if strict:
            return found
    found.append(Candidate(os.path.join("logs", f"{stem}.jsonl"), "the default ./logs", final=False))
    found.append(Candidate(os.path.join(state_directory(stem), f"{stem}.jsonl"), "the state directory", final=True))
    return found


def open_first(found: list[Candidate], open_log: Callable[[str], Opened], say: Callable[[str], None]) -> Opened:
    """`open_log(path)` of the first candidate where it works; each one passed over is said. Raises what the final one raised."""
    for index, candidate in enumerate(found):
        try:
            return open_log(candidate.path)
        except (OSError, ValueError) as error:
            if candidate.final:
                raise
            following = os.path.abspath(found[index + 1].path)
            say(f"cannot log to {candidate.origin} ({error}); logging to {following} instead")
    raise ValueError("no place to log to")  # unreachable: the last candidate is final
