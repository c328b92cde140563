"""logspool.httpx: one record per call, whatever becomes of it, and nothing changed for the caller."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from logfiles import DEADLINE_SECONDS, records
from loopback import CHAT_STREAM, STREAMS, Loopback, loopback

import logspool
import logspool.httpx

LIBRARIES = {"httpx": httpx, "httpx2": httpx2}
MODEL = {"model": "m/asked", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with loopback() as here:
        yield here


class Log:
    """The records of the calls, and of the costs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def calls(self) -> list[dict[str, Any]]:
        assert logspool.flush(DEADLINE_SECONDS)
        return [r for r in records(self.directory / "a.jsonl") if r["logger"] == "logspool.http"]

    def call(self) -> dict[str, Any]:
        (record,) = self.calls()
        return {**record, **record["fields"]}

    def costs(self) -> list[dict[str, Any]]:
        assert logspool.flush(DEADLINE_SECONDS)
        path = self.directory / "openrouter-costs.jsonl"
        return records(path) if path.exists() else []


@pytest.fixture
def log(tmp_path: Path, root: logging.Logger) -> Iterator[Log]:
    logspool.basicConfig(filename=tmp_path / "a.jsonl", level="INFO", console=False)
    yield Log(tmp_path)
    logspool.httpx.uninstrument_all()
    logspool.clear()
    logspool.uninstall()


class Kind:
    """A client of one library, sync or async, behind one face."""

    def __init__(self, name: str, is_async: bool) -> None:
        self.module: Any = LIBRARIES[name]
        self.is_async = is_async
        self.of: Any = self.module.AsyncClient if is_async else self.module.Client

    def run(self, work: Callable[[Any], Any], **settings: Any) -> Any:
        """`work(client)` gives steps as a generator: what it yields is awaited where that is needed."""

        async def steps(client: Any) -> Any:
            generator = work(client)
            answer: Any = None
            try:
                while True:
                    try:
                        step = generator.send(answer)
                        answer = await step if self.is_async and hasattr(step, "__await__") else step
                    except StopIteration as end:
                        return end.value
                    except BaseException as error:
                        if getattr(generator, "gi_frame", None) is None:
                            raise
                        try:
                            step = generator.throw(error)
                        except StopIteration as end:
                            return end.value
                        answer = await step if self.is_async and hasattr(step, "__await__") else step
            finally:
                generator.close()

        async def whole() -> Any:
            if self.is_async:
                async with self.of(verify=False, **settings.pop("client", {})) as client:
                    logspool.httpx.instrument(client, **settings)
                    return await steps(client)
            with self.of(verify=False, **settings.pop("client", {})) as client:
                logspool.httpx.instrument(client, **settings)
                return await steps(client)

        return asyncio.run(whole())


@pytest.fixture(
    params=[(n, a) for n in LIBRARIES for a in (False, True)], ids=lambda p: f"{p[0]}-{'async' if p[1] else 'sync'}"
)
def kind(request: pytest.FixtureRequest) -> Kind:
    return Kind(*request.param)


async def collect(stream: Any) -> list[Any]:
    return [piece async for piece in stream]


def everything(kind: Kind, response: Any, how: str) -> Any:
    """What `iter_lines`, `iter_raw`, … or their asynchronous twins give."""
    return collect(getattr(response, f"a{how}")()) if kind.is_async else list(getattr(response, how)())


def close(kind: Kind, response: Any) -> Any:
    return response.aclose() if kind.is_async else response.close()


def test_a_call_is_one_record_with_what_one_asks_of_it(kind: Kind, server: Loopback, log: Log) -> None:  # req 45, 46
    def work(client: Any) -> Any:
        response = yield client.get(f"http://ada:geheim@{server.host}/json?page=2&token=abc&q=x#there")
        return response

    response = kind.run(work)
    assert response.json()["id"] == "gen-j"
    assert response.elapsed.total_seconds() >= 0
    call = log.call()
    assert (call["event"], call["level"], call["method"]) == ("http_call", "INFO", "GET")
    assert call["url"] == f"http://{server.host}/json?page=2&token=***&q=***"
    assert (call["http_status"], call["outcome"], call["streamed"]) == (200, "ok", False)
    assert 0 < call["ttfb_ms"] <= call["latency_ms"]
    assert call["upstream_request_id"] == "theirs-1"
    assert call["request_id"].startswith("req_") and len(call["request_id"]) == 20
    assert server.ids()[-1] == call["request_id"]
    assert "geheim" not in json.dumps(call)
    assert "model" not in call and "response_body" not in call
    assert log.costs() == []


