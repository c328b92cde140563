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
    all threads and tasks; `details` has `memory_change_mb`.
    """

    def __init__(self, logger: PerformanceLogger, operation: str) -> None:
        self.logger = logger
        self.operation = operation
        #: Milliseconds, once the block has ended.
        self.duration_ms = 0.0

    def __enter__(self) -> Self:
        self._memory = _measure.memory_mb()
        self._cpu = time.process_time()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        wall = time.perf_counter() - self._start
        cpu = _measure.share(time.process_time() - self._cpu, wall)
        memory = _measure.memory_mb()
        self.duration_ms = round(wall * 1000, 3)
        self.logger._metric(
            self.operation,
            self.duration_ms,
            memory,
            cpu,
            {"memory_change_mb": round(memory - self._memory, 2)},
            # A generator that is closed early, or a thread that ends, has not failed.
            None if error is None or isinstance(error, GeneratorExit) else said(error),
        )


def said(error: BaseException) -> str:
    """An exception's type and text."""
    try:
        text = str(error)
    except Exception:  # user code
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
