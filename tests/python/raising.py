"""Exceptions of every kind, as a hypothesis strategy: what they are, where they passed, what hangs on them."""

from __future__ import annotations

import functools
import linecache
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

# Calls in many shapes: what `traceback` underlines depends on them.
SOURCE = """\
def plain(call):
    call()

def added(call):
    return 1 + call() * 2 - 3

def wide(call):
    return "日本語", call(), "é\\t漢字"

def lines(call):
    return [
        "a", (
            call(

            )
        ),
        "b",
    ]

def many_lines(call):
    return dict(
        one=1,
        two=2,
        # a comment
        three=3,
        four=call(),
        five=5,
    )["one"] + (
        1)

def subscript(call):
    return {1: 2}[call()]

def listed(call):
    return [call() for _ in (1, 2)]

def lazily(call):
    return (lambda: call())()

def generated(call):
    return next(call() for _ in "x")

def in_a_class(call):
    class Body:
        value = call()
    return Body

def twice(call):
    return call(); return None

def with_tabs(call):
	if call:
		return call()	# a tab before this

def finally_(call):
    try:
        call()
    finally:
        str()

def returns(call):
    return call()

def assigns(call):
    value = call()
    return value

def divides(call):
    return (1
        / (call() or 0))

def recursive(call, depth=7):
    if depth:
        return recursive(call, depth - 1)
    return call()

def recursive_little(call, depth=2):
    return recursive_little(call, depth - 1) if depth else call()

def mutual(call, depth=9):
    return other(call, depth)

def other(call, depth):
    return mutual(call, depth - 1) if depth else call()
\f
def after_a_form_feed(call):
    return call()
"""
SHAPES = [
    "plain", "added", "wide", "lines", "many_lines", "subscript", "listed", "lazily", "generated", "in_a_class", "twice",
    "with_tabs", "finally_", "returns", "assigns", "divides", "recursive", "recursive_little", "mutual", "after_a_form_feed",
]  # fmt: skip

Call = Callable[[], Any]
Shape = Callable[[Call], Any]


class Loader:
    """What an import hook gives a module."""

    def __init__(self, source: str | None) -> None:
        self.source = source

    def get_source(self, name: str) -> str:
        if self.source is None:
            raise ImportError(name)
        return self.source


def module(source: str, filename: str, **names: Any) -> dict[str, Any]:
    """The namespace of code that was run under a file name."""
    scope: dict[str, Any] = {"__name__": "generated", **names}
    exec(compile(source, filename, "exec"), scope)
    return scope


class Sources(dict[str, dict[str, Any]]):
    """Modules by name."""

    def __repr__(self) -> str:
        return "sources"


def enter_known_text() -> None:
    """Gives `linecache` the lines of the code named `<known text>`, as `doctest` and `attrs` do for theirs."""
    linecache.cache["<known text>"] = (len(SOURCE), None, SOURCE.splitlines(True), "<known text>")


def modules(directory: Path) -> Sources:
    """The same code as from a file, from nowhere, from a loader and so on."""
    path = directory / "real_module.py"
    path.write_text(SOURCE, encoding="utf-8")
    latin = directory / "latin.py"
    latin.write_text("# coding: latin-1\n" + SOURCE.replace("日本語", "äöü").replace("漢字", "ß"), encoding="latin-1")
    short = directory / "short.py"
    short.write_text("# everything below was cut off\n")
    enter_known_text()
    return Sources({
        "file": module(SOURCE, str(path)),
        "latin": module(latin.read_text("latin-1"), str(latin)),
        "cut short": module(SOURCE, str(short)),
        "string": module(SOURCE, "<string>"),
        "entered": module(SOURCE, "<known text>"),
        "unnamed": module(SOURCE, ""),
        "missing": module(SOURCE, str(directory / "missing.py")),
        "relative": module(SOURCE, "no_such_directory/missing.py"),
        "loader": module(SOURCE, str(directory / "zip" / "loaded.py"), __loader__=Loader(SOURCE)),
        "bad loader": module(SOURCE, str(directory / "zip" / "bad.py"), __loader__=Loader(None)),
        "quoted": module(SOURCE, 'a "b", line 1, in c\n.py'),
        "surrogates": module(SOURCE, str(directory / "s\udc80\udcff.py")),
        "stdin": module(SOURCE, "<stdin>-3"),
    })  # fmt: skip


SOURCES = [
    "file", "latin", "cut short", "string", "entered", "unnamed", "missing", "relative", "loader", "bad loader", "quoted", "surrogates",
    "stdin",
]  # fmt: skip

