"""Whether anything of planted secrets is in bytes: raw, escaped, percent-encoded, in base 64, in UTF-16."""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from redaction.corpus import Planted

# So many characters of a secret in a row are a leak. Shorter runs occur by chance, and prefixes and last characters may stay.
RUN = 12


def _forms(part: str) -> Iterator[tuple[bytes, int]]:
    """What the part looks like in a file, and how many bytes hold `RUN` characters of it at least."""
    raw = part.encode()
    once = quote(part, safe="")
    seen = {raw, json.dumps(part)[1:-1].encode(), json.dumps(part, ensure_ascii=False)[1:-1].encode()}
    seen |= {once.encode(), quote(once, safe="").encode(), quote_plus(part).encode()}
    seen |= {repr(part)[1:-1].encode(), ascii(part)[1:-1].encode(), repr(raw)[2:-1].encode()}
    for form in seen:
        yield form, RUN
    for shift in range(3):
        # The first and last groups hold bits of what stands beside.
        text = base64.b64encode(b"\0" * shift + raw + b"\0" * ((-len(raw) - shift) % 3))[4:-4]
        yield text, 16
        yield text.translate(bytes.maketrans(b"+/", b"-_")), 16
    for encoding in ("utf-16-le", "utf-16-be"):
        yield part.encode(encoding), 2 * RUN


class Search:
    """An index of all runs of all parts of what was planted."""

    def __init__(self, planted: Iterable[Planted]) -> None:
        # By the first characters of each run: of longer runs the rest is compared.
        self.runs: dict[bytes, list[tuple[bytes, Planted]]] = {}
        for one in planted:
            for part in one.parts:
                assert len(part) >= RUN, one
                for form, length in _forms(part):
                    for at in range(len(form) - length + 1):
                        run = form[at : at + length]
                        self.runs.setdefault(run[:RUN], []).append((run, one))

    def in_bytes(self, data: bytes) -> dict[int, tuple[Planted, str]]:
        """What is found, by number, with the text around it."""
        found: dict[int, tuple[Planted, str]] = {}
        runs = self.runs
        # Nothing planted holds three null bytes, and a ring is mostly those.
        for chunk in re.finditer(rb"(?:[^\0]|\0(?!\0\0))+", data):
            text = chunk[0]
            for at in [at for at in range(len(text)) if text[at : at + RUN] in runs]:
                for run, one in runs[text[at : at + RUN]]:
                    if one.number not in found and text.startswith(run, at):
                        found[one.number] = one, text[max(0, at - 120) : at + 120].decode("utf-8", "replace")
        return found

    def in_directories(self, *directories: Path) -> dict[int, tuple[Planted, str]]:
        """What is found in the names and bytes of all files, and in what `.gz` files hold."""
        found: dict[int, tuple[Planted, str]] = {}
        for file in files(*directories):
            for data in contents(file):
                for number, (one, around) in self.in_bytes(file.name.encode() + b"\n" + data).items():
                    found.setdefault(number, (one, f"{file.name}: …{around}…"))
        return found


def files(*directories: Path) -> list[Path]:
    return sorted({file for directory in directories for file in directory.rglob("*") if file.is_file()})


def contents(file: Path) -> list[bytes]:
    """A file's bytes, and of a `.gz` what it holds."""
    data = file.read_bytes()
    try:
        return [data, gzip.decompress(data)] if data[:2] == b"\x1f\x8b" else [data]
    except (OSError, EOFError, zlib.error):
        return [data]


def report(found: dict[int, tuple[Planted, str]]) -> str:
    """Every leak: kind, form, place, and where it was found."""
    return f"{len(found)} secrets found:\n" + "\n".join(f"{one}\n    {around!r}" for one, around in found.values())
