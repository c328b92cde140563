"""User code, signals, forks and other threads in the middle of a fast call: no crash, no torn line, nothing kept alive."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.fastpath.twice import both

import logspool

pytestmark = pytest.mark.skipif(not hasattr(logspool, "install"), reason="this build has no fast path")

DOES = """
class Does:
    def __init__(self, text, action):
        self.text, self.action = text, action

    def __str__(self):
        self.action()
        return self.text

    __repr__ = __str__
"""


def test_code_that_pulls_away_what_a_call_stands_on_costs_no_record_but_its_own(tmp_path: Path) -> None:
    """The calls before and after are logged on both routes; which handlers the call itself still reaches may differ."""
    records, _ = both(
        tmp_path,
        DOES
        + """
import gc

handler = configure()
root = logging.getLogger()
second = logspool.SpoolHandler("b.jsonl")


def delete(logger, *names):
    for name in names:
        vars(logger).pop(name, None)


def forget(logger):
    del logging.root.manager.loggerDict[logger.name]
    gc.collect()


ACTIONS = {
    "clears handlers": lambda log: log.handlers.clear(),
    "replaces handlers": lambda log: setattr(log, "handlers", []),
    "closes the handlers": lambda log: [h.close() for h in (handler, second)],
    "drops the handler": lambda log: (log.removeHandler(second), gc.collect()),
    "stops propagation": lambda log: setattr(log, "propagate", False),
    "has no parent": lambda log: setattr(log, "parent", None),
    "has another parent": lambda log: setattr(log, "parent", logging.getLogger("other")),
    "is disabled": lambda log: setattr(log, "disabled", True),
    "is another class": lambda log: setattr(log, "__class__", logging.Logger),
    "has another name": lambda log: setattr(log, "name", "renamed" * 100),
    "has no attributes": lambda log: delete(log, *list(vars(log))),
    "has a new dict": lambda log: setattr(log, "__dict__", dict(vars(log))),
    "has filters": lambda log: log.filters.append(lambda record: False),
    "is forgotten": forget,
    "uninstalls": lambda log: logspool.uninstall() if ON_FAST_ROUTE else None,
    "uninstalls and installs": lambda log: (logspool.uninstall(), logspool.install()) if ON_FAST_ROUTE else None,
    "sets a factory": lambda log: logging.setLogRecordFactory(lambda *args, **kwargs: logging.LogRecord(*args, **kwargs)),
    "patches": lambda log: setattr(logging.Logger, "handle", lambda self, record: None),
    "raises the level": lambda log: logging.disable(100),
    "collects": lambda log: gc.collect(),
    "renames the thread": lambda log: setattr(threading.current_thread(), "name", "x" * 1000),
    "deletes the name of the level": lambda log: logging._levelToName.clear(),
    "changes the directory": lambda log: os.chdir("/"),
    "flushes": lambda log: logspool.flush(),
    "shuts down": lambda log: logspool.shutdown(),
}
handle, levels, here = logging.Logger.handle, dict(logging._levelToName), os.getcwd()
for number, (name, action) in enumerate(ACTIONS.items()):
    for place in ("message", "argument", "extra", "nested"):
        log = logging.getLogger(f"{place}.{number}")
        log.addHandler(second)
        for turn in range(2):
            log.warning("before")
        does = Does(name, lambda: action(log))
        attributes = dict(vars(log))
        try:
            if place == "message":
                log.warning(does)
            elif place == "argument":
                log.warning("%s %s", does, "x" * 50)
            elif place == "extra":
                log.warning("%s", "with", extra={"does": does, "k": "v" * 50})
            else:
                log.warning("in a list", extra={"list": [1, {"k": does}, does], "k": "v"})
        except AttributeError:
            assert name == "has no attributes", name
        # All as it was, for the next.
        vars(log).update(attributes)
        logging.Logger.handle = handle
        logging._levelToName.update(levels)
        logging.setLogRecordFactory(logging.LogRecord)
        logging.disable(0)
        threading.current_thread().name = "MainThread"
        os.chdir(here)
        if ON_FAST_ROUTE:
            logspool.install()
        log = logging.getLogger(f"after.{place}.{number}")
        for turn in range(2):
            log.warning("after")
        fast(log, "error", "after, fast")
        del log, does
