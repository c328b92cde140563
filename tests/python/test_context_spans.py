"""The active OpenTelemetry span: its ids are in the records made within it, with the real SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from conftest import Routed
from logfiles import records
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import logspool

Script = Callable[..., CompletedProcess[str]]
TRACER = TracerProvider().get_tracer("test")
NAMES = ("trace_id", "span_id", "trace_flags")


def _ids(record: dict[str, Any]) -> list[Any]:
    return [record.get(name) for name in NAMES]


def _of(span: trace.Span) -> list[str]:
    about = span.get_span_context()
    return [f"{about.trace_id:032x}", f"{about.span_id:016x}", f"{about.trace_flags:02x}"]


def test_records_have_the_ids_of_the_active_span(routed: Routed) -> None:  # req 15
    routed.log.info("before")
    with TRACER.start_as_current_span("outer") as outer:
        routed.log.info("outer")
        with TRACER.start_as_current_span("inner") as inner, logspool.bound(session_id="s", tool="t"):
            routed.log.info("inner", extra={"k": 1})
            routed.log.info("request", extra={"request_id": "r"})
        routed.log.info("outer")
    routed.log.info("after")
    before, first, within, request, second, after = routed.records()
    assert _ids(before) == _ids(after) == [None] * 3
    assert _ids(first) == _ids(second) == _of(outer)
    assert _ids(within) == _ids(request) == _of(inner)
    ids = [key for key in request if key.endswith(("_id", "_flags")) or key == "tool"]
    assert ids == ["session_id", "request_id", *NAMES, "tool"]
    assert within["fields"] == {"k": 1}


def test_a_span_of_the_calls_or_the_contexts_own_is_not_mixed_with_the_active_one(routed: Routed) -> None:
    with TRACER.start_as_current_span("active") as span:
        routed.log.info("call", extra={"trace_id": "own"})
        routed.log.info("call", extra={"span_id": 255, "trace_id": 1})
        routed.log.info("flags", extra={"trace_flags": "00"})
        with logspool.bound(trace_id="bound"):
            routed.log.info("bound")
            routed.log.info("both", extra={"span_id": "own"})
        with logspool.bound(trace_flags="00", tool="t"):
            routed.log.info("bound flags")
        with logspool.bound(trace_id=None):
            routed.log.info("none")
    call, numbers, flags, bound, both, bound_flags, none = routed.records()
    assert _ids(call) == ["own", None, None]
    assert _ids(numbers) == [f"{1:032x}", f"{255:016x}", None]
    assert _ids(flags) == [*_of(span)[:2], "00"]
    assert _ids(bound) == ["bound", None, None]
    assert _ids(both) == ["bound", "own", None]
    assert _ids(bound_flags) == [*_of(span)[:2], "00"]
    assert _ids(none) == _of(span)


def test_a_span_that_is_not_valid_counts_as_none_and_any_other_as_one(routed: Routed) -> None:
    remote = NonRecordingSpan(SpanContext(2**128 - 1, 2**64 - 1, is_remote=True, trace_flags=TraceFlags(0)))
    for span in (trace.INVALID_SPAN, remote):
        with trace.use_span(span):
            routed.log.info("one")
    invalid, found = routed.records()
    assert _ids(invalid) == [None] * 3
    assert _ids(found) == ["f" * 32, "f" * 16, "00"]


def test_each_task_has_the_ids_of_its_own_span(routed: Routed) -> None:
    async def work(n: int) -> None:
        with TRACER.start_as_current_span(f"work {n}") as span:
            for _ in range(3):
                await asyncio.sleep(0)
                routed.log.info("work", extra={"of": _of(span)})
            await asyncio.to_thread(routed.log.info, "work", extra={"of": _of(span)})

    async def main() -> None:
        await asyncio.gather(*(work(n) for n in range(50)))

    asyncio.run(main())
    found = routed.records()
    assert len(found) == 200
    assert all(_ids(record) == record["fields"]["of"] for record in found)


def test_a_span_whose_code_fails_or_changes_the_call_harms_nothing(routed: Routed) -> None:
    given: dict[str, Any] = {"k": 1}

    class Odd(NonRecordingSpan):
        def get_span_context(self) -> SpanContext:
            given["session_id"] = "from the span"
            raise RuntimeError("no")

    with trace.use_span(Odd(SpanContext(1, 1, is_remote=False))):
        routed.log.info("one", extra=given)
        given.clear()
        routed.log.info("two", extra={"k": 2})
    one, two = routed.records()
    assert _ids(one) == _ids(two) == [None] * 3
    assert (one["fields"]["k"], two["fields"]["k"]) == (1, 2)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("own_runtime_context", [False, True])
def test_opentelemetry_is_found_when_the_program_imports_it_after_the_first_record(
    script: Script, tmp_path: Path, fast: bool, own_runtime_context: bool
) -> None:
    script(
        f"""
        import logging, sys, logspool
        logspool.basicConfig(filename="a.jsonl", level="INFO", fast={fast})
        log = logging.getLogger("app")
        log.info("before")
        assert "opentelemetry" not in sys.modules
        import opentelemetry.context
        from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
        from opentelemetry.sdk.trace import TracerProvider
        if {own_runtime_context}:
            class Own(ContextVarsRuntimeContext):
                pass
            opentelemetry.context._RUNTIME_CONTEXT = Own()
        with TracerProvider().get_tracer("t").start_as_current_span("s") as span:
            log.info("in")
            logspool.log_cost("t", "m")
            print(f"{{span.get_span_context().span_id:016x}}", end="")
        log.info("out")
        """
    )
    before, within, out = records(tmp_path / "a.jsonl")
    (cost,) = records(tmp_path / "openrouter-costs.jsonl")
    assert _ids(before) == _ids(out) == [None] * 3
    assert within["span_id"] is not None
    assert _ids(within) == _ids(cost)


def test_the_fields_of_opentelemetrys_instrumentor_stay_as_they_are(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool
        from opentelemetry.instrumentation.logging import LoggingInstrumentor
        from opentelemetry.sdk.trace import TracerProvider
        LoggingInstrumentor().instrument(inject_trace_context=True, enable_log_auto_instrumentation=False)
        logspool.basicConfig(filename="a.jsonl", level="INFO")
        with TracerProvider().get_tracer("t").start_as_current_span("s"):
            logging.getLogger("app").info("in")
        """
    )
    (record,) = [r for r in records(tmp_path / "a.jsonl") if r["event"] == "in"]
    assert record["fields"]["otelTraceID"] == record["trace_id"]
    assert record["fields"]["otelSpanID"] == record["span_id"]
