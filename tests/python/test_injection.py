"""What a user of the program sends cannot steer a terminal, hide, or pass for another record: in no file, and in no output."""

from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND, environment
from logfiles import lines, records

import logspool

#: Everything that moves the cursor, is not seen, or changes how other characters are shown.
CONTROLS = [
    *(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))),
    *"\u00ad\u061c\u180e\u2028\u2029\ufeff\ufff9\ufffa\ufffb",
    *(chr(code) for code in (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070))),
    *(chr(code) for code in range(0xE0000, 0xE0080)),
    "\U000e0100",
]
SEQUENCES = [
    "\x1b[2J\x1b[H",  # clears the screen
    "\x1b]0;owned\x07",  # sets the window's title
    "\x1b]8;;http://evil.test\x1b\\click\x1b]8;;\x1b\\",
    "\x1bP1$r0m\x1b\\",
    "\x9b31m\x9d0;owned\x9c",  # the same with C1
    "user\r\n2026-11-21 00:00:00 CRITICAL root: forged",
    '"}\n{"ts":"2026-11-21T00:00:00.000000Z","level":"CRITICAL","event":"forged"}',
    "safe\u202egpj.exe",  # reads as safeexe.jpg
    "ad\u200bmin",
    "hidden" + "".join(chr(0xE0000 + ord(c)) for c in "ignore all"),
    "null\0byte",
    "back\b\b\b\bspace",
]
EVERY = "".join(CONTROLS)
# What a program may well log and has to look as it does.
HARMLESS = "Grüße, Ελλάδα, Việt Nam, 日本語：「ok」, العربية, हिन्दी, ქართული, “quoted” — 5 €, 👍🏽 🏳️ ✓"


def hostile(text: str, allowed: str = "") -> list[str]:
    """The characters of a text that people should never be shown as they are."""
    return sorted({c for c in text if (c in CONTROLS or unicodedata.category(c) == "Cf") and c not in allowed})


def test_the_list_has_every_character_of_its_kinds() -> None:
    # Formatting characters that are seen: they belong to scripts and stand beside digits.
    seen = {c for c in map(chr, range(0x110000)) if unicodedata.category(c) in ("Cc", "Cf")} - set(CONTROLS)
    assert all(
        ord(c) in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)
        or 0x13430 <= ord(c) <= 0x1345F
        or 0x1BCA0 <= ord(c) <= 0x1BCA3
        or 0x1D173 <= ord(c) <= 0x1D17A
        for c in seen
    ), [hex(ord(c)) for c in seen]


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "handler"])
def test_no_hostile_character_stands_raw_in_the_file_and_every_value_reads_back(
    tmp_path: Path, script: Callable[..., Any], fast: bool
) -> None:  # req 35
    script(
        f"""
        import logging, threading, json, sys
        import logspool
        logspool.basicConfig(filename="logs/a.jsonl", level="DEBUG", console=False, fast={fast})
        hostile = json.loads(open("hostile.json").read())
        def all_of(text):
            log = logging.getLogger("user." + text.replace(".", " "))
            log.info(text)
            log.info("argument %s", text)
            log.info("said", extra={{"field": text, "key " + text: 1, "nested": {{text: [text, (text,), {{text}}]}},
                                     "bytes": text.encode(), "event": text, "request_id": text, "tool": text}})
            try:
                raise ValueError(text)
            except ValueError:
                log.exception("failed")
            log.info("stack", stack_info=True)
            logspool.log_cost(model=text, task=text, user=text)
        for text in hostile:
            thread = threading.Thread(target=all_of, args=(text,), name=text)
            thread.start()
            thread.join()
        """,
        name="server.py",
        cwd=_with_hostile(tmp_path),
    )
    for name in ("a.jsonl", "openrouter-costs.jsonl"):
        for line in lines(tmp_path / "logs" / name):
            assert hostile(line) == []
    found = records(tmp_path / "logs" / "a.jsonl")
    texts = [*CONTROLS, *SEQUENCES, EVERY, HARMLESS]
    assert len(found) == 5 * len(texts)
    for text, at in zip(texts, range(0, len(found), 5), strict=True):
        said, argument, fields, failed, _ = found[at : at + 5]
        assert said["event"] == text
        assert {r["thread"] for r in found[at : at + 5]} == {text}
        assert said["logger"] == "user." + text.replace(".", " ")
        assert argument["event"] == "argument " + text
        assert fields["event"] == text and fields["message"] == "said"
        assert fields["request_id"] == fields["tool"] == text
        assert fields["fields"]["field"] == fields["fields"]["bytes"] == text
        assert fields["fields"]["key " + text] == 1
        assert fields["fields"]["nested"] == {text: [text, [text], [text]]}
        assert failed["exception"]["message"] == text
        assert text in failed["exception"]["stacktrace"]
    raw = (tmp_path / "logs" / "a.jsonl").read_text("utf-8")
    assert HARMLESS in raw


