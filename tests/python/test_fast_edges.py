"""The fast path where it could be told apart: in what it keeps, and where code runs or changes things in the middle of a call."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.fastpath.twice import both


def test_calls_that_nothing_else_of_logspools_follows_keep_nothing(tmp_path: Path) -> None:
    """Not until another function is called, either: a program may never call one."""
    records, _ = both(
        tmp_path,
        """
        import gc, threading, weakref

        class Broken(Exception):
            alive = weakref.WeakSet()

            def __init__(self):
                self.alive.add(self)

        class Value:
            def __str__(self):
                raise Broken

            __repr__ = __str__

        configure()
        log = logging.getLogger("app")
        log.log(20, "warm")
        before = sys.getrefcount(log._cache)
        for _ in range(100):
            log.log(20, "by number")
        assert sys.getrefcount(log._cache) <= before + 1, sys.getrefcount(log._cache) - before
        for _ in range(20):
            log.info("value", extra={"value": Value()})
            log.info("value", extra={"values": [Value()]})
            log.info("value %s", Value())
        gc.collect()
        assert len(Broken.alive) == 0, len(Broken.alive)

        threads = weakref.WeakSet()

        def once():
            threads.add(threading.current_thread())
            log.info("from a thread")

        for n in range(20):
            thread = threading.Thread(target=once, name=f"once {n}")
            thread.start()
            thread.join()
            del thread
        log.info("after them")
        gc.collect()
        assert len(threads) <= 2, len(threads)
        """,
    )
    assert len(records) == 1 + 100 + 60 + 20 + 1


def test_a_place_is_found_again_if_others_log_in_the_middle_of_a_call(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        configure()
        log = logging.getLogger("app")
        log.info("warm")
        many = [{} for _ in range(3000)]
        for n, names in enumerate(many):
            exec(f"def f{n}(log): log.info('one of many')", names)

        class Busy:
            def __str__(self):
                for n, names in enumerate(many):
                    names[f"f{n}"](log)
                return "busy"

        def a(): log.info("in the arguments %s", Busy())
        def b(): log.info("in a field", extra={"field": Busy()})
        def c(): log.info("in a list", extra={"field": [Busy()]})
        a(), b(), c()
        """,
    )
    found = {r["event"].split(" ")[1]: r["src"]["function"] for r in records if r["event"].startswith("in ")}
    assert found == {"the": "a", "a": "c"}
    assert all(r["src"]["line"] > 0 for r in records)


def test_a_message_is_cut_by_the_limit_of_the_log_it_goes_to(tmp_path: Path) -> None:
    both(
        tmp_path,
        """
        handler = configure()
        log = logging.getLogger("app")
        small = logging.getLogger("small")
        small.propagate = False
        short = logspool.SpoolHandler("small.jsonl", max_field=100, service="svc")
        small.addHandler(short)

        def say(logger):
            logger.info("0123456789" * 20)

        for _ in range(5):
            say(log)
        small.info("warm")
        for _ in range(3):
            say(small)
        """,
        log="small.jsonl",
    )


@pytest.mark.parametrize(
    "change",
    [
        "log.__dict__ = {**vars(log), 'disabled': True}",
        "log.__dict__ = {**vars(log), 'propagate': False}",
        "parent.__dict__ = {**vars(parent), 'propagate': False}",
        "type(log).error = lambda self, *args, **kwargs: logging.getLogger('other').warning('patched error')",
        "type(log).critical = lambda self, *args, **kwargs: logging.getLogger('other').warning('patched critical')",
        "logging.Logger.propagate = property(lambda self: False, lambda self, value: None)",
        "logging.Logger.disabled = property(lambda self: self.name == 'app.log', lambda self, value: None)",
        "logging.Logger.__getattribute__ = lambda self, name: 'renamed' if name == 'name' else object.__getattribute__(self, name)",
        "logging.LogRecord.__setattr__ = lambda self, n, v: object.__setattr__(self, n, 'set' if n == 'msg' else v)",
        "import threading; threading.Thread.name = property(lambda self: 'another name')",
        "sys.addaudithook(hook); logging.addLevelName(7, 'SEVEN')",
    ],
)
def test_what_stands_in_the_way_is_seen_whatever_it_is(tmp_path: Path, change: str) -> None:
    if "__dict__" in change and sys.version_info >= (3, 13):
        pytest.skip("from 3.13 on another dict in the place of a logger's own is not noticed")
    records, _ = both(
        tmp_path,
        f"""
        def factory(*args, **kwargs):
            record = logging.LogRecord(*args, **kwargs)
            record.made = "by the factory"
            return record

        done = []

        def hook(event, args):
            # In the middle of a look at whether anything has changed.
            if event == "object.__getattr__" and not done:
                done.append(event)
                logging.setLogRecordFactory(factory)

        configure()
        parent, log = logging.getLogger("app"), logging.getLogger("app.log")
        for _ in range(2):
            for method in LEVELS:
                getattr(log, method)("before")
        {change}
        for _ in range(2):
            for method in (*LEVELS, "fatal"):
                getattr(log, method)("after")
        if done:
            logging.getLogger("app.log").info("later")
        """,
        same="addaudithook" not in change,
    )
    if "addaudithook" in change:
        assert records[-1]["event"] == "later" and records[-1]["fields"]["made"] == "by the factory"


def test_a_call_has_the_extra_it_was_given_whatever_a_value_does_to_it(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        configure()
        log = logging.getLogger("app")
        log.info("warm")

        class Meddler:
            def __str__(self):
                extra["added"] = 1
                extra["last"] = "changed"
                return "meddler"

        for _ in range(2):
            for first in ([Meddler()], {"a": Meddler()}, (Meddler(),), Meddler(), {"a": [Meddler()]}):
                extra = {"first": first, "last": "original", "very": "last"}
                log.info("meddled", extra=extra)
        """,
    )
    assert all(r["fields"]["last"] == "original" and "added" not in r["fields"] for r in records[1:])


def test_an_argument_given_twice_raises_also_where_nothing_is_logged(tmp_path: Path) -> None:
    both(
        tmp_path,
        """
        configure()
        log = logging.getLogger("app")
        log.info("one")
        log.disabled = True
        for arguments, keywords in (
            (("m",), {"msg": "twice"}), (("m",), {"self": 1}), (("m",), {"level": 1}), (("m",), {"unknown": 1}), ((), {"msg": "once"})
        ):
            for call in (log.info, log.exception, lambda *a, **k: log.log(20, *a, **k)):
                try:
                    call(*arguments, **keywords)
                    log.disabled = False
                    log.info("%s was allowed", keywords)
                except TypeError as error:
                    log.disabled = False
                    log.info("%s", error)
                log.disabled = True
        """,
    )


def test_a_loggers_own_is_enabled_for_is_asked_also_where_nothing_is_logged(tmp_path: Path) -> None:
    both(
        tmp_path,
        """
        configure()
        log, seen = logging.getLogger("app"), []
        log.setLevel("WARNING")
        log.info("not enabled")
        log.isEnabledFor = lambda level: seen.append(level)
        log.info("asked")
        log.disabled = True
        log.error("asked")
        del log.isEnabledFor
        log.disabled = False
        log.warning("%s", seen)
        assert seen == [20, 40]
        """,
    )
