"""Where a setting's value comes from, what it may be, and how an unusable one is refused."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest

from logspool import _settings, _values
from logspool._settings import UNSET, handler_settings


def resolve(**arguments: Any) -> dict[str, Any]:
    return handler_settings(arguments, lambda message: pytest.fail(f"unexpected warning: {message}"))


def resolve_and_collect(**arguments: Any) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    return handler_settings(arguments, said.append), said


#: Keys with a limit of their own, by default.
TRUNCATED = {
    **dict.fromkeys(
        ["response_summary", "result_summary", "output_summary", "completion_summary", "reply_summary"], 500
    ),
    **dict.fromkeys(
        [
            "parameters",
            "parameters_summary",
            "arguments_summary",
            "input_summary",
            "prompt_summary",
            "request_summary",
        ],
        1000,
    ),
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, TRUNCATED),
        (True, TRUNCATED),
        ("on", TRUNCATED),
        (False, {}),
        ("off", {}),
        (200, dict.fromkeys(TRUNCATED, 200)),
        ("1KB", dict.fromkeys(TRUNCATED, 1024)),
        ({"response": 500}, {**TRUNCATED, "response": 500}),
        (
            {"Result-Summary": "1KB"},
            {**{k: v for k, v in TRUNCATED.items() if k != "result_summary"}, "Result-Summary": 1024},
        ),
        ({"parameters": None, "other": None}, {k: v for k, v in TRUNCATED.items() if k != "parameters"}),
    ],
)
def test_truncation_by_key_is_resolved_to_names_and_characters(
    given: object, expected: dict[str, int]
) -> None:  # req 34
    assert resolve(truncate=given)["truncate"] == expected


def test_defaults_are_the_documented_ones() -> None:
    settings = resolve(service="app")
    assert settings == {
        "max_bytes": 10_485_760,
        "backup_count": 5,
        "when": None,
        "interval": 1,
        "utc": True,
        "gzip": True,
        "file_mode": 0o600,
        "dir_mode": 0o700,
        "fsync": "none",
        "when_full": "block",
        "block_timeout": 0.1,
        "spool_bytes": 8 * 1024 * 1024,
        "spool_dir": None,
        "queue_max": None,
        "json": True,
        "service": "app",
        "environment": None,
        "version": None,
        "static": {},
        "src": True,
        "max_field": 16 * 1024,
        "max_record": 256 * 1024,
        "redact": True,
        "sample": {},
        "collapse": None,
        "truncate": TRUNCATED,
        "console_level": None,
        "console_format": None,
    }


# req 38, 40
@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("LOG_JSON", "false", "json", False),
        ("JSON_LOGS", "0", "json", False),
        ("LOG_ROTATE_SIZE", "10_485_760", "max_bytes", 10_485_760),
        ("LOG_ROTATE_SIZE", "50MB", "max_bytes", 50 * 1024 * 1024),
        ("LOG_ROTATE_WHEN", "MIDNIGHT", "when", "midnight"),
        ("LOG_BACKUPS", "12", "backup_count", 12),
        ("LOG_GZIP", "off", "gzip", False),
        ("LOG_QUEUE_MAX", "10000", "queue_max", 10_000),
        ("LOG_WHEN_FULL", "drop-newest", "when_full", "drop_newest"),
        ("LOG_BLOCK_TIMEOUT", "none", "block_timeout", None),
        ("LOG_BLOCK_TIMEOUT", "2.5", "block_timeout", 2.5),
        ("LOG_FSYNC", "Record", "fsync", "record"),
        ("LOG_SPOOL_DIR", "shm", "spool_dir", "shm"),
        ("LOG_SPOOL_BYTES", "16 MB", "spool_bytes", 16 * 1024 * 1024),
        ("LOG_MAX_FIELD", "1000", "max_field", 1000),
        ("LOG_MAX_RECORD", "1MB", "max_record", 1024 * 1024),
        ("LOG_REDACT", "off", "redact", False),
        ("LOG_REDACT", "hint", "redact", {"hint": True, "pii": []}),
        ("LOG_REDACT", "Hint, PII", "redact", {"hint": True, "pii": ["email", "iban", "card", "phone"]}),
        ("SERVICE_NAME", "llm-inference", "service", "llm-inference"),
        ("OTEL_SERVICE_NAME", "routing", "service", "routing"),
        ("ENVIRONMENT", "staging", "environment", "staging"),
        ("APP_VERSION", "1.2.3", "version", "1.2.3"),
    ],
)
def test_every_variable_reaches_its_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, key: str, value: object
) -> None:
    monkeypatch.setenv(variable, text)
    assert resolve()[key] == value


def test_argument_goes_before_our_variable_before_the_shared_one_before_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert resolve()["backup_count"] == 5
    monkeypatch.setenv("LOG_BACKUPS", "6")
    assert resolve()["backup_count"] == 6
    monkeypatch.setenv("LOGSPOOL_BACKUPS", "7")
    assert resolve()["backup_count"] == 7
    assert resolve(backupCount=8)["backup_count"] == 8
    assert resolve(backupCount=UNSET)["backup_count"] == 7


def test_log_json_goes_before_json_logs_and_service_name_before_opentelemetrys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (
        ("LOG_JSON", "1"),
        ("JSON_LOGS", "0"),
        ("SERVICE_NAME", "mine"),
        ("OTEL_SERVICE_NAME", "theirs"),
    ):
        monkeypatch.setenv(name, value)
    settings = resolve()
    assert settings["json"] is True
    assert settings["service"] == "mine"


@pytest.mark.parametrize("name", ["LOG_JSON", "JSON_LOGS"])
def test_of_an_unusable_variable_the_name_that_counts_for_us_is_said(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    said: list[str] = []
    monkeypatch.setenv(name, "maybe")
    handler_settings({}, said.append)
    (ours,) = re.findall(r"(LOGSPOOL_\w+) is ours", said[0])
    monkeypatch.setenv(ours, "0")
    assert handler_settings({}, said.append)["json"] is False


def test_none_means_what_it_says_and_is_not_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_BLOCK_TIMEOUT", "3")
    monkeypatch.setenv("LOG_ROTATE_WHEN", "H")
    monkeypatch.setenv("SERVICE_NAME", "set")
    settings = resolve(block_timeout=None, when=None, service=None)
    assert settings["block_timeout"] is None
    assert settings["when"] is None
    assert settings["service"] is None


def test_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGSPOOL_BACKUPS", "")
    monkeypatch.setenv("LOG_BACKUPS", " ")
    assert resolve()["backup_count"] == 5


@pytest.mark.parametrize(
    "variable", ["LOG_ROTATE_SIZE", "LOG_BACKUPS", "LOG_GZIP", "LOG_WHEN_FULL", "LOG_REDACT", "LOG_SAMPLE_HTTP"]
)
def test_unusable_shared_variable_is_said_and_ignored(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    expected = resolve(service="app")
    monkeypatch.setenv(variable, "rather not")
    settings, said = resolve_and_collect(service="app")
    assert settings == expected
    assert len(said) == 1
    assert variable in said[0]
    assert "'rather not'" in said[0]
    assert "expected" in said[0]


@pytest.mark.parametrize(
    "variable", ["LOGSPOOL_ROTATE_SIZE", "LOGSPOOL_BACKUPS", "LOGSPOOL_GZIP", "LOGSPOOL_WHEN_FULL", "LOGSPOOL_REDACT"]
)
def test_unusable_variable_of_ours_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "rather not")
    with pytest.raises(ValueError, match=rf"^{variable}='rather not': expected "):
        resolve()


def test_unusable_variable_is_not_even_read_where_the_argument_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGSPOOL_BACKUPS", "many")
    assert resolve(backupCount=3)["backup_count"] == 3


# req 38
@pytest.mark.parametrize(
    ("given", "bytes_"),
    [
        (0, 0),
        ("0", 0),
        (4096, 4096),
        ("10_485_760", 10_485_760),
        ("10MB", 10 * 1024**2),
        ("10 mb", 10 * 1024**2),
        ("64KB", 64 * 1024),
        ("64k", 64 * 1024),
        ("64KiB", 64 * 1024),
        ("1 GB", 1024**3),
        ("1.5GB", 3 * 512 * 1024**2),
        ("512B", 512),
    ],
)
def test_sizes_are_read_as_people_write_them(given: object, bytes_: int) -> None:
    assert resolve(maxBytes=given)["max_bytes"] == bytes_


@pytest.mark.parametrize(
    ("setting", "value", "error"),
    [
        ("maxBytes", -1, ValueError),
        ("maxBytes", "10 apples", ValueError),
        ("maxBytes", "MB", ValueError),
        ("maxBytes", None, TypeError),
        ("maxBytes", True, TypeError),
        ("maxBytes", 1.5, TypeError),
        ("backupCount", -1, ValueError),
        ("backupCount", "-1", ValueError),
        ("backupCount", [], TypeError),
        ("when", "weekly", ValueError),
        ("when", "W7", ValueError),
        ("when", 5, TypeError),
        ("interval", 0, ValueError),
        ("utc", "perhaps", ValueError),
        ("gzip", None, TypeError),
        ("json", "yaml", ValueError),
        ("when_full", "explode", ValueError),
        ("when_full", None, TypeError),
        ("block_timeout", -0.1, ValueError),
        ("block_timeout", float("nan"), ValueError),
        ("block_timeout", float("inf"), ValueError),
        ("block_timeout", "soon", ValueError),
        ("spool_bytes", 0, ValueError),
        ("spool_bytes", "8GB", ValueError),
        ("maxBytes", 1 << 64, ValueError),
        ("maxBytes", "99999999999TB", ValueError),
        ("backupCount", 1 << 64, ValueError),
        ("spool_dir", "", ValueError),
        ("spool_dir", 3, TypeError),
        ("queue_max", 0, ValueError),
        ("fsync", "always", ValueError),
        ("file_mode", 600, ValueError),
        ("file_mode", "rw", ValueError),
        ("file_mode", 0o400, ValueError),
        ("dir_mode", None, TypeError),
        ("dir_mode", 0o600, ValueError),
        ("service", "", ValueError),
        ("service", 7, TypeError),
        ("static", [("a", 1)], TypeError),
        ("static", {1: "a"}, TypeError),
        ("src", "maybe", ValueError),
        ("max_field", 0, ValueError),
        ("max_record", 1023, ValueError),
        ("redact", 3.5, TypeError),
        ("redact", None, TypeError),
        ("redact", "hints", ValueError),
        ("redact", {"hints": True}, ValueError),
        ("redact", {"keys": 5}, TypeError),
        ("redact", {"pii": ["shoe size"]}, ValueError),
        ("redact", {"functions": {"f": 1}}, TypeError),
        ("sample", 0, ValueError),
        ("sample", {"httpx": "often"}, ValueError),
        ("truncate", "long", ValueError),
        ("truncate", -1, ValueError),
        ("truncate", 1.5, TypeError),
        ("truncate", {"_": 1}, TypeError),
        ("truncate", {1: 1}, TypeError),
        ("truncate", {"a": "long"}, ValueError),
        ("encoding", "latin-1", ValueError),
        ("encoding", "no-such-codec", ValueError),
        ("errors", "shrug", ValueError),
        ("mode", "w", ValueError),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_setting_value_and_allowed(
    setting: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        resolve(**{setting: value})
    message = str(raised.value)
    assert message.startswith(f"{setting}={value!r}: expected ")


def test_a_long_value_does_not_flood_the_message() -> None:
    with pytest.raises(ValueError, match="maxBytes=") as raised:
        resolve(maxBytes="9" * 10_000 + "x")
    assert len(str(raised.value)) < 300


# req 21
@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("DEBUG", 10),
        ("debug", 10),
        ("Info", 20),
        ("warn", 30),
        ("WARNING", 30),
        ("error", 40),
        ("fatal", 50),
        ("critical", 50),
        ("trace", 10),
        ("notset", 0),
        ("25", 25),
        (15, 15),
    ],
)
def test_levels_are_folded(given: object, number: int) -> None:
    assert _values.level(given) == number


def test_a_registered_level_goes_before_an_alias() -> None:
    logging.addLevelName(5, "TRACE")
    try:
        assert _values.level("trace") == 5
    finally:
        logging._nameToLevel.pop("TRACE")
        logging._levelToName.pop(5)


@pytest.mark.parametrize("text", ["600", "0600", "0o600"])
def test_modes_as_text_are_octal(text: str) -> None:
    assert resolve(file_mode=text)["file_mode"] == 0o600


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("max_bytes", "maxBytes"), ("backupcount", "backupCount"), ("blocktimeout", "block_timeout"), ("gzp", "gzip")],
)
def test_an_unknown_setting_is_refused_with_the_one_that_was_meant(typed: str, meant: str) -> None:
    with pytest.raises(TypeError, match=rf"f\(\) has no setting {typed}; did you mean {meant}\?"):
        _settings.reject_unknown("f", [typed], _settings.HANDLER_NAMES)


def test_an_unknown_setting_like_no_other_is_refused_with_the_list() -> None:
    with pytest.raises(TypeError, match="zzz; the settings are maxBytes, backupCount"):
        _settings.reject_unknown("f", ["zzz"], _settings.HANDLER_NAMES)
