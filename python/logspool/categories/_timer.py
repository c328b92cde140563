"""`PerformanceTimer`: times a block and measures what the process used in it."""

from __future__ import annotations

import time

from logspool.categories import _measure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from logspool.categories._loggers import PerformanceLogger


class PerformanceTimer:
    """Logs how long a block took, how much memory the process held at its end, and its processor time in the meantime.

        with PerformanceTimer(get_logger("performance"), "process_message"):
            ...

    Also where the block raises: an ERROR with the exception, which goes on unchanged. Processor time is the whole process',
    all threads and tasks; `details` has `memory_change_mb`. `async with` does the same. A timer may be used again, also within its
    own block: a record each.
    """

    def __init__(self, logger: PerformanceLogger, operation: str) -> None:
        self.logger = logger
        self.operation = operation
        #: Milliseconds, once the block has ended.
        self.duration_ms = 0.0
        #: Of each block that is not left yet: memory, and when it began by both clocks.
        self._begun: list[tuple[float, float, float]] = []

    def __enter__(self) -> Self:
        memory = _measure.memory_mb()
        start = time.perf_counter()
        self._begun.append((memory, start, time.process_time()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Processor time is taken within wall time: of a short block it would be more than all of it.
        used = time.process_time()
        now = time.perf_counter()
        before, start, used_before = self._begun.pop()
        wall = now - start
        cpu = _measure.share(used - used_before, wall)
        memory = _measure.memory_mb()
        self.duration_ms = round(wall * 1000, 3)
        self.logger._metric(
            self.operation,
            self.duration_ms,
            memory,
            cpu,
            {"memory_change_mb": round(memory - before, 2)},
            # A generator that is closed early, or a thread that ends, has not failed.
            None if error is None or isinstance(error, GeneratorExit) else said(error),
        )

    async def __aenter__(self) -> Self:
        """As `with`."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """As `with`."""
        self.__exit__(kind, error, traceback)


def said(error: BaseException) -> str:
    """An exception's type and text."""
    try:
        text = str(error)
    except Exception:  # user code
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
