"""Random programs of log calls and of changes between them, for `machine` to run."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from tests.fastpath import values
from tests.fastpath.callers import ORDINARY_PLACES, PLACES
from tests.fastpath.furniture import (
    BOUND_NAMES,
    FACTORIES,
    FORMATTERS,
    HANDLER_PATCHES,
    HANDLERS,
    INSTANCE_PATCHES,
    LEVELS,
    LOG_LEVELS,
    METHODS,
    NAMES,
    PATCHES,
)

_names = st.sampled_from(NAMES)
_levels = st.sampled_from(LEVELS)
_handlers = st.sampled_from(tuple(HANDLERS))
_spool_handlers = st.sampled_from(("a", "b", "a without source", "c at warning"))
_flags = st.sampled_from(("true", "false", "one", "zero", "none", "noting true", "noting false"))
_filters = st.sampled_from(("noting", "rejecting", "enriching", "replacing", "raising", "by name"))


def _often(usual: Any, *rare: Any) -> st.SearchStrategy[Any]:
    """Mostly the first, so that a program does not stand in its own way all the time."""
    return st.one_of(usual, usual, usual, *rare)


_plain_keywords = st.fixed_dictionaries({}, optional={"extra": st.sampled_from(tuple(values.PLAIN_EXTRAS))})
_odd_keywords = st.fixed_dictionaries(
    {},
    optional={
        "extra": st.sampled_from(tuple(values.EXTRAS)),
        "exc_info": st.sampled_from(tuple(values.EXC_INFOS)),
        "stacklevel": st.sampled_from(tuple(values.STACKLEVELS)),
        "stack_info": st.sampled_from(tuple(values.STACK_INFOS)),
    },
)
_wrong_keywords = st.fixed_dictionaries(
    {
        "wrong": st.sampled_from(("unknown", "level", "args", "msg", "self", "subclass of str", "no str")),
    },
    optional={"extra": st.sampled_from(tuple(values.EXTRAS))},
)
_plain_call = st.tuples(
    st.just("call"),
    _names,
    st.sampled_from(METHODS[:7]),
    st.sampled_from(("20", "10", "30", "40", "50")),
    st.just("logger"),
    st.sampled_from(ORDINARY_PLACES[:4]),
    st.sampled_from(("constant", "one", "two", "number", "named", "unicode")),
    st.lists(st.sampled_from(tuple(values.PLAIN)), max_size=2).map(tuple),
    _plain_keywords,
)
_any_call = st.tuples(
    st.just("call"),
    _names,
    st.sampled_from(METHODS),
    st.sampled_from(tuple(LOG_LEVELS)),
    _often(
        st.just("logger"),
        st.sampled_from(
            (
                "held",
                "unbound",
                "type",
                "module",
                "adapter",
                "adapter without extra",
                "adapter merging",
                "adapter of adapter",
            )
        ),
    ),
    _often(st.just("direct"), st.sampled_from(tuple(PLACES))),
    _often(
        st.sampled_from(tuple(values.MESSAGES)),
        st.sampled_from(("nothing", *(f"value {name}" for name in values.VALUES))),
    ),
    st.lists(st.sampled_from(tuple(values.VALUES)), max_size=3).map(tuple),
    _often(_odd_keywords, _wrong_keywords),
)
_tree = st.one_of(
    st.tuples(st.just("level"), _names, _levels),
    st.tuples(st.just("propagate"), _names, _flags),
    st.tuples(st.just("disabled"), _names, _flags),
    st.tuples(st.just("disable"), _levels),
    st.tuples(st.just("raw_level"), _names, _levels),
    st.tuples(st.just("parent"), _names, st.sampled_from((*NAMES, "none", "foreign"))),
    st.tuples(st.just("rename"), _names, st.sampled_from(("renamed", 'q"uote', ""))),
    st.tuples(st.just("add"), _names, _spool_handlers),
    st.tuples(st.just("add"), _names, _handlers),
    st.tuples(st.just("remove"), _names, _handlers),
    st.tuples(
        st.just("list"), _names, st.sampled_from(("append", "clear", "new", "tuple", "subclass", "junk")), _handlers
    ),
    st.tuples(st.just("handler_level"), _handlers, _levels),
    st.tuples(st.just("handler_raw_level"), _handlers, st.sampled_from(tuple(LOG_LEVELS))),
    st.tuples(st.just("formatter"), _handlers, st.sampled_from(tuple(FORMATTERS))),
    st.tuples(st.just("close"), _handlers),
    st.tuples(st.just("filter"), _names, _filters),
    st.tuples(st.just("unfilter"), _names),
    st.tuples(st.just("handler_filter"), _handlers, _filters),
    st.tuples(st.just("handler_unfilter"), _handlers),
)
_others = st.one_of(
    st.tuples(st.just("patch"), st.sampled_from(tuple(PATCHES))),
    st.tuples(st.just("patch_instance"), _names, st.sampled_from(INSTANCE_PATCHES)),
    st.tuples(st.just("patch_handler"), _handlers, st.sampled_from(HANDLER_PATCHES)),
    st.tuples(st.just("factory"), st.sampled_from(FACTORIES)),
    st.tuples(
        st.just("flag"),
        st.sampled_from(("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks")),
        st.booleans(),
    ),
    st.tuples(st.just("source")),
    st.tuples(st.just("raise_exceptions"), st.booleans()),
    st.tuples(st.just("last_resort"), st.sampled_from(("none", "a", "recording"))),
    st.tuples(st.just("level_name"), _levels, st.sampled_from(("NOTICE", "", 'L"ä\n'))),
    st.tuples(st.just("time"), st.sampled_from((1_700_000_000.25, 0, 1_700_000_000, -1.5, 4e9, 1e300))),
    st.tuples(st.just("thread_name"), st.sampled_from(("renamed", 'ä"\n', ""))),
    st.tuples(st.just("capture_warnings"), st.booleans()),
    st.tuples(st.just("warn"), st.sampled_from(("careful %s", "ä"))),
    st.tuples(st.just("install")),
    st.tuples(st.just("uninstall")),
    st.tuples(st.just("identity"), _names),
    st.tuples(st.just("hold"), _names, st.sampled_from(METHODS[:8])),
    st.tuples(st.just("subclass"), _names),
    st.tuples(st.just("handle"), _names, _levels),
    st.tuples(st.just("log_directly"), _names, _levels),
)
_bindings = st.dictionaries(
    st.sampled_from(BOUND_NAMES), st.sampled_from((*values.PLAIN, *values.VALUES)), min_size=1, max_size=4
)
_contexts = st.one_of(
    st.tuples(st.just("bind"), _names, _bindings),
    st.tuples(st.just("bind"), _names, _bindings),
    st.tuples(st.just("unbind"), st.lists(st.sampled_from(BOUND_NAMES), max_size=3).map(tuple)),
    st.tuples(st.just("clear")),
    st.tuples(st.just("block"), _names, _bindings, st.sampled_from((None, 10, 20, 30, 50)), st.sampled_from((1, 1000))),
    st.tuples(st.just("block_end"), st.booleans()),
    st.tuples(st.just("span"), st.integers(0, 3)),
    st.tuples(st.just("span_end")),
)
_opening = st.tuples(
    st.lists(st.tuples(st.just("add"), _names, _spool_handlers), min_size=1, max_size=3),
    st.lists(st.tuples(st.just("level"), _names, st.sampled_from((10, 20, 30))), max_size=2),
    st.booleans(),
)


_mapping_call = st.tuples(
    st.just("call"),
    _names,
    st.sampled_from(METHODS[:5]),
    st.just("20"),
    st.just("logger"),
    st.just("direct"),
    st.sampled_from(("named", "one", "constant", "two")),
    st.sampled_from(("dict", "empty dict", "mapping", "missing", "ordered", "proxy")).map(lambda value: (value,)),
    _plain_keywords,
)
_failing_call = st.tuples(
    st.just("call"),
    _names,
    st.sampled_from(("exception", "error", "info")),
    st.just("20"),
    st.just("logger"),
    st.sampled_from(("except", "direct", "finally", "after except", "thread")),
    st.sampled_from(("constant", "one")),
    st.lists(st.sampled_from(tuple(values.PLAIN)), max_size=1).map(tuple),
    st.fixed_dictionaries({"exc_info": st.sampled_from(tuple(values.EXC_INFOS))}, optional={"extra": st.just("one")}),
)


_around: tuple[tuple[tuple[Any, ...], tuple[Any, ...]], ...] = (
    *(
        (("filter", "{name}", kind), ("unfilter", "{name}"))
        for kind in ("noting", "rejecting", "enriching", "replacing")
    ),
    *((("handler_filter", "{handler}", kind), ("handler_unfilter", "{handler}")) for kind in ("noting", "replacing")),
    (("formatter", "{handler}", "own"), ("formatter", "{handler}", "none")),
    (("add", "{name}", "recording"), ("remove", "{name}", "recording")),
    (("add", "", "subclass"), ("remove", "", "subclass")),
    *((("patch", label), ("patch", label)) for label in PATCHES),
    *((("patch_instance", "{name}", name), ("patch_instance", "{name}", name)) for name in INSTANCE_PATCHES),
    *((("patch_handler", "{handler}", name), ("patch_handler", "{handler}", name)) for name in HANDLER_PATCHES),
    *((("factory", kind), ("factory", "standard")) for kind in FACTORIES),
    (("flag", "logThreads", False), ("flag", "logThreads", True)),
    (("source",), ("source",)),
    (("disabled", "{name}", "true"), ("disabled", "{name}", "false")),
    (("uninstall",), ("install",)),
    *([(("disable", 50), ("disable", 0)), (("level", "{name}", 50), ("level", "{name}", 10))] * 4),
    *([(("level", "", 30), ("level", "", 10))] * 4),
)
#: What is around a call, often enough that most programs have some of it.
_bound = st.one_of(st.tuples(st.just("bind"), _names, _bindings), st.tuples(st.just("span"), st.integers(1, 3)))
_changes = st.sampled_from(_around)
_some_names = st.sampled_from(("a", "a.b", ""))


@st.composite
def _sandwich(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Something gets in the way of a logger's calls and goes again."""
    name, handler = draw(_some_names), draw(_spool_handlers)
    spoiled, mended = (
        tuple({"{name}": name, "{handler}": handler}.get(word, word) for word in change) for change in draw(_changes)
    )

    def calls() -> list[tuple[Any, ...]]:
        call = ("call", name, "info", "20", "logger", "direct", "one", ("text",), draw(_plain_keywords))
        return [call, call]

    return [("add", name, handler), *calls(), spoiled, *calls(), mended, *calls()]


# Made once: a strategy made anew for each program is looked through anew. Each is mapped by itself, because hypothesis takes equal
# strategies for one, and the branches of a choice within a choice for equals.
_part = st.one_of(
    *(
        choice.map(lambda operation: [tuple(operation)])
        for choice in (
            *(_plain_call, _plain_call, _any_call, _any_call, _any_call, _mapping_call, _failing_call),
            *(_tree, _tree, _others, _contexts),
        )
    ),
    _sandwich(),
)
_parts = st.lists(_part, min_size=3, max_size=14)


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Loggers and handlers first, then calls with changes between them; installed at the beginning or after the loggers."""
    added, levels, early = draw(_opening)
    built = [("level", "", 10), *added, *levels]
    program = [("install",), *built] if early else [*built, ("install",)]
    program += draw(st.lists(_bound, max_size=2))
    for part in draw(_parts):
        program += part
    return program
