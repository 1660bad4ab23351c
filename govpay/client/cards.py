"""Detection of card numbers: a text that looks like one is refused, never stored, sent or logged."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from govpay.exceptions import OperationRefused

#: Digits with spaces or dashes between them, as people write card numbers.
_RUN = re.compile(r"[0-9]+(?:[ \-]{1,3}[0-9]+)*")
_GROUP = re.compile("[0-9]+")
#: UUIDs. By chance the end of one in a few thousand looks like a card number.
_UUID = re.compile(r"(?i)(?<![0-9a-z])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-z])")
_DASHES = dict.fromkeys(map(ord, "\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u200b"), "-")
#: The digit groups as printed on cards. These are also found among other numbers.
_EMBOSSED = re.compile("4(,4)*(,[1-4])?|4,6,[45]")

MIN_DIGITS, MAX_DIGITS = 13, 19


def looks_like_card(text: str) -> bool:
    """Return whether ``text`` contains 13 to 19 digits, possibly with spaces or dashes, that pass the Luhn test.

    One in ten other numbers of that length passes the test and is refused too (faults S1). Digits in the middle of an
    identifier, such as a hexadecimal one, and UUIDs are not checked.
    """
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(each, each)) for each in unicodedata.normalize("NFKC", text))
        text = text.translate(_DASHES)
    text = re.sub(r"\s", " ", _UUID.sub(_blank_uuid, text))
    return any(_is_card(digits) for run in _RUN.finditer(text) if _stands_alone(text, run) for digits in _read(run[0]))


def refuse_cards(**arguments: Any) -> None:
    """Refuse arguments that contain a card number anywhere, also in names of properties.

    Raises ``OperationRefused`` with the argument's name and never its value.
    """
    for name, value in arguments.items():
        for path, text in _texts(name, value):
            if looks_like_card(text):
                raise OperationRefused(f"{path} looks like a card number, which is never accepted here.", field=path)


def _texts(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, bytes):
        yield path, value.decode("utf-8", "replace")
    elif isinstance(value, int) and not isinstance(value, bool):
        yield path, str(value)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield f"The name of a property of {path}", str(name)
            shown = name if isinstance(name, str) and re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]{0,40}", name) else "…"
            yield from _texts(f"{path}.{shown}", item)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            yield from _texts(f"{path}[{index}]", item)


def _blank_uuid(found: re.Match[str]) -> str:
    # A UUID of digits only is kept, because a card number in dashes could look like one.
    return "_" if re.search("(?i)[a-f]", found[0]) else found[0]


def _stands_alone(text: str, run: re.Match[str]) -> bool:
    """Return whether ``run`` is not inside an identifier. Letters may touch it, unless a digit is beyond them."""
    before, after = text[max(0, run.start() - 40) : run.start()], text[run.end() : run.end() + 40]
    return not (re.search(r"[0-9][^\W\d_]+$", before) or re.match(r"[^\W\d_]+[0-9]", after))


def _read(run: str) -> Iterator[str]:
    """Return the numbers that ``run`` may contain: all of it, each group, and groups as printed on a card."""
    groups = _GROUP.findall(run)
    yield "".join(groups)
    yield from groups
    for start in range(len(groups)):
        for end in range(start + 3, min(start + 5, len(groups)) + 1):
            if _EMBOSSED.fullmatch(",".join(str(len(group)) for group in groups[start:end])):
                yield "".join(groups[start:end])


def _is_card(digits: str) -> bool:
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS:
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0
