"""Sampling: of records below WARNING that a rule covers, exactly one in N is kept, or N a second; the log says what was not."""

from __future__ import annotations

import logging
import logging.config
import logging.handlers
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logfiles import DEADLINE_SECONDS, lines, records
from tests.fastpath.world import fast_calls, fresh_logging

import logspool

Script = Callable[..., "subprocess.CompletedProcess[str]"]
ROUTES = pytest.mark.parametrize("fast", [True, False], ids=["fast", "standard"])


@contextmanager
def logs(directory: Path, *, fast: bool, **named: dict[str, Any]) -> Iterator[list[logspool.SpoolHandler]]:
    """A logging module of the test's own at DEBUG, with a handler for each name and its settings on the root logger."""
    with fresh_logging():
        handlers = [
            logspool.SpoolHandler(directory / f"{name}.jsonl", spool_bytes="1MB", **given)
            for name, given in named.items()
        ]
        logging.root.setLevel(logging.DEBUG)
        for handler in handlers:
            logging.root.addHandler(handler)
        if fast:
            logspool.install()
        try:
            yield handlers
        finally:
            for handler in handlers:
                handler.close()


def said(path: Path) -> list[str]:
    """The events of a log without logspool's own."""
    return [record["event"] for record in records(path) if record["logger"] != "logspool"]


def announced(path: Path) -> list[dict[str, Any]]:
    """The fields of the announcements in a log."""
    found = [record for record in records(path) if record["event"] == "records_sampled"]
    assert all((record["level"], record["logger"]) == ("INFO", "logspool") for record in found)
    return [record["fields"] for record in found]


# req 36
@ROUTES
def test_the_first_of_every_n_records_below_warning_is_kept(tmp_path: Path, fast: bool) -> None:
    with logs(tmp_path, fast=fast, a={"sample": {"app.db": 4}}):
        before = fast_calls()
        for n in range(10):
            logging.getLogger("app.db").debug("debug %d", n)
            logging.getLogger("app.db.pool").info("info %d", n)
            logging.getLogger("app.db").log(15, "fifteen %d", n)
            logging.getLogger("app").info("elsewhere %d", n)
            logging.getLogger("app.dbx").info("beside %d", n)
            for level in (30, 40, 50):
                logging.getLogger("app.db").log(level, "%d at %d", n, level)
        # A level without a name, and the first call at each, take the standard way.
        assert (fast_calls()[0] - before[0] > 50) is fast
    wanted = []
    for n in range(10):
        sampled = [f"debug {n}", f"info {n}", f"fifteen {n}"]
        wanted += [event for at, event in enumerate(sampled) if (3 * n + at) % 4 == 0]
        wanted += [f"elsewhere {n}", f"beside {n}", *(f"{n} at {level}" for level in (30, 40, 50))]
    assert said(tmp_path / "a.jsonl") == wanted


@ROUTES
def test_handlers_of_one_logger_keep_the_same_records(tmp_path: Path, fast: bool) -> None:
    rule: dict[str, Any] = {"sample": {"app": 10}}
    with logs(tmp_path, fast=fast, a=rule, b=rule, all={}, other={"sample": {"app": 7}}):
        on_the_way = logspool.SpoolHandler(tmp_path / "near.jsonl", **rule)
        logging.getLogger("app").addHandler(on_the_way)

        def work() -> None:
            for n in range(500):
                logging.getLogger("app.part").info("%s %d", threading.current_thread().name, n)

        threads = [threading.Thread(target=work) for _ in range(4)]
        interval = sys.getswitchinterval()
        # Others log between a record's first handler and its last.
        sys.setswitchinterval(1e-6)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)
        on_the_way.close()
    kept = {name: sorted(said(tmp_path / f"{name}.jsonl")) for name in ("a", "b", "near", "all", "other")}
    assert kept["a"] == kept["b"] == kept["near"]
    assert {name: len(events) for name, events in kept.items()} == {
        "a": 200,
        "b": 200,
        "near": 200,
        "all": 2000,
        "other": 286,
    }
    assert set(kept["other"]) | set(kept["a"]) < set(kept["all"])


