"""LOG_SAMPLE_HTTP with the real clients: exactly 1 in N of what they log at DEBUG, and everything else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from logfiles import records

Script = Callable[..., "subprocess.CompletedProcess[str]"]

# One log has 1 in 10, the other everything: what the first one should hold is known exactly.
PROGRAM = """
    import json, logging, sys, threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    import httpx, httpx2, logspool

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")
        def log_message(self, *args):
            pass

    fast, threads = sys.argv[1] == "fast", int(sys.argv[2])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"

    logspool.basicConfig(filename="sampled.jsonl", level="DEBUG", fast=fast, when_full="block", block_timeout=None)
    logging.root.addHandler(logspool.SpoolHandler("all.jsonl", sample=1, block_timeout=None))

    def work():
        for library in (httpx, httpx2):
            with library.Client(trust_env=False) as client:
                for n in range(8):
                    assert client.get(url).text == "ok"
                    logging.getLogger(f"{library.__name__}.mine").warning("warning %d", n)
                    logging.getLogger("app").debug("not a client's %d", n)
                try:
                    client.get("http://127.0.0.1:1/")
                except library.ConnectError:
                    logging.getLogger("httpcore.connection").exception("refused")

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    server.shutdown()
    print(json.dumps({"calls": logspool._core._fast_calls(), "sampled_out": logspool.stats()["sampled_out"]}))
"""


# req 36
@pytest.mark.parametrize("threads", [1, 5])
@pytest.mark.parametrize("route", ["fast", "standard"])
def test_exactly_one_in_ten_debug_records_of_http_clients_is_kept(
    script: Script, tmp_path: Path, route: str, threads: int
) -> None:
    result = script(PROGRAM, route, str(threads), env={"LOG_SAMPLE_HTTP": "10"})
    everything, kept = records(tmp_path / "all.jsonl"), records(tmp_path / "sampled.jsonl")

    def split(found: list[dict[str, object]]) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
        """What the rule is about, and the rest, each as `(thread, ts, logger, event)`."""
        about: list[tuple[object, ...]] = []
        rest: list[tuple[object, ...]] = []
        for record in found:
            if record["event"] == "records_sampled":
                continue
            client = str(record["logger"]).split(".")[0] in ("httpx", "httpcore", "httpx2", "httpcore2")
            key = (record["thread"], record["ts"], record["logger"], record["event"])
            (about if client and record["level"] == "DEBUG" else rest).append(key)
        return about, rest

    (of_clients, others), (kept_of_clients, kept_others) = split(everything), split(kept)
    assert {str(logger).split(".")[0] for _, _, logger, _ in of_clients} >= {"httpcore", "httpcore2"}
    assert len(of_clients) > 100 * threads
    assert len(kept_of_clients) == -(-len(of_clients) // 10)
    assert set(kept_of_clients) <= set(of_clients)
    if threads == 1:
        assert kept_of_clients == of_clients[::10]
    assert sorted(map(str, kept_others)) == sorted(map(str, others))
    levels = [record["level"] for record in kept]
    assert (levels.count("WARNING"), levels.count("ERROR")) == (16 * threads, 2 * threads)
    # The clients' own INFO records are not what the rule is about.
    assert sum(str(event).startswith("HTTP Request: GET") for *_, event in kept_others) == 16 * threads

    answer = json.loads(result.stdout)
    spared = len(of_clients) - len(kept_of_clients)
    assert answer["sampled_out"] == {"total": spared, "rules": {"http": spared}}
    [announcement] = [record["fields"] for record in kept if record["event"] == "records_sampled"]
    assert (announcement["kept"], announcement["sampled_out"]) == (len(kept_of_clients), spared)
    if route == "fast":
        assert answer["calls"][0] > len(of_clients) // 2
    else:
        assert answer["calls"] == [0, 0]
