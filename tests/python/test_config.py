"""basicConfig in place of the standard library's: what it replaces, keeps, refuses and reports."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from logfiles import events, lines, records

import logspool

Script = Callable[..., CompletedProcess[str]]


def test_logging_calls_stay_as_they_are(script: Script, tmp_path: Path) -> None:  # req 7
    script(
        """
        import logging
        import logspool
        logspool.basicConfig(filename="logs/llm-inference.jsonl", level=logging.INFO)
        logging.getLogger("llm").info("started %s", "now", extra={"tier": 2})
        logging.getLogger("llm").debug("too fine")
        logging.warning("from the root")
        """
    )
    written = records(tmp_path / "logs" / "llm-inference.jsonl")
    assert [(record["logger"], record["level"], record["event"]) for record in written] == [
        ("llm", "INFO", "started now"),
        ("root", "WARNING", "from the root"),
    ]
    assert written[0]["fields"] == {"tier": 2}


def test_an_imported_module_that_configured_logging_first_is_replaced(script: Script, tmp_path: Path) -> None:  # req 7
    (tmp_path / "noisy.py").write_text("import logging\nlogging.basicConfig(level=logging.DEBUG)\n")
    result = script(
        """
        import noisy
        import logging, logspool
        handler = logspool.basicConfig(filename="app.jsonl", console=False)
        assert logging.root.handlers == [handler], logging.root.handlers
        assert logging.root.level == logging.INFO
        logging.warning("once")
        """
    )
    replaced, once = records(tmp_path / "app.jsonl")
    assert once["event"] == "once"
    assert replaced["logger"] == "logspool"
    assert replaced["level"] == "INFO"
    assert replaced["fields"]["replaced"] == ["<StreamHandler <stderr> (NOTSET)>"]
    assert "once" not in result.stderr


def test_a_file_handler_at_the_root_is_replaced_and_closed(script: Script, tmp_path: Path) -> None:  # req 7
    script(
        """
        import logging
        logging.basicConfig(filename="old.log", level=logging.INFO)
        logging.info("before")
        old = logging.root.handlers[0]
        import logspool
        handler = logspool.basicConfig(filename="new.jsonl")
        assert old.stream is None
        assert handler.replaced == (f"<FileHandler {old.baseFilename} (NOTSET)>",), handler.replaced
        logging.info("after")
        """
    )
    assert (tmp_path / "old.log").read_text() == "INFO:root:before\n"
    assert events(tmp_path / "new.jsonl")[-1] == "after"


def test_handlers_of_other_libraries_stay(root: logging.Logger, tmp_path: Path) -> None:
    class Theirs(logging.StreamHandler):  # type: ignore[type-arg]
        pass

    theirs, null = Theirs(io.StringIO()), logging.NullHandler()
    root.addHandler(theirs)
    root.addHandler(null)
    handler = logspool.basicConfig(filename=tmp_path / "app.jsonl")
    assert theirs in root.handlers
    assert null in root.handlers
    assert handler in root.handlers
    assert handler.replaced == ()


def test_caplog_keeps_working(root: logging.Logger, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logspool.basicConfig(filename=tmp_path / "app.jsonl")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("captured").debug("seen")
    assert [record.message for record in caplog.records] == ["seen"]
    logspool.flush()
    assert events(tmp_path / "app.jsonl") == ["seen"]


def test_nothing_replaced_is_not_reported(root: logging.Logger, tmp_path: Path) -> None:
    root.handlers.clear()
    assert logspool.basicConfig(filename=tmp_path / "app.jsonl").replaced == ()
    logspool.flush()
    assert events(tmp_path / "app.jsonl") == []


def test_a_second_call_reconfigures_and_does_not_double(root: logging.Logger, tmp_path: Path) -> None:
    first = logspool.basicConfig(filename=tmp_path / "one.jsonl", level="DEBUG")
    logging.info("to the first")
    second = logspool.basicConfig(filename=tmp_path / "two.jsonl", level="ERROR")
    logging.error("to the second")
    logspool.flush()
    assert first not in root.handlers
    assert second in root.handlers
    assert root.level == logging.ERROR
    assert events(tmp_path / "one.jsonl") == ["to the first"]
    assert events(tmp_path / "two.jsonl") == ["to the second"]


def test_the_same_log_configured_twice_holds_each_record_once(root: logging.Logger, tmp_path: Path) -> None:
    logspool.basicConfig(filename=tmp_path / "app.jsonl")
    logging.error("one")
    logspool.basicConfig(filename=tmp_path / "app.jsonl")
    logging.error("two")
    logspool.flush()
    assert events(tmp_path / "app.jsonl") == ["one", "two"]


def test_a_spool_handler_that_someone_else_put_on_the_root_stays(root: logging.Logger, tmp_path: Path) -> None:
    theirs = logspool.SpoolHandler(tmp_path / "audit.jsonl")
    root.addHandler(theirs)
    logspool.basicConfig(filename=tmp_path / "app.jsonl")
    assert theirs in root.handlers


def test_force_true_removes_and_closes_every_handler(script: Script) -> None:
    script(
        """
        import logging, logspool
        class Theirs(logging.Handler):
            closed = False
            def close(self):
                Theirs.closed = True
        logging.root.addHandler(Theirs())
        handler = logspool.basicConfig(filename="app.jsonl", force=True)
        assert logging.root.handlers == [handler]
        assert Theirs.closed
        assert len(handler.replaced) == 1
        """
    )


def test_force_false_is_the_standard_librarys_no_op_rule(root: logging.Logger, tmp_path: Path) -> None:
    stream = logging.StreamHandler(io.StringIO())
    root.addHandler(stream)
    level, before = root.level, root.handlers[:]
    assert logspool.basicConfig(filename=tmp_path / "app.jsonl", level="ERROR", force=False) is None
    assert (root.level, root.handlers) == (level, before)
    assert list(tmp_path.iterdir()) == []
    handler = logspool.basicConfig(filename=tmp_path / "app.jsonl")
    assert logspool.basicConfig(filename=tmp_path / "other.jsonl", force=False) is handler


def test_level_none_leaves_the_level_alone(root: logging.Logger, tmp_path: Path) -> None:
    root.setLevel(17)
    logspool.basicConfig(filename=tmp_path / "app.jsonl", level=None)
    assert root.level == 17


# req 38, 40
def test_unusable_log_level_warns_once_and_is_ignored(script: Script, tmp_path: Path) -> None:
    result = script(
        """
        import logging, logspool
        logspool.basicConfig(filename="app.jsonl")
        logspool.basicConfig(filename="app.jsonl")
        assert logging.root.level == logging.INFO
        """,
        env={"LOG_LEVEL": "chatty"},
    )
    assert result.stdout == ""
    assert result.stderr.count("LOG_LEVEL='chatty'") == 1


def test_log_level_is_folded(script: Script) -> None:  # req 21, 38
    script(
        "import logging, logspool; logspool.basicConfig(filename='a.jsonl'); assert logging.root.level == 30",
        env={"LOG_LEVEL": "warn"},
    )


def test_unusable_logspool_level_fails_at_start(script: Script) -> None:
    result = script(
        "import logspool; logspool.basicConfig(filename='app.jsonl')",
        env={"LOGSPOOL_LEVEL": "chatty", "LOG_LEVEL": "DEBUG"},
        status=1,
    )
    assert "ValueError: LOGSPOOL_LEVEL='chatty': expected DEBUG, INFO" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_bytes": 1}, TypeError, "basicConfig() has no setting max_bytes; did you mean maxBytes?"),
        ({"levels": 1}, TypeError, "did you mean level?"),
        ({"mode": "a"}, TypeError, "did you mean"),
        ({"level": "loud"}, ValueError, "level='loud': expected DEBUG, INFO"),
        ({"level": 1.5}, TypeError, "level=1.5: expected DEBUG, INFO"),
        ({"filemode": "w"}, ValueError, "filemode='w': expected 'a': a log is never truncated"),
        ({"encoding": "ascii"}, ValueError, "encoding='ascii': expected utf-8"),
        ({"errors": "shrug"}, ValueError, "errors='shrug': expected the name of a codec error handler"),
        ({"style": "x"}, ValueError, "style='x': expected %, { or $"),
        ({"format": "no field", "style": "{"}, ValueError, "format='no field': invalid format"),
        ({"format": 3}, TypeError, "format=3: expected"),
        ({"datefmt": 3}, TypeError, "datefmt=3: expected"),
        ({"handlers": 3}, TypeError, "handlers=3: expected a list of logging.Handler"),
        ({"handlers": ["a"]}, TypeError, "handlers=['a']: expected a list of logging.Handler"),
        ({"filename": ""}, ValueError, "filename='': expected a path"),
        ({"filename": 3}, TypeError, "filename=3: expected a path"),
        ({"filename": "logs/"}, ValueError, "filename='logs/': expected a file, not a directory"),
        ({"filename": "/dev/stdout"}, ValueError, "standard output is never written"),
        ({"stream": 3}, ValueError, "stream=3: expected sys.stderr"),
        ({"console": "loud"}, ValueError, "console='loud': expected auto, true or false"),
        ({"console_level": "loud"}, ValueError, "console_level='loud': expected DEBUG"),
        ({"force": "hard"}, ValueError, "force='hard': expected true or false"),
        ({"fast": "very"}, ValueError, "fast='very': expected true or false"),
        ({"cost_filename": ""}, ValueError, "cost_filename='': expected a path"),
        ({"when_full": "drop_newset"}, ValueError, "did you mean drop_newest?"),
    ],
)
def test_what_is_not_allowed_fails_before_anything_is_changed(
    root: logging.Logger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    stream = logging.StreamHandler(io.StringIO())
    root.addHandler(stream)
    before = root.handlers[:], root.level
    with pytest.raises(error) as raised:
        logspool.basicConfig(**{"filename": "app.jsonl", **arguments})
    assert message in str(raised.value)
    assert (root.handlers, root.level) == before
    assert list(tmp_path.iterdir()) == []


def test_settings_of_later_versions_are_accepted(root: logging.Logger, tmp_path: Path) -> None:
    logspool.basicConfig(
        filename=tmp_path / "app.jsonl",
        fast=True,
        redact={"keys": ["shoe_size"]},
        sample={"httpx": 10},
        truncate={"response": 500},
    )


def test_variables_of_later_versions_are_accepted(script: Script) -> None:  # req 38
    result = script(
        "import logspool; logspool.basicConfig(filename='app.jsonl')",
        env={
            "LOG_REDACT": "true",
            "LOG_SAMPLE_HTTP": "10",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
            "OTEL_SDK_DISABLED": "true",
            "OTEL_BLRP_SCHEDULE_DELAY": "1000",
        },
    )
    assert result.stderr == ""


# -- stream, handlers, format --------------------------------------------------------------------------------------------


def test_a_stream_on_standard_output_is_refused(
    root: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:  # req 8
    for stream in (sys.stdout, sys.__stdout__, open(1, "w", closefd=False)):  # noqa: SIM115
        with pytest.raises(ValueError, match="standard output is never written"):
            logspool.basicConfig(stream=stream)


def test_file_and_stream_handlers_given_are_replaced_and_others_attached(
    root: logging.Logger, tmp_path: Path
) -> None:  # req 7, 8
    kept = logging.NullHandler()
    file = logging.FileHandler(tmp_path / "routing-metadata.jsonl")
    handler = logspool.basicConfig(
        level=logging.INFO,
        format="%(asctime)s - %(levelname)s - %(message)s",
        handlers=[file, logging.StreamHandler(sys.stderr), kept],
    )
    assert file not in root.handlers
    assert kept in root.handlers
    assert kept.formatter is not None
    assert handler.baseFilename == str(tmp_path / "routing-metadata.jsonl")
    assert len(handler.replaced) == 2
    logging.getLogger("routing").info("validated")
    logspool.flush()
    assert events(tmp_path / "routing-metadata.jsonl")[-1] == "validated"


def test_each_file_handler_given_keeps_its_path_level_and_filters(root: logging.Logger, tmp_path: Path) -> None:
    class Named(logging.Filter):
        pass

    everything = logging.FileHandler(tmp_path / "all.jsonl")
    errors = logging.FileHandler(tmp_path / "errors.jsonl")
    errors.setLevel(logging.ERROR)
    errors.addFilter(Named("app"))
    logspool.basicConfig(handlers=[everything, errors])
    logging.getLogger("app").info("fine")
    logging.getLogger("app").error("broken")
    logging.getLogger("other").error("elsewhere")
    logspool.flush()
    assert [event for event in events(tmp_path / "all.jsonl") if "replaced" not in event] == [
        "fine",
        "broken",
        "elsewhere",
    ]
    assert events(tmp_path / "errors.jsonl") == ["broken"]


def test_format_shapes_text_files(root: logging.Logger, tmp_path: Path) -> None:  # req 20
    logspool.basicConfig(
        filename=tmp_path / "app.log", json=False, format="{levelname}|{name}|{message}", style="{", level="DEBUG"
    )
    logging.getLogger("a.b").debug("text")
    logspool.flush()
    assert lines(tmp_path / "app.log") == ["DEBUG|a.b|text"]


def test_format_never_shapes_the_json(root: logging.Logger, tmp_path: Path) -> None:
    handler = logspool.basicConfig(filename=tmp_path / "app.jsonl", format="%(asctime)s %(message)s")
    logging.error("plain")
    logspool.flush()
    assert handler.formatter is None
    assert events(tmp_path / "app.jsonl") == ["plain"]


def test_json_logs_false_writes_text_lines(script: Script, tmp_path: Path) -> None:  # req 20, 40
    script(
        """
        import logging, logspool
        logspool.basicConfig(filename="app.log")
        logging.getLogger("orders").error("failed %d", 7)
        """,
        env={"JSON_LOGS": "false"},
    )
    (line,) = lines(tmp_path / "app.log")
    assert line.endswith(" ERROR orders: failed 7")
    assert not line.startswith("{")


def test_static_fields_are_in_every_record(script: Script, tmp_path: Path) -> None:  # req 17, 40
    script(
        """
        import logging, logspool
        logspool.basicConfig(filename="app.jsonl", static={"region": "eu"})
        logging.error("x")
        """,
        env={"SERVICE_NAME": "orders", "ENVIRONMENT": "staging", "APP_VERSION": "2.0"},
    )
    (record,) = records(tmp_path / "app.jsonl")
    assert (record["service"], record["environment"], record["version"]) == ("orders", "staging", "2.0")
    assert "eu" in str(record)


def test_the_service_is_the_programs_name_by_default(script: Script, tmp_path: Path) -> None:
    script(
        "import logging, logspool; logspool.basicConfig(filename='a.jsonl'); logging.error('x')",
        name="llm-inference-mcp.py",
    )
    assert records(tmp_path / "a.jsonl")[0]["service"] == "llm-inference-mcp"


# req 8
def test_standard_output_is_never_written(script: Script) -> None:
    result = script(
        """
        import logging, sys, warnings
        logging.basicConfig(stream=sys.stdout)
        import logspool
        logspool.basicConfig(filename="a.jsonl", level="DEBUG", console=True, console_level="DEBUG")
        for level in range(10, 60, 10):
            logging.log(level, "record at %d", level)
        try:
            1 / 0
        except ZeroDivisionError:
            logging.exception("failed")
        logging.info("bad arguments %d", "x")
        logspool.log_cost("t1", "m", cost=0.1)
        handler = logspool.basicConfig(handlers=[logging.StreamHandler(sys.stdout)], filename="b.jsonl")
        logging.critical("again")
        logspool.flush()
        logspool.stats()
        logspool.shutdown()
        """,
        env={"LOG_LEVEL": "unusable", "LOG_BACKUPS": "unusable"},
    )
    assert result.stdout == ""


# req 84
def test_files_and_directories_are_the_owners_alone(script: Script, tmp_path: Path) -> None:
    script(
        """
        import os
        os.umask(0o022)
        import logging, logspool
        logspool.basicConfig(filename="made/deep/app.jsonl")
        logging.error("x")
        logspool.basicConfig(filename="shared/app.jsonl", file_mode="640", dir_mode=0o750)
        logging.error("x")
        """
    )

    def modes(directory: str) -> set[int]:
        return {path.stat().st_mode & 0o777 for path in (tmp_path / directory).glob("app.jsonl*")}

    assert modes("made/deep") == {0o600}
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("made", "made/deep")} == {0o700}
    assert modes("shared") == {0o640}
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "shared" / ".logspool").stat().st_mode & 0o777 == 0o700


def test_reconfiguring_under_load_neither_loses_nor_doubles(script: Script, tmp_path: Path) -> None:
    script(
        """
        import logging, logspool, threading
        logspool.basicConfig(filename="a.jsonl", block_timeout=None)
        threads = [threading.Thread(target=lambda k=k: [logging.error("%d-%d", k, n) for n in range(2000)]) for k in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            logspool.basicConfig(filename="a.jsonl", block_timeout=None)
        """
    )
    assert sorted(events(tmp_path / "a.jsonl")) == sorted(f"{k}-{n}" for k in range(4) for n in range(2000))


def test_a_subinterpreter_is_refused_in_one_line(script: Script) -> None:
    result = script(
        """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        code = "try:\\n    import logspool\\nexcept ImportError as error:\\n    print(error, flush=True)"
        interpreters.run_string(interpreters.create(), code)
        """
    )
    assert "subinterpreter" in result.stdout
    assert result.stdout.count("\n") == 1
