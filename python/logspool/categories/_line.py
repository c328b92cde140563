"""A category's line: the native encoder's JSON with each call's own fields lifted to the top, where LLM-OS had them."""

from __future__ import annotations

import json
import logging

from logspool import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Under this name the call's own fields stand in the record's `fields`, apart from what is bound.
OWN = "llm_os"
_COMPACT = (",", ":")


class LineFormatter(logging.Formatter):
    """Makes the line of a record: redacted, cut and on one line as in every JSON log, since the native encoder writes it."""

    def __init__(self, category: str, encoder: _core.LineEncoder) -> None:
        super().__init__()
        self._category = category
        self._encoder = encoder

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object: `category`, `timestamp`, the schema's keys, the call's own, and in `fields` all others."""
        line = self._encoder.encode(record).decode("utf-8").rstrip("\n")
        try:
            return self._lifted(line)
        except Exception:  # a record is never lost: as the schema has it, then
            return line

    def _lifted(self, line: str) -> str:
        core: dict[str, Any] = json.loads(line)
        core.pop("seq", None)  # filled in by JSON logs alone
        source = core.pop("src", None)
        fields = core.pop("fields", None) or {}
        own = fields.pop(OWN, None)
        if not isinstance(own, dict):
            own = {} if own is None else {OWN: own}
        for name in ("result_summary", "response_summary"):
            if own.get(name) is not None and not isinstance(own[name], str):
                own[name] = json.dumps(own[name], ensure_ascii=False, separators=_COMPACT)
        made = {"category": core.pop("category", self._category), "timestamp": core["ts"], **core}
        made.setdefault("message", core.get("event"))  # left out of the schema where it is the event
        made.update((name, value) for name, value in own.items() if name not in made)
        made["fields"] = fields
        if source is not None:
            made["src"] = source
        # The native encoder escapes what could steer a terminal or pass for another line; where it did, everything is.
        return json.dumps(made, ensure_ascii="\\u" in line, separators=_COMPACT)


class ConsoleFormatter(logging.Formatter):
    """The line that is shown on standard error: as people read it, without what is secret."""

    def __init__(self, format: str, dates: str, redactor: _core.TextRedactor) -> None:
        super().__init__(format, dates)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """The formatter's text without secrets."""
        text = super().format(record)
        text = text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
        redacted = self._redactor.apply(text)
        return text if redacted is None else redacted
