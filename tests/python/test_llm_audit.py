"""The audit of calls of language models: rows, index, modes, environment, processes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from logfiles import DEADLINE_SECONDS

import logspool
from logspool import _core, _values, llm_audit

Script = Callable[..., CompletedProcess[str]]
# The document's names and types (req 64), and nothing of ours.
TEXTS = {
    "event_type", "agent", "model", "status", "call_label", "function", "stage", "session_key", "thread_ts", "channel_id",
    "request_excerpt", "response_excerpt", "error", "created_at",
}  # fmt: skip
NUMBERS = {"prompt_tokens", "completion_tokens"}
INDEX = {"type", "created_at", "log_path", "pid", "mode", "sink"}


def read_audit(index: Path) -> list[dict[str, Any]]:
    """A reader of the document's files: the index, then each file it names."""
    rows: list[dict[str, Any]] = []
    for line in index.read_bytes().splitlines():
        entry = json.loads(line)
        assert entry.keys() == INDEX
        path = Path(entry["log_path"])
        assert re.fullmatch(rf"llm_io_\d{{8}}_\d{{6}}_{entry['pid']}\.jsonl", path.name)
        for text in path.read_bytes().split(b"\n")[:-1]:
            row = json.loads(text)
            assert row.keys() - {"trace_id"} == TEXTS | NUMBERS
            assert all(row[name] is None or isinstance(row[name], str) for name in TEXTS)
            assert all(row[name] is None or type(row[name]) is int for name in NUMBERS)
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["created_at"])
            rows.append(row)
    return rows


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., llm_audit.Audit]]:
    """`opened(**settings)`: an audit in `tmp_path/audit`, closed after the test."""
    audits: list[llm_audit.Audit] = []

    def make(**settings: Any) -> llm_audit.Audit:
        audits.append(llm_audit.Audit(tmp_path / "audit", **settings))
        return audits[-1]

    yield make
    logspool.clear()
    for audit in audits:
        audit.close()


def rows(audit: llm_audit.Audit) -> list[dict[str, Any]]:
    audit.flush()
    return read_audit(Path(audit.index_file))


def test_a_reader_that_knows_only_the_documents_keys_reads_the_audit(opened: Any, tmp_path: Path) -> None:  # req 64
    audit = opened()
    audit.record(
        "llm_call", agent="planner", model="gpt-5", status="ok", call_label="draft", function="plan", stage="refine",
        session_key="C1:17.5", thread_ts="17.5", channel_id="C1", prompt_tokens=12, completion_tokens=0,
        request="plan my day", response=[{"role": "assistant", "content": "später"}],
    )  # fmt: skip
    audit.record("llm_error", error=TimeoutError("after 30 s"))
    first, second = rows(audit)
    assert {name: value for name, value in first.items() if name != "created_at"} == {
        "event_type": "llm_call", "agent": "planner", "model": "gpt-5", "status": "ok", "call_label": "draft",
        "function": "plan", "stage": "refine", "session_key": "C1:17.5", "thread_ts": "17.5", "channel_id": "C1",
        "prompt_tokens": 12, "completion_tokens": 0, "request_excerpt": "plan my day",
        "response_excerpt": '[{"role": "assistant", "content": "später"}]', "error": None,
    }  # fmt: skip
    assert (second["status"], second["error"], second["prompt_tokens"]) == ("error", "TimeoutError: after 30 s", None)
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o700
    files = [path for path in (tmp_path / "audit").rglob("*") if path.is_file()]
    assert files and all(path.stat().st_mode & 0o777 == 0o600 for path in files)


def test_correlation_keys_are_those_bound_and_a_calls_own_go_before(opened: Any) -> None:  # req 65
    audit = opened()
    with logspool.bound(session_key="S", thread_ts="1.5", stage="collect", call_label="extract", trace_id="ab" * 16):
        audit.record()
        audit.record(stage="commit")
    audit.record()
    assert [
        (r["session_key"], r["thread_ts"], r["stage"], r["call_label"], r.get("trace_id")) for r in rows(audit)
    ] == [
        ("S", "1.5", "collect", "extract", "ab" * 16),
        ("S", "1.5", "commit", "extract", "ab" * 16),
        (None, None, None, None, None),
    ]


def test_the_trace_id_is_that_of_the_active_span(opened: Any) -> None:  # req 65
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    audit = opened()
    with sdk.TracerProvider().get_tracer("test").start_as_current_span("call") as span:
        audit.record()
    audit.record()
    inside, outside = rows(audit)
    assert inside["trace_id"] == format(span.get_span_context().trace_id, "032x")
    assert "trace_id" not in outside


