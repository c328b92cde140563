"""What a value may be: one parser a kind, which returns the value or raises ValueError / TypeError that says what is allowed.

Every parser takes text too, as it comes from an environment variable or a configuration file.
"""

from __future__ import annotations

import codecs
import logging
import re

from logspool import _paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

# Patterns are compiled where they are first needed (re keeps them), so that an import does not pay for them.
_SIZE = r"(?i)(\d[\d_]*(?:\.\d+)?)\s*([kmgt]?)i?b?"
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_TRUE = frozenset(("1", "true", "yes", "on", "y", "t"))
_FALSE = frozenset(("0", "false", "no", "off", "n", "f"))
_LEVEL_ALIASES = {"WARN": "WARNING", "TRACE": "DEBUG", "FATAL": "CRITICAL"}
_LEVELS = "DEBUG, INFO, WARNING, ERROR, CRITICAL, NOTSET, a registered level's name or a number"


def level(value: Any) -> int:
    """A level's number from a number or a name; case and the aliases warn, trace and fatal are folded."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"expected {_LEVELS}")
        return value
    if not isinstance(value, str):
        raise TypeError(f"expected {_LEVELS}")
    name = value.strip()
    if name.isascii() and name.isdigit():
        return int(name)
    # An exact, then an upper-cased registered name goes before an alias: a program may have its own TRACE.
    for candidate in (name, name.upper(), _LEVEL_ALIASES.get(name.upper(), "")):
        number = logging.getLevelName(candidate)
        if isinstance(number, int):
            return number
    raise ValueError(f"expected {_LEVELS}")


def boolean(value: Any) -> bool:
    """True or False, also as 0/1 or text (true/false, yes/no, on/off)."""
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower() if isinstance(value, (str, int)) else None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    kind = TypeError if text is None else ValueError
    raise kind("expected true or false (also 1/0, yes/no, on/off)")


def size(value: Any) -> int:
    """Bytes, or characters: an int, or text such as `10_485_760`, `10MB`, `1.5 GB` (1 KB = 1024)."""
    allowed = "expected a size: a number of 0 or more, or text such as 10_485_760, 512KB, 10MB, 1GB (1 KB = 1024)"
    if isinstance(value, str):
        found = re.fullmatch(_SIZE, value.strip())
        if found is None:
            raise ValueError(allowed)
        number, unit = found[1].replace("_", ""), 1024 ** _UNITS[found[2].upper()]
        value = int(float(number) * unit) if "." in number else int(number) * unit
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(allowed)
    if not 0 <= value < 1 << 63:
        raise ValueError(allowed)
    return value


def size_above_zero(value: Any) -> int:
    """As `size`, without 0."""
    number = size(value)
    if number == 0:
        raise ValueError("expected a size above 0, such as 8388608 or 8MB")
    return number


def spool_bytes(value: Any) -> int:
    """As `size`, from 64 KiB, which holds a few records of the largest size, to 4 GiB."""
    number = size(value)
    if not 64 << 10 <= number <= 4 << 30:
        raise ValueError("expected a size from 64KB to 4GB")
    return number


def record_size(value: Any) -> int:
    """As `size`, from 1 KiB: a record with everything cut still takes some bytes."""
    number = size(value)
    if number < 1024:
        raise ValueError("expected a size of 1024 bytes or more")
    return number


def _whole(value: Any, least: int, allowed: str) -> int:
    if isinstance(value, str):
        text = value.strip().replace("_", "")
        if not (text.isascii() and text.isdigit()):
            raise ValueError(allowed)
        value = int(text)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(allowed)
    if not least <= value < 1 << 31:
        raise ValueError(allowed)
    return value


def count(value: Any) -> int:
    """A whole number of 0 or more."""
    return _whole(value, 0, "expected a whole number of 0 or more")


def count_above_zero(value: Any) -> int:
    """A whole number of 1 or more."""
    return _whole(value, 1, "expected a whole number of 1 or more")


def _is_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() == "none")


def optional_count(value: Any) -> int | None:
    """A whole number of 1 or more, or None for no limit."""
    return None if _is_none(value) else _whole(value, 1, "expected a whole number of 1 or more, or none for no limit")


def seconds(value: Any) -> float | None:
    """Seconds of 0 or more, or None for ever."""
    allowed = "expected seconds, 0 or more, or none to wait for ever"
    if _is_none(value):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(allowed)
    try:
        number = float(value)
    except ValueError:
        raise ValueError(allowed) from None
    if not 0 <= number < float("inf"):  # NaN fails both
        raise ValueError(allowed)
    return number


def when(value: Any) -> str | None:
    """When a segment is closed by time, spelled as `TimedRotatingFileHandler` does; None: never by time."""
    allowed = "expected S, M, H, D, midnight, W0 (Monday) to W6, or none"
    if _is_none(value):
        return None
    if not isinstance(value, str):
        raise TypeError(allowed)
    name = value.strip().upper()
    if name == "MIDNIGHT":
        return "midnight"
    if name in ("S", "M", "H", "D") or re.fullmatch("W[0-6]", name):
        return name
    raise ValueError(allowed)


def choice(*names: str) -> Callable[[Any], str]:
    """A parser of one of `names`; case and `-` for `_` are folded."""
    allowed = f"expected one of {', '.join(names)}"

    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(allowed)
        name = value.strip().lower().replace("-", "_")
        if name not in names:
            raise ValueError(f"{allowed}{did_you_mean(name, names)}")
        return name

    return parse


def console(value: Any) -> bool | None:
    """True, False (also None), or `auto`, which is returned as None: on when standard error is a terminal."""
    if value is None:
        return False
    if isinstance(value, str) and value.strip().lower() == "auto":
        return None
    try:
        return boolean(value)
    except (ValueError, TypeError) as error:
        raise type(error)("expected auto, true or false") from None


def mode(value: Any) -> int:
    """Permission bits: an int (0o600) or octal text (`600`, `0600`, `0o600`)."""
    allowed = "expected permission bits that let the owner write, such as 0o600 (text is read as octal: 600)"
    if isinstance(value, str):
        try:
            value = int(value.strip().removeprefix("0o"), 8)
        except ValueError:
            raise ValueError(allowed) from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(allowed)
    if not 0 <= value <= 0o777 or not value & 0o200:
        raise ValueError(allowed)
    return value


def directory_mode(value: Any) -> int:
    """As `mode`; a directory is of no use to an owner who may not write and enter it."""
    bits = mode(value)
    if bits & 0o300 != 0o300:
        raise ValueError("expected permission bits that let the owner write and enter, such as 0o700")
    return bits


def optional_text(value: Any) -> str | None:
    """Text that is not empty, or None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError("expected text or None")
    if not value.strip():
        raise ValueError("expected text that is not empty, or None")
    return value


