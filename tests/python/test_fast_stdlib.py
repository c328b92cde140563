"""What the standard library does with loggers is the same on the fast path: configuration, queues, forks, mocks, subclasses."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fastpath.twice import both

import logspool

pytestmark = pytest.mark.skipif(not hasattr(logspool, "install"), reason="this build has no fast path")


def test_captured_warnings_reach_the_log(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        import warnings

        configure()
        logging.captureWarnings(True)
        for turn in range(3):
            warnings.warn(f"careful {turn} 100%", UserWarning, stacklevel=1)
        logging.captureWarnings(False)
        logging.getLogger("app").info("after")
        """,
    )
    assert [record["logger"] for record in records] == ["py.warnings"] * 3 + ["app"]
    assert "UserWarning: careful 2 100%" in records[2]["event"]


def test_dictconfig_disables_and_enables_loggers(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        import logging.config

        if ON_FAST_ROUTE:
            logspool.install()
        old, kept, child = (logging.getLogger(name) for name in ("old", "kept", "kept.child"))
        spool = {"class": "logspool.SpoolHandler", "filename": "a.jsonl", "service": "svc"}
        config = {
            "version": 1,
            "handlers": {"spool": spool},
            "root": {"level": "INFO", "handlers": ["spool"]},
            "loggers": {"kept": {"level": "DEBUG"}},
        }
        logging.config.dictConfig(config)
        for turn in range(2):
            old.error("disabled")
            fast(kept, "debug", "kept %d", turn)
            fast(child, "debug", "child %d", turn)
            fast(logging.getLogger(), "info", "root %d", turn)
        logging.config.dictConfig({**config, "disable_existing_loggers": False, "loggers": {"kept": {"level": "ERROR"}}})
        fast(old, "error", "enabled again")
        kept.warning("too low")
        fast(kept, "error", "high enough")
        logging.config.dictConfig({"version": 1, "incremental": True, "loggers": {"kept": {"level": "DEBUG"}}})
        fast(kept, "debug", "incremental")
        filtered = {"f": {"()": "logging.Filter", "name": "kept"}}
        logging.config.dictConfig(
            {**config, "filters": filtered, "handlers": {"spool": {**spool, "filters": ["f"]}}, "loggers": {"kept": {}}}
        )
        standard(kept, "info", "let through")
        old.disabled = False
        standard(old, "info", "filtered out")
        """,
    )
    assert [record["event"] for record in records] == [
        *("kept 0", "child 0", "root 0", "kept 1", "child 1", "root 1"),
        *("enabled again", "high enough", "incremental", "let through"),
    ]


def test_fileconfig_disables_and_enables_loggers(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        import logging.config

        if ON_FAST_ROUTE:
            logspool.install()
        old = logging.getLogger("old")
        Path("logging.ini").write_text('''
        [loggers]
        keys=root,kept
        [handlers]
        keys=spool
        [formatters]
        keys=
        [logger_root]
        level=INFO
        handlers=spool
        [logger_kept]
        level=DEBUG
        handlers=
        qualname=kept
        [handler_spool]
        class=logspool.SpoolHandler
        args=("a.jsonl",)
        kwargs={"service": "svc"}
        '''.replace("\\n        ", "\\n"))
        logging.config.fileConfig("logging.ini")
        old.error("disabled")
        fast(logging.getLogger("kept"), "debug", "kept")
        fast(logging.getLogger(), "info", "root")
        logging.config.fileConfig("logging.ini", disable_existing_loggers=False)
        old.disabled = False
        fast(old, "error", "enabled again")
        """,
    )
    assert [record["event"] for record in records] == ["kept", "root", "enabled again"]