SECRETS = ["hunter2", "sk-ant-api03-" + "Ab1" * 30, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0." + "c2ln" * 10]
SECRET_TEXTS = [
    f"my password is {SECRETS[0]}, use {SECRETS[1]}",
    {
        "messages": [{"content": f'{{"password": "{SECRETS[0]}"}}'}],
        "headers": {"Authorization": f"Bearer {SECRETS[2]}"},
    },
    f"https://ada:{SECRETS[0]}@example.com/?api_key={SECRETS[1]}",
]


@pytest.mark.parametrize("redact", [True, False])
def test_no_secret_is_in_a_sanitized_audit_wherever_it_stands(
    opened: Any, tmp_path: Path, redact: bool
) -> None:  # req 32
    audit = opened(redact=redact)
    for text in SECRET_TEXTS:
        audit.record(
            request=text, response=text, error=RuntimeError(text), call_label=json.dumps(text), agent=str(text)
        )
    # A secret at the cut: it goes before the text is cut.
    for before in range(llm_audit.MAX_CHARS - 60, llm_audit.MAX_CHARS):
        audit.record(request=" " * before + SECRETS[1])
    assert len(rows(audit)) == 63
    audit.close()
    for path in (tmp_path / "audit").rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert not any(secret[:20].encode() in data for secret in SECRETS), path


def test_rules_of_ones_own_are_made_once_not_with_each_text(opened: Any) -> None:  # req 32
    class Scrub:
        most = 0

        def __call__(self, text: str) -> str:
            self.most = max(self.most, sys.getrefcount(self))
            return text.replace("tiger", "*****")

    scrub = Scrub()
    rules = {"keys": ["shoe_size"], "functions": {"scrub": scrub}}

    def holders(redactor: Any) -> int:
        """How many references to the function there are more within a call of it than before."""
        scrub.most, before = 0, sys.getrefcount(scrub)
        redactor()
        return scrub.most - before

    kept = _core.TextRedactor(_values.redact(rules))
    audit = opened(redact=rules)
    assert holders(lambda: audit.record(request="a tiger, shoe_size=47")) == holders(lambda: kept.apply("a tiger"))
    assert rows(audit)[0]["request_excerpt"] == "a *****, shoe_size=***"


def test_a_raw_audit_is_only_cut(opened: Any) -> None:  # req 64
    audit = opened(mode="raw", max_chars=200)
    text = f"password={SECRETS[0]} {SECRETS[1]}\n\x1b[31m\u2028\x85\x7f\t\\ \ud800 \U0001f600"
    audit.record(request=text, response="x" * 1000)
    (row,) = rows(audit)
    assert row["request_excerpt"] == text
    assert row["response_excerpt"].endswith(" chars)") and len(row["response_excerpt"]) <= 200
    kept = row["response_excerpt"].index("…")
    assert row["response_excerpt"][kept:] == f"…(truncated, {1000 - kept} chars)"


def test_any_values_make_one_row_of_json_and_never_raise(opened: Any) -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

    circular: list[object] = []
    circular.append(circular)
    audit = opened(max_chars=50_000)
    texts = ['"', "\\", "\n" * 9, "\x00\x01" * 30_000, "€" * 60_000, "\U0001f600" * 60_000, "a\rb\x85c\u2028d"]
    odd = [
        *texts,
        Hostile(),
        {"a": Hostile()},
        circular,
        {1: 2, (3,): 4},
        b"\xff",
        float("nan"),
        {"n": float("nan")},
        10**50,
    ]
    for value in odd:
        audit.record(value, request=value, response=value, error=value, agent=value, prompt_tokens=value)  # type: ignore[arg-type]
    audit.flush()
    data = Path(audit.path or "").read_bytes()
    assert len(data.splitlines()) == len(data.decode().splitlines()) == len(odd)
    for line in data.splitlines():
        json.loads(line)
        assert len(line) <= llm_audit.MAX_ROW


@pytest.mark.parametrize("mode", ["sanitized", "raw"])
def test_of_an_attachment_type_size_and_digest_of_the_whole_are_told(opened: Any, mode: str) -> None:  # req 64
    audit = opened(mode=mode, max_chars=300)
    image = b"\x89PNG\r\n\x1a\n" + os.urandom(9_000)
    told = f"<image/png, {len(image)} bytes, sha256 {hashlib.sha256(image).hexdigest()}>"
    uri = "data:image/png;base64," + base64.b64encode(image).decode()
    audit.record(request=[{"type": "image_url", "image_url": {"url": uri}}], response=uri)
    audit.record(request=image, response={"image": image, "text": "a cat"})
    first, second = rows(audit)
    assert first["request_excerpt"] == f'[{{"type": "image_url", "image_url": {{"url": "{told}"}}}}]'
    assert (first["response_excerpt"], second["request_excerpt"]) == (told, told)
    assert second["response_excerpt"] == f'{{"image": "{told}", "text": "a cat"}}'


def test_rows_are_not_held_back_nor_sampled_nor_collapsed(opened: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("LOG_COLLAPSE", "60")
    monkeypatch.setenv("LOG_ROTATE_SIZE", "4096")
    audit = opened()
    with logspool.bound(buffer="WARNING"):
        for _ in range(100):
            audit.record(request="x" * 200)
    assert len(rows(audit)) == 100


@pytest.mark.parametrize("settings", [{"mode": "off"}, {"sink": "off"}])
def test_off_opens_nothing(opened: Any, tmp_path: Path, settings: dict[str, str]) -> None:
    audit = opened(**settings)
    audit.record(request="x")
    audit.flush()
    assert audit.path is None
    assert not (tmp_path / "audit").exists()


# -- the environment: req 41 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "mode", "max_chars"),
    [
        ({}, "sanitized", 2000),
        ({"ENABLED": "1", "SINK": "file", "MODE": "sanitized", "MAX_CHARS": "300", "SANITIZE": "1"}, "sanitized", 300),
        ({"MODE": "RAW"}, "raw", 2000),
        ({"SANITIZE": "0"}, "raw", 2000),
        ({"MODE": "raw", "SANITIZE": "off"}, "raw", 2000),
        ({"SANITIZE": "true"}, "sanitized", 2000),
        ({"ENABLED": "0", "MODE": "raw"}, "off", 2000),
        ({"MODE": "off", "SANITIZE": "1"}, "off", 2000),
        ({"SINK": "off", "MODE": "raw"}, "off", 2000),
        ({"SINK": " FILE "}, "sanitized", 2000),
        ({"ENABLED": "", "MODE": " ", "MAX_CHARS": ""}, "sanitized", 2000),
    ],
)
def test_the_environment_says_what_the_audit_is(
    tmp_path: Path, variables: dict[str, str], mode: str, max_chars: int
) -> None:  # req 41
    given = {"LOG_DIR": str(tmp_path / "a"), "INDEX_FILE": "i.jsonl", **variables}
    with llm_audit.from_environment({f"OBS_LLM_AUDIT_{name}": value for name, value in given.items()}) as audit:
        audit.record()
        assert (audit.mode, audit.max_chars) == (mode, max_chars)
    assert (tmp_path / "a" / "i.jsonl").exists() == (mode != "off")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("ENABLED", "maybe", "expected true or false"),
        ("SINK", "syslog", "expected one of file, off"),
        (
            "SINK",
            "loki",
            "rows are written to files, from where a shipper (Promtail, Fluent Bit) takes them to Loki; set file",
        ),
        ("SINK", "both", "rows are written to files, from where a shipper"),
        ("MODE", "sanitised", "expected one of off, sanitized, raw"),
        ("LOG_DIR", __file__, "expected the path of a directory"),
        ("INDEX_FILE", "/", "expected the name of a file"),
        ("MAX_CHARS", "0", "expected a whole number from 1 to 50000"),
        ("MAX_CHARS", "50001", "expected a whole number from 1 to 50000"),
        ("MAX_CHARS", "2k", "expected a whole number from 1 to 50000"),
        ("SANITIZE", "2", "expected true or false"),
    ],
)
@pytest.mark.parametrize("enabled", ["0", "1"])
def test_a_bad_value_fails_at_start(
    monkeypatch: Any, tmp_path: Path, name: str, value: str, allowed: str, enabled: str
) -> None:  # req 41
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OBS_LLM_AUDIT_ENABLED", enabled)
    monkeypatch.setenv(f"OBS_LLM_AUDIT_{name}", value)
    with pytest.raises(ValueError) as failure:
        llm_audit.from_environment()
    assert str(failure.value).startswith(f"OBS_LLM_AUDIT_{name}={value!r}: {allowed}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mode", "sanitize", "expected"), [("raw", "1", "0"), ("sanitized", "0", "1")])
