"""What the documents' own implementations let through, or took for a secret though it is none. req 30 31 33 85"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from logfiles import lines

import logspool


@pytest.fixture
def line(tmp_path: Path, logger: logging.Logger) -> Callable[..., str]:
    """The line that a call leaves."""

    def run(message: str, *args: Any, **keywords: Any) -> str:
        handler = logspool.SpoolHandler(tmp_path / "a.jsonl")
        logger.addHandler(handler)
        logger.info(message, *args, **keywords)
        assert logspool.flush(30)
        logger.removeHandler(handler)
        handler.close()
        return lines(tmp_path / "a.jsonl")[-1]

    return run


@pytest.mark.parametrize("name", ["Cookie", "Set-Cookie", "cookie", "SET-COOKIE", "set_cookie"])
@pytest.mark.parametrize("form", ["dict", "pairs", "bytes", "httpx", "text"])
def test_cookies_do_not_leak_in_any_form_of_headers(line: Callable[..., str], name: str, form: str) -> None:
    value = "sid=s3cr3tvalue; theme=d4rkmode; Path=/"
    headers: Any = {
        "dict": {name: value},
        "pairs": [("accept", "*/*"), (name, value)],
        "bytes": [(b"accept", b"*/*"), (name.encode(), value.encode())],
        "httpx": httpx.Headers({name: value}),
        "text": f"{name}: {value}",
    }[form]
    written = line("sent", extra={"headers": headers})
    assert "s3cr3tvalue" not in written and "d4rkmode" not in written
    if form != "text":
        assert name.lower() in written.lower(), "the name stays"


@pytest.mark.parametrize("name", ["X-Api-Key", "x-api-key", "X_API_KEY", "xApiKey", "api-key", "X-Api-KEY"])
def test_a_key_header_with_hyphens_does_not_leak(line: Callable[..., str], name: str) -> None:
    assert "plainkeyvalue" not in line("sent", extra={"headers": {name: "plainkeyvalue"}})
    assert "plainkeyvalue" not in line(f"sent with {name}: plainkeyvalue")


@pytest.mark.parametrize(
    "text",
    ["Bearer abcdefgh12345678", "failed: Authorization: Bearer abcdefgh12345678, retrying", "'Bearer abcdefgh12345678'",
     '{"error": "Bearer abcdefgh12345678 is invalid"}', "bearer abcdefgh12345678", "BEARER abcdefgh12345678"],
)  # fmt: skip
def test_a_bearer_token_inside_a_string_does_not_leak(line: Callable[..., str], text: str) -> None:
    assert "abcdefgh12345678" not in line("%s", text)
    assert "abcdefgh12345678" not in line("m", extra={"note": [text]})
    assert "abcdefgh12345678" not in line("it failed", exc_info=ValueError(text))


def test_nested_keys_do_not_leak(line: Callable[..., str]) -> None:
    request = {
        "server": {
            "env": [{"OPENROUTER_API_KEY": "plainkeyvalue"}],
            "auth": {"user": "bob", "password": "plainkeyvalue"},
        }
    }
    written = line("starting", extra={"parameters": request})
    assert "plainkeyvalue" not in written
    assert json.loads(written)["fields"]["parameters"]["server"]["auth"]["user"] == "bob"


def test_token_counts_are_no_secrets(line: Callable[..., str]) -> None:
    counts = {"max_tokens": 4096, "prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46}
    written = line("max_tokens=4096 %s", counts, extra={"usage": counts, **counts})
    record = json.loads(written)
    assert record["event"] == f"max_tokens=4096 {counts}"
    assert record["fields"] == {"usage": counts, **counts}


def test_the_counts_of_a_cost_record_are_no_secrets(tmp_path: Path, script: Callable[..., object]) -> None:
    script(
        """
        import logspool
        logspool.basicConfig(filename="a.jsonl", console=False)
        logspool.log_cost("small", "m-1", prompt_tokens=12, completion_tokens=34, cost=0.5, api_key="plainkeyvalue")
        """
    )
    (record,) = map(json.loads, lines(tmp_path / "openrouter-costs.jsonl"))
    assert record["fields"]["tokens"]["prompt"] == 12 and record["fields"]["tokens"]["total"] == 46
    assert record["fields"]["api_key"] == "***"


def test_an_audit_record_keeps_its_words_and_loses_its_secrets(line: Callable[..., str]) -> None:
    event = {"event_type": "login", "resource": "/secrets/db", "action": "read", "allowed": False,
             "reason": "bad token", "credential": "plainkeyvalue"}  # fmt: skip
    fields = json.loads(line("denied", extra=event))["fields"]
    assert fields == {**event, "credential": "***"}


def test_a_request_that_fails_shows_neither_key_nor_body_in_message_or_traceback(line: Callable[..., str]) -> None:
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(401))) as client:
        answer = client.get(
            "https://x.example.com/v1?api_key=plainkeyvalue", headers={"Authorization": "Bearer plainkeyvalue"}
        )
    try:
        answer.raise_for_status()
    except httpx.HTTPStatusError as error:
        written = line("it failed", exc_info=error)
    assert "plainkeyvalue" not in written
    assert "x.example.com" in written
