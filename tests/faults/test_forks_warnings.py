"""What CPython says of forks, with this Python and, at length, with every other that is installed here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.reliability import LONG

import logspool

WARNINGS = """
import logging, os, sys, threading, warnings

warnings.simplefilter("always")
path, handler, busy = sys.argv[1:]
if handler == "logspool":
    import logspool
    log_handler = logspool.SpoolHandler(path)  # no rotation: a busy machine keeps a compressing thread for long
else:
    log_handler = logging.FileHandler(path)
log = logging.getLogger("a")
log.propagate = False
log.setLevel(logging.INFO)
log.addHandler(log_handler)
done = threading.Event()
threads = [threading.Thread(target=done.wait) for _ in range(int(busy))]
for thread in threads:
    thread.start()
with warnings.catch_warnings(record=True) as caught:
    for n in range(50):
        for _ in range(20):
            log.info("parent %d", n)
        child = os.fork()
        if not child:
            log.info("child")
            os._exit(0)
        os.waitpid(child, 0)
done.set()
print(len(caught))
"""


def pythons() -> list[str]:
    """Other Pythons that are installed here, new enough to warn of forks with threads."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for minor in range(12, 16):
        for candidate in [f"python3.{minor}", *map(str, sorted(versions.glob(f"3.{minor}.*/bin/python")))]:
            try:
                asked = subprocess.run(
                    [candidate, "-c", "import sys; print(sys.version_info[1])"],
                    capture_output=True,
                    text=True,
                    check=False,
                )
            except OSError:
                continue
            if asked.returncode == 0 and int(asked.stdout) == minor:
                found[minor] = candidate
    return [found[minor] for minor in sorted(found)]


def fork_warnings(python: str, directory: Path, handler: str, busy: int) -> int:
    """How often a program that forks 50 times is warned."""
    packages = directory / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    if not (packages / "logspool").exists():
        (packages / "logspool").symlink_to(Path(logspool.__file__).parent)
    program = directory / "warnings_.py"
    program.write_text(WARNINGS)
    done = subprocess.run(
        [python, str(program), str(directory / f"{handler}-{busy}.log"), handler, str(busy)],
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("busy", [0, 2])
def test_a_fork_is_warned_of_no_more_than_without_us(tmp_path: Path, busy: int) -> None:
    found = [sys.executable] if sys.version_info >= (3, 12) else []
    if LONG:
        found += pythons()
    if not found:
        pytest.skip("no Python that warns of forks with threads: 3.12 or newer, in `make faults` any that is installed")
    for n, python in enumerate(found):
        place = tmp_path / str(n)
        assert fork_warnings(python, place, "logspool", busy) == fork_warnings(python, place, "file", busy), python
