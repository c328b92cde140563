"""Hands figures measured elsewhere to pytest-benchmark.

pytest-benchmark times one function after the other in its own process; here each figure comes from a fresh process and the routes take
turns. Its timer is therefore a clock that stands still until a sample is replayed, and its tables, `--benchmark-json` and
`--benchmark-compare` work on what was really measured.
"""

from __future__ import annotations

from typing import Any


class Clock:
    """A timer in seconds that moves only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


CLOCK = Clock()


def replay(benchmark: Any, group: str, samples: list[dict[str, float]], key: str, unit: float = 1e-6) -> None:
    """Reports the figure `key` of every repeat as one round; `unit` is what the figures are in, as seconds."""
    benchmark.group = group
    waiting = iter([sample[key] * unit for sample in samples])
    benchmark.pedantic(lambda: CLOCK.advance(next(waiting)), rounds=len(samples), iterations=1)
    benchmark.extra_info.update({name: [sample[name] for sample in samples] for name in samples[0]})
