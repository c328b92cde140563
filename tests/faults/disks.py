"""Disks of a test's own: tmpfs and loop mounts that are kept full, freeze, turn read-only."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest


def command(*words: object) -> None:
    """Run a system command, or say what it said."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stderr.strip()}"


@contextlib.contextmanager
def mounted(*options: str) -> Iterator[Path]:
    """What `mount` makes of the options, in a directory of its own; skips the test where mounting is not permitted."""
    with tempfile.TemporaryDirectory(prefix="logspool-disk-") as place:
        mount = subprocess.run(["mount", *options, place], capture_output=True, text=True, check=False)
        if mount.returncode:
            pytest.skip(f"mount is not permitted here: {mount.stderr.strip()}")
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


@contextlib.contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A tmpfs of `size` (`8m`)."""
    with mounted("-t", "tmpfs", "-o", f"size={size}", "logspool-test") as disk:
        yield disk


@contextlib.contextmanager
def loop_disk(megabytes: int = 32, kind: str = "ext4", *, options: tuple[str, ...] = ()) -> Iterator[Path]:
    """A file system of its own on a loop device, made with these options; skips the test where there is no `mkfs` for it."""
    if shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"mkfs.{kind} is missing")
    with tempfile.TemporaryDirectory(prefix="logspool-image-") as place:
        image = Path(place) / "image"
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        command(f"mkfs.{kind}", *(["-q", "-F"] if kind.startswith("ext") else []), *options, image)
        with mounted("-o", "loop", str(image)) as disk:
            yield disk


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
