"""Any Python object becomes valid JSON."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import gc
import json
import math
import pathlib
import queue
import signal
import types
import uuid
from typing import Any, NamedTuple

import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strict_json import SETTINGS, encoded, field, line, parse, record

from logspool import _core


class Colour(enum.Enum):
    RED = "red"
    BOTH = (1, 2)


class Level(enum.IntEnum):
    LOW = 1


class Flag(enum.Flag):
    A = 1
    B = 2


@dataclasses.dataclass
class Call:
    model: str
    tokens: list[int]
    key: str = dataclasses.field(default="secret", repr=False)


class Point(NamedTuple):
    x: int
    y: int


class Model(pydantic.BaseModel):
    name: str
    key: pydantic.SecretStr
    when: dt.date


class Slots:
    __slots__ = ()

    def __str__(self) -> str:
        return "slots"


def generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (1.0, 1.0),
        (math.nan, None),
        (-math.inf, None),
        (2**63, 2**63),
        (-(10**400), -(10**400)),
        (Colour.RED, "red"),
        (Colour.BOTH, [1, 2]),
        (Level.LOW, 1),
        (Flag.A | Flag.B, 3),
        (Call("m", [1]), {"model": "m", "tokens": [1]}),
        (Point(1, 2), [1, 2]),
        (
            Model(name="n", key=pydantic.SecretStr("hidden"), when=dt.date(2026, 1, 2)),
            {"name": "n", "key": "**********", "when": "2026-01-02"},
        ),
        (dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.timezone.utc), "2026-01-02T03:04:05.000006+00:00"),
        (dt.time(1, 2), "01:02:00"),
        (dt.timedelta(seconds=1.5), 1.5),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (decimal.Decimal("1.10"), 1.1),
        (decimal.Decimal("NaN"), "NaN"),
        (decimal.Decimal("-Infinity"), "-Infinity"),
        (decimal.Decimal("1E+999999"), "1E+999999"),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (b"caf\xc3\xa9", "café"),
        (b"\xff\x00a", "\\xff\x00a"),
        (bytearray(b"ab"), "ab"),
        (memoryview(b"abcd")[::2], "ac"),
        (frozenset([1]), [1]),
        (range(3), [0, 1, 2]),
        (collections.deque([1, 2]), [1, 2]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (collections.ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
        ({"a": 1}.keys(), ["a"]),
        ({"a": 1}.values(), [1]),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.zeros((100, 100)), "<ndarray shape=[100, 100] dtype=float64>"),
        (ValueError("boom"), "ValueError: boom"),
        (ValueError, "ValueError"),
        (json.loads, "json.loads"),
        (len, "len"),
        (Slots(), "slots"),
    ],
    ids=repr,
)
def test_values_of_many_kinds_become_what_a_reader_expects(value: object, expected: object) -> None:  # req 16, 19
    found = field(value)
    assert found == expected
    assert type(found) is type(expected)


def test_decimals_keep_every_digit() -> None:
    assert b'"value":0.1000000000000000000000000001' in line(
        record("m", extra={"value": decimal.Decimal("0.1000000000000000000000000001")})
    )


def test_ints_too_long_for_json_readers_are_hexadecimal_text() -> None:
    assert field(10**4299) == 10**4299
    assert int(field(10**5000), 16) == 10**5000
    assert field(-(1 << 10**6)).startswith("-0x1000")


def test_generators_are_not_consumed() -> None:
    numbers = generator()
    assert field(numbers).startswith("<generator object")
    assert next(numbers) == 1


def test_keys_of_any_type_become_different_strings() -> None:
    mixed = {
        1: "one",
        "1": "b",
        None: "c",
        1.5: "d",
        (1, 2): "e",
        b"x": "f",
        "x": "g",
        Colour.RED: "h",
        "k" * 200: 1,
        "k" * 201: 2,
    }
    found = field(mixed, max_field=100)
    assert found["1"] == "b"
    assert found["1#2"] == "one"
    assert found["x"] == "g"
    assert found["x#2"] == "f"
    assert {found["null"], found["1.5"], found["(1, 2)"], found["red"]} == {"c", "d", "e", "h"}
    assert len(found) == len(mixed)
    assert encoded(record("m", extra={2: "a", "2": "b", "\ud800": "c"}))["fields"] == {
        "2#2": "a",
        "2": "b",
        "\ud800": "c",
    }


def test_cycles_and_depth_are_cut() -> None:
    cyclic: dict[str, Any] = {"a": [1]}
    cyclic["a"].append(cyclic)
    assert field(cyclic) == {"a": [1, "<cycle>"]}
    shared = [1]
    assert field([shared, shared]) == [[1], [1]]
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    found, depth = field(deep), 0
    while isinstance(found, list):
        found, depth = found[0], depth + 1
    assert depth == 64
    assert found == "<nested too deep>"
    while deep:
        deep = deep[0]


class Hostile:
    """Raises wherever it is touched."""

    error: type[BaseException] = RuntimeError

    def _raise(self, *_: object) -> Any:
        raise self.error("no")

    __str__ = __repr__ = __len__ = __iter__ = __bool__ = __eq__ = __getitem__ = __fspath__ = __float__ = __index__ = (
        _raise
    )
    __hash__ = object.__hash__

    @property
    def __class__(self) -> Any:
        raise self.error("no")

    @__class__.setter
    def __class__(self, _: Any) -> None: ...


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, RecursionError, SystemExit, GeneratorExit, BaseException])
def test_whatever_user_code_raises_becomes_a_placeholder(error: type[BaseException]) -> None:  # req 16
    hostile = type("Hostile", (Hostile,), {"error": error})()
    placeholder = "<unprintable Hostile>"
    assert field(hostile) == placeholder
    assert field([hostile, {hostile: hostile}]) == [placeholder, {placeholder: placeholder}]
    assert encoded(record(hostile))["event"] == placeholder
    assert encoded(record("m %s %s", hostile, 1))["fields"]["format_args"] == [placeholder, 1]
    assert (
        encoded(record("m", extra={"event": hostile, "request_id": hostile, "fields": hostile}))["event"] == placeholder
    )


def test_ctrl_c_inside_user_code_keeps_the_record_and_still_interrupts() -> None:
    class Interrupted:
        def __str__(self) -> str:
            raise KeyboardInterrupt

        __repr__ = __str__

    entry = record("m", extra={"a": Interrupted(), "b": 1})
    lines: list[bytes] = []

    def interrupted() -> None:
        # From C to C: the interrupt comes where Python code runs again, after the line is kept.
        lines.extend(map(_core.encode_record, [entry], [SETTINGS]))
        for _ in range(1000):
            pass

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert parse(lines[0])["fields"] == {"a": "<unprintable Interrupted>", "b": 1}


class Lying:
    @property
    def __class__(self) -> Any:
        return dict

    @__class__.setter
    def __class__(self, _: Any) -> None: ...

    def __str__(self) -> str:
        return "lying"


class Surrogate:
    def __str__(self) -> str:
        return "\ud800"


class NotText:
    def __str__(self) -> Any:
        return 5  # noqa: PLE0307

    def __repr__(self) -> str:
        return "text after all"


class EndlessMapping(collections.abc.Mapping):  # type: ignore[type-arg]
    def __getitem__(self, key: object) -> object:
        return key

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Any:
        number = 0
        while True:
            yield number
            number += 1


def test_lying_and_endless_objects() -> None:
    assert field(Lying()) == "lying"
    assert field(Surrogate()) == "\ud800"
    assert field(NotText()) == "text after all"
    assert field(EndlessMapping())["…"] == "…(more)"


def test_containers_changed_by_their_own_values_are_cut_not_crashed() -> None:
    class Changes:
        def __init__(self, target: Any) -> None:
            self.target = target

        def __str__(self) -> str:
            self.target.clear()
            gc.collect()
            return "changed"

    table: dict[str, Any] = {}
    table.update(a=Changes(table), **{f"k{i}": object() for i in range(50)})
    items: list[Any] = []
    items.extend([Changes(items), *(object() for _ in range(50))])
    assert field(table) == {"a": "changed", "…": "<changed while it was logged>"}
    assert field(items) == ["changed"]

    class Grows:
        def __str__(self) -> str:
            endless.append(self)
            return ""

    endless: list[Any] = [Grows()]
    assert field(endless)[-1].startswith("…(")
    entry = record("%s", "x", extra={"a": 1, "b": 2})
    entry.msg = type("Msg", (), {"__str__": lambda self: entry.__dict__.clear() or "gone"})()
    assert encoded(entry)["event"] == "gone"


def test_properties_and_serialisers_that_fail_fall_back() -> None:
    class Broken(pydantic.BaseModel):
        a: int = 1

        def model_dump(self, *_: object, **__: object) -> Any:
            raise RuntimeError

    @dataclasses.dataclass
    class Partial:
        a: int
        b: int

    partial = Partial(1, 2)
    del partial.b
    assert field(Broken()) == "a=1"
    assert field(partial) == {"a": 1, "b": "<unreadable>"}


def test_logging_from_inside_a_value_gives_both_lines() -> None:
    lines = []

    class Logs:
        def __str__(self) -> str:
            lines.append(encoded(record("inner %s", 1)))
            return "outer"

    assert field(Logs()) == "outer"
    assert lines[0]["event"] == "inner 1"


def _utf16(text: str) -> str:
    """Two surrogates that make a pair read back as the character they make."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]))


