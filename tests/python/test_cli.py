"""The command as such: arguments, exit status, output, `python -m logspool`."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from commands import COMMAND, environment, logspool, report, write


def test_the_wheel_installs_the_command_and_it_says_its_version() -> None:
    assert logspool("--version").stdout == f"logspool {importlib.metadata.version('logspool')}\n"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["verify", "--help"], ["costs", "--help"], ["recover", "--help"], ["doctor", "--help"]]
)
def test_help_has_examples_and_exit_statuses(arguments: list[str]) -> None:
    text = logspool(*arguments).stdout
    assert "Examples:" in text
    assert "Exit status:" in text


@pytest.mark.parametrize(
    "arguments",
    [[], ["verify"], ["recover"], ["no-such-command"], ["verify", "--no-such-option", "."], ["doctor", "--pid", "x"]],
)
def test_wrong_usage_ends_with_2_and_writes_to_standard_error_alone(arguments: list[str]) -> None:
    done = logspool(*arguments, status=2)
    assert done.stdout == ""
    assert "--help" in done.stderr or "Usage: logspool" in done.stderr


def test_a_mistyped_command_is_answered_with_the_nearest_one() -> None:
    assert "verify" in logspool("verfy", "logs", status=2).stderr


@pytest.mark.parametrize("command", ["verify", "recover", "doctor"])
def test_a_directory_that_is_not_there_is_named(tmp_path: Path, command: str) -> None:
    done = logspool(command, tmp_path / "nowhere", status=2)
    assert str(tmp_path / "nowhere") in done.stderr
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("command", ["verify", "recover", "doctor"])
def test_a_spool_directory_that_is_not_there_is_named(tmp_path: Path, command: str) -> None:
    directory = write(tmp_path / "logs" / "a.jsonl")
    done = logspool(command, directory, "--spool-dir", tmp_path / "nowhere", status=2)
    assert str(tmp_path / "nowhere") in done.stderr
    assert "--spool-dir" in done.stderr
    (tmp_path / "file").touch()
    assert "is not a directory" in logspool(command, directory, "--spool-dir", tmp_path / "file", status=2).stderr
    (tmp_path / "fast").mkdir()
    logspool(command, directory, "--spool-dir", tmp_path / "fast")


@pytest.mark.parametrize("command", ["verify", "recover"])
def test_a_directory_without_logs_is_said_to_be_none_and_left_as_it_is(tmp_path: Path, command: str) -> None:
    (tmp_path / "notes.txt").write_text("nothing of ours")
    (tmp_path / "core.123456").write_bytes(b"\x7fELF")
    done = logspool(command, tmp_path, status=2)
    assert "holds no logs of logspool" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["core.123456", "notes.txt"]


def test_python_m_is_the_same_command(tmp_path: Path) -> None:
    directory = write(tmp_path / "logs" / "a.jsonl")
    done = subprocess.run(
        [sys.executable, "-m", "logspool", "verify", str(directory)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == logspool("verify", directory).stdout


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    directory = write(tmp_path / "logs" / "a.jsonl")
    for arguments in (["doctor", directory], ["verify", directory], ["--help"]):
        process = subprocess.Popen(
            [COMMAND, *arguments], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # long before the interpreter has started
        assert process.stderr.read() == b""
        assert process.wait() == 0
        process.stderr.close()


def test_output_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    directory = write(tmp_path / "logs" / "a.jsonl")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, "verify", directory],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "cannot write standard output" in done.stderr


def test_the_path_of_a_log_is_taken_for_its_directory_and_name(tmp_path: Path) -> None:
    write(tmp_path / "logs" / "a.jsonl")
    write(tmp_path / "logs" / "b.jsonl")
    assert [log["name"] for log in report("verify", tmp_path / "logs" / "b.jsonl")["logs"]] == ["b.jsonl"]
    assert [log["name"] for log in report("verify", tmp_path / "logs")["logs"]] == ["a.jsonl", "b.jsonl"]
    assert [log["name"] for log in report("verify", tmp_path / "logs", "--log", "a.jsonl")["logs"]] == ["a.jsonl"]


def test_importing_the_package_does_not_import_the_command(tmp_path: Path) -> None:
    code = "import logspool, sys; print([m for m in sys.modules if m in ('logspool.__main__', 'logspool._origins')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
