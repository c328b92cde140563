"""What in a configuration file is ours: blocks of settings, and the variables in a server's `env`."""

from __future__ import annotations

from logspool import _basicconfig, _paths, _settings, _values
from logspool._values import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from logspool.configuration._file import File, Node

_SERVERS = "mcpServers"
_BLOCKS = ("logspool", "logging")
_PLACES: tuple[tuple[str, Callable[[str, str], str]], ...] = (
    ("LOGSPOOL_PATH", _paths.from_variable),
    ("LOGSPOOL_DIR", _paths.in_directory),
    ("LOG_PATH", _paths.from_variable),
    ("LOG_DIR", _paths.in_directory),
)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("expected text")
    return value


def _optional(parser: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else parser(value)


#: Settings of basicConfig that stand in no table of `_settings`. `handlers` and `stream` are objects, which no file can hold.
_OTHERS: dict[str, Callable[[Any], Any]] = {
    "filename": _paths.filename,
    "filemode": _values.filemode,
    "format": _text,
    "datefmt": _optional(_text),
    "style": _text,
    "force": _values.boolean,
    "fast": _values.boolean,
    "cost_filename": _optional(_paths.filename),
}


def _parsers() -> dict[str, Callable[[Any], Any]]:
    tables = {**_settings._CONFIG, **_settings._HANDLER}
    found = {name: row[1] for name, row in tables.items() if name in _basicconfig._NAMES}
    # Only basicConfig's level may be None: it leaves the root logger's.
    return {**found, "level": _optional(found["level"]), **_OTHERS}


class Block:
    """A block's settings, checked, with their values as they stand in the file."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        #: Levels by logger name.
        self.loggers: dict[str, int] = {}
        self.found = False

    def __bool__(self) -> bool:
        return self.found


def settings_of(file: File, parent: Node) -> Block:
    """The settings in the block `logspool`, or else `logging`, of a table. Raises ConfigurationError."""
    block = Block()
    tool = parent.get("tool") if parent is file.root else None
    candidates = (*((parent.get(name)) for name in _BLOCKS), tool.get("logspool") if tool is not None else None)
    node = next((node for node in candidates if node is not None), None)
    if node is None:
        return block
    block.found = True
    parsers = _parsers()
    for name, value in file.table(node).items():
        if name == "loggers":
            block.loggers = _levels(file, value)
            continue
        if name not in parsers:
            raise file.error(value.key_line, f"{value.name}: {_no_setting(name, parsers, node)}")
        block.settings[name] = _checked(file, value, parsers[name])
    texts: dict[str, Any] = {
        name: block.settings[name] for name in ("format", "datefmt", "style") if name in block.settings
    }
    try:
        _basicconfig._formatter(texts)
    except (ValueError, TypeError) as error:
        raise file.error(file.table(node)[next(iter(texts))].line, f"{node.name}: {error}") from None
    return block


def _no_setting(name: str, parsers: dict[str, Any], node: Node) -> str:
    theirs = " (a logging block of another program's? Ours may be called logspool)" if node.name == "logging" else ""
    if name in _basicconfig._NAMES:
        return f"cannot stand in a file: it is an argument of configure(){theirs}"
    names = (*parsers, "loggers")
    allowed = did_you_mean(name, names) or f"; the settings are {', '.join(names)}"
    return f"no such setting{allowed}{theirs}"


def _checked(file: File, node: Node, parser: Callable[[Any], Any]) -> Any:
    # A version of 1.10 is text, as it is written.
    value = node.written if parser is _values.optional_text and node.written is not None else node.value
    try:
        _settings.parse(node.name, parser, value)
    except (ValueError, TypeError) as error:
        for name, entry in (node.table or {}).items():
            try:
                parser({name: entry.value})
            except (ValueError, TypeError) as of_entry:  # this one it is
                shown = f"{entry.name}={entry.value!r}"
                raise file.error(entry.line, f"{shown}: {of_entry}") from None
        raise file.error(node.line, str(error)) from None
    return value


def _levels(file: File, node: Node) -> dict[str, int]:
    levels = {}
    for name, value in file.table(node).items():
        if name in ("", "root"):
            raise file.error(value.key_line, f"{value.name}: the root logger's level is the setting level")
        _checked(file, value, _values.level)
        levels[name] = _values.level(value.value)
    return levels


def servers_of(file: File, server: str) -> Node:
    """The server's table in `mcpServers`. Raises ConfigurationError with those that are there."""
    node = file.root.get(_SERVERS)
    if node is None:
        raise file.error(1, f"server {server!r}: there are no {_SERVERS} here")
    table = file.table(node)
    if server not in table:
        hint = did_you_mean(server, table) or f"; there are {', '.join(table) or 'none'}"
        raise file.error(node.key_line, f"{_SERVERS}: no server {server!r}{hint}")
    found = table[server]
    if found.value is not None:
        file.table(found)
    return found


def server_names(file: File) -> tuple[str, ...]:
    """The names in `mcpServers`."""
    node = file.root.get(_SERVERS)
    return tuple(node.table or ()) if node is not None else ()


class Variables:
    """The variables in a server's `env` that are ours, checked: settings, and the log's place."""

    def __init__(self, file: File, node: Node | None) -> None:
        #: By setting, text.
        self.settings: dict[str, str] = {}
        #: The variable that says where the log is: how to read it, and its value.
        self.place: tuple[Callable[[str, str], str], str] | None = None
        self.found = False
        if node is None:
            return
        texts = {name: _variable(file, value) for name, value in file.table(node).items()}
        nodes = file.table(node)
        for name, place in _PLACES:
            if texts.get(name) and self.place is None:
                self.place = (place, texts[name])
                _settings_error(file, nodes[name], place, texts[name], "log")
        known = {name for name, _ in _PLACES}
        for setting, (_, parser, _, names) in {**_settings._CONFIG, **_settings._HANDLER}.items():
            for variable in (_settings.strict_name(names[0]), *names) if names else ():
                known.add(variable)
                if texts.get(variable):
                    _settings_error(file, nodes[variable], _settings.parse, variable, parser, texts[variable])
                    self.settings.setdefault(setting, texts[variable])
        self.found = any(name in texts for name in known)
        for name, value in nodes.items():
            near = did_you_mean(name, sorted(known)) if name.startswith(("LOG_", "LOGSPOOL_")) else ""
            if name not in known and (near or name.startswith("LOGSPOOL_")):
                raise file.error(value.key_line, f"{value.name}: no such variable{near}")

    def __bool__(self) -> bool:
        return self.found

    def path(self, stem: str) -> str:
        """The log's path, with `stem` where a directory is given."""
        place, text = self.place or (_paths.in_directory, "logs")
        return place(text, stem)


def _settings_error(file: File, node: Node, check: Callable[..., object], *arguments: object) -> None:
    try:
        check(*arguments)
    except (ValueError, TypeError) as error:
        raise file.error(node.line, f"{node.name}: {error}") from None


def _variable(file: File, node: Node) -> str:
    """A variable's text as a client would set it: numbers as they are written."""
    if node.value is None:
        return ""
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    if node.table is not None or isinstance(node.value, list):
        from logspool.configuration._file import kind

        raise file.error(node.key_line, f"{node.name}: expected text for a variable, not {kind(node)}")
    return (node.written if node.written is not None else str(node.value)).strip()
