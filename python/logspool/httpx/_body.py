"""A response's body on its way to the caller: looked at, never held back, never changed."""

from __future__ import annotations

import functools
import sys
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from typing import Any

    from logspool.httpx._call import Call

#: A body that is not an event stream is kept up to this long; of a longer one only the usage is looked for: bytes.
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


class Look:
    """What is taken from a body while it passes: usage where it is a provider's, an excerpt where one is wanted."""

    def __init__(self, call: Call, encodings: str, name: str) -> None:
        answer = call.answer
        self._call, self._answer = call, answer
        self._decoder = decoder(name, encodings) if encodings else None
        self._streamed = answer is not None and call.streamed
        self._kept: list[bytes] | None = [] if answer is not None and not call.streamed else None
        self._size = 0
        self._shown = call.settings.bodies
        self.wanted = self._decoder is not False and (answer is not None or self._shown)

    def feed(self, raw: bytes) -> None:
        """A piece, as it came over the wire."""
        if not self.wanted:
            return
        try:
            data = bytes(raw) if self._decoder is None else self._decoder.decode(raw)
            if self._shown:
                self._call.excerpt(data)
            if self._streamed and self._answer is not None:
                self._answer.feed(data)
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
        if self._streamed and self._answer is not None:
            self._answer.feed(b"\n\n")  # Not everybody ends the last line.
        if self._kept and self._answer is not None:
            kept, self._kept = self._kept, None
            self._answer.body(b"".join(kept), MOST_BODY)


def sync_body(base: type) -> type:
    """A stream of the library whose base class is given."""

    class Body(base):  # type: ignore[misc]
        def __init__(self, inner: Any, call: Call, look: Look) -> None:
            self._inner, self._call, self._look = inner, call, look

        def __iter__(self) -> Iterator[bytes]:
            try:
                feed = self._look.feed
                for chunk in self._inner:
                    feed(chunk)
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
                feed = self._look.feed
                async for chunk in chunks:
                    feed(chunk)
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


@functools.cache
def stream_of(name: str, is_async: bool) -> Any:
    """The class of the streams that are put around those of a library."""
    module: Any = sys.modules[name]
    return async_body(module.AsyncByteStream) if is_async else sync_body(module.SyncByteStream)
