"""However the program ends, and whenever it logs on its way out, accepted records are on disk, once each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from logfiles import events

Script = Callable[..., CompletedProcess[str]]
EXPECTED = [f"record {n}" for n in range(200)]
LOG = """
import atexit, logging, os, sys, logspool
logspool.basicConfig(filename="a.jsonl", level="INFO")
for n in range(200):
    logging.info("record %d", n)
"""


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise RuntimeError('uncaught')", 1),
        ("logging.shutdown()", 0),
        ("logspool.shutdown()", 0),
        ("logspool.shutdown(); logging.shutdown(); logging.shutdown()", 0),
        ("logging.getLogger().handlers.clear()", 0),
        ("logging._handlerList.clear()", 0),
        ("logspool.flush(); os._exit(4)", 4),
    ],
)
def test_every_ordinary_ending_leaves_all_on_disk(script: Script, tmp_path: Path, ending: str, status: int) -> None:
    script(LOG + ending, status=status)
    assert events(tmp_path / "a.jsonl") == EXPECTED


def test_os_exit_leaves_all_to_the_next_process_once_each(script: Script, tmp_path: Path) -> None:
    script(LOG + "os._exit(0)")
    script("import logspool; logspool.basicConfig(filename='a.jsonl'); logspool.flush()")
    assert events(tmp_path / "a.jsonl") == EXPECTED


def test_records_of_exit_hooks_are_on_disk_whichever_way_round_they_run(script: Script, tmp_path: Path) -> None:
    script(
        """
        import atexit, logging
        atexit.register(lambda: logging.info("a hook after ours"))
        import logspool
        logspool.basicConfig(filename="a.jsonl", level="INFO")
        atexit.register(lambda: logging.info("a hook before ours"))
        logging.info("the program")
        """
    )
    assert events(tmp_path / "a.jsonl") == ["the program", "a hook before ours", "a hook after ours"]


def test_records_after_shutdown_are_on_disk(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool
        logspool.basicConfig(filename="a.jsonl", level="INFO")
        logging.info("before")
        assert logspool.shutdown()
        logging.info("after")
        import os
        os._exit(0)
        """
    )
    assert events(tmp_path / "a.jsonl") == ["before", "after"]


def test_a_record_of_a_finaliser_at_teardown_is_on_disk(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool
        logspool.basicConfig(filename="a.jsonl", level="INFO")
        class Last:
            def __init__(self):
                self.log = logging.getLogger("last").info
            def __del__(self):
                self.log("finalised")
        last = Last()
        last.itself = last
        logging.info("the program")
        """
    )
    assert events(tmp_path / "a.jsonl") == ["the program", "finalised"]


def test_records_of_threads_that_outlive_the_main_one_are_on_disk(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool, threading
        logspool.basicConfig(filename="a.jsonl", level="INFO")
        go = threading.Event()
        def work():
            go.wait()
            for n in range(200):
                logging.info("record %d", n)
        threading.Thread(target=work).start()
        go.set()
        """
    )
    assert events(tmp_path / "a.jsonl") == EXPECTED


def test_a_forked_child_and_its_parent_both_keep_logging(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, os, sys, logspool
        logspool.basicConfig(filename="a.jsonl", level="INFO")
        logging.info("before")
        child = os.fork()
        if child == 0:
            logging.info("child")
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        logging.info("parent")
        """
    )
    assert events(tmp_path / "a.jsonl") == ["before", "child", "parent"]
