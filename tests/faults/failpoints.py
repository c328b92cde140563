"""Where the build of the extension with failpoints lies, and how a process is told to use it.

`tests/faults/build_failpoints.sh` builds it with `--features failpoints` and unpacks it beside, not over, the ordinary build.
A process uses it through `PYTHONPATH` and is told what to do by `LOGSPOOL_FAILPOINT`:

* `kill:<name>:<nth>`: the process kills itself with SIGKILL when it comes to the step `<name>` for the `<nth>` time.
* `stop:<name>:<nth>`: it stops itself there, as SIGSTOP does, with whatever locks it holds.
* Mutations, each a safeguard that is left out: `no-intent` (the intent of an append is not stored), `no-checksum` (a frame's checksum is
  not compared), `no-inode-check` (nor a segment's identity and length), `tail-first` (the ring's tail is advanced before the write).
  Rounds with one of them must find it.

Several, separated by commas, hold together.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = Path(os.environ.get("LOGSPOOL_FAILPOINTS_BUILD", ROOT / ".make" / "failpoints"))
STEPS = (
    "staged",
    "intent-stored",
    "appended",
    "done-advanced",
    "intent-cleared",
    "segment-created",
    "state-switched",
    "link-made",
    "gz-written",
    "gz-renamed",
)
MISSING = f"no build with failpoints in {PLACE}: run tests/faults/build_failpoints.sh"


def failpoints_built() -> bool:
    """Whether the build with failpoints is there."""
    return any((PLACE / "logspool").glob("_core*.so"))


def failpoint_environment(failpoint: str) -> dict[str, str]:
    """The variables that make a process use that build and the failpoint."""
    if not failpoints_built():
        raise FileNotFoundError(MISSING)
    path = os.pathsep.join(filter(None, [str(PLACE), os.environ.get("PYTHONPATH", "")]))
    return {"PYTHONPATH": path, "LOGSPOOL_FAILPOINT": failpoint}
