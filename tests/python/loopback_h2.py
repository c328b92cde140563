"""Servers on loopback that speak HTTP/2 over TLS and WebSocket, with the libraries that real ones are made of."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import wsproto
import wsproto.events
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from loopback import sse


def certificate(directory: Path) -> ssl.SSLContext:
    """A server's context with a certificate of its own for 127.0.0.1, which offers HTTP/2."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.set_alpn_protocols(["h2"])
    return context


class Http2:
    """What the server has seen. Streams under `/together/…` are answered when `together` of them wait: piece by piece in turn."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.together = 1
        #: The request's id by path.
        self.ids: dict[str, str] = {}

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.host}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        paths: dict[int, str] = {}
        waiting: list[int] = []
        writer.write(connection.data_to_send())
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    headers = {str(name): str(value) for name, value in event.headers}
                    paths[event.stream_id] = headers[":path"]
                    self.ids[headers[":path"]] = headers.get("x-request-id", "")
                elif isinstance(event, h2.events.StreamEnded):
                    self._ended(connection, event.stream_id, paths, waiting)
            writer.write(connection.data_to_send())
            await writer.drain()
        writer.close()

    def _ended(
        self, connection: h2.connection.H2Connection, stream: int, paths: dict[int, str], waiting: list[int]
    ) -> None:
        kind, _, rest = paths[stream].strip("/").partition("/")
        if kind == "reset":
            connection.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif kind == "cut":
            connection.send_headers(stream, [(":status", "200"), ("content-type", "text/event-stream")])
            connection.send_data(stream, sse({"id": "gen-cut"})[:10])
            connection.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif kind == "status":
            connection.send_headers(stream, [(":status", rest)], end_stream=True)
        else:
            waiting.append(stream)
            if len(waiting) >= self.together:
                self._answer(connection, [(each, paths[each]) for each in reversed(waiting)])
                waiting.clear()

    @staticmethod
    def _answer(connection: h2.connection.H2Connection, streams: list[tuple[int, str]]) -> None:
        bodies = {stream: answer(path) for stream, path in streams}
        for stream, path in streams:
            kind = "text/event-stream" if "stream" in path else "application/json"
            connection.send_headers(
                stream, [(":status", "200"), ("content-type", kind), ("x-request-id", f"theirs{path}")]
            )
        at, step = 0, 25
        while any(at < len(body) for body in bodies.values()):
            for stream, body in bodies.items():
                if at < len(body):
                    connection.send_data(stream, body[at : at + step], end_stream=at + step >= len(body))
            at += step


def answer(path: str) -> bytes:
    """What a provider says under a path that ends in a number: a response of its own, of as many tokens."""
    number = int(path.partition("?")[0].rpartition("/")[2])
    last = {
        "id": f"gen-{number}",
        "model": f"m/{number}",
        "choices": [],
        "usage": {"prompt_tokens": number, "completion_tokens": 1, "total_tokens": number + 1},
    }
    if "stream" not in path:
        return json.dumps(last).encode()
    return sse(
        *[{"id": f"gen-{number}", "choices": [{"delta": {"content": f"é{n}"}}]} for n in range(9)], last, "[DONE]"
    )


async def websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts, says `hello`, and sends back what it gets; what comes before is sent with the head, as it may be."""
    connection = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    while data := await reader.read(65536):
        connection.receive_data(data)
        out = b""
        for event in connection.events():
            if isinstance(event, wsproto.events.Request):
                extra = [(b"x-request-id", b"theirs-ws")]
                out += connection.send(wsproto.events.AcceptConnection(extra_headers=extra))
                out += connection.send(wsproto.events.TextMessage("hello"))
            elif isinstance(event, wsproto.events.TextMessage):
                out += connection.send(wsproto.events.TextMessage(event.data))
            elif isinstance(event, (wsproto.events.Ping, wsproto.events.CloseConnection)):
                out += connection.send(event.response())
        writer.write(out)
        await writer.drain()
    writer.close()


@contextmanager
def served(handle: Any, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port on which a thread's event loop calls `handle(reader, writer)` for each connection."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # the client went without a word
            await handle(reader, writer)

    async def end() -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server: asyncio.Server = run(asyncio.start_server(one, "127.0.0.1", 0, ssl=context))
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        run(end())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@contextmanager
def http2(directory: Path) -> Iterator[Http2]:
    """An HTTP/2 server over TLS."""
    here = Http2()
    with served(here.serve, certificate(directory)) as here.port:
        yield here
