"""`logspool.configure`: what a file says counts, after arguments and the environment; what it says wrong is named with its line."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from logfiles import DEADLINE_SECONDS, records

import logspool
from logspool.configuration import ConfigurationError

CIPHER = """\
# Cipher
llm: {provider: openrouter, model: "x/y"}
logging:
  level: INFO
  maxBytes: 10MB
  backupCount: 5
  loggers:
    httpx: WARNING
    app.db: debug
mcpServers:
  llm-inference:
    command: python
    args: [servers/llm-inference-mcp.py]
    env:
      OPENROUTER_API_KEY: sk-or-1
      LOG_LEVEL: DEBUG
      LOG_ROTATE_SIZE: 20_971_520
      LOG_BACKUPS: 7
      LOG_GZIP: false
      LOG_QUEUE_MAX: 10000
      LOG_SAMPLE_HTTP: 10
      APP_VERSION: 1.10
  routing-metadata:
    command: python
    logging:
      level: WARNING
      static: {team: routing, shards: [1, 2]}
  plain:
    command: python
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: logging.Logger) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    levels = {name: logging.getLogger(name).level for name in ("httpx", "app.db")}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logspool.uninstall()


def configure(
    text: str, server: str | None = None, name: str = "cipher.yml", **arguments: Any
) -> logspool.SpoolHandler:
    Path(name).write_text(text, encoding="utf-8")
    return logspool.configure(name, server, **arguments)


def settings(handler: logspool.SpoolHandler) -> dict[str, Any]:
    return handler._settings


def test_a_servers_env_counts_before_the_block_of_all(tmp_path: Path) -> None:  # req 38, 39
    handler = configure(CIPHER, "llm-inference")
    assert handler.baseFilename == str(tmp_path / "logs" / "llm-inference.jsonl")  # req 27
    assert (handler.maxBytes, handler.backupCount) == (20_971_520, 7)
    found = settings(handler)
    assert (found["gzip"], found["queue_max"], found["sample"]["http"]) == (False, 10_000, "10")
    assert logging.getLogger().level == logging.DEBUG
    assert (logging.getLogger("httpx").level, logging.getLogger("app.db").level) == (logging.WARNING, logging.DEBUG)
    logging.getLogger("app").info("hello")
    assert logspool.flush(DEADLINE_SECONDS)
    record = next(record for record in records(tmp_path / "logs" / "llm-inference.jsonl") if record["event"] == "hello")
    assert (record["service"], record["version"]) == ("llm-inference", "1.10")


def test_a_servers_own_block_and_one_without_any(tmp_path: Path) -> None:
    handler = configure(CIPHER, "routing-metadata")
    assert logging.getLogger().level == logging.WARNING
    assert settings(handler)["static"] == {"team": "routing", "shards": [1, 2]}
    assert handler.backupCount == 5
    handler = configure(CIPHER, "plain")
    assert logging.getLogger().level == logging.INFO
    assert handler.baseFilename == str(tmp_path / "logs" / "plain.jsonl")


def test_arguments_go_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_BACKUPS", "8")
    monkeypatch.setenv("LOGSPOOL_LEVEL", "ERROR")
    monkeypatch.setenv("SERVICE_NAME", "from-the-environment")
    handler = configure(CIPHER, "llm-inference", maxBytes="1MB")
    assert (handler.maxBytes, handler.backupCount) == (1 << 20, 8)
    assert logging.getLogger().level == logging.ERROR
    assert handler.baseFilename.endswith("from-the-environment.jsonl")
    handler = configure(CIPHER, "llm-inference", level="WARNING", service="argued", backupCount=1)
    assert (handler.backupCount, logging.getLogger().level) == (1, logging.WARNING)
    assert handler.baseFilename.endswith("argued.jsonl")


def test_an_unusable_variable_of_anothers_is_passed_over_for_the_files_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_BACKUPS", "many")
    assert configure(CIPHER, "llm-inference").backupCount == 7
    monkeypatch.setenv("LOGSPOOL_BACKUPS", "many")
    with pytest.raises(ValueError, match="LOGSPOOL_BACKUPS='many'"):
        configure(CIPHER, "llm-inference")


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ("LOG_PATH: elsewhere/x.jsonl", "elsewhere/x.jsonl"),
        ("LOG_DIR: elsewhere", "elsewhere/s.jsonl"),
        ("{LOG_PATH: a.jsonl, LOGSPOOL_DIR: b}", "b/s.jsonl"),
    ],
)
def test_the_place_of_the_log_may_be_a_variable_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: str, expected: str
) -> None:
    text = f"logspool: {{filename: block.jsonl}}\nmcpServers:\n  s:\n    env:\n      {env}\n"
    assert configure(text, "s").baseFilename == str(tmp_path / expected)
    assert configure(text, "s", filename="argued.jsonl").baseFilename == str(tmp_path / "argued.jsonl")
    monkeypatch.setenv("LOG_PATH", "environment.jsonl")
    assert configure(text, "s").baseFilename == str(tmp_path / "environment.jsonl")
    monkeypatch.delenv("LOG_PATH")
    assert configure(text).baseFilename == str(tmp_path / "block.jsonl")


