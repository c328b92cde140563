"""docs/reliability.md says what was run: its table has a test for each row, and the tool that writes it adds up right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.faults import reliability
from tests.faults.check import Report
from tests.faults.reliability import BEGIN, DOCUMENT, END, Row, line_of, recorded, row, standing, written

HERE = "tests/faults/test_reliability.py"


def test_every_row_of_the_table_names_a_test_that_exists() -> None:
    rows = standing(DOCUMENT.read_text(encoding="utf-8"))
    table = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert len(rows) == max(0, table.count("\n|") - 2), "a row that cannot be read"
    assert [made for made in rows if line_of(made) is None] == []


def test_the_rows_of_a_test_s_cases_are_summed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reliability, "ROWS", tmp_path / "rows")
    monkeypatch.setattr(reliability, "LONG", True)
    for rounds in (20, 1000):
        row(fault="a fault", promise="a promise", rounds=rounds, result=Report(lost=1, accepted=2000))
    row(fault="another", promise="a promise", rounds=1, result="kept")
    first, second = recorded()
    name = "test_the_rows_of_a_test_s_cases_are_summed"
    assert str(first) == (
        "| a fault | a promise | 1,020 | lost 2, doubled 0, torn 0, reordered 0, accepted 4,000 "
        f"| [`{name}`](../{HERE}) |"
    )
    assert (second.shown, second.test, second.path) == ("kept", name, HERE)


def test_the_table_can_be_read_back_and_updated_in_part() -> None:
    rows = [Row("a", "b", 12345, "lost 0", "test_every_row_of_the_table_names_a_test_that_exists", HERE)]
    rows.append(Row("c", "d", 1, "kept", "test_the_table_can_be_read_back_and_updated_in_part", HERE))
    text = written(f"before\n{BEGIN}\nold\n{END}\nafter\n", reversed(rows), "a machine")
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert standing(text) == rows
    assert written(text, standing(text), "a machine") == text


def test_a_row_that_would_break_the_table_is_refused() -> None:
    for fault, result in (("a|b", "x"), ("", "x"), ("a", ""), ("a\nb", "x")):
        with pytest.raises(ValueError):
            row(fault=fault, promise="p", rounds=1, result=result)


def test_the_short_form_records_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reliability, "ROWS", tmp_path / "rows")
    monkeypatch.setattr(reliability, "LONG", False)
    row(fault="a", promise="b", rounds=1, result="kept")
    assert recorded() == []
    assert line_of(Row("a", "b", 1, "c", "test_that_is_not_there", HERE)) is None
    assert json.dumps(Row("a", "b", 1, "c", "d", "e").__dict__)
