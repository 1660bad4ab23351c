"""The code blocks of the documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.processes import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

FENCED = re.compile(r"(?m)^```(\w*)\n(.*?)^```$", re.DOTALL)
#: The other way to write a block, which names no language.
INDENTED = re.compile(r"(?m)^\n {4}\S.*$")


@dataclass(frozen=True)
class Block:
    path: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


def blocks_in(path: str, text: str) -> Iterator[Block]:
    for found in FENCED.finditer(text):
        yield Block(path, text[: found.start()].count("\n") + 1, found[1], found[2])


def prose_of(text: str) -> str:
    """The document without its blocks."""
    return FENCED.sub("", text)


BLOCKS = [
    block for path in DOCUMENTS for block in blocks_in(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
]


def written_in(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]
