"""`logspool.mcp.guard_stdout`: standard output is the protocol's, and what else is written there becomes records."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from logfiles import records
from mcp import Client, StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError

TEE = Path(__file__).resolve().parents[2] / "examples" / "_stdout_tee.py"
Script = Callable[..., subprocess.CompletedProcess[str]]

# A stdio server that does what must not be done, all at once.
NOISY = """
    import asyncio, ctypes, logging, os, socket, subprocess, sys, threading
    import anyio

    print("printed before anything was imported")
    {first}
    from mcp.server import MCPServer
    import logspool, logspool.mcp
    import uvicorn

    mcp = MCPServer("noisy")
    logspool.basicConfig(filename="noisy.jsonl", level="INFO")
    log = logging.getLogger("app")
    libc = ctypes.CDLL(None)
    early = sys.stdout
    {then}
    logspool.mcp.instrument(mcp)
    console = logging.StreamHandler(sys.stdout)
    logging.getLogger("chatty").addHandler(console)

    @mcp.tool()
    async def noise(number: int) -> int:
        print("printed", number)
        print("in", "pieces", number, sep="-", end="")
        print(end="!\\n", flush=True)
        sys.stdout.buffer.write(b"bytes %d\\n" % number)
        early.write("early %d\\n" % number)
        libc.puts(b"puts %d" % number)
        os.write(1, b"write %d\\n" % number)
        await anyio.to_thread.run_sync(subprocess.check_call, ["echo", "child", str(number)])
        thread = threading.Thread(target=print, args=("thread", number), name="printer")
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        logging.getLogger("chatty").warning("chatty %d", number)
        return number

    @mcp.tool()
    async def serve() -> str:
        async def app(scope, receive, send):
            await send({{"type": "http.response.start", "status": 200, "headers": []}})
            await send({{"type": "http.response.body", "body": b"fine"}})

        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(b"GET /health HTTP/1.0\\r\\n\\r\\n")
        await reader.read()
        server.should_exit = True
        await serving
        return "served"

    @mcp.tool()
    def crash(how: str) -> str:
        libc.puts(b"the last words of C")
        libc.printf(b"and half a line")
        if how == "abort":
            libc.abort()
        libc.printf(b"%s", ctypes.c_void_p(8))  # in the middle of a write
        return "alive"

    if __name__ == "__main__":
        mcp.run("stdio")
        print("after the server ended")
