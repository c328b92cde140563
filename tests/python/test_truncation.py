"""Values under keys with a limit of their own, and images and other payloads, of which a log keeps what they were."""

from __future__ import annotations

import base64
import collections
import dataclasses
import gzip
import hashlib
import io
import json
import logging
import os
import random
import re
import sys
import wave
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from logfiles import lines, records

import logspool

NOISE = random.Random(5)
Log = Callable[..., dict[str, Any]]


def png(size: int) -> bytes:
    """A PNG of about so many bytes."""
    chunk = NOISE.randbytes(size)
    data = b"IDAT" + chunk
    return b"\x89PNG\r\n\x1a\n" + len(chunk).to_bytes(4, "big") + data + zlib.crc32(data).to_bytes(4, "big")


def told(kind: str, data: bytes) -> dict[str, Any]:
    return {"type": kind, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def within(kind: str, data: bytes) -> str:
    return f"<{kind}, {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}>"


@pytest.fixture(params=["fast", "handler"])
def log(request: pytest.FixtureRequest, tmp_path: Path, root: logging.Logger) -> Iterator[Log]:
    """`log(msg, *args, extra=…)` logs and gives the record as it is in the file; `log.settings(…)` changes settings."""
    given: dict[str, Any] = {"filename": tmp_path / "a.jsonl", "level": "DEBUG", "console": False}
    given["fast"] = request.param == "fast"
    logspool.basicConfig(**given)
    logger = logging.getLogger(f"truncation.{request.param}")

    def one(*args: Any, **kwargs: Any) -> dict[str, Any]:
        logger.info(*args, **kwargs)
        assert logspool.flush(30)
        return records(tmp_path / "a.jsonl")[-1]

    one.settings = lambda **settings: logspool.basicConfig(**{**given, **settings})  # type: ignore[attr-defined]
    yield one
    logspool.shutdown(10)


def cut(text: str, limit: int) -> str:
    return f"{text[:limit]}…(truncated, {len(text)} chars)" if len(text) > limit else text


# -- keys with a limit ---------------------------------------------------------------------------------------------------


def test_summaries_are_cut_at_500_characters_and_parameters_at_1000(log: Log) -> None:  # req 34
    long = "äbc🦀" * 1000
    record = log(
        "called",
        extra={
            "response_summary": long,
            "Result-Summary": long,
            "parameters": long,
            "other": long,
            "nested": {"deeper": [{"response_summary": long, "n": 1}]},
        },
    )
    fields = record["fields"]
    assert fields["response_summary"] == fields["Result-Summary"] == cut(long, 500)
    assert fields["nested"] == {"deeper": [{"response_summary": cut(long, 500), "n": 1}]}
    assert fields["parameters"] == cut(long, 1000)
    assert fields["other"] == long
    short = "é" * 500
    assert log("called", extra={"response_summary": short})["fields"] == {"response_summary": short}


@pytest.mark.parametrize("name", ["response_summary", "parameters"])
@pytest.mark.parametrize(
    "value",
    [None, True, 12, 1.5, "", "short", b"short", [], {}, [1, "two"], {"a": {"b": 1}}, 10**30],
    ids=repr,
)
def test_what_is_short_is_written_as_ever_under_a_key_with_a_limit(log: Log, name: str, value: object) -> None:
    assert log("called", extra={name: value, "plain": value})["fields"][name] == records_value(log, value)


def records_value(log: Log, value: object) -> object:
    return log("plain", extra={"plain": value})["fields"]["plain"]


def test_a_container_that_is_longer_is_shown_as_the_beginning_of_its_json(log: Log) -> None:  # req 34
    value = {"rows": [{"n": n, "text": 'quote " and\nline'} for n in range(100)]}
    whole = json.dumps(value, separators=(",", ":"))
    assert log("called", extra={"parameters": value})["fields"]["parameters"] == cut(whole, 1000)
    fields = log("called", extra={"result_summary": [value], "response_summary": (1, 2, value)})["fields"]
    assert fields["result_summary"] == cut(f"[{whole}]", 500)
    assert fields["response_summary"] == cut(f"[1,2,{whole}]", 500)


def test_any_type_of_value_is_cut(log: Log) -> None:
    class Text(str):
        pass

    class Shown:
        def __str__(self) -> str:
            return "s" * 3000

    @dataclasses.dataclass
    class Answer:
        text: str
        n: int = 1

    fields = log(
        "called",
        extra={
            "response_summary": Text("t" * 3000),
            "result_summary": b"b" * 3000,
            "output_summary": Shown(),
            "completion_summary": Answer("a" * 3000),
            "reply_summary": collections.UserDict(text="u" * 3000),
            "parameters": 10**1500,
            "input_summary": Path("/p" * 1000),
        },
    )["fields"]
    assert fields["response_summary"] == cut("t" * 3000, 500)
    assert fields["result_summary"] == "b" * 500 + "…(truncated, 3000 bytes)"
    assert fields["output_summary"] == cut("s" * 3000, 500)
    assert fields["completion_summary"] == cut(json.dumps({"text": "a" * 3000, "n": 1}, separators=(",", ":")), 500)
    assert fields["reply_summary"] == cut(json.dumps({"text": "u" * 3000}, separators=(",", ":")), 500)
    assert fields["parameters"] == 10**1500 or str(fields["parameters"]).endswith("chars)")
    assert fields["input_summary"] == cut("/p" * 1000, 1000)


def test_a_container_larger_than_a_record_costs_nothing_but_its_end(log: Log) -> None:
    fields = log("called", extra={"parameters": ["x" * 1000] * 5000, "kept": "whole"})["fields"]
    assert re.fullmatch(r'\["x{998}…\(truncated, more than \d{7,} chars\)', fields["parameters"]), fields["parameters"][
        -60:
    ]
    assert fields["kept"] == "whole"


def test_a_container_that_holds_itself_is_written_and_user_code_that_raises_costs_nothing(log: Log) -> None:
    loop: list[Any] = ["x" * 400]
    loop.append(loop)

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    fields = log("called", extra={"parameters": loop, "response_summary": [Broken()] * 100})["fields"]
    assert fields["parameters"] == ["x" * 400, "<cycle>"]
    assert fields["response_summary"].startswith('["<unprintable Broken>","<unpr')
    assert fields["response_summary"].endswith("chars)")


def test_limits_are_added_changed_and_taken_away(log: Log) -> None:
    log.settings(truncate={"response": 10, "parameters": None, "result_summary": 0})  # type: ignore[attr-defined]
    fields = log("x", extra=dict.fromkeys(("response", "parameters", "result_summary", "output_summary"), "r" * 2000))[
        "fields"
    ]
    assert fields == {
        "response": cut("r" * 2000, 10),
        "parameters": "r" * 2000,
        "result_summary": "…(truncated, 2000 chars)",
        "output_summary": cut("r" * 2000, 500),
    }
    log.settings(truncate=False)  # type: ignore[attr-defined]
    assert log("x", extra={"response_summary": "r" * 2000})["fields"] == {"response_summary": "r" * 2000}
    log.settings(truncate=7)  # type: ignore[attr-defined]
    assert log("x", extra={"response_summary": "r" * 2000})["fields"] == {"response_summary": cut("r" * 2000, 7)}
    log.settings(max_field=100)  # type: ignore[attr-defined]
    assert log("x", extra={"response_summary": "r" * 2000})["fields"] == {"response_summary": cut("r" * 2000, 100)}


def test_many_limits_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 60 different numbers"):
        logspool.SpoolHandler(tmp_path / "a.jsonl", truncate={f"k{n}": n for n in range(61)})


def test_the_cost_log_has_the_same_limits(tmp_path: Path, root: logging.Logger) -> None:
    logspool.basicConfig(filename=tmp_path / "a.jsonl", console=False)
    image = png(5000)
    logspool.log_cost(model="m", response_summary="r" * 600, fields={"parameters": ["p" * 2000]}, image=image)
    assert logspool.flush(30)
    fields = records(tmp_path / "openrouter-costs.jsonl")[-1]["fields"]
    assert fields["response_summary"] == cut("r" * 600, 500)
    assert fields["parameters"] == cut(json.dumps(["p" * 2000]), 1000)
    assert fields["image"] == told("image/png", image)


def test_a_secret_under_a_key_within_what_is_cut_stays_out(log: Log) -> None:
    fields = log("x", extra={"parameters": {"password": "hunter2hunter2", "pad": "x" * 3000}})["fields"]
    assert fields["parameters"].startswith('{"password":"***","pad":"xxx')
    assert "hunter2" not in json.dumps(fields)


def test_what_was_left_out_is_counted(log: Log) -> None:
    before = logspool.stats()["truncated"]
    log("x" * 20_000)
    log("x", extra={"a": "y" * 20_000, "response_summary": "z" * 501, "parameters": [["p" * 2000]], "ok": "fine"})
    image = base64.b64encode(png(1000)).decode()
    log(f"![](data:image/png;base64,{image})", extra={"image": f"data:image/png;base64,{image}", "raw": png(100)})
    after = logspool.stats()["truncated"]
    assert {k: after[k] - before[k] for k in before} == {"values": 4, "records": 0, "payloads": 3}
    log("x", extra={f"f{n}": "y" * 16_000 for n in range(30)})
    assert logspool.stats()["truncated"]["records"] == before["records"] + 1


# -- payloads ------------------------------------------------------------------------------------------------------------


def sound() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(NOISE.randbytes(4000))
    return file.getvalue()


DOCUMENTS = {
    "image/png": png(3000),
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + NOISE.randbytes(3000),
    "audio/wav": sound(),
    "application/gzip": gzip.compress(NOISE.randbytes(3000)),
    "application/pdf": b"%PDF-1.7\n" + NOISE.randbytes(3000),
    "application/octet-stream": NOISE.randbytes(3001),
}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_binary_and_base64_values_become_what_they_are(log: Log, kind: str) -> None:
    data = DOCUMENTS[kind]
    text = base64.b64encode(data).decode()
    forms: Mapping[str, Any] = {
        "bytes": data,
        "bytearray": bytearray(data),
        "memoryview": memoryview(data),
        "base64": text,
        "url_safe": base64.urlsafe_b64encode(data).decode().rstrip("="),
        "lines": base64.encodebytes(data).decode(),
        "uri": f"data:{kind};base64,{text}",
        "base64_bytes": text.encode(),
        "in_list": [text],
    }
    fields = log("sent", extra=dict(forms))["fields"]
    assert fields == {name: told(kind, data) for name in forms if name != "in_list"} | {"in_list": [told(kind, data)]}


def test_requests_of_the_two_great_providers_keep_their_shape(log: Log) -> None:
    image, audio = DOCUMENTS["image/png"], DOCUMENTS["audio/wav"]
    openai = [
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(image).decode()}", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": base64.b64encode(audio).decode(), "format": "wav"}},
        ]},
    ]  # fmt: skip
    anthropic = [
        {"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(image).decode()}},
            {"type": "text", "text": "What is this?"},
        ]},
    ]  # fmt: skip
    fields = log("sent", extra={"openai": openai, "anthropic": anthropic})["fields"]
    expected_openai = json.loads(json.dumps(openai))
    expected_openai[0]["content"][1]["image_url"]["url"] = told("image/png", image)
    expected_openai[0]["content"][2]["input_audio"]["data"] = told("audio/wav", audio)
    expected_anthropic = json.loads(json.dumps(anthropic))
    expected_anthropic[0]["content"][0]["source"]["data"] = told("image/png", image)
    assert fields == {"openai": expected_openai, "anthropic": expected_anthropic}
    # As text, it stays JSON.
    expected_openai[0]["content"][1]["image_url"]["url"] = within("image/png", image)
    expected_openai[0]["content"][2]["input_audio"]["data"] = within("audio/wav", audio)
    expected_anthropic[0]["content"][0]["source"]["data"] = within("image/png", image)
    for value, expected in ((openai, expected_openai), (anthropic, expected_anthropic)):
        for text in (json.dumps(value), json.dumps(value, indent=2), json.dumps(value).encode()):
            assert json.loads(log("sent", extra={"body": text})["fields"]["body"]) == expected
        record = log("sending %s to %d", json.dumps(value), 7)
        assert json.loads(record["event"].removeprefix("sending ").removesuffix(" to 7")) == expected
        assert log("sent %r", value)["event"].count("sha256") == json.dumps(expected).count("sha256")


