"""A provider of language models on loopback, which looks like OpenRouter and keeps its own ledger.

`POST /v1/chat/completions` answers with `usage` and `usage.cost`, streams server-sent events when asked to (the
usage is in the last chunk), and fails some calls on purpose: 429 with `Retry-After`, 500, no answer at all, a
connection that is reset, a stream that breaks before its usage or right after it. What happens to a call depends only
on the seed, the prompt and how often that prompt was asked, so two runs with the same seed cost the same to the last
digit. A stream whose prompt ends in "at length" never gets to its answer: it is for callers who give up.

    python examples/provider.py --port 8080 --seed 1

Prices are US dollars per million tokens. A call is billed when its usage was sent, even if the stream breaks then; a
refused, unanswered, reset, broken or given up one is not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

PRICES = {
    "meta-llama/llama-3.1-8b-instruct": (Decimal("0.05"), Decimal("0.08")),
    "anthropic/claude-haiku": (Decimal("0.80"), Decimal("4.00")),
    "openai/gpt-large": (Decimal("2.50"), Decimal("10.00")),
}

# Outcome and its weight. "limited" is refused once and answered when asked again; "exhausted" is refused every time.
# Only a stream can be "broken" (it ends before its usage), "unfinished" (right after it) or "endless"; another call is
# answered. A "reset" comes in the middle of a stream, and in the place of another answer.
OUTCOMES = (
    ("ok", 74),
    ("limited", 5),
    ("exhausted", 3),
    ("error", 4),
    ("timeout", 2),
    ("reset", 4),
    ("broken", 4),
    ("unfinished", 4),
    ("endless", 0),
)
ONLY_STREAMS = ("broken", "unfinished", "endless")
AT_LENGTH = "at length"

WORDS = ("the", "spool", "keeps", "every", "record", "until", "a", "thread", "writes", "it", "to", "its", "segment")


@dataclass(frozen=True)
class Entry:
    """One request as the provider saw it; `cost` is in dollars, None when nothing was billed."""

    request_id: str
    response_id: str
    model: str
    stream: bool
    outcome: str
    http_status: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: Decimal | None = None


def seeded(seed: int) -> Callable[[str, int], str]:
    """The outcome for the nth request (0, 1, …) with one prompt, drawn from OUTCOMES."""
    names, weights = [name for name, _ in OUTCOMES], [weight for _, weight in OUTCOMES]

    def outcome(prompt: str, asked: int) -> str:
        if prompt.endswith(AT_LENGTH):
            return "endless"
        drawn = random.Random(f"{seed}:{prompt}").choices(names, weights)[0]
        return "ok" if drawn == "limited" and asked > 0 else drawn

    return outcome


class Provider:
    """The server, on threads of the calling process: `with Provider(seed=1) as provider: provider.url`.

    `outcome(prompt, asked)` decides what becomes of a request; by default it is drawn from the seed. `hang` is for how
    many seconds a request that is to time out stays without an answer, `latency` the seconds an answer takes.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        port: int = 0,
        outcome: Callable[[str, int], str] | None = None,
        hang: float = 10.0,
        latency: tuple[float, float] = (0.002, 0.010),
    ) -> None:
        self.seed = seed
        self.outcome = outcome or seeded(seed)
        self.hang = hang
        self.latency = latency
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._ledger: list[Entry] = []
        self._asked: dict[str, int] = {}
        provider = self

        class Handler(_Handler):
            pass

        Handler.provider = provider
        self._handler = Handler
        # Keeps the port while nobody listens: one that is bound and does not listen gets no connections.
        self._port = socket.socket()
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._port.bind(("127.0.0.1", port))

    @property
    def url(self) -> str:
        """Base address, such as `http://127.0.0.1:40123/v1`."""
        return f"http://127.0.0.1:{self._port.getsockname()[1]}/v1"

    @property
    def ledger(self) -> list[Entry]:
        """Every request so far, in the order of its booking."""
        with self._lock:
            return list(self._ledger)

    def draw(self, prompt: str) -> tuple[str, random.Random]:
        """What becomes of this request, and the source of its random numbers."""
        with self._lock:
            asked = self._asked.get(prompt, 0)
            self._asked[prompt] = asked + 1
        return self.outcome(prompt, asked), random.Random(f"{self.seed}:{prompt}:{asked}")

    def book(self, entry: Entry) -> None:
        """Adds a request to the ledger; called before the answer leaves, so that a caller never knows more than we."""
        with self._lock:
            self._ledger.append(entry)

    def _listen(self) -> None:
        self._server = _Server(self._port.getsockname(), self._handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="provider", daemon=True)
        self._thread.start()

    def _leave(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Refuses connections while the block runs, and hangs up on callers that keep one."""
        self._leave()
        self._server.hang_up()
        try:
            yield
        finally:
            self._listen()

    def __enter__(self) -> Provider:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._leave()
        self._port.close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # with the default of 5, a burst of connections is refused
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[Any] = set()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a caller that is gone is no error
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """Ends all connections."""
        for request in list(self._open):
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    provider: Provider
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one write per answer, or per streamed chunk

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the ledger is the log."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.headers.get("Authorization", "").startswith("Bearer "):
            self._json(401, {"error": {"code": 401, "message": "No auth credentials found"}})
            return
        if body.get("model") not in PRICES:
            self._json(400, {"error": {"code": 400, "message": f"{body.get('model')} is not a valid model ID"}})
            return
        prompt = "\n".join(str(message["content"]) for message in body["messages"])
        outcome, numbers = self.provider.draw(prompt)
        stream = bool(body.get("stream"))
        if outcome in ONLY_STREAMS and not stream:
            outcome = "ok"
        self.provider.closing.wait(numbers.uniform(*self.provider.latency))
        response_id = f"gen-{numbers.getrandbits(64):016x}"
        entry = Entry(self.headers.get("X-Request-ID", ""), response_id, body["model"], stream, outcome)
        if outcome in ("limited", "exhausted"):
            self.provider.book(replace(entry, http_status=429))
            wait = "0" if outcome == "limited" else "30"
            self._json(429, {"error": {"code": 429, "message": "Rate limit exceeded"}}, {"Retry-After": wait})
        elif outcome == "error":
            self.provider.book(replace(entry, http_status=500))
            self._json(500, {"error": {"code": 500, "message": "Internal Server Error"}})
        elif outcome == "timeout":
            self.provider.book(entry)
            self.provider.closing.wait(self.provider.hang)
            self.close_connection = True
        elif outcome == "reset" and not stream:
            self.provider.book(entry)
            self._reset()
        else:
            self._complete(replace(entry, http_status=200), prompt, numbers)

    def _complete(self, entry: Entry, prompt: str, numbers: random.Random) -> None:
        """Answers, at once or in pieces."""
        words = numbers.choices(WORDS, k=numbers.randint(8, 30))
        prompt_tokens, completion_tokens = 4 + len(prompt.split()) * 4 // 3, len(words) * 4 // 3
        price_in, price_out = PRICES[entry.model]
        cost = (prompt_tokens * price_in + completion_tokens * price_out) / 1_000_000
        billed = replace(entry, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, cost=cost)
        usage = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "cost": float(cost),  # at most 15 digits, so that the shortest form of the float is the exact amount
        }
        head = {"id": entry.response_id, "provider": "loopback", "model": entry.model}
        if entry.stream:
            self._stream(billed, {**head, "object": "chat.completion.chunk"}, words, usage)
        else:
            self.provider.book(billed)
            choice = {"index": 0, "message": {"role": "assistant", "content": " ".join(words)}, "finish_reason": "stop"}
            self._json(200, {**head, "object": "chat.completion", "choices": [choice], "usage": usage})

    def _stream(self, billed: Entry, head: dict[str, str], words: list[str], usage: dict[str, float]) -> None:
        """Server-sent events: a comment, the words one by one, the usage, the end; or what comes between."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("X-Request-ID", billed.request_id)
        self.end_headers()
        self._chunk(": PROCESSING\n\n")
        unbilled = replace(billed, prompt_tokens=None, completion_tokens=None, cost=None)
        if billed.outcome == "endless":
            self.provider.book(unbilled)
            self._process()
            return
        for position, word in enumerate(words):
            if billed.outcome in ("broken", "reset") and position == len(words) // 2:
                self.provider.book(unbilled)
                if billed.outcome == "reset":
                    self._reset()
                self.close_connection = True  # without the last chunk: the client sees the stream end too early
                return
            choice = {"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}
            self._chunk(f"data: {json.dumps({**head, 'choices': [choice]})}\n\n")
        self.provider.book(billed)
        self._chunk(f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\n")
        if billed.outcome == "unfinished":
            self.close_connection = True
            return
        self._chunk("data: [DONE]\n\n")
        self._chunk("")

    def _process(self) -> None:
        """Comments that keep the connection alive, until the caller is gone."""
        self.close_connection = True
        with suppress(OSError):
            while not self.provider.closing.wait(0.05):
                self._chunk(": PROCESSING\n\n")

    def _reset(self) -> None:
        """Ends the connection as a machine does that knows nothing of it."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def _json(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Request-ID", self.headers.get("X-Request-ID", ""))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description="An OpenRouter-like provider on loopback, for the example servers.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with Provider(arguments.seed, port=arguments.port) as provider:
        print(f"OPENROUTER_BASE_URL={provider.url}", flush=True)
        try:
            provider.closing.wait()
        except KeyboardInterrupt:
            pass
        billed = sum((entry.cost for entry in provider.ledger if entry.cost is not None), Decimal(0))
        print(f"{len(provider.ledger)} requests, {billed} USD billed")


if __name__ == "__main__":
    main()
