"""What the benchmarks share: one session of interleaved measuring, and its tables at the end of the run."""

from __future__ import annotations

from collections.abc import Iterator

import figures
import pytest
import tables


def pytest_configure(config: pytest.Config) -> None:
    """The columns that say something when each round is the figure of a whole process."""
    config.option.benchmark_columns = ["median", "min", "max", "rounds"]
    config.option.benchmark_sort = "median"


@pytest.fixture(scope="session")
def session(pytestconfig: pytest.Config) -> Iterator[figures.Session]:
    """Measures the groups that the chosen tests ask for."""
    session = figures.Session()
    pytestconfig.stash[_SESSION] = session
    yield session
    if not figures.QUICK:
        session.save()


_SESSION = pytest.StashKey[figures.Session]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The ratios to the floor, which pytest-benchmark does not know of."""
    session = config.stash.get(_SESSION, None)
    if session is None or figures.QUICK:
        return
    terminalreporter.write_line("")
    terminalreporter.write_line(tables.report(session.measured()))
