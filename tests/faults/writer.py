"""The program that is killed: threads log into three logs as fast as they can and count what returned.

Run as `python -m tests.faults.writer LEDGER DIRECTORY ID`; it imports everything, says READY, waits for a byte on standard input,
opens the logs (which recovers what an earlier victim left) and logs until it is killed or has made `--records` calls a thread.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from .check import LOGS, log_of, message
from .ledger import Ledger, Phase

Write = Callable[[int, str], None]
Finish = Callable[[], None]


def open_logspool(directory: Path, options: argparse.Namespace) -> tuple[Write, Finish]:
    """The library under test, by its public handler."""
    import logspool

    loggers = []
    for name in LOGS:
        logger = logging.getLogger("faults." + name.partition(".")[0])
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(
            logspool.SpoolHandler(
                str(directory / name),
                maxBytes=options.max_bytes,
                backupCount=0,
                gzip=not options.plain,
                block_timeout=None,
                spool_bytes=options.spool_bytes,
                when_full=options.when_full,
                spool_dir=options.spool_dir,
            )
        )
        loggers.append(logger)

    def finish() -> None:
        if not logspool.shutdown():
            raise SystemExit("shutdown() did not finish")

    return lambda log, text: loggers[log].info(text), finish


def open_unbuffered(directory: Path, options: argparse.Namespace) -> tuple[Write, Finish]:
    """A control that keeps the promise: one `write` a record, before the call returns.

    Lines are padded so that none crosses a page, because the kernel looks for a fatal signal between the pages of one write.
    """
    fds = [os.open(directory / f"{name}.000001", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600) for name in LOGS]

    def write(log: int, text: str) -> None:
        line = json.dumps({"event": text})
        os.write(fds[log], f"{line:<4095}\n".encode())

    return write, lambda: None


def open_buffered(directory: Path, options: argparse.Namespace) -> tuple[Write, Finish]:
    """A control that breaks it: a stdlib FileHandler with a block buffer."""
    handlers = []
    for name in LOGS:
        handler = logging.FileHandler(directory / f"{name}.000001")
        handler.stream.reconfigure(line_buffering=False, write_through=False)
        handler.flush = lambda: None  # type: ignore[method-assign]
        handlers.append(handler)

    def write(log: int, text: str) -> None:
        line = json.dumps({"event": text})
        handlers[log].handle(logging.LogRecord("faults", logging.INFO, __file__, 1, line, None, None))

    return write, logging.shutdown


BACKENDS = {"logspool": open_logspool, "unbuffered": open_unbuffered, "buffered": open_buffered}


def log(ledger: Ledger, write: Write, options: argparse.Namespace, thread: int) -> None:
    """One thread's work: number, write, count."""
    rng = random.Random(options.id * 1000 + thread)
    paddings = ["x" * rng.choice((0, 20, 60, 200, 700, 2500)) for _ in range(61)]
    n = 0
    while options.records is None or n < options.records:
        text = message(options.id, thread, n, paddings[n % len(paddings)])
        ledger.attempt(thread, n + 1)
        write(log_of(thread, n), text)
        n += 1
        ledger.accept(thread, n)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("ledger", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("id", type=int)
    parser.add_argument("--backend", choices=BACKENDS, default="logspool")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--records", type=int, default=None)
    parser.add_argument("--max-bytes", type=int, default=256 * 1024)
    parser.add_argument("--spool-bytes", type=int, default=1024 * 1024)
    parser.add_argument("--when-full", default="block")
    parser.add_argument("--spool-dir", default=None)
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    faulthandler.enable()
    ledger = Ledger(options.ledger)
    if options.backend == "logspool":
        import logspool  # noqa: F401  (before READY, so that the kill is timed from the opening, not from the import)
    ledger.phase = Phase.READY
    sys.stdin.buffer.read(1)
    ledger.phase = Phase.OPENING
    write, finish = BACKENDS[options.backend](options.directory, options)
    ledger.phase = Phase.LOGGING
    threads = [threading.Thread(target=log, args=(ledger, write, options, n)) for n in range(options.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finish()
    ledger.phase = Phase.DONE


if __name__ == "__main__":
    main()
