"""A configuration file as values that know their line."""

from __future__ import annotations

import os
import re

from logspool import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TOML = (".toml",)
_YAML = (".yml", ".yaml", ".json")


_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def _character(found: re.Match[str]) -> str:
    high, low = int(found[2], 16), int(found[3], 16)
    return found[1] + chr(0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00))


class ConfigurationError(ValueError):
    """What is wrong in a configuration file: `cipher.yml:12: logging.maxBytes='lots': expected a size …`."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}")
        #: The file as it was given, and the line, counted from 1.
        self.path, self.line = path, line
        self._reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.line, self._reason)


class Node:
    """A value, where it begins, and the name and line of the key it stands under."""

    __slots__ = ("key_line", "line", "name", "table", "value", "written")

    def __init__(self, raw: tuple[int, Any, str | None], name: str = "", key_line: int = 1) -> None:
        self.line, value, self.written = raw
        self.name, self.key_line = name, key_line
        #: The nodes of a table by name; None for anything else.
        self.table: dict[str, Node] | None = None
        if isinstance(value, tuple):
            self.table = {key: Node(node, f"{name}.{key}" if name else key, line) for key, line, node in value}
            value = {key: node.value for key, node in self.table.items()}
        elif isinstance(value, list):
            value = [Node(item).value for item in value]
        #: The value in plain Python objects.
        self.value: Any = value

    def get(self, name: str) -> Node | None:
        """The node of that name in a table; None where there is none, or where it is empty."""
        node = self.table.get(name) if self.table is not None else None
        return None if node is None or node.value is None else node


class File:
    """A file that was read."""

    def __init__(self, path: str, root: Node) -> None:
        self.path, self.root = path, root

    def error(self, line: int, reason: str) -> ConfigurationError:
        """What to raise for something wrong in a line."""
        return ConfigurationError(self.path, line, reason)

    def table(self, node: Node) -> dict[str, Node]:
        """The nodes of a table. Raises ConfigurationError for anything else."""
        if node.table is None:
            raise self.error(node.key_line, f"{node.name or 'the file'}: expected names and values, not {kind(node)}")
        return node.table


def kind(node: Node) -> str:
    """What a value is, for messages."""
    if node.value is None:
        return "nothing"
    if node.table is not None:
        return "a table"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(node.value), "this")


def read(path: str | os.PathLike[str]) -> File:
    """The file's values. Raises OSError, or ConfigurationError for what is not in the format its ending says."""
    name = os.fspath(path)
    ending = os.path.splitext(name)[1].lower()
    if ending not in _TOML + _YAML:
        raise ValueError(f"{name}: expected a file that ends in {', '.join(_YAML + _TOML)}")
    with open(name, "rb") as stream:
        data = stream.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(name, data.count(b"\n", 0, error.start) + 1, "not UTF-8") from None
    if ending == ".json":
        # YAML has a character beyond U+FFFF as itself or as \\U, JSON as two \\u: what json.dumps writes is to be read, too.
        text = _PAIR.sub(_character, text)
    whole, wrong = _core._read_configuration(text, ending in _TOML)
    if whole is None:
        line, reason = wrong or (1, "cannot be read")
        raise ConfigurationError(name, line, reason)
    return File(name, Node(whole))
