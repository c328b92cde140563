"""Proves that the installed wheel logs, in an environment that holds nothing else (`make wheel`)."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import logspool


def main() -> None:
    """Logs two records and a cost in a new directory, and reads them back."""
    others = {d.metadata["Name"] for d in importlib.metadata.distributions()} - {"logspool", "pip", "setuptools"}
    assert not others, f"the environment is not empty: {sorted(others)}"

    with tempfile.TemporaryDirectory() as directory:
        main_log = Path(directory) / "logs" / "app.jsonl"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            logspool.basicConfig(filename=str(main_log), service="check", level="INFO")
            logging.getLogger("check").info("tool %s finished in %d ms", "search", 12, extra={"rows": 3})
            logging.getLogger("check").warning("second")
            logspool.log_cost("fast", "some/model", usage={"prompt_tokens": 10, "completion_tokens": 5}, cost=0.25)
            logspool.shutdown(timeout=10)
        lines = [json.loads(line) for line in main_log.read_text(encoding="utf-8").splitlines()]
        costs = (main_log.parent / "openrouter-costs.jsonl").read_text(encoding="utf-8").splitlines()

    assert [line["event"] for line in lines] == ["tool search finished in 12 ms", "second"], lines
    assert lines[0]["fields"] == {"rows": 3}, lines[0]
    assert [json.loads(cost)["fields"]["model"] for cost in costs] == ["some/model"], costs
    assert printed.getvalue() == "", "something was written to standard output"
    version = importlib.metadata.version("logspool")
    assert logspool.__version__ == version, (logspool.__version__, version)
    command = Path(sys.executable).with_name("logspool")
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    assert said == f"logspool {version}\n", said
    print(f"logspool {version} installs and logs in an empty Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
