"""A process that gives up its rights."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from tests.faults.program import end, start
from tests.faults.reading import events

PRIVILEGES = """
import stat
open_log(sys.argv[1], maxBytes=4000, backupCount=0)
log = logging.getLogger(sys.argv[1])
log.info("before")
assert logspool.flush()
child = os.fork() if sys.argv[2] == "forked" else 0
if child:
    assert os.waitpid(child, 0)[1] == 0
    log.info("parent")
    sys.exit(0)
os.setgid(65534)
os.setuid(65534)
for n in range(100):
    log.info("record %d", n)
logspool.flush(30)
stats = logspool.stats()
say(stats["emitted"], stats["written"], stats["dropped"])
logspool.shutdown(1)
os._exit(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its rights")
@pytest.mark.parametrize("who", ["same", "forked"])
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o1777])
def test_a_process_that_gives_up_its_rights_keeps_logging_or_says_why_not(who: str, mode: int) -> None:
    with tempfile.TemporaryDirectory(prefix="logspool-rights-") as place:
        os.chmod(place, 0o755)
        path = Path(place) / "logs" / "a.jsonl"
        path.parent.mkdir()
        path.parent.chmod(mode)
        process = start(Path(place), PRIVILEGES, path, who)
        out, err = end(process)
        assert process.returncode == 0, err
        emitted, written, dropped = map(int, out.split())
        assert "Traceback" not in err, err
        found = [event for event in events(path.parent, path.name) if event.startswith("record ")]
        if who == "forked" and mode != 0o1777:
            # It has no descriptor to write to: a child opens its own.
            assert (emitted, written, dropped, found) == (100, 0, 100, [])
            assert "Permission denied" in err
            assert "are dropped, and counted in stats()" in err
            assert "change of user" in err
        else:
            assert dropped == 0
            assert emitted == written
            assert found == [f"record {n}" for n in range(100)]
        if who == "same" and mode != 0o1777:
            assert "Permission denied" in err
