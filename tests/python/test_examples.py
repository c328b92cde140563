"""The example servers, driven by the official MCP client over stdio: what `make demo` shows, in a short form."""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import fcntl
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import _check as check  # noqa: E402
from _drive import (  # noqa: E402
    INTERRUPTED,
    LLM,
    ROUTING,
    Call,
    Outcome,
    Session,
    drive,
    interrupt,
    serve,
    workload,
)
from demo import NEXT  # noqa: E402
from provider import AT_LENGTH, ONLY_STREAMS, OUTCOMES, Entry, Provider, seeded  # noqa: E402

SERVERS = (LLM, ROUTING)
LOGS = (f"{LLM}.jsonl", check.COSTS, f"{ROUTING}.jsonl")
FAILURES = ("limited", "exhausted", "error", "timeout", "reset", "reset", "broken", "unfinished")
REQUEST_ID = re.compile(r"req_[0-9a-f]{16}")
DEADLINE = 30.0  # seconds


def last_word(prompt: str, asked: int) -> str:
    """The outcome that a prompt of these tests asks for."""
    if prompt.endswith(AT_LENGTH):
        return "endless"
    _, _, outcome = prompt.partition(": ")
    return "ok" if not outcome or (outcome == "limited" and asked) else outcome


def infer(number: int, outcome: str = "ok", *, tier: str = "fast") -> Call:
    """A call to a model; every other one is streamed, and one that breaks always."""
    stream = outcome in ("broken", "unfinished") or number % 2 == 0
    prompt = f"explain the spool, number {number}: {outcome}"
    return Call(LLM, "infer", {"tier": tier, "prompt": prompt, "stream": stream, "session_id": "s-1"})


def twenty_three_calls() -> list[Call]:
    """Fifteen calls of the model server, eight of which fail in their own way, and eight of the routing server."""
    calls = [infer(number, tier=("fast", "balanced", "deep")[number % 3]) for number in range(6)]
    calls += [infer(6 + number, outcome) for number, outcome in enumerate(FAILURES)]
    del calls[0].arguments["session_id"]
    calls.append(Call(LLM, "infer", {"tier": "gigantic", "prompt": "hello", "session_id": "s-1"}, fails=True))
    routed = {"task": "merge the branch", "session_id": "s-1"}
    for tool in ("git-mcp", "fetch-mcp", "filesystem-mcp"):
        calls.append(Call(ROUTING, "validate_routing", {**routed, "selected_tool": tool}))
        calls.append(Call(ROUTING, "track_routing", {**routed, "selected_tool": tool, "status": "success"}))
    calls.append(Call(ROUTING, "validate_routing", {**routed, "selected_tool": "telepathy-mcp"}, fails=True))
    calls.append(Call(ROUTING, "routing_summary", {"session_id": "s-unknown"}, fails=True))
    return calls


@dataclasses.dataclass
class Run:
    """What one side left behind, and the requests that have a record of their cost there."""

    directory: Path
    ledger: list[Entry]
    sessions: list[Session]
    requests: list[Entry]

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for session in self.sessions for outcome in session.outcomes]

    def records(self, name: str) -> list[dict[str, Any]]:
        return check.records(self.logs, name)


def run(
    side: str,
    directory: Path,
    calls: list[Call],
    *,
    interrupted: bool = False,
    compressed: bool = False,
    **settings: str,
) -> Run:
    """Both servers of a side, the calls made, a few more `interrupted`, the servers ended as a client ends them.

    With `compressed` it waits, before it ends them, until each log has a compressed segment.
    """

    async def conversation(provider: Provider) -> list[Session]:
        environment = {"OPENROUTER_BASE_URL": provider.url, "OPENROUTER_TIMEOUT": "2", **settings}
        async with AsyncExitStack() as stack:
            scripts = (EXAMPLES / side / f"{name}-mcp.py" for name in SERVERS)
            sessions = [await stack.enter_async_context(serve(script, directory, environment)) for script in scripts]
            await drive(sessions, calls)
            if interrupted:
                await interrupt(sessions[0], provider)
            deadline = time.monotonic() + DEADLINE
            while compressed and not all(list((directory / "logs").glob(f"{name}.*[0-9].gz")) for name in LOGS):
                assert time.monotonic() < deadline, sorted(path.name for path in (directory / "logs").iterdir())
                await asyncio.sleep(0.02)
        return sessions

    with Provider(outcome=last_word) as provider:
        sessions = asyncio.run(conversation(provider))
        assert [session.lost for session in sessions] == [[], []]
        found = Run(directory, provider.ledger, sessions, [])
        found.requests = check.requests(found.ledger, found.outcomes, cancelled=side == "after")
        return found


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run("before", tmp_path_factory.mktemp("before"), twenty_three_calls(), interrupted=True)


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run("after", tmp_path_factory.mktemp("after"), twenty_three_calls(), interrupted=True)


