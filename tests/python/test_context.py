"""Context: what is bound stands in every record of its task or thread, and in no other's."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import logging
import logging.handlers
import queue
import random
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from conftest import Routed
from logfiles import records

import logspool
from logspool import context

Script = Callable[..., CompletedProcess[str]]
IDS = ("session_id", "request_id", "trace_id", "span_id", "trace_flags", "tool", "category")


def _fields(record: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = record.get("fields", {})
    return fields


# -- where values stand ------------------------------------------------------------------------------------------------


def test_bound_values_stand_in_each_record_and_ids_at_the_top_of_the_line(routed: Routed) -> None:  # req 15
    logspool.bind(tool="search", user="ada", session_id="s", trace_flags="01", span_id="sp", category="llm")
    logspool.bind(request_id="r", trace_id="t", rows=3)
    routed.log.info("one")
    routed.log.info("two %d", 2, extra={"k": 1})
    one, two = routed.records()
    order = ["category", "ts", "level", "logger", "event", "service", "pid", "thread"]
    order += ["session_id", "request_id", "trace_id", "span_id", "trace_flags", "tool", "fields", "src", "seq"]
    assert list(one) == list(two) == order
    assert [one[name] for name in IDS] == ["s", "r", "t", "sp", "01", "search", "llm"]
    assert one["fields"] == {"user": "ada", "rows": 3}
    assert two["fields"] == {"user": "ada", "rows": 3, "k": 1}
    assert list(two["fields"]) == ["user", "rows", "k"]


def test_what_the_call_says_goes_before_what_is_bound_and_that_before_what_is_static(tmp_path: Path) -> None:
    for fast in (False, True):
        if fast:
            logspool.install()
        log = logging.getLogger(f"merge.{fast}")
        log.propagate, path = False, tmp_path / f"{fast}.jsonl"
        handler = logspool.SpoolHandler(path, static={"region": "eu", "zone": 1, "k": "static"})
        log.addHandler(handler)
        try:
            with logspool.bound(zone=2, k="bound", tool="bound", request_id="bound", user='q"uote'):
                log.warning("a")
                log.warning("b", extra={"k": "call"})
                log.warning("c", extra={"tool": "call", "fields": {"zone": "nested", "new": 1}})
                log.warning("d", extra={"other": 1})
            log.warning("e", extra={"k": "call"})
        finally:
            handler.close()
            log.removeHandler(handler)
            if fast:
                logspool.uninstall()
        a, b, c, d, e = records(path)
        assert a["fields"] == {"region": "eu", "zone": 2, "k": "bound", "user": 'q"uote'}
        assert b["fields"] == {**a["fields"], "k": "call"}
        assert c["fields"] == {**a["fields"], "zone": "nested", "new": 1}
        assert (c["tool"], c["request_id"]) == ("call", "bound")
        assert d["fields"] == {**a["fields"], "other": 1}
        assert e["fields"] == {"region": "eu", "zone": 1, "k": "call"}


def test_a_cost_record_has_the_context_too_and_its_own_members_go_before(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logspool
        logspool.basicConfig(filename="a.jsonl", static={"region": "eu", "model": "static"})
        with logspool.bound(session_id="s", request_id="bound", category="llm", model="bound", user="ada", note="bound"):
            logspool.log_cost("tier", "real", note="call")
            logspool.log_cost("tier", "real", request_id="call")
        logspool.log_cost("tier", "real")
        """
    )
    one, two, three = records(tmp_path / "openrouter-costs.jsonl")
    assert next(iter(one)) == "category"
    assert (one["session_id"], one["request_id"], two["request_id"]) == ("s", "bound", "call")
    assert "session_id" not in three
    assert (one["fields"]["model"], one["fields"]["user"], one["fields"]["note"]) == ("real", "ada", "call")
    assert (two["fields"]["note"], two["fields"]["region"]) == ("bound", "eu")
    assert "user" not in three["fields"]
    for line in (tmp_path / "openrouter-costs.jsonl").read_text().splitlines():
        pairs = json.loads(line, object_pairs_hook=lambda pairs: pairs)
        fields = dict(pairs)["fields"]
        assert len(dict(fields)) == len(fields)


