"""Libraries that hook into logging find what they need on the fast path, and calls are fast again when they are gone."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from tests.fastpath.twice import both

import logspool

pytestmark = pytest.mark.skipif(not hasattr(logspool, "install"), reason="this build has no fast path")

SENTRY = """
    import sentry_sdk
    from sentry_sdk.transport import Transport

    class Kept(Transport):
        events = []

        def capture_envelope(self, envelope):
            for item in envelope.items:
                if item.type == "event":
                    self.events.append(item.payload.json)

    def init():
        sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=Kept, auto_enabling_integrations=False)

    original = logging.Logger.callHandlers
    log = logging.getLogger("app")
    if sys.argv[0].endswith("program-0.py") and BEFORE:
        init()
        configure()
    else:
        configure()
        fast(log, "info", "before")
        init()
    standard(log, "info", "a crumb %s", "here", extra={"k": 1})
    try:
        1 / 0
    except ZeroDivisionError:
        standard(log, "exception", "went %s", "wrong", extra={"request_id": "req_1"})
    standard(log, "error", "plain error")
    assert [event["logentry"]["message"] for event in Kept.events] == ["went %s", "plain error"], Kept.events
    first = Kept.events[0]
    assert first["logger"] == "app" and first["level"] == "error"
    assert first["exception"]["values"][0]["type"] == "ZeroDivisionError"
    assert first["extra"]["request_id"] == "req_1"
    crumbs = [crumb["message"] for crumb in first["breadcrumbs"]["values"]]
    assert "a crumb here" in crumbs, crumbs
    logging.Logger.callHandlers = original
    (log.error if BEFORE else lambda text: fast(log, "error", text))("after")
    assert len(Kept.events) == 2
"""


@pytest.mark.parametrize("before", [True, False], ids=["before basicConfig", "after basicConfig"])
def test_sentry_gets_its_events_and_breadcrumbs(tmp_path: Path, before: bool) -> None:
    records, _ = both(tmp_path, f"BEFORE = {before}\n" + textwrap.dedent(SENTRY))
    events = [record["event"] for record in records]
    assert events[-4:] == ["a crumb here", "went wrong", "plain error", "after"]
    assert records[-3]["exception"]["type"] == "ZeroDivisionError"


def test_opentelemetrys_record_factory_puts_the_trace_into_the_line(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        from opentelemetry import trace
        from opentelemetry.instrumentation.logging import LoggingInstrumentor
        from opentelemetry.sdk.trace import TracerProvider

        trace.set_tracer_provider(TracerProvider())
        tracer = trace.get_tracer("test")
        configure()
        log = logging.getLogger("app")
        fast(log, "info", "before")
        instrumentor = LoggingInstrumentor()
        instrumentor.instrument(inject_trace_context=True, enable_log_auto_instrumentation=False)
        with tracer.start_as_current_span("work") as span:
            standard(log, "info", "inside %d", 1, extra={"k": 1})
            Path("trace").write_text(format(span.get_span_context().trace_id, "032x"))
        standard(log, "info", "outside")
        instrumentor.uninstrument()
        fast(log, "info", "after")
        """,
        same=False,  # each trace has its own number
    )
    before, inside, outside, after = records
    assert inside["fields"]["otelTraceID"] == (tmp_path / "fast" / "trace").read_text()
    assert inside["fields"]["k"] == 1
    assert outside["fields"]["otelTraceID"] == "0"
    assert "fields" not in before and "fields" not in after