"""
GUARD = "import logspool.mcp; logspool.mcp.guard_stdout()"


def run(tmp_path: Path, code: str, *calls: tuple[str, dict[str, Any]]) -> tuple[list[Any], list[str]]:
    """Calls tools of a server over stdio; their results, and every line of its standard output."""
    (tmp_path / "noisy.py").write_text(__import__("textwrap").dedent(code), encoding="utf-8")
    captured = tmp_path / "noisy.stdout"
    parameters = StdioServerParameters(
        command=sys.executable, args=[str(TEE), str(captured), sys.executable, "noisy.py"], cwd=tmp_path
    )
    results: list[Any] = []

    async def talk() -> None:
        with (tmp_path / "noisy.stderr").open("w") as errors:
            async with Client(stdio_client(parameters, errlog=errors)) as client:
                for tool, arguments in calls:
                    try:
                        result = await asyncio.wait_for(client.call_tool(tool, arguments), 30)
                        results.append(next(iter((result.structured_content or {"": None}).values())))
                    except MCPError as error:
                        results.append(error)

    asyncio.run(talk())
    return results, captured.read_text(encoding="utf-8").splitlines()


def pure(lines: list[str]) -> bool:
    return all(json.loads(line)["jsonrpc"] == "2.0" for line in lines)


@pytest.mark.parametrize("when", ["before the SDK is imported", "after"])
def test_every_line_on_standard_output_is_the_protocols(tmp_path: Path, when: str) -> None:  # req 8
    first, then = ("", GUARD) if when == "after" else (GUARD, "")
    asked = [("noise", {"number": number}) for number in range(5)]
    results, lines = run(tmp_path, NOISY.format(first=first, then=then), *asked, ("serve", {}))
    assert results == [0, 1, 2, 3, 4, "served"], (tmp_path / "noisy.stderr").read_text()
    assert len(lines) > 6 and pure(lines)

    found = records(tmp_path / "noisy.jsonl")
    mine = [r for r in found if r["logger"] == "stdout"]
    words = ("printed {}", "in-pieces-{}!", "bytes {}", "early {}", "puts {}", "write {}", "child {}", "thread {}")
    expected = Counter(word.format(number) for word in words for number in range(5))
    # What was printed before there was a log goes to standard error if the guard stood then, else it is a record.
    assert (
        Counter(r["event"] for r in mine)
        - Counter(
            ["printed before anything was imported", "after the server ended"] + [f"chatty {n}" for n in range(5)]
        )
        - Counter(r["event"] for r in mine if "/health" in r["event"])
        == expected
    )
    assert "after the server ended" in [r["event"] for r in mine]
    early = (tmp_path / "noisy.stderr").read_text() + "\n".join(r["event"] for r in mine)
    assert early.count("printed before anything was imported") == 1
    # The chatty handler's lines came by another way, and are there as such.
    assert Counter(r["event"] for r in found if r["event"].startswith("chatty"))["chatty 3"] == 2

    by_event = {r["event"]: r for r in mine}
    printed = by_event["printed 2"]
    assert printed["tool"] == "noise" and printed["request_id"] and printed["session_id"]
    assert printed["src"]["function"] == "noise" and printed["src"]["file"].endswith("noisy.py")
    assert printed["fields"] == {"source": "print"}
    assert by_event["bytes 2"]["src"]["function"] == "noise"
    assert by_event["thread 2"]["thread"] == "printer"
    assert by_event["puts 2"]["fields"] == {"source": "descriptor"} and "thread" not in by_event["puts 2"]


def test_the_documents_example_runs_as_printed(tmp_path: Path) -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "mcp.md").read_text(encoding="utf-8")
    results, lines = run(tmp_path, document.split("```python\n")[1].split("```")[0], ("price", {"item": "tea"}))
    assert results == [3.5] and pure(lines)
    found = [r for r in records(tmp_path / "logs" / "shop.jsonl") if r.get("tool") == "price"]
    assert {r["event"] for r in found} == {"looking up tea", "no harm done", "tool_call"}
    assert len({(r["session_id"], r["request_id"]) for r in found}) == 1


@pytest.mark.parametrize(("how", "told"), [("abort", "Aborted"), ("write", "Segmentation fault")])
def test_print_uvicorn_and_a_crashing_c_write_leave_standard_output_pure(
    tmp_path: Path, how: str, told: str
) -> None:  # req 8
    code = NOISY.format(first="", then=GUARD)
    results, lines = run(
        tmp_path, code, ("noise", {"number": 1}), ("serve", {}), ("noise", {"number": 2}), ("crash", {"how": how})
    )
    assert results[:3] == [1, "served", 2] and isinstance(results[3], MCPError)
    assert len(lines) > 3 and pure(lines)
    status = (tmp_path / "noisy.stdout.exit").read_text()
    assert int(status) == -(signal.SIGABRT if how == "abort" else signal.SIGSEGV)
    assert [path.name for path in tmp_path.glob(".noisy.jsonl.crash-*")]

    results, lines = run(tmp_path, code, ("noise", {"number": 3}))
    assert results == [3] and pure(lines)
    found = records(tmp_path / "noisy.jsonl")
    logged = {r["event"] for r in found}
    assert {f"printed {n}" for n in (1, 2, 3)} | {"puts 3", "write 3", "child 3"} <= logged
    assert [r["event"] for r in found if "GET /health" in r["event"]]  # uvicorn's access line, which it prints
    (crash,) = [r for r in found if r["event"] == "crashed"]
    assert crash["level"] == "CRITICAL" and f"Fatal Python error: {told}" in crash["message"]
    assert 'noisy.py", line' in crash["fields"]["stacktrace"]
    assert not list(tmp_path.glob(".noisy.jsonl.crash-*"))


def test_the_crash_file_leaves_the_spools_own_signal_alone(script: Script, tmp_path: Path) -> None:
    script(
        """
        import ctypes, faulthandler, glob, logspool, logspool.mcp, signal
        logspool.basicConfig(filename="out.jsonl")
        def action():
            found = ctypes.create_string_buffer(1024)
            assert ctypes.CDLL(None).sigaction(signal.SIGBUS, None, found) == 0
            return found.raw[:8]  # the handler; of the rest the C library leaves much as it was
        before = action()
        assert any(before)
        with logspool.mcp.guard_stdout():
            assert faulthandler.is_enabled() and action() == before and glob.glob(".out.jsonl.crash-*")
        assert not faulthandler.is_enabled() and action() == before and not glob.glob(".out.jsonl.crash-*")
        faulthandler.enable()
        with logspool.mcp.guard_stdout():
            assert not glob.glob(".out.jsonl.crash-*")
        assert faulthandler.is_enabled()
        """,
    )


def test_whoever_writes_waits_for_nobody_and_nothing_is_lost_at_exit(script: Script, tmp_path: Path) -> None:  # req 1
    # With the GIL held, several times what a pipe holds, and nobody else can run meanwhile.
    result = script(
        """
        import ctypes, logspool, logspool.mcp, os, subprocess, sys
        logspool.basicConfig(filename="out.jsonl", when_full="block", block_timeout=None)
        logspool.mcp.guard_stdout()
        holding = ctypes.PyDLL(None)
        for number in range(20_000):
            holding.write(1, b"line %06d %s\\n" % (number, b"x" * 80), 93)
        print("no newline at the end", end="")
        ctypes.CDLL(None).printf(b"nor here")
        """,
        env={"PYTHONUNBUFFERED": ""},
    )
    assert result.stdout == "" and result.stderr == ""
    mine = [r["event"] for r in records(tmp_path / "out.jsonl") if r["logger"] == "stdout"]
    assert [line[:11] for line in mine if line.startswith("line")] == [f"line {number:06}" for number in range(20_000)]
    assert sorted(mine[20_000:]) == ["no newline at the end", "nor here"]


def test_the_last_words_of_exit_hooks_do_not_reach_the_protocol(script: Script, tmp_path: Path) -> None:  # req 8
    result = script(
        """
        import atexit, ctypes, logspool, logspool.mcp, os
        libc = ctypes.CDLL(None)
        def late():  # runs after the guard's own hook, which was registered later
            print("printed late")
            os.write(1, b"written late\\n")
            libc.printf(b"printed by C and never flushed")
        atexit.register(late)
        logspool.basicConfig(filename="out.jsonl")
        logspool.mcp.guard_stdout().protocol.write(b"protocol\\n")
        """,
    )
    assert result.stdout == "protocol\n"
    assert "written late" in result.stderr and "printed by C and never flushed" in result.stderr
    assert [r["event"] for r in records(tmp_path / "out.jsonl") if r["logger"] == "stdout"] == ["printed late"]


def test_a_line_of_c_code_is_there_when_it_ends(script: Script) -> None:
    script(
        """
        import ctypes, logspool, logspool.mcp, pathlib
        logspool.basicConfig(filename="out.jsonl")
        guard = logspool.mcp.guard_stdout()
        ctypes.CDLL(None).puts(b"not flushed by anybody")
        guard._diverted.drain()
        logspool.flush()
        assert "not flushed by anybody" in pathlib.Path("out.jsonl").read_text()
        """,
        env={"PYTHONUNBUFFERED": ""},
    )


def test_of_a_flood_the_oldest_is_skipped_and_that_is_said(script: Script, tmp_path: Path) -> None:  # req 4
    script(
        """
        import ctypes, logspool, logspool.mcp, os
        logspool.basicConfig(filename="out.jsonl", when_full="block", block_timeout=None)
        guard = logspool.mcp.guard_stdout()
        flood = (b"y" * 1023 + b"\\n") * 16_384
        holding = ctypes.PyDLL(None)
        holding.write(1, flood, len(flood))
        print("still here")
        guard._diverted.drain()
        # What is recorded takes no memory any more.
        assert os.fstat(1).st_size >= 16 << 20 and os.fstat(1).st_blocks * 512 <= 1 << 20
        """,
    )
    found = [r for r in records(tmp_path / "out.jsonl") if r["logger"] == "stdout"]
    lines = [r for r in found if r["event"].startswith("yyy")]
    (skipped,) = [r for r in found if "were skipped" in r["event"]]
    assert skipped["level"] == "WARNING"
    number = int(skipped["event"].split()[0])
    assert number + sum(len(r["event"]) + 1 for r in lines) == 16 << 20
    assert "still here" in [r["event"] for r in found]


def test_long_lines_are_cut_and_odd_ones_are_kept(script: Script, tmp_path: Path) -> None:  # req 16, 34
    script(
        """
        import io, logspool, logspool.mcp, os, sys
        logspool.basicConfig(filename="out.jsonl", max_field="1MB", max_record="4MB")
        logspool.mcp.guard_stdout()
        print("p" * 20_000)
        os.write(1, b"w" * 100_000 + b"\\n")
        os.write(1, "été ".encode() + b"\\xff\\r\\n")
        print("100% {} %s \\ud800")
        sys.stdout.buffer.write("naïve\\n".encode())
        sys.stdout.writelines(["a\\nb", "c\\n"])
        print("\\n\\n   ")
        for wrong in (b"bytes", None):
            try:
                sys.stdout.write(wrong)
            except TypeError:
                print("refused")
        assert not sys.stdout.isatty() and sys.stdout.writable() and sys.stdout.fileno() == 1
        sys.stdout.reconfigure(line_buffering=True)
        try:
            sys.stdout.detach()
        except io.UnsupportedOperation:
            print("kept")
        sys.stdout.close()
        print("still open")
        """,
    )
    mine = [r for r in records(tmp_path / "out.jsonl") if r["logger"] == "stdout"]
    assert sorted((len(r["event"]), r["fields"]["cut"]) for r in mine if "cut" in r["fields"]) == [
        (16_384, 3_616),
        (16_384, 83_616),
    ]
    short = Counter(r["event"] for r in mine if "cut" not in r["fields"])
    odd = next(event for event in short if event.startswith("100%"))
    assert odd.startswith("100% {} %s ")
    assert short - Counter([odd]) == Counter(
        ["été \\xff", "naïve", "a", "bc", "refused", "refused", "kept", "still open"]
    )


def test_a_truncated_descriptor_begins_anew(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logspool, logspool.mcp, os, subprocess
        logspool.basicConfig(filename="out.jsonl")
        guard = logspool.mcp.guard_stdout()
        os.write(1, b"a long line that is followed by a shorter one\\n")
        guard._diverted.drain()
        subprocess.check_call("echo truncated > /dev/stdout; echo and more", shell=True)
        """,
    )
    mine = [r["event"] for r in records(tmp_path / "out.jsonl") if r["logger"] == "stdout"]
    assert mine == ["a long line that is followed by a shorter one", "truncated", "and more"]


