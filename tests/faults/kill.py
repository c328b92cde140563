"""Kill the writer of three logs at random moments and compare what is left with the ledger.

    python -m tests.faults.kill --rounds 500
    python -m tests.faults.kill --rounds 500 --siblings 3        three processes at a time on the same logs
    python -m tests.faults.kill --rounds 100 --failpoint no-intent --expect-failure

Each round starts a writer, which recovers what the last victim left, and kills it with SIGKILL, mostly while it logs, sometimes while
it still recovers; then up to five that only recover may be killed too, and other programs may change files (`foreign`). After
each batch a last writer recovers and exits in the ordinary way, then all segments are read. Exit status 0: as expected.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from .check import LOGS, Calls, Report, check
from .failpoints import failpoint_environment
from .foreign import Meddling
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
    opening_ms: float = 5.0
    logging_ms: float = 80.0
    max_bytes: int = 256 * 1024
    spool_bytes: int = 1024 * 1024
    when_full: str = "block"
    places: bool = False  # every other writer keeps its spool in shared memory
    recoverers: int = 0  # after some rounds, up to so many that only recover are killed in a row
    contended: float = 0.0  # share of rounds in which somebody else holds the lock of a log when the writer is killed
    damage: float = 0.0  # share of rounds after which a byte of the dead writer's ring is changed
    interference: float = 0.0  # share of rounds after which another program changes a current segment
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


class Batch:
    """Some rounds in one directory, whose files are compared at their end."""

    def __init__(self, scratch: Path, plan: Plan, rng: random.Random) -> None:
        self.scratch, self.plan, self.rng = scratch, plan, rng
        self.directory = scratch / "logs"
        self.directory.mkdir(parents=True)
        self.ledgers: dict[int, Sequence[Calls]] = {}
        self.live: list[Writer] = []
        self.meddling = Meddling()
        self.recoverers = self.row = self.longest = self.meddled = 0
        self.held: list[int] = []
        self.started = 0
        self.following = self._start()

    def _start(self) -> Writer:
        """One that imports what it needs while the one before it lives."""
        self.started += 1
        return Writer(self.scratch, self.directory, self.started - 1, self.plan)

    def _next(self) -> Writer:
        writer, self.following = self.following, self._start()
        self.live.append(writer)
        writer.go()
        return writer

    def _kill(self, victim: Writer) -> None:
        self.live.remove(victim)
        victim.kill()
        self.row = self.row + 1 if victim.ledger.phase == Phase.OPENING else 0
        self.recoverers += self.row > 0
        self.longest = max(self.longest, self.row)
        self.ledgers[victim.number] = victim.calls()
        victim.discard()

    def _sleep(self, least: float, most: float) -> None:
        time.sleep(self.rng.uniform(least, most) / 1000)

    def _hold(self) -> None:
        """Take the lock of a log, as another process does that is slow or stopped."""
        fd = os.open(self.directory / ".logspool" / f"{self.rng.choice(LOGS)}.state", os.O_RDWR)
        self.held.append(fd)
        fcntl.flock(fd, fcntl.LOCK_EX)

    def _release(self) -> None:
        while self.held:
            os.close(self.held.pop())

    def round(self, *, last: bool) -> None:
        """One life and its end, and what comes between it and the next."""
        plan, rng = self.plan, self.rng
        writer = self._next()
        if rng.random() < plan.while_opening:
            writer.wait_phase(Phase.OPENING)
            self._sleep(0, plan.opening_ms)
        else:
            writer.wait_phase(Phase.LOGGING)
            self._release()
            self._sleep(1, plan.logging_ms)
            if rng.random() < plan.contended:
                self._hold()
                self._sleep(1, plan.logging_ms)
        while len(self.live) >= plan.siblings or (last and self.live):
            self._kill(rng.choice(self.live))
        if rng.random() < 0.5:  # else the next one finds the log held, too
            self._release()
        self._meddle()
        if plan.recoverers and rng.random() < 0.3:
            for _ in range(rng.randint(1, plan.recoverers)):
                writer = self._next()
                writer.wait_phase(Phase.OPENING)
                self._sleep(0, plan.opening_ms)
                self._kill(writer)

    def _meddle(self) -> None:
        if self.live or self.held:
            return
        done = False
        if self.rng.random() < self.plan.damage:
            done |= self.meddling.damage(self.directory / ".logspool", self.rng)
        if self.rng.random() < self.plan.interference:
            done |= self.meddling.interfere(self.directory, self.rng.choice(LOGS), self.rng)
        self.meddled += done

    def run(self, rounds: int) -> Report:
        """All of the rounds, and the comparison."""
        try:
            for number in range(rounds):
                self.round(last=number == rounds - 1)
        finally:
            self._release()
            for writer in [self.following, *self.live]:
                writer.discard()
        recover(self.scratch, self.directory, self.started, self.plan)
        ours = self.plan.backend == "logspool"
        dropping = self.plan.when_full != "block"
        report = check(self.directory, self.ledgers, numbered=ours, dropping=dropping, meddling=self.meddling)
        report.rounds, report.meddled = rounds, self.meddled
        report.recoverers, report.row = self.recoverers, self.longest
        if ours:
            leftovers(self.directory, report, damaged=self.plan.damage > 0)
        return report


def leftovers(directory: Path, report: Report, *, damaged: bool = False) -> None:
    """After an ordinary exit no ring and no temporary file stands, and each log's plain name is its newest segment."""
    for path in sorted((directory / ".logspool").iterdir()):
        # A ring whose maker was killed while it made it goes after a minute.
        expected = path.name.endswith(".ring.tmp") or (damaged and path.suffix == ".damaged")
        if path.suffix in (".ring", ".tmp", ".damaged") and not expected:
            report.foreign += 1
            report.note(f"left behind: {path.name}")
    for name in LOGS:
        newest = segments(directory, name)[-1].path
        if not (directory / name).samefile(newest):
            report.foreign += 1
            report.note(f"{name} is not {newest.name}")


