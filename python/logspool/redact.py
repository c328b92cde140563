"""What redaction does to a text, and why: `explain(text)` and `apply(text)`. Nothing is logged or counted by `explain`.

`redact` is the setting as `basicConfig` and `SpoolHandler` take it: True, "hint", "pii", "hint,pii" or a mapping.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from logspool import _core, _settings, _values

if TYPE_CHECKING:
    from logspool._options import RedactOptions

__all__ = ["Finding", "apply", "explain"]


class Finding(NamedTuple):
    """One thing that would go: `text[start:end]`. It does not hold the secret itself, so that it can be shown."""

    rule: str
    """The rule's name, as in `stats()["redacted"]` and in `redact={"without": [name]}`."""
    reason: str
    """A sentence of why."""
    start: int
    """Where it begins: characters of the text."""
    end: int
    """Where it ends."""


def explain(text: str, redact: bool | str | RedactOptions = True) -> list[Finding]:
    """What would go from `text`, in order. Raises TypeError or ValueError for a setting that is not allowed."""
    return [Finding(*found) for found in _core.redact_explain(_encodable(text), _setting(redact))]


def apply(text: str, redact: bool | str | RedactOptions = True) -> str:
    """`text` as a log would hold it. Raises TypeError or ValueError for a setting that is not allowed."""
    done = _core.redact_apply(_encodable(text), _setting(redact))
    return text if done is None else done


def _setting(redact: Any) -> Any:
    return _settings.parse("redact", _values.redact, redact)


def _encodable(text: str) -> str:
    # Lone surrogates, which UTF-8 cannot hold, as one character each: places stay what they are.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