@pytest.fixture(params=("before", "after"))
def either(request: pytest.FixtureRequest) -> Run:
    side: Run = request.getfixturevalue(request.param)
    return side


def changes(name: str) -> tuple[list[str], list[str]]:
    """The lines that are new after, and those that are gone; empty ones and brackets alone do not count."""
    old, new = ((EXAMPLES / side / f"{name}-mcp.py").read_text() for side in ("before", "after"))
    # log_cost() of the file before is what logspool brings, so that its lines count once, as one.
    old = re.sub(r"^def log_cost\(.*?(?=^@)", "def log_cost\n\n\n", old, flags=re.DOTALL | re.MULTILINE)
    lines = [line for line in difflib.ndiff(old.splitlines(), new.splitlines()) if line.strip("+-()},: ")]
    added, removed = ([line[2:].strip() for line in lines if line.startswith(sign)] for sign in ("+ ", "- "))
    return added, removed


def test_the_sides_differ_in_a_handful_of_lines() -> None:  # req 7, 9
    for name, added_at_most, removed_at_most in ((LLM, 11, 42), (ROUTING, 4, 15)):
        added, removed = changes(name)
        assert len(added) <= added_at_most, added
        assert len(removed) <= removed_at_most, removed


def test_where_something_is_logged_nothing_changes_but_what_http_capture_logs_itself() -> None:  # req 7, 45
    for name in SERVERS:
        old, new = ((EXAMPLES / side / f"{name}-mcp.py").read_text() for side in ("before", "after"))
        calls = [re.findall(r"logger\.\w+\(.*?(?=\n {0,8}\S|\n\n)", text, re.DOTALL) for text in (old, new)]
        gone = [call for call in calls[0] if call not in calls[1]]
        assert [call for call in calls[1] if call not in calls[0]] == []
        assert ['"event": "openrouter_request"' in call for call in gone] == [True] * (name == LLM)
        assert ("log_cost(" in old, "log_cost(" in new) == (name == LLM, False)


def test_a_server_writes_only_json_rpc_to_standard_output_and_ends_well(either: Run) -> None:  # req 8
    for session in either.sessions:
        assert check.stdout_complaints(session) == []
        answered = [outcome for outcome in session.outcomes if outcome.text != "cancelled"]
        assert len(session.stdout.read_bytes().splitlines()) >= len(answered)
        assert session.exit_status == 0


def test_calls_fail_only_where_the_provider_or_the_arguments_fail(either: Run) -> None:
    assert len(either.outcomes) == len(twenty_three_calls()) + INTERRUPTED == 30
    assert {entry.outcome for entry in either.ledger} == {"ok", *FAILURES, "endless"}
    made = check.requests(either.ledger, either.outcomes)
    assert check.failure_complaints(either.outcomes, made) == []
    # "limited" succeeds in the end; of those that are interrupted, one does.
    assert sum(outcome.failed for outcome in either.outcomes) == len(FAILURES) - 1 + 3 + INTERRUPTED - 1


def test_the_costs_equal_the_providers_ledger_to_the_last_digit(either: Run) -> None:  # req 43
    costs = either.records(check.COSTS)
    assert check.ledger_complaints(costs, either.requests) == []
    # Fourteen calls reach the provider, one of them twice. Of those that are interrupted, three find nobody there.
    assert len(either.ledger) == 15 + INTERRUPTED - 3
    billed = check.total(entry.cost for entry in either.ledger)
    assert check.total(check.cost_view(record)["cost"] for record in costs) == billed > 0


def test_the_table_of_costs_equals_the_providers_ledger_to_the_last_digit(after: Run) -> None:  # req 43
    made = check.requests(after.ledger, after.outcomes)
    assert check.table_complaints(after.logs, made) == []
    rows = check.cost_table(made)
    assert {tier for tier, _ in rows} == {"fast", "balanced", "deep"}
    assert sum(row[0] for row in rows.values()) == len(after.records(check.COSTS)) == 15 + INTERRUPTED
    assert all(0 < unknown < calls and usd > 0 for calls, unknown, _, _, usd in rows.values())