def test_messages_events_and_exceptions_tell_payloads_in_words(log: Log, tmp_path: Path) -> None:
    image = DOCUMENTS["image/png"]
    uri = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    words = within("image/png", image)
    assert log(uri)["event"] == words
    assert log("got %s.", uri)["event"] == f"got {words}."
    assert log("%s", base64.b64encode(image).decode())["event"] == words
    record = log("said", extra={"event": f"upload {uri}", "tool": uri})
    assert (record["event"], record["tool"]) == (f"upload {words}", words)
    try:
        raise ValueError(f"cannot read {uri}")
    except ValueError as error:
        error.__notes__ = [uri]  # type: ignore[attr-defined] # as add_note does from 3.11 on
        record = log("failed", exc_info=True)
    assert record["exception"]["message"] == f"cannot read {words}"
    assert words in record["exception"]["stacktrace"]
    for line in lines(tmp_path / "a.jsonl"):
        assert base64.b64encode(image).decode()[100:200] not in line


def test_text_logs_and_the_mirror_tell_payloads_too(tmp_path: Path, script: Callable[..., Any]) -> None:
    image = DOCUMENTS["image/png"]
    (tmp_path / "uri").write_text(f"data:image/png;base64,{base64.b64encode(image).decode()}")
    done = script(
        "import logging, logspool\n"
        "logspool.basicConfig(filename='a.log', json=False, console=True)\n"
        "logging.warning('got %s', open('uri').read())\n"
        "logspool.shutdown(10)\n"
    )
    (line,) = lines(tmp_path / "a.log")
    assert line.endswith(f"got {within('image/png', image)}")
    assert within("image/png", image) in done.stderr