def test_the_bound_request_id_is_sent_and_a_header_of_the_callers_stays(
    kind: Kind, server: Loopback, log: Log
) -> None:  # req 48
    def work(client: Any) -> Any:
        with logspool.bound(request_id="req_mine", session_id="s-1"):
            yield client.get(f"{server.url}/json")
        yield client.get(f"{server.url}/json", headers={"X-Request-ID": "theirs"})
        with logspool.bound(request_id="no\r\nheader: for this"):
            yield client.get(f"{server.url}/json")

    kind.run(work)
    mine, theirs, new = log.calls()
    assert server.ids()[-3:] == ["req_mine", "theirs", new["request_id"]]
    assert (mine["request_id"], mine["session_id"], theirs["request_id"]) == ("req_mine", "s-1", "theirs")
    assert new["request_id"].startswith("req_")


def test_a_bound_id_that_no_header_can_have_is_not_sent(server: Loopback, log: Log) -> None:  # req 48
    odd = ["", "a b", "é", "x" * 129, "tab\t", "del\x7f", 7]
    with logspool.httpx.instrument(httpx.Client()) as client:
        for bound in (*odd, "!~", "x" * 128):
            with logspool.bound(request_id=bound):
                client.get(f"{server.url}/json")
    calls = [call["request_id"] for call in log.calls()]
    assert server.ids()[-len(calls) :] == calls
    assert all(request_id.startswith("req_") for request_id in calls[: len(odd)])
    assert calls[len(odd) :] == ["!~", "x" * 128]


def test_a_request_that_is_sent_again_has_an_id_of_its_own(kind: Kind, server: Loopback, log: Log) -> None:  # req 48
    def work(client: Any) -> Any:
        request = client.build_request("GET", f"{server.url}/json")
        yield client.send(request)
        with logspool.bound(request_id="req_again"):
            yield client.send(request)

    kind.run(work)
    ids = [call["request_id"] for call in log.calls()]
    assert server.ids()[-2:] == ids
    assert ids[0] != "req_again" == ids[1]


def test_a_providers_answer_gives_model_tokens_and_cost(kind: Kind, server: Loopback, log: Log) -> None:  # req 14, 45
    def work(client: Any) -> Any:
        with logspool.bound(tier_id="deep", task="chat", tool="infer"):
            yield client.post(f"{server.url}/json/{kind.module.__name__}{kind.is_async}", json=MODEL)
        yield client.post(f"{server.url}/json/2{kind.module.__name__}{kind.is_async}", json=MODEL)

    kind.run(work, hosts={server.host: "loopback"}, costs=True, tiers={"m/asked": "fast"})
    one, two = log.calls()
    fields = one["fields"]
    assert (one["event"], fields["provider"], fields["model"]) == ("openrouter_request", "loopback", "m/asked")
    assert (fields["tier_id"], two["fields"]["tier_id"]) == ("deep", "fast")
    assert fields["tokens"] == {"prompt": 7, "completion": 3, "total": 10}
    assert fields["cost"] == {"input": None, "output": None, "total": 0.000123, "currency": "USD", "source": "provider"}
    costs = log.costs()
    assert [cost["request_id"] for cost in costs] == [one["request_id"], two["request_id"]]
    cost = costs[0]["fields"]
    assert costs[0]["tool"] == "infer"
    assert (cost["tier_id"], cost["task"], cost["cost"]["total"]) == ("deep", "chat", 0.000123)
    assert (cost["response_id"], cost["http_status"]) == (fields["response_id"], 200)


@pytest.mark.parametrize("how", ["iter_lines", "iter_bytes", "iter_text", "iter_raw", "read"])
def test_a_stream_passes_unchanged_and_its_usage_is_found(
    kind: Kind, server: Loopback, log: Log, how: str
) -> None:  # req 45
    def work(client: Any) -> Any:
        sent = client.build_request("POST", f"{server.url}/stream/chat/7", json=MODEL)
        response = yield client.send(sent, stream=True)
        if how == "read":
            return (yield response.aread() if kind.is_async else response.read())
        return (yield everything(kind, response, how))

    passed = kind.run(work, hosts=[server.host])
    if how in ("iter_raw", "iter_bytes"):
        assert b"".join(passed) == CHAT_STREAM
    elif how == "read":
        assert passed == CHAT_STREAM
    elif how == "iter_text":
        assert "".join(passed) == CHAT_STREAM.decode()
    else:
        assert len(passed) == CHAT_STREAM.count(b"\n")
    call = log.call()
    assert (call["streamed"], call["outcome"], call["response_id"]) == (True, "ok", "gen-s")
    assert call["tokens"]["total"] == 10
    assert call["ttfb_ms"] <= call["latency_ms"]


