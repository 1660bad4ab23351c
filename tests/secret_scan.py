"""S1 in every test: the log must contain no secret, no processor token and no card number.

Secrets are recognized by their form, so that revoked, replaced and never stored secrets are found as well.
"""

from __future__ import annotations

import logging
import re

#: Card numbers that exist only for tests.
NUMBERS = (
    *("4111111111111111", "4242424242424242", "4000000000000002", "4222222222222", "6011111111111117"),
    *("5555555555554444", "6011000991001201", "371449635398431", "378282246310005", "30569309025904"),
)

#: Forms of the secrets that sandbox and tests use. ``tests/test_secret_scan.py`` compares them with a real sandbox's.
PLANTED = {
    "client secret": r"(?:sandbox|test)-secret\b",
    "access token": r"\beyJ[\w-]{8,}\.[\w-]{8,}",
    "webhook secret": r"\bwhsec_\w{4,}",
    "credential of a session": r"\bcs_\w*secret_\w{4,}",
    "processor token": r"\b[pt]tk_\w{4,}|\btok_\w{4,}",
    "card number": "|".join("[ -]?".join(number) for number in NUMBERS),
}

_FORMS = re.compile("|".join(f"({form})" for form in PLANTED.values()))

#: Every text with a secret contains one of these, without its spaces and dashes. They make a quick first check.
_CLUES = ("secret", "eyJ", "whsec_", "tok_", "tk_", *NUMBERS)


def canaries_in(text: str) -> list[str]:
    """Return the kinds of planted secrets in a text, never the secrets themselves."""
    bare = text.replace(" ", "").replace("-", "")
    if not any(clue in bare for clue in _CLUES):
        return []
    return sorted({tuple(PLANTED)[(found.lastindex or 1) - 1] for found in _FORMS.finditer(text)})


class Ear(logging.Handler):
    """Records the output of all loggers of the process, with tracebacks, at each logger's own level."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {self.format(record)}")

    def found(self) -> list[str]:
        """Return ``logger: kind of secret`` for each line that contains one."""
        if not canaries_in("\n".join(self.lines)):
            return []
        return [f"{line.partition(':')[0]}: {kind}" for line in self.lines for kind in canaries_in(line)]
