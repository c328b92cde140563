"""The `logspool` command (`python -m logspool` is the same): `recover`, `verify`, `doctor` and `redact`. The core does the work."""

from __future__ import annotations

import signal
import sys

from logspool import _core


def main() -> int:
    """Run the command with the arguments of this process; returns its exit status."""
    # The core runs without the interpreter, so that Python would not notice Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    arguments = sys.argv[1:]
    configured = None
    if "doctor" in arguments:
        from logspool import _origins

        configured = _origins.configured()
    return _core.main(["logspool", *arguments], configured)


if __name__ == "__main__":
    sys.exit(main())
