"""Configuration files: `logspool.configure("cipher.yml", server="llm-inference")`. YAML (JSON is YAML, too) and TOML, read natively.

Strict in what is ours: an unknown name, a wrong value or a name that stands twice raises `ConfigurationError`, which begins with the file
and the line. Everything else in the file is another program's, and is passed over.
"""

from __future__ import annotations

import logging
import os

from logspool import _basicconfig, _config, _paths, _settings
from logspool.configuration._blocks import Block, Variables, server_names, servers_of, settings_of
from logspool.configuration._file import ConfigurationError, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from logspool.handler import SpoolHandler

__all__ = ["ConfigurationError", "configure"]


def configure(path: str | os.PathLike[str], server: str | None = None, **arguments: Any) -> SpoolHandler:
    """`basicConfig` with the settings of a YAML, JSON or TOML file. Returns the handler.

    path       the file; its ending says what it is: .yml, .yaml, .json, .toml
    server     one of its `mcpServers`: the variables in that one's `env` and its own block count besides, and its name is the service
    arguments  of basicConfig; they go before everything else

    A setting comes from the arguments, else from the environment, else from the file (the server's `env`, its block, the block of the
    whole file), else from the default. The block is called `logspool` or `logging` (in a `pyproject.toml` it is `tool.logspool`),
    and holds basicConfig's settings by their names, and `loggers`: levels by logger name. Paths are relative to the current directory,
    as basicConfig's.

    Raises ConfigurationError (a ValueError) with file and line for what the file says wrong, OSError where it cannot be read,
    and what basicConfig raises. Nothing is changed when it raises.
    """
    file = read(path)
    blocks = [settings_of(file, file.root)]
    variables = Variables(file, None)
    if server is not None:
        node = servers_of(file, server)
        blocks.insert(0, settings_of(file, node))
        variables = Variables(file, node.get("env"))
    if not any(blocks) and not variables:
        expected = "expected a block logspool or logging, or a server's env with LOG_ variables"
        names = server_names(file) if server is None else ()
        which = f"; server= says which of mcpServers counts, here {', '.join(names)}" if names else ""
        raise file.error(1, f"nothing for logspool: {expected}{which}")
    _settings.reject_unknown("configure", arguments, _basicconfig._NAMES)
    given = {name: value for name, value in arguments.items() if value is not _settings.UNSET}
    settings = _chosen(blocks, variables, given, server)
    settings.update(given)
    handler: SpoolHandler = _basicconfig.basicConfig(**settings)
    for block in reversed(blocks):
        for name, level in block.loggers.items():
            logging.getLogger(name).setLevel(level)
    return handler


def _chosen(blocks: list[Block], variables: Variables, arguments: dict[str, Any], server: str | None) -> dict[str, Any]:
    """The file's part: settings that neither an argument nor the environment gives."""
    settings: dict[str, Any] = {}
    for block in reversed(blocks):
        settings.update(block.settings)
    if server is not None and "service" not in blocks[0].settings:
        settings["service"] = server
    settings.update(variables.settings)
    for name in list(settings):
        names, parser = _variables_of(name)
        if _settings.look_up(names, parser, _config.say_once)[1] is not None:
            del settings[name]
    if any(os.environ.get(name, "").strip() for name in ("LOGSPOOL_PATH", "LOGSPOOL_DIR", "LOG_PATH", "LOG_DIR")):
        settings.pop("filename", None)
    elif variables.place is not None and "filename" not in arguments:
        service = arguments.get("service") or settings.get("service")
        if service is None:
            service = _settings.handler_settings({}, _config.say_once)["service"]
        settings["filename"] = variables.path(_paths.file_stem(service or _paths.app_name()))
    return settings


def _variables_of(name: str) -> tuple[tuple[str, ...], Any]:
    row = _settings._HANDLER.get(name) or _settings._CONFIG.get(name)
    return (row[3], row[1]) if row else ((), None)
