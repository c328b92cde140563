"""Checks that the documents say what is true (`make docs`), and says where they do not.

* relative links and their anchors lead somewhere;
* every ```python block of README.md and docs/setup.md runs as it stands, and writes nothing to standard output;
* docs/configuration.md describes every setting and every variable that is read, and no others;
* every `make` target that is named exists.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from logspool import _basicconfig, _settings

ROOT = Path(__file__).resolve().parents[1]
RUN = ("README.md", "docs/setup.md")
#: Read elsewhere than in the table of settings.
PLACES = {"LOG_PATH", "LOG_DIR", "LOGSPOOL_PATH", "LOGSPOOL_DIR", "XDG_STATE_HOME"}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_VARIABLE = re.compile(r"`((?:LOG|LOGSPOOL|OTEL|JSON|SERVICE|ENVIRONMENT|APP|XDG)[A-Z_]*)`")


def documents() -> list[Path]:
    """The Markdown files of the project."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: Path, text: str) -> Iterator[str]:
    """Relative links that lead nowhere. Addresses of other machines are not asked."""
    for link in _LINK.findall(_FENCE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists():
            yield f"link to {link}: there is no such file"
        elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            yield f"link to {link}: there is no such heading"


def failing_blocks(text: str) -> Iterator[str]:
    """Python blocks that do not run. Each runs in a directory of its own, with nothing configured from outside."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LOG", "OTEL_", "JSON_LOGS", "SERVICE_NAME"))}
    for number, (language, code) in enumerate(_FENCE.findall(text), start=1):
        if language != "python":
            continue
        with tempfile.TemporaryDirectory() as directory:
            command = [sys.executable, "-I", "-c", code]
            done = subprocess.run(
                command, cwd=directory, env=clean, capture_output=True, text=True, timeout=60, check=False
            )
        if done.returncode:
            yield f"code block {number} fails:\n{done.stderr}"
        if done.stdout:
            yield f"code block {number} writes to standard output: {done.stdout!r}"


def undescribed(text: str) -> Iterator[str]:
    """Settings and variables that docs/configuration.md lacks, and variables that nothing reads."""
    table = [names for *_, names in (*_settings._HANDLER.values(), *_settings._CONFIG.values())]
    read = {name for names in table for name in names} | PLACES
    described = set(_VARIABLE.findall(text))
    for name in sorted(read - described):
        yield f"{name} is read, and not described"
    strict = {_settings.strict_name(name) for name in read if not name.startswith("LOGSPOOL_")}
    for name in sorted(described - read - strict):
        yield f"{name} is described, and nothing reads it"
    for setting in sorted({*_basicconfig._NAMES, *_settings.HANDLER_NAMES}):
        if f"`{setting}`" not in text:
            yield f"the setting {setting} is not described"


def unknown_targets(text: str) -> Iterator[str]:
    """`make` targets that the Makefile does not have."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for target in re.findall(r"(?:^\$ |`)make ([a-z-]+)", text, re.MULTILINE):
        if target not in targets:
            yield f"the Makefile has no target {target}"


def main() -> None:
    """Prints what is wrong and ends with status 1, or says how much was looked at."""
    wrong: list[str] = []
    found = documents()
    for document in found:
        name = str(document.relative_to(ROOT))
        text = document.read_text(encoding="utf-8")
        checks = [broken_links(document, text), unknown_targets(text)]
        if name in RUN:
            checks.append(failing_blocks(text))
        if name == "docs/configuration.md":
            checks.append(undescribed(text))
        wrong += [f"{name}: {complaint}" for check in checks for complaint in check]
    for complaint in wrong:
        print(complaint, file=sys.stderr)
    if wrong:
        sys.exit(f"{len(wrong)} statements in the documents are not true")
    print(f"{len(found)} documents checked: links, code, settings and targets hold")


if __name__ == "__main__":
    main()
