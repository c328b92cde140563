"""Blocks that keep their records back: written if the block fails, dropped if it does not."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from conftest import Routed
from logfiles import events, lines, records
from tests.faults import program
from tests.faults.stall import stalled

import logspool
from logspool import context

Script = Callable[..., CompletedProcess[str]]
DEBUG = logging.DEBUG


class Counted:
    """What `stats()["tail"]` has risen by."""

    def __init__(self) -> None:
        self.before = logspool.stats()["tail"]

    def __call__(self) -> tuple[int, int, int]:
        now = logspool.stats()["tail"]
        held, written, discarded = (now[name] - self.before[name] for name in ("held", "written", "discarded"))
        return held, written, discarded


def fails(raised: type[BaseException] = LookupError) -> AbstractContextManager[Any]:
    """A block that ends with this exception."""
    return pytest.raises(raised)


@pytest.fixture
def counted() -> Counted:
    """`counted()`: held, written and discarded since the test began."""
    return Counted()


def test_a_block_that_ends_well_leaves_what_is_above_its_level(routed: Routed, counted: Counted) -> None:  # req 37
    with logspool.bound(request_id="r", buffer=DEBUG):
        routed.log.debug("one")
        routed.log.info("two")
        routed.log.debug("three")
        assert routed.events() == ["two"]
        assert counted() == (2, 0, 0)
    routed.log.debug("after")
    assert routed.events() == ["two", "after"]
    assert counted() == (0, 0, 2)


def test_an_error_has_what_is_held_written_before_it_and_the_rest_at_once(routed: Routed, counted: Counted) -> None:
    with logspool.bound(request_id="r", buffer="DEBUG"):
        for n in range(3):
            routed.log.debug("held %d", n, extra={"n": n})
        routed.log.warning("warned")
        routed.log.error("failed")
        routed.log.debug("at once")
        expected = ["warned", "held 0", "held 1", "held 2", "failed", "at once"]
        assert routed.events() == expected
        assert counted() == (0, 3, 0)
    found = routed.records()
    assert [record["event"] for record in found] == expected
    assert all(record["request_id"] == "r" for record in found)
    assert [record["fields"]["n"] for record in found[1:4]] == [0, 1, 2]
    assert found[1]["ts"] <= found[2]["ts"] <= found[0]["ts"] <= found[4]["ts"]
    assert [record["seq"] for record in found] == sorted(record["seq"] for record in found)


@pytest.mark.parametrize("raised", [LookupError, KeyboardInterrupt, asyncio.CancelledError])
def test_a_block_left_by_an_exception_writes_what_it_holds(
    routed: Routed, counted: Counted, raised: type[BaseException]
) -> None:
    with fails(raised), logspool.bound(buffer=DEBUG):
        routed.log.debug("held")
        raise raised
    assert routed.events() == ["held"]
    assert counted() == (0, 1, 0)


def test_each_record_goes_to_its_own_logs(routed: Routed, tmp_path: Path) -> None:
    other = logging.getLogger(f"{routed.log.name}.other")
    beside = logspool.SpoolHandler(tmp_path / "beside.jsonl")
    text = logspool.SpoolHandler(tmp_path / "text.log", json=False)
    other.addHandler(beside)
    other.addHandler(text)
    try:
        with logspool.bound(session_id="s", buffer=DEBUG):
            routed.log.debug("one")
            other.debug("two")
            assert (routed.events(), events(tmp_path / "beside.jsonl"), lines(tmp_path / "text.log")) == ([], [], [])
            other.error("three")
    finally:
        for handler in (beside, text):
            other.removeHandler(handler)
            handler.close()
    assert routed.events() == ["one", "two", "three"]
    assert events(tmp_path / "beside.jsonl") == ["two", "three"]
    assert [line.split(": ")[-1] for line in lines(tmp_path / "text.log")] == ["two", "three"]


def test_what_is_held_is_redacted_already(routed: Routed) -> None:  # req 30
    secret = {"password": "hunter2"}
    with fails(), logspool.bound(token="hunter2", buffer=DEBUG, buffer_records=1):
        routed.log.debug("one")
        routed.log.debug("two", extra=secret)
        secret["password"] = "changed"
        raise LookupError
    said, line = routed.lines()
    assert "hunter2" not in said + line
    assert '"password":"***"' in line


def test_a_cost_is_never_held(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool
        logspool.basicConfig(filename="a.jsonl", level="DEBUG")
        with logspool.bound(request_id="r", buffer=logging.CRITICAL):
            logging.info("noise")
            logspool.log_cost("t", "m", cost=1.0)
        """
    )
    assert events(tmp_path / "a.jsonl") == []
    assert [record["request_id"] for record in records(tmp_path / "openrouter-costs.jsonl")] == ["r"]