gc.collect()
say(len(ACTIONS))
""",
        same=False,
    )
    count = 25 * 4
    found = Counter(record["event"] for record in records)
    assert (found["before"], found["after"], found["after, fast"]) == (2 * count, 2 * count, count)


def test_code_that_logs_nests_and_is_cut_where_the_standard_path_cuts(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        DOES
        + """
configure()
log = logging.getLogger("app")
log.isEnabledFor(20)
depth = 0


def nest():
    global depth
    if depth < 12:
        depth += 1
        log.info("depth %d: %s", depth, Does("inner", nest), extra={"depth": depth})
        depth -= 1


for turn in range(3):
    log.info("%s and %s", Does("one", nest), Does("two", nest), extra={"does": Does("three", nest)})
    log.info(Does("a message", lambda: log.info("from a message")))
    try:
        raise ValueError(Does("text", lambda: log.error("from an exception's text")))
    except ValueError:
        log.exception("failed")
""",
    )
    assert len(records) > 100


def test_a_record_that_forks_is_written_once_by_each_process(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        DOES
        + """
configure()
log = logging.getLogger("app")
log.info("before")
children = []


def fork():
    children.append(os.fork())


for turn in range(3):
    children.clear()
    log.info("turn %d %s", turn, Does("forked", fork))
    if children[0] == 0:
        log.info("in the child of %d", turn)
        logspool.flush()
        os._exit(0)
    assert os.waitpid(children[0], 0)[1] == 0
log.info("after")
""",
        same=False,
    )
    events = Counter(record["event"] for record in records)
    for turn in range(3):
        assert events[f"turn {turn} forked"] == 2
        assert events[f"in the child of {turn}"] == 1
    assert events["before"] == events["after"] == 1


def test_signal_handlers_log_in_the_middle_of_calls(tmp_path: Path) -> None:
    """Everything that was accepted is there once; a record refused because this very thread was appending is counted."""
    _, output = both(
        tmp_path,
        """
        import json

        configure(when_full="block", block_timeout=None, maxBytes=0)
        log = logging.getLogger("app")
        caught = 0

        def on_signal(number, frame):
            global caught
            caught += 1
            log.warning("signal %d", caught, extra={"caught": caught})

        signal.signal(signal.SIGALRM, on_signal)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        calls = 0
        while caught < 100 or calls < 5_000:
            log.info("call %d of %s", calls, "many", extra={"k": [1, {"n": calls}]})
            calls += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        logspool.flush()
        stats = logspool.stats()
        records = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
        events = [record["event"] for record in records]
        assert [event for event in events if event.startswith("call")] == [f"call {n} of many" for n in range(calls)]
        lost = stats["emitted"] - stats["written"]
        signals = [record["fields"]["caught"] for record in records if record["event"].startswith("signal")]
        assert len(signals) == len(set(signals)) and len(signals) + lost >= caught, (len(signals), caught, lost)
        say("fine")
        """,
        same=False,
    )
    assert output["fast"].startswith("fine\n")


def test_a_signal_handler_that_raises_ends_the_call_as_it_would_the_standard_one(tmp_path: Path) -> None:
    both(
        tmp_path,
        DOES
        + """
configure()
log = logging.getLogger("app")


class Stop(BaseException):
    pass


def stop(number, frame):
    raise Stop


