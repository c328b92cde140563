"""The mirror to standard error: when it is on, what it shows, and that standard output stays clean."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from logfiles import DEADLINE_SECONDS, events

# Once the last record is seen, everything that was going to be mirrored before it has been.
LOG = """
import logging, logspool, sys
logspool.basicConfig(filename="a.jsonl", level="DEBUG", {arguments})
log = logging.getLogger("app")
log.debug("a debug record")
log.info("an info record")
log.warning("a warning record")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("an exception record")
log.critical("the last record")
logspool.flush()
sys.stdin.read()
"""


def start(arguments: str, tmp_path: Path, stderr: int, env: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", LOG.format(arguments=arguments)],
        cwd=tmp_path,
        env={**os.environ, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )


def end(program: subprocess.Popen[bytes]) -> None:
    stdout, _ = program.communicate(timeout=DEADLINE_SECONDS)
    assert program.returncode == 0
    assert stdout == b""


def read_until(descriptor: int, marker: bytes) -> str:
    """What comes out of a pipe or terminal, until `marker` or its end."""
    text = b""
    while marker not in text:
        ready, _, _ = select.select([descriptor], [], [], DEADLINE_SECONDS)
        assert ready, f"nothing more within {DEADLINE_SECONDS} s after {text!r}"
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # how Linux says that the other end of a terminal is closed
            break
        if not chunk:
            break
        text += chunk
    return text.decode().replace("\r\n", "\n")


def mirrored(tmp_path: Path, arguments: str = "", *, terminal: bool = False, env: dict[str, str] | None = None) -> str:
    """What is mirrored, until the last record. The program is alive meanwhile: the mirror is not waited for at exit."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    program = start(arguments, tmp_path, writer, env or {})
    os.close(writer)
    text = read_until(reader, b"the last record")
    end(program)
    os.close(reader)
    return text


def not_mirrored(
    tmp_path: Path, arguments: str = "", *, terminal: bool = False, env: dict[str, str] | None = None
) -> str:
    """All that the program wrote to standard error, where no mirror is expected."""
    reader, writer = pty.openpty() if terminal else os.pipe()
    program = start(arguments, tmp_path, writer, env or {})
    os.close(writer)
    end(program)
    text = read_until(reader, b"no such marker")
    os.close(reader)
    return text


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_shows_warning_and_above_when_it_is_on(tmp_path: Path, terminal: bool) -> None:  # req 8
    text = mirrored(tmp_path, "console=True", terminal=terminal)
    assert "WARNING app: a warning record\n" in text
    assert "ERROR app: an exception record\n" in text
    assert "ZeroDivisionError: division by zero" in text
    assert "CRITICAL app: the last record" in text
    assert "an info record" not in text
    assert "a debug record" not in text


def test_auto_is_on_when_standard_error_is_a_terminal(tmp_path: Path) -> None:  # req 8
    assert "a warning record" in mirrored(tmp_path, terminal=True)


def test_auto_is_off_when_standard_error_is_not_a_terminal(tmp_path: Path) -> None:  # req 8
    assert not_mirrored(tmp_path) == ""
    assert events(tmp_path / "a.jsonl")[-1] == "the last record"


def test_off_means_off_on_a_terminal_too(tmp_path: Path) -> None:
    assert not_mirrored(tmp_path, "console=False", terminal=True) == ""
    assert not_mirrored(tmp_path, "console=None", terminal=True) == ""
    assert not_mirrored(tmp_path, terminal=True, env={"LOG_CONSOLE": "off"}) == ""


def test_the_variables_switch_it_and_set_its_level(tmp_path: Path) -> None:  # req 8, 9
    text = mirrored(tmp_path, env={"LOG_CONSOLE": "true", "LOG_CONSOLE_LEVEL": "info"})
    assert "an info record" in text
    assert "a debug record" not in text


def test_the_argument_goes_before_the_variable(tmp_path: Path) -> None:
    text = mirrored(
        tmp_path, "console=True, console_level='ERROR'", env={"LOG_CONSOLE": "no", "LOG_CONSOLE_LEVEL": "DEBUG"}
    )
    assert "the last record" in text
    assert "a warning record" not in text


def test_the_format_shapes_it(tmp_path: Path) -> None:  # req 20
    text = mirrored(tmp_path, "console=True, format='{levelname}~{message}~', style='{'")
    assert text.startswith("WARNING~a warning record~\n")
    assert events(tmp_path / "a.jsonl")[0] == "a debug record"


@pytest.mark.parametrize(
    "arguments",
    ["stream=sys.stderr", "handlers=[logging.StreamHandler()]", "handlers=[logging.StreamHandler(sys.stdout)]"],
)
def test_a_stream_handler_that_is_asked_for_is_the_mirror(tmp_path: Path, arguments: str) -> None:  # req 7, 8
    assert "a warning record" in mirrored(tmp_path, arguments)


def test_a_stream_handlers_level_is_the_mirrors(tmp_path: Path) -> None:  # req 7, 21
    prepared = "handlers=[(errors := logging.StreamHandler(), errors.setLevel('ERROR'))[0]]"
    text = mirrored(tmp_path, prepared)
    assert "the last record" in text
    assert "a warning record" not in text


def test_a_text_log_is_mirrored_too(tmp_path: Path) -> None:  # req 20
    assert "a warning record" in mirrored(tmp_path, "console=True, json=False")


def test_a_closed_standard_error_is_survived(
    script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    script(
        """
        import os
        os.close(2)
        import logging, logspool
        logspool.basicConfig(filename="a.jsonl", console=True)
        logging.critical("kept")
        """
    )
    assert events(tmp_path / "a.jsonl") == ["kept"]


def test_a_reader_that_is_gone_is_survived(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = start("console=True", tmp_path, writer, {})
    os.close(writer)
    end(program)
    assert events(tmp_path / "a.jsonl")[-1] == "the last record"


def test_a_reader_that_has_stopped_does_not_stop_the_program(tmp_path: Path) -> None:  # req 1, 8
    reader, writer = os.pipe()
    code = """
import logging, logspool
logspool.basicConfig(filename="a.jsonl", console=True, maxBytes=0)
for n in range(5000):
    logging.warning("record %d %s", n, "x" * 100)
"""
    program = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writer
    )
    os.close(writer)
    end(program)  # nobody has read a byte, and 5,000 records are more than a pipe holds
    os.close(reader)
    assert len(events(tmp_path / "a.jsonl")) == 5000