def test_a_payload_too_large_to_hash_in_passing_has_type_and_length(log: Log) -> None:
    data = png(3 << 20)
    fields = log("x", extra={"raw": data, "view": memoryview(data), "text": base64.b64encode(data).decode()})["fields"]
    expected = {"type": "image/png", "bytes": len(data), "sha256": None}
    assert fields == {"raw": expected, "view": expected, "text": expected}


def test_what_is_long_and_no_payload_stays_as_it_is(log: Log) -> None:
    values = {
        "prose": "Ordinary text, of some length, with words in it. " * 50,
        "hex": NOISE.randbytes(1500).hex(),
        "same": "x" * 5000,
        "path": "/usr/lib/python3/dist-packages/some_module" * 40,
        "words": "camelCaseIdentifierOfUnusualLength" * 50,
        "code": "!function(e){var t=e.n||{};for(var r in t)t.hasOwnProperty(r)&&(e[r]=t[r])}(window);" * 30,
        "table": "\n".join(f"{n:05d} {NOISE.randbytes(8).hex()}" for n in range(200)),
        "small": base64.b64encode(NOISE.randbytes(700)).decode(),
        "uri": "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7",
        "latin": ("Größe und Straße, " * 100).encode("latin-1"),
    }
    expected = {
        **values,
        "latin": ("Größe und Straße, " * 100).replace("ö", "\\xf6").replace("ß", "\\xdf").replace("Ö", "\\xd6"),
    }
    log.settings(redact=False)  # type: ignore[attr-defined]
    assert log("x", extra=values)["fields"] == expected


def test_hostile_text_takes_linear_time_and_is_not_taken_for_a_payload(log: Log) -> None:
    for text in ("data:image/png;base64," * 10_000, "\\n" * 100_000, ("A" * 1023 + "\n") * 200, "base64," * 30_000):
        assert log("x", extra={"text": text})["fields"]["text"] == cut(text, 16 * 1024)


def test_bytes_of_another_thread_or_a_released_view_do_no_harm(log: Log) -> None:
    view = memoryview(os.urandom(100))
    view.release()
    assert log("x", extra={"view": view})["fields"]["view"].startswith("<released memory")
    assert sys.getrefcount(view) < 10
