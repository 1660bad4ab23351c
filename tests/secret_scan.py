"""S1 over the whole suite: what any test makes the site log holds no secret, no processor token and no card number.

A secret is known by its form, so that one which was revoked, rolled or never stored is found as well.
"""

from __future__ import annotations

import logging
import re

#: Of cards that exist for tests alone.
NUMBERS = (
    *("4111111111111111", "4242424242424242", "4000000000000002", "4222222222222", "6011111111111117"),
    *("5555555555554444", "6011000991001201", "371449635398431", "378282246310005", "30569309025904"),
)

#: What the sandbox and the tests plant. ``tests/test_secret_scan.py`` holds it against what a sandbox really gives out.
PLANTED = {
    "client secret": r"(?:sandbox|test)-secret\b",
    "access token": r"\beyJ[\w-]{8,}\.[\w-]{8,}",
    "webhook secret": r"\bwhsec_\w{4,}",
    "credential of a session": r"\bcs_\w*secret_\w{4,}",
    "processor token": r"\b[pt]tk_\w{4,}|\btok_\w{4,}",
    "card number": "|".join("[ -]?".join(number) for number in NUMBERS),
}

_FORMS = re.compile("|".join(f"({form})" for form in PLANTED.values()))

#: One of them is in every text that holds a secret, its spaces and dashes left out: quick to look for.
_CLUES = ("secret", "eyJ", "whsec_", "tok_", "tk_", *NUMBERS)


def canaries_in(text: str) -> list[str]:
    """What kinds of planted secrets are in a text; never the secrets themselves."""
    bare = text.replace(" ", "").replace("-", "")
    if not any(clue in bare for clue in _CLUES):
        return []
    return sorted({tuple(PLANTED)[(found.lastindex or 1) - 1] for found in _FORMS.finditer(text)})


class Ear(logging.Handler):
    """Hears what every logger of the process says, tracebacks included, at the level that each has."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {self.format(record)}")

    def found(self) -> list[str]:
        """``logger: kind of secret`` for each line that holds one."""
        if not canaries_in("\n".join(self.lines)):
            return []
        return [f"{line.partition(':')[0]}: {kind}" for line in self.lines for kind in canaries_in(line)]
