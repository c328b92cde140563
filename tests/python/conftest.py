"""What the Python tests share: a clean environment, and scripts run in their own process."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from logfiles import DEADLINE_SECONDS, lines

import logspool

OURS = re.compile(
    r"(LOG|LOGSPOOL|OTEL)_.*|XDG_STATE_HOME|JSON_LOGS|SERVICE_NAME|ENVIRONMENT|APP_VERSION|PYTHONWARNINGS|PYTHONDEVMODE",
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the logging variables of whoever runs the tests."""
    for name in list(os.environ):
        if OURS.fullmatch(name):
            monkeypatch.delenv(name)


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`script(code, *arguments, env=…, name=…)`: run code as a program in `tmp_path`; returns what it wrote.

    Fails the test if the exit status is not `status` (0).
    """

    def run(
        code: str,
        *arguments: str,
        env: dict[str, str] | None = None,
        name: str = "server.py",
        status: int = 0,
        cwd: Path = tmp_path,
    ) -> subprocess.CompletedProcess[str]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code), encoding="utf-8")
        result = subprocess.run(
            [sys.executable, str(path), *arguments],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        assert result.returncode == status, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    return run


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter; skips the test where another user cannot be taken on."""
    if os.geteuid() != 0:
        pytest.skip("taking on another user needs root")
    with tempfile.TemporaryDirectory(prefix="logspool-open-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger; its handlers and level are put back after the test, and our handlers closed."""
    logger = logging.getLogger()
    before, level = logger.handlers[:], logger.level
    yield logger
    for handler in logger.handlers[:]:
        if handler not in before:
            logger.removeHandler(handler)
            handler.close()
    for handler in before:
        logger.addHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    """A logger of the test's own, at DEBUG, that does not propagate; its handlers are closed after the test."""
    own = logging.getLogger(f"test.{request.node.name}")
    own.setLevel(logging.DEBUG)
    own.propagate = False
    yield own
    for handler in own.handlers[:]:
        own.removeHandler(handler)
        handler.close()
    own.filters.clear()


class Routed:
    """A logger on one of the two routes, and what it wrote."""

    def __init__(self, log: logging.Logger, path: Path) -> None:
        self._log, self.path = log, path
        self.handler: logspool.SpoolHandler = logspool.SpoolHandler(path, service="svc")
        log.addHandler(self.handler)

    @property
    def log(self) -> logging.Logger:
        """The logger. pytest gives handlers of its own to loggers that do not propagate: they are in the fast path's way."""
        self._log.handlers[:] = [h for h in self._log.handlers if isinstance(h, logspool.SpoolHandler)]
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            self._log.isEnabledFor(level)  # what is not asked yet is asked on the standard path
        return self._log

    def lines(self) -> list[str]:
        """Every line so far."""
        assert logspool.flush(DEADLINE_SECONDS)
        return lines(self.path)

    def records(self) -> list[dict[str, Any]]:
        """Every record so far."""
        return [json.loads(line) for line in self.lines()]

    def events(self) -> list[str]:
        """Every event so far."""
        return [record["event"] for record in self.records()]


@pytest.fixture(params=["standard", "fast"])
def routed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Routed]:
    """A logger at DEBUG with a log of its own, once as the standard library makes it and once on the fast path."""
    fast = request.param == "fast"
    # An earlier test's basicConfig may have left the loggers' class exchanged.
    (logspool.install if fast else logspool.uninstall)()
    own = logging.getLogger(f"routed.{request.node.name}")
    own.setLevel(logging.DEBUG)
    own.propagate = False
    routed = Routed(own, tmp_path / "a.jsonl")
    before, _ = logspool._core._fast_calls()
    try:
        yield routed
        after, _ = logspool._core._fast_calls()
        assert fast == (after > before)
    finally:
        logspool.clear()
        for handler in own.handlers[:]:
            own.removeHandler(handler)
            handler.close()
        if fast:
            logspool.uninstall()