signal.signal(signal.SIGUSR1, stop)
for place in ("message", "argument", "extra"):
    does = Does("interrupted", lambda: os.kill(os.getpid(), signal.SIGUSR1))
    for turn in range(3):
        outcome = "returned"
        try:
            if place == "message":
                log.info(does)
            elif place == "argument":
                log.info("%s", does)
            else:
                log.info("with", extra={"does": does})
        except Stop:
            outcome = "raised"
        log.info("%s %d %s", place, turn, outcome)
        log.info("next")
""",
    )


THREADS = """
import json, random

configure(when_full="block", block_timeout=None, maxBytes=0)
root, handler = logging.getLogger(), logging.getLogger().handlers[0]
shared, parent = logging.getLogger("a.b"), logging.getLogger("a")
sys.setswitchinterval(1e-5)
stop = threading.Event()
TURNS = 3_000 if LONG else 600


def work(n):
    own = logging.getLogger(f"own.{n}")
    for turn in range(TURNS):
        own.info("own %d %d", n, turn, extra={"turn": turn})
        shared.warning("shared %d %d", n, turn, extra={"k": ["v", {"n": turn}]})


def change():
    other = logspool.SpoolHandler("b.jsonl")
    random.seed(1)
    changes = [
        lambda: shared.addHandler(other),
        lambda: shared.removeHandler(other),
        lambda: shared.handlers.clear(),
        lambda: setattr(shared, "handlers", [other]),
        lambda: setattr(shared, "propagate", False),
        lambda: setattr(shared, "propagate", True),
        lambda: setattr(shared, "parent", root),
        lambda: setattr(shared, "parent", parent),
        lambda: shared.setLevel(random.choice((10, 50))),
        lambda: parent.filters.append(lambda record: True),
        lambda: shared.filters.append(logging.Filter("a")),
        lambda: shared.filters.clear(),
        lambda: handler.filters.append(lambda record: True),
        lambda: handler.filters.clear(),
        lambda: handler.setLevel(random.choice((0, 10))),
        lambda: setattr(threading.current_thread(), "name", f"changer {random.random()}"),
        lambda: setattr(shared, "extra_attribute", 1),
        lambda: shared.__dict__.pop("extra_attribute", None),
        lambda: setattr(shared, "handle", lambda record: None),
        lambda: shared.__dict__.pop("handle", None),
        lambda: logging.addLevelName(20, random.choice(("INFO", "info"))),
        lambda: logging.getLogger(f"new.{random.random()}").info("new"),
        lambda: other.close(),
        lambda: logging.setLogRecordFactory(random.choice((logging.LogRecord, lambda *a, **k: logging.LogRecord(*a, **k)))),
        lambda: logspool.install() if ON_FAST_ROUTE else None,
        lambda: logspool.uninstall() if ON_FAST_ROUTE else None,
    ]
    while not stop.is_set():
        random.choice(changes)()


threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
changer = threading.Thread(target=change)
for thread in (changer, *threads):
    thread.start()
for thread in threads:
    thread.join()
stop.set()
changer.join()
logspool.flush()
lines = Path("a.jsonl").read_text().splitlines()
records = [json.loads(line) for line in lines]
for n in range(4):
    own = [record for record in records if record["logger"] == f"own.{n}"]
    assert [record["event"] for record in own] == [f"own {n} {turn}" for turn in range(TURNS)]
    assert [record["fields"] for record in own] == [{"turn": turn} for turn in range(TURNS)]
    through = [record["fields"]["k"][1]["n"] for record in records if record["event"].startswith(f"shared {n} ")]
    assert through == sorted(through)
for line in Path("b.jsonl").read_text().splitlines():
    assert json.loads(line)["logger"] == "a.b"
