"""Kill the writer of three logs at random moments and compare what is left with the ledger.

    python -m tests.faults.kill --rounds 500
    python -m tests.faults.kill --rounds 500 --siblings 3        three processes at a time on the same logs
    python -m tests.faults.kill --rounds 100 --failpoint no-intent --expect-failure

Each round starts a writer, which recovers what the last victim left, and kills it with SIGKILL, mostly while it logs, sometimes while
it still recovers. After each batch a last writer recovers and exits in the ordinary way, then all segments are read.
Exit status 0: as expected.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .check import LOGS, Calls, Report, check
from .failpoints import failpoint_environment
from .ledger import Ledger, Phase
from .reading import segments

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0


class WriterError(Exception):
    """A writer died by itself, hung, or wrote to its standard error."""


def wait_for(condition: Callable[[], bool], what: str, deadline: float = DEADLINE, interval: float = 0.0005) -> None:
    """Poll until `condition` holds; raises TimeoutError naming `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {deadline:g} s: {what}")
        time.sleep(interval)


@dataclass
class Plan:
    """How to run a batch of rounds."""

    backend: str = "logspool"
    threads: int = 4
    siblings: int = 1
    while_opening: float = 0.25  # share of rounds that are killed during recovery
    opening_ms: float = 15.0
    logging_ms: float = 80.0
    max_bytes: int = 256 * 1024
    spool_bytes: int = 1024 * 1024
    when_full: str = "block"
    places: bool = False  # every other writer keeps its spool in shared memory
    failpoint: str | None = None


class Writer:
    """One writer process and its ledger."""

    def __init__(self, scratch: Path, directory: Path, number: int, plan: Plan, *, records: int | None = None) -> None:
        self.number = number
        self.threads = plan.threads
        self.stderr = (scratch / f"stderr-{number}").open("w+b")
        path = scratch / f"ledger-{number}"
        self.ledger = Ledger(path, create=True)
        command = [sys.executable, "-m", "tests.faults.writer", str(path), str(directory), str(number)]
        command += ["--backend", plan.backend, "--threads", str(plan.threads)]
        command += ["--max-bytes", str(plan.max_bytes), "--spool-bytes", str(plan.spool_bytes)]
        command += ["--when-full", plan.when_full]
        if plan.places and number % 2:
            command += ["--spool-dir", "shm"]
        if records is not None:
            command += ["--records", str(records)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("LOG_", "LOGSPOOL_", "OTEL_"))}
        if plan.failpoint is not None:
            environment.update(failpoint_environment(plan.failpoint))
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.stderr
        )

    def go(self) -> None:
        """Wait until it has imported everything, then let it open its logs."""
        self.wait_phase(Phase.READY)
        assert self.process.stdin is not None
        self.process.stdin.write(b"g")
        self.process.stdin.close()

    def wait_phase(self, phase: Phase) -> None:
        """Wait until it has come as far as `phase`; raises WriterError if it dies before or hangs."""
        try:
            wait_for(
                lambda: self.ledger.phase >= phase or self.process.poll() is not None,
                f"writer {self.number} {phase.name}",
            )
        except TimeoutError as error:
            self.process.send_signal(signal.SIGABRT)  # faulthandler prints where each Python thread stands
            self.process.wait()
            raise WriterError(f"{error}\n{self.errors()}") from None
        if self.ledger.phase < phase:
            raise WriterError(
                f"writer {self.number} ended with {self.process.returncode} before {phase.name}\n{self.errors()}"
            )

    def kill(self) -> None:
        """SIGKILL; raises WriterError if it had ended by itself."""
        self.process.send_signal(signal.SIGKILL)
        if self.process.wait() != -signal.SIGKILL:
            raise WriterError(f"writer {self.number} ended by itself with {self.process.returncode}\n{self.errors()}")

    def finish(self) -> None:
        """Wait for an ordinary end; raises WriterError otherwise."""
        self.wait_phase(Phase.DONE)
        if self.process.wait(DEADLINE) != 0:
            raise WriterError(f"writer {self.number} ended with {self.process.returncode}\n{self.errors()}")

    def discard(self) -> None:
        """End it whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.stderr.close()
        self.ledger.close()

    def errors(self) -> str:
        """What it wrote to standard error."""
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")

    def calls(self) -> list[Calls]:
        """What its ledger says."""
        return [Calls(self.ledger.attempted(n), self.ledger.returned(n)) for n in range(self.threads)]


def recover(scratch: Path, directory: Path, number: int, plan: Plan) -> None:
    """Open and close the logs in the ordinary way, so that all that was accepted is in the segments."""
    writer = Writer(scratch, directory, number, plan, records=0)
    try:
        writer.go()
        writer.finish()
    finally:
        writer.discard()


def run_batch(scratch: Path, rounds: int, plan: Plan, rng: random.Random) -> Report:
    """Run `rounds` kills in a fresh directory under `scratch` and compare."""
    directory = scratch / "logs"
    directory.mkdir(parents=True)
    ledgers: dict[int, Sequence[Calls]] = {}
    live: list[Writer] = []
    following = Writer(scratch, directory, 0, plan)
    try:
        for number in range(rounds):
            writer, following = following, Writer(scratch, directory, number + 1, plan)
            live.append(writer)
            writer.go()
            if rng.random() < plan.while_opening:
                writer.wait_phase(Phase.OPENING)
                time.sleep(rng.uniform(0, plan.opening_ms) / 1000)
            else:
                writer.wait_phase(Phase.LOGGING)
                time.sleep(rng.uniform(1, plan.logging_ms) / 1000)
            while len(live) >= plan.siblings or (number == rounds - 1 and live):
                victim = live.pop(rng.randrange(len(live)))
                victim.kill()
                ledgers[victim.number] = victim.calls()
                victim.discard()
    finally:
        for writer in [following, *live]:
            writer.discard()
    recover(scratch, directory, rounds + 1, plan)
    report = check(directory, ledgers, numbered=plan.backend == "logspool", dropping=plan.when_full != "block")
    if plan.backend == "logspool":
        leftovers(directory, report)
    return report


def leftovers(directory: Path, report: Report) -> None:
    """After an ordinary exit no ring and no temporary file stands, and each log's plain name is its newest segment."""
    for path in sorted((directory / ".logspool").iterdir()):
        # A ring whose maker was killed while it made it goes after a minute.
        if path.suffix in (".ring", ".tmp", ".damaged") and not path.name.endswith(".ring.tmp"):
            report.foreign += 1
            report.note(f"left behind: {path.name}")
    for name in LOGS:
        newest = segments(directory, name)[-1].path
        if not (directory / name).samefile(newest):
            report.foreign += 1
            report.note(f"{name} is not {newest.name}")


def run(
    rounds: int, plan: Plan, *, seed: int, batch: int = 25, scratch: Path | None = None, keep: bool = False
) -> Report:
    """Run `rounds` kills in batches; stops at the first batch that is not clean and then keeps its files if `keep`."""
    rng = random.Random(seed)
    total = Report()
    done = 0
    while done < rounds and total.clean:
        size = min(batch, rounds - done)
        place = Path(tempfile.mkdtemp(prefix="logspool-kill-", dir=scratch))
        total.add(run_batch(place, size, plan, rng))
        done += size
        if total.clean or not keep:
            shutil.rmtree(place)
        else:
            total.note(f"files kept in {place}")
    return total


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--batch", type=int, default=25, help="rounds in one directory (default 25)")
    parser.add_argument("--siblings", type=int, default=1, help="processes logging at a time (default 1)")
    parser.add_argument(
        "--logging-ms", type=float, default=Plan.logging_ms, help="longest life of a writer (default 80)"
    )
    parser.add_argument("--max-bytes", type=int, default=Plan.max_bytes, help="bytes a segment (default 256 KiB)")
    parser.add_argument("--spool-bytes", type=int, default=Plan.spool_bytes, help="bytes of the spool (default 1 MiB)")
    parser.add_argument("--places", action="store_true", help="every other writer keeps its spool in shared memory")
    parser.add_argument("--when-full", default="block", choices=("block", "drop_newest", "drop_oldest"))
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--backend", default="logspool", choices=("logspool", "unbuffered", "buffered"))
    parser.add_argument(
        "--failpoint", default=None, help="LOGSPOOL_FAILPOINT for the build with failpoints, e.g. no-intent"
    )
    parser.add_argument(
        "--scratch", type=Path, default=None, help="where the logs go (default: the system's temporary directory)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the files of a batch that is not clean")
    parser.add_argument("--expect-failure", action="store_true", help="succeed only if records were lost or doubled")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    plan = Plan(
        backend=options.backend,
        siblings=options.siblings,
        failpoint=options.failpoint,
        logging_ms=options.logging_ms,
        max_bytes=options.max_bytes,
        spool_bytes=options.spool_bytes,
        when_full=options.when_full,
        places=options.places,
    )
    start = time.monotonic()
    report = run(options.rounds, plan, seed=seed, batch=options.batch, scratch=options.scratch, keep=options.keep)
    print(f"{report}\n  seed {seed}, {time.monotonic() - start:.0f} s")
    return int(report.clean == options.expect_failure)


if __name__ == "__main__":
    sys.exit(main())