TOML = """\
[llm]
model = "x/y"

[logspool]
level = "DEBUG"
maxBytes = 20_971_520
file_mode = 0o640
block_timeout = 0.25
static = { team = "a" }

[logspool.loggers]
"app.db" = "ERROR"

[mcpServers.llm-inference.env]
LOG_BACKUPS = "9"
"""


def test_toml_says_the_same(tmp_path: Path) -> None:
    handler = configure(TOML, "llm-inference", "cipher.toml")
    assert (handler.maxBytes, handler.backupCount) == (20_971_520, 9)
    assert logging.getLogger("app.db").level == logging.ERROR
    assert (settings(handler)["file_mode"], settings(handler)["block_timeout"]) == (0o640, 0.25)
    handler = configure("[tool.ruff]\nx = 1\n[tool.logspool]\nbackupCount = 3\n", None, "pyproject.toml")
    assert handler.backupCount == 3


def test_json_is_yaml_too_and_what_yaml_readers_disagree_about_is_read_by_the_setting() -> None:
    text = json.dumps({"logspool": {"backupCount": 2, "when": None, "block_timeout": None, "console": False}})
    handler = configure(text, None, "cipher.json")
    assert handler.backupCount == 2 and settings(handler)["block_timeout"] is None
    text = "logspool: {gzip: no, src: off, file_mode: 0640, maxBytes: 1_000_000, version: 1.10, level: null}\n"
    logging.getLogger().setLevel(33)
    found = settings(configure(text))
    assert (found["gzip"], found["src"], found["file_mode"]) == (False, False, 0o640)
    assert (found["max_bytes"], found["version"], logging.getLogger().level) == (1_000_000, "1.10", 33)


def test_json_as_other_programs_write_it_is_read() -> None:
    static = {"team": "\U0001f680\\ud83d\\", "note": "é/\\\\\t"}
    document = json.dumps({"logspool": {"static": static, "level": "DEBUG"}}, indent="\t")
    assert r"\ud83d\ude80" in document
    handler = configure(document, None, "cipher.json")
    assert settings(handler)["static"] == static


def test_blocks_may_be_shared_by_anchors_and_merges() -> None:
    text = "base: &base {backupCount: 9, gzip: false}\nlogspool:\n  <<: *base\n  backupCount: 3\n"
    handler = configure(text)
    assert (handler.backupCount, settings(handler)["gzip"]) == (3, False)


