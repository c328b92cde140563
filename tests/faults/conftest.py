"""A log with the spool of a process that died before it wrote its records, to be damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.faults.dead import DEAD, EARLIER, SMALL
from tests.faults.interference import Server, dead_ring, own


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of some segments, and the ring of a process that died before it wrote its 100 records."""
    scratch = tmp_path_factory.mktemp("template")
    path = scratch / "logs" / "app.jsonl"
    server = Server(scratch, path, "earlier", maxBytes=3000, gzip=True)
    server.log(len(EARLIER))
    server.end()
    dead_ring(scratch, path, len(DEAD), spool_bytes=SMALL, maxBytes=3000)
    return path.parent


@pytest.fixture
def path(tmp_path: Path, template: Path) -> Path:
    """The log in a copy of that directory."""
    shutil.copytree(template, tmp_path / "logs", symlinks=True)
    return tmp_path / "logs" / "app.jsonl"


@pytest.fixture
def ring(path: Path) -> Path:
    """The ring there."""
    (found,) = own(path).glob("*.ring")
    return found
