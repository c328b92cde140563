"""Makes rollover.tsv: what the standard library's TimedRotatingFileHandler.computeRollover answers.

    python3 tests/rust/data/rollover.py > tests/rust/data/rollover.tsv

Columns: zone ("UTC" stands for utc=True), when, interval, now, rollover (seconds since the epoch).

Left out are the standard library's own slips, which depend on its version: midnights and week days with interval > 1 (ignored
until 3.12), and answers that are no midnight (a day on which the clocks change).
"""

import datetime
import os
import random
import tempfile
import time
from logging.handlers import TimedRotatingFileHandler

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Pacific/Auckland",
]
WHENS = ["S", "M", "H", "D", "midnight", *(f"W{day}" for day in range(7))]


def moments(rng: random.Random) -> list[int]:
    """Moments of 2024 to 2027, many of them near midnights and near changes of the clocks."""
    day = 86_400
    start = int(datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc).timestamp())
    found = [start + rng.randrange(4 * 365 * day) for _ in range(14)]
    for date in [
        (2026, 3, 29),
        (2026, 10, 25),
        (2026, 3, 8),
        (2026, 11, 1),
        (2026, 4, 5),
        (2026, 9, 27),
        (2028, 2, 29),
    ]:
        midnight = int(time.mktime((*date, 0, 0, 0, 0, 0, -1)))
        found += [
            midnight + offset for offset in (-3 * day, -day, -1, 0, 1, 3_600, 5_400, 7_199, 9_000, 12 * 3_600, day - 1)
        ]
    return found


def main() -> None:
    rng = random.Random(26)
    directory = tempfile.mkdtemp()
    for zone in ZONES:
        os.environ["TZ"] = zone
        time.tzset()
        utc = zone == "UTC"
        for when in WHENS:
            spans = when in ("S", "M", "H", "D")
            for interval in (1, 5) if spans else (1,):
                handler = TimedRotatingFileHandler(
                    os.path.join(directory, "log"), when=when, interval=interval, utc=utc, delay=True
                )
                for now in moments(rng)[:: 9 if spans else 2]:
                    rollover = handler.computeRollover(now)
                    at = time.localtime(rollover)
                    if spans or (at.tm_hour, at.tm_min, at.tm_sec) == (0, 0, 0):
                        print(zone, when, interval, now, rollover, sep="\t")


if __name__ == "__main__":
    main()
