"""Installs benches/peers/requirements.txt into the environment of the interpreter that runs this, one package after the other.

A package that does not install (no release for this interpreter, or a build that fails) is named, and left out of the benchmarks; the
report says so. What every run needs (orjson) must install.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / "peers" / "requirements.txt"
NEEDED = ("orjson",)


def wanted() -> dict[str, str]:
    """Name → pinned version."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if re.match(r"[\w-]+==", line))


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)


def main() -> int:
    pins = [f"{name}=={version}" for name, version in wanted().items()]
    if pip(*pins).returncode == 0:
        return 0
    for pin in pins:
        done = pip(pin)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"{pin} does not install on Python {sys.version.split()[0]}, and is left out: {reason}")
            if pin.split("==")[0] in NEEDED:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
