"""The keyword settings, for type checkers and editors only: nothing imports this module at run time."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from logging import Handler
from typing import Any, Literal, TextIO, TypedDict


class RedactOptions(TypedDict, total=False):
    """What `redact=` may say besides True, False, "hint", "pii" and "hint,pii"."""

    hint: bool
    names_only: bool
    pii: bool | Collection[Literal["email", "iban", "card", "phone"]]
    keys: Collection[str]
    allow_keys: Collection[str]
    patterns: Mapping[str, str]
    without: Collection[str]
    functions: Mapping[str, Callable[[str], str]]


class HandlerOptions(TypedDict, total=False):
    """What SpoolHandler and basicConfig share; sizes and counts also as text (`"10MB"`)."""

    gzip: bool | str
    json: bool | str
    when_full: Literal["block", "drop_newest", "drop_oldest"] | str
    block_timeout: float | str | None
    spool_bytes: int | str
    spool_dir: str | os.PathLike[str] | None
    queue_max: int | str | None
    fsync: Literal["none", "interval", "record"] | str
    file_mode: int | str
    dir_mode: int | str
    service: str | None
    environment: str | None
    version: str | None
    static: Mapping[str, Any]
    src: bool | str
    max_field: int | str
    max_record: int | str
    redact: bool | str | RedactOptions
    sample: int | str | Mapping[str, int | str] | None
    collapse: float | str | None
    truncate: bool | int | str | Mapping[str, int | None] | None
    encoding: str | None
    errors: str | None


class SpoolOptions(HandlerOptions, total=False):
    """What only SpoolHandler takes, beside its named parameters."""

    mode: Literal["a"]
    delay: bool | str


class RotatingOptions(HandlerOptions, total=False):
    """SpoolHandler's, where it is made by another: its named parameters are options there. When to open it is not."""

    mode: Literal["a"]
    maxBytes: int | str
    backupCount: int | str
    when: str | None
    interval: int | str
    utc: bool | str


class FileOptions(RotatingOptions, total=False):
    """All of SpoolHandler's."""

    delay: bool | str


class ConfigOptions(HandlerOptions, total=False):
    """What only basicConfig takes."""

    filename: str | os.PathLike[str] | None
    filemode: Literal["a"]
    format: str
    datefmt: str | None
    style: Literal["%", "{", "$"]
    level: int | str | None
    stream: TextIO | None
    handlers: Iterable[Handler] | None
    maxBytes: int | str
    backupCount: int | str
    when: str | None
    interval: int | str
    utc: bool | str
    console: bool | Literal["auto"] | str | None
    console_level: int | str
    cost_filename: str | os.PathLike[str] | None
    fast: bool
