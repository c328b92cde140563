"""The logs of LLM-OS: six files with the original's keys, made of real records, read with the real tools."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from logfiles import DEADLINE_SECONDS, eventually, lines, records, segments

import logspool
from logspool import categories
from logspool.categories import FILES, PerformanceTimer, _files, get_logger, get_logging_helper, setup_logging

Script = Callable[..., CompletedProcess[str]]
DOCUMENT = (Path(__file__).parent / "llm_os_document.txt").read_text(encoding="utf-8")
#: LLM-OS' own modules: each is one line.
LLM_OS = """
import sys, types
import logspool.categories
for name in ("llm_os", "llm_os.utils"):
    sys.modules[name] = types.ModuleType(name)
for name in ("llm_os.utils.logging", "llm_os.utils.logging_integration"):
    sys.modules[name] = logspool.categories
"""


class Logs:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def of(self, category: str) -> list[dict[str, Any]]:
        assert logspool.flush(DEADLINE_SECONDS)
        return records(self.directory / FILES[category])

    def last(self, category: str) -> dict[str, Any]:
        return self.of(category)[-1]


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    setup_logging(tmp_path / "logs", console=False)
    yield Logs(tmp_path / "logs")
    _files.close()


def of_ours(category: str) -> list[logspool.SpoolHandler]:
    """The logger's handlers but for those of pytest."""
    found = logging.getLogger(f"llm_os.{category}").handlers
    return [handler for handler in found if isinstance(handler, logspool.SpoolHandler)]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


# A reader written for LLM-OS, which knows its keys and no others: totals, as its viewer shows them.
LEGACY_READER = """
import json, pathlib, sys
from datetime import datetime
seen = {}
for file in sorted(pathlib.Path(sys.argv[1]).glob("*.log")):
    for line in file.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        category = entry["category"]
        assert entry["logger"] == "llm_os." + category
        assert entry["level"] in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        assert isinstance(entry["message"], str)
        datetime.fromisoformat(entry["timestamp"].replace("Z", "+00:00"))
        seen.setdefault(category, []).append(entry)
print(json.dumps({
    "categories": {name: len(found) for name, found in seen.items()},
    "succeeded": [e["success"] for e in seen["user"]],
    "responses": [e["response_summary"] for e in seen["user"]],
    "errors": [e["error"] for e in seen["user"]],
    "tokens": sum(e["total_tokens"] for e in seen["llm"]),
    "providers": sorted(e["provider"] for e in seen["llm"]),
    "tools": [(e["tool_name"], e["tool_server"], e["parameters"], e["result_summary"]) for e in seen["tool"]],
    "denied": [(e["resource"], e["action"], e["reason"]) for e in seen["security"] if not e["allowed"]],
    "metrics": [e["operation"] for e in seen["performance"]],
    "details": [e["details"] for e in seen["performance"] if e["operation"] == "initialize_router"],
    "components": [e["component"] for e in seen["system"]],
}))
"""


