"""`exception.stacktrace` is what `traceback.format_exception` gives, byte for byte, whatever the exception is."""

from __future__ import annotations

import io
import linecache
import logging
import os
import sys
import traceback
import types

import pytest
import raising
from hypothesis import HealthCheck, given, note, settings
from raising import SOURCES, SPECS, Sources, Spec, build
from stacktraces import agrees, is_native, needs_native, ours, theirs, thrown
from strict_json import SETTINGS, encoded, record

from logspool import _core


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return raising.modules(tmp_path_factory.mktemp("modules"))


#: Random exceptions that are compared; tests/python/versions.sh asks for more.
EXAMPLES = int(os.environ.get("LOGSPOOL_EXAMPLES", "150"))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=SPECS)
def test_any_exception_reads_as_the_standard_library_shows_it(sources: Sources, spec: Spec) -> None:
    note(str(spec))
    agrees(build(spec, sources))


@pytest.mark.parametrize("kind", sorted(raising.KINDS))
def test_every_kind_of_exception_reads_the_same(sources: Sources, kind: str) -> None:
    for notes in ("absent", *raising.NOTES):
        agrees(build(Spec(kind, "a text", notes=notes, path=[("file", "lines")]), sources))


@pytest.mark.parametrize("source", SOURCES)
def test_every_shape_of_code_from_every_source_reads_the_same(sources: Sources, source: str) -> None:
    for shape in raising.SHAPES:
        agrees(build(Spec("ValueError", shape, path=[(source, shape)]), sources))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with 3.11")
def test_groups_are_cut_in_width_and_depth(sources: Sources) -> None:
    for spec in raising.nested(14):
        error = build(spec, sources)
        assert is_native(lambda error=error: agrees(error))  # type: ignore[misc]
    assert "max_group_depth" in ours(error)
    for count in range(1, 19):
        group = BaseExceptionGroup("many", [KeyError(n) for n in range(count)])  # noqa: F821
        agrees(group)
        agrees(thrown(group))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with 3.11")
def test_what_hangs_on_two_parts_of_a_group_is_shown_once_and_where_traceback_shows_it() -> None:
    shared = thrown(ValueError("shared"))
    parts = [KeyError("first"), KeyError("second"), KeyError("third")]
    parts[0].__cause__ = shared
    parts[1].__context__ = shared
    group = BaseExceptionGroup("several", parts)  # noqa: F821
    group.__context__ = thrown(OSError("before"))
    group.__context__.__cause__ = parts[2]
    assert ours(group).count("ValueError: shared") == 1
    agrees(group)


def test_long_chains_and_cycles_read_the_same() -> None:
    chain = thrown(ValueError(0))
    for n in range(1, 40):
        outer = thrown(ValueError(n))
        setattr(outer, "__cause__" if n % 3 else "__context__", chain)
        chain = outer
    first = chain
    agrees(chain)
    while chain.__cause__ or chain.__context__:
        chain = chain.__cause__ or chain.__context__  # type: ignore[assignment]
    chain.__context__ = first
    agrees(first)
    agrees(chain)


def test_deep_recursion_is_cut_where_lines_repeat() -> None:
    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        else:
            raise RecursionError("enough")

    for depth in (*range(8), 500):
        try:
            deep(depth)
        except RecursionError as error:
            agrees(error)


def test_functions_that_only_look_alike_count_as_repeated(sources: Sources) -> None:
    # Other code objects, the same file, line and name: to `traceback` it is one line again and again.
    made = [raising.module(raising.SOURCE, "<string>")["plain"] for _ in range(6)]
    error = ValueError("x")
    raising.raised(error, made)
    assert "[Previous line repeated 3 more times]" in ours(error)
    agrees(error)