def spool_dir(value: Any) -> str | None:
    """A directory, `shm` (memory, under /dev/shm), or None: beside the logs."""
    if _is_none(value):
        return None
    allowed = "expected a directory, shm, or none (beside the logs)"
    text = _paths.as_path(value)
    if text is None:
        raise TypeError(allowed)
    if not text.strip():
        raise ValueError(allowed)
    return text


def mapping(value: Any) -> dict[str, Any]:
    """A mapping with text keys, copied."""
    if not (hasattr(value, "keys") and hasattr(value, "__getitem__")):
        raise TypeError("expected a mapping of names to values")
    copied = dict(value)
    if not all(isinstance(key, str) for key in copied):
        raise TypeError("expected a mapping whose names are text")
    return copied


def encoding(value: Any) -> str:
    """UTF-8 is the only encoding of a log."""
    if value is None:
        return "utf-8"
    try:
        if isinstance(value, str) and codecs.lookup(value).name == "utf-8":
            return "utf-8"
    except LookupError:
        pass
    raise (ValueError if isinstance(value, str) else TypeError)("expected utf-8, the only encoding a log is written in")


def errors(value: Any) -> str | None:
    """The name of a codec error handler; checked, and without effect: what UTF-8 cannot hold is escaped."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError("expected the name of a codec error handler, such as backslashreplace")
    try:
        codecs.lookup_error(value)
    except LookupError:
        raise ValueError("expected the name of a codec error handler, such as strict or backslashreplace") from None
    return value


def filemode(value: Any) -> str:
    """Only appending: a log that may be shared, and may hold what another process wrote, is never truncated."""
    if value in ("a", "at", "a+"):
        return "a"
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind("expected 'a': a log is never truncated (delete the old files, or choose another filename)")


_PII = ("email", "iban", "card", "phone")
_REDACT = "expected true, false, hint, pii, `hint,pii` or a mapping with any of hint, pii, keys, allow_keys, patterns, without, functions"


def redact(value: Any) -> bool | dict[str, Any]:
    """True, False, or a mapping of what differs from True.

    `hint` (bool), `pii` (bool, or some of email, iban, card, phone), `keys`, `allow_keys`, `without` (names), `patterns`
    (name: regular expression), `functions` (name: callable).
    """
    if hasattr(value, "keys"):
        return _redact_mapping(value)
    try:
        return boolean(value)
    except TypeError:
        raise TypeError(_REDACT) from None
    except ValueError:
        pass
    words = [word.strip().lower() for word in str(value).split(",")]
    if not set(words) <= {"hint", "pii"}:
        raise ValueError(_REDACT)
    return {"hint": "hint" in words, "pii": list(_PII) if "pii" in words else []}


def _redact_mapping(value: Any) -> bool | dict[str, Any]:
    parsers: dict[str, Callable[[Any], Any]] = {
        "hint": boolean,
        "pii": _pii,
        "keys": _names,
        "allow_keys": _names,
        "patterns": _patterns,
        "without": _names,
        "functions": _functions,
    }
    found: dict[str, Any] = {}
    for name in value.keys():  # noqa: SIM118 - a mapping by its methods, not only a dict
        if name not in parsers:
            raise ValueError(f"{_REDACT}; there is no {name!r}{did_you_mean(str(name), parsers)}")
        try:
            found[name] = parsers[name](value[name])
        except (ValueError, TypeError) as error:
            raise type(error)(f"{error} for {name}") from None
    return found or True


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(name, str) and name for name in value):
        return sorted(value) if isinstance(value, (set, frozenset)) else list(value)
    raise TypeError("expected a list of names")


def _pii(value: Any) -> list[str]:
    allowed = f"expected true, false, or a list of {', '.join(_PII)}"
    if isinstance(value, (bool, str)):
        try:
            return list(_PII) if boolean(value) else []
        except ValueError:
            pass
    try:
        names = _names(value)
    except TypeError:
        raise TypeError(allowed) from None
    if not set(names) <= set(_PII):
        raise ValueError(allowed)
    return names


def _patterns(value: Any) -> dict[str, str]:
    if not hasattr(value, "keys") or not all(isinstance(name, str) and isinstance(value[name], str) for name in value):
        raise TypeError(
            "expected a mapping of rule names to regular expressions (text, as Rust's regex crate has them)"
        )
    return {name: value[name] for name in value}


def _functions(value: Any) -> dict[str, Callable[[str], str]]:
    if not hasattr(value, "keys") or not all(isinstance(name, str) and callable(value[name]) for name in value):
        raise TypeError("expected a mapping of rule names to functions that take a text and return one")
    return {name: value[name] for name in value}


#: The sampling rule for the DEBUG records of HTTP clients.
HTTP = "http"


def sample(value: Any) -> dict[str, str]:
    """Rates by logger prefix or `http`, as `N` or `N/s`, from such a mapping, its text (`http=10, app.db=5/s`), or a rate for `http`.

    None: no sampling.
    """
    if value is None or _is_none(value):
        return {}
    if isinstance(value, str) and "=" in value:
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        value = {name.strip(): rate for name, _, rate in pairs}
    if not hasattr(value, "keys"):
        return {HTTP: _rate(value)}
    rates = mapping(value)
    for name in rates:
        if "*" in name or name != name.strip() or name.endswith("."):
            raise ValueError(
                f"{name!r}: expected the name of a logger, which stands for its children, too; or http, or ''"
            )
    return {name: _rate(rate) for name, rate in rates.items()}


def _rate(value: Any) -> str:
    allowed = "expected N (keep 1 in N) or N/s (keep N a second), N a whole number of 1 or more, or a mapping of logger names to these"
    if isinstance(value, str) and value.strip().endswith("/s"):
        return f"{_whole(value.strip()[:-2], 1, allowed)}/s"
    return str(_whole(value, 1, allowed))


def collapse(value: Any) -> float | None:
    """Seconds above 0, a day at most; None or 0: not at all."""
    allowed = "expected seconds above 0 (a day at most), or none"
    try:
        number = seconds(value)
    except (ValueError, TypeError) as error:
        raise type(error)(allowed) from None
    if number is not None and number > 86_400:
        raise ValueError(allowed)
    return number or None


#: Keys whose values are summaries, of responses and results and of what was asked, and their characters.
TRUNCATED = {
    "response_summary": 500,
    "result_summary": 500,
    "output_summary": 500,
    "completion_summary": 500,
    "reply_summary": 500,
    "parameters": 1000,
    "parameters_summary": 1000,
    "arguments_summary": 1000,
    "input_summary": 1000,
    "prompt_summary": 1000,
    "request_summary": 1000,
}
_MOST_LIMITS = 60


def truncate(value: Any) -> dict[str, int]:
    """Keys and their characters: from a bool, a number of characters for the usual keys, or a mapping that adds to these.

    None in a mapping takes a key's limit away. Case, `-` and `_` in names make no difference.
    """
    if value is None or isinstance(value, bool):
        return dict(TRUNCATED) if value is not False else {}
    if isinstance(value, str):
        try:
            return dict(TRUNCATED) if boolean(value) else {}
        except ValueError:
            pass
    if not hasattr(value, "keys"):
        return dict.fromkeys(TRUNCATED, size(value))
    limits: dict[str, int] = dict(TRUNCATED)
    for name in value:
        if not isinstance(name, str) or not fold(name):
            raise TypeError("expected a mapping of names of keys to characters, such as {'response': 500}")
        for known in [known for known in limits if fold(known) == fold(name)]:
            del limits[known]
        if value[name] is not None:
            limits[name] = size(value[name])
    if len(set(limits.values())) > _MOST_LIMITS:
        raise ValueError(f"expected at most {_MOST_LIMITS} different numbers of characters")
    return limits


def fold(name: str) -> str:
    """A key as limits know it."""
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """`; did you mean 'maxBytes'?` or an empty text."""
    import difflib  # only ever needed to word an error

    folded = {known.replace("_", "").lower(): known for known in allowed}
    near = difflib.get_close_matches(name.replace("_", "").lower(), folded, n=1, cutoff=0.7)
    return f"; did you mean {folded[near[0]]}?" if near else ""