def test_a_contradiction_fails_at_start(mode: str, sanitize: str, expected: str) -> None:  # req 41
    with pytest.raises(
        ValueError, match=f"SANITIZE='{sanitize}': contradicts OBS_LLM_AUDIT_MODE='{mode}'; expected {expected}"
    ):
        llm_audit.from_environment({"OBS_LLM_AUDIT_MODE": mode, "OBS_LLM_AUDIT_SANITIZE": sanitize})


@pytest.mark.parametrize(("name", "hint"), [("ENABLE", "did you mean ENABLED?"), ("PATH", "there are ENABLED, SINK")])
def test_a_variable_that_there_is_not_fails_at_start(name: str, hint: str) -> None:  # req 41
    with pytest.raises(ValueError, match=f"^OBS_LLM_AUDIT_{name}: no such variable; {re.escape(hint)}"):
        llm_audit.from_environment({f"OBS_LLM_AUDIT_{name}": "0", "OBS_PROMETHEUS_PORT": "another's"})


def test_a_place_that_is_none_is_named_by_its_variable(tmp_path: Path) -> None:  # req 41
    with pytest.raises(ValueError, match=r"^OBS_LLM_AUDIT_LOG_DIR='/proc/x': expected the path of a directory"):
        llm_audit.from_environment({"OBS_LLM_AUDIT_LOG_DIR": "/proc/x"})
    variables = {"OBS_LLM_AUDIT_LOG_DIR": str(tmp_path), "OBS_LLM_AUDIT_INDEX_FILE": "/proc/x.jsonl"}
    with pytest.raises(ValueError, match=r"^OBS_LLM_AUDIT_INDEX_FILE='/proc/x\.jsonl': expected a file"):
        llm_audit.from_environment(variables)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_fails_at_start_with_the_variable(tmp_path: Path) -> None:  # req 41
    (tmp_path / "file").write_text("")
    directory = str(tmp_path / "file" / "sub")
    with pytest.raises(OSError, match="OBS_LLM_AUDIT_LOG_DIR="):
        llm_audit.from_environment({"OBS_LLM_AUDIT_LOG_DIR": directory})


