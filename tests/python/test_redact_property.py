"""Random secrets in random records never reach the disk, and nothing else changes. req 30 32 33"""

from __future__ import annotations

import json
import logging
import string
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logfiles import segments
from redaction import SEED
from redaction.carriers import ALONE, BARE, QUOTING, carry, fits, name
from redaction.corpus import Planted
from redaction.kinds import PLAIN, QUOTED, SHAPES, Secret
from redaction.places import AttrsNote, ModelNote, Note, TupleNote
from redaction.search import Search

import logspool

MAKERS = {**SHAPES, **PLAIN, **QUOTED}
OFTEN = settings(
    max_examples=150, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


class Logs:
    """One logger a setting, each with a log of its own; what is logged is read back at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.opened: dict[str, tuple[logging.Logger, logspool.SpoolHandler]] = {}

    def lines(self, write: Any, **settings: Any) -> list[bytes]:
        """The lines that `write(logger)` leaves in a log of these settings."""
        key = repr(sorted(settings.items()))
        if key not in self.opened:
            log = logging.getLogger(f"test.property.{len(self.opened)}")
            log.propagate = False
            log.setLevel(logging.DEBUG)
            path = self.directory / f"log{len(self.opened)}.jsonl"
            handler = logspool.SpoolHandler(path, gzip=False, maxBytes=0, block_timeout=None, **settings)
            log.addHandler(handler)
            self.opened[key] = log, handler
        log, handler = self.opened[key]
        path = Path(handler._path())
        before = sum(file.stat().st_size for file in segments(path))
        log.name, real = "test.property", log.name
        write(log)
        log.name = real
        assert handler._flush(30)
        return segments(path)[-1].read_bytes()[before:].splitlines()

    def close(self) -> None:
        for log, handler in self.opened.values():
            log.removeHandler(handler)
            handler.close()


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logs]:
    all_of_them = Logs(tmp_path_factory.mktemp("property"))
    yield all_of_them
    all_of_them.close()


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [key for key, _ in pairs]
    assert len(names) == len(set(names)), f"a key stands twice: {names}"
    return dict(pairs)


def parsed(line: bytes) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(line, object_pairs_hook=unique)
    return {key: value for key, value in record.items() if key not in ("ts", "seq", "src")}


def search_for(kind: str, carrier: str, parts: tuple[str, ...], text: str) -> Search:
    return Search([Planted(0, kind, carrier, "property", parts, text, lambda _: None)])


def changed(before: Any, after: Any, search: Search, path: str = "") -> None:
    """Only what holds the secret may differ, and what differs held it."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict) and len(before) == len(after):
        for (old, value), (new, now) in zip(before.items(), after.items(), strict=True):
            changed(old, new, search, f"{path}.{old} (its name)")
            changed(value, now, search, f"{path}.{old}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (value, now) in enumerate(zip(before, after, strict=True)):
            changed(value, now, search, f"{path}[{number}]")
    else:
        held = json.dumps(before, ensure_ascii=False).encode("utf-8", "surrogatepass")
        assert search.in_bytes(held), f"{path} held no secret: {before!r} became {after!r}"


WRAPPERS = {
    "dict": lambda v, other: {"inner": v, "other": other},
    "list": lambda v, other: [other, v],
    "tuple": lambda v, other: (v, other),
    "dataclass": lambda v, other: Note(v),
    "attrs": lambda v, other: AttrsNote(v),
    "namedtuple": lambda v, other: TupleNote(v),
    "pydantic": lambda v, other: ModelNote(note=v),
    "several": lambda v, other: {"a": other, "b": v, "c": [v]},
}
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=20))
ordinary = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
plain_text = st.text(max_size=40) | st.text(alphabet="ab =:;,&?/\\\"'{}[]()%<>-_.\n\té✓😀", max_size=60)


def made(rng: Random) -> tuple[Secret, str]:
    """A secret, and a form of text for it."""
    kind = rng.choice(list(MAKERS))
    secret = MAKERS[kind](rng)
    carriers = [*QUOTING, *BARE, *(ALONE if kind in SHAPES else ())]
    return secret, rng.choice([carrier for carrier in carriers if fits(secret, carrier)])


@OFTEN
@given(
    seed=st.integers(0, 2**32),
    wrappers=st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=12),
    other=ordinary,
    words=st.text(alphabet=string.ascii_lowercase + " é✓", max_size=20),
    where=st.sampled_from(["message", "argument", "value", "bytes", "named", "key", "exception", "note"]),
)
def test_a_random_secret_in_a_random_record_is_not_written_and_the_rest_is(
    logs: Logs, seed: int, wrappers: list[str], other: Any, words: str, where: str
) -> None:
    rng = Random(seed)
    secret, carrier = made(rng)
    text, parts = carry(rng, secret, carrier)
    text = f"{words} {text}\n{words}" if "alone" not in carrier else text
    under = name(rng)
    value: Any = {"value": text, "bytes": text.encode(), "key": {text: 1}, "named": {under: secret.text}}.get(
        where, words
    )
    for wrapper in wrappers:
        value = WRAPPERS[wrapper](value, other)
    search = search_for(secret.kind, carrier, parts, text)

    def write(log: logging.Logger) -> None:
        extra = {"value": value, "other": other}
        if where == "message":
            log.info(text, extra=extra)
        elif where == "argument":
            log.info("%s: %s", words, [text], extra=extra)
        elif where in ("exception", "note"):
            error = ValueError(text if where == "exception" else "plain")
            if where == "note":
                getattr(error, "add_note", lambda note: error.args.__add__((note,)))(text)
            log.error("it failed", exc_info=error, extra=extra)
        else:
            log.info("plain", extra=extra)

    (redacted,), (plain,) = logs.lines(write), logs.lines(write, redact=False)
    leaks = search.in_bytes(redacted)
    assert not leaks, f"{secret.kind} as {carrier} in {where}: {text!r}\n{redacted.decode()}"
    changed(parsed(plain), parsed(redacted), search)


