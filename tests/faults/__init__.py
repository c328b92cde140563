"""Fault injection: kill the writer of three logs at random moments and prove that nothing accepted is lost.

The parts, in the order in which a run uses them:

* `ledger`: a shared page per writer in which each thread counts the calls that returned. It is the only witness of what was
  accepted; the logs themselves are never asked.
* `writer`: the program that is killed.
* `kill`: starts writers, kills them, lets the next one recover, and compares (`python -m tests.faults.kill --rounds 500`).
* `reading`: reads segments, plain and gzipped, knowing nothing of the library that wrote them.
* `foreign`: what other programs do to the files between two lives.
* `check`: compares what was read with the ledgers.
* `interference`: a program that logs on command, so that a test can meddle between two records.
* `failpoints`, `directed`: a build of the extension that kills itself at a named step, and the kills at each of those steps.
* `stall`: the lock of a log, held.
* `disks`: disks of any kind, mounted for a test, filled and kept full.
* `reliability`: the table of docs/reliability.md, to which a test adds a row.
* `program`: runs a small program in its own process with a deadline; the Python tests use it too.
"""
