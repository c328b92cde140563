"""Where the log goes when nobody says, and what happens where that cannot be written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType

import pytest
from logfiles import events

from logspool import _paths

Script = Callable[..., CompletedProcess[str]]
LOG_ONE = "import logging, logspool; h = logspool.basicConfig(); logging.error('x'); print(h.baseFilename)"


def log_one(script: Script, **arguments: object) -> Path:
    result = script(LOG_ONE, **arguments)
    path = Path(result.stdout.strip())
    assert events(path)[-1] == "x"
    return path


def test_default_is_the_programs_name_in_logs(script: Script, tmp_path: Path) -> None:
    assert log_one(script) == tmp_path / "logs" / "server.jsonl"


def test_default_is_named_by_the_service(script: Script, tmp_path: Path) -> None:
    assert log_one(script, env={"SERVICE_NAME": "orders/eu 1"}) == tmp_path / "logs" / "orders-eu-1.jsonl"


def test_a_filename_without_directory_is_in_the_current_one_as_in_the_standard_library(
    script: Script, tmp_path: Path
) -> None:
    script("import logging, logspool; logspool.basicConfig(filename='app.jsonl'); logging.error('x')")
    assert events(tmp_path / "app.jsonl") == ["x"]


def test_log_dir_and_log_path_say_where(script: Script, tmp_path: Path) -> None:  # req 38
    assert log_one(script, env={"LOG_DIR": "var"}) == tmp_path / "var" / "server.jsonl"
    assert log_one(script, env={"LOG_PATH": "var/x.jsonl", "LOG_DIR": "no"}) == tmp_path / "var" / "x.jsonl"
    (tmp_path / "directory").mkdir()
    assert log_one(script, env={"LOG_PATH": "directory"}) == tmp_path / "directory" / "server.jsonl"
    ours = {"LOGSPOOL_PATH": "ours/y.jsonl", "LOG_PATH": "var/x.jsonl"}
    assert log_one(script, env=ours) == tmp_path / "ours" / "y.jsonl"
    assert log_one(script, env={"LOGSPOOL_DIR": "ours", "LOG_PATH": "var/x"}) == tmp_path / "ours" / "server.jsonl"
    assert log_one(script, env={"LOG_DIR": "~/state", "HOME": str(tmp_path)}) == tmp_path / "state" / "server.jsonl"


def test_an_argument_goes_before_the_variables(script: Script, tmp_path: Path) -> None:
    script(
        "import logging, logspool; logspool.basicConfig(filename='mine.jsonl'); logging.error('x')",
        env={"LOG_PATH": "var/x.jsonl", "LOG_DIR": "var", "LOGSPOOL_DIR": "ours"},
    )
    assert events(tmp_path / "mine.jsonl") == ["x"]
    assert not (tmp_path / "var").exists()
    assert not (tmp_path / "ours").exists()


# A regular file stands where a directory is needed: that cannot be written by anybody, root included.


def test_default_directory_that_cannot_be_written_gives_way_to_the_state_directory(
    script: Script, tmp_path: Path
) -> None:
    (tmp_path / "logs").write_text("in the way")
    result = script(LOG_ONE, env={"XDG_STATE_HOME": str(tmp_path / "state")})
    path = tmp_path / "state" / "logspool" / "server" / "server.jsonl"
    assert Path(result.stdout.strip()) == path
    assert events(path) == ["x"]
    assert result.stderr.count(str(path)) == 1
    assert result.stderr.startswith("logspool: cannot log to the default ./logs (")


def test_the_state_directory_is_under_home_by_default(script: Script, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    for relative in ("", "relative/state"):
        path = log_one(script, env={"HOME": str(tmp_path / "home"), "XDG_STATE_HOME": relative})
        assert path == tmp_path / "home" / ".local" / "state" / "logspool" / "server" / "server.jsonl"


def test_an_explicit_path_that_cannot_be_written_fails_loudly(script: Script, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("in the way")
    for code, env in (
        ("import logspool; logspool.basicConfig(filename='taken/app.jsonl')", {}),
        (LOG_ONE, {"LOGSPOOL_DIR": "taken"}),
        (LOG_ONE, {"LOGSPOOL_PATH": "taken/app.jsonl"}),
        ("import logspool; logspool.SpoolHandler('taken/app.jsonl')", {}),
    ):
        result = script(code, env=env, status=1)
        last = result.stderr.splitlines()[-1]
        assert "taken" in last
        assert "Error: " in last
        assert not (tmp_path / "logs").exists()


def test_a_shared_variable_that_cannot_be_used_is_said_and_passed_over(script: Script, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("in the way")
    for name, value in (("LOG_DIR", "taken"), ("LOG_PATH", "taken/x.jsonl"), ("LOG_PATH", "/dev/stdout")):
        result = script(LOG_ONE, env={name: value})
        assert Path(result.stdout.strip()) == tmp_path / "logs" / "server.jsonl"
        assert result.stderr.count(f"{name}={value!r}") == 1


@pytest.mark.parametrize("value", ["-", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/1", "logs/", " "])
def test_what_is_no_place_for_a_log_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="expected a"):
        _paths.filename(value)


@pytest.mark.parametrize("value", [b"bytes", 3, None])
def test_what_is_no_path_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="expected a path"):
        _paths.filename(value)


def test_the_programs_name_under_m_is_the_modules(script: Script, tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__init__.py").write_text("")
    (tmp_path / "tools" / "__main__.py").write_text("from logspool import _paths; print(_paths.app_name())")
    (tmp_path / "tools" / "report.py").write_text("from logspool import _paths; print(_paths.app_name())")
    run = "import subprocess, sys; print(subprocess.check_output([sys.executable, '-m', {!r}], text=True), end='')"
    assert script(run.format("tools")).stdout == "tools\n"
    assert script(run.format("tools.report")).stdout == "tools.report\n"


@pytest.mark.parametrize(
    ("argv", "name"),
    [("/srv/app.py", "app"), ("", "python"), ("-c", "python"), ("/usr/bin/uvicorn", "uvicorn"), ("x.exe", "x")],
)
def test_the_programs_name_is_its_file_name(monkeypatch: pytest.MonkeyPatch, argv: str, name: str) -> None:
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    monkeypatch.setattr("sys.argv", [argv])
    assert _paths.app_name() == name


@pytest.mark.parametrize(
    ("name", "stem"), [("a b/c", "a-b-c"), ("../..", "python"), ("x" * 300, "x" * 100), ("é", "é")]
)
def test_any_name_makes_a_file_name(name: str, stem: str) -> None:
    assert _paths.file_stem(name) == stem
