"""What other programs do to the files between two lives of the writer, and what of it the comparison has to know.

* damage: a byte of a dead process' ring is changed. That record may be missing afterwards; no damaged one may appear.
* a segment that is copied away and truncated, replaced by a copy, renamed, or appended to. What stood in it before counts as
  read; what the other program left is its own, and must be neither appended to nor changed.

The layouts are those of docs/architecture.md and of the headers of `src/spool/ring.rs` and `src/segment/state.rs`.
"""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import reading

ALIGN, FRAME, WRAP = 16, 24, 0xFFFFFFFF
TABLE, ENTRY, DATA = 4096, 512, 36864
OTHERS = b'{"event":"of another program"}\n'
KINDS = ("copytruncate", "replace", "rename", "create", "append")


def _word(data: bytes, at: int) -> int:
    return int(struct.unpack_from("=Q", data, at)[0])


@dataclass(frozen=True)
class Frame:
    """A committed frame of a ring that is not in a segment yet: where its bytes lie in the file."""

    log: str
    begin: int
    end: int
    line: bytes


def frames(ring: bytes) -> Iterator[Frame]:
    """The frames that a recoverer has to carry over, oldest first."""
    capacity, salt, tail = _word(ring, 16), _word(ring, 24), _word(ring, 64)
    position = tail
    while position < tail + capacity:
        at = DATA + position % capacity
        if _word(ring, at) != position ^ salt:
            return
        (length,) = struct.unpack_from("=I", ring, at + 12)
        if length == WRAP:  # of a frame of 24 bytes the last 16 of a ring hold as much as this
            position += capacity - position % capacity
            continue
        log, kind = struct.unpack_from("=II", ring, at + 16)
        entry = TABLE + log * ENTRY
        name = ring[entry + 128 : entry + 128 + _word(ring, entry)].decode()
        end = at + FRAME + length
        if position >= _word(ring, entry + 16) and kind == 0:
            yield Frame(name, at, end, ring[at + FRAME : end])
        position += -(-(FRAME + length) // ALIGN) * ALIGN


def _is_whole(line: bytes) -> bool:
    try:
        reading.parse(line)
    except ValueError:
        return False
    return True


@dataclass
class State:
    """What a log's state file says of its current segment, and of the append under way."""

    number: int
    size: int
    intent: tuple[int, int, int] | None  # segment, offset, length

    @classmethod
    def read(cls, path: Path) -> State:
        """From the file."""
        data = path.read_bytes()[:4096]
        slot = _word(data, 256)
        base = {1: 320, 2: 448}.get(slot)
        intent = None if base is None else (_word(data, base + 32), _word(data, base + 40), _word(data, base + 48))
        return cls(_word(data, 128), _word(data, 152), intent)


@dataclass
class Meddling:
    """What was done in one directory."""

    #: Lines that may be missing, as they stood in the ring.
    excused: list[tuple[str, bytes]] = field(default_factory=list)
    #: What stood in a segment before another program took it away.
    before: dict[tuple[str, int], bytes] = field(default_factory=dict)
    #: What the other program left under the segment's name; `None`: nothing.
    left: dict[tuple[str, int], bytes | None] = field(default_factory=dict)
    #: How long a copy may become: what an append that was not finished lacks in it may be added.
    whole: dict[tuple[str, int], int] = field(default_factory=dict)

    def damage(self, own: Path, rng: random.Random) -> bool:
        """Change one byte of a record in a ring of a dead process; false when all of them are in segments."""
        for path in sorted(own.glob("*.ring")):
            # Not one that was damaged before: what it was then is excused already.
            found = [frame for frame in frames(path.read_bytes()) if _is_whole(frame.line)]
            if not found:
                continue
            frame = rng.choice(found)
            # Anything behind the commit word; mostly the text.
            at = rng.randrange(frame.begin + 8, frame.end)
            with path.open("r+b", buffering=0) as file:
                file.seek(at)
                old = file.read(1)
                file.seek(at)
                file.write(bytes([old[0] ^ 1 << rng.randrange(8)]))
            self.excused.append((frame.log, frame.line))
            return True
        return False

    def interfere(self, directory: Path, name: str, rng: random.Random) -> bool:
        """Do something to the current segment of a log nobody writes just now; false when there is none to do it to."""
        standing = directory / ".logspool" / f"{name}.state"
        if not standing.exists() or standing.stat().st_size < 4096:
            return False  # the first of them was killed before it had opened this log
        state = State.read(standing)
        path = directory / f"{name}.{state.number:06d}"
        if not path.exists() or (name, state.number) in self.before:
            return False
        content = path.read_bytes()
        kind = rng.choice(KINDS)
        keep = state.size
        if state.intent is not None and state.intent[0] == state.number:
            # An append that is not finished is done again, whole, in the next segment, unless all of it stands here.
            _, keep, length = state.intent
            if kind == "replace" and len(content) > keep > 0:
                self.whole[name, state.number] = keep + length
            if kind == "append" and len(content) >= keep + length:
                keep += length
        if keep == 0 or len(content) < keep:
            return False
        self.before[name, state.number] = content[:keep]
        self.left[name, state.number] = _do(kind, directory, path, content)
        return True

    def content(self, name: str, number: int, standing: bytes | None) -> bytes | None:
        """The log's own lines of a segment that was meddled with; `standing` is what is there under its name now.

        `None` when it is not what the other program left.
        """
        before, left = self.before[name, number], self.left[name, number]
        if left is None and standing is not None and standing.startswith(before):
            return standing  # The name was made again, from the plain one: it is the log's own file.
        if (
            standing is not None
            and standing.startswith(left or b"")
            and len(standing) == self.whole.get((name, number))
        ):
            return standing
        if standing == left or (left == b"" and standing is None):  # An empty one may be deleted.
            return before
        return None


def _do(kind: str, directory: Path, path: Path, content: bytes) -> bytes | None:
    aside = directory / f"aside-{path.name}"
    if kind == "copytruncate":
        shutil.copyfile(path, aside)
        path.open("r+b").truncate(0)
        return b""
    if kind == "replace":
        shutil.copyfile(path, aside)
        aside.replace(path)
        return content
    if kind == "append":
        with path.open("ab") as file:
            file.write(OTHERS)
        return content + OTHERS
    path.rename(aside)
    if kind == "rename":
        return None
    path.write_bytes(OTHERS)
    return OTHERS
