"""Per-session logs, one component's debug file, and summaries of noisy events (req 66)."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from logfiles import events, eventually, records, segments

import logspool
from logspool import _options, _settings
from logspool.sessions import SessionHandler, debug_file
from logspool.summaries import Summarise

Script = Callable[..., CompletedProcess[str]]


def test_each_session_has_its_file_and_few_are_open(logger: logging.Logger, tmp_path: Path) -> None:  # req 66
    handler = SessionHandler(tmp_path / "sessions", open_logs=3)
    logger.addHandler(handler)
    names = [f"C1:{n}/../x" for n in range(10)] + ["plain"]
    for turn in range(3):
        for name in names:
            with logspool.bound(session_key=name):
                logger.info("turn %d", turn)
            assert len(handler.open_logs) <= 3
    logger.info("of no session")
    logger.info("by the call", extra={"session_key": "plain"})
    handler.close()
    assert handler.open_logs == []
    assert logspool.flush()
    paths = [Path(handler.path(name)) for name in names]
    assert len(set(paths)) == len(names) and all(path.parent == tmp_path / "sessions" for path in paths)
    for name, path in zip(names, paths, strict=True):
        every = ["turn 0", "turn 1", "turn 2"] + (["by the call"] if name == "plain" else [])
        assert [record["event"] for record in records(path)] == every
        assert {record["fields"]["session_key"] for record in records(path)} == {name}


def test_a_sessions_records_survive_sigkill(script: Script, tmp_path: Path) -> None:  # req 66
    program = """
        import logging, os, signal, sys, logspool
        from logspool.sessions import SessionHandler
        logging.getLogger().addHandler(SessionHandler("sessions", open_logs=2))
        for n in range(int(sys.argv[1])):
            logging.warning("record %d", n, extra={"session_key": f"s{n % 5}"})
        if len(sys.argv) > 2:
            os.kill(os.getpid(), signal.SIGKILL)
        """
    script(program, "100", "kill", status=-9)
    script(program, "1")
    for n in range(5):
        found = events(tmp_path / "sessions" / f"session_s{n}.jsonl")
        assert found[:20] == [f"record {k}" for k in range(n, 100, 5)]


def test_settings_of_sessions_are_checked_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="open_logs=0: expected"):
        SessionHandler(tmp_path, open_logs=0)
    with pytest.raises(TypeError, match="has no setting backup"):
        SessionHandler(tmp_path, backup=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="has no setting delay"):
        SessionHandler(tmp_path, delay=True)  # type: ignore[call-arg]


def test_what_is_typed_is_what_is_taken(logger: logging.Logger, tmp_path: Path) -> None:
    assert _options.RotatingOptions.__annotations__.keys() == set(_settings.HANDLER_NAMES)
    assert _options.FileOptions.__annotations__.keys() == {*_settings.HANDLER_NAMES, "delay"}
    handler = SessionHandler(tmp_path, maxBytes="4KB", backupCount=2, gzip=False)
    logger.addHandler(handler)
    with debug_file(f"{logger.name}.part", tmp_path / "debug.jsonl", delay=True, maxBytes="4KB", backupCount=2):
        assert not (tmp_path / "debug.jsonl").exists()
        for n in range(100):
            logger.getChild("part").info("record %d", n, extra={"session_key": "S"})
    handler.close()
    for path in (Path(handler.path("S")), tmp_path / "debug.jsonl"):
        eventually(lambda path=path: len(segments(path)) == 3, "the oldest to be deleted")  # type: ignore[misc]


def test_a_components_debug_file_holds_its_debug_records_and_no_other_log_does(
    logger: logging.Logger, tmp_path: Path
) -> None:  # req 66
    logger.setLevel(logging.INFO)
    logger.addHandler(logspool.SpoolHandler(tmp_path / "main.jsonl"))
    part = logging.getLogger(f"{logger.name}.patcher")
    below, quiet, other = part.getChild("diff"), part.getChild("quiet"), logger.getChild("other")
    quiet.setLevel(logging.ERROR)
    with debug_file(part.name, tmp_path / "debug.jsonl"):
        with pytest.raises(ValueError, match="it has a debug file"):
            debug_file(part.name, tmp_path / "another.jsonl")
        with debug_file(below.name, tmp_path / "diff.jsonl"):
            below.debug("d1")
        part.debug("d2"), below.debug("d3"), quiet.warning("no"), other.debug("no")
        part.info("i1"), below.warning("w1"), quiet.error("e1"), other.info("i2")
    part.debug("no"), part.info("i3")
    assert logspool.flush()
    assert (part.level, part.propagate, part.handlers) == (logging.NOTSET, True, [])
    assert events(tmp_path / "diff.jsonl") == ["d1"]
    assert events(tmp_path / "debug.jsonl") == ["d1", "d2", "d3", "i1", "w1", "e1"]
    assert events(tmp_path / "main.jsonl") == ["i1", "w1", "e1", "i2", "i3"]


def test_noisy_events_become_one_count_a_period_and_no_warning_is_lost(
    logger: logging.Logger, tmp_path: Path, monkeypatch: Any
) -> None:  # req 66
    class LLMCallEvent:
        def __str__(self) -> str:
            return "a long text"

    now = [1000.0]
    monkeypatch.setattr("logspool.summaries.time.monotonic", lambda: now[0])
    noisy = f"{logger.name}.framework"
    summarise = Summarise(noisy, every=60)
    for name in ("a", "b"):  # one filter, two handlers: a record counts once
        handler = logspool.SpoolHandler(tmp_path / f"{name}.jsonl")
        handler.addFilter(summarise)
        logger.addHandler(handler)
    log = logging.getLogger(f"{noisy}.events")
    for n in range(5):
        log.info(LLMCallEvent())
        log.debug("message %d", n)
        log.warning("careful %d", n)
    logger.info("mine")
    now[0] += 60
    logger.info("mine again")
    log.info("one more")
    summarise.flush()
    summarise.flush()
    assert logspool.flush()
    for name in ("a", "b"):
        found = records(tmp_path / f"{name}.jsonl")
        warnings = [f"careful {n}" for n in range(5)]
        assert [r["event"] for r in found if r["level"] == "WARNING"] == warnings
        assert sorted(r["event"] for r in found if r["logger"] == logger.name) == ["mine", "mine again"]
        summaries = [r for r in found if r["logger"] == noisy]
        assert [(r["level"], r["fields"]["count"], r["fields"]["kinds"]) for r in summaries] == [
            ("INFO", 10, {"LLMCallEvent": 5, "message %d": 5}),
            ("INFO", 1, {"one more": 1}),
        ]
        assert len(found) == 9


def summarising(logger: logging.Logger, path: Path, every: float) -> tuple[logging.Logger, Summarise]:
    """The noisy logger of a log that summarises it, and the filter."""
    noisy = f"{logger.name}.framework"
    summarise = Summarise(noisy, every=every)
    handler = logspool.SpoolHandler(path)
    handler.addFilter(summarise)
    logger.addHandler(handler)
    return logging.getLogger(f"{noisy}.events"), summarise


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "logspool-summaries"]


def test_a_count_is_written_when_its_period_ends_whatever_else_is_logged(
    logger: logging.Logger, tmp_path: Path
) -> None:  # req 66
    path = tmp_path / "a.jsonl"
    log, _ = summarising(logger, path, every=0.02)
    own = logger.getChild("own")
    own.propagate = False
    slow, _ = summarising(own, tmp_path / "b.jsonl", every=3600)
    slow.info("counted")
    for period in range(1, 4):
        log.info("counted")
        # Not by a flush, which would write it: nothing but time passes.
        eventually(lambda: path.stat().st_size and len(records(path)) == period, "the summary")  # noqa: B023
        assert threads() == ["logspool-summaries"]  # one for both filters
    assert [record["fields"]["count"] for record in records(path)] == [1, 1, 1]
    logspool.flush()
    eventually(lambda: threads() == [], "the thread to go when nobody counts")
    assert records(tmp_path / "b.jsonl")[0]["fields"]["kinds"] == {"counted": 1}
    own.handlers[-1].close()
    own.handlers.clear()


@pytest.mark.parametrize("how", ["logspool.flush", "logspool.shutdown", "flush", "close", "filter"])
def test_a_flush_writes_what_was_counted(logger: logging.Logger, tmp_path: Path, how: str) -> None:  # req 66
    log, summarise = summarising(logger, tmp_path / "a.jsonl", every=3600)
    handler = logger.handlers[-1]
    ways = {
        "logspool.flush": logspool.flush,
        "logspool.shutdown": logspool.shutdown,
        "flush": handler.flush,
        "close": handler.close,
        "filter": summarise.flush,
    }
    for _ in range(3):
        log.info("event")
    ways[how]()
    ways[how]()
    logspool.flush()
    (summary,) = records(tmp_path / "a.jsonl")
    assert summary["fields"]["count"] == 3


def test_a_summary_is_of_no_session(logger: logging.Logger, tmp_path: Path) -> None:  # req 66
    log, _ = summarising(logger, tmp_path / "a.jsonl", every=3600)
    sessions = SessionHandler(tmp_path / "sessions")
    logger.addHandler(sessions)
    with logspool.bound(session_key="S", session_id="S"):
        log.info("event")
        logspool.flush()
    (summary,) = records(tmp_path / "a.jsonl")
    assert not summary.keys() & {"session_id", "thread", "task"} and "session_key" not in summary["fields"]
    assert events(Path(sessions.path("S"))) == ["event"]
    sessions.close()


def test_a_filter_that_raises_stops_no_period(
    logger: logging.Logger, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log, _ = summarising(logger, tmp_path / "a.jsonl", every=0.02)
    path = tmp_path / "a.jsonl"
    fails: list[int] = [1]

    def refuse(record: logging.LogRecord) -> bool:
        if fails and record.name == f"{logger.name}.framework":
            fails.pop()
            raise RuntimeError("no such colour")
        return True

    logger.handlers[-1].addFilter(refuse)
    log.info("event")
    eventually(lambda: not fails, "the first summary")
    log.info("another event")
    eventually(lambda: path.stat().st_size and records(path), "the second summary")
    assert "a summary of" in (said := capfd.readouterr().err) and "no such colour" in said


def test_periods_end_in_parents_and_children_of_forks_without_a_warning(script: Script, tmp_path: Path) -> None:
    # What each wrote is looked at before anything could flush it; 3.13 begins the thread again with the next record.
    done = script(
        """
        import json, logging, os, time, warnings
        warnings.simplefilter("error")
        import logspool
        from logspool.summaries import Summarise

        def seen(path, total):
            # Waits until the summaries of this process are of so many records.
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                with open(path) as file:
                    mine = [r["fields"]["count"] for r in map(json.loads, file) if r["pid"] == os.getpid()]
                if sum(mine) == total:
                    return True
                time.sleep(0.01)
            return False

        path = os.path.abspath("a.jsonl")
        handler = logspool.basicConfig(filename=path, level="INFO", console=False)
        handler.addFilter(Summarise("noisy", every=0.2))
        for turn in range(3):
            logging.getLogger("noisy").info("before")
            logging.getLogger("noisy").info("before")
            if (child := os.fork()) == 0:
                status = 1
                try:
                    for _ in range(5):
                        logging.getLogger("noisy").info("in the child")
                    status = 0 if seen(path, 5) else 2
                finally:
                    os._exit(status)
            logging.getLogger("noisy").info("after")
            assert seen(path, 3 * (turn + 1))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """
    )
    assert done.stderr == ""


def test_a_period_keeps_no_program_from_ending_and_its_last_words_are_written(
    script: Script, tmp_path: Path
) -> None:  # req 66
    script(
        """
        import atexit, logging, logspool
        late = lambda: logging.getLogger("noisy").info("after the last count")
        atexit.register(late)  # runs last
        from logspool.summaries import Summarise
        handler = logspool.basicConfig(filename="a.jsonl", level="INFO")
        handler.addFilter(Summarise("noisy", every=1e12))
        logging.getLogger("noisy").info("event")
        """
    )
    assert [record["event"] for record in records(tmp_path / "a.jsonl")] == [
        "1 records summarised", "after the last count",
    ]  # fmt: skip


def test_the_last_count_is_written_at_exit(script: Script, tmp_path: Path) -> None:  # req 66
    script(
        """
        import logging, logspool
        from logspool.summaries import Summarise
        handler = logspool.basicConfig(filename="a.jsonl", level="INFO")
        handler.addFilter(Summarise("noisy"))
        for n in range(100):
            logging.getLogger("noisy.part").info("event %d", n)
        """
    )
    (summary,) = records(tmp_path / "a.jsonl")
    assert summary["fields"]["kinds"] == {"event %d": 100}


def test_the_documents_example_writes_what_it_says(script: Script, tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "llm-audit.md").read_text()
    script(re.findall(r"```python\n(.*?)```", document, re.DOTALL)[1])
    logs = tmp_path / "logs"
    said = "in app.jsonl and in sessions/session_C1.jsonl"
    assert events(logs / "patcher-debug.jsonl") == ["only in patcher-debug.jsonl"]
    assert events(logs / "sessions" / "session_C1.jsonl") == [said]
    assert records(logs / "app.jsonl")[0]["event"] == said
    assert records(logs / "app.jsonl")[1]["fields"]["kinds"] == {"counted in app.jsonl": 1}


def test_any_number_of_sessions_keep_their_records_with_few_files_open(
    tmp_path: Path, script: Script
) -> None:  # req 66
    """More sessions than one spool's table has places, beside a log of the same directory that is always open."""
    script(
        """
        import logging, os, logspool
        from logspool.sessions import SessionHandler
        logspool.basicConfig(filename="sessions/app.jsonl", console=False)
        logging.getLogger().addHandler(SessionHandler("sessions", open_logs=32))
        most = 0
        for turn in range(2):
            for n in range(300):
                logging.info("turn %d", turn, extra={"session_key": f"s{n}"})
                most = max(most, len(os.listdir("/proc/self/fd")))
        assert most < 700, most
        assert logspool.flush(30)
        stats = logspool.stats()
        assert stats["dropped"] == 0 and stats["written"] == 1200, stats
        """
    )
    for n in range(300):
        assert events(tmp_path / "sessions" / f"session_s{n}.jsonl") == ["turn 0", "turn 1"]
    assert events(tmp_path / "sessions" / "app.jsonl") == ["turn 0"] * 300 + ["turn 1"] * 300


