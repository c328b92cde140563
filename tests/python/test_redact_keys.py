"""What stands under a name that says it is secret is not written, wherever that is; what only looks like it is."""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest

import logspool

SECRET = "hunter-two-hunter-two"


class Opaque:
    """Says its secret to whoever asks."""

    def __str__(self) -> str:
        return SECRET

    __repr__ = __str__


@dataclasses.dataclass
class Login:
    user: str
    password: str


Pair = collections.namedtuple("Pair", "user password")
Cookie = dict[str, str]


@pytest.fixture(params=[True, False], ids=["fast", "handler"])
def written(tmp_path: Path, root: logging.Logger, request: pytest.FixtureRequest) -> Any:
    """Logs with the arguments given, and returns the text of the log and its records."""
    logspool.basicConfig(filename=tmp_path / "a.jsonl", level="DEBUG", fast=request.param)
    logger = logging.getLogger("redact.keys")

    def write(*args: Any, **extra: Any) -> dict[str, Any]:
        # Twice and once more: what is kept with a name must say the same.
        for _ in range(3):
            logger.info(*args or ("login",), extra=extra or None)
        logspool.flush()
        text = (tmp_path / "a.jsonl").read_text()
        assert SECRET not in text
        records = [json.loads(line) for line in text.splitlines()][-3:]
        assert records[0].get("fields") == records[1].get("fields") == records[2].get("fields")
        record: dict[str, Any] = records[2]
        return record

    return write


NAMES = (
    "password PASSWORD db_password api_key api-key apiKey X-Api-Key Authorization Proxy-Authorization cookie Set-Cookie token access_token "
    "githubToken client_secret private_key passphrase credentials"
)


@pytest.mark.parametrize("name", NAMES.split())
def test_the_value_of_a_secret_name_is_not_written(written: Any, name: str) -> None:  # req 30
    fields = written(**{name: SECRET, "nested": {"list": [{name: SECRET}], name: Opaque()}})["fields"]
    assert fields == {name: "***", "nested": {"list": [{name: "***"}], name: "***"}}


def test_names_are_seen_in_objects_pairs_and_bytes(written: Any) -> None:  # req 30
    fields = written(
        login=Login("ada", SECRET),
        pair=Pair("ada", SECRET),
        raw=[
            (b"authorization", b"Bearer " + SECRET.encode()),
            ("x-api-key", SECRET),
            ["cookie", SECRET],
            ("host", "example.org"),
        ],
        view={"token": SECRET}.items(),
        keyed={b"password": SECRET},
        jar={"cookies": Cookie(a=SECRET)},
    )["fields"]
    assert fields == {
        "login": {"user": "ada", "password": "***"},
        "pair": ["ada", "***"],
        "raw": [["authorization", "***"], ["x-api-key", "***"], ["cookie", "***"], ["host", "example.org"]],
        "view": [["token", "***"]],
        "keyed": {"password": "***"},
        "jar": {"cookies": "***"},
    }


def test_a_name_beside_a_value_says_whether_it_is_secret(written: Any) -> None:  # req 30
    fields = written(
        headers=[{"name": "Accept", "value": "*/*"}, {"name": "X-Api-Key", "value": SECRET, "comment": ""}],
        env={"Value": SECRET, "Name": "DB_PASSWORD"},
        key="db_password",
        value=SECRET,
        val="VAL",
        counts=[
            {"name": "token", "value": 17},
            {"key": "password", "value": None},
            {"key": "max_tokens", "value": "9"},
        ],
        plain={"value": "v", "name": "colour"},
        alone={"value": "v", "key": 3},
        pairs=[("value", "v"), ["val", "v"]],
    )["fields"]
    assert fields == {
        "headers": [{"name": "Accept", "value": "*/*"}, {"name": "X-Api-Key", "value": "***", "comment": ""}],
        "env": {"Value": "***", "Name": "DB_PASSWORD"},
        "key": "db_password",
        "value": "***",
        "val": "***",
        "counts": [
            {"name": "token", "value": 17},
            {"key": "password", "value": None},
            {"key": "max_tokens", "value": "9"},
        ],
        "plain": {"value": "v", "name": "colour"},
        "alone": {"value": "v", "key": 3},
        "pairs": [["value", "v"], ["val", "v"]],
    }


def test_a_limit_of_values_and_names_beside_them_hold_together(logger: logging.Logger, tmp_path: Path) -> None:
    logger.addHandler(logspool.SpoolHandler(tmp_path / "a.jsonl", truncate={"value": 30, "val": None}))
    long = SECRET * 3
    logger.info("m", extra={"o": [{"name": "password", "value": long}, {"name": "colour", "value": long, "val": long}]})
    logspool.flush()
    secret, plain = json.loads((tmp_path / "a.jsonl").read_text())["fields"]["o"]
    assert secret == {"name": "password", "value": "***"}
    assert plain["value"].endswith("…(truncated, 63 chars)") and plain["val"] == long


def test_the_scheme_of_an_authorization_stays(written: Any) -> None:
    assert written(headers={"Authorization": f"Bearer {SECRET}"})["fields"] == {
        "headers": {"Authorization": "Bearer ***"}
    }


def test_counts_of_tokens_and_what_says_nothing_stay(written: Any) -> None:
    fields = {
        "max_tokens": 4096,
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "total_tokens": 15,
        "tokens": {"prompt": 12, "completion": 3},
        "token": 7,
        "session_id": "s-1",
        "password": None,
        "secret": "",
        "has_password": True,
        "author": "ada",
    }
    record = written(**fields)
    assert record["session_id"] == fields.pop("session_id")
    assert record["fields"] == fields


def test_arguments_by_name_are_seen_too(written: Any) -> None:
    assert (
        written("%(user)s came with %(password)s", {"user": "ada", "password": SECRET})["event"] == "ada came with ***"
    )


def test_static_fields_and_costs_are_seen_too(root: logging.Logger, tmp_path: Path) -> None:
    logspool.basicConfig(filename=tmp_path / "a.jsonl", static={"deploy_token": SECRET})
    logging.getLogger("redact.static").info("started")
    logspool.log_cost("tier", "model", api_key=SECRET, request={"headers": {"Authorization": SECRET}})
    logspool.flush()
    texts = [(tmp_path / name).read_text() for name in ("a.jsonl", "openrouter-costs.jsonl")]
    assert not any(SECRET in text for text in texts)
    assert json.loads(texts[0].splitlines()[-1])["fields"] == {"deploy_token": "***"}
    assert json.loads(texts[1])["fields"]["request"] == {"headers": {"Authorization": "***"}}


def test_what_stands_before_the_time_is_seen_too(written: Any) -> None:
    record = written(category=f"password={SECRET}")
    assert record["category"] == "password=***"
    assert list(record)[:2] == ["category", "ts"]