@given(ANY_TEXT)
def test_any_text_reads_back(text: str) -> None:
    assert field(text) == _utf16(text)
    assert encoded(record("%s", text))["event"] == _utf16(text)
    assert encoded(record(text))["event"] == _utf16(text)


@given(st.floats())
def test_any_float_reads_back_as_the_same_double(value: float) -> None:
    found = field(value)
    if math.isfinite(value):
        assert isinstance(found, float)
        assert found.hex() == value.hex()
    else:
        assert found is None


@given(st.integers() | st.integers(-(2**70), 2**70) | st.integers(0, 4000).map(lambda size: 7**size))
def test_any_int_reads_back(value: int) -> None:
    assert field(value) == value


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 9))
def test_fixed_point_arguments_read_as_python_renders_them(value: float, digits: int) -> None:
    template = f"%.{digits}f"
    assert encoded(record(template, value))["event"] == template % value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=40,
)


@given(JSON)
@settings(max_examples=200)
def test_nested_values_read_back(value: Any) -> None:
    assert field(value, redact=False) == value


ODD: list[Any] = [
    math.nan, math.inf, 10**5000, -(2**64), "\ud800", "\x00\x1b\u2028", b"\xff", Hostile(), Lying(), NotText(), EndlessMapping(),
    Call("m", []), Colour.RED, np.array([np.nan]), np.datetime64("2026-01-01"), np.longdouble(1) / 3, np.array(["a", None], object),
    generator(), object(), type, print, types, queue.Queue(), memoryview(b"ab"), {1: {2: {3}}}, {(1,): None}, complex(1, 2), ...,
    NotImplemented, decimal.Decimal("sNaN"), slice(1), __import__("re").match("a", "a"), ValueError("\ud800"),
]  # fmt: skip


def test_ten_thousand_odd_records_are_ten_thousand_valid_lines() -> None:  # req 16
    for number in range(10_000):
        odd = ODD[number % len(ODD)]
        other = ODD[(number // len(ODD)) % len(ODD)]
        entry = record(
            "m %s %r", odd, other, extra={"odd": odd, "both": [odd, {"other": other}], "event": other, "number": number}
        )
        assert encoded(entry, max_record=8192)["level"] == "INFO"
