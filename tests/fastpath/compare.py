"""A program on both routes: what each did, side by side."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.fastpath import oracle
from tests.fastpath.programs import Machine
from tests.fastpath.values import Run
from tests.fastpath.world import Logs, comparable, fresh_logging, without_today


@dataclass
class Observed:
    """All that can be seen of a run."""

    outcomes: list[Any]
    seen: list[Any]
    stderr: str
    warnings: list[Any]
    logs: dict[str, list[Any]]
    routes: list[tuple[Any, str, tuple[int, int]]] = field(compare=False)


def observe(program: list[tuple[Any, ...]], logs: Logs, *, fast: bool) -> Observed:
    """Run a program on one route, in a logging module of its own."""
    run = Run(logs)
    logs.read()
    with fresh_logging() as (stderr, warned):
        machine = Machine(run, fast=fast)
        machine(program)
        text = re.sub(r"0x[0-9a-f]+", "0x…", stderr.getvalue())
        warnings = [(w.category.__name__, str(w.message), w.filename, w.lineno) for w in warned]
    found = {
        name: [without_today(line) if name == "text" else comparable(line) for line in lines]
        for name, lines in logs.read().items()
    }
    return Observed(machine.outcomes, run.seen, text, warnings, found, machine.routes)


def both(program: list[tuple[Any, ...]], standard: Logs, fast: Logs) -> tuple[Observed, Observed]:
    """The same program on the standard path and on the fast one, called from the same line."""
    first, second = (observe(program, logs, fast=logs is fast) for logs in (standard, fast))
    return first, second


def check(program: list[tuple[Any, ...]], standard: Logs, fast: Logs) -> Observed:
    """Assert that both routes leave the same behind, and that the calls whose route is known took it."""
    expected, found = both(program, standard, fast)
    assert found.outcomes == expected.outcomes
    assert found.logs == expected.logs
    assert found.seen == expected.seen
    assert found.stderr == expected.stderr
    assert found.warnings == expected.warnings
    for call, route, counted in found.routes:
        if route == oracle.FAST:
            assert counted == (1, 0), f"nothing stood in the way of {call}, but (fast, standard) rose by {counted}"
        else:
            assert counted[0] == 0, f"{call} had to take the standard path, but (fast, standard) rose by {counted}"
    return found
