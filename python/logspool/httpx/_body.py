"""A response's body on its way to the caller: looked at, never held back, never changed."""

from __future__ import annotations

import sys
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from typing import Any

    from logspool.httpx._call import Call

#: A longer line of an event stream is passed over: bytes.
MOST_LINE = 1 << 20
#: A body that is not an event stream is kept for its usage up to this long: bytes.
MOST_BODY = 1 << 20


def decoder(name: str, encodings: str) -> Any:
    """What undoes a content encoding piece by piece, with `decode`; None where nothing need be undone, False where it cannot."""
    wanted = [name for name in (part.strip().lower() for part in encodings.split(",")) if name not in ("", "identity")]
    if not wanted:
        return None
    if len(wanted) > 1:
        return False
    if wanted[0] == "gzip":
        return _Gzip()
    known = getattr(sys.modules.get(f"{name}._decoders"), "SUPPORTED_DECODERS", {})
    try:
        return known[wanted[0]]()
    except Exception:
        return False  # Not installed, or not known.


class _Gzip:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def decode(self, data: bytes) -> bytes:
        return self._stream.decompress(data)


class Events:
    """The data of server-sent events, found in pieces of a stream as they come."""

    def __init__(self) -> None:
        #: The line under way, in pieces.
        self._parts: list[bytes] = []
        self._size = 0
        self._passing = False
        #: The lines of an event whose data goes on in the next one.
        self._data: list[bytes] = []
        self._held = 0
        self._torn = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The data of each event of one line that ends in this piece, and of each longer one."""
        if self._torn and data.startswith(b"\n"):
            data = data[1:]  # The other half of an end.
        self._torn = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = b"".join((*self._parts, line)) if self._parts else line
            passing, self._passing = self._passing, False
            self._parts, self._size = [], 0
            if passing:
                continue
            if whole.startswith(b"data:"):
                part = whole[5:].strip()
                if self._data or (part.startswith(b"{") and not part.endswith(b"}")):
                    self._data.append(part)
                    self._held += len(part)
                    if self._held > MOST_LINE:
                        self._data, self._held = [], 0
                else:
                    yield part
            elif not whole and self._data:
                held, self._data, self._held = self._data, [], 0
                yield b"\n".join(held)
        if rest and not self._passing:
            self._parts.append(rest)
            self._size += len(rest)
            if self._size > MOST_LINE:
                self._parts, self._size, self._passing = [], 0, True

    def end(self) -> Iterator[bytes]:
        """What the last line has, which not everybody ends."""
        return self.feed(b"\n\n")


class Look:
    """What is taken from a body while it passes: usage where it is a provider's, an excerpt where one is wanted."""

    def __init__(self, call: Call, headers: Any, name: str) -> None:
        self._call = call
        self._decoder = decoder(name, headers.get("content-encoding", ""))
        self._events = Events() if call.answer is not None and call.streamed else None
        self._kept: list[bytes] | None = [] if call.answer is not None and not call.streamed else None
        self._size = 0
        self.wanted = self._decoder is not False and (call.answer is not None or call.wants_body)

    def feed(self, raw: bytes) -> None:
        """A piece, as it came over the wire."""
        if not self.wanted:
            return
        try:
            data = self._decoder.decode(raw) if self._decoder is not None else raw
            if self._call.wants_body:
                self._call.excerpt(data)
            if self._events is not None and self._call.answer is not None:
                for event in self._events.feed(data):
                    self._call.answer.event(event)
            elif self._kept is not None:
                self._size += len(data)
                if self._size <= MOST_BODY:
                    self._kept.append(data)
                else:
                    # The usage stands near the end.
                    self._kept = [b"".join(self._kept)[-MOST_BODY // 2 :], data]
                    self._size = sum(map(len, self._kept))
        except Exception:
            self.wanted = False  # Damaged, perhaps: the caller will learn of that.

    def end(self) -> None:
        """The body has ended, or will not be read on."""
        if self._events is not None and self._call.answer is not None:
            for event in self._events.end():
                self._call.answer.event(event)
        if self._kept and self._call.answer is not None:
            kept, self._kept = self._kept, None
            self._call.answer.body(b"".join(kept))


def sync_body(base: type) -> type:
    """A stream of the library whose base class is given."""

    class Body(base):  # type: ignore[misc]
        def __init__(self, inner: Any, call: Call, look: Look) -> None:
            self._inner, self._call, self._look = inner, call, look

        def __iter__(self) -> Iterator[bytes]:
            try:
                for chunk in self._inner:
                    self._look.feed(chunk)
                    yield chunk
            except GeneratorExit:
                raise
            except BaseException as error:
                self._call.broke(error)
                raise
            self._call.exhausted = True

        def close(self) -> None:
            try:
                self._inner.close()
            finally:
                self._call.ended(self._look)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def __del__(self) -> None:
            self._call.ended(self._look)

    return Body


def async_body(base: type) -> type:
    """A stream of the library whose base class is given."""

    class Body(base):  # type: ignore[misc]
        def __init__(self, inner: Any, call: Call, look: Look) -> None:
            self._inner, self._call, self._look = inner, call, look

        async def __aiter__(self) -> AsyncGenerator[bytes, None]:
            chunks = self._inner.__aiter__()
            try:
                async for chunk in chunks:
                    self._look.feed(chunk)
                    yield chunk
            except GeneratorExit:
                raise
            except BaseException as error:
                self._call.broke(error)
                raise
            finally:
                if hasattr(chunks, "aclose"):
                    await chunks.aclose()
            self._call.exhausted = True

        async def aclose(self) -> None:
            try:
                await self._inner.aclose()
            finally:
                self._call.ended(self._look)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def __del__(self) -> None:
            self._call.ended(self._look)

    return Body