def test_opentelemetrys_handlers_get_every_record(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        import warnings

        from opentelemetry._logs import set_logger_provider
        from opentelemetry.instrumentation.logging import LoggingInstrumentor
        from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
        from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

        kept = InMemoryLogRecordExporter()
        provider = LoggerProvider()
        provider.add_log_record_processor(SimpleLogRecordProcessor(kept))
        set_logger_provider(provider)
        configure()
        log = logging.getLogger("app")

        def bodies():
            found = [data.log_record.body for data in kept.get_finished_logs()]
            kept.clear()
            return found

        fast(log, "info", "before")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            handler = LoggingHandler(logger_provider=provider)
        logging.getLogger().addHandler(handler)
        standard(log, "warning", "by the SDK %s", "handler", extra={"k": 1})
        assert bodies() == ["by the SDK handler"]
        logging.getLogger().removeHandler(handler)
        fast(log, "info", "between")
        LoggingInstrumentor().instrument()
        standard(log, "warning", "by the instrumentation's %s", "own")
        assert bodies() == ["by the instrumentation's own"]
        LoggingInstrumentor().uninstrument()
        fast(log, "info", "after")
        assert bodies() == []
        """,
    )
    assert [record["event"] for record in records] == [
        "before",
        "by the SDK handler",
        "between",
        "by the instrumentation's own",
        "after",
    ]


def test_uvicorn_logs_through_the_handlers_its_configuration_names(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        import asyncio, copy, socket, urllib.request
        import uvicorn

        async def app(scope, receive, send):
            assert scope["type"] == "http"
            logging.getLogger("app").info("handling %s", scope["path"], extra={"path": scope["path"]})
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})

        def serve(log_config):
            # A socket of the test's own: it listens before the server runs, so that nothing has to be waited for.
            listening = socket.create_server(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn.Config(app, log_config=log_config, lifespan="off", loop="asyncio"))
            thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), name="server")
            thread.start()
            for _ in range(2):
                with urllib.request.urlopen(f"http://127.0.0.1:{listening.getsockname()[1]}/path", timeout=30) as answer:
                    assert answer.read() == b"ok"
            server.should_exit = True
            thread.join()

        handler = configure()
        before = logspool._core._fast_calls()
        serve(None)  # uvicorn's loggers propagate to the root
        after = logspool._core._fast_calls()
        # A logger's first call of a level has to ask whether it is enabled: the second request's lines are fast at least.
        assert not ON_FAST_ROUTE or after[0] - before[0] >= 2, (before, after)
        spool = {"class": "logspool.SpoolHandler", "filename": "a.jsonl", "service": "uvicorn"}
        serve(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {"spool": spool},
                "loggers": {
                    "uvicorn": {"handlers": ["spool"], "level": "INFO", "propagate": False},
                    "uvicorn.access": {"handlers": ["spool"], "level": "INFO", "propagate": False},
                },
            }
        )
        serve(copy.deepcopy(uvicorn.config.LOGGING_CONFIG))  # to its own streams
        """,
        same=False,  # ports
    )

    def of(service: str, logger: str) -> list[str]:
        return [r["event"] for r in records if r["service"] == service and r["logger"] == logger]

    assert of("svc", "app") == ["handling /path"] * 6
    for service in ("svc", "uvicorn"):
        accesses = of(service, "uvicorn.access")
        assert len(accesses) == 2
        assert all(access.endswith('"GET /path HTTP/1.1" 200') for access in accesses)
        assert any(event.startswith("Started server process") for event in of(service, "uvicorn.error"))


def test_structlog_over_a_logspool_logger_names_the_right_caller(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        import structlog

        def set_up(factory):
            structlog.reset_defaults()
            structlog.configure(
                processors=[
                    structlog.stdlib.filter_by_level,
                    structlog.stdlib.PositionalArgumentsFormatter(),
                    structlog.stdlib.render_to_log_kwargs,
                ],
                wrapper_class=structlog.stdlib.BoundLogger,
                logger_factory=factory,
                cache_logger_on_first_use=False,
            )

        configure()
        existing = logging.getLogger("existing")

        def work(name):
            structlog.get_logger(name).bind(user="u1").warning("did %s", "it", rows=3)
            try:
                raise KeyError("k")
            except KeyError:
                structlog.get_logger(name).exception("failed")

        set_up(structlog.stdlib.LoggerFactory())  # sets a logger class of its own
        work("new")
        work("existing")
        assert type(logging.getLogger("new")).__name__ == "_FixedFindCallerLogger"
        logging.setLoggerClass(logging.Logger)
        logspool.install() if ON_FAST_ROUTE else None
        set_up(lambda *args: logging.getLogger("wrapped"))
        before = logspool._core._fast_calls()[0]
        work("wrapped")
        work("wrapped")
        assert not ON_FAST_ROUTE or logspool._core._fast_calls()[0] > before
        """,
    )
    new = [record for record in records if record["logger"] == "new"]
    assert [record["event"] for record in new] == ["did it", "failed"]
    assert {record["src"]["function"] for record in new} == {"work"}
    assert new[0]["fields"] == {"user": "u1", "rows": 3}
    assert new[1]["exception"]["type"] == "KeyError"
    assert len([record for record in records if record["logger"] == "wrapped"]) == 4


def test_logurus_handler_gets_what_it_intercepts(tmp_path: Path) -> None:
    records, output = both(
        tmp_path,
        """
        import inspect
        from loguru import logger as loguru

        class InterceptHandler(logging.Handler):
            def emit(self, record):
                try:
                    level = loguru.level(record.levelname).name
                except ValueError:
                    level = record.levelno
                frame, depth = inspect.currentframe(), 0
                while frame:
                    filename = frame.f_code.co_filename
                    is_logging = filename == logging.__file__
                    is_frozen = "importlib" in filename and "_bootstrap" in filename
                    if depth > 0 and not (is_logging or is_frozen):
                        break
                    frame = frame.f_back
                    depth += 1
                loguru.opt(depth=depth, exception=record.exc_info).log(level, record.getMessage())

        class PropagateHandler(logging.Handler):
            def emit(self, record):
                logging.getLogger(record.name).handle(record)

        loguru.remove()
        loguru.add(sys.stdout, format="{level} {function} {message}")
        configure()
        log = logging.getLogger("app")

        def work():
            log.warning("seen by %s", "both", extra={"k": 1})

        fast(log, "info", "before")
        handler = InterceptHandler()
        logging.getLogger().addHandler(handler)
        standard(log, "info", "counted")
        work()
        logging.getLogger().removeHandler(handler)
        fast(log, "info", "after")
        loguru.add(PropagateHandler(), format="{message}")
        loguru.info("from loguru {}", 1)
        """,
    )
    assert [record["event"] for record in records] == ["before", "counted", "seen by both", "after", "from loguru 1"]
    assert "WARNING work seen by both\n" in output["fast"]
    assert output["fast"] == output["standard"]


def test_gevents_greenlets_log_under_their_names(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        from gevent import monkey

        monkey.patch_all()
        import gevent

        configure()
        log = logging.getLogger("app")

        def work(n):
            for turn in range(3):
                log.info("greenlet %d turn %d", n, turn)
                gevent.sleep(0)

        log.info("main")
        gevent.joinall([gevent.spawn(work, n) for n in range(3)])
        thread = threading.Thread(target=work, args=(9,), name="by name")
        thread.start()
        thread.join()
        log.info("end")
        """,
    )
    assert len(records) == 14
    assert {record["thread"] for record in records if record["event"].startswith("greenlet 9")} == {"by name"}
    assert {record["thread"] for record in records if record["event"] in ("main", "end")} == {"MainThread"}


