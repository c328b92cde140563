"""The native core. Use `logspool`; the classes and functions here that it does not re-export are for its own modules."""

import contextvars
import logging
from collections.abc import Callable, Mapping
from typing import Any, final

from typing_extensions import Self, disjoint_base

__all__ = [
    "Answer",
    "Context",
    "LineEncoder",
    "Logger",
    "NativeHandler",
    "RootLogger",
    "Tail",
    "TextRedactor",
    "__version__",
    "_context_variable",
    "_fast_calls",
    "_install",
    "_read_configuration",
    "_stack_traces",
    "asked_model",
    "bill",
    "bill_http_call",
    "encode_cost",
    "encode_record",
    "flush",
    "fork_before",
    "fork_child",
    "fork_parent",
    "header_values",
    "log_cost",
    "main",
    "one_line",
    "redact_apply",
    "redact_explain",
    "set_cost_handler",
    "set_cost_opener",
    "set_cost_watcher",
    "set_flush_watcher",
    "set_prices",
    "shutdown",
    "stats",
    "tell_payloads",
    "write_kept",
]

__version__: str

class Logger(logging.Logger):
    """A `logging.Logger` whose calls take a native way, as long as nothing that only the standard one knows is in the way."""

class RootLogger(logging.RootLogger):
    """`Logger` for the root logger."""

def _install(logger: type[logging.Logger], root: type[logging.Logger], handler: type[logging.Handler]) -> None: ...
def _fast_calls() -> tuple[int, int]: ...

@disjoint_base
class NativeHandler:
    """The native half of `SpoolHandler`: where a record is encoded and committed to the spool."""

    filters: list[logging._FilterType]
    level: int
    formatter: logging.Formatter | None

    def __new__(cls, *args: object, **kwargs: object) -> Self: ...
    def _open(self, settings: dict[str, Any]) -> None: ...
    def _set_plain(self, plain: bool, formats: bool = False) -> None: ...
    def handle(self, record: logging.LogRecord) -> bool: ...
    def emit(self, record: logging.LogRecord) -> None: ...
    def _flush(self, timeout: float | None, closing: bool = False) -> bool: ...
    def _path(self) -> str: ...
    def _close(self) -> None: ...

_context_variable: contextvars.ContextVar[Context]

@final
class Context:
    """What is bound: immutable."""

    def __new__(cls, outer: Context | None, values: dict[str, object], tail: Tail | None = None) -> Self: ...
    def without(self, names: tuple[str, ...]) -> Context | None: ...
    def cleared(self) -> Context | None: ...
    def values(self) -> dict[str, Any]: ...

@final
class Tail:
    """The records that a block keeps back: at most `records` of `level` and below, of `bytes` together."""

    def __new__(cls, outer: Context | None, level: int, records: int, bytes: int) -> Self: ...
    def end(self, failed: bool) -> None: ...

def write_kept() -> None:
    """Write what all blocks keep back, and keep nothing back from now on: the process ends."""

def log_cost(
    tier_id: str | None = None,
    model: str | None = None,
    *,
    usage: object = None,
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
    cost: float | Mapping[str, Any] | None = None,
    pricing: Mapping[str, Any] | None = None,
    latency_ms: float | None = None,
    http_status: int | None = None,
    request_id: str | None = None,
    response_id: str | None = None,
    provider: str | None = "openrouter",
    task: str | None = None,
    event: str = "openrouter_cost",
    legacy_keys: bool = False,
    **fields: object,
) -> None:
    """Append one LLM cost record to the cost log, whatever the configured level. Never raises for its values.

    The log is `openrouter-costs.jsonl` beside the main log (`basicConfig(cost_filename=…)` changes it); before `basicConfig`
    in LOG_DIR, else in `./logs`. `usage` is a provider's usage object or `{prompt, completion, total}`; `cost` a number or
    `{input, output, total}`, in US dollars unless it names a `currency`; `latency_ms` milliseconds. What is missing is
    null, never 0. `pricing` is in dollars (or its `currency`) per million tokens: `{input_per_1m, output_per_1m, cached_per_1m?,
    cache_write_per_1m?}`; left out, it is what `logspool.prices` says of the model. A `response_id` that this process logged before
    is not logged again. `legacy_keys=True` also writes `timestamp, tier, model, task, tokens, cost, pricing` at top level.
    """

def bill(*, usage: object = None, model: object = None, cost: object = None, pricing: object = None) -> bytes:
    """What `log_cost` makes of these: `{"tokens":{…},"cost":{…}}` in JSON."""

def bill_http_call(fields: dict[str, Any], usage: object, task: object, log: bool) -> None:
    """Put what a call of a language model used and cost into the fields of its HTTP record, as `tokens` and `cost`; `log` its cost, too.

    `fields` has everything else that the cost record says.
    """

