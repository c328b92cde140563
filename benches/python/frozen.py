"""A file system that can be frozen: an ext4 image mounted over a loop device, for what happens to callers when the disk stands still.

Needs root, `mkfs.ext4`, `mount` and `fsfreeze` (util-linux); `missing()` says what is not there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

SIZE = 256 << 20


def missing() -> str:
    """Why no file system can be frozen here; empty where one can."""
    if os.geteuid() != 0:
        return "only root can mount and freeze a file system"
    absent = [tool for tool in ("mkfs.ext4", "mount", "umount", "fsfreeze") if shutil.which(tool) is None]
    if absent:
        return f"{', '.join(absent)} not found (Debian: util-linux, e2fsprogs, mount)"
    if not Path("/dev/loop-control").exists():
        return "no loop devices (/dev/loop-control is missing)"
    return ""


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")


@contextlib.contextmanager
def mounted(directory: Path) -> Iterator[Path]:
    """An ext4 file system of its own below `directory`. Raises OSError where it cannot be mounted."""
    image, place = directory / "image", directory / "disk"
    with image.open("wb") as file:
        file.truncate(SIZE)
    place.mkdir()
    _run("mkfs.ext4", "-q", "-F", str(image))
    _run("mount", "-o", "loop", str(image), str(place))
    try:
        yield place
    finally:
        # A process that has just been stopped may hold a file for a moment yet.
        for _ in range(50):
            if subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.1)
        else:
            _run("umount", "--lazy", str(place))


def freeze(place: Path, seconds: float) -> None:
    """Stops every write to the file system for so long: a dead disk, as far as programs can tell."""
    # Thawed by a process of its own as well, if this one dies in between; thawing twice is an error that nobody minds.
    guard = subprocess.Popen(
        ["sh", "-c", f"sleep {seconds + 10}; fsfreeze -u {place}"], stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _run("fsfreeze", "-f", str(place))
        time.sleep(seconds)
    finally:
        _run("fsfreeze", "-u", str(place))
        os.killpg(guard.pid, 15)
        guard.wait()