def test_closed_it_is_as_it_was(script: Script, tmp_path: Path) -> None:
    result = script(
        """
        import logging, logspool, logspool.mcp, os, sys, threading
        logspool.basicConfig(filename="out.jsonl")
        before = sys.stdout, sys.__stdout__, sys.excepthook, threading.excepthook, os.fstat(1)
        handler = logging.StreamHandler(sys.stdout)
        with logspool.mcp.guard_stdout() as guard:
            assert logspool.mcp.guard_stdout() is guard
            guard.close()
            assert not guard.closed and handler.stream is sys.stdout
            print("inside")
            os.write(1, b"inside, too\\n")
            guard.protocol.write(b"protocol\\n")
        assert guard.closed
        guard.close()
        assert before == (sys.stdout, sys.__stdout__, sys.excepthook, threading.excepthook, os.fstat(1))
        assert handler.stream is sys.stdout
        print("outside", flush=True)
        os.write(1, b"outside, too\\n")
        with logspool.mcp.guard_stdout():
            print("again")
        print("outside again")
        """,
    )
    assert result.stdout.splitlines() == ["protocol", "outside", "outside, too", "outside again"]
    mine = [r["event"] for r in records(tmp_path / "out.jsonl") if r["logger"] == "stdout"]
    assert Counter(mine) == Counter(["inside", "inside, too", "again"])