def asked_model(data: bytes) -> str | None:
    """The `model` of a request's JSON; None where it has none, or none that is text."""

def header_values(raw: list[tuple[bytes, bytes]], names: tuple[bytes, ...]) -> tuple[str | None, ...]:
    """The values of the headers of these names (in small letters), joined by a comma where there are more; None where there are none."""

@final
class Answer:
    """What the answer of a provider says, taken from it piece by piece. What is not of interest is passed over, and not checked."""

    def __new__(cls) -> Self: ...
    @property
    def response_id(self) -> str | None: ...
    @property
    def model(self) -> str | None: ...
    @property
    def usage(self) -> dict[str, Any] | None: ...
    @property
    def error(self) -> str | None:
        """The code of the provider's error."""

    @property
    def pending(self) -> bool:
        """Whether it is made in the background, and asked for later."""

    @property
    def done(self) -> bool:
        """Whether a stream has come to its end."""

    def body(self, data: bytes, most: int) -> None:
        """A whole body. Of one longer than `most` bytes only the usage is looked for, from its end on."""

    def feed(self, data: bytes) -> None:
        """A piece of a stream of server-sent events; lines longer than 1 MiB are passed over."""

def set_prices(lookup: Callable[[Any], Mapping[str, Any] | None] | None) -> None:
    """Set what is asked for a model's prices, where neither the caller nor the provider says what a call cost."""

def set_cost_watcher(callback: Callable[[bytes], object] | None) -> None:
    """Set what is called with each finished line of the cost log, after it was appended."""

def set_cost_handler(handler: NativeHandler | None) -> None: ...
def set_cost_opener(callback: Callable[[], NativeHandler] | None) -> None: ...
def set_flush_watcher(callback: Callable[[], object] | None) -> None:
    """Set what is called before each flush and shutdown: it may log what it counted."""

def flush(timeout: float | None = None) -> bool:
    """Wait until everything accepted before the call, in all logs, is in the segments.

    `timeout` in seconds, None for ever. Returns False if the time was not enough; nothing is lost by that. Ctrl-C works.
    """

def shutdown(timeout: float | None = None) -> bool:
    """`flush`, and wait within `timeout` seconds for compression under way. Records after it are written by their own thread.

    Called at exit by itself. Returns False if the time was not enough; what is left is taken up by the next process.
    """

def one_line(text: str) -> str: ...
def stats() -> dict[str, Any]:
    """Counters of this process since its start. `emitted == written + dropped + in_flight`, always.

    Beside these: `sampled_out` (`total`, and by rule in `rules`) and `collapsed` records, which are not in `emitted`.
    """

def main(argv: list[str], configured: dict[str, Any] | None = None) -> int:
    """The `logspool` command: its exit status. `argv` begins with the program's name; `configured` is `_origins.configured()`."""

def redact_explain(text: str, redact: bool | dict[str, Any]) -> list[tuple[str, str, int, int]]:
    """Rule, reason, start, end (characters) of what would go; `redact` is `_values.redact()`'s."""

def redact_apply(text: str, redact: bool | dict[str, Any]) -> str | None:
    """The text as a log would hold it; None where nothing would go."""

def tell_payloads(value: str | bytes) -> str | None:
    """Text with its base64 payloads told as type, size and digest, or what bytes are that are one; None where there is none."""

@final
class TextRedactor:
    """The rules of one setting, made once for many texts; `redact` is `_values.redact()`'s."""

    def __new__(cls, redact: bool | dict[str, Any]) -> Self: ...
    def apply(self, text: str) -> str | None:
        """The text as a log would hold it; None where nothing would go."""

@final
class LineEncoder:
    """What makes lines of records for a formatter, its rules made once; the sequence text of these lines is dashes."""

    def __new__(cls, settings: dict[str, Any]) -> Self: ...
    def encode(self, record: logging.LogRecord) -> bytes: ...

def fork_before() -> None: ...
def fork_parent() -> None: ...
def fork_child() -> None: ...
def encode_record(
    record: logging.LogRecord, settings: dict[str, Any], formatter: logging.Formatter | None = None
) -> bytes: ...
def encode_cost(
    settings: dict[str, Any], tier_id: str | None = None, model: str | None = None, **keywords: object
) -> bytes: ...
def _read_configuration(text: str, toml: bool) -> tuple[tuple[int, Any, str | None] | None, tuple[int, str] | None]:
    """What a YAML or TOML text says: each value `(line, value, written)`, a list of these, or a tuple of `(name, line, value)`.

    `written` is a number's own text. What cannot be read is `(line, reason)`, beside None.
    """

def _stack_traces() -> tuple[int, int]:
    """How many stack traces were written natively and how many by `traceback` since the start: for tests."""