def test_the_traceback_that_was_passed_along_is_the_one_shown() -> None:
    error = thrown(ValueError("x"))
    other = thrown(KeyError("y")).__traceback__
    assert error.__traceback__ is not None
    for shown in (None, other, error.__traceback__):
        info = (type(error), error, shown)
        found = encoded(record("m", exc_info=info))["exception"]["stacktrace"]
        assert found == logging.Formatter().formatException(info)  # type: ignore[arg-type]


def test_a_traceback_of_another_kind_goes_to_the_standard_library() -> None:
    error = thrown(ValueError("x"))
    inner = error.__traceback__
    assert inner is not None
    fake = types.SimpleNamespace(
        tb_frame=inner.tb_frame, tb_lasti=inner.tb_lasti, tb_lineno=inner.tb_lineno, tb_next=None
    )
    found = encoded(record("m", exc_info=(ValueError, error, fake)))["exception"]["stacktrace"]
    text = io.StringIO()
    traceback.print_exception(ValueError, error, fake, file=text)  # type: ignore[arg-type]
    assert found == text.getvalue().rstrip("\n")


def test_tracebacks_without_an_instruction_show_the_line_they_name() -> None:
    error = thrown(ValueError("x"))
    assert error.__traceback__ is not None
    for line in (3, 5, 7):
        for instruction in (-1, 0, error.__traceback__.tb_lasti, 10**6):
            forged = types.TracebackType(None, error.__traceback__.tb_frame, instruction, line)
            # From 3.11 on, `traceback` fails where there is no such instruction.
            assert ours(error.with_traceback(forged)) == theirs(error)


def test_a_long_stack_keeps_its_beginning_and_end(sources: Sources) -> None:
    error = build(Spec("ValueError", "x" * 50, path=[("file", shape) for shape in raising.SHAPES]), sources)
    whole = theirs(error)
    kept = ours(error, max_field=100)
    head, tail = kept.split(f"\n…(truncated, {len(whole)} chars)…\n")
    assert whole.startswith(head)
    assert whole.endswith(tail)


@needs_native
def test_common_exceptions_are_written_natively_and_without_a_call_into_python(sources: Sources) -> None:
    chained = Spec("ValueError", "x", path=[("file", "recursive")], cause=Spec("Own", "y", path=[("loader", "plain")]))
    noted = Spec("KeyError", "z", notes="some", path=[("string", "lines"), ("entered", "wide")])
    for spec in (chained, noted):
        error = build(spec, sources)
        entry = record("m", exc_info=error)
        encoded(entry)
        calls: list[str] = []

        def watch(frame: types.FrameType, event: str, argument: object, calls: list[str] = calls) -> None:
            if event == "call":
                calls.append(frame.f_code.co_filename)

        wanted = {**SETTINGS, "max_field": 100_000}
        sys.setprofile(watch)
        try:
            assert is_native(lambda entry=entry, wanted=wanted: _core.encode_record(entry, wanted))  # type: ignore[misc]
        finally:
            sys.setprofile(None)
        assert [name for name in calls if os.path.dirname(name) != os.path.dirname(__file__)] == []


def test_an_exception_whose_text_logs_an_exception_is_written() -> None:
    inner: list[str] = []

    class Chatty(Exception):
        def __str__(self) -> str:
            inner.append(ours(thrown(KeyError("within"))))
            return "chatty"

    error = thrown(Chatty())
    assert ours(error) == theirs(error)
    assert all(text.endswith("KeyError: 'within'") for text in inner)


@needs_native
def test_linecache_is_left_as_the_standard_library_leaves_it(sources: Sources) -> None:
    error = build(Spec("ValueError", "x", path=[("file", "plain"), ("missing", "plain"), ("loader", "plain")]), sources)
    linecache.clearcache()
    theirs(error)
    wanted = dict(linecache.cache)
    linecache.clearcache()
    assert is_native(lambda: ours(error))
    assert linecache.cache.keys() == wanted.keys()
    assert all(len(entry) == len(wanted[name]) for name, entry in linecache.cache.items())
    raising.enter_known_text()