def test_without_a_log_lines_go_to_standard_error(script: Script) -> None:
    result = script(
        """
        import logspool.mcp, os
        logspool.mcp.guard_stdout()
        print("printed")
        os.write(1, b"written\\n")
        """,
    )
    assert result.stdout == "" and sorted(result.stderr.splitlines()) == ["printed", "written"]


def test_a_handler_that_prints_has_no_echo(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool, logspool.mcp, sys
        early = logging.StreamHandler(sys.stdout)
        logspool.basicConfig(filename="out.jsonl")
        logging.getLogger().addHandler(early)
        logspool.mcp.guard_stdout()
        logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))
        print("once")
        logging.getLogger("app").warning("logged")
        """,
    )
    found = Counter((r["logger"], r["event"]) for r in records(tmp_path / "out.jsonl") if r["logger"] != "logspool")
    # The record itself, and what the two handlers print of it.
    assert found == {("stdout", "once"): 1, ("app", "logged"): 1, ("stdout", "logged"): 2}


def test_fatal_exceptions_are_records_and_printed_as_ever(script: Script, tmp_path: Path) -> None:  # req 19
    result = script(
        """
        import logspool, logspool.mcp, threading
        logspool.basicConfig(filename="out.jsonl")
        logspool.mcp.guard_stdout()
        def fail():
            raise LookupError("in a thread")
        thread = threading.Thread(target=fail, name="failing")
        thread.start()
        thread.join()
        raise ValueError("in the end")
        """,
        status=1,
    )
    assert result.stdout == ""
    assert "LookupError: in a thread" in result.stderr and "ValueError: in the end" in result.stderr
    first, second = [r for r in records(tmp_path / "out.jsonl") if r["event"] == "uncaught_exception"]
    assert (first["level"], first["thread"], first["fields"]["of_thread"]) == ("CRITICAL", "failing", "failing")
    assert first["exception"]["type"] == "LookupError" and second["exception"]["type"] == "ValueError"
    assert "server.py" in second["exception"]["stacktrace"]


def test_without_a_log_an_exception_is_printed_once(script: Script) -> None:
    result = script(
        "import logspool.mcp; logspool.mcp.guard_stdout(); raise ValueError('printed')",
        status=1,
    )
    assert result.stdout == "" and result.stderr.count("ValueError: printed") == 1


def test_without_fcntl_servers_are_instrumented_and_the_guard_says_what_is_missing(
    script: Script, tmp_path: Path
) -> None:
    # As on Windows. The module is hidden from what is imported after the SDK, which on this platform needs it.
    done = script(
        """
        import asyncio, sys
        from mcp import Client
        from mcp.server import MCPServer
        sys.modules["fcntl"] = None
        import logspool, logspool.mcp

        logspool.basicConfig(filename="a.jsonl", console=False)
        made = MCPServer("shop")
        logspool.mcp.instrument(made)

        @made.tool()
        def price(item: str) -> int:
            return 3

        async def run():
            async with Client(made) as client:
                await client.call_tool("price", {"item": "tea"})

        asyncio.run(run())
        before = sys.stdout
        for _ in range(2):
            try:
                logspool.mcp.guard_stdout()
            except OSError as error:
                print(error)
        assert sys.stdout is before
        """
    )
    said = "guard_stdout: this platform has no fcntl, without which standard output cannot be led aside"
    assert [said in line for line in done.stdout.splitlines()] == [True, True]
    assert [record["tool"] for record in records(tmp_path / "a.jsonl") if record["event"] == "tool_call"] == ["price"]


def test_forked_children_print_and_write_and_leave_the_protocol_alone(script: Script, tmp_path: Path) -> None:
    result = script(
        """
        import logspool, logspool.mcp, os, sys
        logspool.basicConfig(filename="out.jsonl")
        guard = logspool.mcp.guard_stdout()
        child = os.fork()
        print("printed by", "the child" if child == 0 else "the parent")
        os.write(1, b"written by the child\\n" if child == 0 else b"written by the parent\\n")
        if child == 0:
            guard.close()
            print("after the child's close")
            sys.exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        """,
        env={"PYTHONWARNINGS": "ignore::DeprecationWarning"},
    )
    assert result.stdout == ""
    mine = [r["event"] for r in records(tmp_path / "out.jsonl") if r["logger"] == "stdout"]
    assert Counter(mine) == Counter(
        f"{how} by the {who}" for how in ("printed", "written") for who in ("child", "parent")
    ) + Counter(["after the child's close"])


def printed(path: Path) -> list[tuple[str, str | None, str | None]]:
    """Events of the logger `stdout`, with their session and thread."""
    mine = [record for record in records(path) if record["logger"] == "stdout"]
    return [(record["event"], record.get("session_id"), record.get("thread")) for record in mine]


def test_a_line_that_one_call_leaves_unfinished_is_not_ended_by_another(
    tmp_path: Path, script: Script
) -> None:  # req 18
    script(
        """
        import asyncio, logspool, logspool.mcp
        from mcp import Client
        from mcp.server import MCPServer

        logspool.basicConfig(filename="out.jsonl", level="INFO")
        guard = logspool.mcp.guard_stdout()
        server = MCPServer("s")

        @server.tool()
        def plain(text: str, end: str) -> None:  # in a thread of a pool
            print(text, end=end)

        @server.tool()
        async def task(text: str, end: str) -> None:
            print(text, end=end)

        logspool.mcp.instrument(server)

        async def main():
            for tool in ("plain", "task"):
                for text, end in (("hers", ""), ("his", "\\n")):
                    async with Client(server, mode="legacy") as client:
                        result = await client.call_tool(tool, {"text": f"{tool} {text}", "end": end})
                        assert not result.is_error, result

        asyncio.run(main())
        with logspool.bound(session_id="nobody's"):
            guard.close()
        """
    )
    found = printed(tmp_path / "out.jsonl")
    assert sorted(event for event, _, _ in found) == ["plain hers", "plain his", "task hers", "task his"]
    sessions = [session for _, session, _ in found]
    assert len(set(sessions)) == 4 and not {None, "nobody's"} & set(sessions)


def test_what_c_code_writes_has_no_context(script: Script, tmp_path: Path) -> None:  # req 18
    script(
        """
        import logspool, logspool.mcp, os
        logspool.basicConfig(filename="out.jsonl")
        guard = logspool.mcp.guard_stdout()
        with logspool.bound(session_id="s-1"):
            os.write(1, b"written\\nnot ended")
            guard.close()
        """
    )
    assert printed(tmp_path / "out.jsonl") == [("written", None, None), ("not ended", None, None)]


def test_bytes_may_come_with_a_character_in_pieces(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logspool, logspool.mcp, sys
        logspool.basicConfig(filename="out.jsonl")
        logspool.mcp.guard_stdout()
        for byte in "naïve €\\n".encode():
            sys.stdout.buffer.write(bytes([byte]))
        sys.stdout.buffer.write(b"\\xe2\\x82")  # never ended
        """
    )
    assert [event for event, _, _ in printed(tmp_path / "out.jsonl")] == ["naïve €", "\\xe2\\x82"]


