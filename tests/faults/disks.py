"""Disks of a test's own: tmpfs and loop mounts that fill up, freeze, turn read-only."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

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
def loop_disk(megabytes: int = 32, kind: str = "ext4") -> Iterator[Path]:
    """A file system of its own on a loop device."""
    with tempfile.TemporaryDirectory(prefix="logspool-image-") as place:
        image = Path(place) / "image"
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        command(f"mkfs.{kind}", *(["-q", "-F"] if kind.startswith("ext") else []), image)
        with mounted("-o", "loop", str(image)) as disk:
            yield disk