def test_a_queue_in_front_gets_records_and_calls_are_fast_without_it(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        import logging.handlers, queue

        handler = configure()
        root, log = logging.getLogger(), logging.getLogger("app")
        fast(log, "info", "before")
        waiting = queue.SimpleQueue()
        listener = logging.handlers.QueueListener(waiting, handler, respect_handler_level=True)
        listener.start()
        root.handlers = [logging.handlers.QueueHandler(waiting)]
        for turn in range(3):
            standard(log, "info", "queued %d", turn, extra={"turn": turn})
        try:
            raise ValueError("boom")
        except ValueError:
            standard(log, "exception", "queued exception")
        listener.stop()
        root.handlers = [handler]
        fast(log, "info", "after")
        """,
    )
    assert [record["event"].split("\n")[0] for record in records] == [
        *("before", "queued 0", "queued 1", "queued 2", "queued exception", "after")
    ]


def test_tasks_and_threads_log_under_their_names(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        import asyncio, concurrent.futures

        configure()
        log = logging.getLogger("app")
        log.isEnabledFor(20)

        async def work(n):
            for turn in range(3):
                log.info("task %d", n, extra={"turn": turn})
                await asyncio.sleep(0)
            asyncio.current_task().set_name(f"renamed-{n}")
            log.info("renamed %d", n)
            await asyncio.to_thread(log.info, "in a thread of %d", n)

        async def main():
            for n in range(2):
                await asyncio.create_task(work(n), name=f"job-{n}")
            asyncio.get_running_loop().call_soon(log.info, "in no task")
            await asyncio.sleep(0)

        log.info("before")
        asyncio.run(main())
        log.info("after")
        threading.current_thread().name = "renamed"
        fast(log, "info", "main renamed")
        with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
            for n in range(3):
                pool.submit(fast, log, "info", "pool %d", n).result()
        """,
    )
    threads = [record["thread"] for record in records]
    assert threads[-4:] == ["renamed", "pool_0", "pool_0", "pool_0"]
    tasks = [record.get("task") for record in records if record["event"].startswith(("task", "renamed"))]
    assert tasks == [*["job-0"] * 3, "renamed-0", *["job-1"] * 3, "renamed-1"]


def test_forked_and_spawned_processes_log_on_the_route_they_inherit(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        import multiprocessing

        def work(n):
            logging.getLogger("app").info("child %d", n)  # it opens the child's own spool
            for turn in range(20):
                fast(logging.getLogger("app"), "info", "child %d turn %d", n, turn, extra={"turn": turn})

        if __name__ == "__main__":
            configure()
            log = logging.getLogger("app")
            fast(log, "info", "parent")
            for n in range(2):
                process = multiprocessing.get_context("fork").Process(target=work, args=(n,), name=f"worker-{n}")
                process.start()
                process.join()
                assert process.exitcode == 0
            child = os.fork()
            if not child:
                work(2)
                logspool.flush()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            fast(log, "info", "parent again")
        """,
        same=False,  # the order in the file is the writers'
    )
    events = [record["event"] for record in records]
    for n in range(3):
        assert [event for event in events if event.startswith(f"child {n}")] == [
            f"child {n}",
            *(f"child {n} turn {turn}" for turn in range(20)),
        ]
        assert len({record["pid"] for record in records if record["event"].startswith(f"child {n}")}) == 1
    assert len({record["pid"] for record in records}) == 4
    assert [event for event in events if event.startswith("parent")] == ["parent", "parent again"]


def test_another_librarys_logger_class_is_left_alone(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        class Theirs(logging.Logger):
            def makeRecord(self, *args, **kwargs):
                record = super().makeRecord(*args, **kwargs)
                record.theirs = True
                return record

        plain = logging.getLogger("plain")
        logging.setLoggerClass(Theirs)
        made = logging.getLogger("made")
        configure()
        assert logging.getLoggerClass() is Theirs
        assert type(made) is Theirs and type(logging.getLogger("later")) is Theirs
        standard(made, "info", "made %d", 1, extra={"k": 1})
        standard(logging.getLogger("later"), "info", "later")
        fast(plain, "info", "plain")
        if ON_FAST_ROUTE:
            logspool.install()
            assert logging.getLoggerClass() is Theirs
            logspool.uninstall()
            assert logging.getLoggerClass() is Theirs and type(made) is Theirs and type(plain) is logging.Logger
            assert type(logging.getLogger()) is logging.RootLogger
        plain.info("plain again")
        """,
    )
    assert [record.get("fields") for record in records] == [{"k": 1, "theirs": True}, {"theirs": True}, None, None]