@pytest.mark.parametrize(
    ("path", "model", "tokens"),
    [
        ("gzip/chat", "m/asked", {"prompt": 7, "completion": 3, "total": 10}),
        (
            "stream/anthropic",
            "m/asked",
            {"prompt": 115, "completion": 42, "total": 157, "cached": 100, "cache_write": 5},
        ),
        ("stream/cut", "m/asked", {"prompt": 115, "completion": None, "total": None, "cached": 100, "cache_write": 5}),
        ("stream/gemini", "m/asked", {"prompt": 4, "completion": 26, "total": 30, "reasoning": 20}),
        (
            "stream/responses/1000000",
            "m/asked",
            {"prompt": 9, "completion": 4, "total": 13, "cached": 2, "reasoning": 3},
        ),
    ],
)
def test_streams_of_other_providers_and_compressed_ones_are_understood(
    kind: Kind, server: Loopback, log: Log, path: str, model: str, tokens: dict[str, int]
) -> None:  # req 14
    def work(client: Any) -> Any:
        sent = client.build_request("POST", f"{server.url}/{path}", json=MODEL)
        response = yield client.send(sent, stream=True)
        yield everything(kind, response, "iter_raw")

    kind.run(work, hosts=[server.host])
    call = log.call()
    assert (call["tokens"], call["model"], call["outcome"]) == (tokens, model, "ok")


@pytest.mark.parametrize("is_async", [False, True])
def test_the_librarys_own_reader_of_events_reads_on(server: Loopback, log: Log, is_async: bool) -> None:
    def work(client: Any) -> Any:
        async def read() -> list[Any]:
            async with client.sse(f"{server.url}/stream/chat") as events:
                return [event async for event in events]

        if is_async:
            return (yield read())
        with client.sse(f"{server.url}/stream/chat") as events:
            return list(events)

    assert len(Kind("httpx2", is_async).run(work, hosts=[server.host])) == CHAT_STREAM.count(b"data:")
    call = log.call()
    assert (call["outcome"], call["tokens"]["total"], call["method"]) == ("ok", 10, "GET")


def test_a_stream_that_is_closed_early_is_one_record(kind: Kind, server: Loopback, log: Log) -> None:
    def work(client: Any) -> Any:
        sent = client.build_request("POST", f"{server.url}/endless", json=MODEL)
        response = yield client.send(sent, stream=True)
        chunks = response.aiter_raw() if kind.is_async else response.iter_raw()
        yield chunks.__anext__() if kind.is_async else next(chunks)
        yield close(kind, response)
        yield close(kind, response)

    kind.run(work, hosts=[server.host], costs=True)
    call = log.call()
    assert (call["outcome"], call["level"], call["http_status"]) == ("closed", "INFO", 200)
    assert call["tokens"] == {"prompt": None, "completion": None, "total": None}
    assert call["cost"]["total"] is None


def test_a_stream_that_nobody_closes_is_recorded_when_it_is_collected(server: Loopback, log: Log) -> None:
    client = logspool.httpx.instrument(httpx.Client())
    response = client.send(client.build_request("GET", f"{server.url}/endless"), stream=True)
    assert log.calls() == []
    del response
    gc.collect()
    assert log.call()["outcome"] == "closed"
    client.close()


def test_a_stream_that_breaks_is_an_error_and_the_caller_gets_it(kind: Kind, server: Loopback, log: Log) -> None:
    def work(client: Any) -> Any:
        sent = client.build_request("POST", f"{server.url}/broken", json=MODEL)
        response = yield client.send(sent, stream=True)
        try:
            yield everything(kind, response, "iter_lines")
        except kind.module.RemoteProtocolError as error:
            yield close(kind, response)
            return error

    assert kind.run(work, hosts=[server.host], costs=True) is not None
    call = log.call()
    assert (call["outcome"], call["level"], call["error"]) == ("broken", "ERROR", "RemoteProtocolError")
    assert call["response_id"] == "gen-s"


def test_an_error_within_a_stream_is_a_warning(kind: Kind, server: Loopback, log: Log) -> None:
    def work(client: Any) -> Any:
        sent = client.build_request("POST", f"{server.url}/stream/failing", json=MODEL)
        response = yield client.send(sent, stream=True)
        yield everything(kind, response, "iter_lines")

    kind.run(work, hosts=[server.host])
    call = log.call()
    assert (call["outcome"], call["level"], call["error"]) == ("provider_error", "WARNING", "overloaded")