# -- nested blocks -----------------------------------------------------------------------------------------------------


def test_what_an_inner_block_held_is_the_outer_ones_when_it_ends_well(routed: Routed, counted: Counted) -> None:
    with fails(), logspool.bound(buffer=DEBUG):
        routed.log.debug("outer 1")
        with logspool.bound(buffer=logging.INFO):
            routed.log.debug("inner debug")
            routed.log.info("inner info")  # the outer one would not have held it
        routed.log.debug("outer 2")
        assert routed.events() == []
        assert counted() == (3, 0, 1)
        raise LookupError
    assert routed.events() == ["outer 1", "inner debug", "outer 2"]
    assert counted() == (0, 3, 1)


def test_an_inner_block_that_raises_writes_its_own_lines_alone(routed: Routed) -> None:
    with logspool.bound(buffer=DEBUG):
        routed.log.debug("outer")
        with fails(), logspool.bound(buffer=DEBUG):
            routed.log.debug("inner")
            raise LookupError
        assert routed.events() == ["inner"]
    assert routed.events() == ["inner"]


def test_an_error_in_an_inner_block_is_one_of_the_outer_block_too(routed: Routed) -> None:
    with logspool.bound(buffer=logging.INFO):
        routed.log.info("outer 1")
        with logspool.bound(buffer=DEBUG):
            routed.log.debug("inner 1")
            routed.log.info("outer 2")  # above the inner block's level
            routed.log.debug("inner 2")
            routed.log.error("failed")
            routed.log.debug("inner 3")
        routed.log.debug("outer 3")
        with logspool.bound(buffer=DEBUG):
            routed.log.debug("late inner")
        expected = ["outer 1", "inner 1", "outer 2", "inner 2", "failed", "inner 3", "outer 3", "late inner"]
        assert routed.events() == expected


def test_a_block_without_a_buffer_and_clear_change_nothing_about_the_one_around_them(routed: Routed) -> None:
    with logspool.bound(buffer=DEBUG):
        with logspool.bound(request_id="r"):
            routed.log.debug("held")
        logspool.clear()
        routed.log.debug("held")
        logspool.bind(k=1)
        logspool.unbind("k")
        routed.log.debug("held")
    assert routed.events() == []


# -- tasks, threads, generators ----------------------------------------------------------------------------------------


def test_tasks_started_in_a_block_share_it_and_late_ones_are_written_as_usual(routed: Routed) -> None:
    async def work(name: str, ended: asyncio.Event) -> None:
        routed.log.debug("%s early", name)
        await asyncio.to_thread(routed.log.debug, "%s in a thread", name)
        await ended.wait()
        routed.log.debug("%s late", name)

    async def request(name: str, fails: bool, ended: asyncio.Event) -> asyncio.Task[None]:
        with logspool.bound(request_id=name, buffer=DEBUG):
            task = asyncio.create_task(work(name, asyncio.Event()))
            late = asyncio.create_task(work(name, ended))
            while logspool.stats()["tail"]["held"] < 4:
                await asyncio.sleep(0)
            task.cancel()
            if fails:
                routed.log.error("failed")
        return late

    async def main() -> None:
        for name, fails in (("good", False), ("bad", True)):
            ended = asyncio.Event()
            late = await request(name, fails, ended)
            ended.set()
            await late

    asyncio.run(main())
    found = [(record["request_id"], record["event"]) for record in routed.records()]
    assert found[0] == ("good", "good late")
    assert sorted(found[1:5]) == [("bad", "bad early")] * 2 + [("bad", "bad in a thread")] * 2
    assert found[5:] == [("bad", "failed"), ("bad", "bad late")]


