"""Whatever of `logging` is replaced, every method of a logger goes through the replacement; and is fast again without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fastpath.compare import check
from tests.fastpath.furniture import HANDLER_PATCHES, INSTANCE_PATCHES, PATCHES
from tests.fastpath.twice import both
from tests.fastpath.world import Logs

import logspool

pytestmark = pytest.mark.skipif(not hasattr(logspool, "install"), reason="this build has no fast path")

METHODS = ("debug", "info", "warning", "error", "critical", "exception", "log", "fatal")


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Logs, Logs]]:
    pair = Logs(tmp_path_factory.mktemp("standard")), Logs(tmp_path_factory.mktemp("fast"))
    yield pair
    for logs in pair:
        logs.close()


def calls(name: str = "a.b") -> list[tuple[Any, ...]]:
    """Every method, twice."""
    return [
        ("call", name, method, "20", "logger", place, "one", ("text",), {"extra": "many"})
        for method in METHODS
        for place in ("direct", "except")
    ]


BUILT: list[tuple[Any, ...]] = [("install",), ("level", "", 10), ("add", "a", "a"), ("add", "", "b")]


def sandwiched(change: tuple[Any, ...], back: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
    """Calls before a change, with it, and when it was taken back."""
    return [*BUILT, *calls(), change, *calls(), *calls("a"), back or change, *calls()]


@pytest.mark.parametrize("label", PATCHES)
def test_what_is_patched_on_a_class_or_module_is_called(label: str, routes: tuple[Logs, Logs]) -> None:
    found = check(sandwiched(("patch", label)), *routes)
    # After it nothing is in the way any more: the oracle knew the route, and `check` held the calls to it.
    assert [route for _, route, _ in found.routes[-14:]] == ["fast"] * 14


@pytest.mark.parametrize("handler", ["a", "c at warning"])
@pytest.mark.parametrize(
    "keywords",
    [
        *({"wrong": value} for value in ("unknown", "level", "args", "msg", "self", "subclass of str", "no str")),
        *({"extra": value} for value in ("name", "message", "broken", "keys only", "int", "list", "meets name")),
        *({"stacklevel": value} for value in ("text", "none", "float", "huge")),
        {"exc_info": "malformed"},
    ],
    ids=str,
)
def test_a_wrong_call_raises_what_it_raises_on_the_standard_path(
    handler: str, keywords: dict[str, str], routes: tuple[Logs, Logs]
) -> None:
    """Also where no handler would have written the record."""
    wrong = [
        ("call", "a.b", method, "20", "logger", "direct", "one", ("text",), keywords)
        for method in METHODS
        if method != "fatal"  # it names itself `critical`: a test of its own below
    ]
    check([("install",), ("level", "", 10), ("add", "a", handler), *calls(), *wrong, *calls()], *routes)


def test_fatal_is_the_critical_of_whoever_has_another(tmp_path: Path) -> None:
    both(
        tmp_path,
        """
        import inspect

        configure()
        log = logging.getLogger("app")

        class Louder(logspool.Logger if ON_FAST_ROUTE else logging.Logger):
            def critical(self, msg, *args, **kwargs):
                super().critical(f"{msg}!", *args, **kwargs)

        logging.setLoggerClass(Louder)
        for turn in range(2):
            logging.getLogger("louder").critical("turn %d", turn)
            logging.getLogger("louder").fatal("turn %d", turn)
        outcomes = []
        for arguments in ((), ("text", 1, 2)):
            for keywords in ({}, {"msg": "again"}, {"unknown": 1}):
                try:
                    outcomes.append(log.fatal(*arguments, **keywords))
                except TypeError as error:
                    outcomes.append(str(error))
        log.info("outcomes", extra={"outcomes": outcomes})
        log.info("%s", inspect.signature(log.fatal))
        """,
    )


def test_what_was_patched_before_install_and_has_nothing_to_do_with_calls_is_not_in_their_way(tmp_path: Path) -> None:
    """Sentry and OpenTelemetry replace `Thread.start` and `Thread.run`."""
    both(
        tmp_path,
        """
        for name in ("start", "run", "join"):
            original = getattr(threading.Thread, name)
            setattr(threading.Thread, name, lambda self, *args, _original=original: _original(self, *args))
        configure()
        log = logging.getLogger("app")
        fast(log, "info", "in the main thread")
        thread = threading.Thread(target=lambda: [fast(log, "info", "in another %d", turn) for turn in range(2)], name="other")
        thread.start()
        thread.join()
        """,
    )


def test_a_method_put_into_a_logger_in_the_place_of_another_attribute_is_called(tmp_path: Path) -> None:
    """As many attributes as before, but not the same."""
    both(
        tmp_path,
        """
        configure()
        log = logging.getLogger("app")
        seen = []
        for name in ("handle", "callHandlers", "makeRecord", "_log", "isEnabledFor", "info"):
            log.of_a_library = 1
            for turn in range(3):
                log.info("before %s", name)
            del log.of_a_library

            def replacement(*args, name=name, **kwargs):
                seen.append(name)
                return getattr(logging.Logger, name)(log, *args, **kwargs)

            setattr(log, name, replacement)
            log.info("with %s", name)
            assert seen and seen[-1] == name, (name, seen)
            delattr(log, name)
            log.of_a_library = 2
            fast(log, "info", "without %s", name)
            del log.of_a_library
        log.info("%s", seen)
        """,
    )


@pytest.mark.parametrize("attribute", INSTANCE_PATCHES)
def test_what_is_patched_on_a_logger_is_called(attribute: str, routes: tuple[Logs, Logs]) -> None:
    check(sandwiched(("patch_instance", "a.b", attribute)), *routes)


@pytest.mark.parametrize("attribute", HANDLER_PATCHES)
def test_what_is_patched_on_a_handler_is_called(attribute: str, routes: tuple[Logs, Logs]) -> None:
    check(sandwiched(("patch_handler", "a", attribute)), *routes)


@pytest.mark.parametrize(
    ("change", "back"),
    [
        *((("filter", "a.b", kind), ("unfilter", "a.b")) for kind in ("noting", "rejecting", "enriching", "replacing")),
        *((("handler_filter", "a", kind), ("handler_unfilter", "a")) for kind in ("noting", "enriching", "replacing")),
        *((("formatter", "a", kind), ("formatter", "a", "none")) for kind in ("own", "default", "basic", "raising")),
        *(
            (("add", "", kind), ("remove", "", kind))
            for kind in ("recording", "changing", "subclass", "text", "stream")
        ),
        *((("factory", kind), ("factory", "standard")) for kind in ("noting", "enriching", "subclass")),
        *((("flag", flag, False), ("flag", flag, True)) for flag in ("logThreads", "logProcesses", "logAsyncioTasks")),
        *((("disabled", "a.b", value), ("disabled", "a.b", "false")) for value in ("true", "one", "noting true")),
        *((("propagate", "a.b", value), ("propagate", "a.b", "true")) for value in ("false", "zero", "none")),
        (("disable", 40), ("disable", 0)),
        (("level", "a", 40), ("level", "a", 0)),
        (("raw_level", "a.b", 40), ("raw_level", "a.b", 0)),
        (("handler_level", "a", 40), ("handler_level", "a", 0)),
        (("handler_raw_level", "a", "float"), ("handler_raw_level", "a", "0")),
        (("parent", "a.b", "x.y"), ("parent", "a.b", "a")),
        (("parent", "a.b", "foreign"), ("parent", "a.b", "a")),
        (("rename", "a.b", "renamed"), ("rename", "a.b", "a.b")),
        (("level_name", 20, "NOTICE"), ("level_name", 20, "INFO")),
        (("thread_name", "other"), ("thread_name", "MainThread")),
        (("close", "a"), ("close", "b")),
        (("source",), ("source",)),
        (("uninstall",), ("install",)),
    ],
    ids=str,
)
def test_what_changes_between_calls_is_seen_by_the_next(
    change: tuple[Any, ...], back: tuple[Any, ...], routes: tuple[Logs, Logs]
) -> None:
    check(sandwiched(change, back), *routes)
