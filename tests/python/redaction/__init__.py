"""Planted secrets and lines that only look like them, made by shape from a seed: `LOGSPOOL_REDACTION_SEED` makes others.

No file here holds anything that looks like a live secret: prefixes are put together at run time.
"""

from __future__ import annotations

import os

SEED = int(os.environ.get("LOGSPOOL_REDACTION_SEED", "5"))
