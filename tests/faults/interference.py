"""What the interference tests share: a program that logs on command, so that a test can meddle between two records."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from tests.faults.failpoints import failpoint_environment
from tests.faults.program import end, kill_session, read_line, run, start, tell
from tests.faults.reading import events

_SERVER = """
import json

if len(sys.argv) > 4:
    os.setgroups([int(sys.argv[5])])
    os.setgid(int(sys.argv[4]))
    os.setuid(int(sys.argv[4]))
log = open_log(sys.argv[1], **json.loads(sys.argv[3]))
n = 0
say("ready")
for line in sys.stdin:
    word, _, count = line.strip().partition(" ")
    if word in ("log", "accept"):
        for n in range(n, n + int(count)):
            log.info("%s %d", sys.argv[2], n)
        n += 1
    if word in ("log", "flush"):
        assert logspool.flush(30), logspool.stats()
    if word == "stats":
        say(json.dumps(logspool.stats()))
    else:
        say("done")
"""

# Where the words of a state file are, beside the format's own description in docs/architecture.md.
STATE_VERSION, STATE_SEGMENT, STATE_CREATING, STATE_CURRENT, STATE_INTENT = 8, 128, 192, 256, 320
RING_VERSION, RING_CAPACITY, RING_SALT, RING_ID, RING_TAIL, RING_TABLE, RING_ENTRY, RING_DATA = (
    8,
    16,
    24,
    32,
    64,
    4096,
    512,
    36864,
)
ENTRY_NAME_LENGTH, ENTRY_DONE, ENTRY_SETTINGS, ENTRY_NAME = 0, 16, 64, 128


#: What users may share a directory by.
GROUP = 65500


class Server:
    """A program with one open log; its records are `<tag> 0`, `<tag> 1`, … As user `uid` it is in `group`, too."""

    def __init__(
        self,
        scratch: Path,
        path: Path,
        tag: str = "record",
        *,
        env: Mapping[str, str] | None = None,
        uid: int | None = None,
        group: int = GROUP,
        **settings: object,
    ) -> None:
        user = () if uid is None else (uid, group)
        settings = {"backupCount": 0, "block_timeout": None, **settings}
        self.path, self.tag, self.count = path, tag, 0
        self.process = start(scratch, _SERVER, path, tag, json.dumps(settings), *user, env=env)
        assert read_line(self.process) == "ready"

    def _ask(self, text: str) -> str:
        tell(self.process, text)
        return read_line(self.process)

    def log(self, count: int = 1) -> None:
        """Log `count` records and wait until they are in segments."""
        self._ask(f"log {count}")
        self.count += count

    def accept(self, count: int = 1) -> None:
        """Log `count` records, no more."""
        self._ask(f"accept {count}")
        self.count += count

    def flush(self) -> None:
        """Wait until everything is in segments."""
        self._ask("flush")

    def stats(self) -> dict[str, object]:
        """The program's `logspool.stats()`."""
        found: dict[str, object] = json.loads(self._ask("stats"))
        return found

    def end(self) -> str:
        """End the program in order; what it said on standard error."""
        _, err = end(self.process)
        assert self.process.returncode == 0, err
        return err

    def kill(self) -> str:
        """SIGKILL; what it had said on standard error."""
        kill_session(self.process)
        return end(self.process)[1]

    @property
    def expected(self) -> list[str]:
        """The events of all records so far."""
        return [f"{self.tag} {n}" for n in range(self.count)]

    def found(self) -> list[str]:
        """Its records in the log's segments, in their order."""
        while True:
            try:
                return [e for e in events(self.path.parent, self.path.name) if e.startswith(f"{self.tag} ")]
            except FileNotFoundError:  # compressed between the listing and the reading: look again
                continue


def dead_ring(scratch: Path, path: Path, count: int = 100, tag: str = "dead", **settings: object) -> Path:
    """The ring of a process that was killed with `count` records in it, none of them in a segment."""
    from tests.faults.stall import stalled

    before = set(own(path).glob("*.ring"))
    server = Server(scratch, path, tag, **settings)
    with stalled(path.parent, path.name):
        server.accept(count)
        server.kill()
    (ring,) = set(own(path).glob("*.ring")) - before
    return ring


def killed_in_an_append(scratch: Path, path: Path, step: str) -> int:
    """Log `first`, and then `record 0` and so on from a process that is killed at that step of its first append; how many it accepted."""
    run(scratch, "open_log(sys.argv[1], backupCount=0).info('first')", path)
    accepted = run(
        scratch,
        """
        log = open_log(sys.argv[1], backupCount=0)
        for n in range(100):
            log.info("record %d", n)
            say(n)
        logspool.flush()
        """,
        path,
        status=-9,
        env=failpoint_environment(f"kill:{step}:1"),
    )
    return len(accepted.split())


def own(path: Path) -> Path:
    """The library's own directory beside the log."""
    return path.parent / ".logspool"


def get_word(path: Path, offset: int) -> int:
    """The 64-bit word at `offset`."""
    with path.open("rb") as file:
        file.seek(offset)
        (value,) = struct.unpack("<Q", file.read(8))
    return int(value)


def put(path: Path, offset: int, value: int | bytes) -> None:
    """Overwrite a 64-bit word, or bytes, at `offset`."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value if isinstance(value, bytes) else struct.pack("<Q", value))
