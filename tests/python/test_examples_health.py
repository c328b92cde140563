"""The health server, before and after: one line changes, and its log is JSON, rotated and compressed."""

from __future__ import annotations

import difflib
import gzip
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from logfiles import DEADLINE_SECONDS, eventually, records

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def source(side: str) -> str:
    return (EXAMPLES / side / "health-server.py").read_text()


def test_one_line_makes_the_handler_and_no_call_that_logs_changes() -> None:  # req 29
    changes = difflib.ndiff(source("before").splitlines(), source("after").splitlines())
    new = [line[2:] for line in changes if line.startswith("+ ") and line.strip("+ ")]
    assert len(new) == 2 and new[0] == "import logspool" and new[1].startswith("handler = logspool.SpoolHandler(")


@pytest.mark.parametrize("side", ["before", "after"])
def test_it_tells_who_answers_and_logs_it(tmp_path: Path, side: str) -> None:  # req 29
    with socket.socket() as up, socket.socket() as down, socket.socket() as own:
        for each in (up, down, own):
            each.bind(("127.0.0.1", 0))
        up.listen(200)
        ports = [each.getsockname()[1] for each in (up, down, own)]
        own.close()
        watched = f"llm-inference=127.0.0.1:{ports[0]},routing-metadata=127.0.0.1:{ports[1]}"
        program = tmp_path / "health-server.py"
        program.write_text(source(side).replace("10_485_760", "4_096"))
        server = subprocess.Popen(
            [sys.executable, str(program)],
            cwd=tmp_path,
            env={**os.environ, "HEALTH_PORT": str(ports[2]), "HEALTH_WATCHED": watched},
            stdin=subprocess.DEVNULL,
        )
        try:

            def ask(path: str = "/health") -> tuple[int, bytes]:
                connection = http.client.HTTPConnection("127.0.0.1", ports[2], timeout=DEADLINE_SECONDS)
                try:
                    connection.request("GET", path)
                    answer = connection.getresponse()
                    return answer.status, answer.read()
                finally:
                    connection.close()

            def answers() -> bool:
                assert server.poll() is None
                try:
                    return ask("/nothing")[0] == 404
                except OSError:
                    return False

            eventually(answers, "the server answers")
            for _ in range(20):
                status, body = ask()
            assert status == 503
            assert json.loads(body)["servers"] == {"llm-inference": True, "routing-metadata": False}
            if side == "after":
                eventually(lambda: any((tmp_path / "logs").glob("*.gz")), "a segment is compressed")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(DEADLINE_SECONDS)
    if side == "before":
        assert re.search(
            r"- ERROR - routing-metadata does not answer", (tmp_path / "logs" / "health-server.log").read_text()
        )
        return
    # What was in the spool when it was terminated is written by whoever comes next.
    subprocess.run([sys.executable, "-m", "logspool", "recover", "logs"], cwd=tmp_path, check=True, capture_output=True)
    assert all(gzip.decompress(path.read_bytes()) for path in (tmp_path / "logs").glob("*.gz"))
    found = [
        record for record in records(tmp_path / "logs" / "health-server.jsonl") if "watched" in record.get("fields", {})
    ]
    assert {record["logger"] for record in found} == {"health-server"}
    states = {record["fields"]["watched"]: record["fields"]["status"] for record in found}
    assert states == {"llm-inference": "up", "routing-metadata": "down"}
    assert len(found) <= 40 and found[-1]["level"] == "ERROR"