def test_the_documents_examples_run_as_printed_for_a_reader_of_the_old_keys(tmp_path: Path, script: Script) -> None:
    # req 23, 42, 44, 49, 53: all blocks in one program, in the default directory, then the class of the full example
    printed = blocks("python")
    assert sum("class MyComponent" in block for block in printed) == 1
    program = (
        LLM_OS
        + f"""
namespace = {{"LLMResponse": str}}
for block in {printed!r}:
    exec(block, namespace)
import asyncio
async def main():
    component = namespace["MyComponent"]()
    await component.initialize()
    assert await component.process([1, 2]) == "success"
    await component.shutdown()
asyncio.run(main())
"""
    )
    result = script(program, env={"HOME": str(tmp_path)})
    assert result.stdout == ""
    shown = result.stderr.splitlines()  # req 8: WARNING and above, and nothing else
    assert len(shown) == 4 and all(re.search(r" (WARNING|ERROR) llm_os\.", line) for line in shown)

    directory = tmp_path / ".llm_os" / "logs"
    read = subprocess.run([sys.executable, "-c", LEGACY_READER, directory], capture_output=True, text=True, check=True)
    found = json.loads(read.stdout)
    assert found["categories"] == {"user": 3, "system": 7, "tool": 1, "llm": 2, "security": 2, "performance": 3}
    assert found["succeeded"] == [True, False, True]
    assert found["responses"][0] == "Here are the files: file1.txt, file2.txt, ..."
    assert found["errors"] == [None, "Permission denied", None]
    assert found["tokens"] == 460 and found["providers"] == ["groq", "groq"]
    parameters = {"path": "/home/user", "recursive": False}
    assert found["tools"] == [["list_directory", "filesystem", parameters, '{"files":["file1.txt","file2.txt"]}']]
    assert found["denied"] == [["/etc/passwd", "read", "Outside allowed directories"]]
    assert found["metrics"] == ["process_message", "initialize_router", "initialize_my_component"]
    assert found["details"] == [{"providers": 3}]

    # The document's own commands, with the real tools.
    (commands,) = blocks("bash")
    assert "jq '.'" in commands and "cut -d'\"' -f4" in commands
    env = {**os.environ, "HOME": str(tmp_path)}
    ran = subprocess.run(["bash", "-e", "-c", commands], capture_output=True, text=True, check=True, env=env)
    counted = dict(reversed(line.split()) for line in ran.stdout.splitlines()[-6:])
    assert counted == {"user": "3", "system": "7", "tool": "1", "llm": "2", "security": "2", "performance": "3"}
    errors = [line for line in ran.stdout.splitlines() if re.match(r'\S+\.log:\{.*"level":"ERROR"', line)]
    assert len(errors) == 2  # the failed interaction and log_error
    assert shutil.which("jq")


def test_every_level_is_the_true_one(logs: Logs) -> None:  # req 50
    get_logger("user").log_interaction("read", "", success=False, error="Permission denied")
    get_logger("tool").log_execution("read", "fs", {}, None, False, "no such file")
    get_logger("llm").log_call("groq", "llama", success=False, error="rate limit")
    for category, error in (("user", "Permission denied"), ("tool", "no such file"), ("llm", "rate limit")):
        record = logs.last(category)
        assert (record["level"], record["success"], record["error"]) == ("ERROR", False, error)
    get_logger("security").log_event("permission_check", "/etc/passwd", "read", False)
    assert (logs.last("security")["level"], logs.last("security")["allowed"]) == ("WARNING", False)
    for duration, level in ((5000.0, "INFO"), (5000.1, "WARNING")):
        get_logger("performance").log_metric("index", duration)
        assert logs.last("performance")["level"] == level


def test_system_events_and_what_they_carry(logs: Logs) -> None:  # req 51
    system = get_logger("system")
    system.log_config_change("router", "model", "small", "large")
    system.log_config_change("router", "api_key", "sk-old-1", "sk-new-2")
    system.log_config_change("router", "max_tokens", 10, 20)
    system.log_status("router", "ready", {"load": 0.5})
    system.log_resource("gpu", False, {"count": 0})
    system.log_resource("disk", True)
    found = logs.of("system")
    assert [(r["setting"], r["old"], r["new"]) for r in found[:3]] == [
        ("model", "small", "large"),
        ("api_key", "***", "***"),
        ("max_tokens", 10, 20),
    ]
    assert (found[3]["status"], found[3]["details"]) == ("ready", {"load": 0.5})
    assert [(r["level"], r["resource"], r["available"]) for r in found[4:]] == [
        ("WARNING", "gpu", False),
        ("INFO", "disk", True),
    ]


def test_the_logging_helper_writes_to_every_category(logs: Logs) -> None:  # req 55
    helper = get_logging_helper()
    assert helper is get_logging_helper()
    helper.log_user_message("list", "files", ["ls"], True, None, 1.5)
    helper.log_llm_request("groq", "llama", 3, 4, 9.5, streaming=True)
    helper.log_tool_call("ls", "fs", {"path": "/"}, "a b", duration_ms=2.0)
    helper.log_startup("core", {"version": "0.1.0"})
    helper.log_shutdown("core")
    helper.log_error("core", "broken")
    helper.log_warning("core", "odd")
    helper.log_security_event("check", "/x", "read", True, "fine")
    assert [record["event"] for record in logs.of("system")] == ["startup", "shutdown", "error", "warning"]
    assert (logs.last("user")["tool_calls"], logs.last("user")["duration_ms"]) == (["ls"], 1.5)
    assert (logs.last("llm")["total_tokens"], logs.last("llm")["streaming"]) == (7, True)
    assert (logs.last("tool")["result_summary"], logs.last("security")["reason"]) == ("a b", "fine")
    for category in ("user", "llm", "tool", "system", "security"):
        assert logs.last(category)["src"]["file"] == __file__  # the caller's line, not ours