say("fine")
"""


def test_threads_log_while_another_changes_everything_around_them(tmp_path: Path) -> None:
    """Records whose way was never in question are all there, in order and whole."""
    import os

    _, output = both(tmp_path, f"LONG = {os.environ.get('LOGSPOOL_FAULTS') == 'long'}\n" + THREADS, same=False)
    assert output["fast"].startswith("fine\n"), output["fast"]


def test_calls_keep_nothing_alive_and_do_not_leak(tmp_path: Path) -> None:
    both(
        tmp_path,
        """
        import gc, resource, tracemalloc, weakref

        configure(when_full="block", block_timeout=None, maxBytes=0)
        log = logging.getLogger("app")

        class Value:
            def __str__(self):
                return "value"

        class Error(Exception):
            pass

        text, number, key, extra = "text", 10**20, "a key of its own", {}
        value, error = Value(), Error("kept")
        extra.update({key: value, "number": number, "list": [value, number], "fields": {"inner": value}})
        kept = [text, number, key, value, extra, error, extra["list"], extra["fields"], log, log.handlers, log.name]
        kept += [logging.getLogger().handlers[0], work := None, threading.current_thread().name, None, True]
        kept = [item for item in kept if item is not None and item is not True]

        def calls(count):
            for turn in range(count):
                log.info("constant")
                log.info("%s %d %r", text, number, value, extra=extra)
                log.warning("%(k)s", {"k": value})
                log.error(value)
                log.error("went wrong", exc_info=error)
                try:
                    raise error
                except Error:
                    log.exception("failed %s", value)
                error.__traceback__ = None
                log.debug("stacklevel", stacklevel=2)
                log.info("stack", stack_info=turn % 100 == 0)
                log.log(20, "%s", [value], extra={key: value})
                try:
                    log.info("wrong", extra={"name": value})
                except KeyError:
                    pass
                try:
                    log.info("wrong", unknown=value)
                except TypeError:
                    pass
                log.info("%d %d", value)

        def counts():
            gc.collect()
            return [sys.getrefcount(item) for item in kept]

        def resident():
            return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

        calls(300)
        before, code = counts(), sys.getrefcount(calls.__code__)
        calls(500)
        assert counts() == before, [(item, a, b) for item, a, b in zip(kept, before, counts()) if a != b]
        assert abs(sys.getrefcount(calls.__code__) - code) <= 20, "one for each place at most, once"
        tracemalloc.start()
        calls(20)
        gc.collect()
        first = tracemalloc.get_traced_memory()[0]
        calls(300)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - first < 50_000, tracemalloc.get_traced_memory()[0] - first
        tracemalloc.stop()
        for turn in range(20_000):
            log.info("%s", text, extra={"k": number, "own": [turn]})
        size = resident()
        for turn in range(100_000 if ON_FAST_ROUTE else 5_000):
            log.info("%s", text, extra={"k": number, "own": [turn]})
        assert resident() - size < 16 << 20, resident() - size

        class Local:
            pass

        def dies():
            local = Local()
            gone.append(weakref.ref(local))
            log.info("local %s", local, extra={"local": local, "nested": [local]})
            try:
                raise ValueError(local)
            except ValueError:
                log.exception("with a local")
            log.info("exception %s", 1, exc_info=ValueError(local))
            try:
                log.info("refused", extra={"name": local})
            except KeyError:
                pass

        gone = []
        gc.disable()
        for turn in range(3):
            dies()
            assert gone[-1]() is None, gc.get_referrers(gone[-1]())

        def dies_with_its_code():
            names = {"log": log}
            exec(compile("def f():\\n    log.info('from a function that goes')\\n", f"gone-{turn}", "exec"), names)
            f = names.pop("f")
            f()
            return weakref.ref(f)

        for turn in range(2000):
            assert dies_with_its_code()() is None

        # Loggers that no tree holds go, too.
        for turn in range(50):
            free = logging.Logger("free")
            if ON_FAST_ROUTE:
                free.__class__ = logspool.Logger
            free.addHandler(logging.getLogger().handlers[0])
            free.info("free")
            free.info("free")
            gone.append(weakref.ref(free))
            del free
            assert gone[-1]() is None
        gc.enable()
        """,
        same=False,
    )