def test_every_failure_is_one_record_that_says_what_became_of_the_request(after: Run) -> None:  # req 45
    found = Counter(
        (record["level"], record["fields"]["outcome"], record["fields"]["http_status"])
        for record in after.records(f"{LLM}.jsonl")
        if record["event"] == "openrouter_request" and record["fields"]["outcome"] not in ("ok", "cancelled")
    )
    assert found == {
        ("WARNING", "http_error", 429): 2,
        ("WARNING", "http_error", 500): 1,
        ("ERROR", "timeout", None): 1,
        ("ERROR", "error", None): 1,  # reset before the answer
        ("ERROR", "broken", 200): 3,  # reset within it, ended before the usage, ended after it
        ("ERROR", "connect_error", None): 3,
    }


def test_a_stream_that_breaks_after_its_usage_is_paid_and_before_it_is_not(either: Run) -> None:  # req 43
    costs = {record["request_id"]: check.cost_view(record) for record in either.records(check.COSTS)}
    (unfinished,), (broken,) = (
        [entry for entry in either.ledger if entry.outcome == outcome] for outcome in ("unfinished", "broken")
    )
    assert costs[unfinished.request_id]["cost"] == unfinished.cost is not None
    assert costs[broken.request_id]["cost"] is broken.cost is None


def test_a_cancelled_call_is_in_the_logs_only_after(before: Run, after: Run) -> None:  # req 45
    for side, wanted in ((before, 0), (after, 1)):
        cancelled = [entry.request_id for entry in side.ledger if entry.outcome == "endless"]
        costs = Counter(record["request_id"] for record in side.records(check.COSTS))
        assert [costs[request_id] for request_id in cancelled] == [wanted] * 3
    told = [
        record
        for record in after.records(f"{LLM}.jsonl")
        if record["event"] == "openrouter_request" and record["fields"]["outcome"] == "cancelled"
    ]
    assert {record["request_id"] for record in told} == {e.request_id for e in after.ledger if e.outcome == "endless"}
    assert len(told) == 3


def test_both_sides_paid_the_same(before: Run, after: Run) -> None:
    assert check.total(e.cost for e in before.ledger) == check.total(e.cost for e in after.ledger)


def test_every_request_and_routing_call_is_logged_once_and_in_order(after: Run) -> None:
    assert check.log_complaints(after.logs, after.outcomes, after.requests) == []


def test_every_tool_call_has_a_record_of_its_own(after: Run) -> None:  # req 5, 13
    assert check.tool_call_complaints(after.logs, after.outcomes) == []
    for name in SERVERS:
        calls = [record for record in after.records(f"{name}.jsonl") if record["event"] == "tool_call"]
        assert len(calls) == sum(outcome.call.server == name for outcome in after.outcomes)
        assert len({record["session_id"] for record in calls}) == 1  # one connection
        assert len({record["request_id"] for record in calls}) == len(calls)
        assert {record["fields"]["server"] for record in calls} == {name}
        assert all(record["fields"]["duration_ms"] > 0 for record in calls)
        # One that was cancelled has no result.
        sizes = [record["fields"].get("result_size") for record in calls if record["level"] != "WARNING"]
        assert all(size > 0 for size in sizes) and len(calls) - len(sizes) == 3 * (name == LLM)


def test_the_logs_keep_the_names_that_people_and_scripts_know(after: Run) -> None:  # req 27
    for name in LOGS:
        plain = (after.logs / name).read_text().splitlines()
        assert plain == check.lines(check.segments(after.logs, name)[-1]), name


def test_every_record_has_the_keys_of_the_schema(after: Run) -> None:  # req 13
    own = 0
    for name, service in zip(LOGS, (LLM, LLM, ROUTING), strict=True):
        for record in after.records(name):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record["ts"]), record
            assert record["level"] in ("INFO", "WARNING", "ERROR"), record
            assert {type(record[key]) for key in ("logger", "event", "thread", "service", "seq")} == {str}, record
            assert type(record["pid"]) is int, record
            assert record["service"] == service, record
            if record.get("tool"):
                own += 1
                assert record["tool"] in ("infer", "validate_routing", "track_routing", "routing_summary"), record
                # What the caller names as its session, or else the connection.
                session = record["session_id"]
                assert session in ("s-1", "s-unknown") or re.fullmatch(r"mcp_[0-9a-f]{16}", session), record
            if record["event"] in ("openrouter_request", "openrouter_cost"):
                assert REQUEST_ID.fullmatch(record["request_id"]), record
    assert own >= len(twenty_three_calls())