def test_secrets_and_lengths(logs: Logs) -> None:  # req 33, 34
    get_logger("tool").log_execution(
        "connect",
        "db",
        {"password": "hunter2-a", "note": "p" * 3000},
        {"api_key": "hunter2-b", "rows": ["r" * 50] * 50},
    )
    get_logger("user").log_interaction("my password is hunter2-c!", "x" * 501, error={"token": "hunter2-d"})
    get_logger("system").log_startup("c", {"deep": [{"Authorization": "Bearer hunter2-e"}]})
    for category in ("tool", "user", "system"):
        assert logs.of(category)
        assert "hunter2" not in "".join(lines(logs.directory / FILES[category]))
    assert logs.last("user")["response_summary"] == "x" * 500 + "…(truncated, 501 chars)"
    tool = logs.last("tool")
    assert len(tool["result_summary"]) < 540 and "(truncated, " in tool["result_summary"]
    assert len(tool["parameters"]) < 1040 and "(truncated, " in tool["parameters"]


def holders_while_redacting(log: Callable[[], None], scrub: Any) -> int:
    """How many references to the user's function there are more while a record is redacted than before it."""
    log()  # what is made with the first record is made
    scrub.most, before = 0, sys.getrefcount(scrub)
    log()
    assert scrub.most > 0
    return int(scrub.most) - before


class Scrub:
    """A user's function among the rules, which counts its holders."""

    most = 0

    def __call__(self, text: str) -> str:
        self.most = max(self.most, sys.getrefcount(self))
        return text.replace("tiger", "*****")


@pytest.mark.parametrize("console", [False, True])
def test_rules_of_ones_own_are_made_once_not_with_each_record(
    tmp_path: Path, logger: logging.Logger, console: bool
) -> None:  # req 33
    scrub = Scrub()
    rules: Any = {"keys": ["shoe_size"], "patterns": {"badge": r"B-\d{5}"}, "functions": {"scrub": scrub}}
    handler = logspool.SpoolHandler(tmp_path / "plain.jsonl", redact=rules)
    logger.addHandler(handler)
    ordinary = holders_while_redacting(lambda: logger.warning("tiger"), scrub)
    setup_logging(tmp_path / "logs", console=console, redact=rules)
    try:
        security = get_logger("security")

        def log() -> None:
            security.log_event("login", "tiger B-12345", "open", False, "shoe_size=47")

        assert holders_while_redacting(log, scrub) == ordinary
        last = Logs(tmp_path / "logs").last("security")
        assert (last["resource"], last["reason"]) == ("***** ***", "shoe_size=***")
    finally:
        _files.close()


def test_every_character_is_one_json_line_that_says_the_same(logs: Logs) -> None:  # req 16, 35
    for first in (*range(0, 0x3000, 256), 0xD800, 0xDF00, 0xFE00, 0xFF00, 0x1F600, 0xE0000, 0xE0100, 0x10FF00):
        text = "".join(map(chr, range(first, first + 256)))
        get_logger("user").log_interaction("", text)
        whole = text.encode("utf-8", "replace").decode("utf-8") if 0xD800 <= first < 0xE000 else text
        wrote = logs.last("user")["response_summary"]
        assert wrote == text or wrote in (whole, text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    for line in lines(logs.directory / FILES["user"]):
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]", line)


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__

    def __add__(self, other: object) -> object:
        raise RuntimeError("no sum")

    __radd__ = __add__