@ROUTES
def test_the_first_log_that_a_record_reaches_decides_for_all(tmp_path: Path, fast: bool) -> None:
    rule: dict[str, Any] = {"sample": {"app": 5}}
    with logs(tmp_path, fast=fast, far=rule):
        near = logspool.SpoolHandler(tmp_path / "near.jsonl", **rule)
        logging.getLogger("app.both").addHandler(near)
        for n in range(3):
            logging.getLogger("app.far").info("far %d", n)
        for n in range(60):
            logging.getLogger("app.both").info("both %d", n)
            # Logged while the other one is written: by no means the same record.
            logging.getLogger("app.both").info("outer %s", Logging(n))
        near.close()
    kept = said(tmp_path / "near.jsonl")
    assert {event.split()[0] for event in kept} == {"both", "outer"}
    assert said(tmp_path / "far.jsonl") == ["far 0", *kept]


class Logging:
    """Logs while it is rendered."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __str__(self) -> str:
        logging.getLogger("app.both").info("inner %d", self.number)
        return str(self.number)


@ROUTES
def test_from_several_threads_exactly_one_in_n_is_kept(tmp_path: Path, fast: bool) -> None:
    names = ("httpx", "httpcore.connection", "httpx2", "urllib3.connectionpool")
    with logs(tmp_path, fast=fast, a={"sample": 10}):

        def work() -> None:
            for n in range(500):
                logging.getLogger(names[n % len(names)]).debug("n %d", n)
                if n % 100 == 0:
                    logging.getLogger(names[0]).warning("w %d", n)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = records(tmp_path / "a.jsonl")
    assert sum(record["level"] == "DEBUG" for record in found) == 300
    assert sum(record["level"] == "WARNING" for record in found) == 30
    [fields] = announced(tmp_path / "a.jsonl")
    assert (fields["rule"], fields["kept"], fields["sampled_out"]) == ("http", 300, 2700)


def test_a_queue_in_front_changes_nothing(tmp_path: Path) -> None:
    rule: dict[str, Any] = {"sample": {"app": 10}}
    with logs(tmp_path, fast=True, direct=rule):
        behind = logspool.SpoolHandler(tmp_path / "behind.jsonl", **rule)
        waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        logging.root.addHandler(logging.handlers.QueueHandler(waiting))
        listener = logging.handlers.QueueListener(waiting, behind)
        listener.start()
        for n in range(1000):
            logging.getLogger("app").info("n %d", n)
        listener.stop()
        behind.close()
    wanted = [f"n {n}" for n in range(0, 1000, 10)]
    assert said(tmp_path / "direct.jsonl") == wanted
    assert said(tmp_path / "behind.jsonl") == wanted


def test_records_made_by_hand_are_sampled_by_their_own_logger_and_level(tmp_path: Path) -> None:
    with logs(tmp_path, fast=False, a={"sample": {"app": 5}}, b={"sample": {"app": 5}}) as (a, b):
        again = logging.makeLogRecord({"name": "app", "levelno": 20, "levelname": "INFO", "msg": "the same object"})
        for n in range(20):
            made = {"name": "app", "levelno": 10, "levelname": "DEBUG", "msg": f"made {n}"}
            logging.getLogger("elsewhere").handle(logging.makeLogRecord(made))
        for _ in range(20):
            a.handle(again)
            b.handle(again)
        for odd in (
            {},
            {"name": None, "levelno": 20},
            {"name": "app", "levelno": None},
            {"name": "app\udc80", "levelno": 20},
        ):
            for _ in range(3):
                a.handle(logging.makeLogRecord({"msg": "odd", **odd}))
    for name in "ab":
        events = said(tmp_path / f"{name}.jsonl")
        assert [event for event in events if event.startswith("made")] == [f"made {n}" for n in range(0, 20, 5)]
        assert events.count("the same object") == 4
    assert said(tmp_path / "a.jsonl").count("odd") == 12


@ROUTES
def test_what_does_not_reach_the_log_is_not_counted(tmp_path: Path, fast: bool) -> None:
    with logs(tmp_path, fast=fast, a={"sample": {"app": 3}}) as (handler,):
        log = logging.getLogger("app")
        log.setLevel(logging.INFO)
        for n in range(6):
            log.debug("below the level %d", n)
            logging.disable(logging.INFO)
            log.info("disabled %d", n)
            logging.disable(logging.NOTSET)
            handler.setLevel(logging.WARNING)
            log.info("below the handler's %d", n)
            handler.setLevel(logging.NOTSET)
            handler.addFilter(lambda record: False)
            log.info("filtered %d", n)
            handler.filters.clear()
            log.info("kept or not %d", n)
            with pytest.raises(KeyError):
                log.info("an extra that logging refuses", extra={"name": 1})
    assert said(tmp_path / "a.jsonl") == ["kept or not 0", "kept or not 3"]
    assert [fields["sampled_out"] for fields in announced(tmp_path / "a.jsonl")] == [4]


def test_what_was_sampled_out_is_counted_apart_from_what_was_emitted(tmp_path: Path) -> None:
    with logs(tmp_path, fast=True, a={"sample": {"app": 10, "app.x": "2/s"}}):
        before = logspool.stats()
        for n in range(50):
            logging.getLogger("app").info("n %d", n)
        after = logspool.stats()
        assert after["emitted"] - before["emitted"] == 5
        rules = before["sampled_out"]["rules"]
        assert after["sampled_out"]["rules"]["app"] - rules.get("app", 0) == 45
        assert after["sampled_out"]["total"] - before["sampled_out"]["total"] == 45
    assert logspool.stats()["sampled_out"]["rules"]["app"] == after["sampled_out"]["rules"]["app"]


def test_at_most_n_a_second_are_kept(tmp_path: Path) -> None:
    with logs(tmp_path, fast=True, a={"sample": {"app": "50/s"}}):
        began = time.monotonic()
        for n in range(20_000):
            logging.getLogger("app").info("n %d", n)
        took = time.monotonic() - began
    kept = said(tmp_path / "a.jsonl")
    # What the bucket holds, and what flowed in meanwhile.
    assert 50 <= len(kept) <= 50 + 50 * took + 1
    assert kept[:50] == [f"n {n}" for n in range(50)]


def test_text_logs_are_sampled_too(tmp_path: Path) -> None:
    with logs(tmp_path, fast=True, a={"sample": {"app": 2}, "json": False}):
        for n in range(5):
            logging.getLogger("app").info("n %d", n)
    found = lines(tmp_path / "a.jsonl")
    assert [line.split(" INFO ")[1] for line in found] == [
        "app: n 0",
        "app: n 2",
        "app: n 4",
        'logspool: 2 of 5 records sampled out by the rule "app" (1 in 2)',
    ]


def test_costs_and_our_own_records_are_never_sampled(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool
        logging.basicConfig()  # which is replaced, and that is told
        logspool.basicConfig(filename="a.jsonl", sample={"": 1000}, cost_filename=None)
        for n in range(7):
            logspool.log_cost("premium", "gpt", prompt_tokens=n)
            logging.info("n %d", n)
        """
    )
    found = records(tmp_path / "a.jsonl")
    events = [record["event"] for record in found]
    assert events.count("openrouter_cost") == 7
    assert [event for event in events if event.startswith("n ")] == ["n 0"]
    assert [record["event"] for record in found if record["logger"] == "logspool"][-1] == "records_sampled"
    assert any(event.startswith("replaced ") for event in events)