WRONG = [
    ("logging:\n  level: INFO\n  maxbytes: 5\n", None, 3, "logging.maxbytes: no such setting; did you mean maxBytes?"),
    ("logging:\n  version: 1\n  root: {}\n", None, 3, "another program's? Ours may be called logspool"),
    ("logspool:\n  zzz: 1\n", None, 2, "the settings are level, "),
    ("logspool:\n  maxBytes: lots\n", None, 2, "logspool.maxBytes='lots': expected a size"),
    ("logspool:\n  backupCount: 1.5\n", None, 2, "logspool.backupCount=1.5: expected a whole number"),
    ("logspool:\n  gzip:\n    - true\n", None, 3, "logspool.gzip=[True]: expected true or false"),
    ("logspool: yes\n", None, 1, "logspool: expected names and values, not text"),
    ("logspool:\n  handlers: []\n", None, 2, "logspool.handlers: cannot stand in a file"),
    ("logspool:\n  format: '%(nonsense'\n", None, 2, "format='%(nonsense'"),
    ("logspool:\n  level: INFO\n\n  level: DEBUG\n", None, 4, "level: stands here a second time; the first is in line 2"),
    ("logspool:\n  loggers:\n    httpx: loud\n", None, 3, "logspool.loggers.httpx='loud': expected DEBUG"),
    ("logspool:\n  loggers: {root: INFO}\n", None, 2, "the root logger's level is the setting level"),
    ("logspool:\n  level: [\n", None, 3, ""),
    ("- a\n- b\n", "s", 1, "server 's': there are no mcpServers here"),
    ("a: 1\n", None, 1, "nothing for logspool: expected a block"),
    ("a: 1\nmcpServers:\n  llm: {}\n", "lm", 2, "mcpServers: no server 'lm'; did you mean llm?"),
    ("mcpServers:\n  s:\n    env:\n      A: 1\n      LOG_BACKUPS: many\n", "s", 5, "LOG_BACKUPS='many': expected a whole"),
    ("mcpServers:\n  s:\n    env:\n      LOG_LEVL: INFO\n", "s", 4, "LOG_LEVL: no such variable; did you mean LOG_LEVEL?"),
    ("mcpServers:\n  s:\n    env:\n      LOGSPOOL_ZZZZ: x\n", "s", 4, "LOGSPOOL_ZZZZ: no such variable"),
    ("mcpServers:\n  s:\n    env:\n      A: [1]\n", "s", 4, "mcpServers.s.env.A: expected text for a variable, not a list"),
    ("mcpServers:\n  s:\n    env:\n      LOG_PATH: /dev/stdout\n", "s", 4, "standard output is never written"),
    ("mcpServers:\n  s: 5\n", "s", 2, "mcpServers.s: expected names and values, not a number"),
    ("mcpServers:\n  llm: {env: {LOG_GZIP: 1}}\n", None, 1, "server= says which of mcpServers counts, here llm"),
    ("logging:\n  handlers: {}\n", None, 2, "another program's? Ours may be called logspool"),
    ("logspool:\n  sample:\n    http: 10\n    app: 5/q\n", None, 4, "logspool.sample.app='5/q': expected N"),
    ("logspool:\n  level: INFO\n\tgzip: true\n", None, 3, "found a tab"),
    ("logspool:\r\n  level: INFO\r\n\r\n\tgzip: true\r\n", None, 4, "found a tab"),
    ("logspool:\n\tlevel: INFO\n", None, 2, "tabs disallowed"),
    ("logspool:\n  level: INFO\n  gzip\n\n  # next\n  src: false\n", None, 3, "expected a name, a colon and a value"),
    ("logspool:\n  level: INFO\n  gzip\n", None, 3, "expected a name, a colon and a value"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "server", "line", "message"), WRONG)
def test_what_is_wrong_is_named_with_its_line_and_nothing_is_changed(
    text: str, server: str | None, line: int, message: str
) -> None:
    handlers = logging.getLogger().handlers[:]
    with pytest.raises(ConfigurationError) as caught:
        configure(text, server)
    assert str(caught.value).startswith(f"cipher.yml:{line}: ") and message in str(caught.value)
    assert (caught.value.path, caught.value.line) == ("cipher.yml", line)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert logging.getLogger().handlers == handlers and not Path("logs").exists()


def test_toml_errors_have_lines_and_so_has_what_is_no_text() -> None:
    for text, line in (
        ("[logspool]\nlevel = \n", 2),
        ("[logspool]\nlevel = 'a'\nlevel = 'b'\n", 3),
        ("[logspool]\n\ngzipp = true\n", 3),
    ):
        with pytest.raises(ConfigurationError) as caught:
            configure(text, None, "cipher.toml")
        assert str(caught.value).startswith(f"cipher.toml:{line}: ")
    Path("cipher.yml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigurationError, match=r"^cipher.yml:2: not UTF-8"):
        logspool.configure("cipher.yml")


def test_another_ending_a_file_that_is_not_there_and_a_wrong_argument() -> None:
    with pytest.raises(ValueError, match=r"expected a file that ends in \.yml"):
        configure("", None, "cipher.conf")
    with pytest.raises(FileNotFoundError):
        logspool.configure("none.yml")
    with pytest.raises(TypeError, match="configure\\(\\) has no setting maxbytes; did you mean maxBytes"):
        configure(CIPHER, None, maxbytes=5)


def test_every_setting_of_basicconfig_may_stand_in_a_file() -> None:
    from logspool import _basicconfig
    from logspool.configuration import _blocks

    assert set(_basicconfig._NAMES) - set(_blocks._parsers()) == {"handlers", "stream"}


def test_an_import_of_logspool_does_not_pay_for_it(script: Any) -> None:
    script(
        """
        import sys, logspool
        ours = {name for name in sys.modules if name.startswith("logspool")}
        assert not {"logspool.configuration", "logspool.asgi", "logspool.structlog", "logspool.loguru", "logspool._events"} & ours
        assert callable(logspool.configure)
        """
    )