def test_nothing_that_is_passed_makes_logging_raise(logs: Logs) -> None:  # req 16
    for category in FILES:  # pytest's own handlers raise
        handlers: list[logging.Handler] = [*of_ours(category)]
        logging.getLogger(f"llm_os.{category}").handlers = handlers
    odd: Any = Hostile()
    cyclic: dict[str, Any] = {}
    cyclic["again"] = cyclic
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    for value in (odd, cyclic, deep, float("nan"), 10**5000, {odd: odd}, b"\xff", "\ud800"):
        get_logger("user").log_interaction(value, value, value, False, value, value)
        get_logger("tool").log_execution(value, value, value, value, True, value, value)
        get_logger("llm").log_call(value, value, value, value, value)
        get_logger("system").log_config_change(value, value, value, value)
        get_logger("performance").log_metric(value, value, value if isinstance(value, float) else 0, details=value)
    assert [len(logs.of(category)) for category in ("user", "tool", "llm", "system", "performance")] == [8] * 5


def test_one_record_for_an_event_also_beside_basic_config(logs: Logs, tmp_path: Path, root: Any) -> None:  # req 53
    handler = logspool.basicConfig(filename=tmp_path / "app.jsonl", console=False, level="DEBUG")
    assert handler is not None
    get_logger("system").log_error("core", "broken")
    get_logger("user").logger.warning("odd %s", 1, extra={"count": 3})
    logging.getLogger("app").info("mine")
    assert len(logs.of("system")) == 1
    assert [record["event"] for record in records(tmp_path / "app.jsonl") if record["logger"] != "logspool"] == ["mine"]
    plain = logs.last("user")
    assert next(iter(plain)) == "category"
    assert (plain["category"], plain["message"], plain["fields"]) == ("user", "odd 1", {"count": 3})
    logspool.uninstall()


def test_bound_context_is_kept_apart_from_the_keys_of_the_original(logs: Logs) -> None:  # req 18
    with logspool.bound(request_id="req_1", provider="mine", level="mine"):
        get_logger("llm").log_call("groq", "llama")
    record = logs.last("llm")
    assert (record["request_id"], record["provider"], record["level"]) == ("req_1", "groq", "INFO")
    assert record["fields"] == {"provider": "mine", "level": "mine"}


def test_the_threshold_is_adjustable(tmp_path: Path) -> None:  # req 42
    for level, expected in (("INFO", ["info"]), (logging.DEBUG, ["debug", "info"])):
        directory = tmp_path / str(level)
        setup_logging(directory, level, console=False)
        get_logger("user").logger.debug("debug")
        get_logger("user").logger.info("info")
        assert [record["event"] for record in Logs(directory).of("user")] == expected
    _files.close()


