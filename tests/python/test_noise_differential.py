"""Random programs of calls leave the same behind on both routes, also where the logs are sampled or collapse what is repeated."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.fastpath import furniture
from tests.fastpath.compare import check
from tests.fastpath.programs import programs
from tests.fastpath.world import Logs

LONG = os.environ.get("LOGSPOOL_FAULTS") == "long"
# The rules are shared where they are the same, and cover what the programs' loggers are named.
QUIETED: dict[str, dict[str, Any]] = {
    "a": {"sample": {"": 3, "a.b": 2}},
    "a without source": {"src": False, "sample": {"a": 2}},
    "b": {"environment": "test", "sample": {"": 3, "a.b": "1000000/s"}},
    "c at warning": {"level": "WARNING", "sample": {"": 2}},
    "text": {"json": False, "sample": {"": 3, "a.b": 2}},
}


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Logs, Logs]]:
    """The logs of the standard and of the fast route."""
    both = Logs(tmp_path_factory.mktemp("standard")), Logs(tmp_path_factory.mktemp("fast"))
    yield both
    for logs in both:
        logs.close()


@pytest.fixture(scope="module")
def sampled() -> Iterator[None]:
    """The programs' handlers with rules."""

    def made(name: str) -> Any:
        given_ = QUIETED[name]
        return lambda run: run.logs.handler(name.split()[0], **given_)

    before = dict(furniture.HANDLERS)
    furniture.HANDLERS.update({name: made(name) for name in QUIETED})
    yield
    furniture.HANDLERS.update(before)


@settings(
    max_examples=20_000 if LONG and sys.version_info < (3, 13) else 300,
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(program=programs())
def test_random_programs_are_sampled_the_same_on_both_routes(
    program: list[tuple[Any, ...]], routes: tuple[Logs, Logs], sampled: None
) -> None:
    check(program, *routes)
