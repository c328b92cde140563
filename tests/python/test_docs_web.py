"""The examples in the pages on the web, structlog, loguru and configuration files run as they are printed."""

from __future__ import annotations

import json
import logging.config
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Script = Callable[..., CompletedProcess[str]]
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("web.md", "structlog.md", "loguru.md")


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


EXAMPLES = [(page, number) for page in PAGES for number in range(len(blocks(page, "python")))]


@pytest.mark.parametrize(("page", "number"), EXAMPLES)
def test_every_example_runs(page: str, number: int, script: Script) -> None:  # req 88
    assert script(blocks(page, "python")[number]).stderr == ""


def test_the_printed_files_configure_both_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Any) -> None:
    import logspool  # req 39

    monkeypatch.chdir(tmp_path)
    (yaml,), (toml,) = blocks("configuration.md", "yaml"), blocks("configuration.md", "toml")
    Path("cipher.yml").write_text(yaml, encoding="utf-8")
    Path("cipher.toml").write_text(toml, encoding="utf-8")
    for server in ("llm-inference", "routing-metadata"):
        handler = logspool.configure("cipher.yml", server)
        assert handler.baseFilename == str(tmp_path / "logs" / f"{server}.jsonl")
        assert (handler.maxBytes, handler.backupCount) == (10_485_760, 5)
    assert logspool.configure("cipher.toml", "llm-inference")._settings["sample"] == {"http": "10"}
    assert logspool.configure("cipher.yml")._settings["sample"] == {"http": "10"}
    (example,) = blocks("configuration.md", "python")
    exec(example, {})
    logspool.uninstall()


def test_uvicorns_file_is_a_logging_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Any) -> None:
    from logspool import asgi

    monkeypatch.chdir(tmp_path)
    (config,) = (json.loads(block) for block in blocks("web.md", "json") if '"version"' in block)
    logging.config.dictConfig(config)
    made = asgi.uvicorn_log_config("logs/api.jsonl", service="api", skip=["/health"])
    for part in ("handlers", "filters", "formatters", "root"):
        assert config[part] == made[part]
    assert config["loggers"].keys() <= made["loggers"].keys()