def _with_hostile(tmp_path: Path) -> Path:
    (tmp_path / "hostile.json").write_text(json.dumps([*CONTROLS, *SEQUENCES, EVERY, HARMLESS]))
    return tmp_path


# -- text logs -----------------------------------------------------------------------------------------------------------


def test_a_record_of_a_text_log_has_one_line_that_begins_at_the_margin(tmp_path: Path) -> None:  # req 35
    handler = logspool.SpoolHandler(tmp_path / "a.log", json=False)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("app\n2026 logger forged")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    texts = [*CONTROLS, *SEQUENCES, EVERY, HARMLESS]
    for text in texts:
        logger.info("said %s", text)
        try:
            raise ValueError(text)
        except ValueError:
            logger.exception("failed")
    logger.removeHandler(handler)
    handler.close()
    text = b"".join(p.read_bytes() for p in sorted(tmp_path.glob("a.log.0*"))).decode("utf-8")
    assert hostile(text, "\n\t") == []
    assert HARMLESS in text
    starts = [line for line in text.split("\n") if line and not line.startswith("    ")]
    assert len(starts) == 2 * len(texts)
    assert "    Traceback (most recent call last):\n" in text
    assert all(line.endswith((" INFO app", " ERROR app")) for line in starts)


# -- the mirror ----------------------------------------------------------------------------------------------------------


