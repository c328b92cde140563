"""What a log takes up while it is open is given back when it is closed: descriptors, threads, spools and their places."""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from logfiles import events, eventually

import logspool
from logspool import cost


@pytest.fixture(autouse=True)
def _alone() -> None:
    """Closes what earlier tests left open: a cost log stays open after the configuration it belonged to."""
    cost.configure(None, None)
    for reference in list(logging._handlerList):  # type: ignore[attr-defined]
        if isinstance(handler := reference(), logspool.SpoolHandler):
            handler.close()
    gc.collect()


def descriptors() -> dict[str, str]:
    """What this process has open, but for standard error, which logspool keeps a duplicate of once it has said something."""
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        if "logspool" in target or ".jsonl" in target or "test_" in target:
            found[fd] = target
    return found


def threads() -> int:
    """Native threads of logspool."""
    names = [(Path("/proc/self/task") / task / "comm").read_text() for task in os.listdir("/proc/self/task")]
    return sum(name.startswith("logspool-") and "stderr" not in name for name in names)


def opened(logger: logging.Logger, path: Path, **settings: object) -> logspool.SpoolHandler:
    handler = logspool.SpoolHandler(path, **settings)  # type: ignore[arg-type]
    logger.addHandler(handler)
    return handler


def closed(logger: logging.Logger, handler: logspool.SpoolHandler) -> None:
    logger.removeHandler(handler)
    handler.close()


def test_closing_the_last_log_of_a_directory_gives_back_its_files(logger: logging.Logger, tmp_path: Path) -> None:
    before = descriptors()
    for round in range(3):
        for place in ("a", "b"):
            handlers = [opened(logger, tmp_path / place / f"{n}.jsonl") for n in range(2)]
            logger.info("round %d in %s", round, place)
            closed(logger, handlers[0])
            assert len(list((tmp_path / place / ".logspool").glob("*.ring"))) == 1, "the other log needs it"
            closed(logger, handlers[1])
            assert not list((tmp_path / place / ".logspool").glob("*.ring"))
        assert descriptors() == before
    for place in ("a", "b"):
        for n in range(2):
            assert events(tmp_path / place / f"{n}.jsonl") == [f"round {round} in {place}" for round in range(3)]


def test_closing_the_last_log_ends_the_threads(script: Callable[..., object]) -> None:
    script(
        """
        import logging, os, time
        import logspool

        def threads():
            return len(os.listdir("/proc/self/task"))

        log = logging.getLogger("x")
        log.setLevel(logging.INFO)
        for n in range(3):
            handlers = [logspool.SpoolHandler(f"{place}/x.jsonl") for place in ("a", "b")]
            for handler in handlers:
                log.addHandler(handler)
            log.info("x")
            assert threads() > 1
            for handler in handlers:
                log.removeHandler(handler)
                handler.close()
            # A thread that was joined may still stand there for a moment.
            deadline = time.monotonic() + 30
            while threads() != 1:
                assert time.monotonic() < deadline, os.listdir("/proc/self/task")
        stats = logspool.stats()
        assert stats["emitted"] == stats["written"] == 6, stats
        assert not stats["spools"]
        """
    )


def test_a_record_after_close_finds_the_log_where_it_was(
    logger: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    handler = opened(logger, Path("x.jsonl"))
    for n in range(3):
        logger.info("%d", n)
        handler.close()
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert handler.baseFilename == str(tmp_path / "x.jsonl")
    assert events(tmp_path / "x.jsonl") == ["0", "1", "2"]
    assert os.listdir(tmp_path / "elsewhere") == []


def test_threads_that_log_while_the_log_is_closed_again_and_again_lose_nothing(
    logger: logging.Logger, tmp_path: Path
) -> None:
    handler = opened(logger, tmp_path / "x.jsonl", block_timeout=None)

    def work(t: int) -> None:
        for n in range(300):
            logger.info("%d %d", t, n)

    workers = [threading.Thread(target=work, args=(t,)) for t in range(4)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        handler.close()
    for worker in workers:
        worker.join()
    handler.close()
    found = events(tmp_path / "x.jsonl")
    for t in range(4):
        assert [event for event in found if event.startswith(f"{t} ")] == [f"{t} {n}" for n in range(300)]


def test_a_log_that_is_forgotten_without_being_closed_goes_by_itself(logger: logging.Logger, tmp_path: Path) -> None:
    before = descriptors()
    handler = opened(logger, tmp_path / "x.jsonl")
    logger.info("x")
    logger.removeHandler(handler)
    del handler
    eventually(lambda: descriptors() == before and not threads(), "the writer lets go of it")
    assert events(tmp_path / "x.jsonl") == ["x"]


@pytest.mark.parametrize("place", ["shm", "directory"])
def test_the_place_of_a_spool_elsewhere_goes_when_it_is_empty(
    logger: logging.Logger, tmp_path: Path, place: str
) -> None:
    spool_dir = "shm" if place == "shm" else str(tmp_path / "spools")
    parent = Path("/dev/shm") / f"logspool.{os.geteuid()}" if place == "shm" else tmp_path / "spools" / "logspool"
    log = tmp_path / "logs" / "x.jsonl"
    handler = opened(logger, log, spool_dir=spool_dir)
    found = log.parent.stat()
    own = parent / f"{found.st_dev:x}-{found.st_ino:x}"
    assert len(list(own.glob("*.ring"))) == 1
    (own / "another").touch()  # another process's ring, say
    closed(logger, handler)
    assert [file.name for file in own.iterdir()] == ["another"]
    (own / "another").unlink()
    handler = opened(logger, log, spool_dir=spool_dir)
    logger.info("x")
    closed(logger, handler)
    assert not own.exists()
    assert events(log) == ["x"]