def test_an_error_in_any_thread_of_a_block_comes_after_all_that_was_held_before(routed: Routed) -> None:
    together = threading.Barrier(6)

    def work(n: int) -> None:
        for step in range(40):
            routed.log.debug("held", extra={"of": n, "step": step})
        together.wait()
        routed.log.error("failed", extra={"of": n})

    with logspool.bound(request_id="r", buffer=DEBUG):
        threads = [threading.Thread(target=context.carry(work), args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = routed.records()
    assert len(found) == 6 * 41
    assert all(record["event"] == "held" for record in found[:240])
    for n in range(6):
        assert [r["fields"]["step"] for r in found[:240] if r["fields"]["of"] == n] == list(range(40))


def test_decorated_functions_and_generators_are_blocks(routed: Routed) -> None:
    @logspool.bound(job="plain", buffer=DEBUG)
    def plain(fails: bool) -> None:
        routed.log.debug("plain %s", fails)
        if fails:
            raise LookupError

    @logspool.bound(job="waits", buffer=DEBUG)
    async def waits(fails: bool) -> None:
        routed.log.debug("waits %s", fails)
        await asyncio.sleep(0)
        if fails:
            raise LookupError

    @logspool.bound(job="rows", buffer=DEBUG)
    def rows(fails: bool) -> Generator[int, None, None]:
        routed.log.debug("rows %s", fails)
        yield 1
        if fails:
            raise LookupError
        yield 2

    @logspool.bound(job="feed", buffer=DEBUG)
    async def feed(fails: bool) -> AsyncGenerator[int, None]:
        routed.log.debug("feed %s", fails)
        yield 1
        if fails:
            raise LookupError
        yield 2

    async def consume(fails: bool) -> None:
        async for _ in feed(fails):
            routed.log.debug("consumer")

    calls: tuple[Callable[[bool], object], ...] = (
        plain,
        lambda fails: asyncio.run(waits(fails)),
        lambda fails: list(rows(fails)),
        lambda fails: asyncio.run(consume(fails)),
    )
    for call in calls:
        call(False)
        with pytest.raises(LookupError):
            call(True)
    left = rows(True)
    next(left)
    left.close()  # its caller wants no more: no failure
    found = [event for event in routed.events() if event != "consumer"]
    assert found == ["plain True", "waits True", "rows True", "feed True"]


def test_a_block_that_is_forgotten_drops_what_it_holds(routed: Routed, counted: Counted) -> None:
    block: Any = logspool.bound(buffer=DEBUG)

    def enter() -> None:
        block.__enter__()
        routed.log.debug("held")

    import contextvars

    contextvars.copy_context().run(enter)
    assert counted() == (1, 0, 0)
    block = None
    assert counted() == (0, 0, 1)
    routed.log.debug("after")
    assert routed.events() == ["after"]


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_too_many_records_push_out_the_oldest_and_that_is_said(routed: Routed, counted: Counted) -> None:
    with logspool.bound(request_id="r", tool="t", buffer=DEBUG, buffer_records=3):
        for n in range(10):
            routed.log.debug("held %d", n)
        assert counted() == (3, 0, 7)
        routed.log.error("failed")
    said, *rest = routed.records()
    assert [record["event"] for record in rest] == ["held 7", "held 8", "held 9", "failed"]
    assert (said["event"], said["level"], said["logger"]) == ("records_discarded", "WARNING", "logspool")
    assert (said["request_id"], said["tool"]) == ("r", "t")
    assert said["fields"] == {"count": 7, "reason": "tail_buffer", "buffer_records": 3, "buffer_bytes": 1 << 20}
    assert list(said)[-3:] == ["tool", "fields", "seq"]
    assert counted() == (0, 3, 7)


def test_too_many_bytes_push_out_the_oldest(routed: Routed) -> None:
    with fails(), logspool.bound(buffer=DEBUG, buffer_bytes="10KB"):
        for n in range(100):
            routed.log.debug("held %d %s", n, "x" * 500)
        routed.log.debug("large %s", "x" * 20_000)
        routed.log.debug("last")
        raise LookupError
    said, *rest = routed.records()
    assert said["fields"]["count"] == 102 - len(rest)
    assert [record["event"] for record in rest] == ["last"]


def test_nothing_is_announced_where_nothing_is_written(routed: Routed) -> None:
    with logspool.bound(buffer=DEBUG, buffer_records=1):
        for n in range(10):
            routed.log.debug("held %d", n)
    assert routed.events() == []


def test_each_log_says_what_is_missing_from_it(routed: Routed, tmp_path: Path) -> None:
    other = logging.getLogger(f"{routed.log.name}.other")
    other.propagate = False
    text = logspool.SpoolHandler(tmp_path / "text.log", json=False)
    other.addHandler(text)
    try:
        with logspool.bound(buffer=DEBUG, buffer_records=2):
            with logspool.bound(buffer=DEBUG, buffer_records=2):
                for n in range(4):
                    routed.log.debug("a %d", n)
                    other.debug("b %d", n)
            routed.log.error("failed")
    finally:
        other.removeHandler(text)
        text.close()
    assert routed.events() == ["records_discarded", "a 3", "failed"]
    assert routed.records()[0]["fields"]["count"] == 3
    said, last = lines(tmp_path / "text.log")
    assert "WARNING logspool: 3 records that were held back are missing" in said
    assert last.endswith("b 3")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"buffer": "LOUD"}, "buffer='LOUD': expected DEBUG, INFO"),
        ({"buffer": True}, "buffer=True: expected DEBUG, INFO"),
        ({"buffer": DEBUG, "buffer_records": 0}, "buffer_records=0: expected"),
        ({"buffer": DEBUG, "buffer_bytes": "much"}, "buffer_bytes='much': expected"),
    ],
)
def test_a_setting_that_is_not_allowed_says_so(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        logspool.bound(**settings)


# -- the end of the process, forks, signals ----------------------------------------------------------------------------


def test_a_process_that_ends_in_a_block_writes_what_is_held(script: Script, tmp_path: Path) -> None:
    script(
        """
        import atexit, logging
        atexit.register(lambda: logging.debug("at the very end"))  # before logspool is imported: it runs after its hook
        import logspool
        logspool.basicConfig(filename="a.jsonl", level="DEBUG")
        logspool.bound(request_id="r", buffer=logging.DEBUG, buffer_records=2).__enter__()
        for n in range(3):
            logging.debug("held %d", n)
        """
    )
    found = records(tmp_path / "a.jsonl")
    assert [record["event"] for record in found] == ["records_discarded", "held 1", "held 2", "at the very end"]


def test_shutdown_writes_what_is_held_and_later_records_at_once(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool
        logspool.basicConfig(filename="a.jsonl", level="DEBUG")
        with logspool.bound(request_id="r", buffer=logging.DEBUG):
            logging.debug("held")
            assert logspool.shutdown()
            print(open("a.jsonl").read().count("held"))
            logging.debug("late")
        """
    )
    assert events(tmp_path / "a.jsonl") == ["held", "late"]


def test_a_log_that_was_closed_within_a_block_gets_its_lines_all_the_same(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool
        logspool.basicConfig(filename="a.jsonl", level="DEBUG")
        with logspool.bound(request_id="r", buffer=logging.DEBUG):
            logging.debug("held")
            logspool.basicConfig(filename="b.jsonl", level="DEBUG", force=True)
            logging.debug("held too")
            logging.error("failed")
        """
    )
    assert events(tmp_path / "a.jsonl") == ["held"]
    assert events(tmp_path / "b.jsonl") == ["held too", "failed"]


def test_a_forked_child_begins_with_an_empty_buffer(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, os, logspool
        logspool.basicConfig(filename="a.jsonl", level="DEBUG")
        with logspool.bound(request_id="r", buffer=logging.DEBUG):
            logging.debug("of the parent")
            pid = os.fork()
            if pid == 0:
                assert logspool.stats()["tail"] == {"held": 0, "written": 0, "discarded": 0}
                logging.debug("of the child")
                logging.error("child failed")
                assert logspool.stats()["tail"] == {"held": 0, "written": 1, "discarded": 0}
                logspool.flush()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            logging.error("parent failed")
        """
    )
    assert sorted(events(tmp_path / "a.jsonl")) == ["child failed", "of the child", "of the parent", "parent failed"]


def test_a_kill_loses_what_is_held_and_nothing_else(tmp_path: Path) -> None:
    process = program.start(
        tmp_path,
        """
        logspool.basicConfig(filename="a.jsonl", level="DEBUG", console=False)
        with logspool.bound(request_id="r", buffer=logging.DEBUG):
            logging.debug("held")
            logging.info("accepted")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    program.end(process)
    assert process.returncode == -signal.SIGKILL
    handler = logspool.SpoolHandler(tmp_path / "a.jsonl")
    handler.flush()
    handler.close()
    assert events(tmp_path / "a.jsonl") == ["accepted"]


def test_ctrl_c_while_held_lines_wait_for_room_ends_the_wait_and_the_rest_is_written_later(tmp_path: Path) -> None:
    process = program.start(
        tmp_path,
        """
        log = open_log("a.jsonl", spool_bytes="256KB", when_full="block", block_timeout=None)
        log.info("start")
        assert logspool.flush()
        say("ready")
        sys.stdin.readline()

        def stuck():
            written = lambda: logspool.stats()["tail"]["written"]
            return written() > 0 and stands_still(written)

        def watch():
            wait_until(stuck, "held lines wait")
            say("stuck")

        with logspool.bound(buffer=logging.DEBUG, buffer_bytes="64MB"):
            for n in range(900):
                log.debug("held %d %s", n, "x" * 1000)
            threading.Thread(target=watch).start()
            try:
                log.error("failed")
            except KeyboardInterrupt:
                say("interrupted")
            sys.stdin.readline()
        assert logspool.stats()["tail"] == {"held": 0, "written": 900, "discarded": 0}
        """,
    )
    assert program.read_line(process) == "ready"
    with stalled(tmp_path, "a.jsonl"):
        program.tell(process, "go")
        assert program.read_line(process) == "stuck"
        process.send_signal(signal.SIGINT)
        assert program.read_line(process) == "interrupted"
    program.tell(process, "on")
    _, err = program.end(process)
    assert process.returncode == 0, err
    held = [int(event.split()[1]) for event in events(tmp_path / "a.jsonl") if event.startswith("held")]
    assert held == sorted(held)
    assert len(held) >= 899  # the one that waited is counted as dropped
