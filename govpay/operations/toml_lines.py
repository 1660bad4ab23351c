"""In which line of a TOML document each key stands, which no parser of ours tells.

``tomllib`` keeps no positions, and of the kept libraries none offers them (tomlkit's issue 55 asks for it). So
the document is cut into statements, each of which ``tomllib`` itself parses: no grammar stands here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

#: Names of tables and keys, and the numbers of tables in an array, from the top.
Path = tuple[str | int, ...]

#: A longer value would be parsed as often as it has lines.
MAX_VALUE_LINES = 200


class TooLong(ValueError):
    """A value of more lines than anybody writes. ``line``: where it begins."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class Lines:
    """The lines of a document that ``tomllib`` has parsed; the first one is 1. Raises ``TooLong``."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n").split("\n")
        #: First and last line of the statement that made a table or a value.
        self._found: dict[Path, tuple[int, int]] = {(): (1, len(self._text))}
        counts: dict[Path, int] = {}
        table: Path = ()
        for first, last, statement, parsed in self._statements():
            if statement.lstrip().startswith("["):
                table = _header(parsed, counts)
                self._found.setdefault(table, (first, last))
            else:
                for path in _paths(parsed):
                    self._found.setdefault((*table, *path), (first, last))

    def of(self, path: Path, text: str = "") -> int:
        """The line of ``path``, or of what it stands in; of ``text`` in it, if that is there."""
        while path not in self._found:
            path = path[:-1]
        first, last = self._found[path]
        if text and path:
            for number in range(first, last + 1):
                if text in self._text[number - 1]:
                    return number
        return first

    def _statements(self) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
        """A statement ends with the first line that completes it: an open text or list is no document."""
        start = 0
        for end in range(1, len(self._text) + 1):
            statement = "\n".join(self._text[start:end])
            try:
                parsed = tomllib.loads(statement)
            except tomllib.TOMLDecodeError:
                if end - start > MAX_VALUE_LINES:
                    raise TooLong(start + 1) from None
                continue
            if parsed:
                yield start + 1, end, statement, parsed
            start = end


def _header(parsed: dict[str, Any], counts: dict[Path, int]) -> Path:
    """The table that ``[a.b]`` or ``[[a.b]]`` begins: of an array always the last one so far."""
    path: Path = ()
    value: Any = parsed
    while value and isinstance(value, dict):
        ((name, value),) = value.items()
        path = (*path, name)
        if isinstance(value, list):
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path = (*path, counts[path] - 1)
    return path


def _paths(parsed: dict[str, Any]) -> Iterator[Path]:
    for name, value in parsed.items():
        yield (name,)
        if isinstance(value, dict):
            yield from ((name, *rest) for rest in _paths(value))