def test_cost_records_have_the_keys_of_an_llm_call(after: Run) -> None:  # req 14, 43
    for record in after.records(check.COSTS):
        assert (record["event"], record["logger"]) == ("openrouter_cost", "logspool.cost")
        fields = record["fields"]
        assert {"tier_id", "model", "tokens", "cost", "latency_ms", "http_status", "provider"} <= fields.keys()
        assert {"prompt", "completion", "total"} <= fields["tokens"].keys()
        assert {"input", "output", "total"} <= fields["cost"].keys()
        assert fields["provider"] == "openrouter"
        assert fields["latency_ms"] > 0
        if fields["cost"]["total"] is None:  # what is not known is null, never 0
            assert set(fields["tokens"].values()) == {None}
        else:
            assert fields["tokens"]["total"] == fields["tokens"]["prompt"] + fields["tokens"]["completion"]


def test_a_cost_is_its_sessions_or_else_its_connections(after: Run) -> None:  # req 14
    sessions = Counter(record["session_id"] for record in after.records(check.COSTS))
    assert sessions.pop("s-1") == 15 + INTERRUPTED - 1
    ((connection, count),) = sessions.items()
    assert count == 1
    assert {connection} == {
        record["session_id"] for record in after.records(f"{LLM}.jsonl") if record["event"] == "tool_call"
    }


def test_routing_records_have_the_keys_of_a_routing_call(after: Run) -> None:  # req 15
    events = ("routing_validated", "routing_tracked")
    routed = [record for record in after.records(f"{ROUTING}.jsonl") if record["event"] in events]
    assert len(routed) == 6
    for record in routed:
        assert record["session_id"] == "s-1"
        fields = record["fields"]
        assert fields["recommended_tool"] == "git-mcp"
        assert fields["detected_domain"] == "version_control"
        assert fields["is_compliant"] is (fields["selected_tool"] == "git-mcp")
        approval = "approved" if fields["is_compliant"] else "rejected"
        assert fields["status"] == ("success" if record["event"] == "routing_tracked" else approval)


def test_a_broken_stream_is_logged_with_its_traceback(after: Run) -> None:  # req 19
    (broken,) = (entry.request_id for entry in after.ledger if entry.outcome == "broken")
    (record,) = (
        record for record in after.records(f"{LLM}.jsonl") if "exception" in record and record["request_id"] == broken
    )
    assert (record["level"], record["event"]) == ("ERROR", "connection to the provider failed")
    assert record["exception"]["type"].endswith("RemoteProtocolError")
    assert "Traceback" in record["exception"]["stacktrace"]


def test_the_providers_key_is_in_no_file(either: Run) -> None:  # req 30
    assert check.secret_complaints(either.directory) == []


def test_levels_come_from_the_environment_and_costs_are_always_kept(tmp_path: Path) -> None:  # req 38, 43
    quiet = run("after", tmp_path, [infer(0), infer(1, "error")], LOG_LEVEL="WARNING")
    events = [(record["level"], record["event"]) for record in quiet.records(f"{LLM}.jsonl")]
    assert events == [("WARNING", "openrouter_request"), ("ERROR", "tool_call")]
    assert check.ledger_complaints(quiet.records(check.COSTS), quiet.requests) == []


def test_the_three_logs_rotate_and_are_compressed_while_the_servers_run(tmp_path: Path) -> None:  # req 24, 25
    routed = {"task": "merge the branch", "session_id": "s-1", "selected_tool": "git-mcp"}
    calls = [infer(number) for number in range(20)] + [Call(ROUTING, "validate_routing", routed)] * 20
    rotated = run("after", tmp_path, calls, compressed=True, LOG_ROTATE_SIZE="2048", LOG_BACKUPS="100")
    assert all(len(check.segments(rotated.logs, name)) >= 3 for name in LOGS)
    assert check.ledger_complaints(rotated.records(check.COSTS), rotated.requests) == []
    assert check.log_complaints(rotated.logs, rotated.outcomes, rotated.requests) == []


