"""The installed `logspool` command, and logs to run it on."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults.program import run as run_program
from tests.faults.stall import stalled

COMMAND = Path(sys.executable).with_name("logspool")
DEADLINE = 60.0
NOBODY = 65534

LOG = """
log = open_log(sys.argv[1], **eval(sys.argv[3]))
for n in range(int(sys.argv[2])):
    log.info("record %d", n)
assert logspool.flush()
"""
KILLED = """
log = open_log(sys.argv[1], **eval(sys.argv[3]))
for n in range(int(sys.argv[2])):
    log.info("record %d", n)
os.kill(os.getpid(), signal.SIGKILL)
"""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without anything that would configure logging."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LOG_", "LOGSPOOL_", "OTEL_", "SERVICE_"))}
    return {**clean, **(extra or {})}


# The interpreter may stand where another user cannot go: everything is imported before.
AS_USER = """
import os, sys, logspool._origins
from logspool.__main__ import main
user = int(sys.argv.pop(1))
os.setgroups([]), os.setgid(user), os.setuid(user)
sys.exit(main())
"""


def logspool(
    *arguments: object, status: int = 0, env: Mapping[str, str] | None = None, user: int | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command, as `user` where one is given; fails the test if the exit status is not `status`."""
    command = [str(COMMAND)] if user is None else [sys.executable, "-c", AS_USER, str(user)]
    done = subprocess.run(
        [*command, *map(str, arguments)],
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        **options,
    )
    assert done.returncode == status, f"exit {done.returncode}, not {status}\n{done.stdout}\n{done.stderr}"
    return done


def report(command: str, *arguments: object, status: int = 0, **options: Any) -> dict[str, Any]:
    """What the command says with `--json`."""
    answer: dict[str, Any] = json.loads(logspool(command, "--json", *arguments, status=status, **options).stdout)
    return answer


def write(path: Path, records: int = 100, **settings: object) -> Path:
    """A log of so many records, written by a program that ended in the ordinary way; returns its directory."""
    run_program(path.parent.parent, LOG, path, records, repr(settings))
    return path.parent


def killed(path: Path, records: int = 100, **settings: object) -> Path:
    """A log whose writer was killed with all its records in the spool; returns the ring."""
    if not path.exists():
        write(path, 1)
    before = set((path.parent / ".logspool").glob("*.ring"))
    with stalled(path.parent, path.name):
        run_program(path.parent.parent, KILLED, path, records, repr(settings), status=-9)
    places = [path.parent / ".logspool", *(Path(str(settings[k])) for k in settings if k == "spool_dir")]
    rings = {ring for place in places if place.is_dir() for ring in place.rglob("*.ring")} - before
    assert len(rings) == 1, rings
    return rings.pop()


def clone(log: Path, path: Path) -> None:
    """Copy a log's directory so that state and plain name speak of the copies."""
    shutil.copytree(log.parent, path.parent)
    newest = segments(path)[-1]
    path.unlink()
    path.hardlink_to(newest)
    with (path.parent / ".logspool" / f"{path.name}.state").open("r+b") as file:
        file.seek(128 + 8)  # the current segment's device and inode
        file.write(struct.pack("=QQ", newest.stat().st_dev, newest.stat().st_ino))


def segments(path: Path) -> list[Path]:
    """The log's segments, oldest first."""
    found = [file for file in path.parent.glob(f"{path.name}.*") if file.name.split(".")[-1] != "state"]
    return sorted(found, key=lambda file: int(file.name.removesuffix(".gz").rpartition(".")[2]))


def edit(segment: Path, change: Any) -> None:
    """Rewrite a segment's lines as an intruder would: `change` gets the list of lines, newlines included, and returns one."""
    packed = segment.suffix == ".gz"
    data = gzip.decompress(segment.read_bytes()) if packed else segment.read_bytes()
    data = b"".join(change(data.splitlines(keepends=True)))
    with segment.open("r+b") as file:  # the inode stays
        file.truncate(0)
        file.write(gzip.compress(data) if packed else data)


def problems(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """All problems of all logs."""
    return [problem for log in answer["logs"] for problem in log["problems"]]


def found(path: Path, status: int = 1) -> list[dict[str, Any]]:
    """All problems that `logspool verify` finds in the directory of this log."""
    return problems(report("verify", path.parent, status=status))
