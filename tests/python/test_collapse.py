"""Collapse: identical records within a window are the first of them, written at once, and one with how often it came again."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logfiles import DEADLINE_SECONDS, eventually, lines, records
from tests.fastpath.world import fast_calls, fresh_logging

import logspool

Script = Callable[..., "subprocess.CompletedProcess[str]"]
ROUTES = pytest.mark.parametrize("fast", [True, False], ids=["fast", "standard"])
HOUR = 3600


@contextmanager
def log(path: Path, *, fast: bool = True, **given: Any) -> Iterator[logspool.SpoolHandler]:
    """A logging module of the test's own at DEBUG, with one log."""
    with fresh_logging():
        handler = logspool.SpoolHandler(path, **{"spool_bytes": "1MB", "collapse": HOUR, **given})
        logging.root.setLevel(logging.DEBUG)
        logging.root.addHandler(handler)
        if fast:
            logspool.install()
        try:
            yield handler
        finally:
            handler.close()


def told(path: Path) -> list[tuple[str, int]]:
    """Event and count of each line; 0 is a record itself."""
    found = [(record["event"], record.get("fields", {}).get("repeated")) for record in records(path)]
    return [(event, repeated["count"] if repeated else 0) for event, repeated in found]


def total(path: Path) -> int:
    """How many records the lines stand for."""
    return sum(count or 1 for _, count in told(path))


@ROUTES
def test_the_first_is_written_at_once_and_the_others_are_one_record(tmp_path: Path, fast: bool) -> None:
    path = tmp_path / "a.jsonl"
    with log(path, fast=fast) as handler:
        before, calls = logspool.stats(), fast_calls()
        for n in range(5):
            logging.getLogger("app").error("the disk is %s", "slow", extra={"disk": 1, "nested": {"a": [1]}})
            logging.getLogger("app").info("n %d", n)
        assert (fast_calls()[0] - calls[0] >= 8) is fast
        after = logspool.stats()
        assert (after["emitted"] - before["emitted"], after["collapsed"] - before["collapsed"]) == (6, 4)
        # There before any window ends or anybody flushes.
        eventually(lambda: len(told(path)) == 6, "the first ones are in the segment")
        assert told(path)[:2] == [("the disk is slow", 0), ("n 0", 0)]
        handler.flush()
        assert told(path)[6:] == [("the disk is slow", 4)]
    first, last = records(path)[0], records(path)[6]
    repeated = last["fields"].pop("repeated")
    assert list(repeated) == ["count", "first", "last"]
    assert first["ts"] < repeated["first"] < repeated["last"] == last["ts"]
    for record in (first, last):
        del record["ts"], record["seq"]
    assert first == last


def test_the_count_is_written_when_the_window_ends_though_nobody_logs_any_more(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with log(path, collapse="0.3"):
        for _ in range(7):
            logging.getLogger("app").info("again")
        eventually(lambda: total(path) == 7, "the count is written by itself")
        assert told(path)[0] == ("again", 0)
        # Written once.
        logspool.flush()
        assert total(path) == 7


ENDS = {
    "exit": "",
    "sys.exit": "sys.exit(0)",
    "an exception": "status = 1; raise ValueError",
    "shutdown": "logspool.shutdown(); os._exit(0)",
    "flush": "logspool.flush(); os._exit(0)",
    "logging.shutdown": "logging.shutdown(); os._exit(0)",
    "close": "[h.close() for h in logging.root.handlers[:]]; os._exit(0)",
    "handler dropped": "logging.root.handlers.clear(); logging.config.dictConfig({'version': 1})",
}


@pytest.mark.parametrize("end", ENDS)
def test_at_every_orderly_end_the_count_is_written(script: Script, tmp_path: Path, end: str) -> None:
    script(
        f"""
        import logging, logging.config, logspool, os, sys
        logspool.basicConfig(filename="a.jsonl")
        for n in range(50):
            logging.getLogger("app").info("again")
            logging.getLogger("app").info("and again")
        {ENDS[end]}
        """,
        env={"LOG_COLLAPSE": "3600"},
        status=1 if end == "an exception" else 0,
    )
    assert told(tmp_path / "a.jsonl") == [("again", 0), ("and again", 0), ("again", 49), ("and again", 49)]


def test_records_after_the_end_are_each_written(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool
        logspool.basicConfig(filename="a.jsonl", collapse=3600)
        logging.info("again")
        logspool.shutdown()
        logging.info("again")
        logging.info("again")
        """
    )
    assert told(tmp_path / "a.jsonl") == [("again", 0)] * 3


def test_sigkill_takes_the_count_and_leaves_the_first(tmp_path: Path) -> None:
    code = """
import logging, logspool, os, signal
logspool.basicConfig(filename="a.jsonl", collapse=3600)
for n in range(5):
    logging.getLogger("app").error("again")
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ}, timeout=DEADLINE_SECONDS)
    assert killed.returncode == -signal.SIGKILL
    subprocess.run([sys.executable, "-m", "logspool", "recover", "."], cwd=tmp_path, check=True, capture_output=True)
    assert told(tmp_path / "a.jsonl") == [("again", 0)]


