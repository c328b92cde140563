"""An audit of calls of language models: one flat row of JSON a call, in a file a process, and an index of these files.

`from_environment()` makes the `Audit` that the variables `OBS_LLM_AUDIT_*` describe, and raises for each that says something else.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
import weakref
from datetime import datetime, timezone

from logspool import _audit_settings, _config, _core, _settings, _values, context
from logspool._settings import UNSET
from logspool.handler import SpoolHandler
from logspool.redact import _encodable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Any, Literal

    from logspool._options import RedactOptions

__all__ = ["Audit", "from_environment"]

INDEX_FILE = "llm_io_index.jsonl"
MAX_CHARS = 2_000
#: Longest row in bytes; excerpts are cut further where it would be longer. Well below what the smallest ordinary spool takes.
MAX_ROW = 192 * 1024
_MAX_NAME = 500  # characters of any other text
# Below ERROR, and above what a block that keeps its records back (`bound(buffer=…)`) would hold.
_LEVEL = logging.ERROR - 1
_CORRELATION = ("session_key", "thread_ts", "channel_id", "stage", "call_label", "agent")
# Valid in JSON as they are, but ends of lines to some readers.
_LINE_ENDS = str.maketrans({"\x7f": "\\u007f", "\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})


class _AsItIs(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return str(record.msg)


class Audit:
    """Rows of calls of language models, in `llm_io_<YYYYmmdd_HHMMSS>_<pid>.jsonl` (UTC), and that file in the index.

    log_dir     the directory; relative to the current one
    mode        "sanitized": secrets go, then excerpts are cut; "raw": they are only cut; "off": nothing is opened or written
    sink        "file", or "off", which is the mode of that name
    index_file  a name within `log_dir`, or a path; any number of processes may share it
    max_chars   longest excerpt (request, response, error) in characters, from 1 to 50,000
    redact      what sanitizing takes out, as `basicConfig`'s `redact`; by default LOG_REDACT's, and never nothing

    Rows and index go to a crash-safe spool: what `record` was given survives SIGKILL, and `record` does no file I/O. Files have
    mode 0600. A forked child begins a file of its own with its first row.

    Raises TypeError or ValueError for a setting that is not allowed, OSError where the files cannot be opened.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        *,
        mode: Literal["off", "sanitized", "raw"] | str = "sanitized",
        sink: Literal["file", "off"] | str = "file",
        index_file: str | os.PathLike[str] = INDEX_FILE,
        max_chars: int | str = MAX_CHARS,
        redact: bool | str | RedactOptions = UNSET,
    ) -> None:
        self.mode: str = _settings.parse("mode", _audit_settings.mode, mode)
        self.sink: str = _settings.parse("sink", _audit_settings.sink, sink)
        if self.sink == "off":
            self.mode = "off"
        self.max_chars: int = _settings.parse("max_chars", _audit_settings.max_chars, max_chars)
        self.log_dir = os.path.abspath(_settings.parse("log_dir", _audit_settings.directory, log_dir))
        index = _settings.parse("index_file", _audit_settings.index_file, index_file)
        self.index_file = os.path.abspath(index if os.path.dirname(index) else os.path.join(self.log_dir, index))
        if redact is UNSET:
            found = _settings.from_environment(("LOG_REDACT",), _values.redact, _config.say_once)
            redact = True if found is UNSET else found
        else:
            _settings.parse("redact", _values.redact, redact)
        # Made once: a user's own rules cost milliseconds.
        self._redactor = _core.TextRedactor(_values.redact(redact) or True)
        self._lock = threading.Lock()
        self._rows: SpoolHandler | None = None
        self._index: SpoolHandler | None = None
        if self.mode != "off":
            self._open()
            _audits.add(self)

    @property
    def path(self) -> str | None:
        """Where this process' rows go; None where the mode is `off` (in a forked child: until its first row)."""
        return None if self._rows is None else self._rows.baseFilename

    def record(
        self,
        event_type: str = "llm_call",
        *,
        agent: str | None = None,
        model: str | None = None,
        status: str | None = None,
        call_label: str | None = None,
        function: str | None = None,
        stage: str | None = None,
        session_key: str | None = None,
        thread_ts: str | None = None,
        channel_id: str | None = None,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
        request: object = None,
        response: object = None,
        error: BaseException | str | None = None,
        trace_id: str | None = None,
    ) -> None:
        """Add a row. `request` and `response` are texts, or what JSON can hold: an excerpt of each is kept.

        `session_key`, `thread_ts`, `channel_id`, `stage`, `call_label` and `agent` that are not given are those bound in the context
        (`logspool.bind`), and `trace_id` that of the context or of the active OpenTelemetry span. `status` is `error` where there is one,
        else `ok`. Never raises: a row that cannot be written is reported on standard error, as logging does.
        """
        if self.mode == "off":
            return
        row = {
            "event_type": event_type,
            "agent": agent,
            "model": model,
            "status": status,
            "call_label": call_label,
            "function": function,
            "stage": stage,
            "session_key": session_key,
            "thread_ts": thread_ts,
            "channel_id": channel_id,
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "request_excerpt": request,
            "response_excerpt": response,
            "error": error,
            "created_at": None,
            "trace_id": trace_id,
        }
        record = logging.LogRecord("logspool.llm_audit", _LEVEL, "", 0, "", None, None)
        handler = self._rows
        try:
            record.msg = self._line(row, record.created)
            if handler is None:
                handler = self._open()
            handler.handle(record)
        except Exception:
            (handler or logging.Handler()).handleError(record)

    def flush(self) -> None:
        """Wait until every row so far is in its file."""
        for handler in (self._rows, self._index):
            if handler is not None:
                handler.flush()

    def close(self) -> None:
        """Flush and release the files. A later row opens the process' file again."""
        for handler in (self._rows, self._index):
            if handler is not None:
                handler.close()

    def __enter__(self) -> Audit:
        """The audit itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        return f"<Audit {self.path or self.log_dir} ({self.mode})>"

    # -- files ---------------------------------------------------------------------------------------------------------

    def _open(self) -> SpoolHandler:
        with self._lock:
            if self._rows is not None:
                return self._rows
            now = time.time()
            stamp = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%d_%H%M%S")
            rows = _file(os.path.join(self.log_dir, f"llm_io_{stamp}_{os.getpid()}.jsonl"))
            try:
                index = _file(self.index_file)
            except BaseException:
                rows.close()
                raise
            entry = {
                "type": "llm_io",
                "created_at": _time(now),
                "log_path": rows.baseFilename,
                "pid": os.getpid(),
                "mode": self.mode,
                "sink": self.sink,
            }
            index.handle(logging.LogRecord("logspool.llm_audit", _LEVEL, "", 0, _json(entry), None, None))
            self._rows, self._index = rows, index
            return rows

    def _forget(self) -> None:
        """In a forked child: the parent's file is the parent's."""
        self._lock = threading.Lock()
        self._rows = self._index = None

    # -- rows ----------------------------------------------------------------------------------------------------------

    def _line(self, row: dict[str, object], created: float) -> str:
        bound = context.current()
        for name in _CORRELATION:
            if row[name] is None:
                row[name] = bound.get(name)
        trace = row.pop("trace_id") or bound.get("trace_id") or context._span_ids().get("trace_id")
        if row["status"] is None:
            row["status"] = "ok" if row["error"] is None else "error"
        row["created_at"] = _time(created)
        if trace:
            row["trace_id"] = trace
        texts: dict[str, str] = {}
        for name, value in row.items():
            if value is None or name == "created_at":
                continue
            if name in ("prompt_tokens", "completion_tokens"):
                row[name] = _number(value)
                continue
            text = _text(value)
            if len(text) > self.max_chars:  # told by the whole of it, before it is cut
                text = _core.tell_payloads(_encodable(text)) or text
            texts[name] = self._sanitized(text) if self.mode == "sanitized" else text
        longest = self.max_chars
        while True:
            for name, text in texts.items():
                excerpt = name in ("request_excerpt", "response_excerpt", "error")
                row[name] = _cut(text, longest if excerpt else min(_MAX_NAME, max(longest, 32)))
            line = _json(row)
            if len(line.encode("utf-8")) <= MAX_ROW or longest <= 1:
                return line
            longest //= 2

    def _sanitized(self, text: str) -> str:
        done = self._redactor.apply(_encodable(text))
        return text if done is None else done


def _file(path: str) -> SpoolHandler:
    """A log of finished rows: never rotated, sampled or altered, whatever LOG_* variables say."""
    handler = SpoolHandler(
        path,
        maxBytes=0,
        backupCount=0,
        when=None,
        json=False,
        redact=False,
        sample=None,
        collapse=None,
        file_mode=0o600,
    )
    handler.setFormatter(_AsItIs())
    return handler


def _json(row: Mapping[str, object]) -> str:
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(_LINE_ENDS)
    # A surrogate on its own is no UTF-8: `\ud800` is what JSON has for it, too.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _text(value: object) -> str:
    """`value` as text, whatever becomes of it."""
    try:
        if isinstance(value, str):
            return str(value)
        if isinstance(value, (bytes, bytearray)):
            data = bytes(value)
            return _core.tell_payloads(data) or data.decode("utf-8", "replace")
        if isinstance(value, BaseException):
            return f"{type(value).__name__}: {value}"
        if isinstance(value, (dict, list, tuple)):
            try:
                return json.dumps(value, ensure_ascii=False, default=_text)
            except (TypeError, ValueError, RecursionError):
                return repr(value)
        return str(value)
    except Exception:
        return f"<{type(value).__name__}, not printable>"


def _number(value: Any) -> int | None:
    """A count of tokens, also of a library's own kind of number; None for what is none."""
    try:
        return int(value)
    except Exception:
        return None


