"""What all tests share: no program that a test started outlives it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.faults import program


@pytest.fixture(autouse=True)
def no_program_outlives_its_test() -> Iterator[None]:
    """A test that fails in the middle leaves its programs waiting for it."""
    yield
    program.end_all()
