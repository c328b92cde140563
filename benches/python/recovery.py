"""How long the start of a program takes that finds a full ring which a killed process left behind.

python recovery.py DIRECTORY

A first process fills its ring (8 MiB, the default) while the sink is stalled, by holding the lock of the log's state file, and kills
itself. This one then starts as any program does; the time runs from the call of `basicConfig` until all of the dead process's records are
lines in the segments, and every line is counted.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import workloads

NAME = "bench.jsonl"
ROOM = 32 << 10  # bytes left free: none of 32 records may find the ring full and wait


def fill(directory: Path) -> None:
    """Fills a ring that nobody drains but for the last few records, prints how many it took, and dies."""
    import logspool

    handler = logspool.SpoolHandler(str(directory / NAME), block_timeout=None, maxBytes=0, backupCount=0)
    logger = logging.getLogger("bench")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.info("started", extra={"call_index": -1})
    logspool.flush()
    with (directory / ".logspool" / f"{NAME}.state").open() as state:
        fcntl.flock(state, fcntl.LOCK_EX)
        i = 0
        spool = logspool.stats()["spools"][0]
        while spool["used_bytes"] + ROOM < spool["capacity_bytes"]:
            for _ in range(32):
                logger.info("tool_call", extra=workloads.tool_call(i))
                i += 1
            spool = logspool.stats()["spools"][0]
        print(json.dumps({"accepted": i, "bytes": spool["used_bytes"]}), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    directory = Path(sys.argv[1])
    if sys.argv[2:] == ["fill"]:
        fill(directory)
    filled = subprocess.run(
        [sys.executable, __file__, str(directory), "fill"], capture_output=True, text=True, check=False
    )
    if filled.returncode != -signal.SIGKILL:
        sys.exit(f"the process that fills the ring ended with {filled.returncode}:\n{filled.stderr}")
    left = json.loads(filled.stdout)

    import logspool

    start = time.perf_counter()
    logspool.basicConfig(filename=str(directory / NAME), maxBytes=0, backupCount=0, console=False)
    configured = time.perf_counter()
    while logspool.stats()["recovered"] < left["accepted"]:
        if time.perf_counter() - start > 30:
            sys.exit(f"{logspool.stats()['recovered']} of {left['accepted']} records recovered after 30 s")
        time.sleep(0.0005)
    recovered = time.perf_counter()
    logspool.flush()
    logspool.shutdown()
    kept = workloads.check("W2", directory, left["accepted"])
    if kept["lost"] or kept["doubled"] or kept["wrong"] or kept["text"]:
        sys.exit(f"of {left['accepted']} accepted records: {kept}")
    print(
        json.dumps(
            {
                "basicConfig": (configured - start) * 1e3,
                "recovered": (recovered - start) * 1e3,
                "records": left["accepted"],
                "bytes": left["bytes"],
            }
        )
    )


if __name__ == "__main__":
    main()
