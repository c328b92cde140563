"""Stall a log's writer for real: whoever holds the lock of a log's state file keeps every writer from draining into it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest


@contextlib.contextmanager
def stalled(directory: Path, name: str) -> Iterator[None]:
    """Hold the lock of the log `name` in `directory`; the log must have been opened once."""
    fd = os.open(directory / ".logspool" / f"{name}.state", os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A tmpfs of `size` (`8m`), unmounted with the block; skips the test where mounting is not permitted."""
    with tempfile.TemporaryDirectory(prefix="logspool-disk-") as place:
        mount = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "logspool-test", place],
            capture_output=True,
            text=True,
            check=False,
        )
        if mount.returncode:
            pytest.skip(f"mount is not permitted here: {mount.stderr.strip()}")
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


@contextlib.contextmanager
def loop_disk(size: str) -> Iterator[Path]:
    """An ext4 of `size` (`8M`) in a file, mounted by a loop device; skips the test where that is not permitted."""
    with tempfile.TemporaryDirectory(prefix="logspool-loop-") as place:
        image, disk = Path(place, "image"), Path(place, "disk")
        disk.mkdir()
        make = ["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", str(image), size]
        for command in (make, ["mount", "-o", "loop", str(image), str(disk)]):
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            except FileNotFoundError as error:
                pytest.skip(str(error))
            if done.returncode:
                pytest.skip(f"{command[0]} is not permitted here: {done.stderr.strip()}")
        try:
            yield disk
        finally:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(directory: Path) -> Path:
    """Use up the last byte of the disk that holds `directory`; returns the file to delete."""
    path = directory / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size):
                    pass
    return path


@contextlib.contextmanager
def kept_full(filler: Path) -> Iterator[None]:
    """The disk without a free byte for as long as the block lasts, whatever is deleted there meanwhile; then with room again."""
    begun, ended = Event(), Event()

    def fill() -> None:
        with filler.open("ab", buffering=0) as file:
            while not ended.is_set():
                for size in (1 << 16, 1 << 12, 1):
                    with contextlib.suppress(OSError):
                        while file.write(b"\0" * size):
                            pass
                begun.set()
                ended.wait(0.01)

    thread = Thread(target=fill)
    thread.start()
    try:
        begun.wait()
        yield
    finally:
        ended.set()
        thread.join()
        filler.unlink()