def test_none_is_not_bound_and_what_has_structure_is_a_field(routed: Routed) -> None:
    with logspool.bound(session_id="s", tool="t"), logspool.bound(session_id=None, tool=["a", "b"], plain=None):
        routed.log.info("one")
    (record,) = routed.records()
    assert "session_id" not in record
    assert "tool" not in record
    assert record["fields"] == {"tool": ["a", "b"], "plain": None}


def test_a_call_that_passes_none_as_an_id_has_the_bound_one(routed: Routed) -> None:
    with logspool.bound(session_id="s"):
        routed.log.info("one", extra={"session_id": None})
        routed.log.info("two")
    assert [record["session_id"] for record in routed.records()] == ["s", "s"]


def test_a_mapping_bound_as_fields_is_merged_in(routed: Routed) -> None:
    with logspool.bound(fields={"a": 1, "b": 2}, b="own"):
        routed.log.info("one")
    assert routed.records()[0]["fields"] == {"b": "own", "a": 1}


def test_an_event_cannot_be_bound() -> None:
    with pytest.raises(ValueError, match="event: it says what one record is about"):
        logspool.bind(event="x")
    with pytest.raises(ValueError, match="event"), logspool.bound(event="x", buffer=logging.DEBUG):
        pytest.fail("entered")
    assert context.current() == {}


def test_unbind_and_clear_take_values_out(routed: Routed) -> None:
    logspool.bind(a=1, b=2, session_id="s")
    logspool.unbind("a", "not bound")
    routed.log.info("one")
    assert context.current() == {"b": 2, "session_id": "s"}
    logspool.clear()
    routed.log.info("two")
    logspool.unbind("b")
    assert context.current() == {}
    one, two = routed.records()
    assert (one["fields"], one["session_id"]) == ({"b": 2}, "s")
    assert "fields" not in two
    assert "session_id" not in two


def test_each_log_of_a_record_has_the_context_as_its_own_settings_have_it(routed: Routed, tmp_path: Path) -> None:
    short = logspool.SpoolHandler(tmp_path / "short.jsonl", max_field=20)
    routed.log.addHandler(short)
    for text in ("x" * 100, "y" * 100):
        with logspool.bound(text=text):
            routed.log.info("one")
            routed.log.info("two")
    routed.log.info("three")
    long = [_fields(record).get("text") for record in routed.records()]
    assert long == ["x" * 100] * 2 + ["y" * 100] * 2 + [None]
    cut = [_fields(record).get("text") for record in records(tmp_path / "short.jsonl")]
    assert [text and text[:12] for text in cut] == ["x" * 12] * 2 + ["y" * 12] * 2 + [None]
    assert all(text is None or "truncated" in text for text in cut)


