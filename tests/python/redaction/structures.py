"""Where a value stands under a name that says it is secret: mappings, objects, header types, to any depth."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import email.message
import json
import logging
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import attrs
import httpx
import pydantic
from multidict import CIMultiDict, MultiDict
from starlette.datastructures import Headers, MutableHeaders, QueryParams

import logspool
from redaction.places import Note, Session, apart, nested


def identifier(name: str) -> str:
    return name.replace("-", "_")


def as_dataclass(name: str, value: Any) -> Any:
    return dataclasses.make_dataclass("Settings", ["user", (identifier(name), Any)])("bob", value)


def as_attrs(name: str, value: Any) -> Any:
    made = attrs.make_class("Settings", ["user", identifier(name)])
    return made("bob", value)


def as_model(name: str, value: Any) -> Any:
    made = pydantic.create_model("Settings", user=(str, "bob"), **{identifier(name): (Any, None)})
    return made(**{identifier(name): value})


def as_namedtuple(name: str, value: Any) -> Any:
    return collections.namedtuple("Settings", ["user", identifier(name)])("bob", value)._asdict()


def as_message(name: str, value: str) -> Any:
    message = email.message.Message()
    message["Accept"] = "*/*"
    message[name] = value
    return message.items()


@dataclasses.dataclass
class Entry:
    """A name and its value, as HTTP archives and environments have them."""

    name: str
    value: Any
    comment: str = ""


class Setting(NamedTuple):
    key: str
    value: Any


def bound(s: Session, name: str, value: Any) -> None:
    with logspool.bound(**{name: value}):
        s.log.info("bound")


Structure = Callable[[Session, str, Any], None]
# Any name, any value.
NAMED: dict[str, Structure] = {
    "extra": lambda s, n, v: s.log.info("m", extra={n: v}),
    "extra-among": lambda s, n, v: s.log.info("m %s", 1, extra={"a": 1, n: v, "b": "text"}),
    "dict": lambda s, n, v: s.log.info("m", extra={"config": {"user": "bob", n: v, "port": 1}}),
    "dict-nested": lambda s, n, v: s.log.info("m", extra={"config": nested(s.rng, {n: v})}),
    "list-of-dicts": lambda s, n, v: s.log.info("m", extra={"servers": [{"a": 1}, {n: v}, {n: v}]}),
    "tuple-of-dicts": lambda s, n, v: s.log.info("m", extra={"servers": ({"a": 1}, {n: v})}),
    "in-dataclass": lambda s, n, v: s.log.info("m", extra={"o": Note({n: v})}),
    "value-in-list": lambda s, n, v: s.log.info("m", extra={"config": {n: [v, v]}}),
    "value-in-dict": lambda s, n, v: s.log.info("m", extra={"config": {n: {"current": v, "since": 3}}}),
    "value-nested": lambda s, n, v: s.log.info("m", extra={"config": {n: nested(s.rng, v, 8)}}),
    "value-object": lambda s, n, v: s.log.info("m", extra={"config": {n: Note(v)}}),
    "dataclass": lambda s, n, v: s.log.info("m", extra={"o": as_dataclass(n, v)}),
    "attrs": lambda s, n, v: s.log.info("m", extra={"o": as_attrs(n, v)}),
    "pydantic": lambda s, n, v: s.log.info("m", extra={"o": as_model(n, v)}),
    "namedtuple": lambda s, n, v: s.log.info("m", extra={"o": as_namedtuple(n, v)}),
    "namespace": lambda s, n, v: s.log.info("m", extra={"o": types.SimpleNamespace(**{identifier(n): v})}),
    "arguments": lambda s, n, v: s.log.info("called with %s", argparse.Namespace(**{identifier(n): v})),
    "dataclass-text": lambda s, n, v: s.log.info("loaded %s", as_dataclass(n, v)),
    "pydantic-text": lambda s, n, v: s.log.info("loaded %r", as_model(n, v)),
    "dict-text": lambda s, n, v: s.log.info("loaded %s", {"user": "bob", n: v, "port": 1}),
    "message-dict": lambda s, n, v: s.log.info({"user": "bob", n: v}),
    "mapping-proxy": lambda s, n, v: s.log.info("m", extra={"o": types.MappingProxyType({n: v})}),
    "chain-map": lambda s, n, v: s.log.info("m", extra={"o": collections.ChainMap({"a": 1}, {n: v})}),
    "user-dict": lambda s, n, v: s.log.info("m", extra={"o": collections.UserDict({n: v})}),
    "ordered-dict": lambda s, n, v: s.log.info("m", extra={"o": collections.OrderedDict([("a", 1), (n, v)])}),
    "default-dict": lambda s, n, v: s.log.info("m", extra={"o": collections.defaultdict(str, {n: v})}),
    "dict-items": lambda s, n, v: s.log.info("m", extra={"o": {"a": 1, n: v}.items()}),
    "bytes-name": lambda s, n, v: s.log.info("m", extra={"o": {n.encode(): v}}),
    "str-subclass-name": lambda s, n, v: s.log.info("m", extra={"o": {type("Name", (str,), {})(n): v}}),
    "fields": lambda s, n, v: s.log.info("m", extra={"fields": {n: v}}),
    "adapter": lambda s, n, v: logging.LoggerAdapter(s.log, {n: v}).info("m"),
    "name-value": lambda s, n, v: s.log.info(
        "m", extra={"headers": [{"name": "a", "value": "b"}, {"name": n, "value": v}]}
    ),
    "value-name": lambda s, n, v: s.log.info("m", extra={"cookies": [{"value": v, "path": "/", "name": n}]}),
    "name-among-value": lambda s, n, v: s.log.info(
        "m", extra={"env": {"name": n, "type": "plain", "value": v, "n": 1}}
    ),
    "key-value": lambda s, n, v: s.log.info("m", extra={"tags": ({"key": n, "value": v}, {"key": "a", "value": 1})}),
    "key-value-capitals": lambda s, n, v: s.log.info("m", extra={"Tags": [{"Key": n, "Value": v}]}),
    "key-value-top": lambda s, n, v: s.log.info("changed", extra={"key": n, "value": v, "by": "bob"}),
    "key-value-fields": lambda s, n, v: s.log.info("changed", extra={"fields": {"key": n, "value": v}}),
    "key-value-odd": lambda s, n, v: s.log.info("changed", extra={"o": {"key": n, "value": v, 1: 2}}),
    "key-value-nested": lambda s, n, v: s.log.info("m", extra={"o": {"key": n, "value": {"stringValue": v}}}),
    "key-value-cost": lambda s, n, v: logspool.log_cost("small", "m-1", key=n, value=v),
    "name-value-proxy": lambda s, n, v: s.log.info("m", extra={"o": types.MappingProxyType({"name": n, "value": v})}),
    "name-value-dataclass": lambda s, n, v: s.log.info("m", extra={"o": [Entry(n, v)]}),
    "name-value-tuple": lambda s, n, v: s.log.info("m", extra={"o": [Setting(n, v)]}),
    "name-value-arguments": lambda s, n, v: s.log.info("set %(key)s to %(value)s", {"key": n, "value": v}),
    "name-value-json": lambda s, n, v: s.log.info(
        json.dumps({"name": n, "value": v if isinstance(v, str) else v.decode()})
    ),
    "static": lambda s, n, v: apart(s, "m", static={"region": "eu", n: v}),
    "cost-field": lambda s, n, v: logspool.log_cost("small", "m-1", **{n: v}),
    "cost-nested": lambda s, n, v: logspool.log_cost("small", "m-1", request={"options": {n: v}}),
    "text-log": lambda s, n, v: apart(s, "loaded %s", {n: v}, json=False),
    "record": lambda s, n, v: logging.getLogger().handle(
        logging.makeLogRecord({"name": "planted", "levelno": 20, "levelname": "INFO", "msg": "m", identifier(n): v})
    ),
}
if hasattr(logspool, "bound"):
    NAMED["bound"] = bound
# Headers: their names, and text for values.
HEADERS: dict[str, Structure] = {
    "dict": lambda s, n, v: s.log.info("m", extra={"headers": {"accept": "*/*", n: v}}),
    "pairs": lambda s, n, v: s.log.info("m", extra={"headers": [("accept", "*/*"), (n, v), ("host", "x")]}),
    "list-pairs": lambda s, n, v: s.log.info("m", extra={"headers": [["accept", "*/*"], [n, v], ["host", "x"]]}),
    "tuple-pairs": lambda s, n, v: s.log.info("m", extra={"headers": (("accept", "*/*"), (n, v))}),
    "byte-pairs": lambda s, n, v: s.log.info(
        "m", extra={"headers": [(b"accept", b"*/*"), (n.encode(), v.encode()), (b"host", b"x")]}
    ),
    "pairs-deep": lambda s, n, v: s.log.info("m", extra={"scope": {"http": {"headers": [(n.encode(), v.encode())]}}}),
    "pairs-top": lambda s, n, v: s.log.info("m", extra={"sent": [(n, v)]}),
    "raw-headers": lambda s, n, v: s.log.info("m", extra={"o": httpx.Headers({n: v}).raw}),
    "httpx": lambda s, n, v: s.log.info("m", extra={"o": httpx.Headers({"accept": "*/*", n: v})}),
    "httpx-text": lambda s, n, v: s.log.info("got %s", httpx.Headers({"accept": "*/*", n: v})),
    "httpx-several": lambda s, n, v: s.log.info("m", extra={"o": httpx.Headers([(n, v), ("accept", "x"), (n, v)])}),
    "starlette": lambda s, n, v: s.log.info("m", extra={"o": Headers({"accept": "*/*", n: v})}),
    "starlette-mutable": lambda s, n, v: s.log.info("m", extra={"o": MutableHeaders({n: v})}),
    "starlette-text": lambda s, n, v: s.log.info("got %r", Headers({"accept": "*/*", n: v})),
    "starlette-query": lambda s, n, v: s.log.info("m", extra={"o": QueryParams({"page": "1", n: v})}),
    "multidict": lambda s, n, v: s.log.info("m", extra={"o": CIMultiDict({"accept": "*/*", n: v})}),
    "multidict-several": lambda s, n, v: s.log.info("m", extra={"o": MultiDict([(n, v), (n, v)])}),
    "multidict-text": lambda s, n, v: s.log.info("got %s", CIMultiDict({"accept": "*/*", n: v})),
    "message": lambda s, n, v: s.log.info("m", extra={"o": as_message(n, v)}),
    "wsgi": lambda s, n, v: s.log.info("m", extra={"environ": {"HTTP_" + identifier(n).upper(): v, "PATH": "/"}}),
    "asgi": lambda s, n, v: s.log.info(
        "m", extra={"scope": {"type": "http", "headers": [[n.lower().encode(), v.encode()]]}}
    ),
    "httpx-request": lambda s, n, v: s.log.info(
        "m", extra={"headers": httpx.Request("GET", "http://x/", headers={n: v}).headers.multi_items()}
    ),
}