@pytest.mark.parametrize("status", [404, 429, 500])
def test_a_status_from_400_on_is_a_warning(kind: Kind, server: Loopback, log: Log, status: int) -> None:  # req 45
    def work(client: Any) -> Any:
        return (yield client.post(f"{server.url}/status/{status}", json=MODEL))

    assert kind.run(work, hosts=[server.host], costs=True).status_code == status
    call = log.call()
    assert (call["level"], call["http_status"], call["outcome"], call["error"]) == (
        "WARNING",
        status,
        "http_error",
        "bad",
    )
    assert log.costs() == []


def test_with_all_failed_calls_stand_among_the_costs_with_what_is_known(
    kind: Kind, server: Loopback, log: Log
) -> None:  # req 14
    def work(client: Any) -> Any:
        yield client.post(f"{server.url}/status/500", json=MODEL)
        yield client.get(f"{server.url}/status/500")
        try:
            yield client.post(f"{server.url}/hang", json=MODEL, timeout=0.05)
        except kind.module.ReadTimeout:
            pass

    kind.run(work, hosts=[server.host], costs="all")
    one, two = log.costs()
    assert (one["fields"]["http_status"], two["fields"]["http_status"]) == (500, None)
    assert one["fields"]["cost"]["total"] is None and one["fields"]["model"] == "m/asked"


@pytest.mark.parametrize(
    ("where", "timeout", "error", "outcome"),
    [
        ("/hang", {"read": 0.05}, "ReadTimeout", "timeout"),
        ("/json", {"pool": 0.01}, "PoolTimeout", "timeout"),
        ("refused", {}, "ConnectError", "connect_error"),
        ("unknown://x/", {}, "UnsupportedProtocol", "error"),
    ],
)
def test_an_exception_is_an_error_record_and_reaches_the_caller(
    kind: Kind, server: Loopback, log: Log, where: str, timeout: dict[str, float], error: str, outcome: str
) -> None:  # req 45
    import socket

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        url = {"refused": f"http://127.0.0.1:{closed.getsockname()[1]}/"}.get(where, where)
        url = url if "://" in url else server.url + url

        def work(client: Any) -> Any:
            held = None
            if "pool" in timeout:
                held = yield client.send(client.build_request("GET", f"{server.url}/endless"), stream=True)
            try:
                yield client.get(url)
            except getattr(kind.module, error) as raised:
                if held is not None:
                    yield close(kind, held)
                return raised

        limits = kind.module.Limits(max_connections=1)
        settings = {"timeout": kind.module.Timeout(30.0, **timeout), "limits": limits}
        raised = kind.run(work, client=settings)
    assert len(_ours(raised)) == 1
    call = {**(found := log.calls()[0]), **found["fields"]}
    assert (call["level"], call["error"], call["outcome"], call["http_status"]) == ("ERROR", error, outcome, None)


def _ours(error: BaseException) -> list[str]:
    import traceback

    names = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return [name for name in names if "/logspool/httpx/" in name]


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("path", ["/hang", "/endless"])
def test_a_cancelled_call_is_recorded_and_stays_cancelled(
    server: Loopback, log: Log, name: str, path: str
) -> None:  # req 45
    async def whole() -> None:
        async with LIBRARIES[name].AsyncClient() as client:
            logspool.httpx.instrument(client)

            async def work() -> None:
                async with client.stream("GET", server.url + path) as response:
                    async for _ in response.aiter_raw():
                        started.set()

            started = asyncio.Event()
            before = len(server.seen)
            task = asyncio.create_task(work())
            if path == "/endless":
                await started.wait()
            while len(server.seen) == before:
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(whole())
    call = log.call()
    assert (call["outcome"], call["level"], call["error"]) == ("cancelled", "ERROR", "CancelledError")
    assert call["http_status"] == (200 if path == "/endless" else None)


def test_redirects_and_authentication_are_part_of_the_call(kind: Kind, server: Loopback, log: Log) -> None:
    def work(client: Any) -> Any:
        one = yield client.get(f"{server.url}/redirect/2", follow_redirects=True)
        two = yield client.get(f"{server.url}/auth", auth=kind.module.DigestAuth("ada", "geheim"))
        return one, two

    before = len(server.seen)
    one, two = kind.run(work)
    assert (len(one.history), two.status_code, len(server.seen) - before) == (2, 200, 5)
    redirected, authenticated = log.calls()
    assert redirected["fields"]["redirects"] == 2
    assert "redirects" not in authenticated["fields"]
    assert redirected["fields"]["http_status"] == authenticated["fields"]["http_status"] == 200
    assert set(server.ids()[before : before + 3]) == {redirected["request_id"]}
    assert "geheim" not in json.dumps(authenticated)