def test_freezegun_freezes_the_time_of_records(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        import datetime
        import freezegun

        configure()
        log = logging.getLogger("app")
        fast(log, "info", "before")
        with freezegun.freeze_time("2020-01-02 03:04:05.678") as frozen:
            log.info("frozen %d", 1)
            frozen.tick(datetime.timedelta(seconds=10))
            log.info("frozen", extra={"k": 1})
        fast(log, "info", "after")
        """,
    )
    assert [record["ts"] for record in records[1:3]] == ["2020-01-02T03:04:05.678000Z", "2020-01-02T03:04:15.678000Z"]
    assert records[0]["ts"][:4] > "2020" and records[3]["ts"] > records[0]["ts"]


def test_time_machine_moves_the_time_of_records(tmp_path: Path) -> None:
    records, _ = both(
        tmp_path,
        """
        import datetime
        import time_machine

        configure()
        log = logging.getLogger("app")
        fast(log, "info", "before")
        with time_machine.travel(datetime.datetime(2020, 1, 2, 3, 4, 5, 250_000, tzinfo=datetime.timezone.utc), tick=False):
            log.info("travelled %d", 1)
            log.info("travelled", extra={"k": 1})
        fast(log, "info", "after")
        """,
    )
    assert [record["ts"] for record in records[1:3]] == ["2020-01-02T03:04:05.250000Z"] * 2
    assert records[0]["ts"][:4] > "2020" and records[3]["ts"] > records[0]["ts"]


# -- pytest ------------------------------------------------------------------------------------------------------------


def test_caplog_sees_calls_and_they_are_fast_again_without_it(tmp_path: Path) -> None:
    records, output = both(
        tmp_path,
        """
        import pytest

        Path("test_inner.py").write_text('''
        import logging
        import logspool

        log = logging.getLogger("app")
        log.setLevel("INFO")

        def test_records(caplog):
            log.info("caught %s", "one", extra={"k": 1})
            log.debug("not enabled")
            assert caplog.record_tuples == [("app", logging.INFO, "caught one")]
            assert caplog.records[0].k == 1
            assert caplog.records[0].funcName == "test_records"

        def test_level(caplog):
            with caplog.at_level(logging.DEBUG, "app"):
                log.debug("now enabled")
            log.debug("not any more")
            assert caplog.messages == ["now enabled"]

        def test_a_logger_that_does_not_propagate(caplog):
            log.propagate = False
            log.warning("not caught")
            log.addHandler(caplog.handler)
            log.warning("caught")
            log.removeHandler(caplog.handler)
            log.propagate = True
            assert caplog.messages == ["caught"]

        def test_a_failure_shows_what_was_logged():
            log.error("shown in the report")
            assert False
        ''')
        configure(level="INFO")
        log = logging.getLogger("app")
        fast(log, "info", "before")
        before = logspool._core._fast_calls()
        pytest.main(["-q", "-p", "no:cacheprovider", "test_inner.py"])
        after = logspool._core._fast_calls()
        assert after[0] == before[0], "caplog's handler is in the way of every call within a test"
        fast(log, "info", "after")
        """,
    )
    assert "1 failed, 3 passed" in output["fast"]
    assert "shown in the report" in output["fast"]
    events = [record["event"] for record in records]
    assert events == ["before", "caught one", "now enabled", "shown in the report", "after"]
