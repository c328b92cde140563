"""The table of docs/reliability.md: a fault test adds its row with one line, `make faults` writes the table.

    from tests.faults.reliability import LONG, row

    row(fault="SIGKILL at random", promise="…", rounds=500, result=report)

`row` takes what the fault is, what is promised under it, how often it was tried, and what came out: a text, or counts (a mapping, or
a `Report`) of which several rows of one test and fault are summed, as the cases of a parametrized test give them. Rows count only in
the long form (`LOGSPOOL_FAULTS=long`); the short form only looks at the arguments. The row names the test that is running.

    python -m tests.faults.reliability --whole     the table is what the last run gave, and nothing else
    python -m tests.faults.reliability             after a run of some tests: their rows are replaced, the others stay

Either uses up the rows that the run left in `.make/reliability.jsonl`.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROWS = ROOT / ".make" / "reliability.jsonl"
DOCUMENT = ROOT / "docs" / "reliability.md"
LONG = os.environ.get("LOGSPOOL_FAULTS") == "long"
BEGIN, END = "<!-- made by `make faults`: begin -->", "<!-- made by `make faults`: end -->"
HEAD = "| fault | promise | rounds | result | test |\n|---|---|---:|---|---|\n"
COUNTS = ("lost", "doubled", "torn", "reordered")
_ROW = re.compile(r"\| (.*) \| (.*) \| ([\d,]+) \| (.*) \| \[`(\w+)`\]\(\.\./([^)]+)\) \|")


@dataclass
class Row:
    """One line of the table. `counts` are summed over the cases of a test; `result` is a text where there are none."""

    fault: str
    promise: str
    rounds: int
    result: str
    test: str
    path: str
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two rows one."""
        return (self.path, self.test, self.fault)

    @property
    def shown(self) -> str:
        """The result as the table has it."""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.counts.items())
        return "; ".join(filter(None, (counts, self.result)))

    def add(self, other: Row) -> None:
        """Another case of the same test and fault."""
        self.rounds += other.rounds
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        if other.result not in self.result.split("; "):
            self.result = "; ".join(filter(None, (self.result, other.result)))

    def __str__(self) -> str:
        return f"| {self.fault} | {self.promise} | {self.rounds:,} | {self.shown} | [`{self.test}`](../{self.path}) |"


def row(*, fault: str, promise: str, rounds: int, result: Any) -> None:
    """Add a row for the running test: `rounds` tries of `fault`, and the `result`, a text or counts (see the module)."""
    path, _, name = os.environ["PYTEST_CURRENT_TEST"].rpartition(" (")[0].partition("::")
    text, counts = "", {}
    if isinstance(result, str):
        text = result
    elif isinstance(result, Mapping):
        counts = {str(key): int(value) for key, value in result.items()}
    else:
        counts = {key: int(getattr(result, key)) for key in COUNTS}
        counts["accepted"] = int(result.accepted)
    made = Row(fault, promise, rounds, text, name.partition("[")[0].rpartition("::")[2], path, counts)
    if not (fault and promise and (text or counts)) or "|" in f"{fault}{promise}{text}" or "\n" in str(made):
        raise ValueError(f"not a row of the table: {made}")
    if LONG:
        ROWS.parent.mkdir(exist_ok=True)
        with ROWS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(made.__dict__) + "\n")


def recorded() -> list[Row]:
    """The rows of the last run, those of one test and fault summed."""
    found: dict[tuple[str, str, str], Row] = {}
    for line in ROWS.read_text(encoding="utf-8").splitlines() if ROWS.exists() else ():
        made = Row(**json.loads(line))
        if made.key in found:
            found[made.key].add(made)
        else:
            found[made.key] = made
    return list(found.values())


def standing(document: str) -> list[Row]:
    """The rows of the table in the document."""
    table = document.partition(BEGIN)[2].partition(END)[0]
    found = [_ROW.fullmatch(line) for line in table.splitlines()]
    return [Row(m[1], m[2], int(m[3].replace(",", "")), m[4], m[5], m[6]) for m in found if m is not None]


def line_of(made: Row) -> int | None:
    """Where the row's test begins in its file; `None` when there is no such test."""
    path = ROOT / made.path
    if not path.is_file():
        return None
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == made.test and made.test.startswith("test_"):
            return node.lineno
    return None


def written(document: str, rows: Iterable[Row], machine: str) -> str:
    """The document with these rows as its table, in the order of the tests."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{DOCUMENT} has no place for the table: {BEGIN} … {END}")
    ordered = sorted(rows, key=lambda made: (made.path, line_of(made) or 0))
    table = HEAD + "".join(f"{made}\n" for made in ordered)
    return f"{before}{BEGIN}\n\nRun on {machine}.\n\n{table}\n{end}{after}"


def machine() -> str:
    """This machine in general words."""
    return f"a {os.cpu_count()}-core {platform.system()} {platform.machine().replace('_', '-')} machine"


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true", help="drop the rows that the last run did not give")
    options = parser.parse_args()
    new = recorded()
    if not new:
        sys.exit(f"no rows in {ROWS}: run `make faults` first")
    document = DOCUMENT.read_text(encoding="utf-8")
    replaced = {(made.path, made.test) for made in new}
    kept = [] if options.whole else [old for old in standing(document) if (old.path, old.test) not in replaced]
    DOCUMENT.write_text(written(document, [*kept, *new], machine()), encoding="utf-8")
    ROWS.unlink()  # or the next run's rows would be added to these
    print(f"{DOCUMENT.relative_to(ROOT)}: {len(new)} rows written, {len(kept)} kept")


if __name__ == "__main__":
    main()