# -- what they say -----------------------------------------------------------------------------------------------------


class Own(Exception):
    """One with a module and a name."""


class Raises(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class RaisesAll(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class NotText(Exception):
    def __str__(self) -> Any:
        return 7  # noqa: PLE0307


class Shout(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "SHOUTED"

    def __format__(self, spec: str) -> str:
        return "FORMATTED"


class OddText(Exception):
    def __str__(self) -> str:
        return Shout("quiet")


class False_(Exception):
    def __bool__(self) -> bool:
        return False


class Empty(Exception):
    def __len__(self) -> int:
        return 0


class Hidden(Exception):
    """Its cause and notes are not where others have them."""

    # The same one each time: `traceback` knows what it has seen by its address.
    __cause__ = property(lambda self: self.__dict__.setdefault("hidden", Own("from a property")))  # type: ignore[assignment]
    __notes__ = property(lambda self: ["from a property"])  # type: ignore[assignment]


class BrokenNotes(Exception):
    @property
    def __notes__(self) -> list[str]:
        raise AttributeError("no notes")


class Unmoduled(Exception):
    pass


Unmoduled.__module__ = 3  # type: ignore[assignment]


class Renamed(Exception):
    pass


Renamed.__qualname__ = "Ren\ud800amed\nclass"
Renamed.__module__ = "__main__"


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        return "from the metaclass" if name == "__qualname__" else super().__getattribute__(name)


class Metaclassed(Exception, metaclass=Meta):
    pass


class BadSyntax(SyntaxError):
    pass


def missing_name(text: str) -> BaseException:
    def look() -> None:
        textual = text
        print(textuall, textual)  # type: ignore[name-defined]  # noqa: F821

    return caught(look)


def missing_attribute(text: str) -> BaseException:
    return caught(lambda: text.splitt())  # type: ignore[attr-defined]


def missing_module(text: str) -> BaseException:
    def look() -> None:
        print(sis, text)  # type: ignore[name-defined]  # noqa: F821

    return caught(look)


def missing_import(text: str) -> BaseException:
    def look() -> None:
        from linecache import getlime  # type: ignore[attr-defined]  # noqa: F401

    return caught(look)


def compiled(text: str) -> BaseException:
    return caught(lambda: compile(f"x = 1\n  a b {text!r}\n", "<a file>", "exec"))


def caught(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


KINDS: dict[str, Callable[[str], BaseException]] = {
    "ValueError": ValueError,
    "KeyError": KeyError,
    "StopIteration": StopIteration,
    "SystemExit": SystemExit,
    "OSError": lambda text: OSError(2, text, "a/file"),
    "decode": lambda text: UnicodeDecodeError("utf-8", text.encode("utf-8", "replace") + b"\xff", 0, 1, "bad"),
    "no arguments": lambda text: TypeError(),
    "two arguments": lambda text: TypeError(text, 2),
    "Own": Own,
    "local": type("Local", (Exception,), {"__module__": "some.module"}),
    "Raises": Raises,
    "RaisesAll": RaisesAll,
    "NotText": NotText,
    "OddText": OddText,
    "False_": False_,
    "Empty": Empty,
    "Hidden": Hidden,
    "BrokenNotes": BrokenNotes,
    "Unmoduled": Unmoduled,
    "Renamed": Renamed,
    "Metaclassed": Metaclassed,
    "missing name": missing_name,
    "missing attribute": missing_attribute,
    "missing module": missing_module,
    "missing import": missing_import,
    "ImportError": lambda text: ImportError(text, name="nowhere"),
    "compiled": compiled,
    "SyntaxError": SyntaxError,
    "BadSyntax": lambda text: BadSyntax(text, ("a file", 2, 3, "\t é = (\n", 2, 5)),
    "SyntaxError at 0": lambda text: SyntaxError(text, (None, None, None, text)),
}
# What most programs raise; the others are drawn as often as all of these.
USUAL = ["ValueError", "KeyError", "OSError", "Own", "no arguments"]


class NoteRaises:
    def __str__(self) -> str:
        raise ValueError("no note")

    __repr__ = __str__


NOTES: dict[str, Any] = {
    "none": None,
    "one": ["a note"],
    "some": ["two\nlines", "", "\r\n odd \x85 ends\u2028 here\x0b", "lone \udc80"],
    "empty": [],
    "mixed": ["a note", 3, None, NoteRaises()],
    "odd text": [Shout("quiet")],
    "tuple": ("in", "a tuple"),
    "text": "not a list",
    "bytes": b"bytes",
    "number": 7,
    "raises": NoteRaises(),
}

# -- the whole ---------------------------------------------------------------------------------------------------------


@dataclass
class Spec:
    """How an exception is made."""

    kind: str
    text: str
    notes: str = "absent"
    #: Where it passes, from the outside in: source and shape. None: it is not raised.
    path: list[tuple[str, str]] | None = None
    #: Instruction and line of one more entry, made by hand.
    forged: tuple[int, int] | None = None
    cause: Spec | str | None = None
    context: Spec | str | None = None
    suppress: bool | None = None
    parts: list[Spec] = field(default_factory=list)


def raised(error: BaseException, path: list[Shape]) -> None:
    """Lets an exception pass through functions, from the outside in."""

    def innermost() -> None:
        raise error

    call: Call = innermost
    for shape in reversed(path):
        call = functools.partial(shape, call)  # which has no frame
    try:
        call()
    except BaseException as found:
        if found is not error:  # a StopIteration in a generator
            error.__traceback__ = found.__traceback__


def build(spec: Spec, sources: Sources, around: list[BaseException] | None = None) -> BaseException:
    """The exception a spec describes; `around` is what it hangs on, for cycles."""
    around = around or []
    if spec.parts and sys.version_info >= (3, 11):
        parts = [build(part, sources, around) for part in spec.parts]
        error: BaseException = BaseExceptionGroup(spec.text, parts)  # noqa: F821
    else:
        error = KINDS[spec.kind](spec.text)
    if spec.notes != "absent" and not isinstance(error, (Hidden, BrokenNotes)):
        error.__notes__ = NOTES[spec.notes]  # type: ignore[attr-defined]
    if spec.path is not None:
        raised(error, [sources[source][shape] for source, shape in spec.path])
    if spec.forged is not None and error.__traceback__ is not None:
        instruction, line = spec.forged
        frame = error.__traceback__.tb_frame
        error.__traceback__ = types.TracebackType(error.__traceback__, frame, instruction, line)
    around = [*around, error]
    for name, value in (("__cause__", spec.cause), ("__context__", spec.context)):
        if isinstance(error, Hidden) and name == "__cause__":
            continue
        if isinstance(value, Spec):
            setattr(error, name, build(value, sources, around))
        elif value == "outermost":
            setattr(error, name, around[0])
        elif value == "itself":
            setattr(error, name, error)
    if spec.suppress is not None:
        error.__suppress_context__ = spec.suppress
    return error


_text = st.one_of(
    st.just(""),
    st.sampled_from(
        [
            "row 3",
            "two\nlines",
            "ends\n",
            "\r\nodd\x0b\x1c\x85\u2028 ends\n\n",
            "é漢字😀",
            "\x00\x1b[31m",
            "lone \udc80",
        ]
    ),
    st.text(max_size=20),
)
_path = st.one_of(
    st.none(),
    st.lists(st.tuples(st.one_of(st.just("file"), st.sampled_from(SOURCES)), st.sampled_from(SHAPES)), max_size=5),
)
_kind = st.one_of(st.sampled_from(USUAL), st.sampled_from(sorted(KINDS)))
_leaf = st.builds(
    Spec,
    kind=_kind,
    text=_text,
    notes=st.one_of(st.just("absent"), st.sampled_from(sorted(NOTES))),
    path=_path,
    forged=st.one_of(
        st.none(), st.none(), st.none(), st.tuples(st.sampled_from([-1, 0, 2, 10**6]), st.integers(1, 60))
    ),
    suppress=st.sampled_from([None, None, True, False]),
)


def _grown(inner: st.SearchStrategy[Spec]) -> st.SearchStrategy[Spec]:
    link = st.one_of(st.none(), inner, st.sampled_from(["outermost", "itself"]))
    parts = st.one_of(st.just([]), st.lists(inner, max_size=4), st.lists(_leaf, min_size=14, max_size=18))
    return st.builds(
        lambda spec, cause, context, parts: replace(spec, cause=cause, context=context, parts=parts),
        _leaf,
        link,
        link,
        parts,
    )


SPECS = st.recursive(_leaf, _grown, max_leaves=8)


def nested(depth: int) -> Iterator[Spec]:
    """Groups in groups, beyond what is shown."""
    spec = Spec("Own", "innermost", path=[("file", "plain")])
    for level in range(depth):
        spec = Spec("Own", f"level {level}", path=[("file", "lines")], parts=[spec, Spec("KeyError", "beside")])
        yield spec
