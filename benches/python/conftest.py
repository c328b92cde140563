"""What the benchmarks share: one session of interleaved measuring, its progress, and its tables at the end of the run."""

from __future__ import annotations

from datetime import datetime, timezone

import figures
import pytest
import tables


def pytest_configure(config: pytest.Config) -> None:
    """The columns that say something when each round is the figure of a whole process."""
    config.option.benchmark_columns = ["median", "min", "max", "rounds"]
    config.option.benchmark_sort = "median"


@pytest.fixture(scope="session")
def session(pytestconfig: pytest.Config) -> figures.Session:
    """Measures the groups that the chosen tests ask for."""
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")

    def say(text: str) -> None:
        if not figures.QUICK:
            with capture.global_and_fixture_disabled():
                reporter.write_line(f"{datetime.now(timezone.utc):%H:%M:%S} {text}")

    session = figures.Session(say)
    pytestconfig.stash[_SESSION] = session
    return session


_SESSION = pytest.StashKey[figures.Session]()
_ENDED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A run that came to its end counts; one that was interrupted is gone on with the next time."""
    measured = session.config.stash.get(_SESSION, None)
    if measured is not None and not figures.QUICK and exitstatus in _ENDED:
        measured.finish()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """The ratios to the floor, which pytest-benchmark does not know of."""
    session = config.stash.get(_SESSION, None)
    if session is None or figures.QUICK or exitstatus not in _ENDED:
        return
    terminalreporter.write_line("")
    terminalreporter.write_line(tables.report(session.measured()))