def test_a_forked_child_counts_its_own(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool, os, sys
        logspool.basicConfig(filename="a.jsonl", collapse=3600)
        def say(count):
            for n in range(count):
                logging.info("again")
        say(5)
        child = os.fork()
        if child == 0:
            assert logspool.stats()["collapsed"] == 0
            say(3)
            assert logspool.stats()["collapsed"] == 2
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        say(5)
        """
    )
    assert sorted(told(tmp_path / "a.jsonl")) == [("again", 0), ("again", 0), ("again", 2), ("again", 9)]


@ROUTES
def test_from_any_thread_none_is_lost(tmp_path: Path, fast: bool) -> None:
    path = tmp_path / "a.jsonl"
    with log(path, fast=fast, collapse=0.05):

        def work() -> None:
            for n in range(1500):
                logging.getLogger("app").info("one of %d", n % 50 if n % 3 else n)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert total(path) == 9000
    assert len(told(path)) < 9000
    assert {count for _, count in told(path)} > {0}


@ROUTES
def test_only_what_says_the_same_is_collapsed(tmp_path: Path, fast: bool) -> None:
    path = tmp_path / "a.jsonl"

    def say(thread: str) -> None:
        threading.current_thread().name = thread
        log = logging.getLogger("app")
        log.info("a")
        log.warning("a")
        log.info("a", extra={"n": 1})
        log.info("a", extra={"n": 2})
        log.info("a", extra={"request_id": "1"})
        log.info("a", extra={"category": "llm"})
        logging.getLogger("app.x").info("a")
        for number in (1, 2):
            try:
                raise ValueError(number)
            except ValueError:
                log.exception("a")

    with log(path, fast=fast):
        for thread in ("one", "two", "three"):
            runs = threading.Thread(target=say, args=(thread,))
            runs.start()
            runs.join()
    found = told(path)
    assert found == [("a", 0)] * 9 + [("a", 2)] * 9
    assert [record["exception"]["message"] for record in records(path) if "exception" in record] == ["1", "2", "1", "2"]


def test_a_field_of_the_users_named_repeated_keeps_its_name(tmp_path: Path) -> None:
    with log(tmp_path / "a.jsonl"):
        for _ in range(3):
            logging.info("again", extra={"repeated": "mine"})
    found = records(tmp_path / "a.jsonl")
    assert found[0]["fields"] == {"repeated": "mine"}
    assert found[1]["fields"]["repeated"] == "mine"
    assert found[1]["fields"]["repeated#2"]["count"] == 2


def test_costs_are_never_collapsed(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logspool
        logspool.basicConfig(filename="a.jsonl", collapse=3600, cost_filename=None)
        for _ in range(5):
            logspool.log_cost("premium", "gpt", prompt_tokens=1)
        """
    )
    assert told(tmp_path / "a.jsonl") == [("openrouter_cost", 0)] * 5


@pytest.mark.parametrize(
    "format_",
    [None, "%(asctime)s %(levelname)s %(message)s", "%(levelname)s:%(name)s:%(message)s", "%(message)s at %(asctime)s"],
)
def test_a_text_log_says_behind_the_line_how_often_it_was_repeated(tmp_path: Path, format_: str | None) -> None:
    path = tmp_path / "a.log"
    with log(path, json=False) as handler:
        handler.setFormatter(logging.Formatter(format_) if format_ else None)
        for n in range(3):
            logging.getLogger("app").info("slow")
            logging.getLogger("app").info("n %d", n)
            record = logging.makeLogRecord(
                {"name": "app", "levelname": "INFO", "levelno": 20, "msg": "once", "created": n}
            )
            handler.handle(record)
    found = lines(path)
    assert len(found) == 7
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
    for text, of in (("slow", found[0]), ("once", found[2])):
        again = [line for line in found[5:] if text in line]
        assert len(again) == 1
        assert re.fullmatch(re.escape(of) + rf" … \(repeated 2 times, first {time}, last {time}\)", again[0])