def test_what_was_bound_before_logging_was_configured_is_there(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool
        logspool.bind(session_id="early", user="ada")
        logspool.basicConfig(filename="a.jsonl", level="INFO")
        logging.info("one")
        logging.info("two")
        """
    )
    assert [(r["session_id"], r["fields"]) for r in records(tmp_path / "a.jsonl")] == [("early", {"user": "ada"})] * 2


def test_a_bound_secret_reaches_no_line_of_a_log_that_redacts(routed: Routed) -> None:  # req 30
    record = logging.makeLogRecord({"msg": "four"})
    open_settings = {**routed.handler._settings, "redact": False}
    with logspool.bound(password="hunter2", headers={"Authorization": "hunter2"}, user="ada", tool="t"):
        routed.log.info("one")
        routed.log.info("two", extra={"k": 1})
        routed.log.info("three", extra={"user": "call"})
        shown = json.loads(logspool._core.encode_record(record, open_settings))
    lines = routed.lines()
    assert len(lines) == 3
    assert not any("hunter2" in line for line in lines)
    assert all(_fields(json.loads(line))["password"] == "***" for line in lines)
    assert shown["fields"] == {"password": "hunter2", "headers": {"Authorization": "hunter2"}, "user": "ada"}


def test_secrets_within_bound_texts_and_around_them_reach_no_line(routed: Routed) -> None:  # req 31
    bearer, password = "Bearer 0a1b2c3d4e5f60718293a4b5c6d7e8f9", "postgres://app:hunter2@db/x"
    with logspool.bound(note=f"Authorization: {bearer}", tool=bearer, category=bearer, nested={"url": [password]}):
        routed.log.info("plain")
        routed.log.info("said %s", bearer, extra={"url": password, "level": password, "seq": password})
        routed.log.info("said %s", bearer)
        routed.log.info("meets", extra={"note": password})
    for line in routed.lines():
        assert "hunter2" not in line
        assert "0a1b2c3d4e5f60718293a4b5c6d7e8f9" not in line
        assert json.loads(line)["fields"]["nested"] == {"url": ["postgres://app:***@db/x"]}


# -- values ------------------------------------------------------------------------------------------------------------


class Raises:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def test_values_are_as_they_were_when_they_were_bound(routed: Routed) -> None:
    value = {"n": [1]}
    with logspool.bound(value=value):
        value["n"].append(2)
        routed.log.info("one")
    assert routed.records()[0]["fields"] == {"value": {"n": [1]}}


def test_a_value_that_cannot_be_encoded_becomes_a_placeholder(routed: Routed) -> None:
    with logspool.bound(bad=Raises(), session_id=Raises(), good=1):
        routed.log.info("one")
    (record,) = routed.records()
    assert record["fields"]["good"] == 1
    assert "Raises" in record["fields"]["bad"]
    assert "Raises" in record["session_id"]


def test_a_value_may_log_while_it_is_bound(routed: Routed) -> None:
    class Chatty:
        def __str__(self) -> str:
            routed.log.info("nested")
            return "text"

    with logspool.bound(outer=1), logspool.bound(chatty=Chatty()):
        routed.log.info("one")
    nested, *_, one = routed.records()
    assert (nested["event"], nested["fields"]) == ("nested", {"outer": 1})
    assert one["fields"] == {"outer": 1, "chatty": "text"}


def test_a_value_may_log_while_a_log_of_another_kind_first_needs_it(routed: Routed, tmp_path: Path) -> None:
    class Chatty:
        def __str__(self) -> str:
            routed.log.info("nested")
            return "text"

    with logspool.bound(chatty=Chatty()):
        other = logspool.SpoolHandler(tmp_path / "other.jsonl", max_field=1000)
        routed.log.addHandler(other)
        routed.log.info("one")
    assert routed.records()[-1]["fields"] == {"chatty": "text"}
    assert records(tmp_path / "other.jsonl")[-1]["fields"] == {"chatty": "text"}


def test_names_and_values_of_any_text_make_a_line_that_can_be_read(routed: Routed) -> None:
    odd = {'q"\n\\': "v\x1b[31m\u202e", "": 1, "ä" * 50: "\ud800", "\ud800": 2}
    with logspool.bound(**odd):
        routed.log.info("one", extra={'q"\n\\': "call"})
        routed.log.info("two")
    one, two = routed.records()
    assert one["fields"]['q"\n\\'] == "call"
    assert two["fields"]['q"\n\\'] == "v\x1b[31m\u202e"
    assert len(two["fields"]) == 4
    assert "\x1b" not in routed.lines()[1]


@pytest.mark.parametrize(
    "values",
    [
        {"text": "x" * 1_000_000},
        {f"k{n}": "x" * 1000 for n in range(100)},
        {f"k{n}": n for n in range(10_000)},
        {"deep": [[["x" * 100] * 100] * 100] * 100},
        {"session_id": "s" * 100_000, "category": "c" * 100_000},
    ],
)
def test_a_context_of_any_size_adds_a_bounded_part_to_a_line_and_says_what_is_missing(
    routed: Routed, values: dict[str, Any]
) -> None:
    with logspool.bound(**values):
        routed.log.info("one", extra={"k": "kept"})
    (line,) = routed.lines()
    assert len(line) < 20_000
    assert _fields(json.loads(line))["k"] == "kept"
    assert any(note in line for note in ("truncated", "more)", "left out"))


def test_a_context_never_makes_a_record_too_large_for_its_log(tmp_path: Path) -> None:
    handler = logspool.SpoolHandler(tmp_path / "a.jsonl", max_record=1024)
    log = logging.getLogger("small")
    log.propagate = False
    log.addHandler(handler)
    with logspool.bound(session_id="\x01" * 200, category="\x01" * 200, a="x" * 5000, b="y" * 5000):
        log.warning("m" * 5000)
    log.removeHandler(handler)
    handler.close()
    (record,) = records(tmp_path / "a.jsonl")
    assert record["event"].startswith("m")


def test_bound_objects_are_collected_with_what_refers_to_them() -> None:
    class Value:
        around: contextvars.Context

    def make() -> weakref.ref[Value]:
        value = Value()
        logspool.bind(value=value)
        value.around = contextvars.copy_context()
        return weakref.ref(value)

    dead = contextvars.copy_context().run(make)
    gc.collect()
    assert dead() is None


# -- blocks ------------------------------------------------------------------------------------------------------------


def test_a_block_ends_with_its_values_and_with_what_was_bound_in_it(routed: Routed) -> None:
    logspool.bind(outer=1)
    with logspool.bound(inner=2):
        logspool.bind(more=3)
        routed.log.info("in")
        with pytest.raises(LookupError), logspool.bound(deep=4):
            raise LookupError
        routed.log.info("in again")
    routed.log.info("out")
    assert [_fields(record) for record in routed.records()] == [
        {"outer": 1, "inner": 2, "more": 3},
        {"outer": 1, "inner": 2, "more": 3},
        {"outer": 1},
    ]


def test_a_block_is_entered_once_at_a_time() -> None:
    block = logspool.bound(a=1)
    with block, pytest.raises(RuntimeError, match="entered already"):
        block.__enter__()
    with block:
        assert context.current() == {"a": 1}
    assert context.current() == {}


def test_a_block_left_in_another_context_raises_nothing() -> None:
    block = logspool.bound(a=1)
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    assert context.current() == {}


def test_decorated_functions_have_the_values_while_they_run(routed: Routed) -> None:
    @logspool.bound(job="plain")
    def plain(n: int) -> int:
        routed.log.info("plain")
        return n if n == 0 else plain(n - 1)

    @logspool.bound(job="waits")
    async def waits() -> str:
        await asyncio.sleep(0)
        routed.log.info("waits")
        return "done"

    assert plain(2) == 0
    assert plain.__name__ == "plain"
    assert asyncio.iscoroutinefunction(waits)
    assert asyncio.run(waits()) == "done"
    routed.log.info("out")
    assert [_fields(record).get("job") for record in routed.records()] == ["plain"] * 3 + ["waits", None]


def test_a_decorated_generator_has_the_values_while_it_runs_and_its_caller_never(routed: Routed) -> None:
    closed = []

    @logspool.bound(job="rows")
    def rows() -> Generator[int, str, str]:
        logspool.bind(more=1)
        try:
            got = yield 1
            routed.log.info("got %s", got)
            try:
                yield 2
            except LookupError:
                routed.log.info("thrown")
            yield 3
        finally:
            closed.append(context.current())
        return "end"

    generator = rows()
    assert next(generator) == 1
    routed.log.info("out")
    assert generator.send("word") == 2
    assert context.current() == {}
    assert generator.throw(LookupError()) == 3
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert end.value.value == "end"
    early = rows()
    next(early)
    early.close()
    assert closed == [{"job": "rows", "more": 1}] * 2
    assert [(record["event"], _fields(record)) for record in routed.records()] == [
        ("out", {}),
        ("got word", {"job": "rows", "more": 1}),
        ("thrown", {"job": "rows", "more": 1}),
    ]


def test_a_decorated_asynchronous_generator_has_the_values_while_it_runs(routed: Routed) -> None:
    @logspool.bound(job="rows")
    async def rows() -> AsyncGenerator[int, str]:
        try:
            await asyncio.sleep(0)
            routed.log.info("got %s", (yield 1))
            try:
                yield 2
            except LookupError:
                routed.log.info("thrown")
            yield 3
        finally:
            routed.log.info("closed")

    async def main() -> None:
        generator = rows()
        assert await generator.__anext__() == 1
        routed.log.info("out")
        assert await generator.asend("word") == 2
        assert await generator.athrow(LookupError()) == 3
        await generator.aclose()
        assert [n async for n in rows()] == [1, 2, 3]
        assert context.current() == {}

    asyncio.run(main())
    found = [(record["event"], _fields(record).get("job")) for record in routed.records()]
    assert found == [
        ("out", None),
        ("got word", "rows"),
        ("thrown", "rows"),
        ("closed", "rows"),
        ("got None", "rows"),
        ("closed", "rows"),
    ]


def test_async_with_binds_as_with_does() -> None:
    async def main() -> dict[str, Any]:
        async with logspool.bound(a=1):
            return context.current()

    assert asyncio.run(main()) == {"a": 1}
    with pytest.raises(TypeError, match="only a function"):
        logspool.bound(a=1)(3)  # type: ignore[type-var]


# -- tasks, threads, processes -----------------------------------------------------------------------------------------


def test_ten_sessions_of_a_hundred_tasks_each_never_have_anothers_id(routed: Routed) -> None:  # req 15
    dice = random.Random(6)
    library = routed.log.getChild("library")  # as a third party's: it knows nothing of the context
    pool = context.executor(4)

    async def tool_call(session: str, n: int) -> None:
        with logspool.bound(request_id=f"{session}.{n}"):
            for step in range(3):
                await asyncio.sleep(dice.random() / 1000)
                library.info("step", extra={"of": session, "n": n, "step": step})
            if n % 10 == 0:
                await asyncio.to_thread(library.info, "step", extra={"of": session, "n": n, "step": 3})
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(pool, lambda: library.info("step", extra={"of": session, "n": n, "step": 4}))
            logspool.bind(late=n)
            library.info("step", extra={"of": session, "n": n, "step": 5})

    async def session(number: int) -> None:
        name = f"s{number}"
        logspool.bind(session_id=name)
        await asyncio.gather(*(tool_call(name, n) for n in range(100)))
        library.info("session ended", extra={"of": name})

    async def main() -> None:
        await asyncio.gather(*(asyncio.create_task(session(number)) for number in range(10)))

    asyncio.run(main())
    pool.shutdown()
    found = routed.records()
    assert len(found) == 10 * (100 * 4 + 10 * 2 + 1)
    for record in found:
        fields = record["fields"]
        assert record["session_id"] == fields["of"]
        if record["event"] == "step":
            assert record["request_id"] == f"{fields['of']}.{fields['n']}"
            assert fields.get("late") == (fields["n"] if fields["step"] == 5 else None)
        else:
            assert "request_id" not in record


def test_threads_have_contexts_of_their_own(routed: Routed) -> None:
    together = threading.Barrier(8)

    def work(n: int) -> None:
        assert context.current() == {}
        logspool.bind(session_id=f"s{n}")
        together.wait()
        for _ in range(50):
            routed.log.info("work", extra={"of": f"s{n}"})

    logspool.bind(session_id="main")
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    routed.log.info("work", extra={"of": "main"})
    assert all(record["session_id"] == record["fields"]["of"] for record in routed.records())


def test_the_context_is_carried_into_executors_by_those_that_say_so() -> None:
    every = threading.Barrier(3)

    def seen(meet: bool = False) -> Any:
        if meet:
            every.wait()
        try:
            return context.current().get("session_id")
        finally:
            logspool.bind(session_id="left behind")

    with logspool.bound(session_id="s"), ThreadPoolExecutor(3) as plain, context.executor(3) as ours:
        assert list(plain.map(context.carry(seen), [True] * 3)) == ["s"] * 3  # all at once
        assert plain.submit(context.carry(seen)).result() == "s"
        assert list(ours.map(seen, [True] * 3)) == ["s"] * 3
        assert ours.submit(seen).result() == "s"
        assert plain.submit(seen).result() is None

    async def main() -> Any:
        logspool.bind(session_id="task")
        asyncio.get_running_loop().set_default_executor(context.executor(1))
        in_pool = await asyncio.get_running_loop().run_in_executor(None, seen)
        in_task = await asyncio.create_task(asyncio.to_thread(seen))
        return in_pool, in_task

    assert asyncio.run(main()) == ("task", "task")
    assert context.current() == {}


def test_a_pool_begins_with_the_context_that_its_initializer_binds() -> None:
    with ThreadPoolExecutor(1, initializer=lambda: logspool.bind(pool="p")) as pool:
        assert pool.submit(context.current).result() == {"pool": "p"}


def test_a_forked_child_goes_on_with_its_parents_context(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, os, logspool
        logspool.basicConfig(filename="a.jsonl", level="INFO")
        with logspool.bound(session_id="s"):
            pid = os.fork()
            logging.info("child" if pid == 0 else "parent")
            if pid == 0:
                logspool.flush()
                os._exit(0)
            os.waitpid(pid, 0)
        """
    )
    found = {record["event"]: record["session_id"] for record in records(tmp_path / "a.jsonl")}
    assert found == {"parent": "s", "child": "s"}