def test_kill_9_loses_no_cost_record_whose_tool_call_had_returned(tmp_path: Path) -> None:  # req 6, 43
    server, logs = EXAMPLES / "after" / f"{LLM}-mcp.py", tmp_path / "logs"
    returned: list[str] = []

    async def killed_after(count: int, first: int, environment: dict[str, str]) -> None:
        """Kills the server when `count` calls have returned and others are under way.

        After the first call the lock under which the costs are written is ours, so that the writer cannot get at them.
        """
        early = len(returned)
        dead = False

        async def one(number: int) -> None:
            nonlocal dead
            outcome = await session.call(infer(number))
            if not dead:
                returned.append(REQUEST_ID.findall(outcome.text)[-1])
                if len(session.outcomes) == count:
                    dead = True
                    os.kill(session.pid, signal.SIGKILL)

        with ExitStack() as held:
            async with serve(server, tmp_path, environment) as session:
                await one(first)
                state = held.enter_context((logs / ".logspool" / f"{check.COSTS}.state").open())
                fcntl.flock(state, fcntl.LOCK_EX)
                others = (one(first + number) for number in range(1, count + 8))
                await asyncio.gather(*others, return_exceptions=True)
            written = {record["request_id"] for record in check.records(logs, check.COSTS)}
        assert session.exit_status == -signal.SIGKILL
        assert not written & set(returned[early + 1 :])  # or the test would prove nothing

    async def rounds(provider: Provider) -> None:
        environment = {"OPENROUTER_BASE_URL": provider.url, "LOG_ROTATE_SIZE": "4096", "LOG_BACKUPS": "100"}
        for number, count in enumerate((4, 12, 24)):
            await killed_after(count, 100 * number, environment)
        async with serve(server, tmp_path, environment) as session:  # recovers what the last one left
            await session.client.list_tools()

    with Provider(outcome=last_word) as provider:
        asyncio.run(rounds(provider))
        known = {entry.request_id: entry for entry in provider.ledger}
    costs = check.records(logs, check.COSTS)
    kept = [record["request_id"] for record in costs]
    assert len(returned) == 4 + 12 + 24
    assert set(returned) <= set(kept)
    # Of the calls that were under way some have a record; none has two, and each has the right cost.
    assert check.ledger_complaints(costs, [known[request_id] for request_id in kept]) == []
    for name in (f"{LLM}.jsonl", check.COSTS):
        assert check.sequence_complaints(name, check.records(logs, name)) == []


def test_the_demo_runs_twice_measures_every_record_and_its_commands_work(tmp_path: Path) -> None:
    for calls in ("5", "60"):  # the second run in the directory of the first
        command = [sys.executable, str(EXAMPLES / "demo.py"), str(tmp_path / "demo"), "--calls", calls]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
    for part in ("What the tool calls cost", "openrouter-costs.jsonl.000001", "all logging of one tool call", "jq"):
        assert part in done.stdout

    for side, name in itertools.product(("before", "after"), SERVERS):
        timing = json.loads((tmp_path / "demo" / side / f"{name}.timing.json").read_text())
        kinds = Counter(kind for _, kind, _ in timing["spans"])
        logs = tmp_path / "demo" / side / "logs"
        if side == "before":
            text = (logs / f"{name}.log").read_text()
            assert kinds["log"] == len(re.findall(r"^\d{4}-\d\d-\d\d .* - [A-Z]+ - ", text, re.MULTILINE)) > 0
        else:
            written = check.records(logs, f"{name}.jsonl")
            # HTTP capture makes a record of each request, and of its cost, in one go.
            requests = sum(record["event"] == "openrouter_request" for record in written)
            assert kinds["log"] == len(written) - requests > 0
            assert kinds["http"] == requests == (len(check.records(logs, check.COSTS)) if name == LLM else 0)
            # The clock leaves no trace in the records: they name the server's own lines.
            assert {r["src"]["file"].rpartition("/")[2] for r in written if r["logger"] == name} == {f"{name}-mcp.py"}
        own = side == "before" and name == LLM
        assert kinds["cost"] == (len(check.records(logs, check.COSTS)) if own else 0)

    for paragraph in NEXT.strip().split("\n\n"):
        if "jq" in paragraph and shutil.which("jq") is None:
            continue
        # `tail -F` follows for ever: here until it has shown a line, and at most 5 s.
        script = paragraph.replace("tail -F", "timeout 5 tail -n +1 -F")
        script += " | head -n 1" if "tail" in script else ""
        shown = subprocess.run(["sh", "-c", script], cwd=tmp_path / "demo/after/logs", capture_output=True, timeout=30)
        assert shown.returncode == 0, (paragraph, shown.stderr)
        assert shown.stdout, paragraph


def test_the_calls_of_the_demo_meet_every_outcome() -> None:
    outcome = seeded(1)
    met = set()
    for call in workload(200):
        if call.server == LLM and not call.fails:
            drawn = outcome(call.arguments["prompt"], 0)
            streamed = call.arguments["stream"]
            met.add((drawn, streamed) if drawn == "reset" else (drawn, streamed or drawn not in ONLY_STREAMS))
    assert {("reset", False), *((name, True) for name, _ in OUTCOMES if name != "endless")} <= met


def test_the_demo_refuses_a_directory_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("irreplaceable")
    done = subprocess.run([sys.executable, str(EXAMPLES / "demo.py"), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode != 0
    assert "not made by this demo" in done.stderr
    assert (tmp_path / "thesis.tex").read_text() == "irreplaceable"