def test_bodies_are_shown_only_when_asked_for_cut_and_without_secrets(
    kind: Kind, server: Loopback, log: Log
) -> None:  # req 30, 31, 34
    secret = "sk-or-v1-" + "0123456789abcdef" * 4
    body = {
        "model": "m/asked",
        "password": "correct horse",
        "api_key": secret,
        "messages": [{"content": "word " * 200}],
    }

    def work(client: Any) -> Any:
        yield client.post(f"{server.url}/json", json=body, headers={"Authorization": f"Bearer {secret}"})

    kind.run(work, bodies=True, body_characters=200)
    call = log.call()
    assert call["request_body"].startswith('{"model":"m/asked"') and call["request_body"].endswith("…")
    assert 100 < len(call["request_body"]) <= 220
    assert '"usage"' in call["response_body"]
    text = json.dumps(call)
    assert secret not in text and "correct horse" not in text


def test_uninstrumented_is_as_before(kind: Kind, server: Loopback, log: Log) -> None:
    client = kind.of(event_hooks={"request": [], "response": [print]})
    before, hooks = dict(vars(client)), client.event_hooks
    logspool.httpx.instrument(client)
    logspool.httpx.instrument(client, bodies=True)
    assert client.send != kind.of.send
    logspool.httpx.uninstrument(client)
    logspool.httpx.uninstrument(client)
    assert client.event_hooks == hooks
    assert vars(client).keys() == before.keys()
    with pytest.raises(TypeError, match="pass a Client"):
        logspool.httpx.instrument(object())


def test_all_clients_are_instrumented_and_the_classes_put_back(kind: Kind, server: Loopback, log: Log) -> None:
    before = {cls: dict(vars(cls)) for m in LIBRARIES.values() for cls in (m.Client, m.AsyncClient)}
    logspool.httpx.instrument_all()
    logspool.httpx.instrument_all(hosts=[server.host])

    def work(client: Any) -> Any:  # instrumented itself, too: one record all the same
        yield client.get(f"{server.url}/json")
        if not kind.is_async:
            kind.module.get(f"{server.url}/json")

    kind.run(work)
    events = [call["event"] for call in log.calls()]
    assert events == (["http_call"] if kind.is_async else ["http_call", "openrouter_request"])
    logspool.httpx.uninstrument_all()
    assert {cls: dict(vars(cls)) for cls in before} == before
    with httpx.Client() as client:
        client.get(f"{server.url}/json")
    assert len(log.calls()) == len(events)


def test_calls_at_once_keep_their_own_ids(server: Loopback, log: Log) -> None:  # req 18, 48
    async def one(client: Any, n: int) -> None:
        with logspool.bound(request_id=f"req_{n}"):
            async with client.stream("POST", f"{server.url}/stream/chat/40", json={**MODEL, "n": n}) as response:
                await collect(response.aiter_lines())

    async def whole() -> None:
        async with httpx2.AsyncClient() as client:
            logspool.httpx.instrument(client, hosts=[server.host])
            await asyncio.gather(*(one(client, n) for n in range(50)))

    before = len(server.seen)
    asyncio.run(whole())
    sent = {headers["x-request-id"]: json.loads(body)["n"] for _, _, headers, body in server.seen[before:]}
    assert sent == {f"req_{n}": n for n in range(50)}
    calls = log.calls()
    assert sorted(call["request_id"] for call in calls) == sorted(sent)
    assert all(call["fields"]["tokens"]["total"] == 10 for call in calls)


