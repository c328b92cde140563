"""A program that logs all that is planted: `program.py DIRECTORY SETTINGS`.

SETTINGS is JSON: `seed`, `config` (of basicConfig), `wait` (do not end after it, but wait to be killed).
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from random import Random

CANARY = "nothing secret about this line"


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent))
    import logspool
    from redaction.corpus import corpus
    from redaction.places import Session

    directory, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    config = settings["config"]
    logspool.basicConfig(filename=directory / "logs" / "app.jsonl", level="DEBUG", **config)
    # What does not fit its message is printed by the standard library with its arguments: not ours to redact.
    logging.raiseExceptions = False
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    own = {k: v for k, v in config.items() if k not in ("fast", "console", "console_level", "cost_filename")}
    planted = corpus(settings["seed"])
    session = Session(directory / "logs", Random(settings["seed"]), own, closes=not settings.get("wait"))
    for number, one in enumerate(planted):
        one.log(session)
        if number % 100 == 0:
            session.log.warning(CANARY)
    if settings.get("wait"):
        print("logged", flush=True)
        sys.stdin.read()
    assert logspool.shutdown(30)
    print(json.dumps(logspool.stats()), flush=True)


if __name__ == "__main__":
    main()