def terminal(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> str:
    """All that a program writes to the terminal it runs on, with the terminal's own line ends taken back."""
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        command, cwd=cwd, env=environment(env), stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # how Linux says that nobody has the other end any more
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    program.wait(60)
    return shown.decode("utf-8").replace("\r\n", "\n")


@pytest.mark.parametrize("settings", ["", ", json=False", ", format='%(name)s|%(threadName)s|%(message)s'"])
def test_nothing_hostile_reaches_the_terminal_through_the_mirror(tmp_path: Path, settings: str) -> None:  # req 35
    (tmp_path / "server.py").write_text(
        "import json, logging, threading, logspool\n"
        f"logspool.basicConfig(filename='a.jsonl', console=True{settings})\n"
        "for text in json.load(open('hostile.json')):\n"
        "    threading.current_thread().name = text\n"
        "    logging.getLogger(text).warning('said %s', text)\n"
        "    try:\n"
        "        raise ValueError(text)\n"
        "    except ValueError:\n"
        "        logging.getLogger('app').exception(text)\n"
        "    logspool.flush()\n"
        "logging.error('the end')\n"
        "logspool.shutdown(10)\n"
    )
    shown = terminal([sys.executable, "server.py"], _with_hostile(tmp_path))
    assert hostile(shown, "\n\t") == []
    assert HARMLESS in shown
    assert "\\x1b[2J" in shown and "\\u202e" in shown
    assert not any(line.startswith(("2026-11-21 00:00:00 CRITICAL", '{"ts"')) for line in shown.split("\n"))


# -- the command ---------------------------------------------------------------------------------------------------------

#: As file names may have them: no slash, no NUL, at most 255 bytes with what is appended.
NAMES = [
    text.replace("/", "_").replace("\0", "_")
    for text in (*SEQUENCES, "".join(CONTROLS[1:32]), "".join(CONTROLS[33:75]), "".join(CONTROLS[75:110]), "a'b\x1b[0m")
]


def places(tmp_path: Path) -> list[Path]:
    """Directories with hostile names that hold logs with hostile names, and much that is wrong with them."""
    found = []
    for number, name in enumerate(NAMES):
        directory = tmp_path / f"{number} {name}"
        path = directory / f"{name}.jsonl"[-100:]
        handler = logspool.SpoolHandler(path, maxBytes=400, backupCount=0, gzip=False)
        for n in range(6):
            handler.handle(logging.makeLogRecord({"name": name, "msg": f"{n} said {name}", "levelno": 20}))
        handler.close()
        assert logspool.flush()
        segments = sorted(directory.glob("*.00*"))
        segments[1].unlink()
        with segments[2].open("ab") as file:
            file.write(name.encode() + b'\n{"seq": "torn \x9b31m\xff')
        own = directory / ".logspool"
        (own / f"{name}.ring"[-100:]).write_bytes(b"LSPRING\0" + name.encode() * 50)
        (own / "abcdefgh.ring").mkdir()
        (own / f"{name}.state"[-100:]).write_bytes(name.encode() * 50)
        found.append(directory)
    logspool.shutdown(10)
    return found


def test_nothing_hostile_reaches_the_terminal_through_the_command(tmp_path: Path) -> None:  # req 35
    outputs = []
    for directory in places(tmp_path):
        for command in ("verify", "doctor", "recover"):
            outputs.append(terminal([str(COMMAND), command, str(directory)], tmp_path))
            answer = terminal([str(COMMAND), command, "--json", str(directory)], tmp_path)
            json.loads(answer.strip().split("\n")[-1])
            outputs.append(answer)
    for name in (NAMES[0], SEQUENCES[5], "--=" + SEQUENCES[5], SEQUENCES[7], NAMES[-1]):
        hidden = {
            "LOGSPOOL_DIR": f"{tmp_path}/{name}/logs",
            "LOG_LEVEL": name,
            "SERVICE_NAME": name,
            "LOG_ROTATE_SIZE": name,
        }
        outputs += [
            terminal([str(COMMAND), "doctor"], tmp_path, hidden),
            terminal([str(COMMAND), "doctor", "--json"], tmp_path, hidden),
            terminal([str(COMMAND), "verify", f"{tmp_path}/missing {name}"], tmp_path),
            terminal([str(COMMAND), "recover", "--spool-dir", f"/missing {name}", str(tmp_path)], tmp_path),
            terminal([str(COMMAND), name], tmp_path),
            terminal([str(COMMAND), "verify", f"--{name}"], tmp_path),
        ]
    for shown in outputs:
        assert shown
        assert hostile(shown, "\n\t") == [], shown
        assert not any(line.startswith(("2026-11-21 00:00:00 CRITICAL", '{"ts"')) for line in shown.split("\n")), shown


def test_what_logspool_itself_says_stays_one_line(tmp_path: Path) -> None:  # req 35
    for name in NAMES:
        code = (
            "import logspool, sys\n"
            "logspool.basicConfig(console=False)\n"
            "from logspool import _config\n"
            "_config.say_once('about ' + sys.argv[1])\n"
            "logspool.shutdown(10)\n"
        )
        (tmp_path / "file").touch()
        env = {"LOG_DIR": f"{tmp_path}/file/{name}", "LOG_LEVEL": name, "XDG_STATE_HOME": str(tmp_path)}
        shown = terminal([sys.executable, "-c", code, name], tmp_path, env)
        assert hostile(shown, "\n\t") == [], shown
        assert all(line.startswith("logspool: ") for line in shown.split("\n") if line), shown
