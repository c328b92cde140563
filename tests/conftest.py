"""What all tests share: no program that a test started outlives it, and each hears signals."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from tests.faults import program

# A shell without job control has what it runs in the background ignore Ctrl-C, and that is inherited, also by programs under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_program_outlives_its_test() -> Iterator[None]:
    """A test that fails in the middle leaves its programs waiting for it."""
    yield
    program.end_all()
