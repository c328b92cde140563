"""A pre-fork server that logs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.faults.forking import QUIET, RECOVER, log_path, rings
from tests.faults.program import run
from tests.faults.reading import events, records
from tests.faults.reliability import LONG, row

APP = """
import logging, os
import logspool

logspool.basicConfig(filename=os.environ["APP_LOG"], console=False, backupCount=0, maxBytes=20_000)
log = logging.getLogger("app")
log.info("loaded")

def app(environ, start_response):
    log.info("request %s", environ["PATH_INFO"][1:])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(str(os.getpid()))))])
    return [str(os.getpid()).encode()]
"""
CLIENT = """
import http.client, socket
class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(sys.argv[1])
def get(n):
    for attempt in range(600):
        connection = Connection("localhost")
        try:
            connection.request("GET", f"/{n}.{attempt}")
            worker = int(connection.getresponse().read())
            say(f"{n}.{attempt}")
            return worker
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)  # no server yet, or its worker was killed with the connection waiting
        finally:
            connection.close()
    raise SystemExit("no answer")
for n in range(int(sys.argv[2])):
    worker = get(n)
    if n % 5 == 4:
        os.kill(worker, signal.SIGKILL)
"""


def test_gunicorn_workers_log_are_killed_and_replaced_and_no_request_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    path = log_path(tmp_path)
    (tmp_path / "app.py").write_text(APP)
    socket = tmp_path / "socket"
    master = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--bind", f"unix:{socket}", "app:app"],
        cwd=tmp_path,
        env={**os.environ, **QUIET, "APP_LOG": str(path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        answered = run(tmp_path, CLIENT, socket, 200 if LONG else 40).split()
        master.terminate()
        _, err = master.communicate(timeout=60)
    finally:
        master.kill()
    assert master.returncode == 0, err
    assert "logspool" not in err
    run(tmp_path, RECOVER, path)
    found = Counter(e for e in events(path.parent, path.name) if e.startswith("request "))
    assert set(found.values()) == {1}
    assert {f"request {n}" for n in answered} <= set(found)
    row(
        fault="a pre-fork server's workers are killed and replaced",
        promise="the record of every request that was answered is there once",
        rounds=len(answered),
        result={"lost": 0, "doubled": 0},
    )
    assert events(path.parent, path.name).count("loaded") == 1
    assert len({record["pid"] for record in records(path.parent, path.name)}) > 4
    assert not rings(path)
