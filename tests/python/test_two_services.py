"""One request id through a client, a web service, the HTTP client in it and a second service, in three processes."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from logfiles import DEADLINE_SECONDS, records

Script = Callable[..., subprocess.CompletedProcess[str]]
#: Requests at once: half of them are streams, and no stream goes on until all are open.
REQUESTS = 40
PIECES = 5

SERVER = """
    import asyncio, contextlib, logging, socket, sys

    import httpx, uvicorn
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route

    import logspool, logspool.asgi, logspool.httpx

    def serve(*routes, **options):
        app = Starlette(routes=[Route(path, view) for path, view in routes], **options)
        listening = socket.socket(fileno=int(sys.argv[1]))
        config = uvicorn.Config(logspool.asgi.Middleware(app), log_config=None, access_log=False)
        uvicorn.Server(config).run(sockets=[listening])

    def number_of(request):
        return int(request.path_params["number"])
"""
BACKEND = f"""
{SERVER}
    logspool.basicConfig(filename="backend.jsonl", service="backend")
    log = logging.getLogger("backend")
    opened = []
    all_are_open = asyncio.Event()

    async def item(request):
        log.info("looked up", extra={{"number": number_of(request)}})
        return PlainTextResponse("found")

    async def stream(request):
        async def pieces():
            opened.append(request)
            if len(opened) == {REQUESTS // 2}:
                all_are_open.set()
            await all_are_open.wait()
            for piece in range({PIECES}):
                log.info("sent", extra={{"number": number_of(request)}})
                yield f"{{number_of(request)}}.{{piece}}\\n"
                await asyncio.sleep(0)  # the others' turn

        return StreamingResponse(pieces())

    serve(("/item/{{number}}", item), ("/stream/{{number}}", stream))
"""
GATEWAY = f"""
{SERVER}
    logspool.basicConfig(filename="gateway.jsonl", service="gateway")
    log = logging.getLogger("gateway")

    @contextlib.asynccontextmanager
    async def lifespan(app):
        global client
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=sys.argv[2], limits=limits, timeout=60) as client:
            logspool.httpx.instrument(client)
            yield

    async def item(request):
        log.info("asking twice", extra={{"number": number_of(request)}})
        answers = await asyncio.gather(*(client.get(f"/item/{{number_of(request)}}") for _ in range(2)))
        return PlainTextResponse(answers[0].text)

    async def stream(request):
        async def lines():
            async with client.stream("GET", f"/stream/{{number_of(request)}}") as answer:
                async for line in answer.aiter_lines():
                    log.info("passed on", extra={{"number": number_of(request)}})
                    yield line + "\\n"

        return StreamingResponse(lines())

    serve(("/item/{{number}}", item), ("/stream/{{number}}", stream), lifespan=lifespan)
"""
# Every other request has an id of the program's own; for the others the client makes one.
CLIENT = f"""
    import asyncio, json, sys

    import httpx

    import logspool

    async def ask(client, number):
        kind = "stream" if number % 4 < 2 else "item"
        if number % 2:
            answer = await client.get(f"/{{kind}}/{{number}}")
        else:
            with logspool.bound(request_id=f"ours-{{number}}"):
                answer = await client.get(f"/{{kind}}/{{number}}")
        return kind, answer.request.headers["X-Request-ID"], answer.headers["X-Request-ID"], answer.text

    async def main():
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=sys.argv[1], limits=limits, timeout=60) as client:
            logspool.httpx.instrument(client)
            print(json.dumps(await asyncio.gather(*(ask(client, number) for number in range({REQUESTS})))))

    logspool.basicConfig(filename="client.jsonl", service="client")
    asyncio.run(main())
"""
EXPECTED = {
    "item": {
        ("client", "http_call"): 1,
        ("gateway", "request.started"): 1,
        ("gateway", "asking twice"): 1,
        ("gateway", "http_call"): 2,
        ("gateway", "request.completed"): 1,
        ("backend", "request.started"): 2,
        ("backend", "looked up"): 2,
        ("backend", "request.completed"): 2,
    },
    "stream": {
        ("client", "http_call"): 1,
        ("gateway", "request.started"): 1,
        ("gateway", "passed on"): PIECES,
        ("gateway", "http_call"): 1,
        ("gateway", "request.completed"): 1,
        ("backend", "request.started"): 1,
        ("backend", "sent"): PIECES,
        ("backend", "request.completed"): 1,
    },
}


@contextmanager
def serving(directory: Path, name: str, code: str, *arguments: str) -> Iterator[str]:
    """The address of a service in a process of its own, which ends by SIGTERM with the block."""
    (directory / f"{name}.py").write_text(dedent(code), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0), backlog=REQUESTS * 2) as listening:
        handed = listening.fileno()
        with (directory / f"{name}.stderr").open("wb") as errors:
            command = [sys.executable, f"{name}.py", str(handed), *arguments]
            server = subprocess.Popen(command, cwd=directory, pass_fds=[handed], stdout=errors, stderr=errors)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(DEADLINE_SECONDS)
            finally:
                server.kill()


def number_of(record: dict[str, Any]) -> int | None:
    """The number of the request that a record speaks of, whatever its id is."""
    fields = record.get("fields", {})
    place = fields.get("path") or fields.get("url") or record["event"]  # httpx's own records have it in their text
    told = re.search(r"/(?:item|stream)/(\d+)(?: |$)", place)
    return fields.get("number", int(told[1]) if told else None)


def test_one_id_goes_through_client_service_and_service_and_into_no_other_request(
    script: Script, tmp_path: Path
) -> None:  # req 18, 48
    with serving(tmp_path, "backend", BACKEND) as backend, serving(tmp_path, "gateway", GATEWAY, backend) as gateway:
        client = script(CLIENT, gateway, name="client.py")
    assert client.stderr + "".join(path.read_text() for path in tmp_path.glob("*.stderr")) == ""
    answers = json.loads(client.stdout)
    assert len(answers) == REQUESTS
    for number, (kind, sent, answered, text) in enumerate(answers):
        assert sent == answered
        assert re.fullmatch(r"req_[0-9a-f]{16}", sent) if number % 2 else sent == f"ours-{number}"
        assert text == ("".join(f"{number}.{n}\n" for n in range(PIECES)) if kind == "stream" else "found")
    assert len({sent for _, sent, _, _ in answers}) == REQUESTS

    found = [record for name in ("client", "gateway", "backend") for record in records(tmp_path / f"{name}.jsonl")]
    of_request: dict[int | None, list[dict[str, Any]]] = {}
    for record in found:
        of_request.setdefault(number_of(record), []).append(record)
    assert not any("request_id" in record for record in of_request.pop(None))  # the servers' own
    assert sorted(of_request) == list(range(REQUESTS))
    for number, mine in of_request.items():
        kind, sent, _, _ = answers[number]
        # What httpx itself logs has the bound id; in the client every other request has none but its header.
        ids = {record["request_id"] for record in mine if (record["service"], record["logger"]) != ("client", "httpx")}
        assert ids == {sent}, number
        told = Counter((record["service"], record["event"]) for record in mine if record["logger"] != "httpx")
        assert told == EXPECTED[kind], number
