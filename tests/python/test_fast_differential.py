"""A log call leaves the same behind on the fast path as on the standard one, whatever the program does around it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.fastpath.compare import check, observe
from tests.fastpath.programs import programs
from tests.fastpath.world import Logs

import logspool

LONG = os.environ.get("LOGSPOOL_FAULTS") == "long"
needs_install = pytest.mark.skipif(not hasattr(logspool, "install"), reason="this build has no fast path")


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Logs, Logs]]:
    """The logs of the standard and of the fast route."""
    both = Logs(tmp_path_factory.mktemp("standard")), Logs(tmp_path_factory.mktemp("fast"))
    yield both
    for logs in both:
        logs.close()


@needs_install
@settings(
    max_examples=20_000 if LONG else 600,
    # What `make test` keeps is the same each time; the long form is for finding.
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(program=programs())
def test_random_programs_leave_the_same_behind_on_both_routes(
    program: list[tuple[Any, ...]], routes: tuple[Logs, Logs]
) -> None:
    check(program, *routes)


@settings(max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs())
def test_a_program_run_twice_on_the_standard_path_leaves_the_same_behind(
    program: list[tuple[Any, ...]], routes: tuple[Logs, Logs]
) -> None:
    """Whatever differs between the routes is then the fast path's doing."""
    first, second = (observe(program, logs, fast=False) for logs in routes)
    assert first == second