def test_sessions_of_more_than_one_spool_survive_sigkill_in_order(tmp_path: Path, script: Script) -> None:  # req 66
    program = """
        import logging, os, signal, sys, logspool
        from logspool.sessions import SessionHandler
        logspool.basicConfig(filename="sessions/app.jsonl", console=False)
        logging.getLogger().addHandler(SessionHandler("sessions", open_logs=4))
        for n in range(int(sys.argv[1])):
            logging.info("record %d", n, extra={"session_key": f"s{n % 70}"})
        if len(sys.argv) > 2:
            os.kill(os.getpid(), signal.SIGKILL)
        """
    script(program, "200", "kill", status=-9)
    script(program, "1")
    assert events(tmp_path / "sessions" / "app.jsonl")[:200] == [f"record {n}" for n in range(200)]
    for n in range(70):
        found = events(tmp_path / "sessions" / f"session_s{n}.jsonl")
        assert found[: len(range(n, 200, 70))] == [f"record {k}" for k in range(n, 200, 70)]


def test_any_key_is_a_file_of_its_own_in_the_directory(logger: logging.Logger, tmp_path: Path) -> None:  # req 66
    handler = SessionHandler(tmp_path / "sessions")
    logger.addHandler(handler)
    keys: list[object] = ["../../x", "..", "", "a/b", "a-b", "漢" * 100, "漢" * 300, "🙂" * 200, "a\n\0b", "\ud800", 5]
    keys.append(Path(handler.path("a/b")).stem.removeprefix("session_"))  # the name that another key's file has
    for number, key in enumerate(keys):
        logger.info("%d", number, extra={"session_key": key})
    handler.flush()
    assert [events(Path(handler.path(str(key)))) for key in keys] == [[str(number)] for number in range(len(keys))]
    assert len(list((tmp_path / "sessions").glob("session_*.jsonl"))) == len(keys)


def test_more_open_logs_than_a_directory_can_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="open_logs=49: expected a whole number from 1 to 48"):
        SessionHandler(tmp_path, open_logs=49)
