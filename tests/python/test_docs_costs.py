"""The examples of docs/http.md and docs/costs.md, as they are printed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from commands import logspool as command
from logfiles import records

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from provider import Provider

ROOT = Path(__file__).parents[2]
Script = Callable[..., CompletedProcess[str]]


def block(document: str, language: str) -> str:
    """The document's first block in that language."""
    found = re.search(rf"```{language}\n(.*?)```", (ROOT / "docs" / document).read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_of_http_capture_runs(script: Script, tmp_path: Path) -> None:  # req 45, 86
    with Provider(outcome=lambda prompt, asked: "ok") as provider:
        script(block("http.md", "python"), env={"PROVIDER_URL": provider.url, "PROVIDER_KEY": "sk-test"})
        (entry,) = provider.ledger
    (call,) = (r for r in records(tmp_path / "logs" / "app.jsonl") if r["logger"] == "logspool.http")
    (cost,) = records(tmp_path / "logs" / "openrouter-costs.jsonl")
    assert call["request_id"] == cost["request_id"] == entry.request_id == "req_1"
    assert str(cost["fields"]["cost"]["total"]) == str(entry.cost)
    assert (call["fields"]["tier_id"], cost["fields"]["task"]) == ("deep", "chat")


def test_the_example_of_costs_runs_and_its_table_is_what_the_command_prints(
    script: Script, tmp_path: Path
) -> None:  # req 43
    done = script(block("costs.md", "python"))
    assert done.stdout == "0.002575 USD today, 4.997425 left\n"
    question, _, table = block("costs.md", "console").partition("\n")
    assert command(*question.removeprefix("$ logspool ").split(), cwd=tmp_path).stdout == table