def run_batch(place: Path, rounds: int, plan: Plan, seed: str, keep: bool) -> Report:
    """One batch in a directory of its own, which goes unless something was found and `keep` is set."""
    start = time.monotonic()
    report = Batch(place, plan, random.Random(seed)).run(rounds)
    if report.clean or not keep:
        shutil.rmtree(place)
    else:
        report.note(f"files kept in {place}")
    report.seconds = time.monotonic() - start
    return report


def run(
    rounds: int,
    plan: Plan,
    *,
    seed: int,
    batch: int = 25,
    scratch: Path | None = None,
    keep: bool = False,
    jobs: int = 2,
) -> Report:
    """Run `rounds` kills in batches, `jobs` at a time; stops at the first batch that is not clean and then keeps its files if `keep`."""
    calls = []
    for number, begun in enumerate(range(0, rounds, batch)):
        place = Path(tempfile.mkdtemp(prefix="logspool-kill-", dir=scratch))
        calls.append((place, min(batch, rounds - begun), plan, f"{seed}/{number}", keep))
    return side_by_side(run_batch, calls, jobs=jobs)


def side_by_side(function: Callable[..., Report], calls: Sequence[tuple[object, ...]], *, jobs: int = 2) -> Report:
    """The sum of `function(*call)` for all calls, `jobs` at a time in processes of their own; stops when one is not clean."""
    total = Report()
    waiting = iter(calls)
    if jobs == 1 or len(calls) == 1:
        for call in waiting:
            total.add(function(*call))
            if not total.clean:
                break
        return total
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(function, *call) for call in itertools.islice(waiting, jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                total.add(future.result())
                call = next(waiting, None)
                if total.clean and call is not None:
                    running.add(pool.submit(function, *call))
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
    parser.add_argument("--recoverers", type=int, default=0, help="kill up to so many recoverers in a row")
    for name, what in (
        ("contended", "a log is held by another process"),
        ("damage", "a byte of the dead writer's ring is changed"),
        ("interference", "another program changes a segment"),
    ):
        parser.add_argument(f"--{name}", type=float, default=0.0, help=f"share of rounds in which {what}")
    parser.add_argument("--jobs", type=int, default=2, help="batches at a time (default 2)")
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
        recoverers=options.recoverers,
        contended=options.contended,
        damage=options.damage,
        interference=options.interference,
    )
    start = time.monotonic()
    report = run(
        options.rounds,
        plan,
        seed=seed,
        batch=options.batch,
        scratch=options.scratch,
        keep=options.keep,
        jobs=options.jobs,
    )
    print(f"{report}\n  seed {seed}, {time.monotonic() - start:.0f} s")
    return int(report.clean == options.expect_failure)


if __name__ == "__main__":
    sys.exit(main())
