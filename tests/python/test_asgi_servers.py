"""Under real servers: uvicorn's records as fields in the log, and gunicorn's workers, which all write one."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from logfiles import DEADLINE_SECONDS, eventually, lines, records

from logspool import asgi

APP = """
import logging, os
import logspool.asgi
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

log = logging.getLogger("app")


async def item(request):
    log.info("item", extra={"number": int(request.path_params["number"])})
    return PlainTextResponse(str(os.getpid()))


async def fail(request):
    raise ArithmeticError("of the view")


async def health(request):
    return PlainTextResponse("ok")


app = logspool.asgi.Middleware(
    Starlette(routes=[Route("/item/{number}", item), Route("/fail", fail), Route("/health", health)]),
    skip=["/health"],
    started=None,
)


def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise ArithmeticError("of the view")
    if path.startswith("/item/"):
        log.info("item", extra={"number": int(path[6:])})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@contextmanager
def running(directory: Path, *command: str, port: int) -> Iterator[str]:
    """A server's program, from when it answers until it has ended by SIGTERM."""
    with open(directory / "output.txt", "wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            assert server.poll() is None, (directory / "output.txt").read_text()
            try:
                return httpx.get(f"{url}/health").status_code == 200
            except httpx.TransportError:
                return False

        try:
            eventually(answers, "the server answers")
            yield url
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(DEADLINE_SECONDS)
            finally:
                server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def of(found: list[dict[str, Any]], logger: str) -> list[dict[str, Any]]:
    return [record for record in found if record["logger"] == logger]


@pytest.mark.parametrize("form", ["run", "file"])
def test_uvicorns_access_lines_are_fields_and_nothing_is_coloured(tmp_path: Path, form: str) -> None:
    (tmp_path / "web.py").write_text(APP)
    port = free_port()
    if form == "run":
        (tmp_path / "serve.py").write_text(
            f"""import uvicorn
import logspool.asgi
config = logspool.asgi.uvicorn_log_config("logs/api.jsonl", service="api", skip=["/health"])
uvicorn.run("web:app", port={port}, log_config=config, use_colors=True)
"""
        )
        command = ["serve"]
    else:
        config = asgi.uvicorn_log_config("logs/api.jsonl", service="api", skip=["/health"])
        (tmp_path / "logging.json").write_text(json.dumps(config))
        command = ["uvicorn", "web:app", f"--port={port}", "--log-config=logging.json", "--use-colors"]
    with running(tmp_path, *command, port=port) as url:
        httpx.get(f"{url}/item/7?token=s3cr3t")
        httpx.get(f"{url}/fail")
    found = records(tmp_path / "logs" / "api.jsonl")
    access = of(found, "uvicorn.access")
    assert [record["event"] for record in access] == ["http.access"] * 2
    assert re.fullmatch(r"127\.0\.0\.1:\d+", access[0]["fields"].pop("client"))
    assert access[0]["fields"] == {"method": "GET", "path": "/item/7", "status": 200, "http_version": "1.1"}
    assert access[1]["fields"]["status"] == 500 and access[1]["level"] == "INFO"
    assert access[0]["message"].endswith('HTTP/1.1" 200')
    (error,) = [record for record in of(found, "uvicorn.error") if record["level"] == "ERROR"]
    assert error["exception"]["type"] == "ArithmeticError"
    assert any(record["event"].startswith("Started server process") for record in of(found, "uvicorn.error"))
    (item,) = of(found, "app")
    (completed, failed) = of(found, "logspool.http")
    assert item["request_id"] == completed["request_id"]
    assert failed["level"] == "ERROR"
    assert {record["service"] for record in found} == {"api"}
    text = "\n".join(lines(tmp_path / "logs" / "api.jsonl"))
    assert "u001b" not in text and "color_message" not in text and "s3cr3t" not in text
    assert (tmp_path / "output.txt").read_text() == ""


def test_without_a_filename_uvicorns_records_go_where_basicconfig_says(tmp_path: Path) -> None:
    (tmp_path / "web.py").write_text(APP)
    port = free_port()
    (tmp_path / "serve.py").write_text(
        f"""import uvicorn
import logspool
import logspool.asgi
logspool.basicConfig(filename="logs/own.jsonl", service="own")
uvicorn.run("web:app", port={port}, log_config=logspool.asgi.uvicorn_log_config())
"""
    )
    with running(tmp_path, "serve", port=port) as url:
        httpx.get(f"{url}/item/1")
    found = records(tmp_path / "logs" / "own.jsonl")
    assert [record["fields"]["path"] for record in of(found, "uvicorn.access")][-1] == "/item/1"
    assert [record["fields"] for record in of(found, "app")] == [{"number": 1}]


@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
def test_gunicorns_workers_write_one_log_nothing_lost_or_doubled(tmp_path: Path, preload: bool) -> None:  # req 11
    requests, workers = 60, 3
    (tmp_path / "web.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text(
        f"""import logspool.asgi
bind = "127.0.0.1:0"
workers = {workers}
preload_app = {preload}
logconfig_dict = logspool.asgi.gunicorn_log_config(
    "logs/api.jsonl", service="api", maxBytes="16KB", backupCount=0, skip=["/health"]
)
"""
    )
    port = free_port()
    with running(tmp_path, "gunicorn", "web:wsgi", f"--bind=127.0.0.1:{port}", port=port) as url:
        answered: Counter[str] = Counter()
        for number in range(requests):
            answered[httpx.get(f"{url}/item/{number}").text] += 1
        # A worker that is killed is replaced, and what it logged stays. Its last access line comes after the answer.
        log = tmp_path / "logs" / "api.jsonl"

        def written() -> bool:
            try:
                return len(of(records(log), "gunicorn.access")) == requests
            except (OSError, AssertionError):  # a segment was compressed, or written to, while it was read
                return False

        eventually(written, "the access lines are written")
        os.kill(int(answered.most_common(1)[0][0]), signal.SIGKILL)
        for number in range(requests, requests + 20):
            httpx.get(f"{url}/item/{number}")
        assert httpx.get(f"{url}/fail").status_code == 500
    found = records(log)
    items = of(found, "app")
    assert sorted(record["fields"]["number"] for record in items) == list(range(requests + 20))
    access = of(found, "gunicorn.access")
    paths = ["/fail", *(f"/item/{number}" for number in range(requests + 20))]
    assert sorted(record["fields"]["path"] for record in access) == sorted(paths)
    one = access[0]["fields"]
    assert list(one) == ["client", "method", "path", "status", "http_version", "bytes", "duration_ms"]
    assert (one["client"], one["method"], one["status"], one["http_version"]) == ("127.0.0.1", "GET", 200, "1.1")
    assert len({record["pid"] for record in items}) >= 2
    seen = Counter(record["seq"] for record in found)
    assert max(seen.values()) == 1
    assert any("ArithmeticError" in json.dumps(record) for record in of(found, "gunicorn.error"))
    verified = subprocess.run(
        [sys.executable, "-m", "logspool", "verify", str(tmp_path / "logs")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout


def test_gunicorns_asgi_workers_serve_the_middleware(tmp_path: Path) -> None:
    (tmp_path / "web.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text(
        """import logspool.asgi
workers = 2
worker_class = "asgi"
logconfig_dict = logspool.asgi.gunicorn_log_config("logs/api.jsonl", service="api", skip=["/health"])
"""
    )
    port = free_port()
    with running(tmp_path, "gunicorn", "web:app", f"--bind=127.0.0.1:{port}", port=port) as url:
        sent = [f"r-{number}" for number in range(20)]
        for number, request_id in enumerate(sent):
            httpx.get(f"{url}/item/{number}", headers={"X-Request-ID": request_id})
    found = records(tmp_path / "logs" / "api.jsonl")
    assert sorted(record["request_id"] for record in of(found, "app")) == sorted(sent)
    assert sorted(record["request_id"] for record in of(found, "logspool.http")) == sorted(sent)


def test_wrong_arguments_are_told_by_whoever_makes_the_configuration() -> None:
    with pytest.raises(TypeError, match="service: a setting of the log at `filename`"):
        asgi.uvicorn_log_config(service="x")
    with pytest.raises(ValueError, match="begins with /"):
        asgi.gunicorn_log_config("a.jsonl", skip=["health"])
