"""One `LogRecord` to one line of schema version 1."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import logging.handlers
import os
import pickle
import queue
import sys
import threading
from datetime import datetime, timezone
from typing import Any

import pytest
from strict_json import encoded, line, parse, record

CORE = ["ts", "level", "logger", "event", "pid", "thread", "src", "seq"]


def test_a_plain_record_has_the_core_keys_in_the_order_of_the_schema() -> None:  # req 13, 17
    entry = record("tool %s finished in %d ms", "route", 12)
    parsed = encoded(entry)
    assert list(parsed) == CORE
    assert parsed["event"] == "tool route finished in 12 ms"
    assert parsed["level"] == "INFO"
    assert parsed["logger"] == "app.tools"
    assert parsed["pid"] == os.getpid()
    assert parsed["thread"] == threading.current_thread().name
    assert parsed["src"] == {"file": "/srv/app.py", "line": 7, "function": "handler"}
    assert parsed["ts"].endswith("Z")
    assert abs(datetime.fromisoformat(parsed["ts"][:-1] + "+00:00").timestamp() - entry.created) < 2e-6


def test_every_key_stands_in_the_order_of_the_schema() -> None:  # req 13, 17, 23
    extra = {
        "zeta": 1, "tool": "t", "trace_flags": "01", "span_id": "s", "trace_id": "t", "request_id": "r", "session_id": "s",
        "category": "llm", "event": "llm.call",
    }  # fmt: skip
    try:
        raise ValueError("boom")
    except ValueError:
        entry = record("text", extra=extra, exc_info=sys.exc_info(), sinfo="Stack (most recent call last):\n  here")
    entry.taskName = "Task-1"
    parsed = encoded(entry, service="svc", environment="prod", version="1.2")
    assert list(parsed) == [
        "category", "ts", "level", "logger", "event", "message", "service", "environment", "version", "pid", "thread", "task",
        "session_id", "request_id", "trace_id", "span_id", "trace_flags", "tool", "fields", "exception", "stack", "src", "seq",
    ]  # fmt: skip
    assert parsed["fields"] == {"zeta": 1}
    assert line(entry).split(b'"')[3] == b"llm"


def test_message_stands_only_beside_an_event_that_differs_from_it() -> None:  # req 17
    assert "message" not in encoded(record("same", extra={"event": "same"}))
    assert encoded(record("text", extra={"event": "a.b"}))["message"] == "text"
    assert encoded(record("text", extra={"event": None}))["event"] == "text"


def test_user_keys_never_overwrite_the_core() -> None:
    extra = dict.fromkeys(
        ("ts", "level", "logger", "service", "pid", "task", "exception", "stack", "src", "seq"), "mine"
    )
    parsed = encoded(record("m", extra=extra), service="svc")
    assert parsed["fields"] == extra
    assert parsed["service"] == "svc"
    assert parsed["level"] == "INFO"


def test_static_fields_yield_to_those_of_the_call_and_a_mapping_named_fields_is_merged() -> None:
    static = {"region": "eu", "zone": "a", "rack": [1, {"x": None}]}
    extra = {"zone": "b", "fields": {"region": "us", "zone": "c", "more": 1}}
    assert encoded(record("m", extra=extra), static=static)["fields"] == {
        "rack": [1, {"x": None}], "zone": "b", "region": "us", "zone#2": "c", "more": 1,
    }  # fmt: skip
    assert encoded(record("m"), static=static)["fields"] == static
    assert encoded(record("m", extra={"fields": 3}))["fields"] == {"fields": 3}


def test_promoted_keys_are_text_and_a_container_goes_to_fields() -> None:
    extra = {
        "request_id": 42,
        "trace_id": 255,
        "span_id": 1,
        "trace_flags": 1,
        "tool": {"name": "x"},
        "session_id": None,
    }
    parsed = encoded(record("m", extra=extra))
    assert parsed["request_id"] == "42"
    assert parsed["trace_id"] == "0" * 30 + "ff"
    assert parsed["span_id"] == "0" * 15 + "1"
    assert parsed["trace_flags"] == "01"
    assert parsed["fields"] == {"tool": {"name": "x"}}
    assert "session_id" not in parsed


def test_src_can_be_left_out() -> None:
    assert "src" not in encoded(record("m"), src=False)


@pytest.mark.parametrize(
    ("msg", "args"),
    [
        ("no arguments 100%", ()),
        ("%s %s %s %s", (True, None, 1.5, [1])),
        ("%d%%", (5,)),
        ("%i|%5d|%-5s|%r|%x|%c", (1, 2, "a", "b", 255, "z")),
        ("%.2f %.0f %.9f %.3f", (1.005, 2.5, 0.1, -1e22)),
        ("%.2f", (float("inf"),)),
        ("%s", (10**30,)),
        ("%s é %s", ("語", "😀")),
        ("%(a)s and %(b)d", ({"a": "x", "b": 2},)),
        ('quote " back \\ %s', ("new\nline\x1b[31m",)),
    ],
)
def test_messages_read_as_getmessage_renders_them(msg: str, args: tuple[object, ...]) -> None:
    entry = record(msg, *args)
    assert encoded(entry)["event"] == entry.getMessage()


@pytest.mark.parametrize(
    ("msg", "args"), [("%d", ("x",)), ("%s %s", (1,)), ("%s", (1, 2)), ("%", (1,)), ("%q", (1,)), ("%(a)s", (1,))]
)
def test_bad_arguments_keep_the_record_with_a_note(msg: str, args: tuple[object, ...]) -> None:  # req 16
    parsed = encoded(record(msg, *args, extra={"kept": 1}))
    assert parsed["event"] == msg
    assert parsed["fields"]["kept"] == 1
    assert parsed["fields"]["format_args"] == list(args)
    assert "Error: " in parsed["fields"]["format_error"]


def test_a_formatters_text_becomes_the_message_and_its_failure_keeps_the_record() -> None:
    class Broken(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            raise RuntimeError("no")

    assert encoded(record("m %d", 1), logging.Formatter("<%(levelname)s> %(message)s"))["event"] == "<INFO> m 1"
    parsed = encoded(record("m"), Broken())
    assert parsed["event"] == "m"
    assert parsed["fields"]["format_error"] == "RuntimeError: no"


def test_the_record_is_never_mutated() -> None:
    for extra in (None, {"a": 1, "event": "e", "fields": {"x": 1}}):
        entry = record("m %s", "x", extra=extra, exc_info=(ValueError, ValueError("x"), None))
        before = dict(entry.__dict__)
        line(entry)
        assert list(entry.__dict__.items()) == list(before.items())


def test_attributes_left_by_other_formatters_are_not_fields() -> None:
    entry = record("m")
    logging.Formatter("%(asctime)s %(message)s").format(entry)
    assert "fields" not in encoded(entry)


def test_unpickled_copied_and_made_records_give_the_line_of_the_original() -> None:
    entry = record("m %s", "x", extra={"a": 1, "request_id": "r"})
    for twin in (
        pickle.loads(pickle.dumps(entry)),
        copy.copy(entry),
        logging.makeLogRecord(entry.__dict__),
        logging.makeLogRecord(json.loads(json.dumps(entry.__dict__ | {"args": None, "msg": "m x"}))),
        logging.makeLogRecord(dict(reversed(list(entry.__dict__.items())))),
    ):
        assert encoded(twin) == encoded(entry)


def test_a_record_prepared_by_a_queue_handler_keeps_message_and_fields() -> None:
    prepared = logging.handlers.QueueHandler(queue.Queue()).prepare(record("m %s", "x", extra={"a": [1]}))
    parsed = encoded(prepared)
    assert parsed["event"] == "m x"
    assert parsed["fields"] == {"a": [1]}


def test_an_empty_or_strange_record_still_gives_a_line() -> None:  # req 16
    assert encoded(logging.makeLogRecord({}))["level"] == "Level None"
    assert encoded(object())["event"] == ""
    for odd in (
        {"created": None},
        {"created": float("nan")},
        {"created": 1e300},
        {"levelno": "x"},
        {"process": None},
        {"lineno": "?"},
    ):
        entry = record("m")
        entry.__dict__.update(odd)
        assert encoded(entry)["event"] == "m"
    entry = record("m")
    del entry.args
    del entry.levelname
    assert encoded(entry)["event"] == "m"


def test_a_subclass_of_logrecord_renders_its_own_message() -> None:
    class Brace(logging.LogRecord):
        def getMessage(self) -> str:
            return str(self.msg).format(*(self.args or ()))

    assert encoded(Brace("n", 20, "p", 1, "{} of {}", (1, 2), None))["event"] == "1 of 2"


def test_the_asyncio_task_is_named_inside_one_and_absent_outside() -> None:
    async def inside() -> dict[str, Any]:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("worker-1")
        return encoded(record("m"))

    assert asyncio.run(inside())["task"] == "worker-1"
    assert "task" not in encoded(record("m"))


def test_exceptions_have_type_message_stack_trace_causes_and_notes() -> None:  # req 19
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer\nsecond line") from inner
    except ValueError as error:
        error.__notes__ = ["note é", "other"]  # type: ignore[attr-defined]
        info = sys.exc_info()
        for exc_info in (info, error):
            parsed = encoded(record("m", exc_info=exc_info))["exception"]
            assert list(parsed) == ["type", "message", "stacktrace", "causes", "notes"]
            assert parsed["type"] == "ValueError"
            assert parsed["message"] == "outer\nsecond line"
            assert parsed["stacktrace"].startswith("Traceback (most recent call last):\n")
            assert "direct cause" in parsed["stacktrace"]
            assert parsed["causes"] == [{"type": "KeyError", "message": "'inner'"}]
            assert parsed["notes"] == ["note é", "other"]
        entry = record("m")
        entry.exc_info = True  # type: ignore[assignment]
        assert encoded(entry)["exception"]["type"] == "ValueError"


def test_context_is_a_cause_unless_suppressed() -> None:
    def raised(suppress: bool) -> BaseException:
        try:
            try:
                raise KeyError("inner")
            except KeyError:
                if suppress:
                    raise ValueError("outer") from None
                raise ValueError("outer")  # noqa: B904
        except ValueError as error:
            return error

    assert encoded(record("m", exc_info=raised(False)))["exception"]["causes"][0]["type"] == "KeyError"
    assert "causes" not in encoded(record("m", exc_info=raised(True)))["exception"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with 3.11")
def test_exception_groups_show_their_parts() -> None:
    group = ExceptionGroup("several", [ValueError("one"), TypeError("two")])  # noqa: F821
    parsed = encoded(record("m", exc_info=group))["exception"]
    assert parsed["type"] == "ExceptionGroup"
    assert "one" in parsed["stacktrace"]
    assert "two" in parsed["stacktrace"]


def test_no_exception_gives_no_key_and_exc_text_alone_is_the_stack_trace() -> None:
    for nothing in (None, (None, None, None), False, ()):
        entry = record("m")
        entry.exc_info = nothing  # type: ignore[assignment]
        assert "exception" not in encoded(entry)
    entry = record("m")
    entry.exc_text = "Traceback:\n  ValueError: x\n"
    assert encoded(entry)["exception"] == {"stacktrace": "Traceback:\n  ValueError: x"}


def test_hostile_exceptions_keep_the_record() -> None:  # req 16
    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    cyclic = ValueError("a")
    cyclic.__context__ = KeyError("b")
    cyclic.__context__.__context__ = cyclic
    assert encoded(record("m", exc_info=Hostile()))["exception"]["message"] == "<unprintable Hostile>"
    assert len(encoded(record("m", exc_info=cyclic))["exception"]["causes"]) == 1


def test_multi_line_messages_and_escape_sequences_are_one_harmless_line() -> None:  # req 16, 35
    raw = line(record("a\r\nb\x1b[31m\x7f\x9b\u2028\ud800%s", "c\n"))
    assert raw.count(b"\n") == 1
    assert parse(raw)["event"] == "a\r\nb\x1b[31m\x7f\x9b\u2028\ud800c\n"


def test_long_text_is_cut_with_a_note_of_its_length() -> None:
    for text in ("x" * 200, "é" * 200):
        for parsed in (encoded(record(text), max_field=100), encoded(record("%s", text), max_field=100)):
            assert parsed["event"] == text[:100] + "…(truncated, 200 chars)"
    assert encoded(record("é" * 100), max_field=100)["event"] == "é" * 100


@pytest.mark.parametrize("limit", [1024, 2048, 16_384])
@pytest.mark.parametrize(
    "extra",
    [
        {"a": "x" * 100_000},
        {"a": ["\x00" * 50] * 10_000},
        {f"key{i}": "v" * 100 for i in range(5000)},
        {"k" * 10_000: 1, "event": "\x00" * 9999, "request_id": "\x01" * 5000, "tool": "\x02" * 9999},
        {"a": [[[["\x00" * 500] * 50] * 50] * 50] * 50},
        {"a": range(10**12)},
        {"fields": {"x" * i: "y" * i for i in range(1, 2000)}},
    ],
    ids=lambda extra: next(iter(extra))[:8],
)
def test_no_line_is_longer_than_max_record(limit: int, extra: dict[str, Any]) -> None:
    long = "m\x00" * 100_000
    for entry in (
        record(long, extra=extra, name="n\x00" * 5000),
        record("m %s", long, extra=extra, exc_info=ValueError(long)),
    ):
        raw = line(entry, max_record=limit, service="\x00" * 5000)
        assert len(raw) <= limit
        assert parse(raw)["level"] == "INFO"


def test_fields_that_cannot_be_cut_enough_are_left_out_with_a_note() -> None:
    parsed = encoded(record("m", extra={f"key{i}": "v" * 100 for i in range(5000)}), max_record=4096)
    assert "LOG_MAX_RECORD" in parsed["fields"]["truncated"]
    assert parsed["event"] == "m"


def test_settings_are_refused_with_their_name() -> None:
    with pytest.raises(ValueError, match="max_record: 10: too small"):
        line(record("m"), max_record=10)
    with pytest.raises(TypeError, match="static: 1: names must be str"):
        line(record("m"), static={1: 2})


def test_times_before_the_epoch_and_far_away_are_still_times() -> None:
    for created, expected in ((-1.5, "1969-12-31T23:59:58.500000Z"), (0.000001, "1970-01-01T00:00:00.000001Z")):
        entry = record("m")
        entry.created = created
        assert encoded(entry)["ts"] == expected
    entry.created = 1e11
    assert datetime.fromisoformat(encoded(entry)["ts"][:-1]).replace(tzinfo=timezone.utc).year == 5138


def test_a_record_reads_the_same_however_often_its_names_were_seen() -> None:  # req 13, 17
    names = ["k", "a long name " * 9, 'quo"te', "é", "lone \ud800", "event", "trace_id", "tool", "x" * 45, "x" * 46]
    extra = {
        **{name: index for index, name in enumerate(names)},
        "n": {name: index for index, name in enumerate(names)},
    }
    entry = record("m", extra=extra)
    first = line(entry)
    assert [line(entry) for _ in range(5)] == [first] * 5
    short = [line(entry, max_field=20) for _ in range(3)]
    assert short == short[:1] * 3
    assert short[0] != first
    # Names made anew each time, at addresses that others had before, never read as those.
    for number in range(2000):
        name = f"name {number}"
        assert encoded(record("m", extra={name: number}))["fields"] == {name: number}
