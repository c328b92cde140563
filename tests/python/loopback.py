"""A server on loopback for HTTP clients: every way in which an answer can come, or not."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "cost": 0.000123}


def sse(*events: object) -> bytes:
    """Server-sent events, with what real ones have between them."""
    texts = [event if isinstance(event, str) else json.dumps(event, ensure_ascii=False) for event in events]
    return (": PROCESSING\r\n\r\n" + "".join(f"event: x\r\ndata: {text}\r\n\r\n" for text in texts)).encode()


CHUNKS = [{"id": "gen-s", "model": "m/served", "choices": [{"delta": {"content": f"é{n} "}}]} for n in range(20)]
CHAT_STREAM = sse(*CHUNKS, {"id": "gen-s", "model": "m/served", "choices": [], "usage": USAGE}, "[DONE]")
ANTHROPIC_STREAM = sse(
    {
        "type": "message_start",
        "message": {
            "id": "msg_1", "model": "claude", "usage": {
                "input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 5, "output_tokens": 1,
            },
        },
    },
    {"type": "content_block_delta", "delta": {"text": 'he says "usage": {"x"'}},
    {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 42}},
    {"type": "message_stop"},
)  # fmt: skip
RESPONSES_STREAM = sse(
    {"type": "response.created", "response": {"id": "resp_1", "model": "gpt", "usage": None}},
    {"type": "response.output_text.delta", "item_id": "x", "delta": "hi"},
    {
        "type": "response.completed",
        "response": {
            "id": "resp_1", "model": "gpt", "usage": {
                "input_tokens": 9, "output_tokens": 4, "total_tokens": 13,
                "input_tokens_details": {"cached_tokens": 2}, "output_tokens_details": {"reasoning_tokens": 3},
            },
        },
    },
)  # fmt: skip
CUT_STREAM = ANTHROPIC_STREAM[: ANTHROPIC_STREAM.index(b"message_delta") - 30]
GEMINI_STREAM = sse(
    {"candidates": [{}], "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}, "modelVersion": "gemini", "responseId": "g1"},
    {
        "candidates": [{}], "modelVersion": "gemini", "responseId": "g1", "usageMetadata": {
            "promptTokenCount": 4, "candidatesTokenCount": 6, "thoughtsTokenCount": 20, "totalTokenCount": 30,
        },
    },
)  # fmt: skip
ERROR_STREAM = sse(CHUNKS[0], {"id": "gen-s", "error": {"code": "overloaded", "message": "no"}, "choices": []})
STREAMS = {"chat": CHAT_STREAM, "anthropic": ANTHROPIC_STREAM, "responses": RESPONSES_STREAM, "failing": ERROR_STREAM}
STREAMS |= {"cut": CUT_STREAM, "gemini": GEMINI_STREAM}


class Loopback:
    """The server's address, and what it has seen."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.host = f"127.0.0.1:{port}"
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.release = threading.Event()

    def ids(self) -> list[str | None]:
        """The X-Request-ID of each request."""
        return [headers.get("x-request-id") for _, _, headers, _ in self.seen]


@contextmanager
def loopback() -> Iterator[Loopback]:
    """`GET /json`, `/status/404`, `/redirect/2`, `/stream/chat`, `/broken`, `/hang`, `/endless`, `/auth`; POST as GET."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            here.seen.append((self.command, self.path, headers, body))
            kind, _, rest = self.path.partition("?")[0].strip("/").partition("/")
            getattr(self, f"_{kind}")(rest)

        do_POST = do_GET

        def _answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _json(self, rest: str) -> None:
            data = {"id": f"gen-{rest or 'j'}", "model": "m/served", "choices": [], "usage": USAGE}
            self._answer(200, json.dumps(data).encode(), Content_Type="application/json", X_Request_ID="theirs-1")

        def _status(self, rest: str) -> None:
            self._answer(int(rest), b'{"error": {"code": "bad", "message": "no"}}', Content_Type="application/json")

        def _redirect(self, rest: str) -> None:
            left = int(rest)
            self._answer(302, b"", Location=f"/redirect/{left - 1}" if left > 1 else "/json/r")

        def _auth(self, _: str) -> None:
            if "authorization" in {name.lower() for name in self.headers}:
                self._json("a")
            else:
                self._answer(401, b"", WWW_Authenticate='Digest realm="r", nonce="n", qop="auth", algorithm=MD5')

        def _chunked(self, pieces: list[bytes], end: bool = True, **headers: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            if end:
                self.wfile.write(b"0\r\n\r\n")

        def _stream(self, rest: str) -> None:
            name, _, size = rest.partition("/")
            data = STREAMS[name]
            step = int(size or 50)
            self._chunked([data[at : at + step] for at in range(0, len(data), step)])

        def _gzip(self, rest: str) -> None:
            data = gzip.compress(STREAMS[rest])
            self._chunked([data[at : at + 33] for at in range(0, len(data), 33)], Content_Encoding="gzip")

        def _broken(self, _: str) -> None:
            self._chunked([CHAT_STREAM[:200]], end=False)
            self.close_connection = True

        def _hang(self, _: str) -> None:
            here.release.wait(30)
            self.close_connection = True

        def _endless(self, _: str) -> None:
            self._chunked([CHAT_STREAM[:300]], end=False)
            here.release.wait(30)
            self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    here = Loopback(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield here
    finally:
        here.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