@pytest.mark.parametrize("max_field", [64, 300])
def test_a_secret_that_is_cut_in_the_middle_is_not_written_either(logs: Logs, max_field: int) -> None:
    """Of text that is too long only the beginning is kept: a token, password or URL may end there. req 34"""
    rng = Random(SEED + max_field)
    leaks = []
    for number in range(400):
        secret, carrier = made(rng)
        text, parts = carry(rng, secret, carrier)
        at = rng.randrange(1, len(text) + 1)
        filler = (" lorem ipsum" * (max_field // 8))[: max(0, max_field - at - 1)] + " "
        long = filler + text + " and more of it" * 30
        search = search_for(secret.kind, carrier, parts, text)

        def write(log: logging.Logger, long: str = long, number: int = number) -> None:
            if number % 4 == 0:
                log.info(long)
            elif number % 4 == 1:
                log.info("m", extra={"value": [{"inner": long}]})
            elif number % 4 == 2:
                log.info("m", extra={"value": long.encode()})
            else:
                log.error("m", exc_info=ValueError(long))

        (line,) = logs.lines(write, max_field=max_field)
        json.loads(line)
        if search.in_bytes(line):
            leaks.append(
                f"{secret.kind} as {carrier}, {number % 4}: {long[: max_field + 20]!r}\n    {line.decode()[60:]}"
            )
    assert not leaks, f"{len(leaks)} of 400\n" + "\n".join(leaks)


def test_a_record_that_is_cut_to_its_largest_size_holds_no_part_of_a_secret(logs: Logs) -> None:
    rng = Random(SEED)
    leaks = []
    for number in range(200):
        secret, carrier = made(rng)
        text, parts = carry(rng, secret, carrier)
        search = search_for(secret.kind, carrier, parts, text)
        filler = "lorem ipsum " * rng.randrange(1, 90)

        def write(log: logging.Logger, text: str = text, filler: str = filler, number: int = number) -> None:
            extra = {f"v{n}": [filler, {"inner": text}, text] for n in range(number % 5 + 1)}
            log.info("%s %s", filler, text, extra=extra, exc_info=ValueError(text) if number % 3 == 0 else None)

        (line,) = logs.lines(write, max_record=1024)
        json.loads(line)
        assert len(line) <= 1024
        if search.in_bytes(line):
            leaks.append(f"{secret.kind} as {carrier}: {text!r}\n    {line.decode()}")
    assert not leaks, f"{len(leaks)} of 200\n" + "\n".join(leaks)


@pytest.mark.parametrize("kept", [24, 64, 128, 1024])
def test_a_secret_that_is_cut_because_the_record_is_too_large_is_not_written_either(logs: Logs, kept: int) -> None:
    """Texts of a record that is too large are cut to so many characters, and again to fewer."""
    rng = Random(SEED + kept)
    leaks = []
    for _ in range(150):
        secret, carrier = made(rng)
        text, parts = carry(rng, secret, carrier)
        at = rng.randrange(1, min(len(text), kept) + 1)
        long = (" lorem ipsum" * 100)[: max(0, kept - at - 1)] + " " + text + " and more of it" * 100
        search = search_for(secret.kind, carrier, parts, text)
        # So much else that nothing of it fits, or some.
        others = {f"other{n}": [" " * 100] * 8 for n in range(rng.choice((0, 2, 60)))}

        def write(log: logging.Logger, long: str = long, others: dict[str, Any] = others) -> None:
            log.info(long, extra={"first": long, **others})

        (line,) = logs.lines(write, max_record=rng.choice((1024, 2048, 4096)))
        json.loads(line)
        if search.in_bytes(line):
            leaks.append(f"{secret.kind} as {carrier}: {text!r}\n    {line.decode()}")
    assert not leaks, f"{len(leaks)} of 150\n" + "\n".join(leaks)


def test_a_long_stack_trace_whose_middle_is_left_out_begins_its_end_with_no_half_secret(logs: Logs) -> None:
    rng = Random(SEED)
    leaks = []
    for _ in range(200):
        secret, carrier = made(rng)
        text, parts = carry(rng, secret, carrier)
        search = search_for(secret.kind, carrier, parts, text)
        tail = "t" * rng.randrange(1, 400)

        def write(log: logging.Logger, text: str = text, tail: str = tail) -> None:
            error = ValueError("first " * 200 + text + " " + tail)
            log.error("m", exc_info=error)

        (line,) = logs.lines(write, max_field=400)
        json.loads(line)
        if search.in_bytes(line):
            leaks.append(f"{secret.kind} as {carrier}: {text!r}\n    {line.decode()}")
    assert not leaks, f"{len(leaks)} of 200\n" + "\n".join(leaks)


@OFTEN
@given(message=plain_text, value=ordinary, keys=st.dictionaries(st.text(max_size=10), plain_text, max_size=5))
def test_a_record_without_a_secret_is_not_changed(logs: Logs, message: str, value: Any, keys: dict[str, str]) -> None:
    def write(log: logging.Logger) -> None:
        log.info("%s", message, extra={"value": value, "keys": keys, "raw": message.encode("utf-8", "surrogatepass")})

    redacted, plain = logs.lines(write), logs.lines(write, redact=False)
    assert [cut(line) for line in redacted] == [cut(line) for line in plain]


def cut(line: bytes) -> bytes:
    """The line without its time and number."""
    return line[line.index(b'","') :][: line.rindex(b',"seq":') - line.index(b'","')]