def test_a_queue_handlers_records_have_the_context_that_its_filter_wrote_into_them(routed: Routed) -> None:
    made: queue.Queue[Any] = queue.Queue()
    through = logging.handlers.QueueHandler(made)
    listener = logging.handlers.QueueListener(made, routed.handler)
    source = logging.getLogger(f"{routed.log.name}.queued")
    source.propagate = False
    source.addHandler(through)
    listener.start()
    try:
        with logspool.bound(session_id="s", user="ada", name="not the logger's", gone=None):
            source.warning("without")
            through.addFilter(context.ContextFilter())
            source.warning("with", extra={"user": "call"})
            routed.log.info("direct")
    finally:
        listener.stop()
        source.removeHandler(through)
    found = {record["event"]: record for record in routed.records()}
    assert "session_id" not in found["without"]
    assert found["with"]["session_id"] == "s"
    assert found["with"]["fields"] == {"user": "call", "name": "not the logger's"}
    assert found["with"]["logger"] == source.name


def test_a_bound_name_that_every_record_has_reaches_the_listener_too(routed: Routed) -> None:
    waiting: queue.Queue[Any] = queue.Queue()
    shipper = logging.handlers.QueueHandler(waiting)
    shipper.addFilter(context.ContextFilter())
    names = {"name": "ada", "module": "m-1", "message": "hello", "asctime": "now", "user": "ada"}
    made = logging.makeLogRecord(
        {"msg": "m", "name": "app", "levelno": 20, "levelname": "INFO", "fields": {"module": "given"}}
    )
    with logspool.bound(**names):
        shipper.handle(made)
    record = waiting.get_nowait()
    assert (record.name, record.message) == ("app", "m")
    routed.handler.handle(record)
    routed.log.info("so that the fast path has something to do")
    assert routed.records()[0]["fields"] == {**names, "module": "given"}


def test_nothing_but_a_context_in_the_variable_is_believed(routed: Routed) -> None:
    def log() -> None:
        logspool._core._context_variable.set("not a context")  # type: ignore[arg-type]
        routed.log.info("one")

    contextvars.copy_context().run(log)
    assert routed.events() == ["one"]


def test_importing_logspool_imports_neither_asyncio_nor_opentelemetry(script: Script) -> None:
    script("import sys, logspool; assert not {'asyncio', 'opentelemetry', 'inspect', 'concurrent'} & set(sys.modules)")