def test_the_command_finds_nothing_wrong_with_such_logs(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool
        logspool.basicConfig(filename="logs/a.jsonl", collapse=3600, sample={"noise": 3}, maxBytes=20_000)
        for n in range(500):
            logging.getLogger("noise").info("n %d", n % 7)
            logging.getLogger("app").info("n %d", n % 70)
        """
    )
    done = subprocess.run(
        [sys.executable, "-m", "logspool", "verify", "--json", "logs"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)


def test_counts_wait_for_room_in_a_full_spool(script: Script, tmp_path: Path) -> None:
    """What was counted is written or dropped like any record: the sum stands either way."""
    result = script(
        """
        import json, logging, logspool
        logspool.basicConfig(filename="a.jsonl", collapse=0.01, spool_bytes="64KB", when_full="drop_newest")
        for n in range(30_000):
            logging.getLogger("app").info("one of %d %s", n % 50, "x" * 300)
        logspool.flush()
        s = logspool.stats()
        assert s["emitted"] == s["written"] + s["dropped"] + s["in_flight"], s
        print(json.dumps(s))
        """
    )
    s = json.loads(result.stdout)
    assert s["collapsed"] > 0
    found = [record for record in records(tmp_path / "a.jsonl") if record["logger"] == "app"]
    firsts = sum("repeated" not in record.get("fields", {}) for record in found)
    assert s["written"] == len(found)
    # Every call is a first one, or collapsed; of both what was dropped is not there.
    if s["dropped"] == 0:
        assert firsts + s["collapsed"] == 30_000
        assert total(tmp_path / "a.jsonl") == 30_000


@settings(max_examples=30, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    said=st.lists(
        st.tuples(st.sampled_from("ab"), st.text(max_size=4), st.dictionaries(st.text(max_size=3), st.none())),
        max_size=40,
    )
)
def test_both_routes_leave_the_same_behind(
    said: list[tuple[str, str, dict[str, None]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    left = []
    for fast in (True, False):
        path = tmp_path_factory.mktemp("log") / "a.jsonl"
        with log(path, fast=fast):
            for name, text, fields in said:
                logging.getLogger(name).info("%s", text, extra={"fields": fields})
        assert total(path) == len(said)
        found = records(path)
        for record in found:
            del record["ts"], record["seq"]
            repeated = [value for value in record.get("fields", {}).values() if value]
            for value in repeated:
                del value["first"], value["last"]
        left.append(found)
    assert left[0] == left[1]


@pytest.mark.parametrize(
    ("given_", "wanted"), [(5, 5.0), ("0.5", 0.5), (None, None), ("none", None), (0, None), (86_400, 86_400.0)]
)
def test_what_collapse_may_be(given_: Any, wanted: float | None) -> None:
    assert logspool._values.collapse(given_) == wanted


@pytest.mark.parametrize("wrong", [-1, True, "often", 86_401, float("nan"), float("inf"), [1]])
def test_what_collapse_may_not_be(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match="collapse"):
        logspool.SpoolHandler(tmp_path / "a.jsonl", collapse=wrong)
    assert list(tmp_path.iterdir()) == []


def test_counts_move_with_their_log_when_its_directory_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.jsonl"
    with log(path) as handler:

        def say(event: str, count: int) -> None:
            for _ in range(count):
                logging.getLogger("app").info(event)

        say("again", 5)
        eventually(lambda: told(path) == [("again", 0)], "the first is in the segment")
        shutil.rmtree(path.parent)
        # Found out by the writer with a record; the next one moves.
        eventually(lambda: say("there?", 1) is None and path.exists(), "the directory is made again")
        say("last", 1)
        handler.flush()
        assert ("again", 4) in told(path)
    assert told(path).count(("again", 4)) == 1