def _cut(text: str, longest: int) -> str:
    """`text` in at most so many characters, the note of what is missing included where there is room for it."""
    if len(text) <= longest:
        return text
    note = f"…(truncated, {len(text) - longest} chars)"
    if len(note) >= longest:
        return text[:longest]
    # What the note itself takes up is missing, too; its number may grow by a digit by that.
    kept = longest - len(note) - 1
    return f"{text[:kept]}…(truncated, {len(text) - kept} chars)"


# -- environment -----------------------------------------------------------------------------------------------------------


_PREFIX = "OBS_LLM_AUDIT_"
_VARIABLES = ("ENABLED", "SINK", "MODE", "LOG_DIR", "INDEX_FILE", "MAX_CHARS", "SANITIZE")


def from_environment(environ: Mapping[str, str] | None = None) -> Audit:
    """The audit that `OBS_LLM_AUDIT_*` describe; `environ` in place of the process' environment.

    A variable that is not set, or empty, has its default:

    OBS_LLM_AUDIT_ENABLED     1; 0 is the mode `off`
    OBS_LLM_AUDIT_SINK        file; off is the mode `off`
    OBS_LLM_AUDIT_MODE        sanitized; off, raw
    OBS_LLM_AUDIT_LOG_DIR     logs
    OBS_LLM_AUDIT_INDEX_FILE  llm_io_index.jsonl, within the directory
    OBS_LLM_AUDIT_MAX_CHARS   2000; 1 to 50000
    OBS_LLM_AUDIT_SANITIZE    what the mode says; 0 without a mode is `raw`

    Raises ValueError, naming the variable, its value and what is allowed: also for a bad value where the audit is not enabled, for a
    variable OBS_LLM_AUDIT_… that there is not, and for
    OBS_LLM_AUDIT_SANITIZE and OBS_LLM_AUDIT_MODE that contradict each other. OSError where the files cannot be opened.
    """
    values = os.environ if environ is None else environ
    for name in values:
        # One that is spelled almost like ours would leave the audit as it is, unnoticed.
        short = name.removeprefix(_PREFIX)
        if name.startswith(_PREFIX) and short not in _VARIABLES:
            allowed = _values.did_you_mean(short, _VARIABLES) or f"; there are {', '.join(_VARIABLES)} behind {_PREFIX}"
            raise ValueError(f"{name}: no such variable{allowed}")

    def read(name: str, parser: Callable[[Any], Any], default: Any) -> Any:
        text = values.get(f"{_PREFIX}{name}", "").strip()
        return default if not text else _settings.parse(f"{_PREFIX}{name}", parser, text)

    enabled = read("ENABLED", _values.boolean, True)
    sink = read("SINK", _audit_settings.sink, "file")
    mode = read("MODE", _audit_settings.mode, None)
    sanitize = read("SANITIZE", _values.boolean, None)
    log_dir = read("LOG_DIR", _audit_settings.directory, "logs")
    index_file = read("INDEX_FILE", _audit_settings.index_file, INDEX_FILE)
    max_chars = read("MAX_CHARS", _audit_settings.max_chars, MAX_CHARS)
    if mode in ("sanitized", "raw") and sanitize is not None and sanitize != (mode == "sanitized"):
        raise ValueError(
            f"OBS_LLM_AUDIT_SANITIZE={values['OBS_LLM_AUDIT_SANITIZE']!r}: contradicts OBS_LLM_AUDIT_MODE={mode!r};"
            f" expected {int(mode == 'sanitized')}, or only one of the two"
        )
    if mode is None:
        mode = "raw" if sanitize is False else "sanitized"
    try:
        return Audit(log_dir, mode=mode if enabled else "off", sink=sink, index_file=index_file, max_chars=max_chars)
    except OSError as error:
        raise OSError(
            error.errno,
            f"OBS_LLM_AUDIT_LOG_DIR={log_dir!r}, OBS_LLM_AUDIT_INDEX_FILE={index_file!r}: {error};"
            " expected a directory that can be made and written",
        ) from error


_audits: weakref.WeakSet[Audit] = weakref.WeakSet()


def _in_child() -> None:
    for audit in list(_audits):
        audit._forget()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_in_child)