def test_a_forked_child_does_not_end_its_parents_line(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logspool, logspool.mcp, os, sys
        logspool.basicConfig(filename="out.jsonl")
        logspool.mcp.guard_stdout()
        print("begun, ", end="")
        child = os.fork()
        print("child" if child == 0 else "and ended")
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)
        """,
        env={"PYTHONWARNINGS": "ignore::DeprecationWarning"},
    )
    assert sorted(event for event, _, _ in printed(tmp_path / "out.jsonl")) == ["begun, and ended", "child"]


def test_the_transport_finds_the_protocol_behind_what_others_put_in_front_of_standard_output(
    tmp_path: Path,
) -> None:  # req 8
    code = """
        import logging, sys
        import logspool, logspool.mcp
        from mcp.server import MCPServer

        class Coloured:  # as colorama, rich's progress bars and others do it
            def __init__(self, wrapped):
                self._wrapped = wrapped

            def __getattr__(self, name):
                return getattr(self._wrapped, name)

            def write(self, text):
                return self._wrapped.write(text)

        mcp = MCPServer("coloured")
        logspool.basicConfig(filename="noisy.jsonl", level="INFO")
        logspool.mcp.guard_stdout()
        sys.stdout = Coloured(sys.stdout)

        @mcp.tool()
        def speak() -> str:
            print("spoken")
            sys.stdout.buffer.write(b"shouted\\n")
            return "done"

        @mcp.tool()
        async def buffer() -> str:  # which the SDK calls itself
            sys.stdout.buffer.write(b"buffered\\n")
            return "done"

        mcp.run("stdio")
    """
    results, output = run(tmp_path, code, ("speak", {}), ("buffer", {}))
    assert results == ["done"] * 2 and pure(output)
    assert {event for event, _, _ in printed(tmp_path / "noisy.jsonl")} == {"spoken", "shouted", "buffered"}
