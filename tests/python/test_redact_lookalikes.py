"""What holds no secret stays as it is, however much it looks like one. req 33"""

from __future__ import annotations

import collections
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from logfiles import lines
from redaction import SEED
from redaction.lookalikes import FIELDS, TEXTS, lookalikes

import logspool

# What differs between two records of one call.
OWN = ("ts", "seq")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Callable[..., tuple[logging.Logger, Path, Path]]]:
    """A logger whose records go into two logs, one of them without redaction."""
    opened: list[tuple[logging.Logger, logging.Handler]] = []

    def open_both(**settings: Any) -> tuple[logging.Logger, Path, Path]:
        log = logging.getLogger("test.pair")
        log.propagate = False
        log.setLevel(logging.DEBUG)
        paths = tmp_path / "redacted.jsonl", tmp_path / "plain.jsonl"
        for path, redact in zip(paths, (True, False), strict=True):
            handler = logspool.SpoolHandler(path, backupCount=0, block_timeout=None, redact=redact, **settings)
            log.addHandler(handler)
            opened.append((log, handler))
        return log, *paths

    yield open_both
    for log, handler in opened:
        log.removeHandler(handler)
        handler.close()


def what(line: str) -> dict[str, Any]:
    return {key: value for key, value in json.loads(line).items() if key not in OWN}


def test_at_most_one_in_two_hundred_lookalikes_is_changed(
    pair: Callable[..., tuple[logging.Logger, Path, Path]], record_property: Callable[[str, object], None]
) -> None:
    log, redacted, plain = pair()
    made = list(lookalikes(SEED))
    assert len(made) >= 2000
    log.info("password=%s", "tiger-lily-99")
    for _, message, extra in made:
        log.info("%s", message, extra=extra)
    assert logspool.flush(30)
    (control, *left), (plain_control, *right) = lines(redacted), lines(plain)
    assert "tiger-lily-99" in plain_control and "tiger-lily-99" not in control, "one log redacts, the other does not"
    assert len(left) == len(right) == len(made)
    changed = [
        (name, f"{name}\n    {b}\n    {a}")
        for (name, _, _), a, b in zip(made, left, right, strict=True)
        if what(a) != what(b)
    ]
    record_property("lookalikes", len(made))
    record_property("false_positives", len(changed))
    print(f"{len(changed)} of {len(made)} changed")
    for name, times in collections.Counter(name for name, _ in changed).items():
        print(f"{name}: {times} of {sum(one == name for one, _, _ in made)}")
    assert len(changed) <= len(made) * 0.005, "\n".join(text for _, text in changed)


def test_lines_without_a_secret_are_the_same_byte_for_byte(
    pair: Callable[..., tuple[logging.Logger, Path, Path]],
) -> None:
    """Order of keys, escapes and numbers included: nothing is written anew that need not be."""
    log, redacted, plain = pair()
    rng = Random(SEED)
    for number in range(400):
        text = "".join(rng.choices('abc é✓\\"\n\t\0\x1b\u2028{}[]:,=/&?%😀\ud800', k=rng.randrange(60)))
        value: Any = rng.choice(
            (text, [text, number, None, 1.5, True], {"a": {"b": text}}, text.encode("utf-8", "replace"))
        )
        log.info(text, extra={"value": value, "number": number, "big": 10**30, "nothing": None})
    try:
        raise ValueError("plain\nlines")
    except ValueError:
        log.exception("it failed", stack_info=True)
    assert logspool.flush(30)
    left, right = ([cut(line) for line in lines(path)] for path in (redacted, plain))
    assert left == right
    assert len(left) == 401


def cut(line: str) -> str:
    """The line without its time and number."""
    head, tail = line[: line.index('"ts":') + 5], line[line.index('"ts":') + 5 :]
    return head + tail[tail.index(",") : tail.rindex(',"seq":')]


def test_each_shape_is_there_several_times() -> None:
    times = collections.Counter(name for name, _, _ in lookalikes(SEED))
    assert set(times) == {*TEXTS, *FIELDS}
    assert min(times.values()) >= 10