def test_files_rotate_are_compressed_and_private(tmp_path: Path) -> None:  # req 28, 84
    before = os.umask(0o022)
    try:
        setup_logging(tmp_path / "logs", console=False, maxBytes="64KB", backupCount=2)
        for number in range(1000):
            get_logger("user").log_interaction(f"number {number}", "y" * 300)
        assert logspool.flush(DEADLINE_SECONDS)
        eventually(lambda: any((tmp_path / "logs").glob("user*.gz")), "a compressed segment")
        # One is being written, two are kept.
        eventually(lambda: len(segments(tmp_path / "logs" / FILES["user"])) == 3, "the oldest to be deleted")
    finally:
        os.umask(before)
        _files.close()
    oldest = min((tmp_path / "logs").glob("user*.gz"))
    for line in gzip.decompress(oldest.read_bytes()).splitlines():
        assert json.loads(line)["category"] == "user"
    for path in (tmp_path / "logs", *(tmp_path / "logs").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_defaults_are_those_of_the_document(tmp_path: Path, logs: Logs) -> None:  # req 28, 49
    assert sorted(path.name for path in logs.directory.glob("*.log")) == sorted(FILES.values())
    for category in FILES:
        (handler,) = of_ours(category)
        assert (handler.maxBytes, handler.backupCount) == (10 * 1024 * 1024, 5)


def test_a_setting_that_is_not_allowed_changes_nothing(logs: Logs, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="backupCount"):
        setup_logging(tmp_path / "other", backupCount=-1)
    with pytest.raises(TypeError, match="json"):
        setup_logging(tmp_path / "other", json=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        setup_logging(tmp_path / "file")
    with pytest.raises(ValueError, match="user, system, tool"):
        get_logger("users")  # type: ignore[call-overload]
    get_logger("system").log_status("core", "still here")
    assert logs.last("system")["status"] == "still here"


def test_without_a_directory_records_go_to_the_root_logger(tmp_path: Path, script: Script) -> None:
    (tmp_path / "file").write_text("")
    program = """
import logging
logging.basicConfig(format="root %(message)s", level="INFO")
from logspool.categories import get_logger
get_logger("system").log_startup("core")
get_logger("system").log_startup("core")
"""
    told = script(program, env={"HOME": str(tmp_path / "file")}).stderr
    assert told.count("root Component started: core") == 2
    assert told.count("category logs: ") == 1


def test_memory_and_processor_time_are_measured(logs: Logs) -> None:  # req 52
    timer = PerformanceTimer(get_logger("performance"), "allocate")
    with timer:
        held = bytearray(os.urandom(1)) * (50 * 1024 * 1024)
    record = logs.last("performance")
    assert 40 < record["details"]["memory_change_mb"] < 80
    assert record["memory_mb"] > 50
    assert record["duration_ms"] == timer.duration_ms > 0
    assert record["cpu_percent"] > 0
    del held
    get_logger("performance").log_metric("later", 1.0)
    assert 0 < logs.last("performance")["memory_mb"] < record["memory_mb"] - 40
    get_logger("performance").log_metric("given", 1234.5, memory_mb=45.2, cpu_percent=12.5, details={"providers": 3})
    record = logs.last("performance")
    assert (record["memory_mb"], record["cpu_percent"], record["details"]) == (45.2, 12.5, {"providers": 3})


def test_a_timer_logs_an_exception_and_lets_it_through(logs: Logs) -> None:  # req 55
    error = ValueError("broken")
    with pytest.raises(ValueError) as caught, PerformanceTimer(get_logger("performance"), "parse"):
        raise error
    assert caught.value is error
    record = logs.last("performance")
    assert (record["level"], record["success"], record["error"]) == ("ERROR", False, "ValueError: broken")


def test_a_timer_within_itself_and_in_coroutines_times_each_block(logs: Logs) -> None:  # req 55
    timer = PerformanceTimer(get_logger("performance"), "both")
    with timer:
        outer = time.perf_counter()
        while time.perf_counter() < outer + 0.02:
            pass
        with timer:
            pass
    assert timer.duration_ms >= 20

    async def work() -> None:
        async with PerformanceTimer(get_logger("performance"), "awaited"):
            await asyncio.sleep(0)
        raise KeyError("after it")

    with pytest.raises(KeyError):
        asyncio.run(work())
    assert logs.last("performance")["operation"] == "awaited"


def test_a_short_block_uses_no_more_than_the_processors_it_could_have(logs: Logs) -> None:  # req 52
    for _ in range(20):
        with PerformanceTimer(get_logger("performance"), "nothing"):
            pass
    assert logspool.flush(DEADLINE_SECONDS)
    shares = [record["cpu_percent"] for record in records(logs.directory / FILES["performance"])]
    # One thread of ours alone, beside the writer's.
    assert sorted(shares)[len(shares) // 2] <= 100.0


def test_summaries_are_text_whatever_was_answered(logs: Logs) -> None:  # req 34, 49
    get_logger("user").log_interaction("list", {"files": ["a.txt"], "ok": True})
    assert logs.last("user")["response_summary"] == '{"files":["a.txt"],"ok":true}'
    get_logger("user").log_interaction("list", ["x" * 400] * 10)
    cut = logs.last("user")["response_summary"]
    assert isinstance(cut, str) and len(cut) < 550


def test_tokens_that_came_as_text_are_added_as_numbers(logs: Logs) -> None:  # req 44
    tokens: Any = ("1", "2")
    get_logger("llm").log_call("groq", "llama3", *tokens)
    assert logs.last("llm")["total_tokens"] == 3


def test_the_example_of_the_page_runs(tmp_path: Path, script: Script) -> None:  # req 88
    page = (Path(__file__).parents[2] / "docs" / "categories.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    result = script(example)
    assert (result.stdout, result.stderr) == ("", "")
    (record,) = records(tmp_path / "logs" / FILES["tool"])
    (printed,) = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert list(record) == list(json.loads(printed.replace("{…}", "{}")))


def test_import_logspool_does_not_import_the_categories(script: Script) -> None:
    program = "import logspool, sys; print([name for name in sys.modules if name.startswith('logspool.categ')])"
    assert script(program).stdout == "[]\n"
    assert set(categories.__all__) <= set(dir(categories))