def test_one_client_used_by_many_threads(server: Loopback, log: Log) -> None:
    with logspool.httpx.instrument(httpx.Client()) as client:
        threads = [threading.Thread(target=client.get, args=(f"{server.url}/json",)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({call["request_id"] for call in log.calls()}) == 20


def test_a_handler_that_raises_does_not_reach_the_caller(server: Loopback, log: Log) -> None:  # req 16
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("broken")

    logger = logging.getLogger("logspool.http")
    handler = Broken()
    logger.addHandler(handler)
    try:
        with logspool.httpx.instrument(httpx.Client()) as client:
            assert client.get(f"{server.url}/json").status_code == 200
    finally:
        logger.removeHandler(handler)


def test_importing_logspool_imports_no_http_library(script: Callable[..., Any]) -> None:
    script(
        """
        import sys, logspool
        assert not {"httpx", "httpx2", "openai", "logspool.httpx"} & set(sys.modules)
        logspool.httpx.instrument
        assert not {"httpx", "httpx2", "openai"} & set(sys.modules)
        """
    )
    assert sys.modules["httpx"] is httpx


def what_it_says(answer: Any) -> tuple[object, ...]:
    return answer.response_id, answer.model, answer.usage, answer.error, answer.done


@pytest.mark.parametrize("stream", STREAMS)
def test_an_answer_says_the_same_wherever_its_stream_is_cut(stream: str) -> None:  # req 14
    from logspool._core import Answer

    content, whole = STREAMS[stream], Answer()
    whole.feed(content)
    assert whole.response_id or whole.error
    for size in (1, 2, 3, 7, 64):
        answer = Answer()
        for at in range(0, len(content), size):
            answer.feed(content[at : at + size])
        assert what_it_says(answer) == what_it_says(whole)
    passed = Answer()
    for piece in (b"data: {" + b" " * (1 << 20), b" ", b'"id": "long"}\n', b'data: {"id": "after"}\n\n'):
        passed.feed(piece)
    assert passed.response_id == "after"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_usage_is_found_in_events_of_several_lines_and_in_a_last_one_without_an_end(
    log: Log, end: bytes, size: int
) -> None:  # req 14
    lines = [
        b'data: {"id": "gen-1", "model": "m",', b'data: "choices": [', b"data: ]}", b"", b": a comment", b"data: {torn", b"",
        b'data: {"choices": [], "usage": {', b'data: "prompt_tokens": 5, "cost": 0.25}}',
    ]  # fmt: skip
    body = end.join(lines)

    def answer(_: Any) -> Any:
        pieces = (body[at : at + size] for at in range(0, len(body), size))
        return httpx.Response(200, content=pieces, headers={"Content-Type": "text/event-stream"})

    client = logspool.httpx.instrument(httpx.Client(transport=httpx.MockTransport(answer)), hosts=["shop"])
    with client.stream("POST", "http://shop/", json=MODEL) as response:
        assert list(response.iter_lines()) == [line.decode() for line in lines]
    call = log.call()
    assert (call["response_id"], call["tokens"]["prompt"], call["cost"]["total"]) == ("gen-1", 5, 0.25)


def test_a_long_body_and_a_long_request_are_understood_too() -> None:
    from logspool._core import Answer, asked_model

    usage = {"prompt_tokens": 1, "total_tokens": 1, "prompt_tokens_details": {"cached_tokens": 0}}
    answer, end, gemini = Answer(), Answer(), Answer()
    long_body = json.dumps({"data": ["x" * (2 << 20)], "model": "m", "usage": usage}).encode()
    answer.body(long_body, 1 << 20)
    end.body(long_body[1 << 20 :], 0)
    assert answer.usage == end.usage == usage
    gemini.body(
        b'..., {"usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 6, "thoughtsTokenCount": 20}}', 0
    )
    assert gemini.usage == {"prompt": 4, "completion": 26, "reasoning": 20}
    long = [{"role": "user", "content": 'say "model": "no"' + "x" * (1 << 20)}]
    assert asked_model(json.dumps({"messages": long, "model": "yes"}).encode()) == "yes"
    assert asked_model(json.dumps({"messages": [*long, {"model": "no"}], "model": "yes"}).encode()) == "yes"
    assert asked_model(json.dumps({"messages": [*long, {"model": "no"}]}).encode()) is None
    assert asked_model(b'{"messages": [{"model": "no"}], "model": "a\\u00e9", "x": {}}') == "aé"
    assert asked_model(b'{"model": "a", "model": "b"}') == "b"
    before = what_it_says(answer)
    for odd in (
        b"",
        b"[1]",
        b"{",
        b'{"model": 3}',
        b"\xff\xfe",
        b'{"id":"\xff"}',
        b'{"usage":[]}',
        b'{"model":"\\ud800"}',
    ):
        assert asked_model(odd) is None
        answer.body(odd, 1 << 20)
        answer.feed(b"data: " + odd + b"\n")
    assert what_it_says(answer) == before


def test_the_model_in_an_address_is_the_one_asked(kind: Kind, server: Loopback, log: Log) -> None:  # req 45
    def work(client: Any) -> Any:
        yield client.post(f"{server.url}/json/models/gemini-2:generateContent?alt=x", json={"contents": []})

    kind.run(work, hosts=[server.host])
    assert log.call()["model"] == "gemini-2"


def test_what_is_taken_from_an_answer_is_what_json_says() -> None:  # req 14
    from logspool._core import Answer

    content = {
        "choices": [{"message": {"content": 'say "usage": {"prompt_tokens": 1} \\" ]}', "id": "not this"}}],
        "id": 'gen-"é\n',
        "model": "m/\U0001f600",
        "usage": {"prompt_tokens": 10**25, "cost": 0.1 + 0.2, "x": [1.5e-7, True, None, "a\tb", {"y": []}], "": -0.0},
        "error": {"code": 429, "metadata": {"raw": "…"}},
        "created": 1,
    }
    said = (content["id"], content["model"], content["usage"], "429", False)

    def taken(data: object, **how: Any) -> tuple[object, ...]:
        answer = Answer()
        answer.body(json.dumps(data, **how).encode(), 1 << 20)
        return what_it_says(answer)

    for found in (
        taken(content),
        taken(content, ensure_ascii=False, indent=2),
        taken({**content, "z": [[{}]]}),
        taken([1, content, []]),
        taken({"response": content}),
    ):
        assert found == said
        assert repr(found[2]) == repr(content["usage"])
    whole = json.dumps(content).encode()
    for end in range(len(whole)):
        answer = Answer()
        answer.body(whole[:end], 1 << 20)
        assert what_it_says(answer) == (None, None, None, None, False)


def test_a_record_that_nobody_wants_is_not_made_and_the_id_is_sent(
    kind: Kind, server: Loopback, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:  # req 48
    from logspool.httpx import _send

    logging.getLogger("logspool.http").setLevel(logging.WARNING)
    begun: list[Any] = []

    def work(client: Any) -> Any:
        yield client.get(f"{server.url}/json")
        yield client.get(f"{server.url}/status/404")
        logging.getLogger("logspool.http").setLevel(logging.CRITICAL)
        monkeypatch.setattr(_send, "Call", lambda *call: begun.append(call))
        with logspool.bound(request_id="req_unseen"):
            yield client.get(f"{server.url}/status/404")

    kind.run(work)
    logging.getLogger("logspool.http").setLevel(logging.NOTSET)
    assert [call["fields"]["http_status"] for call in log.calls()] == [404]
    assert server.ids()[-1] == "req_unseen"
    assert begun == []


def test_costs_are_logged_where_the_record_is_not(kind: Kind, server: Loopback, log: Log) -> None:  # req 14
    def work(client: Any) -> Any:
        logging.getLogger("logspool.http").setLevel(logging.CRITICAL)
        yield client.post(f"{server.url}/json/unlogged{kind.module.__name__}{kind.is_async}", json=MODEL)

    kind.run(work, hosts=[server.host], costs=True)
    logging.getLogger("logspool.http").setLevel(logging.NOTSET)
    assert log.calls() == []
    assert [cost["fields"]["model"] for cost in log.costs()] == ["m/asked"]


def _answering(module: Any, body: bytes, status: int = 200, kind: str = "application/json") -> Any:
    headers = {"Content-Type": kind}
    return module.MockTransport(lambda _: module.Response(status, content=body, headers=headers))


def test_a_response_that_a_hook_refuses_is_an_http_error_with_its_status(kind: Kind, log: Log) -> None:  # req 45
    def refuse(response: Any) -> None:
        response.raise_for_status()

    async def async_refuse(response: Any) -> None:
        refuse(response)

    def work(client: Any) -> Any:
        try:
            yield client.get("http://shop/")
        except kind.module.HTTPStatusError as error:
            return error

    hooks = {"response": [async_refuse if kind.is_async else refuse]}
    settings = {"event_hooks": hooks, "transport": _answering(kind.module, b"{}", 503)}
    assert kind.run(work, client=settings) is not None
    call = log.call()
    assert (call["http_status"], call["outcome"], call["error"], call["level"]) == (
        503,
        "http_error",
        "HTTPStatusError",
        "ERROR",
    )


def test_an_exceptions_text_has_no_more_of_an_address_than_the_record(kind: Kind, log: Log) -> None:  # req 30, 31
    def work(url: str) -> Callable[[Any], Any]:
        return lambda client: (yield client.get(url, follow_redirects=True))

    def answer(request: Any) -> Any:
        moved = request.url.path == "/move"
        return kind.module.Response(302 if moved else 403, headers={"Location": "/?code=geheim"} if moved else {})

    def refuse(response: Any) -> None:
        if not response.has_redirect_location:
            response.raise_for_status()

    async def async_refuse(response: Any) -> None:
        refuse(response)

    hooks = {"response": [async_refuse if kind.is_async else refuse]}
    for url in ("http://ada:geheim@shop/?q=geheim&page=2#geheim", "http://shop/move"):
        with pytest.raises(kind.module.HTTPStatusError, match="geheim"):
            kind.run(work(url), client={"event_hooks": hooks, "transport": kind.module.MockTransport(answer)})
    one, two = log.calls()
    assert "geheim" not in json.dumps([one, two])
    assert "http://shop/?q=***&page=2" in one["fields"]["error_message"]
    assert "http://shop/?code=***" in two["fields"]["error_message"]


def test_a_body_that_breaks_while_it_is_read_as_a_whole_has_its_status_and_is_paid_for(
    kind: Kind, server: Loopback, log: Log
) -> None:  # req 14, 45
    def work(client: Any) -> Any:
        try:
            yield client.post(f"{server.url}/broken", json=MODEL)
        except kind.module.RemoteProtocolError as error:
            return error

    assert kind.run(work, hosts=[server.host], costs=True) is not None
    call = log.call()
    assert (call["http_status"], call["outcome"], call["streamed"]) == (200, "broken", True)
    (cost,) = log.costs()
    assert (cost["fields"]["model"], cost["fields"]["cost"]["total"]) == ("m/asked", None)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("how", ["cancelled", "broken"])
def test_a_stream_that_had_begun_is_paid_for_however_it_ends(log: Log, name: str, how: str) -> None:  # req 14
    module, response_id = LIBRARIES[name], f"gen-{name}-{how}"

    async def words() -> Any:
        yield b'data: {"id":"%b","model":"m"}\n\n' % response_id.encode()
        if how == "broken":
            raise module.ReadError("gone")
        await asyncio.Event().wait()

    def answer(_: Any) -> Any:
        return module.Response(200, content=words(), headers={"Content-Type": "text/event-stream"})

    async def whole() -> None:
        client = module.AsyncClient(transport=module.MockTransport(answer))
        logspool.httpx.instrument(client, hosts=["shop"], costs=True)
        started = asyncio.Event()

        async def work() -> None:
            async with client.stream("POST", "http://shop/", json=MODEL) as response:
                async for _ in response.aiter_lines():
                    started.set()

        task = asyncio.create_task(work())
        await started.wait()
        task.cancel()
        with pytest.raises((asyncio.CancelledError, module.ReadError)):
            await task

    asyncio.run(whole())
    assert log.call()["outcome"] == how
    (cost,) = log.costs()
    assert (cost["fields"]["response_id"], cost["fields"]["cost"]["total"]) == (response_id, None)


def test_a_failure_after_a_redirect_has_not_the_redirects_status(kind: Kind, log: Log) -> None:
    def answer(request: Any) -> Any:
        if request.url.path == "/new":
            raise kind.module.ConnectError("gone", request=request)
        return kind.module.Response(302, headers={"Location": "/new"})

    def work(client: Any) -> Any:
        try:
            yield client.get("http://shop/", follow_redirects=True)
        except kind.module.ConnectError as error:
            return error

    assert kind.run(work, client={"transport": kind.module.MockTransport(answer)}) is not None
    call = log.call()
    assert (call["http_status"], call["outcome"]) == (None, "connect_error")


def test_a_coroutine_may_be_closed_in_another_context_than_it_ran_in(log: Log) -> None:
    import contextvars
    import types

    class Waiting(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            @types.coroutine
            def wait() -> Any:
                yield

            await wait()
            raise AssertionError("it goes on")

    client = logspool.httpx.instrument(httpx.AsyncClient(transport=Waiting()))
    under_way = client.get("http://shop/")
    contextvars.copy_context().run(under_way.send, None)
    under_way.close()  # Raises nothing.
    call = log.call()
    assert (call["http_status"], call["outcome"]) == (None, "cancelled")


def test_a_response_made_in_the_background_is_paid_for_when_its_usage_is_known(log: Log) -> None:  # req 14, 43
    bodies = [
        {"id": "resp_1", "model": "gpt", "status": "queued", "usage": None},
        {"id": "resp_1", "model": "gpt", "status": "in_progress", "usage": None},
        {"id": "resp_1", "model": "gpt", "status": "completed", "usage": {"input_tokens": 5, "output_tokens": 2, "cost": 0.5}},
    ]  # fmt: skip
    answers = iter([*bodies, bodies[-1]])
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=next(answers)))
    client = logspool.httpx.instrument(httpx.Client(transport=transport), hosts=["shop"], costs=True)
    client.post("http://shop/responses", json={"model": "gpt", "background": True})
    for _ in range(3):
        client.get("http://shop/responses/resp_1")
    (cost,) = log.costs()
    assert (cost["fields"]["cost"]["total"], cost["fields"]["tokens"]["prompt"]) == (0.5, 5)


def test_a_request_of_any_nesting_is_recorded(kind: Kind, log: Log) -> None:  # req 16
    def work(client: Any) -> Any:
        yield client.post("http://shop/", content=b'{"a":' * 10_000)

    kind.run(work, hosts=["shop"], client={"transport": _answering(kind.module, b"[" * 100_000)})
    assert log.call()["http_status"] == 200


def test_a_host_with_its_port_goes_before_the_host_alone() -> None:
    from types import MappingProxyType

    from logspool.httpx._providers import Hosts

    hosts = Hosts(MappingProxyType({"localhost": "one", "localhost:8080": "another"}))
    assert [hosts.provider("localhost", port) for port in (None, 80, 8080)] == ["one", "one", "another"]
