"""Logging configurations for the servers under an application, uvicorn and gunicorn, and the fields of their access lines."""

from __future__ import annotations

import logging
import re

from logspool import _settings, _values

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any


def routes(skip: Iterable[str | Callable[[Any], object]]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a request, an ASGI scope, is one of the routes in `skip`: exact paths, prefixes that end in `*`, callables.

    Raises TypeError or ValueError for what is none of these.
    """
    if isinstance(skip, str) or callable(skip):
        raise TypeError(f"skip={skip!r}: expected a list of paths, prefixes that end in *, or callables")
    exact: set[str] = set()
    prefixes: list[str] = []
    questions: list[Callable[[Any], object]] = []
    for route in skip:
        if callable(route):
            questions.append(route)
        elif not isinstance(route, str):
            raise TypeError(f"skip: {route!r}: expected a path, a prefix that ends in *, or a callable")
        elif not route.startswith("/") or "*" in route[:-1]:
            raise ValueError(f"skip: {route!r}: expected a path that begins with /, with a * at its end or none")
        elif route.endswith("*"):
            prefixes.append(route[:-1])
        else:
            exact.add(route)
    starts = tuple(prefixes)

    def skips(scope: Mapping[str, Any]) -> bool:
        path = scope.get("path", "")
        if path in exact or (starts and path.startswith(starts)):
            return True
        # Behind a proxy that takes a prefix off, servers put it back (`--root-path`); routes are named without it.
        root = scope.get("root_path")
        if root and path.startswith(f"{root}/"):
            path = path[len(root) :]
            if path in exact or (starts and path.startswith(starts)):
                return True
        for question in questions:
            try:
                if question(scope):
                    return True
            except Exception:  # the request is served and logged all the same
                pass
        return False

    return skips


_STANDARD_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
_QUERY = re.compile(r"\?[^\s\"]*")


class ServerFields(logging.Filter):
    """For the loggers of uvicorn and gunicorn: puts what an access line says into fields, and takes colours out.

    `client`, `method`, `path` (without the query), `status`, `http_version`, of gunicorn also `bytes` and `duration_ms`; the event is
    `http.access`; queries are taken out of the line, too. Access lines of the routes in `skip`, as `Middleware` has them, are left out
    unless their status is 500 or above; a callable is given a mapping with `type`, `method` and `path`.
    """

    def __init__(self, skip: Iterable[str | Callable[[Any], object]] = ()) -> None:
        super().__init__()
        self._skips = routes(skip)

    def filter(self, record: logging.LogRecord) -> bool:
        """Add to the record; False for an access line that is left out."""
        record.__dict__.pop("color_message", None)
        try:
            access = _ACCESS.get(record.name, _none)(record.args)
        except (TypeError, ValueError, KeyError, AttributeError):  # another version's
            access = None
        if access is None:
            if record.name == "uvicorn.error":
                _of_websocket(record)
            return True
        target = access["path"]
        access["path"] = path = target.partition("?")[0] if isinstance(target, str) else target
        scope = {"type": "http", "method": access["method"], "path": path}
        if access["status"] < 500 and self._skips(scope):
            return False
        record.args = _without_queries(record.args, path)
        record.__dict__.setdefault("event", "http.access")
        for name, value in access.items():
            record.__dict__.setdefault(name, value)
        return True


def _of_websocket(record: logging.LogRecord) -> None:
    """Takes the query out of what uvicorn says of a WebSocket: browsers can send their token nowhere else."""
    args = record.args
    if isinstance(record.msg, str) and '"WebSocket %s"' in record.msg and isinstance(args, tuple) and len(args) > 1:
        client, target, *more = args
        if isinstance(target, str):
            record.args = (client, target.partition("?")[0], *more)


def _without_queries(args: Any, path: Any) -> Any:
    if isinstance(args, tuple):  # uvicorn's
        return (*args[:2], path, *args[3:])
    # Gunicorn's: made for this record, by a class of its own that knows what is not there.
    # The first line, and where the client came from.
    for name in ("r", "f", "{referer}i", "{raw_uri}e", "{request_uri}e"):
        if isinstance(text := args.get(name), str):
            args[name] = _QUERY.sub("", text)
    for name in ("q", "{query_string}e"):
        if args.get(name):
            args[name] = "-"
    return args


def _none(args: Any) -> dict[str, Any] | None:
    return None


def _uvicorn(args: Any) -> dict[str, Any] | None:
    if len(args) != 5:
        return None
    client, method, path, version, status = args
    return {"client": client, "method": method, "path": path, "status": int(status), "http_version": version}


def _gunicorn(args: Any) -> dict[str, Any] | None:
    path = args["U"]
    if not path or path == "-":  # of a request that failed, where only its first line is known
        path = [*str(args["r"]).split(" "), ""][1]
    return {
        "client": args["h"],
        "method": args["m"],
        "path": path,
        "status": int(str(args["s"]).split()[0]),
        "http_version": str(args["H"]).removeprefix("HTTP/"),
        "bytes": None if args["B"] in (None, "-") else int(args["B"]),
        "duration_ms": int(args["D"]) / 1000,
    }


_ACCESS: dict[str, Callable[[Any], dict[str, Any] | None]] = {"uvicorn.access": _uvicorn, "gunicorn.access": _gunicorn}


def uvicorn_log_config(
    filename: str | os.PathLike[str] | None = None,
    *,
    skip: Iterable[str | Callable[[Any], object]] = (),
    level: int | str = "INFO",
    **settings: Any,
) -> dict[str, Any]:
    """What `uvicorn.run(log_config=…)` takes: uvicorn's records go where the root logger's go, access lines as fields.

    With a `filename` the root logger gets a `SpoolHandler` on it, with `settings` as that has them; so each of several workers
    has one. Without, the program calls `logspool.basicConfig` itself. `skip`: routes whose access lines are left out, as
    `Middleware` has them; `level`: of uvicorn's loggers, and with a `filename` of the root logger.
    """
    names = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access")
    config = _config(names, filename, skip, level, settings)
    # With --reload it says what it has seen, which is the log itself as well: one more line for each one.
    config["loggers"]["watchfiles"] = {"level": "WARNING"}
    # Uvicorn writes its `use_colors` into these; nothing uses them.
    config["formatters"] = {"default": {"format": "%(message)s"}, "access": {"format": "%(message)s"}}
    return config


def gunicorn_log_config(
    filename: str | os.PathLike[str] | None = None,
    *,
    skip: Iterable[str | Callable[[Any], object]] = (),
    level: int | str = "INFO",
    **settings: Any,
) -> dict[str, Any]:
    """What gunicorn's `logconfig_dict` takes, otherwise as `uvicorn_log_config`: one log of the arbiter and all workers."""
    return _config(("gunicorn.error", "gunicorn.access"), filename, skip, level, settings)


def _config(
    names: Iterable[str],
    filename: str | os.PathLike[str] | None,
    skip: Iterable[str | Callable[[Any], object]],
    level: int | str,
    settings: dict[str, Any],
) -> dict[str, Any]:
    skip = list(skip) if not isinstance(skip, str) else skip
    routes(skip)  # a wrong one is told here, not by dictConfig
    if filename is None and settings:
        raise TypeError(f"{next(iter(settings))}: a setting of the log at `filename`, and there is none")
    level = _settings.parse("level", _values.level, level)
    level = logging.getLevelName(level) if level in _STANDARD_LEVELS else level  # for those who read the file
    loggers = {
        name: {"level": level, "handlers": [], "propagate": True, "filters": ["logspool_fields"]} for name in names
    }
    config: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"logspool_fields": {"()": "logspool.asgi.ServerFields", "skip": skip}},
        "loggers": loggers,
    }
    if filename is None:
        config["root"] = None  # gunicorn's own defaults would put a handler there
        return config
    handler = {"class": "logspool.SpoolHandler", "filename": str(filename), **settings}
    config["handlers"] = {"logspool": handler}
    config["root"] = {"level": level, "handlers": ["logspool"]}
    return config
