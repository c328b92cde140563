"""What `redact=` can say, rules that fail, what is counted, and what would go and why. req 30 32 33"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from commands import logspool as command
from logfiles import records
from redaction.kinds import SHAPES

import logspool

RNG = Random(11)
TOKEN = SHAPES["github-personal"](RNG).text
OPENAI = SHAPES["openai"](RNG).text


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """`logged(write, redact=…)`: what `write(logger)` leaves in a log with these settings."""
    opened: list[tuple[logging.Logger, logging.Handler]] = []

    def run(write: Callable[[logging.Logger], object], **settings: Any) -> list[dict[str, Any]]:
        log = logging.getLogger(f"test.redact.{len(opened)}")
        log.propagate = False
        log.setLevel(logging.DEBUG)
        path = tmp_path / f"log{len(opened)}.jsonl"
        handler = logspool.SpoolHandler(path, **settings)
        opened.append((log, handler))
        log.addHandler(handler)
        write(log)
        assert logspool.flush(30)
        return records(path)

    yield run
    for log, handler in opened:
        log.removeHandler(handler)
        handler.close()


def counted() -> dict[str, int]:
    return dict(logspool.stats()["redacted"])


def more(before: dict[str, int]) -> dict[str, int]:
    """What was counted since."""
    return {rule: n - before.get(rule, 0) for rule, n in counted().items() if n != before.get(rule, 0)}


# -- on, off, hint ---------------------------------------------------------------------------------------------------------


def sign_in(log: logging.Logger) -> None:
    log.info("Authorization: Bearer abcdefghijklmnopqrstuvwxyz", extra={"password": "tiger-lily-99", "user": "bob"})


@pytest.mark.parametrize("settings", [{}, {"redact": True}, {"redact": "true"}, {"redact": {}}])
def test_secrets_are_redacted_without_any_setting(logged: Callable[..., Any], settings: dict[str, Any]) -> None:
    (record,) = logged(sign_in, **settings)
    assert record["event"] == "Authorization: Bearer ***"
    assert record["fields"] == {"password": "***", "user": "bob"}


@pytest.mark.parametrize("off", [False, "false"])
def test_redact_false_leaves_everything(logged: Callable[..., Any], off: object) -> None:
    before = counted()
    (record,) = logged(sign_in, redact=off)
    assert record["event"] == "Authorization: Bearer abcdefghijklmnopqrstuvwxyz"
    assert record["fields"] == {"password": "tiger-lily-99", "user": "bob"}
    assert more(before) == {}


@pytest.mark.parametrize("hint", ["hint", {"hint": True}])
def test_a_hint_keeps_the_last_four_characters_of_secrets_of_sixteen_or_more(
    logged: Callable[..., Any], hint: object
) -> None:
    def write(log: logging.Logger) -> None:
        log.info(
            "Bearer abcdefghijklmnopqrstuvwxyz", extra={"password": "0123456789abcdef", "secret": "0123456789abcde"}
        )
        log.info("key %s", TOKEN)

    first, second = logged(write, redact=hint)
    assert first["event"] == "Bearer ***wxyz"
    assert first["fields"] == {"password": "***cdef", "secret": "***"}
    assert second["event"] == f"key ***{TOKEN[-4:]}"


@pytest.mark.parametrize("name", ["LOG_REDACT", "LOGSPOOL_REDACT"])
def test_the_environment_says_it_too(logged: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "hint")
    assert logged(sign_in)[0]["event"] == "Authorization: Bearer ***wxyz"
    monkeypatch.setenv(name, "false")
    assert logged(sign_in)[0]["fields"]["password"] == "tiger-lily-99"
    monkeypatch.setenv(name, "pii")
    assert logged(lambda log: log.info("to bob@example.com"))[0]["event"] == "to ***"


@pytest.mark.parametrize(
    "wrong",
    ["perhaps", 7, {"hints": True}, {"keys": 5}, {"patterns": {"x": "("}}, {"functions": {"f": "no function"}},
     {"without": ["no such rule"]}, {"pii": ["shoe size"]}],
)  # fmt: skip
def test_a_setting_that_means_nothing_is_refused_at_start(tmp_path: Path, wrong: object) -> None:
    with pytest.raises((ValueError, TypeError), match="redact"):
        logspool.SpoolHandler(tmp_path / "a.jsonl", redact=wrong)


# -- what stays beside a secret --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Bearer abcdefghijklmnop123456 sent", "Authorization: Bearer *** sent"),
        ("postgres://user:tigerlily99@db.example.com:5432/main", "postgres://user:***@db.example.com:5432/main"),
        ("password=tigerlily99 user=bob", "password=*** user=bob"),
        ('{"user": "bob", "password": "tiger\\"lily", "n": 1}', '{"user": "bob", "password": "***", "n": 1}'),
        ("{'user': 'bob', 'password': 'tiger', 'n': 1}", "{'user': 'bob', 'password': '***', 'n': 1}"),
        ("GET https://x.example.com/a?page=1&api_key=0123456789ab&limit=5", "GET https://x.example.com/a?page=1&api_key=***&limit=5"),
    ],
)  # fmt: skip
def test_scheme_name_and_host_stay(logged: Callable[..., Any], text: str, left: str) -> None:
    assert logged(lambda log: log.info("%s", text))[0]["event"] == left


def test_nothing_bools_and_empty_values_under_a_secret_name_stay(logged: Callable[..., Any]) -> None:
    empty = {"password": None, "secret": "", "api_key": False, "authorization": True, "token": 12, "max_tokens": 4096}
    (record,) = logged(lambda log: log.info("m", extra=empty))
    assert record["fields"] == empty


def test_a_number_under_a_secret_name_goes(logged: Callable[..., Any]) -> None:
    (record,) = logged(lambda log: log.info("m", extra={"password": 482913, "o": {"passcode": 482913, "api_key": 4.5}}))
    assert record["fields"] == {"password": "***", "o": {"passcode": "***", "api_key": "***"}}


def test_the_value_under_a_secret_name_is_not_even_looked_at(logged: Callable[..., Any]) -> None:
    class Unspeakable:
        def __str__(self) -> str:
            raise AssertionError("looked at")

        __repr__ = __str__

    (record,) = logged(lambda log: log.info("m", extra={"password": Unspeakable(), "secret": [Unspeakable()]}))
    assert record["fields"] == {"password": "***", "secret": "***"}


# -- rules added and taken away --------------------------------------------------------------------------------------------


def test_keys_are_added_with_wildcards_at_either_end(logged: Callable[..., Any]) -> None:
    values = {"shoe_size": "44", "Shoe-Size": "44", "my_diary": "dear", "diary": "dear", "plan9": "x", "plain": "y"}
    (record,) = logged(lambda log: log.info("m", extra=values), redact={"keys": ["shoe_size", "*diary", "plan*"]})
    assert record["fields"] == {**dict.fromkeys(values, "***"), "plain": "y"}


def test_added_keys_hold_in_text_too(logged: Callable[..., Any]) -> None:
    (record,) = logged(lambda log: log.info('shoe_size=forty4 {"shoe_size": "forty4"}'), redact={"keys": ["shoe_size"]})
    assert "forty4" not in record["event"]


def test_allowed_keys_stay(logged: Callable[..., Any]) -> None:
    values = {"csrf_token": "abcdef123", "password": "tiger-lily-99", "headers": {"X-Csrf-Token": "abcdef123"}}
    (record,) = logged(lambda log: log.info("m", extra=values), redact={"allow_keys": ["csrf_token", "x-csrf-token"]})
    assert record["fields"] == {**values, "password": "***"}


def test_an_allowed_key_does_not_allow_a_token_under_it(logged: Callable[..., Any]) -> None:
    (record,) = logged(lambda log: log.info("m", extra={"password": TOKEN}), redact={"allow_keys": ["password"]})
    assert record["fields"] == {"password": "***"}


def test_patterns_are_added(logged: Callable[..., Any]) -> None:
    before = counted()
    (record,) = logged(
        lambda log: log.info("badge B-1234-X", extra={"note": "and B-9999-Y"}),
        redact={"patterns": {"badge": r"\bB-\d{4}-[A-Z]\b"}},
    )
    assert (record["event"], record["fields"]) == ("badge ***", {"note": "and ***"})
    assert more(before)["badge"] == 2


def test_rules_are_taken_away(logged: Callable[..., Any]) -> None:
    (record,) = logged(lambda log: log.info("%s and %s", TOKEN, OPENAI), redact={"without": ["github"]})
    assert record["event"] == f"{TOKEN} and ***"


def test_settings_of_one_log_do_not_reach_another(logged: Callable[..., Any]) -> None:
    assert logged(sign_in, redact={"without": ["password"]})[0]["fields"]["password"] == "tiger-lily-99"
    assert logged(sign_in)[0]["fields"]["password"] == "***"


# -- personal data ---------------------------------------------------------------------------------------------------------

PERSONAL = {
    "email": "bob.o'neil+x@mail.example.org",
    "iban": "DE89 3704 0044 0532 0130 00",
    "card": "4111 1111 1111 1111",
    "phone": "+49 30 901820",
}


def test_personal_data_stays_where_nobody_asked(logged: Callable[..., Any]) -> None:
    (record,) = logged(lambda log: log.info("m", extra=PERSONAL))
    assert record["fields"] == PERSONAL


@pytest.mark.parametrize("every", ["pii", {"pii": True}, {"pii": list(PERSONAL)}, "hint,pii"])
def test_personal_data_goes_where_asked(logged: Callable[..., Any], every: object) -> None:
    def write(log: logging.Logger) -> None:
        for text in PERSONAL.values():
            log.info("it is %s, isn't it", text)

    for record, text in zip(logged(write, redact=every), PERSONAL.values(), strict=True):
        assert record["event"].startswith("it is ***") and record["event"].endswith(", isn't it"), record
        assert text[-8:] not in record["event"]


def test_only_the_personal_data_that_was_named_goes(logged: Callable[..., Any]) -> None:
    (record,) = logged(lambda log: log.info("m", extra=PERSONAL), redact={"pii": ["email"]})
    assert record["fields"] == {**PERSONAL, "email": "***"}


def test_numbers_that_fail_their_check_are_no_cards_and_no_accounts(logged: Callable[..., Any]) -> None:
    values = {"a": "order 4111 1111 1111 1112", "b": "DE00 3704 0044 0532 0130 00"}
    (record,) = logged(lambda log: log.info("m", extra=values), redact={"pii": ["card", "iban"]})
    assert record["fields"] == values


# -- functions, and rules that fail ----------------------------------------------------------------------------------------


def test_functions_see_every_text_and_say_what_becomes_of_it(logged: Callable[..., Any]) -> None:
    (record,) = logged(
        lambda log: log.info("ask Mallory", extra={"note": ["Mallory again"], "n": 1}),
        redact={"functions": {"names": lambda text: text.replace("Mallory", "***")}},
    )
    assert (record["event"], record["fields"]) == ("ask ***", {"note": ["*** again"], "n": 1})


def raises(text: str) -> str:
    raise ValueError(f"cannot: {text}")


@pytest.mark.parametrize("fails", [raises, lambda text: None, lambda text: 7, lambda text: text.encode(), lambda: "no"])
def test_a_rule_that_fails_drops_the_text_and_keeps_the_record(logged: Callable[..., Any], fails: object) -> None:
    before = counted()
    (record,) = logged(
        lambda log: log.info("the message", extra={"note": "some text", "n": 1}), redact={"functions": {"mine": fails}}
    )
    assert record["event"] == "***(redaction failed: mine)"
    assert record["fields"] == {"note": "***(redaction failed: mine)", "n": 1}
    assert record["level"] == "INFO"
    assert more(before), "it is counted"


def test_a_function_that_is_interrupted_keeps_the_record_and_the_interrupt(logged: Callable[..., Any]) -> None:
    def interrupted(text: str) -> str:
        if text == "the message":
            raise KeyboardInterrupt
        return text

    def write(log: logging.Logger) -> None:
        # It comes where Python code runs again, after the record is kept.
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            log.info("the message")
            for _ in range(1000):
                pass

    (record,) = logged(write, redact={"functions": {"mine": interrupted}})
    assert record["event"] == "***(redaction failed: mine)"


def test_a_function_that_logs_does_not_go_round_for_ever(logged: Callable[..., Any]) -> None:
    logs: list[logging.Logger] = []

    def chatty(text: str) -> str:
        logs[0].info("redacting")
        return text

    def write(log: logging.Logger) -> None:
        logs.append(log)
        log.info("the message", extra={"note": "some text"})

    events = [record["event"] for record in logged(write, redact={"functions": {"chatty": chatty}})]
    assert "the message" in events[-1] or any("redaction failed" in event for event in events)
    assert len(events) < 50


def test_what_a_function_returns_is_still_redacted_and_escaped(logged: Callable[..., Any]) -> None:
    (record,) = logged(
        lambda log: log.info("m", extra={"note": "x"}),
        redact={"functions": {"mine": lambda text: f'{text}"\n\ud800 {TOKEN}' if text == "x" else text}},
    )
    assert record["fields"]["note"].startswith('x"\n')
    assert TOKEN not in json.dumps(record)


# -- counters, explain, the command ----------------------------------------------------------------------------------------


def test_each_rule_counts_what_it_redacted(logged: Callable[..., Any]) -> None:
    before = counted()
    logged(lambda log: log.info("%s %s", TOKEN, TOKEN, extra={"password": "tiger-lily-99", "o": [{"pwd": "tiger"}]}))
    since = more(before)
    assert since == {"github": 2, "password": 2}


def test_explain_says_what_would_go_and_why() -> None:
    from logspool import redact

    text = f"user bob, password=tiger-lily-99, key {TOKEN}"
    findings = redact.explain(text)
    assert [text[one.start : one.end] for one in findings] == ["tiger-lily-99", TOKEN]
    assert [one.rule for one in findings] == ["password", "github"]
    assert all(one.reason for one in findings)
    assert redact.apply(text) == "user bob, password=***, key ***"
    assert redact.explain("nothing here") == []
    with pytest.raises(AttributeError):
        findings[0].rule = "other"


def test_explain_and_apply_take_the_same_settings_as_a_log() -> None:
    from logspool import redact

    text = f"bob@example.com has {TOKEN}"
    assert redact.apply(text, {"pii": True, "without": ["github"]}) == f"*** has {TOKEN}"
    assert redact.apply(text, False) == text
    assert redact.apply(text, "hint") == f"bob@example.com has ***{TOKEN[-4:]}"


def test_places_that_explain_names_are_of_python_text() -> None:
    from logspool import redact

    text = "naïve ✓ 😀 password=tiger-lily-99"
    (one,) = redact.explain(text)
    assert text[one.start : one.end] == "tiger-lily-99"


def test_the_command_shows_what_would_go_and_never_the_secret(tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text(f"first line\npassword=tiger-lily-99\nkey {TOKEN}\nlast line\n", encoding="utf-8")
    said = command("redact", "--test", file).stdout
    assert "tiger-lily-99" not in said and TOKEN not in said
    assert "password" in said and "github" in said
    assert "2" in said and "3" in said  # the lines
    piped = command("redact", "--test", "-", input=file.read_text(encoding="utf-8")).stdout
    assert TOKEN not in piped and "github" in piped


def test_the_command_takes_what_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "bytes"
    file.write_bytes(b"\xff\xfe password=tiger-lily-99 \x00\n" + os.urandom(64))
    assert b"tiger-lily-99" not in command("redact", "--test", file).stdout.encode()


def test_with_names_only_texts_are_left_as_they_are(tmp_path: Path, root: logging.Logger) -> None:
    handler = logspool.SpoolHandler(tmp_path / "names.jsonl", redact={"names_only": True})
    root.addHandler(handler)
    logging.getLogger("names").error(
        "password=hunter2", extra={"password": "hunter2", "note": "token: hunter2-hunter2-2"}
    )
    handler.flush()
    record = json.loads((tmp_path / "names.jsonl").read_text())
    assert (record["event"], record["fields"]) == (
        "password=hunter2",
        {"password": "***", "note": "token: hunter2-hunter2-2"},
    )
