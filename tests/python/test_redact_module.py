"""`logspool.redact` as a module, and `logspool redact --test` as a command. req 30 33"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import logspool as command

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEabcdef\nABCdef123456\n-----END PRIVATE KEY-----"
TEXT = f"nothing\nx password=tiger-lily-99 and key\n{KEY}\nAuthorization: Bearer abcdefghijklmnop123456\n"


def test_an_import_of_logspool_does_not_import_it_and_its_first_use_does(script) -> None:  # type: ignore[no-untyped-def]
    result = script(
        "import sys, logspool\n"
        "assert 'logspool.redact' not in sys.modules\n"
        "assert logspool.redact.apply('password=tiger') == 'password=***'\n"
        "assert 'logspool.redact' in sys.modules\n"
        "try: logspool.no_such_name\n"
        "except AttributeError as error: assert 'no_such_name' in str(error)\n"
        "else: raise AssertionError\n"
    )
    assert result.returncode == 0, result.stderr


def test_the_command_names_line_column_rule_and_hint(tmp_path: Path) -> None:
    file = tmp_path / "old.log"
    file.write_text(TEXT, encoding="utf-8")
    lines = command("redact", "--test", file).stdout.splitlines()
    assert [line.split(": ")[:2] for line in lines[:3]] == [
        ["2:12", "password"],
        ["4:1", "pem"],
        ["7:23", "authorization"],
    ]
    assert lines[2].endswith(": ***3456")
    assert lines[3] == f"{file}: 3 secrets would go from 7 lines: authorization 1, password 1, pem 1"
    told = json.loads(command("redact", "--test", file, "--json").stdout)
    assert told["rules"] == {"authorization": 1, "password": 1, "pem": 1}
    assert [(f["line"], f["column"], f["hint"]) for f in told["findings"]] == [
        (2, 12, "***"),
        (4, 1, "***3456"),
        (7, 23, "***3456"),
    ]


def test_the_command_takes_rules_as_the_setting_does(tmp_path: Path) -> None:
    file = tmp_path / "old.log"
    file.write_text("bob@example.com shoe_size=44 badge B-1234 password=tiger token=abc1", encoding="utf-8")
    options = [
        "--pii",
        "--key",
        "shoe_size",
        "--pattern",
        r"badge=B-\d{4}",
        "--without",
        "password",
        "--allow-key",
        "token",
    ]
    told = json.loads(command("redact", "--test", file, "--json", *options).stdout)
    assert told["rules"] == {"email": 1, "keys": 1, "badge": 1}
    assert "1 secret would go" not in command("redact", "--test", file).stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pattern", "("], "expected RULE=REGEX"),
        (["--pattern", "x=("], "patterns: x"),
        (["--without", "nothing"], "there is no rule"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_to_do(tmp_path: Path, options: list[str], said: str) -> None:
    file = tmp_path / "old.log"
    file.write_text("x", encoding="utf-8")
    assert said in command("redact", "--test", file, *options, status=2).stderr
    assert "cannot read" in command("redact", "--test", tmp_path / "none", status=2).stderr


def test_nothing_raw_of_a_text_reaches_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "old.log"
    file.write_text("\x1b[31mpass\u202eword\x1b[0m=\x1b]0;title\x07tiger-lily-99\n", encoding="utf-8")
    said = command("redact", "--test", file).stdout
    assert "password" in said.splitlines()[-1]
    assert not any(c in said for c in "\x1b\u202e\x07"), said
    assert "tiger" not in said