# -- processes ---------------------------------------------------------------------------------------------------------------

WRITER = """
import os, signal, sys
from logspool import llm_audit
audit = llm_audit.Audit("audit")
print("ready", flush=True)
sys.stdin.readline()
for n in range(200):
    audit.record(agent=sys.argv[1], call_label=str(n), request="x" * 500)
if sys.argv[2] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_two_processes_at_once_lose_nothing_and_accepted_rows_survive_sigkill(tmp_path: Path) -> None:  # req 64
    (tmp_path / "writer.py").write_text(WRITER)
    started = [
        subprocess.Popen(
            [sys.executable, "writer.py", name, end],
            cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name, end in (("one", "exit"), ("two", "kill"), ("three", "kill"))
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in started:
        process.communicate("go\n", timeout=DEADLINE_SECONDS)
    assert [process.returncode for process in started] == [0, -signal.SIGKILL, -signal.SIGKILL]
    # The next to open an audit there finishes what the killed ones left.
    with llm_audit.Audit(tmp_path / "audit") as audit:
        audit.record(agent="next", call_label="0")
    found = read_audit(tmp_path / "audit" / "llm_io_index.jsonl")
    by_agent = {
        name: [r["call_label"] for r in found if r["agent"] == name] for name in ("one", "two", "three", "next")
    }
    every = [str(n) for n in range(200)]
    assert by_agent == {"one": every, "two": every, "three": every, "next": ["0"]}


def test_a_forked_child_has_a_file_and_an_index_row_of_its_own(script: Script, tmp_path: Path) -> None:  # req 64
    script(
        """
        import os
        from logspool import llm_audit
        audit = llm_audit.Audit("audit")
        audit.record(agent="parent")
        if (child := os.fork()) == 0:
            audit.record(agent="child", response=str(os.getpid()))
            audit.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        audit.record(agent="parent")
        """
    )
    index = tmp_path / "audit" / "llm_io_index.jsonl"
    pids = [json.loads(line)["pid"] for line in index.read_text().splitlines()]
    found = read_audit(index)
    assert [row["agent"] for row in found] == ["parent", "parent", "child"]
    assert len(set(pids)) == 2 and str(pids[1]) == found[2]["response_excerpt"]


def test_the_import_of_logspool_does_not_bring_the_audit(script: Script) -> None:
    script("import sys, logspool\nassert not [name for name in sys.modules if 'audit' in name and 'logspool' in name]")


def test_the_documents_example_writes_the_row_that_it_shows(script: Script, tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "llm-audit.md").read_text()
    blocks = dict(reversed(re.findall(r"```(python|json)\n(.*?)```", document, re.DOTALL)))
    script(blocks["python"])
    (row,) = read_audit(tmp_path / "logs" / "llm_io_index.jsonl")
    shown = json.loads(blocks["json"])
    assert {**row, "created_at": None} == {**shown, "created_at": None}
    assert list(row) == list(shown)
