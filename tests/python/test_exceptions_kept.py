"""Frames that were rendered once are kept, and never shown when the standard library would show something else."""

from __future__ import annotations

import gc
import linecache
import os
import subprocess
import sys
import textwrap
import threading
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import raising
from stacktraces import agrees, is_native, needs_native, ours, theirs

FIRST = "def fails(error):\n    if error:  # the first text\n        raise error\n"
SECOND = "def fails(error):\n    if error:  # another text\n        raise (error)\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text(FIRST)
    os.utime(path, (1000, 1000))
    return path


@pytest.fixture
def error(path: Path) -> BaseException:
    """An exception that passed code of the file, and was logged."""
    return failed(raising.module(FIRST, str(path)))


def failed(scope: dict[str, Any]) -> BaseException:
    error = ValueError("x")
    raising.raised(error, [lambda call: scope["fails"](error)])
    agrees(error)
    return error


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_text(SECOND)
    os.utime(other, (1000, 1000))
    other.replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "its text": lambda path: path.write_text("# a new first line\n" + FIRST),
    "its text but not its size": lambda path: (
        path.write_text(SECOND.replace("(error)", "error  ")),
        os.utime(path, (1000, 1001)),
    ),
    "its time alone, by a nanosecond": lambda path: os.utime(path, ns=(1000 * 10**9, 1000 * 10**9 + 1)),
    "its time alone, by a microsecond": lambda path: os.utime(path, ns=(1000 * 10**9, 1000 * 10**9 + 1000)),
    "its size alone": lambda path: (path.write_text(FIRST + "#"), os.utime(path, (1000, 1000))),
    "another file under its name": replaced,
    "cut short": lambda path: (path.write_text(""), os.utime(path, (1000, 1000))),
    "deleted": lambda path: path.unlink(),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
    "unreadable text": lambda path: path.write_bytes(b"\xff" + FIRST.encode()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_shows_as_the_standard_library_shows_it(path: Path, error: BaseException, change: str) -> None:
    CHANGES[change](path)
    agrees(error)
    if path.is_dir():
        path.rmdir()
    path.write_text(FIRST)
    agrees(error)
    CHANGES[change](path)
    # This time `traceback` looks first.
    wanted = theirs(error)
    assert ours(error) == wanted


def test_a_deleted_file_that_comes_back_is_shown_again(path: Path, error: BaseException) -> None:
    path.unlink()
    agrees(error)
    assert "the first text" not in ours(error)
    assert "raise error" not in ours(error).rpartition("in fails")[2]
    path.write_text(FIRST)
    agrees(error)
    assert "raise error" in ours(error).rpartition("in fails")[2]


@pytest.mark.parametrize("change", ["cleared", "checked", "read again", "entered by hand", "lazy", "emptied"])
def test_whatever_happens_to_linecache_shows(path: Path, error: BaseException, change: str) -> None:
    name = str(path)
    if change == "cleared":
        path.write_text(SECOND)
        linecache.clearcache()
    elif change == "checked":
        path.write_text(SECOND + "# longer")
        linecache.checkcache(name)
    elif change == "read again":
        os.utime(path, (1000, 2000))
        linecache.checkcache(name)
        linecache.getlines(name)
    elif change == "entered by hand":
        linecache.cache[name] = (1, None, ["one\n", "two\n", "three by hand\n"], name)
    elif change == "lazy":
        linecache.cache[name] = (lambda: "one\ntwo\nthree lazily",)  # type: ignore[assignment]
        path.unlink()
    else:
        linecache.cache[name] = (0, None, [], name)
    agrees(error)


def test_lines_entered_for_code_without_a_file_are_shown_from_then_on() -> None:
    name = "<made up here>"
    linecache.cache.pop(name, None)
    error = failed(raising.module(FIRST, name))
    linecache.cache[name] = (len(FIRST), None, FIRST.splitlines(True), name)
    agrees(error)
    assert "raise error" in ours(error).rpartition("in fails")[2]
    del linecache.cache[name]
    agrees(error)


def test_a_relative_name_means_another_file_in_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, text in (("one", FIRST), ("two", SECOND)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "relative.py").write_text(text)
    monkeypatch.chdir(tmp_path / "one")
    error = failed(raising.module(FIRST, "relative.py"))
    monkeypatch.chdir(tmp_path / "two")
    agrees(error)
    monkeypatch.chdir(tmp_path)
    agrees(error)


@needs_native
def test_code_that_is_made_again_and_again_does_not_pile_up() -> None:
    alive = [weakref.ref(made()) for _ in range(3000)]
    gc.collect()
    kept = sum(code() is not None for code in alive)
    assert 0 < kept <= 512


def made() -> Any:
    """The code object of a function made for this call, after its exception was logged."""
    scope = raising.module(FIRST, "<made>")
    ours(thrown_by(scope["fails"]))
    return scope["fails"].__code__


def thrown_by(function: Callable[[BaseException], object]) -> BaseException:
    error = ValueError("x")
    try:
        function(error)
    except ValueError:
        pass
    return error


@pytest.fixture(
    params=["TracebackException.format", "StackSummary.format", "linecache.checkcache", "linecache.cache", "os.stat"]
)
def patched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Replaces something that has a say in stack traces, as other libraries do."""

    def patch() -> None:
        owner, name = request.param.split(".")
        if owner in ("TracebackException", "StackSummary"):
            place = getattr(traceback, owner)
            before = place.format
            monkeypatch.setattr(place, name, lambda self, **options: ["changed\n", *before(self, **options)])
        elif request.param == "linecache.cache":
            monkeypatch.setattr(linecache, "cache", {})
        elif request.param == "linecache.checkcache":
            monkeypatch.setattr(linecache, "checkcache", lambda filename=None: None)
        else:
            real = os.stat
            monkeypatch.setattr(os, "stat", lambda *args, **options: real(*args, **options))

    return patch


@needs_native
def test_changes_to_the_standard_library_show_at_once_and_their_undoing_too(
    patched: Callable[[], None], monkeypatch: pytest.MonkeyPatch, path: Path, error: BaseException
) -> None:
    assert is_native(lambda: ours(error))
    patched()
    path.write_text(SECOND + "# longer")
    assert ours(error) == theirs(error)
    assert not is_native(lambda: ours(error))
    monkeypatch.undo()
    agrees(error)
    assert is_native(lambda: ours(error))


@needs_native
def test_tracebacklimit_is_respected(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in (0, 1, 2, 100, -1):
        monkeypatch.setattr(sys, "tracebacklimit", limit, raising=False)
        agrees(error)
        assert not is_native(lambda: ours(error))
        monkeypatch.undo()
        assert is_native(lambda: ours(error))


def test_threads_that_log_while_a_file_is_replaced_always_show_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    texts = [f"def fails(error):\n    other(error)  # {n}\ndef other(error):\n    raise error  # {n}\n" for n in (1, 2)]
    path.write_text(texts[0])
    scope = raising.module(texts[0], str(path))
    stop = threading.Event()
    wrong: list[str] = []

    def log() -> None:
        error = thrown_by(scope["fails"])
        while not stop.is_set():
            text = ours(error)
            if "# 1" not in text and "# 2" not in text:
                wrong.append(text)

    threads = [threading.Thread(target=log) for _ in range(3)]
    for thread in threads:
        thread.start()
    other = tmp_path / "other.py"
    for n in range(200):
        other.write_text(texts[n % 2])
        os.utime(other, (n, n))
        other.replace(path)
        linecache.checkcache(str(path))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    agrees(thrown_by(scope["fails"]))


# -- other ways to run Python ------------------------------------------------------------------------------------------

PROGRAM = """\
import json, logging, sys, traceback
from logspool import _core

SETTINGS = {
    "service": None, "environment": None, "version": None, "static": {}, "src": False,
    "max_field": 100000, "max_record": 1000000,
}

def agrees(error):
    for _ in range(3):
        entry = logging.makeLogRecord({"exc_info": (type(error), error, error.__traceback__)})
        ours = json.loads(_core.encode_record(entry, SETTINGS))["exception"]["stacktrace"]
        theirs = "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()
        assert ours == theirs, (ours, theirs)

def fails(n):
    return (
        fails(n - 1) + 1
        if n else
        {}["key"])

try:
    fails(5)
except KeyError as error:
    agrees(error)
    try:
        raise ValueError("two\\nlines") from error
    except ValueError as outer:
        agrees(outer)
print(_core._stack_traces())
"""


def run(*arguments: str, directory: Path, stdin: str = "", **environment: str) -> tuple[int, int]:
    packages = Path(sys.modules["logspool"].__file__ or "").parent.parent
    places = os.pathsep.join([environment.pop("first", str(packages)), str(packages)])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": places, **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    native, standard = done.stdout.strip().strip("()").split(",")
    return int(native), int(standard)


@pytest.mark.parametrize(
    "way", ["script", "-c", "stdin", "-X no_debug_ranges", "-O", "module", "bytecode alone", "zip", "relative"]
)
def test_every_way_to_run_python_reads_the_same(tmp_path: Path, way: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    if way == "script":
        found = run(str(program), directory=tmp_path)
    elif way == "relative":
        found = run("program.py", directory=tmp_path)
    elif way == "-c":
        found = run("-c", PROGRAM, directory=tmp_path)
    elif way == "stdin":
        found = run("-", directory=tmp_path, stdin=PROGRAM)
    elif way.startswith("-"):
        found = run(*way.split(), str(program), directory=tmp_path)
    elif way == "module":
        found = run("-m", "program", directory=tmp_path)
    elif way == "zip":
        import zipfile

        with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
            packed.write(program, "program.py")
            packed.writestr("__main__.py", "import program\n")
        program.unlink()
        found = run("packed.zip", directory=tmp_path)
    else:
        import py_compile

        py_compile.compile(str(program), str(tmp_path / "compiled.pyc"))
        program.unlink()
        found = run("compiled.pyc", directory=tmp_path)
    assert found == (6, 0)


def changed_traceback(directory: Path, before: str, after: str) -> None:
    source = Path(traceback.__file__).read_text()
    assert before in source
    (directory / "traceback.py").write_text(source.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after"),
    [("was the direct cause", "led to the next one"), ("more", "further"), ("call last)", "one last)")],
)
def test_a_python_that_shows_exceptions_in_another_way_is_noticed(tmp_path: Path, before: str, after: str) -> None:
    # As a later version may.
    changed_traceback(tmp_path, before, after)
    (tmp_path / "program.py").write_text(PROGRAM)
    assert run("program.py", directory=tmp_path, first=str(tmp_path)) == (0, 6)


def test_a_library_that_patched_traceback_before_the_first_exception_is_noticed(tmp_path: Path) -> None:
    patch = textwrap.dedent("""\
        import traceback
        real = traceback.TracebackException.format
        traceback.TracebackException.format = lambda self, **options: ["patched\\n", *real(self, **options)]
    """)
    (tmp_path / "program.py").write_text(patch + PROGRAM)
    assert run("program.py", directory=tmp_path) == (0, 6)


@pytest.mark.parametrize("left", range(1, 48, 8))
def test_a_first_exception_at_the_end_of_the_stack_changes_nothing_for_later_ones(tmp_path: Path, left: int) -> None:
    deep = textwrap.dedent(f"""\
        entry = logging.makeLogRecord({{}})

        def deep(n):
            if n:
                return deep(n - 1)
            try:
                raise KeyError("at the end")
            except KeyError as error:
                entry.exc_info = (KeyError, error, error.__traceback__)
                assert b"at the end" in _core.encode_record(entry, SETTINGS)

        import inspect
        deep(sys.getrecursionlimit() - len(inspect.stack()) - {left} - 2)
    """)
    program = PROGRAM.replace("def agrees(", deep + "\n\ndef agrees(", 1)
    (tmp_path / "program.py").write_text(program)
    native, standard = run("program.py", directory=tmp_path)
    assert native >= 6
    assert native + standard == 7
