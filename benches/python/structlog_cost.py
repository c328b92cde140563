"""What an event of structlog costs a caller: through logspool, and through structlog's own JSON, to the same kind of file.

    .venv/bin/python benches/python/structlog_cost.py [ROUNDS]

Each side runs in its own process; rounds alternate, so that all meet the same neighbours, and the ratio is that of the medians. Every
line is counted afterwards: no side leaves work out. `LOGSPOOL_BENCH_QUICK=1` runs one short round.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

EVENTS = 20_000
_LOOP = """
import sys, time
EVENTS, directory = int(sys.argv[1]), sys.argv[2]
{setup}
log = structlog.get_logger("bench").bind(task_id="task-123", user_id="user-456")
for number in range(200):
    log.info("task.created", arm="coder", priority=number, score=0.85)
began = time.perf_counter()
for number in range(EVENTS):
    log.info("task.created", arm="coder", priority=number, score=0.85)
print((time.perf_counter() - began) / EVENTS)
"""
_CHAIN = """
shared = [
    structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso"), structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info, structlog.processors.UnicodeDecoder(),
]
"""
SIDES = {
    "logspool.structlog": """
import logspool, logspool.structlog, structlog
logspool.basicConfig(filename=directory + "/a.jsonl", backupCount=0, console=False)
logspool.structlog.configure()
""",
    "JSONRenderer, logging.FileHandler": f"""
import logging, structlog
{_CHAIN}
logging.basicConfig(format="%(message)s", level="INFO", handlers=[logging.FileHandler(directory + "/a.jsonl")])
structlog.configure(
    processors=[*shared, structlog.processors.JSONRenderer()], wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(), cache_logger_on_first_use=True,
)
""",
    "JSONRenderer, its own WriteLogger": f"""
import logging, structlog
{_CHAIN}
shared.remove(structlog.stdlib.add_logger_name)
structlog.configure(
    processors=[*shared, structlog.processors.JSONRenderer()],
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    logger_factory=structlog.WriteLoggerFactory(open(directory + "/a.jsonl", "w")), cache_logger_on_first_use=True,
)
""",
    "JSONRenderer, merged by logspool": f"""
import logspool, structlog
{_CHAIN}
logspool.basicConfig(filename=directory + "/a.jsonl", backupCount=0, console=False)
structlog.configure(
    processors=[*shared, structlog.processors.JSONRenderer()], wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(), cache_logger_on_first_use=True,
)
""",
}


def once(setup: str, events: int) -> float:
    """Microseconds a call, in a process of its own, whose lines are all there afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        code = _LOOP.format(setup=textwrap.dedent(setup))
        command = [sys.executable, "-c", code, str(events), directory]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        files = [
            path for path in Path(directory).glob("a.jsonl*") if path.name != "a.jsonl" or path.stat().st_nlink == 1
        ]
        lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
        found = [line for line in lines if line["event"] == "task.created"]
        assert len(found) == events + 200, (len(found), events)
        assert {(line.get("fields") or line)["task_id"] for line in found} == {"task-123"}
        return float(told) * 1e6


def main() -> None:
    """Print the medians and the ratios."""
    quick = bool(os.environ.get("LOGSPOOL_BENCH_QUICK"))
    rounds = 1 if quick else int(sys.argv[1]) if len(sys.argv) > 1 else 9
    events = 500 if quick else EVENTS
    taken: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side, setup in SIDES.items():
            taken[side].append(once(setup, events))
    medians = {side: statistics.median(times) for side, times in taken.items()}
    ours = medians["logspool.structlog"]
    for side, median in medians.items():
        print(f"{side:36} {median:7.2f} µs a call   {median / ours:5.2f} times logspool.structlog's")


if __name__ == "__main__":
    main()