ENDS = {
    "exit": "",
    "sys.exit": "sys.exit(0)",
    "shutdown": "logspool.shutdown()",
    "logging.shutdown": "logging.shutdown(); os._exit(0)",
    "close": "[h.close() for h in logging.root.handlers[:]]; os._exit(0)",
    "handler dropped": "logging.root.handlers.clear(); logging.config.dictConfig({'version': 1})",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("made", ["basicConfig", "dictConfig"])
def test_what_was_sampled_out_is_announced_at_the_end(script: Script, tmp_path: Path, end: str, made: str) -> None:
    configured = {
        "basicConfig": "logspool.basicConfig(filename='a.jsonl', sample={'app': 10}, level='DEBUG')",
        "dictConfig": """logging.config.dictConfig({"version": 1, "root": {"level": "DEBUG", "handlers": ["a"]},
            "handlers": {"a": {"class": "logspool.SpoolHandler", "filename": "a.jsonl", "sample": "http=2,app=10"}}})""",
    }
    script(
        f"""
        import logging, logging.config, logspool, os, sys
        {configured[made]}
        for n in range(95):
            logging.getLogger("app").debug("n %d", n)
        {ENDS[end]}
        """
    )
    found = records(tmp_path / "a.jsonl")
    assert [record["event"] for record in found if record["logger"] == "app"] == [f"n {n}" for n in range(0, 95, 10)]
    [fields] = announced(tmp_path / "a.jsonl")
    assert list(fields) == ["rule", "kept", "sampled_out", "first", "last"]
    assert (fields["rule"], fields["kept"], fields["sampled_out"]) == ("app", 10, 85)
    assert found[0]["ts"] < fields["first"] < fields["last"] < found[-1]["ts"]


def test_a_flush_announces_nothing_and_the_end_announces_once(script: Script, tmp_path: Path) -> None:
    result = script(
        """
        import logging, logspool
        logspool.basicConfig(filename="a.jsonl", sample={"app": 10})
        for n in range(95):
            logging.getLogger("app").info("n %d", n)
            if n % 30 == 0:
                logspool.flush()
        print(open("a.jsonl").read().count("records_sampled"))
        logspool.shutdown()
        logging.getLogger("app").info("after the end")
        """
    )
    assert result.stdout.strip() == "0"
    assert [(fields["kept"], fields["sampled_out"]) for fields in announced(tmp_path / "a.jsonl")] == [(10, 85), (0, 1)]


def test_a_forked_child_counts_from_the_beginning(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool, os, sys
        logspool.basicConfig(filename="a.jsonl", sample={"app": 10}, level="INFO")
        log = logging.getLogger("app")
        def work(who, count):
            for n in range(count):
                log.info("%s %d", who, n)
        work("before", 15)
        child = os.fork()
        if child == 0:
            assert logspool.stats()["sampled_out"] == {"total": 0, "rules": {}}, logspool.stats()
            work("child", 25)
            assert logspool.stats()["sampled_out"]["total"] == 22, logspool.stats()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        work("parent", 15)
        """
    )
    found = records(tmp_path / "a.jsonl")
    kept = {who: [r["event"] for r in found if r["event"].startswith(who)] for who in ("before", "child", "parent")}
    assert kept == {
        "before": ["before 0", "before 10"],
        "child": ["child 0", "child 10", "child 20"],
        "parent": ["parent 5"],
    }
    told = sorted((fields["kept"], fields["sampled_out"]) for fields in announced(tmp_path / "a.jsonl"))
    assert told == [(3, 22), (3, 27)]


def test_counts_of_a_log_closed_and_opened_again_go_on(tmp_path: Path) -> None:
    with logs(tmp_path, fast=True, a={"sample": {"app": 4}}) as (handler,):
        for n in range(3):
            logging.getLogger("app").info("n %d", n)
        handler.close()
        for n in range(3, 6):
            logging.getLogger("app").info("n %d", n)
    assert said(tmp_path / "a.jsonl") == ["n 0", "n 4"]
    assert [(fields["kept"], fields["sampled_out"]) for fields in announced(tmp_path / "a.jsonl")] == [(1, 2), (1, 2)]


def test_sigterm_without_a_handler_loses_the_counts_and_no_record(tmp_path: Path) -> None:
    code = """
import logging, logspool, signal
logspool.basicConfig(filename="a.jsonl", sample={"app": 10})
for n in range(95):
    logging.getLogger("app").info("n %d", n)
print("ready", flush=True)
signal.pause()
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, env={**os.environ})
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    assert process.wait(DEADLINE_SECONDS) == -signal.SIGTERM
    process.stdout.close()
    subprocess.run([sys.executable, "-m", "logspool", "recover", "."], cwd=tmp_path, check=True, capture_output=True)
    assert [record["event"] for record in records(tmp_path / "a.jsonl")] == [f"n {n}" for n in range(0, 95, 10)]


_RULES = ("", "a", "a.b", "a.b.c", "b", "http")
_NAMES = ("a", "a.b", "a.b.c", "a.b.c.d", "ab", "b", "httpx", "httpx.x", "root", "logspool.x")


@settings(max_examples=40, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rules=st.dictionaries(st.sampled_from(_RULES), st.integers(1, 4), max_size=4),
    calls=st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from((5, 10, 15, 20, 29, 30, 40))), max_size=60),
)
def test_both_routes_keep_what_the_rules_say(
    rules: dict[str, int], calls: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    counts: dict[str, int] = {}

    def kept(name: str, level: int) -> bool:
        own = name == "logspool" or name.startswith("logspool.")
        prefixes = [name.rsplit(".", cut)[0] for cut in range(name.count(".") + 1)] + [""]
        for prefix in prefixes:
            rule = prefix if prefix in rules else "http" if prefix == "httpx" and level <= 10 else None
            if rule in rules and not (own and prefix == ""):
                if level >= 30:
                    return True
                counts[rule] = counts.get(rule, -1) + 1
                return counts[rule] % rules[rule] == 0
        return True

    wanted = [f"{at} {name}" for at, (name, level) in enumerate(calls) if kept(name, level)]
    for fast in (True, False):
        directory = tmp_path_factory.mktemp("log")
        with logs(directory, fast=fast, a={"sample": rules}):
            logging.root.setLevel(1)
            for at, (name, level) in enumerate(calls):
                logging.getLogger(name if name != "root" else None).log(level, "%d %s", at, name)
        path = directory / "a.jsonl"
        assert [r["event"] for r in records(path) if r["event"] != "records_sampled"] == wanted


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        (10, {"http": "10"}),
        ("10", {"http": "10"}),
        ("5/s", {"http": "5/s"}),
        (None, {}),
        ("none", {}),
        ({"app.db": 5, "app": "1_000/s", "": 2}, {"app.db": "5", "app": "1000/s", "": "2"}),
        ("http=10, app.db=5/s", {"http": "10", "app.db": "5/s"}),
        ({}, {}),
    ],
)
def test_what_sample_may_be(given_: Any, wanted: dict[str, str]) -> None:
    assert logspool._values.sample(given_) == wanted


@pytest.mark.parametrize(
    "wrong", [0, -1, True, 1.5, "often", "5/m", "/s", {"a": 0}, {"a.*": 2}, {"a.": 2}, {1: 2}, [2], len]
)
def test_what_sample_may_not_be(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match="sample"):
        logspool.SpoolHandler(tmp_path / "a.jsonl", sample=wrong)
    assert list(tmp_path.iterdir()) == []


def test_the_variable_for_http_clients_stands_beside_rules_for_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOG_SAMPLE_HTTP", "10")

    def resolved(**arguments: Any) -> Any:
        return logspool._settings.handler_settings(arguments, pytest.fail)["sample"]

    assert resolved() == {"http": "10"}
    assert resolved(sample={"app": 5}) == {"http": "10", "app": "5"}
    assert resolved(sample={"http": 1}) == {"http": "1"}
    assert resolved(sample=2) == {"http": "2"}
    assert resolved(sample=None) == {}
    monkeypatch.setenv("LOG_SAMPLE_HTTP", "some")
    warned: list[str] = []
    assert logspool._settings.handler_settings({}, warned.append)["sample"] == {}
    assert "LOG_SAMPLE_HTTP='some'" in warned[0]