def test_a_subclass_that_makes_its_own_records_is_asked(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        configure()
        log = logging.getLogger("app")

        class Own(logspool.Logger if ON_FAST_ROUTE else logging.Logger):
            def makeRecord(self, *args, **kwargs):
                record = super().makeRecord(*args, **kwargs)
                record.own = self.name
                return record

        class Louder(logspool.Logger if ON_FAST_ROUTE else logging.Logger):
            def error(self, msg, *args, **kwargs):
                super().error(f"{msg}!", *args, **kwargs)

            def isEnabledFor(self, level):
                return True

        logging.setLoggerClass(Own)
        own = logging.getLogger("own")
        logging.setLoggerClass(Louder)
        louder = logging.getLogger("louder")
        louder.setLevel("CRITICAL")
        for turn in range(2):
            standard(own, "info", "own %d", turn, extra={"k": turn})
            standard(louder, "error", "louder %d", turn)
            standard(louder, "exception", "louder exception")
            standard(louder, "debug", "enabled all the same")
            fast(log, "info", "plain %d", turn)
        log.__class__ = Own
        standard(log, "info", "of another class now")
        log.__class__ = logspool.Logger if ON_FAST_ROUTE else logging.Logger
        fast(log, "info", "plain again")
        """,
    )
    assert [record["event"] for record in records[:5]] == [
        *("own 0", "louder 0!", "louder exception!", "enabled all the same", "plain 0")
    ]
    assert records[0]["fields"] == {"k": 0, "own": "own"}
    assert [record.get("fields") for record in records[-2:]] == [{"own": "app"}, None]


def test_mocks_and_assertlogs_see_calls_and_they_are_fast_again_without_them(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        import unittest
        from unittest import mock

        configure()
        log, root = logging.getLogger("app"), logging.getLogger()
        case = unittest.TestCase()
        fast(log, "info", "before")
        with case.assertLogs("app", "INFO") as caught:
            standard(log, "info", "caught %d", 1)
        assert caught.output == ["INFO:app:caught 1"]
        fast(log, "info", "between")
        with case.assertLogs(level="ERROR") as caught:
            standard(log, "error", "at the root")
        assert caught.output == ["ERROR:app:at the root"]
        with case.assertNoLogs("app", "CRITICAL"):
            log.info("too low")
        for name in ("handle", "makeRecord", "callHandlers", "_log", "findCaller", "isEnabledFor", "filter", "info"):
            with mock.patch.object(log, name, wraps=getattr(log, name)) as mocked:
                standard(log, "info", "mocked %s", name) if name != "isEnabledFor" else log.info("mocked %s", name)
            assert mocked.called, name
            fast(log, "info", "without %s", name)
        for name in ("handle", "makeRecord", "callHandlers", "_log", "findCaller", "isEnabledFor", "filter", "info"):
            with mock.patch.object(logging.Logger, name, autospec=True, side_effect=getattr(logging.Logger, name)) as mocked:
                standard(log, "info", "mocked class %s", name)
            assert mocked.called, name
            fast(log, "info", "without class %s", name)
        handler = root.handlers[0]
        for name in ("handle", "emit", "filter", "format"):
            with mock.patch.object(handler, name, wraps=getattr(handler, name)) as mocked:
                standard(log, "info", "mocked handler %s", name)
            assert mocked.called or name == "format", name
            fast(log, "info", "without handler %s", name)
        with mock.patch.object(logspool.SpoolHandler, "handle", autospec=True) as mocked:
            standard(log, "info", "swallowed")
        assert mocked.called
        fast(log, "info", "without class handler")
        with mock.patch.object(logging.LogRecord, "getMessage", lambda record: "patched message"):
            standard(log, "info", "unpatched message")
        fast(log, "info", "after")
        with mock.patch("threading.current_thread", wraps=threading.current_thread) as mocked:
            standard(log, "info", "thread mocked")
        assert mocked.called
        with mock.patch("os.getpid", return_value=4711):
            standard(log, "info", "pid mocked")
        fast(log, "info", "after all")
        """,
    )
    assert "swallowed" not in [record["event"] for record in records]
    assert records[-3]["event"] == "thread mocked" and records[-2]["event"] == "pid mocked"


def test_a_logger_is_still_a_logger_to_who_looks_at_it(tmp_path: Path) -> None:
    """Pickled, copied, referred to weakly, asked for its class and its signatures."""
    _, output = both(
        tmp_path,
        """
        import copy, inspect, pickle, weakref

        configure()
        log, root = logging.getLogger("app"), logging.getLogger()
        for logger in (log, root, log.getChild("child")):
            assert pickle.loads(pickle.dumps(logger)) is logger
            assert copy.copy(logger) is logger and copy.deepcopy(logger) is logger
            assert weakref.ref(logger)() is logger
            assert isinstance(logger, logging.Logger)
            say(repr(logger), type(logger).__name__, sorted(vars(logger)))
            for name in ("debug", "info", "warning", "error", "critical", "exception", "log"):
                method = getattr(logger, name)
                assert callable(method) and method.__self__ is logger and method.__doc__
                say(method.__name__, inspect.signature(method))
        assert isinstance(root, logging.RootLogger) and root is logging.root is logging.Logger.root
        assert log.parent is root and log.manager is root.manager
        own = logging.Logger("outside of the tree", 10)
        say(repr(own))
        own.addHandler(root.handlers[0])
        own.info("standing alone")
        """,
    )
    assert output["fast"] == output["standard"]
