"""What real libraries log at DEBUG while they send and receive secrets. req 30 31"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from logfiles import lines, records

SECRETS = {
    "header": "hdr7xQ2mZ9kLw4", "cookie": "ckE5tY8uI3oPa6", "answer": "ans1dF4gH7jKl0", "query": "qry2sD5fG8hJk3",
    "basic": "bsc9zX6cV3bNm1", "redirect": "rdr4wE7rT0yUi5", "key": "key8qA1wS4eDr7", "form": "frm3rF6tG9yHu2",
}  # fmt: skip

PROGRAM = """
import base64, json, logging, socket, sys, threading
import httpx, httpx2, urllib3, uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route
import logspool

secrets = json.loads(sys.argv[1])
logspool.basicConfig(filename="logs/a.jsonl", level="DEBUG", console=True, console_level="DEBUG", fast=sys.argv[2] == "fast")
log = logging.getLogger("app")


async def answer(request):
    log.debug("request", extra={"headers": request.headers, "scope": request.scope, "cookies": request.cookies})
    body = await request.body()
    log.debug("body %r", body)
    response = JSONResponse({"ok": True}, status_code=401 if "deny" in request.url.path else 200)
    response.set_cookie("sid", secrets["answer"], httponly=True)
    return response


async def redirect(request):
    return RedirectResponse("/answer?access_token=" + secrets["redirect"])


routes = [Route("/answer", answer, methods=["GET", "POST"]), Route("/deny", answer), Route("/redirect", redirect)]
listening = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_config=None, log_level="debug"))
thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
thread.start()
where = f"http://127.0.0.1:{listening.getsockname()[1]}"
headers = {"Authorization": "Bearer " + secrets["header"], "X-Api-Key": secrets["key"], "Cookie": "sid=" + secrets["cookie"]}
query = {"page": "1", "api_key": secrets["query"]}
for library in (httpx, httpx2):
    with library.Client(base_url=where, follow_redirects=True) as client:
        client.get("/answer", headers=headers, params=query)
        client.get("/redirect")
        client.post("/answer", data={"user": "bob", "password": secrets["form"]}, auth=("bob", secrets["basic"]))
        try:
            client.get("/deny", params=query).raise_for_status()
        except library.HTTPStatusError:
            log.exception("refused")
pool = urllib3.PoolManager()
pool.request("GET", where + "/answer?api_key=" + secrets["query"], headers=headers)
pool.request("GET", where.replace("://", "://bob:" + secrets["basic"] + "@") + "/answer")
server.should_exit = True
thread.join()
assert logspool.shutdown(30)
"""


@pytest.mark.parametrize("route", ["fast", "standard"])
def test_no_header_cookie_or_parameter_of_a_real_request_is_logged(
    tmp_path: Path, script: Callable[..., object], route: str
) -> None:
    done = script(PROGRAM, json.dumps(SECRETS), route)
    log = tmp_path / "logs" / "a.jsonl"
    text = "\n".join(lines(log)) + str(getattr(done, "stderr", ""))
    names = {record["logger"].split(".")[0] for record in records(log)}
    assert {"httpx", "httpcore", "httpx2", "httpcore2", "urllib3", "uvicorn", "app"} <= names
    sought = {**SECRETS, "encoded": base64.b64encode(f"bob:{SECRETS['basic']}".encode()).decode().rstrip("=")}
    leaks = {what: [line for line in text.splitlines() if secret in line] for what, secret in sought.items()}
    assert not any(leaks.values()), json.dumps({what: found[:3] for what, found in leaks.items() if found}, indent=1)
    assert "page=1" in text, "the rest of a URL stays"
    assert text.count("HTTP/1.1") > 10


def test_without_redaction_each_of_them_would_be(tmp_path: Path, script: Callable[..., object]) -> None:
    """That the test above can fail."""
    script(PROGRAM, json.dumps(SECRETS), "fast", env={"LOG_REDACT": "false"})
    text = "\n".join(lines(tmp_path / "logs" / "a.jsonl"))
    assert [what for what, secret in SECRETS.items() if secret not in text] == ["basic"], "only that is encoded"
